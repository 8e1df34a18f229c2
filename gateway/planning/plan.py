"""Plans: a validated operation as a tree of selections, each with what it needs of its rows and a generated shaper."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    SelectionSetNode,
    VariableNode,
    get_argument_values,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from gateway.planning.collect import Collector
from gateway.planning.document import LimitExceeded
from gateway.planning.introspection import INTROSPECTION, Introspection
from gateway.planning.writing import Part, Shape, generate, leaf, namespace
from resolvers.fields import (
    SCOPES,
    SOURCE,
    Fragment,
    Inline,
    Leaf,
    Link,
    Nested,
    Relation,
    Scopes,
    Stability,
    Stream,
)
from sources.reading import DEFAULT_PAGE, Want

Path = tuple[str, ...]
Collected = Mapping[str, Sequence[tuple[FieldNode, bool]]]
_NUMBERS = itertools.count()


class RowSpace:
    """The columns that the selections over one kind of row need, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._positions: dict[str, int] = {}
        self._nested: dict[str, RowSpace] = {}
        self._types: dict[str, RowSpace] = {}
        self.fields: set[str] = set()

    def position(self, column: str) -> int:
        return self._positions.setdefault(column, len(self._positions))

    def nested(self, column: str) -> RowSpace:
        self.position(column)
        return self._nested.setdefault(column, RowSpace())

    def of_type(self, typename: str) -> RowSpace:
        return self._types.setdefault(typename, RowSpace())

    def want(self) -> Want:
        return Want(
            tuple(self._positions),
            {column: space.want() for column, space in self._nested.items()},
            {typename: space.want() for typename, space in self._types.items()},
            frozenset(self.fields),
        )


@dataclass(slots=True, eq=False)
class FieldPlan:
    """One response field of a selection."""

    name: str
    field_name: str
    nodes: list[FieldNode]
    path: Path
    nullable: bool
    is_list: bool = False
    item_nullable: bool = False
    abstract: bool = False
    source: Leaf | Inline | Nested | Link | Stream | None = None
    write: Callable[[Any], str] | None = None
    constant: str | None = None
    positions: tuple[int, ...] = ()
    selections: dict[str, Selection] = field(default_factory=dict)
    want: Want = field(default_factory=Want)
    arguments: Arguments | None = None
    introspection_cost: int = 0
    stability: Stability = Stability.VOLATILE

    @property
    def node(self) -> FieldNode:
        return self.nodes[0]

    @property
    def introspects(self) -> bool:
        return self.field_name in INTROSPECTION


@dataclass(frozen=True, slots=True)
class Arguments:
    """A field's arguments: coerced once where they are literals, else for each request."""

    definition: GraphQLField
    node: FieldNode
    constant: Mapping[str, Any] | None

    def bind(self, variables: Any) -> Mapping[str, Any]:
        """Raises GraphQLError."""
        if self.constant is not None:
            return self.constant
        return get_argument_values(self.definition, self.node, variables)


@dataclass(slots=True, eq=False)
class Selection:
    """What is selected of one concrete type."""

    typename: str
    fields: list[FieldPlan]
    children: list[FieldPlan]
    shape: Shape
    kept: KeptPart | None = None

    @property
    def stability(self) -> Stability:
        return max((plan.stability for plan in self.fields), default=Stability.NAMED)


HOLE = "\0"
"""Stands in a kept text where a field is written anew each time; JSON text never holds it."""


@dataclass(slots=True, eq=False)
class KeptPart:
    """The fields of a selection whose text is kept, when the selection's own fields are those that are not (its holes).

    `number`: of this part among all plans. `key` and `version`: positions in the selection's rows. `core`: how the text is
    written from rows of `want`, which `relation` loads by the key.
    """

    number: int
    relation: Relation
    key: tuple[int, ...]
    version: tuple[int, ...]
    core: Selection
    want: Want


@dataclass(frozen=True, slots=True)
class Demanded:
    """A scope that the field at this path needs."""

    path: Path
    scopes: Scopes


@dataclass(slots=True)
class Plan:
    """`demands`: the scopes of every field that is selected; `linked`: fields with arguments, for binding; `switches`: what
    @skip and @include variables were."""

    root: Selection
    demands: list[Demanded]
    linked: list[FieldPlan]
    switches: tuple[bool, ...]


class Planner:
    """Makes plans of operations over one schema. `words`: names of leaf expressions. `max_fields`: how many fields a plan may
    have: fragments that spread fragments make very many of a short document."""

    def __init__(self, schema: GraphQLSchema, words: Mapping[str, Any], max_fields: int) -> None:
        self._schema = schema
        self._words = namespace(words)
        self._max_fields = max_fields
        self._introspection = Introspection.of(schema)

    def plan(
        self,
        root_type: GraphQLObjectType,
        selection_set: SelectionSetNode,
        collector: Collector,
        *,
        keeping: bool = False,
    ) -> Plan:
        """`keeping`: texts of what never changes are to be kept (`KeptPart`). Raises LimitExceeded."""
        builder = _Builder(self._schema, self._words, collector, self._introspection, self._max_fields, keeping)
        root = builder.selection(root_type, [selection_set], RowSpace(), (), general=False)
        return Plan(root, builder.demands, builder.linked, tuple(collector.switches.values()))


class _Builder:
    def __init__(
        self,
        schema: GraphQLSchema,
        words: dict[str, Any],
        collector: Collector,
        introspection: Introspection,
        max_fields: int,
        keeping: bool,
    ) -> None:
        self._keeping = keeping
        self._schema = schema
        self._words = words
        self._collector = collector
        self._introspection = introspection
        self._max_fields = max_fields
        self._planned = 0
        self.demands: list[Demanded] = []
        self.linked: list[FieldPlan] = []

    def selection(
        self,
        concrete: GraphQLObjectType,
        selection_sets: Iterable[SelectionSetNode],
        space: RowSpace,
        path: Path,
        *,
        general: bool,
    ) -> Selection:
        """`general`: the field's own type is abstract, so that fields selected on it alone may never meet this type."""
        collected = self._collector.fields(concrete, selection_sets)
        fragment = fragment_of(concrete) if self._keeping else None
        if fragment is not None:
            return self._kept(concrete, fragment, collected, space, path, general)
        return self._selected(concrete, self._fields(concrete, collected, space, path, general))

    def _fields(
        self, concrete: GraphQLObjectType, collected: Collected, space: RowSpace, path: Path, general: bool
    ) -> list[FieldPlan]:
        fields = []
        for name, nodes in collected.items():
            demanding = not general or any(meant for _, meant in nodes)
            fields.append(self._field(concrete, name, [node for node, _ in nodes], space, (*path, name), demanding))
        return fields

    def _selected(self, concrete: GraphQLObjectType, fields: list[FieldPlan]) -> Selection:
        children = [plan for plan in fields if plan.constant is None and plan.write is None and not plan.introspects]
        return Selection(concrete.name, fields, children, self._shape(fields, children))

    def _kept(
        self,
        concrete: GraphQLObjectType,
        fragment: Fragment,
        collected: Collected,
        space: RowSpace,
        path: Path,
        general: bool,
    ) -> Selection:
        """A selection whose stable fields are kept as text. Which ones they are is known once all have been planned."""
        self._keeping = False
        before = len(self.demands), len(self.linked), self._planned
        tried = self._fields(concrete, collected, RowSpace(), path, general)
        del self.demands[before[0] :], self.linked[before[1] :]
        self._planned = before[2]
        stable = {plan.name for plan in tried if plan.stability <= Stability.NAMED}
        core_space = RowSpace()
        kept = {name: nodes for name, nodes in collected.items() if name in stable}
        written = {plan.name: plan for plan in self._fields(concrete, kept, core_space, path, general)}
        self._keeping = True
        left = {name: nodes for name, nodes in collected.items() if name not in stable}
        holes = self._fields(concrete, left, space, path, general)
        core = [written.get(name) or _hole(name, path) for name in collected]
        selection = self._selected(concrete, holes)
        selection.kept = KeptPart(
            next(_NUMBERS),
            fragment.relation,
            tuple([space.position(column) for column in fragment.key]),
            tuple([space.position(column) for column in fragment.version]),
            self._selected(concrete, core),
            core_space.want(),
        )
        return selection

    def _shape(self, fields: Sequence[FieldPlan], children: Sequence[FieldPlan]) -> Shape:
        numbers = {id(plan): number for number, plan in enumerate(children)}
        parts = []
        for place, plan in enumerate(fields):
            parts.append(Part(text=f'{"," if place else "{"}"{plan.name}":'))
            if plan.constant is not None:
                parts.append(Part(text=plan.constant))
            elif id(plan) in numbers:
                parts.append(Part(expression=f"c{numbers[id(plan)]}[i]"))
            elif plan.write is not None:
                parts.append(Part(expression=_expression(plan)))
        parts.append(Part(text="}" if fields else "{}"))
        return generate(parts, len(children), self._words)

    def _field(
        self,
        parent: GraphQLObjectType,
        name: str,
        nodes: list[FieldNode],
        space: RowSpace,
        path: Path,
        demanding: bool,
    ) -> FieldPlan:
        self._planned += 1
        if self._planned > self._max_fields:
            raise LimitExceeded(
                f"the operation selects more than {self._max_fields} fields, with its fragments in place; split it"
            )
        field_name = nodes[0].name.value
        if field_name == "__typename":
            constant = f'"{parent.name}"'
            return FieldPlan(
                name, field_name, nodes, path, nullable=False, constant=constant, stability=Stability.NAMED
            )
        if field_name in INTROSPECTION:
            estimate = self._introspection.cost(nodes, self._collector.fragments)
            return FieldPlan(name, field_name, nodes, path, nullable=True, introspection_cost=estimate)
        definition = parent.fields[field_name]
        plan = _typed(definition, FieldPlan(name, field_name, nodes, path, nullable=True))
        source = plan.source = declaration(definition)
        space.fields.add(field_name)
        scopes = scopes_of(parent.name, source)
        if demanding and scopes:
            self.demands.append(Demanded(path, scopes))
        if definition.args:
            plan.arguments = Arguments(definition, nodes[0], _constant_arguments(definition, nodes))
        if plan.arguments or (isinstance(source, Link) and (source.prepare or source.demand)):
            self.linked.append(plan)
        if isinstance(source, Leaf):
            plan.positions = tuple(space.position(column) for column in source.needs)
            if source.function is not None:
                self._words[_function_name(source)] = source.function
            plan.write = leaf(_expression(plan), self._words)
        else:
            self._below(plan, definition, nodes, space)
        below = [selection.stability for selection in plan.selections.values()]
        plan.stability = max([stability_of(parent, source), *below])
        return plan

    def _below(self, plan: FieldPlan, definition: GraphQLField, nodes: list[FieldNode], space: RowSpace) -> None:
        inner = space
        match plan.source:
            case Nested(column=column):
                plan.positions = (space.position(column),)
                inner = space.nested(column)
            case Link(key=key):
                plan.positions = tuple(space.position(column) for column in key)
                inner = RowSpace()
            case Stream():
                inner = RowSpace()
        named = get_named_type(definition.type)
        if is_leaf_type(named):
            self._scalar(plan, inner)
        else:
            self._objects(plan, named, nodes, inner)
        plan.want = inner.want()

    def _scalar(self, plan: FieldPlan, inner: RowSpace) -> None:
        assert isinstance(plan.source, Link)
        assert plan.source.value is not None
        value = plan.source.value
        positions = tuple(inner.position(column) for column in value.needs)
        scalar = FieldPlan(
            "value", plan.field_name, plan.nodes, plan.path, plan.nullable, source=value, positions=positions
        )
        shape = generate([Part(expression=_expression(scalar))], 0, self._words)
        scalar.write = leaf(_expression(scalar), self._words)
        scalar.stability = Stability.NAMED
        plan.selections[""] = Selection("", [scalar], [], shape)

    def _objects(self, plan: FieldPlan, named: Any, nodes: list[FieldNode], inner: RowSpace) -> None:
        sets = [node.selection_set for node in nodes if node.selection_set]
        plan.abstract = is_abstract_type(named)
        types = self._schema.get_possible_types(named) if plan.abstract else [named]
        for concrete in types:
            space = inner.of_type(concrete.name) if plan.abstract else inner
            plan.selections[concrete.name] = self.selection(concrete, sets, space, plan.path, general=plan.abstract)


def declaration(definition: GraphQLField) -> Any:
    """What a field's Strawberry declaration says of where it comes from."""
    found = definition.extensions["strawberry-definition"].metadata.get(SOURCE)
    if found is None:
        raise TypeError(f"{definition} does not say where it comes from")
    return found


def scopes_of(typename: str, source: Any) -> Scopes:
    return SCOPES.get(typename, ()) if source.scope is None else source.scope


def _hole(name: str, path: Path) -> FieldPlan:
    return FieldPlan(name, name, [], (*path, name), nullable=False, constant=HOLE, stability=Stability.NAMED)


def fragment_of(concrete: GraphQLObjectType) -> Fragment | None:
    """How the texts of a type's objects are kept, if they are."""
    origin = concrete.extensions["strawberry-definition"].origin
    found: Fragment | None = getattr(origin, "__fragment__", None)
    return found


def stability_of(parent: GraphQLObjectType, source: Any) -> Stability:
    """What a field's own value depends on: as the field says, else as its type does, else on anything."""
    if source.stability is not None:
        return Stability(source.stability)
    origin = parent.extensions["strawberry-definition"].origin
    return getattr(origin, "__stability__", Stability.VOLATILE)


def _typed(definition: GraphQLField, plan: FieldPlan) -> FieldPlan:
    kind: Any = definition.type
    plan.nullable = not is_non_null_type(kind)
    kind = kind if plan.nullable else kind.of_type
    if is_list_type(kind) and not is_leaf_type(get_named_type(kind)):
        assert isinstance(kind, GraphQLList)
        plan.is_list = True
        plan.item_nullable = not is_non_null_type(kind.of_type)
    return plan


def _expression(plan: FieldPlan) -> str:
    source = plan.source
    assert isinstance(source, Leaf)
    text = source.write.replace("function(", f"{_function_name(source)}(") if source.function else source.write
    text = substituted(text, plan.positions)
    return f"('null' if r[{plan.positions[0]}] is None else {text})" if plan.nullable and plan.positions else text


def substituted(write: str, positions: Sequence[int]) -> str:
    """A leaf's expression with the row's values in the places of {0}, {1} …"""
    return re.sub(r"\{(\d+)\}", lambda mark: f"r[{positions[int(mark[1])]}]", write)


def _function_name(source: Leaf) -> str:
    return f"function_{id(source)}"


def _constant_arguments(definition: GraphQLField, nodes: Sequence[FieldNode]) -> Mapping[str, Any] | None:
    """None: a variable stands in them, or they do not coerce (which is the request's error to tell)."""
    pending: list[Any] = [argument.value for argument in nodes[0].arguments or ()]
    while pending:
        value = pending.pop()
        if isinstance(value, VariableNode):
            return None
        pending += [*getattr(value, "values", ()), *[item.value for item in getattr(value, "fields", ())]]
    try:
        return get_argument_values(definition, nodes[0])
    except GraphQLError:
        return None


def cost(selection: Selection, bound: Mapping[FieldPlan, Any], times: int = 1) -> int:
    """About how many values an answer may hold: every field counts once for each row that a page or list may have."""
    total: int = times * len(selection.fields) + sum(plan.introspection_cost for plan in selection.fields)
    if selection.kept is not None:
        total += cost(selection.kept.core, bound, times)
    for plan in selection.children:
        args = bound.get(plan)
        rows = times * _rows(plan, args if isinstance(args, Mapping) else {})
        total += max((cost(below, bound, rows) for below in plan.selections.values()), default=0)
    return total


def _rows(plan: FieldPlan, args: Mapping[str, Any]) -> int:
    for name in ("first", "last"):
        if isinstance(args.get(name), int):
            size: int = args[name]
            return max(size, 1)
    if "ids" in args:
        return max(len(args["ids"]), 1)
    definition = plan.arguments.definition if plan.arguments else None
    if definition is not None and "first" in definition.args:
        return DEFAULT_PAGE
    sized = isinstance(plan.source, Link) and (plan.is_list or plan.source.size > 10)
    return plan.source.size if sized and isinstance(plan.source, Link) else 1
