"""The parts of payslips, and how reading them goes."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0011_payslips"
down_revision = "0010_issue_feed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0011_payslips.sql")
