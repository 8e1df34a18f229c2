"""The day by which a source that keeps books booked an invoice, where that is not the invoice's."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0017_accounting_date"
down_revision = "0016_growth"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0017_accounting_date.sql")
