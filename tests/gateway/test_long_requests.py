"""What takes long: a statement ends with the request that needs it, and after its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg
import pytest

from gateway.app import App, create_app
from gateway.authentication import SCOPES, SecretAuthenticator
from gateway.engine import Engine
from gateway.limits import Limits
from resolvers.context import Services
from sources.database.pool import Database
from sources.feed import Feed
from sources.ledger.directory import Directory
from sources.ledger.posting import Poster
from sources.mirror.refresh import Refresher
from tests.gateway.processes import until
from tests.gateway.toy import SECRET, serve, token
from tests.graph import SCHEMA, Graph, entry

QUERY = '{ entries(ledger: "us", first: 1) { nodes { id description } } }'
LOCKED = "LOCK TABLE ledger.entry IN ACCESS EXCLUSIVE MODE"


@dataclass
class Books:
    """A gateway on a database, its owner's connection, and one that sees what statements do (a transaction sees but once)."""

    app: App
    url: str
    session: aiohttp.ClientSession
    owner: asyncpg.Connection[Any]
    watcher: asyncpg.Connection[Any]

    def ask(self, query: str = QUERY, **variables: Any) -> asyncio.Task[tuple[int, Any]]:
        return asyncio.create_task(self._ask(query, variables))

    async def _ask(self, query: str, variables: Any) -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {token(scopes=sorted(SCOPES))}"}
        body = {"query": query, "variables": variables}
        async with self.session.post(self.url + "/graphql", json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def waiting(self) -> int:
        """Statements of the gateway that wait for a lock."""
        found = await self.watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'ledgergraph' AND state = 'active' AND wait_event_type = 'Lock'"
        )
        return int(found)

    async def idle_in_transaction(self) -> int:
        found = await self.watcher.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            " AND pid <> pg_backend_pid()"
        )
        return int(found)

    def abandoned(self) -> float:
        labels = {"transport": "http", "kind": "query", "outcome": "abandoned", "code": ""}
        return self.app.metrics.registry.get_sample_value("ledgergraph_requests_total", labels) or 0.0


@pytest.fixture
def books(database_url: str, owner_url: str) -> Callable[..., Any]:
    """`async with books(statement_timeout=30.0) as opened`: one entry is posted."""

    @asynccontextmanager
    async def opened(statement_timeout: float = 30.0) -> AsyncIterator[Books]:
        limits = Limits()
        async with (
            Database(database_url, readers=2, writers=2, statement_timeout=statement_timeout) as database,
            Feed(database) as feed,
        ):
            poster, refresher = Poster(database, queue_limit=100), Refresher(database, (), deadline=1.0)
            services = Services(database, Directory(database), poster, refresher)
            engine = Engine(SCHEMA, services, feed, limits)
            graph = Graph(engine, services, feed)
            await graph.found()
            await graph.post(entry("a"))

            async def ready() -> None:
                return

            app = create_app(engine, authenticator=SecretAuthenticator(SECRET), limits=limits, readiness=ready)
            owner, watcher = [await asyncpg.connect(owner_url) for _ in range(2)]
            try:
                async with serve(app) as url, aiohttp.ClientSession() as session:
                    yield Books(app, url, session, owner, watcher)
            finally:
                await owner.close()
                await watcher.close()
                await poster.close()

    return opened


async def test_a_statement_ends_when_its_client_goes_away(books: Callable[..., Any]) -> None:
    """The connection is free again at once, although the statement would have waited for as long as it may."""
    async with books() as opened:
        async with opened.owner.transaction():
            await opened.owner.execute(LOCKED)
            asked = [opened.ask() for _ in range(2)]  # as many as there are connections
            await until(lambda: is_count(opened.waiting, 2))
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
            await until(lambda: is_count(opened.waiting, 0))
        await until(lambda: opened.abandoned() == 2)
        assert await opened.idle_in_transaction() == 0
        status, answer = await opened.ask()
        assert (status, answer["data"]["entries"]["nodes"][0]["description"]) == (200, "Sale a")


async def test_a_client_that_waits_is_answered(books: Callable[..., Any]) -> None:
    """Its connection is listened to all the while."""
    async with books() as opened:
        async with opened.owner.transaction():
            await opened.owner.execute(LOCKED)
            asked = opened.ask()
            await until(lambda: is_count(opened.waiting, 1))
            await asyncio.sleep(0.5)  # longer than queries run before somebody listens
        status, answer = await asked
        assert (status, len(answer["data"]["entries"]["nodes"])) == (200, 1)
        assert (await opened.ask())[0] == 200
        assert opened.abandoned() == 0


async def test_a_mutation_does_not_end_with_its_client(books: Callable[..., Any]) -> None:
    """What a client may have been promised is finished."""
    post = "mutation ($input: PostEntryInput!) { postEntry(input: $input) { __typename } }"
    async with books() as opened:
        async with opened.owner.transaction():
            await opened.owner.execute(LOCKED)
            asked = opened.ask(post, input=entry("b"))
            await until(lambda: is_count(opened.waiting, 1))
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await asyncio.sleep(0.5)
            assert await opened.waiting() == 1
        await until(lambda: is_count(lambda: opened.watcher.fetchval("SELECT count(*) FROM ledger.entry"), 2))


async def test_a_statement_that_takes_too_long_is_one_error(books: Callable[..., Any]) -> None:
    """Typed, in its field, and the connection goes on to serve."""
    async with books(statement_timeout=0.2) as opened:
        async with opened.owner.transaction():
            await opened.owner.execute(LOCKED)
            status, answer = await opened.ask()
        assert status == 200
        assert answer["data"] == {"entries": None}
        assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
            (["entries"], "OVERLOADED")
        ]
        assert "took longer" in json.dumps(answer["errors"])
        assert (await opened.ask())[1]["data"]["entries"]["nodes"]


async def is_count(count: Callable[[], Any], wanted: int) -> bool:
    return bool(await count() == wanted)
