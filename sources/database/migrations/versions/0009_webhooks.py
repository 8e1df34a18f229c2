"""Webhooks of source systems as they were delivered, and an index of open issues."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0009_webhooks"
down_revision = "0008_payments"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0009_webhooks.sql")
