"""Posting and its proof, in fewer steps."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0004_posting"
down_revision = "0003_lists"
branch_labels = None
depends_on = None

SCRIPTS = ("proof", "posting")


def upgrade() -> None:
    for script in SCRIPTS:
        run_script("ledger", f"0004_{script}.sql")
