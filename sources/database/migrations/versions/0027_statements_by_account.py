"""Statements are found by their key, also while the database knows nothing of how many there are."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0027_statements_by_account"
down_revision = "0026_open_items_by_key"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0027_statements_by_account.sql")
