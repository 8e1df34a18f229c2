"""Short documents that stand for very much are refused before they are planned or run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from graphql import get_introspection_query

from gateway import execution
from resolvers import nodes
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


SAME_PLACE = {
    "a root field": "ENTRIES { nodes { id } } " * 100,
    "in inline fragments": "... { ENTRIES { nodes { id sequence } } } " * 90,
    "in a list": "ENTRIES { nodes { " + "id sequence effectiveDate total journal reference description " * 40 + "} }",
    "in fragments of the root": " ".join(f"...F{n}" for n in range(50)),
}


@pytest.mark.parametrize("selections", SAME_PLACE.values(), ids=SAME_PLACE)
async def test_the_same_place_selected_over_and_over_is_refused(graph: Graph, selections: str) -> None:
    """Validation compares each pair of such selections: these took up to half a second."""
    fragments = "".join(f"fragment F{n} on Query {{ ENTRIES {{ nodes {{ id sequence }} }} }}" for n in range(50))
    text = f"{{ {selections} }}" + (fragments if "...F0" in selections else "")
    answer = await graph.run(text.replace("ENTRIES", 'entries(ledger: "us", first: 1)'))
    assert answer["refused"] == 400
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIMIT_EXCEEDED"]
    assert "pairs" in answer["errors"][0]["message"]


async def test_fields_that_components_share_are_selected_by_each(graph: Graph) -> None:
    """A document whose twenty fragments select some fields of the same place runs, and so does one name in many places."""
    spreads = " ".join(f"...F{n}" for n in range(20))
    fragments = " ".join(f"fragment F{n} on Ledger {{ __typename id code name }}" for n in range(20))
    found = await graph.data(f'{{ ledger(code: "us") {{ {spreads} }} }} {fragments}')
    assert found["ledger"]["name"] == "US"
    many = " ".join(f'a{n}: ledger(code: "us") {{ id name }}' for n in range(90))
    assert len(await graph.data(f"{{ {many} }}")) == 90


async def test_fragments_that_spread_themselves_are_left_to_validation(graph: Graph) -> None:
    query = "{ ledgers { ...A } } fragment A on Ledger { id ...B } fragment B on Ledger { name ...A }"
    answer = await graph.run(query)
    assert answer["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
    deep = 'query { entry(ledger: "us", sequence: 1) { ...A } } fragment A on JournalEntry { reverses { ...A } }'
    assert (await graph.run(deep))["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"ids": ["x"] * 262_000}, "100000 values"),
        ({"ids": [["x"] * 1_000] * 150}, "100000 values"),
        ({"ids": ["x"] * 20_001}, "20001 items"),
        ({"ids": [], "other": {"deep": [{"list": [1] * 20_001}]}}, "20001 items"),
        ({f"v{n}": n for n in range(100_001)}, "100000 values"),
    ],
)
async def test_variables_that_hold_very_much_are_refused(graph: Graph, variables: dict[str, object], says: str) -> None:
    """Before each value is looked at: a list of 262,000 texts took half a second."""
    answer = await graph.run("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", variables)
    assert answer["refused"] == 400
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["LIMIT_EXCEEDED"]
    assert says in answer["errors"][0]["message"]


async def test_too_many_ids_are_refused_unread(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is parsed, whatever the ids would need."""
    read: list[str] = []
    monkeypatch.setattr(nodes, "parse_id", read.append)
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    answer = await graph.run(query, {"ids": [f"Entry:us:{n}" for n in range(1_001)]})
    assert answer["data"] == {"nodes": None}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_ARGUMENT"]
    assert read == []


async def test_the_errors_of_an_answer_are_bounded(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones, and how many there are beside them; data is whole."""
    monkeypatch.setattr(execution, "MAX_ERRORS", 3)
    fields = " ".join(f'a{n}: entries(ledger: "us", first: 100000) {{ nodes {{ id }} }}' for n in range(8))
    answer = await graph.run(f"{{ {fields} ledgers {{ code }} }}")
    assert answer["data"] == {**{f"a{n}": None for n in range(8)}, "ledgers": [{"code": "us"}]}
    assert [error.get("path") for error in answer["errors"]] == [["a0"], ["a1"], ["a2"], None]
    assert answer["errors"][3]["extensions"]["code"] == "LIMIT_EXCEEDED"
    assert "5 more" in answer["errors"][3]["message"]
