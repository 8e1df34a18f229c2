"""The migrated database is what the tables say, and its currencies are those of sources.money."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import sources.ledger.tables as tables
from sources.database.metadata import METADATA, VERSION_TABLE
from sources.money import EXPONENTS

NAMES = {
    "currency",
    "ledger",
    "head",
    "account",
    "entry",
    "line",
    "balance_day",
    "balance_month",
    "balance_year",
    "rate",
}


async def reflected(url: str, look: Any) -> Any:
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url), poolclass=NullPool
    )
    async with engine.connect() as connection:
        found = await connection.run_sync(look)
    await engine.dispose()
    return found


def differences(connection: Connection) -> list[Any]:
    options = {
        "include_schemas": True,
        "version_table": VERSION_TABLE,
        "version_table_schema": "ledger",
        "compare_type": True,
        "compare_server_default": True,
        "include_name": lambda name, kind, _parents: kind != "schema" or name == "ledger",
        "include_object": lambda thing, _name, kind, _reflected, _other: kind != "table" or thing.schema == "ledger",
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), METADATA))


async def test_the_migrated_schema_equals_the_tables(owner_url: str) -> None:
    assert await reflected(owner_url, differences) == []


async def test_every_table_is_described(owner_url: str) -> None:
    """So that the comparison above compares something."""
    found = await reflected(owner_url, lambda connection: inspect(connection).get_table_names(schema="ledger"))
    assert set(found) == NAMES | {VERSION_TABLE}
    assert {table.name for table in METADATA.tables.values() if table.schema == "ledger"} == NAMES
    assert tables.line.primary_key.columns.keys() == ["ledger_id", "sequence", "line_number"]


async def test_key_text_sorts_by_bytes(owner_url: str) -> None:
    connection = await asyncpg.connect(owner_url)
    rows = await connection.fetch(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid "
        "JOIN pg_collation l ON l.oid = a.attcollation WHERE c.relnamespace = 'ledger'::regnamespace AND c.relkind = 'r' "
        "AND l.collname <> 'C' AND attname NOT IN ('name', 'description')"
    )
    await connection.close()
    assert [tuple(row) for row in rows if row["relname"] != VERSION_TABLE] == []


async def test_currencies_are_those_of_money(owner_url: str) -> None:
    connection = await asyncpg.connect(owner_url)
    rows = await connection.fetch("SELECT code, exponent FROM ledger.currency")
    await connection.close()
    assert {row["code"]: row["exponent"] for row in rows} == EXPONENTS


@pytest.mark.parametrize("kind", ["r", "f"])
async def test_nothing_is_open_to_everyone(owner_url: str, kind: str) -> None:
    """No table and no function of the schema is PUBLIC's; every table of a ledger has row-level security."""
    connection = await asyncpg.connect(owner_url)
    if kind == "r":
        opened = await connection.fetch(
            "SELECT relname FROM pg_class, aclexplode(relacl) AS grant_ WHERE relnamespace = 'ledger'::regnamespace "
            "AND grant_.grantee = 0"
        )
        unguarded = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'ledger'::regnamespace AND relkind = 'r' "
            "AND NOT relrowsecurity AND relname NOT IN ('currency', 'rate', $1)",
            VERSION_TABLE,
        )
    else:
        opened = await connection.fetch(
            "SELECT proname FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS grant_ "
            "WHERE pronamespace = 'ledger'::regnamespace AND grant_.grantee = 0"
        )
        unguarded = await connection.fetch(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'ledger'::regnamespace AND prosecdef "
            "AND NOT 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}'))"
        )
    await connection.close()
    assert (opened, unguarded) == ([], [])
