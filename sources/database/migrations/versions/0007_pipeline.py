"""Documents become entries: rule sets, rates, what is to do, what was posted of a document, and issues of documents."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0007_pipeline"
down_revision = "0006_years"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("ledger", "0007_rates.sql")
    run_script("mirror", "0007_issues.sql")
    run_script("pipeline", "0007_tables.sql")
    run_script("pipeline", "0007_visibility.sql")
