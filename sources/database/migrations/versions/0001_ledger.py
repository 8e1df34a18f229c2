"""The ledger store: tables, currencies, row-level security, proofs, and the functions that write."""

from __future__ import annotations

from sources.database.migrations.scripts import run_script

revision = "0001_ledger"
down_revision = None
branch_labels = None
depends_on = None

SCRIPTS = ("tables", "currencies", "visibility", "proof", "posting", "administration", "statistics")


def upgrade() -> None:
    for script in SCRIPTS:
        run_script("ledger", f"0001_{script}.sql")
