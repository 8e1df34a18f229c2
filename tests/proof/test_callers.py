"""No cache answers across callers: whoever asked before, each gets what an engine that keeps nothing gives to it."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from gateway.authentication import SCOPES
from gateway.engine import Engine
from gateway.requests import GraphQLRequest, RequestRefused
from sources.caller import Caller
from tests.graph import SCHEMA, Graph, caller, entry
from tests.world import IBAN, IDS, LIMITS, open_world

ENTRY = (
    "id sequence ledger { name lockedThrough } reversedBy { id } lines { id account { name parent { code } } debit }"
)
DOCUMENTS = (
    "{ ledgers { code name lastSequence lockedThrough } }",
    '{ ledger(code: "us") { id name postingCursor } other: ledger(code: "eu") { name } }',
    '{ account(ledger: "us", code: "1000") { name functionalBalance balances { net } ledger { name } } }',
    '{ account(ledger: "eu", code: "1000") { name functionalBalance } }',
    '{ accounts(ledger: "us") { totalCount nodes { code name parent { name } functionalBalance } } }',
    f'{{ entry(ledger: "us", sequence: 1) {{ {ENTRY} }} }}',
    f'{{ entries(ledger: "us") {{ totalCount edges {{ cursor node {{ {ENTRY} }} }} }} }}',
    '{ entries(ledger: "us", first: 2) { nodes { id documents { id source { name status ledger { code } } } } } }',
    '{ entries(ledger: "eu") { nodes { id description } } }',
    '{ journalLines(ledger: "us") { nodes { id entry { description } account { name } } } }',
    '{ trialBalance(ledger: "us") { sequence rows { account { name } closing } totalDebit } }',
    '{ trialBalance(ledger: "eu") { totalCredit } }',
    "query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename ... on Ledger { name } ... on JournalEntry { description } } }",
    '{ node(id: "entry:us:1") { ... on JournalEntry { lines { account { name } } } } }',
    '{ node(id: "invoice:us:stripe:in_2") { id ... on Invoice { total source { ledger { name } } } } }',
    '{ invoices(filter: {sources: ["stripe"]}) { totalCount nodes { id total entries { id lines { debit } } } freshness { source } } }',
    "{ invoices { totalCount freshness { source stale error } } }",
    '{ payrollRuns(sources: ["payroll"], first: 1) { nodes { id net payslips { employeeName net } } } }',
    '{ payrollRuns(sources: ["payroll"]) { nodes { id gross source { status lastError } } } }',
    "{ bankAccounts { nodes { id name ledger { name } source { name ledger { name } } transactions { nodes { id amount } } } } }",
    "{ cashPositions { nodes { booked bankAccount { id } warnings } freshness { source asOf } } }",
    "{ sources { name status lastError ledger { code } } }",
)
IDENTIFIERS = [each for each in IDS if ":dead:" not in each]
WITHOUT = ("ledger:read", "payroll:personal", "cash:read", "sources:read")
CALLERS = [
    caller(),
    *[caller(ledgers=claimed) for claimed in (["us"], ["eu", "no"], ["us", "eu"], [])],
    *[caller(*(SCOPES - {scope})) for scope in WITHOUT],
    caller("ledger:read", ledgers=["us"]),
    replace(caller(), scopes=frozenset()),
]
STREAM = """subscription { postings(ledger: "us", after: "0") { cursor entry { id ledger { name }
  documents { id source { name ledger { name } } } lines { account { name } } } } }"""


@pytest.fixture
async def graph(database_url: str, owner_url: str) -> AsyncIterator[Graph]:
    async with open_world(database_url, owner_url) as opened:
        yield opened


async def answer(engine: Engine, text: str, by: Caller) -> tuple[int, Any]:
    """Status of a refusal with its errors by path, or 200 and the body."""
    variables = {"ids": IDENTIFIERS} if "$ids" in text else {}
    try:
        operation = engine.prepare(GraphQLRequest(text, None, variables, "test"), by)
    except RequestRefused as refused:
        return refused.http_status, sorted(refused.errors, key=str)
    return 200, json.loads(await engine.run(operation))


async def forgetful(graph: Graph, text: str) -> list[tuple[int, Any]]:
    """What each caller gets of an engine that keeps nothing, and that nobody asked before."""
    nothing = replace(LIMITS, answer_cache_bytes=0, fragment_cache_bytes=0)
    return [await answer(Engine(SCHEMA, graph.services, graph.feed, nothing), text, by) for by in CALLERS]


async def test_every_pair_of_callers_gets_its_own_answers(graph: Graph) -> None:
    """One engine, one document after another: for each pair one caller asks, which makes the engine keep what it can from the
    document's second run on, and then the other one."""
    for text in DOCUMENTS:
        expected = list(zip(CALLERS, await forgetful(graph, text), strict=True))
        assert len({json.dumps(each) for _, each in expected}) > 1, text
        for (warming, its), (asking, other) in itertools.permutations(expected, 2):
            found = [await answer(graph.engine, text, by) for by in (warming, asking)]
            assert found == [its, other], (text, warming, asking)


async def test_callers_who_ask_at_the_same_moment_get_their_own_answers(graph: Graph) -> None:
    """All at once, each twice: what is read once for those who are alike goes to nobody else."""
    for text in DOCUMENTS:
        expected = await forgetful(graph, text)
        for _ in range(2):
            found = await asyncio.gather(*[answer(graph.engine, text, by) for by in (*CALLERS, *reversed(CALLERS))])
            assert found == [*expected, *reversed(expected)], text


async def test_what_is_expected_is_what_the_reference_gives(graph: Graph) -> None:
    """So that the engines do not agree on something wrong."""
    for text in DOCUMENTS:
        for by, (status, body) in zip(CALLERS, await forgetful(graph, text), strict=True):
            if status == 200:
                variables = {"ids": IDENTIFIERS} if "$ids" in text else {}
                assert body["data"] == (await graph.reference.run(text, by, variables))["data"], (text, by)


async def test_those_who_share_a_stream_see_what_each_may(graph: Graph) -> None:
    """Callers of all ledgers and of one share a group: none sees the name of a ledger that another one claims."""
    narrow, wide = caller(ledgers=["us"]), caller()
    for first, second in ((wide, narrow), (narrow, wide)):
        async with aclosing(graph.stream(STREAM, by=first)) as one, aclosing(graph.stream(STREAM, by=second)) as other:
            seen = [[json.loads(await anext(stream)) for _ in range(5)] for stream in (one, other)]
        assert seen[0] == seen[1]
        (_, document, *_) = seen[0][0]["data"]["postings"]["entry"]["documents"]
        assert '"EU"' not in json.dumps(seen), document
    for by in (caller(ledgers=["eu"]), caller(ledgers=[])):
        with pytest.raises(Exception, match="there is no ledger 'us' that your token can see"):
            await first_event(graph, by)
    for scope in ("ledger:read", "cash:read", "invoices:read", "payroll:read"):
        with pytest.raises(RequestRefused):
            await first_event(graph, caller(*(SCOPES - {scope})))


async def first_event(graph: Graph, by: Caller) -> Any:
    async with aclosing(graph.stream(STREAM, by=by)) as stream:
        found = json.loads(await anext(stream))
        assert "errors" not in found, found["errors"][0]["message"]
        return found


async def test_a_token_that_comes_back_with_less_gets_less(graph: Graph) -> None:
    """Of the same subject: its next request and its next stream, from its own cursor, know nothing of its earlier claims."""
    before, after = caller(ledgers=["us", "eu"]), caller(ledgers=["eu"])
    text = '{ entries(ledger: "us") { nodes { description } } ledgers { code } }'
    for _ in range(3):
        assert (await answer(graph.engine, text, before))[1]["data"]["entries"]["nodes"]
    status, body = await answer(graph.engine, text, after)
    assert (status, body["data"]) == (200, {"entries": None, "ledgers": [{"code": "eu"}]})
    stream = 'subscription ($after: String) { postings(ledger: "us", after: $after) { cursor } }'
    async with aclosing(graph.stream(stream, {"after": "0"}, before)) as mine:
        cursor = json.loads(await anext(mine))["data"]["postings"]["cursor"]
        async with aclosing(graph.stream(stream, {"after": cursor}, after)) as again:
            refused = json.loads(await anext(again))
            assert [error["extensions"]["code"] for error in refused["errors"]] == ["NOT_FOUND"]
        await graph.post(entry("meanwhile"))
        assert "data" in json.loads(await anext(mine))
    assert f"bank-account:eu:bank:{IBAN}" in IDS
