"""The stream of postings: no gaps, in order, exactly once, from any cursor."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import pytest

from gateway import streaming
from gateway.requests import RequestRefused
from sources.ledger.model import EntryDraft, LineDraft
from tests.graph import Graph, Queue, caller, entry, events, open_graph

QUERY = 'subscription ($after: String, $filter: PostingFilter) { postings(ledger: "us", after: $after, filter: $filter) { cursor entry { sequence total } } }'


@pytest.fixture
async def graph(database_url):
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


async def take(stream: AsyncIterator[bytes], count: int) -> list[dict[str, Any]]:
    """The next events, or fewer and then the error that ended the stream."""
    events = []
    async with asyncio.timeout(20):
        while len(events) < count:
            event = json.loads(await anext(stream))
            events.append(event["data"]["postings"] if "data" in event else event["errors"][0]["extensions"]["code"])
    return events


def sequences(events: list[dict[str, Any]]) -> list[int]:
    return [event["entry"]["sequence"] for event in events]


async def test_the_beginning_the_backlog_and_what_is_live_are_one_stream(graph: Graph, monkeypatch):
    """From "0", entries come in order with no gap where the backlog meets new postings; pages are small on purpose."""
    monkeypatch.setattr(streaming, "BATCH", 3)
    await graph.post(*[entry(f"a{n}") for n in range(10)])
    stream = graph.stream(QUERY, {"after": "0"})
    assert sequences(await take(stream, 10)) == list(range(1, 11))
    posting = asyncio.create_task(graph.post(*[entry(f"b{n}") for n in range(10)]))
    assert sequences(await take(stream, 10)) == list(range(11, 21))
    await posting
    await stream.aclose()


async def test_every_cursor_resumes_just_behind_its_event(graph: Graph):
    """A chain of reconnections, one after each event, sees every posting exactly once."""
    await graph.post(*[entry(f"a{n}") for n in range(6)])
    cursor, seen = "0", []
    for _ in range(6):
        stream = graph.stream(QUERY, {"after": cursor})
        (event,) = await take(stream, 1)
        await stream.aclose()
        seen.append(event["entry"]["sequence"])
        cursor = event["cursor"]
    assert seen == [1, 2, 3, 4, 5, 6]
    data = await graph.data('{ ledger(code: "us") { postingCursor lastSequence } }')
    assert data["ledger"] == {"postingCursor": cursor, "lastSequence": 6}


async def test_without_a_cursor_the_stream_begins_now(graph: Graph):
    """Nothing of the past comes; a posting made after the subscription does."""
    await graph.post(entry("old"))
    stream = graph.stream(QUERY)
    first = asyncio.create_task(take(stream, 1))
    while not graph.engine.streams.subscribers:
        await asyncio.sleep(0)
    await graph.post(entry("new"))
    assert sequences(await first) == [2]


async def test_filters_choose_events(graph: Graph):
    """A filtered stream passes over the others and goes on."""
    await graph.post(entry("a", "5.00"), entry("b", "50.00"), entry("c", "6.00"))
    stream = graph.stream(QUERY, {"after": "0", "filter": {"minTotal": "10"}})
    assert sequences(await take(stream, 1)) == [2]
    await graph.post(entry("d", "1.00"), entry("e", "70.00"))
    assert sequences(await take(stream, 1)) == [5]


@pytest.mark.parametrize(("cursor", "code"), [
    ("nonsense", "INVALID_CURSOR"), ("-1", "INVALID_CURSOR"), ("1", "INVALID_CURSOR"), ("1.ZZZZZZZZ", "INVALID_CURSOR"),
    ("1.00000000", "HISTORY_LOST"), ("99.00000000", "HISTORY_LOST"), ("9" * 18 + ".00000000", "HISTORY_LOST"),
])  # fmt: skip
async def test_a_cursor_of_no_history_is_a_typed_error(graph: Graph, cursor: str, code: str):
    """Malformed cursors, and those of the future, of another ledger or of lost history, never start a stream."""
    await graph.post(entry("a"))
    assert await take(graph.stream(QUERY, {"after": cursor}), 1) == [code]


async def test_another_ledgers_cursor_is_refused(graph: Graph):
    """The same sequence of another ledger is another history."""
    await graph.found("eu", "EUR")
    await graph.post(entry("a"), entry("a", ledger="eu"))
    foreign = (await graph.data('{ ledger(code: "eu") { postingCursor } }'))["ledger"]["postingCursor"]
    assert await take(graph.stream(QUERY, {"after": foreign}), 1) == ["HISTORY_LOST"]


async def test_a_ledger_outside_the_claim_cannot_be_watched(graph: Graph):
    """The stream of a ledger that the caller may not see does not exist; nor without the scope."""
    assert await take(graph.stream(QUERY, by=caller(ledgers=["eu"])), 1) == ["NOT_FOUND"]
    with pytest.raises(RequestRefused) as refused:
        graph.stream(QUERY, by=caller("ledger:post"))
    assert refused.value.http_status == 403


async def test_a_history_that_vanishes_under_a_stream_is_an_error(graph: Graph, owner_url: str):
    """A database restored to an earlier state ends the stream with HISTORY_LOST, not with silence."""
    await graph.post(*[entry(f"a{n}") for n in range(3)])
    stream = graph.stream(QUERY, {"after": "0"})
    await take(stream, 3)
    owner = await asyncpg.connect(owner_url)
    await owner.execute("ALTER TABLE ledger.head DISABLE TRIGGER USER; UPDATE ledger.head SET last_sequence = 1")
    await owner.close()
    assert await take(stream, 1) == ["HISTORY_LOST"]


async def test_a_reader_that_is_slow_reads_history_and_misses_nothing(graph: Graph, monkeypatch):
    """More events than may wait for one subscriber: it stands aside while others go on, and comes back, in order."""
    monkeypatch.setattr(streaming, "BATCH", 4)
    operation = graph.prepare(QUERY, {"after": "0"})
    slow, quick = events(graph.engine, operation, Queue(size=3)), graph.stream(QUERY, {"after": "0"})
    await graph.post(entry("first"))
    assert sequences(await take(slow, 1)) == [1]
    reading = asyncio.create_task(take(quick, 41))
    await graph.post(*[entry(f"a{n}") for n in range(40)])
    assert sequences(await reading) == list(range(1, 42))
    assert sequences(await take(slow, 40)) == list(range(2, 42))
    await graph.post(entry("last"))
    assert sequences(await take(slow, 1) + await take(quick, 1)) == [42, 42]
    await slow.aclose()
    await quick.aclose()


async def test_streams_do_not_wait_for_readers(graph: Graph):
    """While every connection for reading is held, a subscription begins and events come."""
    async with contextlib.AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(graph.services.database.snapshot(None))
        stream = graph.stream(QUERY, {"after": "0"})
        lines = (LineDraft(account="1000", debit="1.00"), LineDraft(account="4000", credit="1.00"))
        draft = EntryDraft(
            ledger=(await graph.services.directory.resolve(["us"]))["us"],
            idempotency_key="a",
            effective_date=date(2026, 3, 15),
            description="Sale",
            lines=lines,
            posted_by="tester",
        )
        await graph.services.poster.post([draft])
        assert sequences(await take(stream, 1)) == [1]
        await stream.aclose()


async def test_many_selections_and_filters_are_read_together(graph: Graph):
    """Each has its own fields and its own events, although what several want is read once."""
    selections = ["sequence", "sequence total", "sequence description total", "sequence lines { debit }"]
    filters = [None, {"minTotal": "10"}, {"accountCodes": ["1000"]}, {"accountCodes": ["5000"]}]
    query = 'subscription ($filter: PostingFilter) {{ postings(ledger: "us", filter: $filter) {{ entry {{ {} }} }} }}'
    streams = [
        (selection, number, graph.stream(query.format(selection), {"filter": filters[number]}))
        for selection in selections
        for number in range(4)
    ]
    waiting = [asyncio.create_task(anext(stream)) for _, _, stream in streams]
    while graph.engine.streams.subscribers < len(streams):
        await asyncio.sleep(0)
    assert graph.engine.streams.groups == len(streams)
    rent = [{"account": "5000", "debit": "20.00"}, {"account": "2000", "credit": "20.00"}]
    await graph.post(entry("a", "5.00"), entry("b", "30.00"), entry("c", lines=rent))
    due = [[1, 2, 3], [2, 3], [1, 2], [3]]
    for (selection, number, stream), first in zip(streams, waiting, strict=True):
        async with asyncio.timeout(20):
            bodies = [await first, *[await anext(stream) for _ in due[number][1:]]]
        found = [json.loads(body)["data"]["postings"]["entry"] for body in bodies]
        assert [item["sequence"] for item in found] == due[number]
        assert all(list(item) == selection.replace(" { debit }", "").split() for item in found)
        await stream.aclose()


async def test_subscribers_of_one_selection_share_one_group(graph: Graph):
    """The same selection is read and shaped once for all; another selection has its own."""
    streams = [graph.stream(QUERY) for _ in range(5)]
    streams += [graph.stream('subscription { postings(ledger: "us") { entry { description } } }')]
    waiting = [asyncio.create_task(anext(stream)) for stream in streams]
    while graph.engine.streams.subscribers < 6:
        await asyncio.sleep(0)
    assert graph.engine.streams.groups == 2
    await graph.post(entry("a"))
    bodies = await asyncio.gather(*waiting)
    assert len({id(body) for body in bodies}) == 2
    for stream in streams:
        await stream.aclose()
    assert graph.engine.streams.subscribers == graph.engine.streams.groups == 0


async def test_a_lost_listen_connection_loses_no_event(graph: Graph, owner_url: str):
    """While every connection of the server is cut, postings of another process still arrive, once."""
    stream = graph.stream(QUERY, {"after": "0"})
    await graph.post(entry("a"))
    await take(stream, 1)
    owner = await asyncpg.connect(owner_url)
    await owner.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
        " AND query LIKE 'LISTEN%'"
    )
    await owner.close()
    await graph.post(entry("b"))
    assert sequences(await take(stream, 1)) == [2]
    await stream.aclose()


async def test_two_processes_feeds_see_each_others_postings(graph: Graph, database_url: str):
    """A gateway whose own poster did nothing learns of postings by NOTIFY, or within a second."""
    async with open_graph(database_url) as other:
        stream = other.stream(QUERY, {"after": "0"})
        await graph.post(*[entry(f"a{n}") for n in range(5)])
        assert sequences(await take(stream, 5)) == [1, 2, 3, 4, 5]
        await graph.post(entry("b"))
        assert sequences(await take(stream, 1)) == [6]
        await stream.aclose()


async def test_a_subscription_cannot_be_switched_off(graph: Graph):
    """@skip and @include at a subscription's root do not validate: there would be nothing to stream."""
    with pytest.raises(RequestRefused) as refused:
        graph.stream(
            'subscription ($on: Boolean!) { postings(ledger: "us") @include(if: $on) { cursor } }', {"on": False}
        )
    assert refused.value.errors[0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
