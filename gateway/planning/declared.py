"""What a field's declaration says: where it comes from, which scopes it needs, how stable it is, how it is written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLList,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)

from gateway.planning.plan import FieldPlan
from resolvers.fields import (
    SCOPES,
    SOURCE,
    Fragment,
    Leaf,
    Scopes,
    Stability,
)


def declaration(definition: GraphQLField) -> Any:
    """What a field's Strawberry declaration says of where it comes from."""
    found = definition.extensions["strawberry-definition"].metadata.get(SOURCE)
    if found is None:
        raise TypeError(f"{definition} does not say where it comes from")
    return found


def scopes_of(typename: str, source: Any) -> Scopes:
    return SCOPES.get(typename, ()) if source.scope is None else source.scope


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


def typed(definition: GraphQLField, plan: FieldPlan) -> FieldPlan:
    kind: Any = definition.type
    plan.nullable = not is_non_null_type(kind)
    kind = kind if plan.nullable else kind.of_type
    if is_list_type(kind) and not is_leaf_type(get_named_type(kind)):
        assert isinstance(kind, GraphQLList)
        plan.is_list = True
        plan.item_nullable = not is_non_null_type(kind.of_type)
    return plan


def expression(plan: FieldPlan) -> str:
    source = plan.source
    assert isinstance(source, Leaf)
    text = source.write.replace("function(", f"{function_name(source)}(") if source.function else source.write
    text = substituted(text, plan.positions)
    return f"('null' if r[{plan.positions[0]}] is None else {text})" if plan.nullable and plan.positions else text


def substituted(write: str, positions: Sequence[int]) -> str:
    """A leaf's expression with the row's values in the places of {0}, {1} …"""
    return re.sub(r"\{(\d+)\}", lambda mark: f"r[{positions[int(mark[1])]}]", write)


def function_name(source: Leaf) -> str:
    return f"function_{id(source)}"
