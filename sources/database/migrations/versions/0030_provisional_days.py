"""Provisional transactions are looked up by their days."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0030_provisional_days"
down_revision = "0029_file_order"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0030_provisional_days.sql")
