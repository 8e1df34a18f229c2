"""What could not be read is asked for again: an issue holds how."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0024_read_again"
down_revision = "0023_places"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0024_read_again.sql")
