"""What introspection costs: graphql-core answers it value by value, so how many values it may give is estimated beforehand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    SelectionSetNode,
    is_abstract_type,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
)

INTROSPECTION = ("__schema", "__type")
WEIGHT = 20
"""How many values of a planned answer take the time of one that graphql-core resolves."""

Sizes = Mapping[str, float]
"""Length of each list of the introspection schema, by the name of its field."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """`average`: sizes over all types together, for what stands below the list of every type; `largest`: for a single type,
    which a document can choose."""

    average: Sizes
    largest: Sizes

    @classmethod
    def of(cls, schema: GraphQLSchema) -> Introspection:
        lengths = _lengths(schema)
        whole = {"types": float(len(schema.type_map)), "directives": float(len(schema.directives))}
        return cls(
            {name: sum(found) / max(len(found), 1) for name, found in lengths.items()} | whole,
            {name: float(max(found, default=0)) for name, found in lengths.items()} | whole,
        )

    def cost(self, nodes: Iterable[FieldNode], fragments: Mapping[str, FragmentDefinitionNode]) -> int:
        """About how many values, each weighed, the answer to one introspection field holds."""
        known: dict[tuple[str, bool], float] = {}

        def values(selection_set: SelectionSetNode | None, sizes: Sizes) -> float:
            total = 0.0
            for node in selection_set.selections if selection_set else ():
                if isinstance(node, FieldNode):
                    name = node.name.value
                    total += sizes.get(name, 1.0) * (1 + values(node.selection_set, self._below(name, sizes)))
                elif isinstance(node, FragmentSpreadNode):
                    key = (node.name.value, sizes is self.average)
                    if key not in known:
                        known[key] = values(fragments[node.name.value].selection_set, sizes)
                    total += known[key]
                else:
                    total += values(getattr(node, "selection_set", None), sizes)
            return total

        return int(WEIGHT * sum(1 + values(node.selection_set, self.largest) for node in nodes))

    def _below(self, name: str, sizes: Sizes) -> Sizes:
        if name == "types":
            return self.average
        return self.largest if name in ("type", "ofType", "interfaces", "possibleTypes") else sizes


def _lengths(schema: GraphQLSchema) -> dict[str, list[int]]:
    """Of each list, its length for every type (for args: for every field) of the schema."""
    types: list[Any] = list(schema.type_map.values())

    def each(belongs: Callable[[Any], bool], items: Callable[[Any], Collection[Any]]) -> list[int]:
        return [len(items(kind)) if belongs(kind) else 0 for kind in types]

    composite = [kind for kind in types if is_object_type(kind) or is_interface_type(kind)]
    return {
        "fields": each(composite.__contains__, lambda kind: kind.fields),
        "interfaces": each(is_object_type, lambda kind: kind.interfaces),
        "inputFields": each(is_input_object_type, lambda kind: kind.fields),
        "enumValues": each(is_enum_type, lambda kind: kind.values),
        "possibleTypes": each(is_abstract_type, schema.get_possible_types),
        "args": [len(field.args) for kind in composite for field in kind.fields.values()],
    }
