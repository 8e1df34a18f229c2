"""Requests that are read together, and pages that are known without being read, answer as if each were read alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.limits import Limits
from sources.database.pool import Reading
from sources.ledger.queries import ENTRY_ORDERS
from sources.reading import encode_cursor
from tests.graph import Graph, caller, entry, open_graph

BALANCE = """query ($code: String!, $asOf: Date) { account(ledger: "us", code: $code) {
    code functionalBalance(asOf: $asOf) balances { debit } } }"""
PAGE = """query ($order: EntryOrder!, $first: Int, $after: String, $last: Int, $before: String) {
    entries(ledger: "us", orderBy: $order, first: $first, after: $after, last: $last, before: $before) {
        totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        nodes { id sequence description lines { account { name } debit } } } }"""
UNKEPT = Limits(answer_cache_bytes=0)
ENTRIES = 7


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url, UNKEPT) as opened:
        await opened.found()
        await opened.post(*[entry(f"k{number}") for number in range(ENTRIES)])
        yield opened


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that were read since."""
    statements: list[str] = []
    original = Reading.fetch

    async def note(self: Reading, sql: str, *args: Any) -> Any:
        statements.append(sql)
        return await original(self, sql, *args)

    monkeypatch.setattr(Reading, "fetch", note)
    return statements


async def asked(graph: Graph, variables: dict[str, Any], query: str = BALANCE) -> Any:
    return (await graph.run(query, variables))["data"]


async def expected(graph: Graph, variables: dict[str, Any], query: str = BALANCE) -> Any:
    return (await graph.reference.run(query, graph.anyone, variables))["data"]


async def test_accounts_that_are_asked_for_at_once_take_the_statements_of_one(graph: Graph, fetched: list[str]) -> None:
    codes = ["1000", "4000", "9999", "1000", "1100"]
    await graph.data(BALANCE, {"code": "1000"})
    fetched.clear()
    await graph.data(BALANCE, {"code": "1000"})
    alone = len(fetched)
    fetched.clear()
    found = await asyncio.gather(*(asked(graph, {"code": code}) for code in codes))
    assert len(fetched) == alone
    assert found == [await expected(graph, {"code": code}) for code in codes]
    assert found[2] == {"account": None}


async def test_other_arguments_are_read_apart(graph: Graph) -> None:
    days = ["2026-01-01", "2026-12-31", "2026-01-01"]
    found = await asyncio.gather(*(asked(graph, {"code": "1000", "asOf": day}) for day in days))
    assert [each["account"]["functionalBalance"] for each in found] == ["0.00", "70.00", "0.00"]


async def test_an_error_is_of_the_one_who_asked_for_it(graph: Graph) -> None:
    """Who is read together with a request that fails is answered, and each error tells its own request's id."""
    requests = [
        graph.engine.run(graph.prepare(BALANCE, {"code": code}, request_id=f"r{number}"))
        for number, code in enumerate(["1000", "1\0", "4000", "1\0"])
    ]
    found = [orjson.loads(body) for body in await asyncio.gather(*requests)]
    assert [each["data"] for each in found if "errors" not in each] == [
        await expected(graph, {"code": "1000"}),
        await expected(graph, {"code": "4000"}),
    ]
    failed = [each["errors"][0]["extensions"] for each in found if "errors" in each]
    assert [error["code"] for error in failed] == ["INVALID_ARGUMENT"] * 2
    assert [error["requestId"] for error in failed] == ["r1", "r3"]


@pytest.mark.parametrize(
    ("query", "right"),
    [
        ('query ($by: String = "1000") { account(ledger: "us", code: $by) { code } }', "4000"),
        ('query ($by: BigInt = 1) { entry(ledger: "us", sequence: $by) { sequence } }', 2),
    ],
)
async def test_arguments_that_do_not_coerce_are_told_to_whoever_gave_them(graph: Graph, query: str, right: Any) -> None:
    """Not as an object that is not there, also where others ask for theirs at the same moment."""
    wrong = await graph.run(query, {"by": None})
    assert wrong["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"
    for sent in ([right, None, right], [None, right, None]):
        found = await asyncio.gather(*(graph.run(query, {"by": each}) for each in sent))
        assert [each if "errors" in each else None for each in found] == [None if each else wrong for each in sent]


async def test_callers_are_read_apart(graph: Graph) -> None:
    """The same document for callers with other ledgers at the same moment."""
    callers = [graph.anyone, caller("ledger:read", ledgers=["eu"]), caller("ledger:read", ledgers=["us"])]
    found = await asyncio.gather(*(graph.run(BALANCE, {"code": "1000"}, by=by) for by in callers * 3))
    assert [each["data"]["account"] is not None for each in found] == [True, False, True] * 3


async def test_aliases_of_one_field_have_their_own_arguments(graph: Graph) -> None:
    query = """{ a: account(ledger: "us", code: "1000") { code } b: account(ledger: "us", code: "4000") { code }
        __typename e: entry(ledger: "us", sequence: 2) { sequence } none: entry(ledger: "us", sequence: 99) { sequence } }"""
    for _ in range(3):
        found = await asyncio.gather(*(asked(graph, {}, query) for _ in range(3)))
        assert found == [await expected(graph, {}, query)] * 3


async def test_a_page_of_kept_texts_is_not_read_at_all(graph: Graph, fetched: list[str]) -> None:
    """From the third time on it takes the ledger's version; a new entry alone is read."""
    variables = {"order": "SEQUENCE_DESC", "first": 5}
    for _ in range(3):
        await graph.data(PAGE, variables)
    fetched.clear()
    await graph.data(PAGE, variables)
    (statement,) = fetched
    assert "last_sequence" in statement
    await graph.post(entry("new"))
    assert (await graph.data(PAGE, variables))["entries"]["nodes"][0]["description"] == "Sale new"


_numbers = st.none() | st.integers(0, ENTRIES + 2)


@given(
    pages=st.lists(
        st.tuples(
            st.sampled_from(["SEQUENCE_ASC", "SEQUENCE_DESC"]),
            st.booleans(),
            _numbers,
            st.none() | st.integers(-1, ENTRIES + 3),
            st.none() | st.integers(-1, ENTRIES + 3),
        ),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
async def test_every_page_is_what_is_read(graph: Graph, pages: list[tuple[str, bool, int | None, Any, Any]]) -> None:
    """Both orders, forwards and backwards, between any two cursors, those of no entry too."""
    for order, backward, size, after, before in pages:
        variables = {
            "order": order,
            "last" if backward else "first": size,
            "after": None if after is None else encode_cursor(ENTRY_ORDERS[order], [after]),
            "before": None if before is None else encode_cursor(ENTRY_ORDERS[order], [before]),
        }
        answer = orjson.dumps(await expected(graph, variables, PAGE))
        for _ in range(3):
            assert orjson.dumps(await asked(graph, variables, PAGE)) == answer, variables
