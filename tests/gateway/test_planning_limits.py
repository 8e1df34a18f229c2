"""Short documents that stand for very much are refused before they are planned or run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from graphql import get_introspection_query

from tests.graph import Graph, open_graph


@pytest.fixture
async def graph(database_url: str) -> AsyncIterator[Graph]:
    async with open_graph(database_url) as opened:
        await opened.found()
        yield opened


async def test_fragments_that_double_at_every_level_are_refused(graph: Graph) -> None:
    """A chain of fragments, each spread twice, selects 2^14 fields in 2 kB: no plan is made of it."""
    levels = 14
    chain = "".join(
        f"fragment F{n} on JournalEntry {{ reverses {{ ...F{n + 1} }} reversedBy {{ ...F{n + 1} }} }}\n"
        for n in range(levels)
    )
    query = f'{{ entry(ledger: "us", sequence: 1) {{ ...F0 }} }} {chain} fragment F{levels} on JournalEntry {{ id }}'
    answer = await graph.run(query)
    assert answer["refused"] == 400
    assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_introspection_counts_towards_the_cost(graph: Graph) -> None:
    """A tool's introspection runs; a hundred of it in one document, or types of fields of types, do not."""
    whole = get_introspection_query(input_value_deprecation=True)
    assert (await graph.data(whole))["__schema"]["types"]
    many = (
        "{" + " ".join(f"a{n}: __schema {{ ...S }}" for n in range(90)) + "} fragment S on __Schema { types { ...T } }"
    )
    many += "fragment T on __Type { name fields { name args { name type { name ofType { name } } } type { name } } }"
    names = " ".join(f"a{n}: name" for n in range(90))
    nested = f"{{ __schema {{ types {{ fields {{ type {{ fields {{ {names} }} }} }} }} }} }}"
    for query in (many, nested):
        answer = await graph.run(query)
        assert answer["refused"] == 400
        assert answer["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"


async def test_a_null_that_decides_include_is_refused(graph: Graph) -> None:
    """A default lets a nullable variable stand in @include; null is no Boolean! all the same."""
    query = "query ($full: Boolean = true) { ledgers { code name @include(if: $full) } }"
    assert (await graph.data(query))["ledgers"] == [{"code": "us", "name": "US"}]
    assert (await graph.data(query, {"full": False}))["ledgers"] == [{"code": "us"}]
    answer = await graph.run(query, {"full": None})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
