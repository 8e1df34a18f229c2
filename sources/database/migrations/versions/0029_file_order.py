"""Which of two files of one document came later."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0029_file_order"
down_revision = "0028_open_in_books"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0029_file_order.sql")
