"""Variables made into arguments' values by functions that are composed once for each input type.

graphql-core walks the type for every value; a posting's input has a hundred. What a composed function refuses is given
to graphql-core, which says why: the two agree, and only one of them explains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLScalarType,
    GraphQLString,
    Undefined,
    is_required_input_field,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature
from graphql.execution.values import VariableValues, VariableValueSource

Coerce = Callable[[Any], Any]


class Refused(Exception):
    """A value that does not fit its type."""


@dataclass(frozen=True, slots=True)
class Variables:
    """The variables of one operation, as graphql-core described them when it coerced them the first time: each with its
    signature and what coerces it."""

    described: Sequence[tuple[str, GraphQLVariableSignature, Coerce]]

    @staticmethod
    def of(values: VariableValues) -> Variables:
        signatures = {name: source.signature for name, source in values.sources.items()}
        return Variables([(name, each, coercer(each.type)) for name, each in signatures.items()])

    def coerce(self, inputs: Mapping[str, Any]) -> VariableValues | None:
        """None: graphql-core has to say what is wrong, or to fill in what is absent."""
        sources, coerced = {}, {}
        try:
            for name, signature, coerce in self.described:
                value = inputs[name]
                sources[name] = VariableValueSource(signature, value)
                coerced[name] = coerce(value)
        except (
            Exception
        ):  # one is absent, or whatever a scalar raises: graphql-core will raise it again, and explain it
            return None
        return VariableValues(sources, coerced)


@lru_cache(maxsize=1_000)
def coercer(kind: GraphQLInputType) -> Coerce:
    """A function from a JSON value to what arguments of this type take; raises Refused, or what the scalar raises."""
    required = isinstance(kind, GraphQLNonNull)
    inner = kind.of_type if isinstance(kind, GraphQLNonNull) else kind
    if isinstance(inner, GraphQLList):
        return _list(coercer(inner.of_type), required)
    if isinstance(inner, GraphQLInputObjectType):
        return _input_object(inner, required)
    assert isinstance(inner, (GraphQLScalarType, GraphQLEnumType))
    return _text(inner, required) if inner is GraphQLString else _leaf(inner.coerce_input_value, required)


def _text(kind: GraphQLScalarType, required: bool) -> Coerce:
    other = _leaf(kind.coerce_input_value, required)
    return lambda value: value if value.__class__ is str else other(value)


def _leaf(parse: Coerce, required: bool) -> Coerce:
    def coerce(value: Any) -> Any:
        if value is None:
            return _null(required)
        parsed = parse(value)
        if parsed is Undefined:
            raise Refused
        return parsed

    return coerce


def _list(item: Coerce, required: bool) -> Coerce:
    def coerce(value: Any) -> Any:
        if isinstance(value, list):
            return [item(each) for each in value]
        return _null(required) if value is None else [item(value)]

    return coerce


def _input_object(kind: GraphQLInputObjectType, required: bool) -> Coerce:
    coercers = [(name, coercer(field.type)) for name, field in kind.fields.items()]
    needed = {name for name, field in kind.fields.items() if is_required_input_field(field)}
    defaults = {
        name: field.default_value for name, field in kind.fields.items() if field.default_value is not Undefined
    }

    def coerce(value: Any) -> Any:
        if value is None:
            return _null(required)
        if not isinstance(value, dict) or not needed <= value.keys():
            raise Refused
        given = {name: coerce_field(value[name]) for name, coerce_field in coercers if name in value}
        if len(given) < len(value):
            raise Refused
        if defaults:
            given = {
                name: given.get(name, defaults.get(name)) for name, _ in coercers if name in given or name in defaults
            }
        return given

    return coerce


def _null(required: bool) -> None:
    if required:
        raise Refused
