"""What is open of invoices is kept by days: a page of it costs the same in old books as in new ones."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0022_open_items"
down_revision = "0021_submissions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("matching", "0022_open_items.sql")
