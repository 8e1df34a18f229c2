"""Indexes by which long queues, lists and logbooks are read from their front alone."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0016_growth"
down_revision = "0015_starter_versions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("pipeline", "0016_growth.sql")
    run_script("mirror", "0016_growth.sql")
