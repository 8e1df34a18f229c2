"""The built-in rules that a version of rules extends, as they were when it was saved."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0015_starter_versions"
down_revision = "0014_paid_elsewhere"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("pipeline", "0015_starter_versions.sql")
