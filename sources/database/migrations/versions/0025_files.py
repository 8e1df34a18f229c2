"""What is known of a source's files: the options by which they were read, and which of them stated a document."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0025_files"
down_revision = "0024_read_again"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0025_files.sql")
