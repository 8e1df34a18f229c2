"""A database with the ledgers acme-us and acme-eu, and refreshers over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import asyncpg
import pytest

from sources.database.pool import Database
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from tests.sources.mirror.kit import Kit, Script


@pytest.fixture
def kit() -> type[Kit]:
    return Kit


@pytest.fixture
async def owner(owner_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The database as its owner: sees and may do everything."""
    connection = await asyncpg.connect(owner_url)
    yield connection
    await connection.close()


@pytest.fixture
def create_ledger(owner: asyncpg.Connection[Any]) -> Callable[[str, str], Awaitable[int]]:
    async def create(code: str, currency: str) -> int:
        ledger_id: int = await owner.fetchval(
            "INSERT INTO ledger.ledger (code, name, functional_currency) VALUES ($1, $1, $2) RETURNING ledger_id",
            code,
            currency,
        )
        await owner.execute("INSERT INTO ledger.head (ledger_id, last_hash) VALUES ($1, $2)", ledger_id, bytes(32))
        return ledger_id

    return create


@pytest.fixture
async def ledgers(create_ledger: Callable[[str, str], Awaitable[int]]) -> Mapping[str, int]:
    return {"acme-us": await create_ledger("acme-us", "USD"), "acme-eu": await create_ledger("acme-eu", "EUR")}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url, readers=2, writers=2) as database:
        yield database


@pytest.fixture
async def refresher(db: Database) -> AsyncIterator[Callable[..., Refresher]]:
    """Makes refreshers that the test's end closes: `refresher((settings, connector), …, deadline=5)`."""
    made: list[Refresher] = []

    def make(*sources: tuple[SourceSettings, Script], deadline: float = 10.0) -> Refresher:
        made.append(Refresher(db, sources, deadline=deadline))
        return made[-1]

    yield make
    for each in made:
        await each.close()


@pytest.fixture
def pull(refresher: Callable[..., Refresher]) -> Callable[..., Awaitable[Any]]:
    """Pulls a source once, now: `freshness = await pull(settings, connector)`."""

    async def once(settings: SourceSettings, connector: Script) -> Any:
        return (await refresher((settings, connector)).ensure([settings.name], 0))[settings.name]

    return once
