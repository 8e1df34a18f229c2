"""The stream of changes of integration issues."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0010_issue_feed"
down_revision = "0009_webhooks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0010_issue_feed.sql")
