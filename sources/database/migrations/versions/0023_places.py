"""A statement's rank says its day, so that a statement which comes late moves those of its day and not all that follow."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0023_places"
down_revision = "0022_open_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0023_places.sql")
