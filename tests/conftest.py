"""Databases for tests: one embedded server for all workers of a run, and a fresh migrated database for each test.

`database_url` (and `owner_url`, the same database as its owner) is a copy of a migrated template: some 25 ms.
The shared server runs without fsync; nothing may kill it. Tests that crash a server get their own, with the product's
settings, from `own_postgres` or `start_postgres`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
import structlog

from gateway.logs import request_lines
from sources.database.embedded import APP_ROLE, OWNER_ROLE, EmbeddedPostgres
from sources.database.migrate import upgrade

T = TypeVar("T")

TEMPLATE = "ledgergraph_template"
TEMPLATE_LOCK = 1_818_584_940
FAST_SETTINGS = {
    "autovacuum": "off",
    "fsync": "off",
    "full_page_writes": "off",
    "max_wal_senders": "0",
    "wal_level": "minimal",
}


class BackgroundLoop:
    """An event loop in a thread of its own, so that fixtures of the whole run are bound to no test's loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fixtures", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=120)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Commands that a test runs in this process configure its logs: the next test finds them as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    request_lines.use(None, shown=True)
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def background() -> Iterator[BackgroundLoop]:
    """Runs coroutines for synchronous fixtures: `background.run(...)`."""
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, background: BackgroundLoop
) -> Iterator[EmbeddedPostgres]:
    """The run's shared server, running. Joined by every worker; the last one stops it."""
    base = tmp_path_factory.getbasetemp()
    run = base if worker_id == "master" else base.parent
    server = EmbeddedPostgres(run / "postgres", settings=FAST_SETTINGS)
    background.run(server.__aenter__())
    yield server
    background.run(server.__aexit__(None, None, None))


@pytest.fixture(scope="session")
def administrator(
    postgres: EmbeddedPostgres, background: BackgroundLoop
) -> Iterator[asyncpg.Connection[asyncpg.Record]]:
    """A superuser's connection of the background loop, after the template database was migrated once for the run."""
    connection = background.run(asyncpg.connect(postgres.dsn(user="postgres", database="postgres")))
    background.run(provide_template(connection, postgres))
    yield connection
    background.run(connection.close())


async def provide_template(connection: asyncpg.Connection[asyncpg.Record], postgres: EmbeddedPostgres) -> None:
    """Migrate the template under a lock of the server, and give it its name only when it is whole."""
    await connection.execute("SELECT pg_advisory_lock($1)", TEMPLATE_LOCK)
    try:
        if await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", TEMPLATE):
            return
        await connection.execute(f"DROP DATABASE IF EXISTS {TEMPLATE}_new")
        await connection.execute(f"CREATE DATABASE {TEMPLATE}_new OWNER {OWNER_ROLE}")
        await upgrade(postgres.dsn(user=OWNER_ROLE, database=f"{TEMPLATE}_new"))
        await connection.execute(f"ALTER DATABASE {TEMPLATE}_new RENAME TO {TEMPLATE}")
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", TEMPLATE_LOCK)


@pytest.fixture
def database(administrator: asyncpg.Connection[asyncpg.Record], background: BackgroundLoop) -> Iterator[str]:
    """The name of a fresh migrated database, dropped afterwards with whoever is still connected."""
    name = f"test_{uuid.uuid4().hex}"
    background.run(
        administrator.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    )
    yield name
    background.run(administrator.execute(f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database: str) -> str:
    """A fresh migrated database as the application's role sees it."""
    return postgres.dsn(user=APP_ROLE, database=database)


@pytest.fixture
def owner_url(postgres: EmbeddedPostgres, database: str) -> str:
    """The database of `database_url`, as its owner."""
    return postgres.dsn(user=OWNER_ROLE, database=database)


@pytest.fixture
async def start_postgres(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[EmbeddedPostgres]]]:
    """Starts servers with the product's settings: `server = await start_postgres(data_dir=None, **settings)`.

    The test may kill them; what still runs at its end is stopped.
    """
    async with contextlib.AsyncExitStack() as servers:

        async def start(data_dir: Path | None = None, **settings: str) -> EmbeddedPostgres:
            chosen: Mapping[str, str] = {"shared_buffers": "64MB", **settings}
            directory = data_dir or tmp_path / f"postgres-{uuid.uuid4().hex[:8]}"
            return await servers.enter_async_context(EmbeddedPostgres(directory, settings=chosen))

        yield start


@pytest.fixture
async def own_postgres(start_postgres: Callable[..., Awaitable[EmbeddedPostgres]]) -> EmbeddedPostgres:
    """A server of the test's own, with the product's durability and the migrated database `ledgergraph`."""
    server = await start_postgres()
    await upgrade(server.dsn(user=OWNER_ROLE))
    return server
