"""Indexes for pages of what is rare in a ledger."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0003_lists"
down_revision = "0002_mirror"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("ledger", "0003_lists.sql")
