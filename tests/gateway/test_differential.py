"""The planned execution answers what graphql-core answers, byte for byte, over generated documents and variables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from graphql import (
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_input_object_type,
    is_list_type,
    parse,
    type_from_ast,
    validate,
    visit,
)
from hypothesis import assume, event, given
from hypothesis import strategies as st

from gateway.requests import GraphQLRequest, RequestRefused
from sources.caller import Caller
from tests.documents import Document, Documents
from tests.examples import examples
from tests.graph import SCHEMA, Graph, caller
from tests.world import CALLERS, LIMITS, POOLS, open_world

DOCUMENTS = Documents(SCHEMA, POOLS)
RUNS = 3
"""Of each document with the same variables: read, read with entries kept, answered as kept."""


@pytest.fixture(params=[LIMITS, replace(LIMITS, answer_cache_bytes=0)], ids=["answers kept", "entries kept"])
async def graph(request: Any, database_url: str, owner_url: str) -> Any:
    async with open_world(database_url, owner_url, request.param) as opened:
        yield opened


@given(document=DOCUMENTS.strategy(), by=st.sampled_from(CALLERS))
@examples(250)
async def test_generated_documents_answer_the_same(graph: Graph, document: Document, by: Caller) -> None:
    """Whatever is selected, filtered, aliased, switched or refused, both executions agree."""
    event(await compare(graph, document, by))


FOUND = [
    Document(
        '{ node(id: "invoice:us:dead:x") { id } nodes(ids: ["invoice:us:dead:x", "ledger:us"]) { id } }', {}, None
    ),
    Document('query ($n: String = "Query") { __type(name: $n) { name } ledgers { code } }', {"n": None}, None),
]
"""Documents that once were answered differently: an id of a source that was never read; an introspection field's error."""


@pytest.mark.parametrize("document", FOUND, ids=lambda document: document.text)
async def test_documents_that_once_differed(graph: Graph, document: Document) -> None:
    await compare(graph, document, caller())


async def compare(graph: Graph, document: Document, by: Caller) -> str:
    """The two executions agree, with one set of variables and another in turn: data byte for byte, errors as a set of path and
    code. What kinds of answers there were."""
    kinds = []
    both = [replace(document, variables=variables) for variables in (document.variables, document.others)]
    expected: dict[int, dict[str, Any]] = {}
    for number, each in [*enumerate(both)] * RUNS if document.variables or document.others else [(0, document)] * RUNS:
        request = GraphQLRequest(each.text, each.operation_name, each.variables, "test")
        try:
            operation = graph.engine.prepare(request, by)
        except RequestRefused as refused:
            await refused_by_both(graph, each, by, refused)
            kinds.append("refused")
            continue
        answer = await graph.engine.run(operation)
        theirs = expected[number] = expected.get(number) or await reference(graph, each, by)
        data = orjson.dumps(theirs["data"])
        assert answer.startswith((b'{"data":' + data + b"}", b'{"data":' + data + b',"e')), (each, answer, data)
        assert errors(orjson.loads(answer)) == errors(theirs), each
        kinds.append("with errors" if "errors" in theirs else "without errors")
    return " and ".join(sorted(set(kinds)))


async def refused_by_both(graph: Graph, document: Document, by: Caller, refused: RequestRefused) -> None:
    """Variables that do not fit their types; scopes, which graphql-core knows nothing of, everybody here has."""
    codes = {error["extensions"]["code"] for error in refused.errors}
    # Two members of an abstract type may give one name different types, which is the one thing that makes it invalid.
    assume(codes != {"GRAPHQL_VALIDATION_FAILED"} or validate(SCHEMA, parse(document.text)) == [])
    assert codes == {"BAD_USER_INPUT"}, (document, refused.errors)
    assert (await reference(graph, document, by))["data"] is None, document


async def reference(graph: Graph, document: Document, by: Caller) -> dict[str, Any]:
    return await graph.reference.run(document.text, by, document.variables, document.operation_name)


def errors(answer: dict[str, Any]) -> set[tuple[str, str]]:
    return {(str(error.get("path")), error["extensions"]["code"]) for error in answer.get("errors", ())}


# ---------------------------------------------------------------- what the documents cover


def test_generated_documents_cover_the_schema() -> None:
    """Every field that a query can reach, each of its arguments, every field of its inputs and every way to switch, within a
    few thousand documents."""
    seen: set[str] = set()
    for seed in range(3_000):
        document = DOCUMENTS.document(seed)
        seen.update(coordinates(document))
    assert set(reachable()) - seen == set()
    assert {"@skip", "@include", "fragment", "inline", "__typename", "__schema", "__type", "$absent", "$null"} <= seen


def reachable() -> Iterator[str]:
    """Coordinates of all that a query can state: "Type.field", "Type.field(argument)", "Input.field"."""
    pending: list[Any] = [SCHEMA.query_type]
    known = set()
    while pending:
        kind = get_named_type(pending.pop())
        if kind.name in known:
            continue
        known.add(kind.name)
        pending += SCHEMA.get_possible_types(kind) if is_abstract_type(kind) else ()
        for name, field in getattr(kind, "fields", {}).items():
            yield f"{kind.name}.{name}"
            pending.append(field.type)
            for argument, definition in getattr(field, "args", {}).items():
                yield f"{kind.name}.{name}({argument})"
                pending.append(definition.type)


def coordinates(document: Document) -> set[str]:
    seen: set[str] = set()
    info = TypeInfo(SCHEMA)
    tree = parse(document.text)
    visit(tree, TypeInfoVisitor(info, _Coordinates(info, seen)))
    for operation in tree.definitions:
        for variable in getattr(operation, "variable_definitions", None) or ():
            name = variable.variable.name.value
            kind = type_from_ast(SCHEMA, variable.type)
            if name not in document.variables:
                seen.add("$absent")
            else:
                seen.update(stated(document.variables[name], kind))
    return seen


def stated(value: Any, kind: Any) -> Iterator[str]:
    """Coordinates of the input fields that a variable's value has."""
    kind = get_nullable_type(kind)
    if value is None:
        yield "$null"
    elif is_list_type(kind):
        for item in value:
            yield from stated(item, kind.of_type)
    elif is_input_object_type(kind):
        for name, item in value.items():
            yield f"{kind.name}.{name}"
            yield from stated(item, kind.fields[name].type)


class _Coordinates(Visitor):
    def __init__(self, info: TypeInfo, seen: set[str]) -> None:
        super().__init__()
        self._info, self._seen = info, seen

    def enter_field(self, node: Any, *_: Any) -> None:
        parent, name = self._info.get_parent_type(), node.name.value
        self._seen.add(name if name.startswith("__") else f"{parent.name}.{name}" if parent else name)

    def enter_argument(self, node: Any, *_: Any) -> None:
        parent, field = self._info.get_parent_type(), self._info.get_field_def()
        if parent is not None and field is not None and self._info.get_directive() is None:
            names = [name for name, each in getattr(parent, "fields", {}).items() if each is field]
            self._seen.update(f"{parent.name}.{name}({node.name.value})" for name in names)

    def enter_object_field(self, node: Any, *_: Any) -> None:
        kind = get_named_type(self._info.get_parent_input_type()) if self._info.get_parent_input_type() else None
        if kind is not None:
            self._seen.add(f"{kind.name}.{node.name.value}")

    def enter_directive(self, node: Any, *_: Any) -> None:
        self._seen.add(f"@{node.name.value}")

    def enter_fragment_spread(self, *_: Any) -> None:
        self._seen.add("fragment")

    def enter_inline_fragment(self, *_: Any) -> None:
        self._seen.add("inline")
