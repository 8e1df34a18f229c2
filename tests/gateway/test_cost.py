"""What an answer may hold is counted from what the arguments say, in one step for what they do not decide."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_variable_values, parse

from gateway.planning.building import Planner
from gateway.planning.collect import Collector
from gateway.planning.cost import cost
from gateway.planning.plan import Plan
from gateway.planning.writing import WORDS
from tests.graph import SCHEMA

PAGE = 50
PLANNER = Planner(SCHEMA, {**WORDS, "codes": {}, "functional": {}}, 1_000)


def planned(text: str, keeping: bool) -> tuple[Plan, Any]:
    definition: Any
    (definition,) = parse(text).definitions
    assert SCHEMA.query_type
    collector = Collector(SCHEMA, {}, {})
    return PLANNER.plan(SCHEMA.query_type, definition.selection_set, collector, keeping=keeping), definition


def estimated(plan: Plan, definition: Any, variables: dict[str, Any]) -> int:
    values: Any = get_variable_values(SCHEMA, definition.variable_definitions or (), variables)
    return cost(plan.root, {each: each.arguments.bind(values) for each in plan.linked if each.arguments})


ENTRIES = (
    "query ($n: Int, $m: Int) { entries(ledger: 'us', first: $n, last: $m) { nodes { sequence lines { debit } } } }"
)
CASES = [
    ("{ ledgers { code name } }", {}, 1 + 10 * 2),
    ("{ account(ledger: 'us', code: 'a') { code name } }", {}, 1 + 2),
    ("{ accounts(ledger: 'us') { nodes { code } } }", {}, 1 + PAGE * (1 + 1)),
    ("{ accounts(ledger: 'us', first: 7) { nodes { code } } }", {}, 1 + 7 * (1 + 1)),
    ("query ($l: String!) { accounts(ledger: $l, first: 700) { nodes { code } } }", {"l": "us"}, 1 + 700 * (1 + 1)),
    ("query ($c: String) { accounts(ledger: 'us', last: 1, before: $c) { nodes { code } } }", {}, 1 + 1 + 1),
    ("query ($l: String!, $n: Int = 9) { accounts(ledger: $l, first: $n) { nodes { code } } }", {"l": "us"}, 1 + 9 * 2),
    (ENTRIES, {"n": 3}, 1 + 3 * (1 + 2 + 5)),
    (ENTRIES, {"n": 1_000}, 1 + 1_000 * (1 + 2 + 5)),
    (ENTRIES, {"n": None, "m": 4}, 1 + 4 * (1 + 2 + 5)),
    (ENTRIES, {"n": 0}, 1 + 1 * (1 + 2 + 5)),
    (ENTRIES, {}, 1 + PAGE * (1 + 2 + 5)),
    ("query ($i: [ID!]!) { nodes(ids: $i) { id ... on Account { code name } } }", {"i": ["a", "b"]}, 1 + 2 * 3),
]


@pytest.mark.parametrize(("text", "variables", "expected"), CASES)
def test_every_field_counts_for_each_row_that_may_come(text: str, variables: dict[str, Any], expected: int) -> None:
    """Pages by their size, lists by what is usual; the largest of several types; the same plan with one size after another."""
    plan, definition = planned(text.replace("'", '"'), keeping=False)
    assert estimated(plan, definition, variables) == expected
    for other, others, count in CASES:
        if other == text:
            assert estimated(plan, definition, others) == count


def test_kept_texts_count_as_much() -> None:
    """A selection whose texts are kept is no cheaper to ask for, whichever of its fields are."""
    text = ENTRIES.replace("'", '"').replace("sequence", "sequence reversedBy { id } ")
    counts = [estimated(*planned(text, keeping), {"n": 20}) for keeping in (False, True)]
    assert counts[0] <= counts[1]


def test_a_plan_allows_who_has_all_its_scopes() -> None:
    """One comparison; where an id tells what is asked for, the scopes have to be looked at one by one."""
    plan, _ = planned('{ ledgers { code name } accounts(ledger: "us") { nodes { code } } }', keeping=False)
    assert plan.scopes == {"ledger:read"}
    assert plan.allows(frozenset(("ledger:read", "cash:read")))
    assert not plan.allows(frozenset(("cash:read",)))
    by_id, _ = planned('{ node(id: "account:us:1") { id } }', keeping=False)
    assert by_id.demanding
    assert not by_id.allows(frozenset(("ledger:read", "cash:read")))
