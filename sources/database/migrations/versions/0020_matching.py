"""Bank transactions are matched with what they are about."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0020_matching"
down_revision = "0017_accounting_date"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("matching", "0020_tables.sql")
    run_script("matching", "0020_visibility.sql")
