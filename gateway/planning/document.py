"""From a document's text to one of its operations: parsed, measured and validated, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    SelectionSetNode,
    TokenKind,
    VariableNode,
    parse,
    validate,
)

from gateway.limits import Limits

MAX_VALIDATION_ERRORS = 20
MAX_NUMBER_LENGTH = 100
"""Characters of a number literal; no type takes more, and Python refuses to read very long ones."""


class LimitExceeded(GraphQLError):
    """A document is larger than a limit allows; the message names the limit."""

    def __init__(self, message: str) -> None:
        super().__init__(message, extensions={"code": "LIMIT_EXCEEDED"})


class InvalidDocument(Exception):
    """A document that does not validate; every fault that was found."""

    def __init__(self, errors: list[GraphQLError]) -> None:
        super().__init__(str(errors[0]))
        self.errors = errors


@dataclass(frozen=True, slots=True)
class Operation:
    """A validated operation with the fragments of its document. `switches`: variables that @skip and @include read."""

    document: DocumentNode
    definition: OperationDefinitionNode
    fragments: dict[str, FragmentDefinitionNode]
    switches: tuple[str, ...]

    @property
    def kind(self) -> str:
        return self.definition.operation.value


def read(schema: GraphQLSchema, text: str, operation_name: str | None, limits: Limits) -> Operation:
    """Raises GraphQLSyntaxError, LimitExceeded, InvalidDocument, or GraphQLError for an operation that is not there."""
    document = _parse(text, limits)
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    _measure(document, fragments, operations, limits)
    errors = validate(schema, document, max_errors=MAX_VALIDATION_ERRORS)
    if errors:
        raise InvalidDocument(errors)
    definition = _choose(operations, operation_name)
    return Operation(document, definition, fragments, _switches(document))


def check_variables(variables: Mapping[str, Any], limits: Limits) -> None:
    """Counts what variables hold, before time is spent on each of it. Raises LimitExceeded."""
    count = 0
    level: list[Any] = [variables]
    while level:
        below: list[Any] = []
        for item in level:
            count += len(item)
            if count > limits.variable_values:
                raise LimitExceeded(
                    f"the variables hold more than {limits.variable_values} values: send several requests"
                )
            if type(item) is list and len(item) > limits.list_items:
                raise LimitExceeded(
                    f"a list has {len(item)} items; the limit is {limits.list_items}: send several requests"
                )
            children = item if type(item) is list else item.values()
            below += [child for child in children if type(child) is dict or type(child) is list]
        level = below


def _parse(text: str, limits: Limits) -> DocumentNode:
    if len(text) > limits.document_characters:
        raise LimitExceeded(
            f"the document has more than {limits.document_characters} characters; give long values as variables"
        )
    try:
        document = parse(text, max_tokens=limits.tokens)
    except GraphQLSyntaxError as error:
        if "tokens" in error.message:
            raise LimitExceeded(f"the document has more than {limits.tokens} tokens; split it") from error
        raise
    except RecursionError as error:
        raise LimitExceeded(f"the document nests deeper than {limits.depth} levels") from error
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in (TokenKind.INT, TokenKind.FLOAT) and token.end - token.start > MAX_NUMBER_LENGTH:
            raise LimitExceeded(f"a number literal has more than {MAX_NUMBER_LENGTH} characters")
        token = token.next
    return document


def _choose(operations: list[OperationDefinitionNode], name: str | None) -> OperationDefinitionNode:
    named = [node for node in operations if name is None or (node.name and node.name.value == name)]
    if len(named) == 1:
        return named[0]
    if name is not None:
        message = f"the document has no operation {name!r}"
    elif operations:
        message = "the document has several operations: name one by operationName"
    else:
        message = "the document has no operation"
    raise GraphQLError(message, extensions={"code": "BAD_REQUEST"})


def _measure(
    document: DocumentNode,
    fragments: dict[str, FragmentDefinitionNode],
    operations: list[OperationDefinitionNode],
    limits: Limits,
) -> None:
    """Caps what makes validation and planning expensive, in one pass that visits every node of the document once."""
    names: Counter[str] = Counter()
    aliases = spreads = 0
    for definition in document.definitions:
        for node in _selections(getattr(definition, "selection_set", None)):
            if isinstance(node, FieldNode):
                names[(node.alias or node.name).value] += 1
                aliases += node.alias is not None
            spreads += isinstance(node, FragmentSpreadNode)
    if aliases > limits.aliases:
        raise LimitExceeded(f"the document has {aliases} aliases; the limit is {limits.aliases}")
    if spreads > limits.aliases:
        raise LimitExceeded(f"the document spreads fragments {spreads} times; the limit is {limits.aliases}")
    if names and (most := names.most_common(1)[0])[1] > limits.selections_per_name:
        raise LimitExceeded(
            f"the document selects {most[0]!r} {most[1]} times; the limit is {limits.selections_per_name}"
        )
    depths: dict[str, int] = {}
    for definition in operations:
        depth = _depth(definition.selection_set, fragments, depths, ())
        if depth > limits.depth:
            raise LimitExceeded(f"the document nests {depth} levels deep; the limit is {limits.depth}")
        _measure_overlaps(definition.selection_set, fragments, limits)


def _measure_overlaps(
    selection_set: SelectionSetNode, fragments: dict[str, FragmentDefinitionNode], limits: Limits
) -> None:
    """Caps how often the same place of the answer is selected: validation compares each pair of such selections, at 50 to
    100 µs a pair. Fragments are put in place, each once a place; what nests without end is left to validation."""
    pairs = visited = 0
    pending = [([selection_set], 0)]
    while pending:
        places, depth = pending.pop()
        for nodes in _by_name(places, fragments).values():
            visited += len(nodes)
            pairs += len(nodes) * (len(nodes) - 1) // 2
            below = [node.selection_set for node in nodes if node.selection_set]
            if below and depth < limits.depth:
                pending.append((below, depth + 1))
        if pairs > limits.overlaps:
            raise LimitExceeded(
                f"the document selects the same fields more than once: {pairs} pairs; the limit is {limits.overlaps}"
            )
        if visited > limits.fields + 2 * limits.overlaps:
            raise LimitExceeded(f"the operation selects more than {limits.fields} fields")


def _by_name(
    selection_sets: list[SelectionSetNode], fragments: dict[str, FragmentDefinitionNode]
) -> dict[str, list[FieldNode]]:
    """The fields of one place of the answer by response name."""
    found: dict[str, list[FieldNode]] = {}
    spread: set[str] = set()
    pending = list(selection_sets)
    while pending:
        for node in pending.pop().selections:
            if isinstance(node, FieldNode):
                found.setdefault((node.alias or node.name).value, []).append(node)
            elif isinstance(node, FragmentSpreadNode):
                name = node.name.value
                if name in fragments and name not in spread:
                    spread.add(name)
                    pending.append(fragments[name].selection_set)
            else:
                pending.append(node.selection_set)  # type: ignore[attr-defined]
    return found


def _selections(selection_set: SelectionSetNode | None) -> Iterator[object]:
    pending = [selection_set] if selection_set else []
    while pending:
        for node in pending.pop().selections:
            yield node
            inner = getattr(node, "selection_set", None)
            if inner:
                pending.append(inner)


def _depth(
    selection_set: SelectionSetNode,
    fragments: dict[str, FragmentDefinitionNode],
    known: dict[str, int],
    within: tuple[str, ...],
) -> int:
    deepest = 0
    for node in selection_set.selections:
        if isinstance(node, FragmentSpreadNode):
            name = node.name.value
            if name not in known and name in fragments and name not in within:
                known[name] = _depth(fragments[name].selection_set, fragments, known, (*within, name))
            deepest = max(deepest, known.get(name, 0))
            continue
        inner = getattr(node, "selection_set", None)
        below = _depth(inner, fragments, known, within) if inner else 0
        deepest = max(deepest, below + isinstance(node, FieldNode))
    return deepest


def _switches(document: DocumentNode) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for definition in document.definitions:
        for node in _selections(getattr(definition, "selection_set", None)):
            for directive in getattr(node, "directives", None) or ():
                if directive.name.value in ("skip", "include"):
                    value = directive.arguments[0].value
                    if isinstance(value, VariableNode):
                        found[value.name.value] = None
    return tuple(found)
