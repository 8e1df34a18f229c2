"""Migrated matching equals its tables, is walled off by ledger, and lets the application do no more than it has to."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import sources.matching.tables
from sources.database.metadata import METADATA

SCHEMAS = ("matching",)
NAMES = {
    "state",
    "todo",
    "item",
    "item_key",
    "rule",
    "match",
    "allocation",
    "open_item",
    "open_todo",
    "control_account",
}
__all__ = ["sources"]


def _differences(connection: Connection) -> list[Any]:
    options = {
        "include_schemas": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name in SCHEMAS,
        "include_object": lambda thing, _name, kind, _reflected, _other: kind != "table" or thing.schema in SCHEMAS,
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


async def test_migrated_matching_equals_the_tables(owner_url: str) -> None:
    engine = create_async_engine(owner_url.replace("postgresql://", "postgresql+asyncpg://", 1), poolclass=NullPool)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_every_table_is_keyed_and_walled_by_ledger(owner: asyncpg.Connection[Any]) -> None:
    rows = await owner.fetch(
        """
        SELECT c.relname, c.relrowsecurity, (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND
            attnum = (SELECT indkey[0] FROM pg_index WHERE indrelid = c.oid AND indisprimary)) AS first
        FROM pg_class c WHERE relnamespace = 'matching'::regnamespace AND relkind = 'r'
        """
    )
    assert {row["relname"] for row in rows} == NAMES
    assert {table.name for table in METADATA.tables.values() if table.schema in SCHEMAS} == NAMES
    assert {tuple(row)[1:] for row in rows} == {(True, "ledger_id")}


async def test_nothing_is_open_to_everyone(owner: asyncpg.Connection[Any]) -> None:
    opened = await owner.fetch(
        "SELECT relname FROM pg_class, aclexplode(relacl) AS grant_ WHERE relnamespace = "
        "'matching'::regnamespace AND grant_.grantee = 0"
    )
    assert opened == []


async def test_key_text_sorts_by_bytes(owner: asyncpg.Connection[Any]) -> None:
    rows = await owner.fetch(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_collation l ON l.oid = a.attcollation WHERE c.relnamespace = 'matching'::regnamespace "
        "AND c.relkind = 'r' AND l.collname <> 'C'"
    )
    assert rows == []


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM matching.match",
        "DELETE FROM matching.allocation",
        "UPDATE matching.allocation SET amount = 2",
        "UPDATE matching.match SET external_id = 'other'",
        "UPDATE matching.match SET reasons = '[]'",
        "DELETE FROM matching.rule",
        "UPDATE matching.rule SET party = 'other'",
        "DELETE FROM matching.item",
        "TRUNCATE matching.todo",
        "UPDATE matching.open_item SET open = 1",
        "DELETE FROM matching.open_todo",
    ],
)
async def test_the_application_may_not(database_url: str, statement: str) -> None:
    connection = await asyncpg.connect(database_url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
