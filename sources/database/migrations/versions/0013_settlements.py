"""What settles an invoice, a payment or a dispute is found by what it names."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0013_settlements"
down_revision = "0012_over_time"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0013_settlements.sql")
