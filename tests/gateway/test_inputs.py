"""Composed coercion of variables: what it accepts is what graphql-core makes of it, and nothing more is accepted."""

from __future__ import annotations

from typing import Any

from graphql import GraphQLNonNull, Undefined, is_input_type
from graphql.utilities import coerce_input_value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.planning.inputs import coercer
from gateway.schema import build, core
from tests.graph import caller, entry, open_graph

INPUTS = sorted((kind for kind in core(build()).type_map.values() if is_input_type(kind)), key=lambda kind: kind.name)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.sampled_from(["1.50", "2026-01-01", "2026-01-01T00:00:00Z", "SEQUENCE_ASC", "ASSET", "DEBIT", "us", "-1"]),
)  # fmt: skip
NAMES = [*sorted({name for kind in INPUTS for name in getattr(kind, "fields", {})}), "unknown"]
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)


def shaped(kind: Any, value: Any, draw: Any) -> Any:
    """A value that mostly has the form of its type."""
    kind = getattr(kind, "of_type", kind) if isinstance(kind, GraphQLNonNull) else kind
    if hasattr(kind, "fields"):
        chosen = {name: field for name, field in kind.fields.items() if draw(st.integers(0, 5))}
        return {name: shaped(field.type, draw(LEAVES), draw) for name, field in chosen.items()}
    if hasattr(kind, "of_type"):
        return [shaped(kind.of_type, draw(LEAVES), draw) for _ in range(draw(st.integers(0, 2)))]
    return value


@st.composite
def cases(draw: Any) -> tuple[Any, Any]:
    kind = draw(st.sampled_from(INPUTS))
    value = draw(VALUES) if draw(st.booleans()) else shaped(kind, draw(LEAVES), draw)
    return (GraphQLNonNull(kind) if draw(st.booleans()) else kind), value


@given(cases())
@settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
def test_it_agrees_with_graphql_core(case: tuple[Any, Any]) -> None:
    """The same value, in the same order of fields, or a refusal by both."""
    kind, value = case
    expected = coerce_input_value(value, kind)
    try:
        found = coercer(kind)(value)
    except Exception:
        assert expected is Undefined
    else:
        assert expected is not Undefined
        assert repr(found) == repr(expected)


async def test_refusals_read_the_same_on_every_run(database_url: str) -> None:
    """A document's second request is coerced by composed functions; its errors stay graphql-core's."""
    query = "mutation ($e: PostEntryInput!) { postEntry(input: $e) { __typename } }"
    async with open_graph(database_url) as graph:
        await graph.found()
        bad = entry("k", "1e5")
        first = await graph.run(query, {"e": bad})
        assert (await graph.run(query, {"e": entry("k")}))["data"]["postEntry"]["__typename"] == "EntryPosted"
        again = await graph.run(query, {"e": bad})
        assert first["errors"] == again["errors"]
        assert (await graph.run(query, {}))["refused"] == 400
        assert (await graph.run(query, {"e": entry("k2"), "unused": 1}, caller()))["data"]["postEntry"]
