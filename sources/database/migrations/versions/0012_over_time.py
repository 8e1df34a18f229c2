"""What postings say apart from texts and rates, reversals by hand as they come, and who recorded a rate."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0012_over_time"
down_revision = "0011_payslips"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("pipeline", "0012_over_time.sql")
