"""Documents that run as one statement alone: the same answers as in a snapshot, and one as soon as they need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.limits import Limits
from resolvers.context import Context
from tests.graph import Graph, caller, entry, open_graph

LINES = """query ($ledger: String!) { entries(ledger: $ledger, last: 2) {
    nodes { sequence description lines { debit account { code } } } } }"""
NOTHING_KEPT = replace(Limits(), answer_cache_bytes=0, fragment_cache_bytes=0)


@pytest.fixture(params=[Limits(), NOTHING_KEPT], ids=["kept", "read"])
async def graph(request: Any, database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url, request.param) as opened:
        await opened.found()
        await opened.found("eu", "EUR")
        yield opened


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each context that was made since was one for a statement alone."""
    made: list[bool] = []
    original = Context.__init__

    def note(self: Context, *args: Any, alone: bool = False) -> None:
        made.append(alone)
        original(self, *args, alone=alone)

    monkeypatch.setattr(Context, "__init__", note)
    return made


async def same(graph: Graph, query: str, variables: dict[str, Any]) -> Any:
    """The answer, which is the reference's."""
    answer = await graph.data(query, variables)
    assert orjson.dumps(answer) == orjson.dumps((await graph.reference.run(query, graph.anyone, variables))["data"])
    return answer


async def test_more_statements_than_the_last_time(graph: Graph) -> None:
    """A ledger without entries takes one statement, its first entry makes them more, another ledger is still empty: whatever it
    was the last time, the answer is right."""
    for number in range(4):
        for _ in range(3):
            assert (await same(graph, LINES, {"ledger": "eu"}))["entries"]["nodes"] == []
        for _ in range(number % 2 + 1):
            assert len((await same(graph, LINES, {"ledger": "us"}))["entries"]["nodes"]) == min(number, 2)
        await graph.post(entry(f"k{number}"))
        assert len((await same(graph, LINES, {"ledger": "us"}))["entries"]["nodes"]) == min(number + 1, 2)


async def test_one_statement_runs_alone_from_the_second_time_on(database_url: str, runs: list[bool]) -> None:
    """A snapshot first, then one statement alone; when there are two after all, a snapshot in the same request."""
    async with open_graph(database_url, NOTHING_KEPT) as graph:
        await graph.found()
        runs.clear()
        for _ in range(3):
            await graph.data(LINES, {"ledger": "us"})
        assert runs == [False, True, True]
        await graph.post(entry("k"))
        runs.clear()
        assert len((await graph.data(LINES, {"ledger": "us"}))["entries"]["nodes"]) == 1
        assert runs == [True, False]


async def test_answers_are_of_one_moment_while_postings_go_on(graph: Graph) -> None:
    """Entry n is of n units, so that all of an answer follows from its number of entries, however many statements it took and
    whether they were kept. At the end it is what the reference reads."""
    query = """{ entries(ledger: "us", last: 2) { totalCount nodes { sequence lines { debit credit } } }
        ledger(code: "us") { lastSequence } account(ledger: "us", code: "1000") { functionalBalance } }"""
    head = '{ entries(ledger: "us", last: 1) { totalCount nodes { sequence description } } }'
    total = 60
    counts: set[int] = set()

    async def read() -> None:
        count = 0
        while count < total:
            found = await graph.data(query)
            count = found["entries"]["totalCount"]
            counts.add(count)
            assert found["ledger"]["lastSequence"] == count
            assert found["account"]["functionalBalance"] == f"{count * (count + 1) // 2}.00"
            newest = [(node["sequence"], node["lines"][0]["debit"]) for node in found["entries"]["nodes"]]
            assert newest == [(n, f"{n}.00") for n in range(max(1, count - 1), count + 1)]
            found = (await graph.data(head))["entries"]
            newest = [(node["sequence"], node["description"]) for node in found["nodes"]]
            assert newest == ([(found["totalCount"], f"Sale k{found['totalCount']}")] if found["totalCount"] else [])

    async def post() -> None:
        for number in range(1, total + 1):
            await graph.post(entry(f"k{number}", str(number)))
            await asyncio.sleep(0)

    await asyncio.gather(post(), *[read() for _ in range(3)])
    assert len(counts) > 2
    for _ in range(2):
        await same(graph, query, {})
        await same(graph, head, {})


async def test_callers_of_one_document_see_their_own_ledgers(graph: Graph) -> None:
    """The document runs alone for many callers at once over few connections."""
    query = '{ ledgers { code } us: ledger(code: "us") { lastSequence } }'
    callers = [(caller(ledgers=codes), sorted(codes)) for codes in (["us"], ["eu"], ["us", "eu"], [], ["none"])]

    async def read(number: int) -> None:
        by, codes = callers[number % len(callers)]
        for _ in range(5):
            found = (await graph.run(query, by=by))["data"]
            assert [ledger["code"] for ledger in found["ledgers"]] == [code for code in codes if code != "none"]
            assert (found["us"] is not None) == ("us" in codes)

    await asyncio.gather(*[read(number) for number in range(30)])
