"""Which fields a selection gives for one concrete type (GraphQL specification 6.3.2, CollectFields)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)


@dataclass(frozen=True, slots=True)
class Collector:
    """`switches`: values of the variables that @skip and @include read."""

    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]
    switches: Mapping[str, bool]

    def fields(
        self, concrete: GraphQLObjectType, selection_sets: Iterable[SelectionSetNode]
    ) -> dict[str, list[tuple[FieldNode, bool]]]:
        """By response name, in order: the nodes to merge, each with whether a fragment on this or a narrower type than
        the field's own led to it (which tells that the client means this type)."""
        found: dict[str, list[tuple[FieldNode, bool]]] = {}
        visited: set[str] = set()
        for selection_set in selection_sets:
            self._collect(concrete, selection_set, False, found, visited)
        return found

    def _collect(
        self,
        concrete: GraphQLObjectType,
        selection_set: SelectionSetNode,
        meant: bool,
        found: dict[str, list[tuple[FieldNode, bool]]],
        visited: set[str],
    ) -> None:
        for node in selection_set.selections:
            if not self._included(node):
                continue
            if isinstance(node, FieldNode):
                found.setdefault((node.alias or node.name).value, []).append((node, meant))
                continue
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in visited:
                    continue
                visited.add(node.name.value)
            fragment = self.fragments[node.name.value] if isinstance(node, FragmentSpreadNode) else node
            assert isinstance(fragment, (FragmentDefinitionNode, InlineFragmentNode))
            condition = fragment.type_condition.name.value if fragment.type_condition else None
            if condition is None or self._applies(condition, concrete):
                self._collect(concrete, fragment.selection_set, meant or condition == concrete.name, found, visited)

    def _applies(self, condition: str, concrete: GraphQLObjectType) -> bool:
        if condition == concrete.name:
            return True
        named = self.schema.type_map[condition]
        return is_abstract_type(named) and self.schema.is_sub_type(named, concrete)

    def _included(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            if directive.name.value in ("skip", "include"):
                (argument,) = directive.arguments or ()
                value = argument.value
                on = self.switches[value.name.value] if isinstance(value, VariableNode) else _literal(value)
                if on == (directive.name.value == "skip"):
                    return False
        return True


def _literal(value: object) -> bool:
    assert isinstance(value, BooleanValueNode)
    return value.value
