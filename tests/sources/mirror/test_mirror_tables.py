"""The migrated mirror equals the tables that query builders see, and is walled off by ledger."""

from __future__ import annotations

from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from sources.database.metadata import METADATA
from sources.mirror import tables


def _differences(connection: Connection) -> list[Any]:
    options = {
        "include_schemas": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name == "mirror",
        "include_object": lambda thing, _name, kind, _reflected, _other: (
            kind != "table" or thing.schema == tables.invoice.schema
        ),
    }
    return compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)


async def test_the_migrated_mirror_equals_the_tables(owner_url: str) -> None:
    engine = create_async_engine(owner_url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_every_table_but_those_of_sources_is_keyed_and_walled_by_ledger(owner: Any) -> None:
    """A source's state holds no document; what its webhooks delivered the application cannot read."""
    rows = await owner.fetch(
        """
        SELECT c.relname, c.relrowsecurity, (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND
            attnum = (SELECT indkey[0] FROM pg_index WHERE indrelid = c.oid AND indisprimary)) AS first
        FROM pg_class c WHERE relnamespace = 'mirror'::regnamespace AND relkind = 'r' ORDER BY 1
        """
    )
    assert {row["relname"] for row in rows} == {
        table.name for table in METADATA.tables.values() if table.schema == "mirror"
    }
    of_sources = ("source_state", "webhook")
    assert {tuple(row)[1:] for row in rows if row["relname"] not in of_sources} == {(True, "ledger_id")}
    for column in ("headers", "body"):
        assert not await owner.fetchval(
            "SELECT has_column_privilege('ledgergraph_app', 'mirror.webhook', $1, 'SELECT')", column
        )
