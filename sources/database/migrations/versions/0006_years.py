"""Balances per year beside those per month and day, made of the months that are there."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0006_years"
down_revision = "0005_reports"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("ledger", "0006_years.sql")
