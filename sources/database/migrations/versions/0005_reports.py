"""Reports read a month's days in one place; names are numbered so that no restored state is taken for another."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0005_reports"
down_revision = "0004_posting"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("ledger", "0005_reports.sql")
