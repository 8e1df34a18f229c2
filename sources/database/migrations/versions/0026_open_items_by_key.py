"""What is open is computed by the keys of documents, whatever the planner knows of the tables."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0026_open_items_by_key"
down_revision = "0025_files"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("matching", "0026_open_items_by_key.sql")
