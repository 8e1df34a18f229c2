"""Payments in the mirror: movements of accounts at payment processors."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0008_payments"
down_revision = "0007_pipeline"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_script("mirror", "0008_payments.sql")
