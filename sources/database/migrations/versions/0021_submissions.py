"""What was submitted of sources whose documents are submitted to us."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0021_submissions"
down_revision = "0020_matching"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0021_submissions.sql")
