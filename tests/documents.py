"""Random valid documents over a schema, for hypothesis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_object_type,
    is_required_argument,
    is_required_input_field,
)
from hypothesis import strategies as st

Pools = Mapping[str, Sequence[Any]]
"""Values to draw from, by argument or input field name, or by "Type.field(argument)"."""


class Documents:
    """Draws documents: `text, variables = draw(Documents(schema, pools).strategy())`."""

    def __init__(
        self, schema: GraphQLSchema, pools: Pools, *, depth: int = 5, roots: Sequence[str] | None = None
    ) -> None:
        self._schema = schema
        self._pools = pools
        self._depth = depth
        self._roots = roots

    def strategy(self) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
        return st.composite(self._document)()

    def _document(self, draw: Any) -> tuple[str, dict[str, Any]]:
        self._aliases = 0
        self._variables: dict[str, tuple[str, Any]] = {}
        assert self._schema.query_type is not None
        fields = {
            name: field
            for name, field in self._schema.query_type.fields.items()
            if self._roots is None or name in self._roots
        }
        names = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3))
        body = " ".join(self._field(draw, "Query", name, fields[name], self._depth) for name in names)
        declared = ", ".join(f"${name}: {kind}" for name, (kind, _) in self._variables.items())
        text = f"query{declared and f'({declared})'} {{ {body} }}"
        return text, {name: value for name, (_, value) in self._variables.items()}

    def _field(self, draw: Any, parent: str, name: str, field: GraphQLField, depth: int) -> str:
        arguments = [
            f"{argument}: {self._argument(draw, parent, name, argument, definition)}"
            for argument, definition in field.args.items()
            if is_required_argument(definition) or draw(st.booleans())
        ]
        alias = ""
        if field.args or draw(st.integers(0, 4)) == 0:
            self._aliases += 1
            alias = f"a{self._aliases}: "
        switch = draw(st.sampled_from([""] * 9 + [" @include(if: true)", " @skip(if: true)", self._switch]))
        switch = switch() if callable(switch) else switch
        given = f"({', '.join(arguments)})" if arguments else ""
        text = f"{alias}{name}{given}{switch}"
        named = get_named_type(field.type)
        return f"{text} {self._selection(draw, named, depth - 1)}" if is_composite_type(named) else text

    def _switch(self) -> str:
        self._variables["switch"] = ("Boolean!", True)
        return " @include(if: $switch)"

    def _selection(self, draw: Any, kind: Any, depth: int) -> str:
        parts = ["__typename"] if draw(st.integers(0, 3)) == 0 else []
        if is_abstract_type(kind):
            members = sorted(self._schema.get_possible_types(kind), key=lambda member: member.name)
            for member in draw(st.lists(st.sampled_from(members), max_size=3)) if members else ():
                parts.append(f"... on {member.name} {self._selection(draw, member, depth)}")
        if not hasattr(kind, "fields"):
            return f"{{ {' '.join(parts or ['__typename'])} }}"
        open_ = [
            name
            for name, field in kind.fields.items()
            if not is_composite_type(get_named_type(field.type)) or depth > 0
        ]
        chosen = draw(st.lists(st.sampled_from(sorted(open_)), max_size=4)) if open_ else []
        parts += [self._field(draw, kind.name, name, kind.fields[name], depth) for name in chosen]
        if is_object_type(kind) and parts and draw(st.integers(0, 9)) == 0:
            parts = [f"... on {kind.name} {{ {' '.join(parts)} }}"]
        return f"{{ {' '.join(parts or ['__typename'])} }}"

    def _argument(self, draw: Any, parent: str, field: str, name: str, definition: GraphQLArgument) -> str:
        value = self._value(draw, f"{parent}.{field}({name})", name, definition.type)
        if draw(st.integers(0, 3)) == 0:
            variable = f"v{len(self._variables)}"
            self._variables[variable] = (str(definition.type), value)
            return f"${variable}"
        return literal(value, definition.type)

    def _value(self, draw: Any, place: str, name: str, kind: Any) -> Any:
        bare = get_nullable_type(kind)
        if bare is kind and draw(st.integers(0, 9)) == 0:
            return None
        if is_list_type(bare):
            items = st.integers(0, 3)
            return [self._value(draw, place, name, bare.of_type) for _ in range(draw(items))]
        if is_input_object_type(bare):
            return {
                field: self._value(draw, field, field, definition.type)
                for field, definition in bare.fields.items()
                if is_required_input_field(definition) or draw(st.integers(0, 2)) == 0
            }
        if is_enum_type(bare):
            return draw(st.sampled_from(sorted(bare.values)))
        if bare.name == "Boolean":
            return draw(st.booleans())
        return draw(st.sampled_from(self._pools.get(place) or self._pools[name]))


def literal(value: Any, kind: Any) -> str:
    """A JSON value as a GraphQL literal."""
    bare = get_nullable_type(kind)
    if value is None:
        return "null"
    if is_list_type(bare):
        return f"[{', '.join(literal(item, bare.of_type) for item in value)}]"
    if is_input_object_type(bare):
        fields = [f"{name}: {literal(item, bare.fields[name].type)}" for name, item in value.items()]
        return f"{{{', '.join(fields)}}}"
    return value if is_enum_type(bare) else json.dumps(value)
