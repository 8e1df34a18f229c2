"""The mirror: stored documents of the source systems, sync runs, issues, and row-level security over them."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0002_mirror"
down_revision = "0001_ledger"
branch_labels = None
depends_on = None

SCRIPTS = ("tables", "visibility")


def upgrade() -> None:
    for script in SCRIPTS:
        run_script("mirror", f"0002_{script}.sql")
