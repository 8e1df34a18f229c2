"""What of an invoice was paid past the processor that states it, and when."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0014_paid_elsewhere"
down_revision = "0013_settlements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0014_paid_elsewhere.sql")
