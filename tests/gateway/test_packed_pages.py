"""Large pages come from the database packed by column: they say what small ones say, value for value and cursor for cursor."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from sources.packing import LEAST, Columns, columns_of
from tests.graph import Graph, entry, open_graph
from tests.world import LIMITS

EVERY = replace(LIMITS, answer_cache_bytes=0, fragment_cache_bytes=0)
ODD = [
    '"',
    "\\",
    "\n\t",
    '", "',
    "],[",
    "null",
    "{}",
    "\ufeff\uffff",
    "\U0001f468\u200d\U0001f469",
    "\u2028",
    "a\u0301",
    "plain",
]
ENTRY = """id sequence effectiveDate documentDate postedAt postedBy journal description reference idempotencyKey source total hash
  reverses { sequence } reversedBy { sequence } ledger { code } documents { __typename }
  lines { lineNumber debit description dimensions { name value } account { code } }"""
LINE = """id lineNumber debit credit currency functionalDebit functionalCredit description taxCode dimensions { name value }
  account { code name } entry { sequence description }"""
ACCOUNT = "id code name type normalSide currency active parent { code } ledger { code }"
PAGES = {
    "entries by sequence": ("entries", "orderBy: SEQUENCE_DESC", ENTRY),
    "entries by date": ("entries", "orderBy: EFFECTIVE_DATE_ASC", ENTRY),
    "entries of a journal": ("entries", 'filter: {journals: ["null", "plain"]}', ENTRY),
    "entries of accounts by date": (
        "entries", 'orderBy: EFFECTIVE_DATE_DESC, filter: {accountCodes: ["1000", "4000"]}', ENTRY,
    ),
    "lines": ("journalLines", "", LINE),
    "lines of accounts": ("journalLines", 'filter: {accountCodes: ["4000"]}', LINE),
    "accounts": ("accounts", "", ACCOUNT),
    "nothing": ("entries", 'filter: {journals: ["none"]}', ENTRY),
}  # fmt: skip


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url, EVERY) as opened:
        await opened.found()
        drafts = []
        for number, text in enumerate(ODD):
            lines = [
                {"account": "1000", "debit": f"{number}.50", "description": text, "dimensions": [{"name": "team", "value": text}]},
                {"account": "4000", "credit": f"{number}.50", "taxCode": None if number % 2 else text},
            ]  # fmt: skip
            given = {"journal": text, "reference": None if number % 3 else text} if number else {}
            drafts.append(entry(f"k{number}{text}", lines=lines, description=text, **given))
        drafts[0]["lines"][0]["debit"] = drafts[0]["lines"][1]["credit"] = "92233720368547758.07"
        await opened.post(*drafts)
        yield opened


def page(name: str, paging: str) -> str:
    field, arguments, fields = PAGES[name]
    return f"""{{ {field}(ledger: "us", {arguments} {paging}) {{ totalCount
      pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} edges {{ cursor node {{ {fields} }} }} }} }}"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("which", ["first", "last"])
async def test_a_packed_page_says_what_rows_say(graph: Graph, name: str, which: str) -> None:
    """Every field, nulls and odd texts, in every order, from either end."""
    small, large = [await graph.data(page(name, f"{which}: {size}")) for size in (LEAST - 1, LEAST)]
    assert large == small
    (connection,) = small.values()
    assert bool(connection["edges"]) is (name != "nothing")


async def test_a_packed_page_goes_on_where_another_ended(graph: Graph) -> None:
    """A cursor of an unpacked page opens a packed one, and the other way round."""
    query = """query ($n: Int, $after: String, $last: Int, $before: String) {
      entries(ledger: "us", orderBy: EFFECTIVE_DATE_ASC, first: $n, after: $after, last: $last, before: $before) {
        pageInfo { startCursor endCursor } nodes { sequence } } }"""
    whole = (await graph.data(query, {"n": LEAST}))["entries"]["nodes"]
    head = (await graph.data(query, {"n": 5}))["entries"]
    rest = (await graph.data(query, {"n": LEAST, "after": head["pageInfo"]["endCursor"]}))["entries"]
    assert [*head["nodes"], *rest["nodes"]] == whole
    before = (await graph.data(query, {"last": LEAST, "before": rest["pageInfo"]["startCursor"]}))["entries"]
    assert before["nodes"] == head["nodes"]
    assert (await graph.data(query, {"last": 5, "before": rest["pageInfo"]["startCursor"]}))["entries"] == before


def test_columns_are_the_rows_that_they_hold() -> None:
    """Length, items, slices, either direction; and back again."""
    rows: list[tuple[Any, ...]] = [(1, "a", None), (2, "b", True), (3, None, False)]
    held = Columns([[1, 2, 3], ["a", "b", None], [None, True, False]])
    assert (len(held), list(held), held[0], held[-1]) == (3, rows, rows[0], rows[-1])
    assert (list(held[:2]), list(held[::-1]), list(held[3:])) == (rows[:2], rows[::-1], [])
    assert not held[3:]
    assert list(map(tuple, columns_of(rows))) == list(map(tuple, columns_of(held)))
    assert list(columns_of([])) == []
