"""What one field's failure costs: itself, never an event, never more than a typed error elsewhere."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from sources.database.pool import Database
from sources.errors import DatabaseUnavailable
from tests.graph import Graph, entry, events, open_graph

STREAM = (
    'subscription ($after: String) { postings(ledger: "us", after: $after) { cursor entry { sequence lines { id } } } }'
)


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


async def test_an_event_that_cannot_be_read_ends_its_stream_and_is_not_passed_over(
    graph: Graph, owner_url: str
) -> None:
    """A null in the place of an event would be a gap: the error comes alone, and the last cursor gives the event later."""
    owner = await asyncpg.connect(owner_url)
    stream = graph.stream(STREAM, {"after": "0"})
    async with asyncio.timeout(20):
        await graph.post(entry("a"))
        cursor = json.loads(await anext(stream))["data"]["postings"]["cursor"]
        await owner.execute("REVOKE SELECT ON ledger.line FROM ledgergraph_app")
        await graph.post(entry("b"))
        last = json.loads(await anext(stream))
        assert "data" not in last
        assert [error["extensions"]["code"] for error in last["errors"]] == ["INTERNAL"]
        with pytest.raises(StopAsyncIteration):
            await anext(stream)
        await owner.execute("GRANT SELECT ON ledger.line TO ledgergraph_app")
        again = graph.stream(STREAM, {"after": cursor})
        assert json.loads(await anext(again))["data"]["postings"]["entry"]["sequence"] == 2
        await again.aclose()
    await owner.close()


async def test_errors_of_an_event_carry_each_subscribers_own_request_id(graph: Graph, owner_url: str) -> None:
    """An event is shaped once for all, and still everybody is told of its faults under their own request; a field that fails
    for some leaves the events of others whole."""
    query = 'subscription { postings(ledger: "us", after: "0") { entry { sequence documents { id } } } }'
    faulty = [events(graph.engine, graph.prepare(query, request_id=name)) for name in ("ann-1", "bob-1")]
    sound = [graph.stream(STREAM, {"after": "0"}), graph.stream(STREAM.replace("lines", "reversedBy"), {"after": "0"})]
    owner = await asyncpg.connect(owner_url)
    await owner.execute("REVOKE SELECT ON ALL TABLES IN SCHEMA mirror FROM ledgergraph_app")
    await owner.close()
    await graph.post(entry("a"), entry("b"))
    async with asyncio.timeout(20):
        for name, stream in zip(("ann-1", "bob-1"), faulty, strict=True):
            for sequence in (1, 2):
                answer = json.loads(await anext(stream))
                assert answer["data"]["postings"]["entry"] == {"sequence": sequence, "documents": None}
                assert [error["extensions"] for error in answer["errors"]] == [{"code": "INTERNAL", "requestId": name}]
                assert name in answer["errors"][0]["message"]
        for stream in sound:
            assert [json.loads(await anext(stream))["data"]["postings"]["entry"]["sequence"] for _ in range(2)] == [
                1,
                2,
            ]
    for stream in [*faulty, *sound]:
        await stream.aclose()


async def test_a_statement_that_fails_leaves_typed_errors_behind_it(graph: Graph, owner_url: str) -> None:
    """The snapshot is gone with it: the fields read before are answered, those after it say so in a typed error."""
    owner = await asyncpg.connect(owner_url)
    await owner.execute("REVOKE SELECT ON ledger.line FROM ledgergraph_app")
    await owner.close()
    answer = await graph.run(
        '{ a: ledger(code: "us") { code } b: journalLines(ledger: "us") { totalCount } c: ledger(code: "us") { code } }'
    )
    assert answer["data"] == {"a": {"code": "us"}, "b": None, "c": None}
    assert [(error["path"], error["extensions"]["code"]) for error in answer["errors"]] == [
        (["b"], "INTERNAL"),
        (["c"], "OVERLOADED"),
    ]


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00+20:00", "2026-01-01T00:00:00-23:59"])
async def test_any_offset_of_a_timestamp_is_read(graph: Graph, moment: str) -> None:
    """Offsets that ISO 8601 allows and PostgreSQL does not are the same moment in UTC."""
    await graph.post(entry("a"))
    query = 'query ($from: DateTime) { entries(ledger: "us", filter: {postedFrom: $from}) { totalCount } }'
    assert (await graph.data(query, {"from": moment}))["entries"]["totalCount"] == 1


@pytest.mark.parametrize(
    ("kind", "value"), [("postedFrom: DateTime", "0001-01-01T00:00:00+01:00"), ("effectiveFrom: Date", "2026-W01-1")]
)
async def test_a_time_that_is_none_is_refused(graph: Graph, kind: str, value: str) -> None:
    """A moment before the first year, and a week's day where a date is asked for."""
    name, scalar = kind.split(": ")
    query = f'query ($at: {scalar}) {{ entries(ledger: "us", filter: {{{name}: $at}}) {{ totalCount }} }}'
    answer = await graph.run(query, {"at": value})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_host_that_cannot_be_reached_is_an_unavailable_database() -> None:
    """Whatever the system says of a connection (here: a socket's path that is too long) is told as one thing."""
    database = Database(f"postgresql://app@/books?host=/tmp/{'x' * 200}")
    with pytest.raises(DatabaseUnavailable):
        await database.open()
