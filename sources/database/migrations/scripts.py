"""Runs the `.sql` files that a migration loads. A released file never changes: a later version ships a new one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import op
from sqlalchemy import text

_SOURCES = Path(__file__).resolve().parents[2]


def run_script(package: str, name: str) -> None:
    """Executes sources/<package>/sql/<name>, which may hold many statements, in the migration's transaction."""
    script = (_SOURCES / package / "sql" / name).read_text(encoding="utf-8")
    bind = op.get_bind()
    bind.execute(text("SELECT 1"))  # the driver begins the transaction with the first statement that it sees
    adapted: Any = bind.connection.dbapi_connection
    adapted.run_async(lambda connection: connection.execute(script))
