"""More postings than the ledger store takes: what clients are told, and that they can act on it."""

from __future__ import annotations

import asyncio

import asyncpg

from gateway.limits import Limits
from tests.graph import entry, open_graph

BLOCKED = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))"
POST = """mutation ($input: PostEntryInput!) {
  postEntry(input: $input) { ... on EntryPosted { entry { sequence } } } }"""


async def test_a_full_queue_is_overloaded_with_a_hint_and_the_same_posting_succeeds_later(database_url, owner_url):
    """One entry is held up in the database, and the queue has room for no other."""
    async with open_graph(database_url, Limits(posting_queue=1)) as graph:
        await graph.found()
        owner = await asyncpg.connect(owner_url)
        async with owner.transaction():
            await owner.execute("SELECT FROM ledger.head FOR UPDATE")
            first = asyncio.create_task(graph.run(POST, {"input": entry("first")}))
            while not await owner.fetchval(BLOCKED):
                await asyncio.sleep(0.01)
            refused = await graph.run(POST, {"input": entry("second")})
        await owner.close()
        assert refused["data"] == {"postEntry": None}
        assert [error["extensions"]["code"] for error in refused["errors"]] == ["OVERLOADED"]
        assert "nothing was posted: try again in a second" in refused["errors"][0]["message"]
        assert (await first)["data"]["postEntry"]["entry"]["sequence"] == 1
        again = await graph.run(POST, {"input": entry("second")})
        assert again["data"]["postEntry"]["entry"]["sequence"] == 2
