"""Makes plans of operations: selections from what is collected, columns from what is selected."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
)

from gateway.planning.arguments import Arguments
from gateway.planning.collect import Collector
from gateway.planning.declared import (
    declaration,
    expression,
    fragment_of,
    function_name,
    scopes_of,
    stability_of,
    typed,
)
from gateway.planning.document import LimitExceeded
from gateway.planning.introspection import INTROSPECTION, Introspection
from gateway.planning.plan import HOLE, Demanded, FieldPlan, KeptPart, Path, Plan, RowSpace, Selection
from gateway.planning.shaping import Part, Shape, generate, leaf, namespace
from resolvers.fields import (
    Fragment,
    Leaf,
    Link,
    Nested,
    Stability,
    Stream,
)

Collected = Mapping[str, Sequence[tuple[FieldNode, bool]]]
_NUMBERS = itertools.count()


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
            itemgetter(*[space.position(column) for column in (*fragment.key, *fragment.version)]),
            len(fragment.key),
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
                parts.append(Part(child=numbers[id(plan)]))
            elif plan.write is not None:
                parts.append(Part(expression=expression(plan)))
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
        plan = typed(definition, FieldPlan(name, field_name, nodes, path, nullable=True))
        source = plan.source = declaration(definition)
        space.fields.add(field_name)
        scopes = scopes_of(parent.name, source)
        if demanding and scopes:
            self.demands.append(Demanded(path, scopes))
        if definition.args:
            plan.arguments = Arguments.of(definition, nodes[0])
        if plan.arguments or (isinstance(source, Link) and (source.prepare or source.demand)):
            self.linked.append(plan)
        if isinstance(source, Leaf):
            plan.positions = tuple(space.position(column) for column in source.needs)
            if source.function is not None:
                self._words[function_name(source)] = source.function
            plan.write = leaf(expression(plan), self._words)
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
            case Link(key=key, by=by):
                plan.positions = tuple(space.position(column) for column in key) or tuple(range(len(by)))
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
        shape = generate([Part(expression=expression(scalar))], 0, self._words)
        scalar.write = leaf(expression(scalar), self._words)
        scalar.stability = Stability.NAMED
        plan.selections[""] = Selection("", [scalar], [], shape)

    def _objects(self, plan: FieldPlan, named: Any, nodes: list[FieldNode], inner: RowSpace) -> None:
        sets = [node.selection_set for node in nodes if node.selection_set]
        plan.abstract = is_abstract_type(named)
        types = self._schema.get_possible_types(named) if plan.abstract else [named]
        for concrete in types:
            space = inner.of_type(concrete.name) if plan.abstract else inner
            plan.selections[concrete.name] = self.selection(concrete, sets, space, plan.path, general=plan.abstract)


def _hole(name: str, path: Path) -> FieldPlan:
    return FieldPlan(name, name, [], (*path, name), nullable=False, constant=HOLE, stability=Stability.NAMED)
