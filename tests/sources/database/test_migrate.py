"""Migrations: many starters at once, roles of other people's servers, and clear words where something is missing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from sources.database.embedded import EmbeddedPostgres
from sources.database.metadata import APP_ROLE
from sources.database.migrate import current_revision, head_revision, upgrade
from sources.database.pool import Database
from sources.errors import ConfigurationError, DatabaseUnavailable


@pytest.fixture
def empty(postgres: EmbeddedPostgres, administrator: Any, background: Any) -> Iterator[tuple[str, str]]:
    """An empty database of a login that owns it and is nothing else: (user, database)."""
    name = f"empty_{uuid.uuid4().hex}"
    background.run(administrator.execute(f"CREATE ROLE {name} LOGIN"))
    background.run(administrator.execute(f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'"))
    yield name, name
    background.run(administrator.execute(f"DROP DATABASE {name} WITH (FORCE)"))
    background.run(administrator.execute(f"DROP ROLE {name}"))


def dsn_of(postgres: EmbeddedPostgres, login: tuple[str, str]) -> str:
    return postgres.dsn(user=login[0], database=login[1])


async def granted(administrator: Any, background: Any, user: str) -> None:
    await asyncio.wrap_future(
        asyncio.run_coroutine_threadsafe(administrator.execute(f"GRANT {APP_ROLE} TO {user}"), background._loop)
    )


async def test_several_starters_migrate_once(
    postgres: EmbeddedPostgres, empty: tuple[str, str], administrator: Any, background: Any
) -> None:
    """An ordinary owner of an external database; the gateway's connections then run as the application's role."""
    dsn = dsn_of(postgres, empty)
    await granted(administrator, background, empty[0])
    assert await current_revision(dsn) is None
    await asyncio.gather(*[upgrade(dsn) for _ in range(6)])
    await upgrade(dsn)
    assert await current_revision(dsn) == head_revision()
    async with Database(dsn) as database, database.writer() as connection:
        assert await connection.fetchval("SELECT current_user") == APP_ROLE
        assert await connection.fetchval("SELECT count(*) FROM ledger.schema_version") == 1
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("DELETE FROM ledger.ledger")


async def test_the_application_role_reads_the_revision(database_url: str) -> None:
    assert await current_revision(database_url) == head_revision()


async def test_a_role_that_may_not_be_granted_is_said_with_what_to_run(
    postgres: EmbeddedPostgres, empty: tuple[str, str]
) -> None:
    with pytest.raises(ConfigurationError, match=f"GRANT {APP_ROLE} TO {empty[0]}"):
        await upgrade(dsn_of(postgres, empty))
    assert await current_revision(dsn_of(postgres, empty)) is None


async def test_a_login_that_may_not_create_schemas_is_told(database_url: str, postgres: EmbeddedPostgres) -> None:
    """The application's role itself, on a database where nothing was migrated."""
    with pytest.raises(ConfigurationError, match="may not migrate"):
        await upgrade(postgres.dsn(user=APP_ROLE, database="postgres"))


async def test_an_encoding_that_cannot_hold_all_texts_is_refused(
    postgres: EmbeddedPostgres, administrator: Any, background: Any
) -> None:
    name = f"latin_{uuid.uuid4().hex}"

    async def run(sql: str) -> None:
        future = asyncio.run_coroutine_threadsafe(administrator.execute(sql), background._loop)
        await asyncio.wrap_future(future)

    await run(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    try:
        with pytest.raises(ConfigurationError, match="SQL_ASCII"):
            await upgrade(postgres.dsn(user="postgres", database=name))
    finally:
        await run(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        await upgrade("postgresql://nobody@127.0.0.1:1/none")


async def test_a_database_that_does_not_exist_is_a_setting_to_correct(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        await current_revision(postgres.dsn(user="postgres", database="nowhere"))
