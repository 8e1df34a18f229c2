"""What is open of invoices stands beside what the control accounts have of it, on every day."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0028_open_in_books"
down_revision = "0027_statements_by_account"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("matching", "0028_open_in_books.sql")
