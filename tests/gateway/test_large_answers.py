"""Short documents over large entries: refused before their text is made, and streamed in smaller pages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from gateway.limits import Limits
from sources.ledger import queries
from tests.graph import Graph, entry, open_graph

STREAM = (
    'subscription { postings(ledger: "us", after: "0") { entry { sequence lines { description account { code } } } } }'
)


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url, Limits(answer_bytes=100_000)) as opened:
        await opened.found()
        yield opened


def large(key: str, lines: int) -> dict[str, object]:
    """An entry of so many lines, some 60 bytes of text each."""
    half = [{"description": "x" * 20}] * (lines // 2)
    debits = [{"account": "1000", "debit": "1.00", **line} for line in half]
    return entry(key, lines=debits + [{"account": "4000", "credit": "1.00", **line} for line in half])


async def test_lines_of_entries_of_lines_cost_their_field_alone(graph: Graph) -> None:
    """Each further level multiplies the text by the number of lines; no more of it is made than an answer may hold."""
    await graph.post(large("a", 200))
    levels = 6
    nested = "lines { entry { " * levels + "id" + " } }" * levels
    answer = await graph.run(f'{{ entry(ledger: "us", sequence: 1) {{ {nested} }} ledger(code: "us") {{ code }} }}')
    assert answer["data"] == {"entry": None, "ledger": {"code": "us"}}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["entry"], "LIMIT_EXCEEDED")
    ]


async def test_a_stream_of_large_entries_comes_in_smaller_pages(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too much at once, in lines or in bytes, is read in parts, and nothing is left out."""
    monkeypatch.setattr(queries, "MAX_LINES", 3_000)
    await graph.post(*[large(str(n), 400) for n in range(20)])
    stream = graph.stream(STREAM)
    async with asyncio.timeout(20):
        events = [json.loads(await anext(stream))["data"]["postings"]["entry"] for _ in range(20)]
    await stream.aclose()
    assert [event["sequence"] for event in events] == list(range(1, 21))
    assert {len(event["lines"]) for event in events} == {400}


async def test_more_lines_than_memory_should_hold_are_refused(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of entries whose lines together are too many says what to ask for instead."""
    monkeypatch.setattr(queries, "MAX_LINES", 7)
    await graph.post(*[large(str(n), 4) for n in range(3)])
    query = 'query ($first: Int) { entries(ledger: "us", first: $first) { nodes { lines { lineNumber } } } }'
    assert len((await graph.data(query, {"first": 1}))["entries"]["nodes"]) == 1
    answer = await graph.run(query, {"first": 3})
    assert answer["data"] == {"entries": None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIMIT_EXCEEDED"]


async def test_what_is_filled_into_kept_texts_counts_too(graph: Graph) -> None:
    """From its second run on, a document's entries are kept texts with holes; what fills them is bounded together."""
    await graph.post(large("a", 200))
    holes = " ".join(f"a{n}: lines {{ entry {{ reversedBy {{ id }} }} description }}" for n in range(20))
    for _ in range(3):
        answer = await graph.run(f'{{ entry(ledger: "us", sequence: 1) {{ id {holes} }} }}')
        assert answer["data"] == {"entry": None}
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIMIT_EXCEEDED"]
