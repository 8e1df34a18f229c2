"""Nothing that was kept of a database is told of the state that it is restored to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import asyncpg
import orjson
import pytest

from gateway.limits import Limits
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.errors import DatabaseUnavailable
from tests.graph import Graph, entry, open_graph

QUERIES = (
    '{ account(ledger: "us", code: "1000") { name functionalBalance } }',
    """{ entries(ledger: "us") { totalCount nodes { sequence description idempotencyKey lines { debit account { name } } } } }""",
    '{ ledger(code: "us") { name lastSequence } trialBalance(ledger: "us") { rows { account { name } closing } } }',
)
NAME = 'mutation ($n: String!) { updateAccount(input: {ledger: "us", code: "1000", name: $n}) { __typename } }'
Copy = Callable[[str, str], Awaitable[None]]


@pytest.fixture
async def copy(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[Copy]:
    """Makes a database the state of another one, whoever is connected to them."""
    server = await asyncpg.connect(postgres.dsn(user="postgres", database="postgres"))

    async def make(source: str, target: str) -> None:
        await server.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        await server.execute(f"ALTER DATABASE {source} ALLOW_CONNECTIONS false")
        await server.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", source)
        await server.execute(f"CREATE DATABASE {target} OWNER {OWNER_ROLE} TEMPLATE {source} STRATEGY FILE_COPY")
        await server.execute(f"ALTER DATABASE {source} ALLOW_CONNECTIONS true")

    yield make
    await server.execute(f"DROP DATABASE IF EXISTS {database}_backup WITH (FORCE)")
    await server.close()


async def answered(ask: Callable[[], Awaitable[Any]]) -> Any:
    """What is answered once lost connections are replaced."""
    for _ in range(100):
        try:
            return await ask()
        except DatabaseUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the database does not answer")


async def post(graph: Graph, key: str, amount: str) -> None:
    while (await answered(lambda: graph.post(entry(key, amount))))[0]["__typename"] != "EntryPosted":
        await asyncio.sleep(0.05)


async def compare(graph: Graph) -> list[Any]:
    """Thrice, so that texts are kept and told."""
    found = []
    for query in QUERIES:
        expected = (await answered(lambda query=query: graph.reference.run(query, graph.anyone)))["data"]  # type: ignore[misc]
        for _ in range(3):
            answer = await answered(lambda query=query: graph.data(query))  # type: ignore[misc]
            assert orjson.dumps(answer) == orjson.dumps(expected), query
        found.append(expected)
    return found


@pytest.mark.parametrize(
    "limits", [Limits(), replace(Limits(), answer_cache_bytes=0)], ids=["answers kept", "entries kept"]
)
async def test_a_restored_database_is_told_as_it_is(
    database_url: str, database: str, copy: Copy, limits: Limits
) -> None:
    """After the backup there were as many renames and entries as after the restore, under the same numbers, while the gateway
    ran on: it tells the names and entries that are there."""
    backup = f"{database}_backup"
    async with open_graph(database_url, limits) as graph:
        await graph.found()
        await graph.post(entry("before"))
        await compare(graph)
        await copy(database, backup)
        await answered(lambda: graph.data(NAME, {"n": "After the backup"}))
        await post(graph, "lost", "3")
        assert (await compare(graph))[0]["account"] == {"name": "After the backup", "functionalBalance": "13.00"}
        await copy(backup, database)
        assert (await compare(graph))[0]["account"] == {"name": "Bank", "functionalBalance": "10.00"}
        await answered(lambda: graph.data(NAME, {"n": "After the restore"}))
        await post(graph, "other", "4")
        found = await compare(graph)
        assert found[0]["account"] == {"name": "After the restore", "functionalBalance": "14.00"}
        assert [node["idempotencyKey"] for node in found[1]["entries"]["nodes"]] == ["before", "other"]


async def test_the_number_of_names_is_later_than_any_before_it(database_url: str, owner_url: str) -> None:
    """Each change is numbered by the clock, and more than one within a microsecond by one more."""
    owner = await asyncpg.connect(owner_url)
    asked = "SELECT names_version, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM ledger.ledger"
    try:
        async with open_graph(database_url) as graph:
            await graph.found()
            before, _ = await owner.fetchrow(asked)
            await graph.data(NAME, {"n": "New"})
            after, now = await owner.fetchrow(asked)
            assert before < after <= now
            ahead = now + 10**12
            await owner.execute("UPDATE ledger.ledger SET names_version = $1", ahead)
            await graph.data(NAME, {"n": "Newer"})
            assert (await owner.fetchrow(asked))[0] == ahead + 1
    finally:
        await owner.close()
