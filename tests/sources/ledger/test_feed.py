"""The feed's memory of where ledgers stand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.graph import Graph, entry, open_graph

QUERY = 'subscription ($after: String) { postings(ledger: "us", after: $after) { cursor entry { sequence } } }'


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


async def test_whoever_comes_back_waits_for_no_poll(graph: Graph) -> None:
    """A ledger that nobody waits for is forgotten, also when its subscriber leaves while the feed looks: what was posted
    before the next one came is there for it at once."""
    graph.feed._poll = 3600
    cursor = "0"
    async with asyncio.timeout(20):
        for number in range(20):
            await graph.post(*[entry(f"{number}-{n}") for n in range(3)])
            stream = graph.stream(QUERY, {"after": cursor})
            events = [json.loads(await anext(stream))["data"]["postings"] for _ in range(3)]
            await stream.aclose()
            assert [event["entry"]["sequence"] for event in events] == [3 * number + n for n in (1, 2, 3)]
            cursor = events[-1]["cursor"]
