"""Arguments that are put together once for a field and filled in for each request are those that graphql-core finds."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    GraphQLError,
    OperationDefinitionNode,
    build_schema,
    get_argument_values,
    get_variable_values,
    parse,
    validate,
)
from graphql.execution.values import VariableValues
from hypothesis import given
from hypothesis import strategies as st

from gateway.planning.arguments import Arguments
from tests.examples import examples

SCHEMA = build_schema(
    """
    enum Order { UP DOWN }
    input Inner { a: Int! = 7, b: [Order!] }
    input Filter { text: String, inner: Inner, list: [Inner!] }
    type Query {
      f(text: String, needed: String!, defaulted: Int = 5, sure: Order! = UP, list: [Int!], lists: [[Int]] = [[1], null],
        filter: Filter, filled: Filter = { text: "x", inner: {} }): Int
    }
    """
)
FIELD = SCHEMA.query_type.fields["f"]  # type: ignore[union-attr]
TYPES = {
    "text": ["String", "String!", 'String = "d"'],
    "needed": ["String!", 'String! = "d"', 'String = "d"'],
    "defaulted": ["Int", "Int!", "Int = 1", "Int = null"],
    "sure": ["Order", "Order!", "Order = DOWN"],
    "list": ["[Int!]", "[Int!]!", "[Int!] = [3]"],
    "lists": ["[[Int]]", "[[Int]] = []"],
    "filter": ["Filter", "Filter!", 'Filter = { text: "d" }'],
    "filled": ["Filter", "Filter = {}"],
}
LITERALS = {
    "text": ['"a"', "null", '""'],
    "needed": ['"n"', "null"],
    "defaulted": ["3", "null"],
    "sure": ["DOWN", "null"],
    "list": ["1", "[1, 2]", "[]", "null", "[$i]"],
    "lists": ["[[1], null]", "1"],
    "filter": ["{}", '{ text: "t", inner: { b: UP } }', "{ inner: { a: $i } }", "{ list: [{ a: 1 }, { a: $i }] }"],
    "filled": ["null", "{ inner: { a: 2 } }", "{ text: $t }"],
}
VALUES = {
    "text": [None, "given", ""],
    "needed": [None, "given"],
    "defaulted": [None, 9],
    "sure": [None, "DOWN"],
    "list": [None, [], [1, 2], 4],
    "lists": [None, [[1, None], None], 1],
    "filter": [None, {}, {"text": None}, {"inner": {"b": ["UP"]}}],
    "filled": [None, {"list": [{"a": 1}]}],
}


@st.composite
def requests(draw: Any) -> tuple[str, list[dict[str, Any]]]:
    """A document, and several requests' variables for it."""
    types, given_ = {"i": "Int = 4", "t": "String"}, []
    for name in TYPES:
        how = draw(st.sampled_from(["absent", "literal", "variable"]))
        if how == "variable":
            types[name] = draw(st.sampled_from(TYPES[name]))
        if how != "absent":
            value = draw(st.sampled_from(LITERALS[name])) if how == "literal" else f"${name}"
            given_.append(f"{name}: {value}")
    definitions = ", ".join(f"${name}: {kind}" for name, kind in types.items())
    arguments = f"({', '.join(given_)})" if given_ else ""
    values = {**VALUES, "i": [8, None], "t": ["v", None]}
    runs = [
        {name: draw(st.sampled_from(values[name])) for name in types if draw(st.booleans())}
        for _ in range(draw(st.integers(1, 3)))
    ]
    return f"query ({definitions}) {{ f{arguments} }}", runs


def said(bind: Any) -> tuple[str, str]:
    try:
        return "bound", repr(bind())
    except GraphQLError as error:
        return "refused", str(error)


def operation(text: str) -> OperationDefinitionNode:
    (found,) = parse(text).definitions
    assert isinstance(found, OperationDefinitionNode)
    return found


@given(requests())
@examples(400)
def test_bound_arguments_are_graphql_cores(request_: tuple[str, list[dict[str, Any]]]) -> None:
    """Literals, defaults, variables given, null and absent, in any mix: the same values in the same order, the same refusals."""
    text, runs = request_
    definition = operation(text)
    node: Any = definition.selection_set.selections[0]
    arguments = Arguments.of(FIELD, node)
    for given_ in runs:
        variables = get_variable_values(SCHEMA, definition.variable_definitions or (), given_)
        if isinstance(variables, VariableValues):
            expected = said(lambda variables=variables: get_argument_values(FIELD, node, variables))
            assert said(lambda variables=variables: arguments.bind(variables)) == expected, (text, given_)


@pytest.mark.parametrize(
    ("text", "variables", "expected"),
    [
        ('{ f(needed: "n", list: 1) }', {}, True),
        ("query ($n: String!) { f(needed: $n) }", {"n": "n"}, False),
        ('query ($t: String) { f(needed: "n", filter: { text: $t }) }', {"t": "t"}, False),
    ],
    ids=["literals", "a variable", "a variable in a literal"],
)
def test_what_no_variable_decides_is_constant(text: str, variables: dict[str, Any], expected: bool) -> None:
    """Such arguments are one mapping for all requests; otherwise each request has its own."""
    definition = operation(text)
    assert validate(SCHEMA, parse(text)) == []
    node: Any = definition.selection_set.selections[0]
    arguments = Arguments.of(FIELD, node)
    values = get_variable_values(SCHEMA, definition.variable_definitions or (), variables)
    assert isinstance(values, VariableValues)
    assert (arguments.bind(values) is arguments.bind(values)) is expected
    assert arguments.decides(["filter", "needed"]) is not expected
