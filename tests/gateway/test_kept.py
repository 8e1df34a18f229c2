"""Kept answers are right to the entry: whatever changes, they change with it, and they cross no caller's limits."""

from __future__ import annotations

import sys
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.kept import OVERHEAD, KeptTexts
from gateway.limits import Limits
from resolvers.context import Context
from sources.ledger import queries
from tests.graph import Graph, caller, entry, open_graph

QUERIES = (
    '{ entries(ledger: "us", last: 3) { totalCount nodes { sequence reversedBy { sequence } lines { account { name active } } } } }',
    '{ account(ledger: "us", code: "1000") { name active parent { name } functionalBalance balances { debit } } }',
    '{ account(ledger: "us", code: "1000") { functionalBalance(asOf: "2026-02-01") } }',
    '{ trialBalance(ledger: "us", to: "2026-03-31") { sequence ledger { name lastSequence } rows { account { name } closing } } }',
    '{ accounts(ledger: "us") { nodes { code name type parent { code } } } }',
    '{ journalLines(ledger: "us", last: 2) { nodes { id entry { ledger { lockedThrough } } } } }',
    '{ entry(ledger: "us", sequence: 2) { id reversedBy { id } } ledger(code: "us") { name lockedThrough postingCursor } }',
)
CHANGES = {
    "post": 'postEntry(input: {ledger: "us", idempotencyKey: "KEY", effectiveDate: "2026-01-15", description: "x", '
    'lines: [{account: "1000", debit: "1"}, {account: "4000", credit: "1"}]})',
    "reverse": 'reverseEntry(input: {ledger: "us", sequence: N, idempotencyKey: "KEY", effectiveDate: "2026-12-31"})',
    "rename account": 'updateAccount(input: {ledger: "us", code: "1000", name: "Bank KEY"})',
    "move account": 'updateAccount(input: {ledger: "us", code: "1000", parent: "1100"})',
    "close account": 'updateAccount(input: {ledger: "us", code: "4000", active: false})',
    "reopen account": 'updateAccount(input: {ledger: "us", code: "4000", active: true})',
    "add account": 'createAccounts(input: {ledger: "us", accounts: [{code: "KEY", name: "New", type: ASSET}]})',
    "rename ledger": 'updateLedger(input: {code: "us", name: "US KEY"})',
    "lock": 'lockPeriods(input: {ledger: "us", through: "2026-01-31"})',
    "reopen": 'lockPeriods(input: {ledger: "us"})',
}


@pytest.fixture(params=[Limits(), Limits(answer_cache_bytes=0)], ids=["answers kept", "entries kept"])
async def graph(request, database_url):
    async with open_graph(database_url, request.param) as opened:
        await opened.found()
        await opened.post(*[entry(f"k{n}") for n in range(3)])
        yield opened


@given(changes=st.lists(st.sampled_from(sorted(CHANGES)), min_size=1, max_size=8))
@settings(
    max_examples=8, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
async def test_after_any_change_the_answer_is_the_present_one(graph: Graph, changes: list[str]):
    """Between postings, reversals, renames, locks and new accounts, every answer is what graphql-core reads now."""
    for change in changes:
        await compare(graph)
        graph.changes = getattr(graph, "changes", 0) + 1  # type: ignore[attr-defined]
        number = graph.changes  # type: ignore[attr-defined]
        text = CHANGES[change].replace("KEY", f"c{number}").replace("N,", f"{1 + number % 5},")
        await graph.data(f"mutation {{ {text} {{ __typename }} }}")
        await compare(graph)


async def compare(graph: Graph) -> None:
    for query in QUERIES:
        expected = orjson.dumps((await graph.reference.run(query, graph.anyone))["data"])
        for _ in range(3):
            assert orjson.dumps(await graph.data(query)) == expected, query


async def test_an_answer_is_kept_from_its_second_run_on(database_url, monkeypatch):
    """The third run of a document reads the ledger's version alone; another process's posting is seen all the same."""
    query = QUERIES[0]
    async with open_graph(database_url) as graph, open_graph(database_url) as other:
        await graph.found()
        await graph.post(entry("first"))
        for _ in range(2):
            await graph.data(query)
        with monkeypatch.context() as patched:
            patched.setattr(queries, "page", unexpected)
            assert (await graph.data(query))["entries"]["totalCount"] == 1
        await other.post(entry("another"))
        assert (await graph.data(query))["entries"]["totalCount"] == 2


async def test_entries_written_before_are_not_read_again(database_url, monkeypatch):
    """While the ledger is posted to, a page reads the lines of its new entries alone, whatever else it selects."""
    query = """{ entries(ledger: "us", last: 5) { nodes { description reversedBy { sequence }
      lines { account { name } debit } ledger { lockedThrough } } } }"""
    asked: list[int] = []
    original = Context.fetch

    async def fetch(self: Context, sql: str, *args: Any) -> Any:
        if "ledger.line " in sql:
            asked.append(len(args[1]))
        return await original(self, sql, *args)

    async with open_graph(database_url, Limits(answer_cache_bytes=0)) as graph:
        await graph.found()
        await graph.post(*[entry(f"k{n}") for n in range(4)])
        await graph.data(query)
        await graph.data(query)
        monkeypatch.setattr(Context, "fetch", fetch)
        assert len((await graph.data(query))["entries"]["nodes"]) == 4
        assert asked == []
        await graph.post(entry("new"))
        page = (await graph.data(query))["entries"]["nodes"]
        assert asked == [1]
        assert [node["description"] for node in page] == ["Sale k0", "Sale k1", "Sale k2", "Sale k3", "Sale new"]
        await graph.data(CHANGES_OF_NAME)
        assert (await graph.data(query))["entries"]["nodes"][0]["lines"][0]["account"]["name"] == "Till"
        assert asked == [1, 5]


CHANGES_OF_NAME = 'mutation { updateAccount(input: {ledger: "us", code: "1000", name: "Till"}) { __typename } }'


async def unexpected(*_: Any) -> Any:
    raise AssertionError("the entries were read again")


async def test_a_kept_answer_is_given_to_nobody_who_may_not_have_it(graph: Graph):
    """Callers without the scope, or with another ledger's claim, get what they got before anything was kept."""
    query = '{ account(ledger: "us", code: "1000") { name } }'
    for _ in range(3):
        assert (await graph.data(query))["account"] == {"name": "Bank"}
    assert (await graph.run(query, by=caller(ledgers=["eu"])))["data"] == {"account": None}
    assert (await graph.run(query, by=caller("invoices:read")))["refused"] == 403
    assert (await graph.data(query, by=caller("ledger:read", ledgers=["us"])))["account"] == {"name": "Bank"}


async def test_arguments_below_and_switches_are_part_of_what_is_kept(graph: Graph):
    """Variables of nested fields and @include variables never share an answer."""
    query = """query ($d: Date, $b: Boolean!) { account(ledger: "us", code: "1000") {
      functionalBalance(asOf: $d) name @include(if: $b) } }"""
    for _ in range(3):
        early = await graph.data(query, {"d": "2026-01-01", "b": False})
        late = await graph.data(query, {"d": "2026-12-31", "b": True})
        assert early["account"] == {"functionalBalance": "0.00"}
        assert late["account"] == {"functionalBalance": "30.00", "name": "Bank"}


async def test_errors_are_never_kept(graph: Graph):
    """A field that failed fails anew each time, with its request's id."""
    query = '{ entries(ledger: "us", after: "x") { totalCount } }'
    for _ in range(3):
        assert (await graph.run(query))["errors"][0]["extensions"]["code"] == "INVALID_CURSOR"


async def test_nothing_is_kept_when_it_is_switched_off(database_url):
    """With both caches at 0 nothing is kept."""
    async with open_graph(database_url, Limits(answer_cache_bytes=0, fragment_cache_bytes=0)) as graph:
        await graph.found()
        for _ in range(3):
            await graph.data(QUERIES[4])
        assert graph.engine.answering.answers.bytes == graph.engine.answering.fragments.bytes == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 400), st.booleans()), max_size=80))
def test_the_cache_stays_within_its_bytes(operations):
    """Whatever is kept or looked up, the bytes are those of what is held, never above the limit, and a text is its key's."""
    answers = KeptTexts(5_000)
    for key, length, all_at_once in operations:
        shelf, item = (key % 3,), key // 3
        answers.keep(shelf, item, f"{key}:" + "x" * length)
        found = answers.get_all(shelf, [item, "other"])[0] if all_at_once else answers.get(shelf, item)
        assert found is None or found.startswith(f"{key}:")
        assert answers.get(("other",), item) is None
        shelves = [*answers._young.values(), *answers._old.values()]
        held = sum(sys.getsizeof(text) + OVERHEAD for each in shelves for text in each.values())
        assert answers.bytes == held <= 5_000


def test_what_is_asked_for_again_and_again_stays():
    """New texts push out those that nobody asks for."""
    texts = KeptTexts(50_000)
    texts.keep((), "wanted", "wanted")
    texts.keep((), "forgotten", "forgotten")
    for number in range(1_000):
        texts.keep((), number, "x" * 100)
        assert texts.get((), "wanted") == "wanted"
    assert texts.get_all((), ["forgotten", "wanted"]) == [None, "wanted"]


def test_a_text_counts_as_what_it_takes():
    """One character beyond Latin-1 makes every character of its text wider."""
    texts = KeptTexts(100_000)
    texts.keep((), "narrow", "x" * 1_000)
    narrow = texts.bytes
    texts.keep((), "wide", "x" * 999 + "\N{BANKNOTE WITH EURO SIGN}")
    assert texts.bytes - narrow > narrow + 2_000


async def test_a_kept_answer_holds_neither_its_document_nor_its_arguments(database_url):
    """Their length is not counted, so that they must not stay: keys are digests."""
    text = 'query ($codes: [String!]) { accounts(ledger: "us", filter: {codes: $codes}) { nodes { code } } }'
    query = f"# {'x' * 10_000}\n{text}"
    async with open_graph(database_url) as graph:
        await graph.found()
        for _ in range(3):
            data = await graph.data(query, {"codes": ["1000", "y" * 10_000]})
            assert data == {"accounts": {"nodes": [{"code": "1000"}]}}
        ((shelf, items),) = graph.engine.answering.answers._young.items()
        assert len(repr((shelf, *items))) < 500
