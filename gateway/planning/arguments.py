"""A field's arguments: what literals and defaults give is coerced once, variables come already coerced.

graphql-core coerces all arguments anew for every request. Here it is asked once for what no variable decides, and for each
request only where a literal holds variables, or to say what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLField,
    Node,
    Undefined,
    VariableNode,
    get_argument_values,
    is_non_null_type,
    is_required_argument,
)
from graphql.execution.values import VariableValues

Args = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Argument:
    """One that a variable gives, or (without `variable`) one whose `value` is known. `value`: with a variable, what stands for
    one that is absent; Undefined: nothing does. `required`: it is never null."""

    name: str
    variable: str | None
    value: Any
    required: bool = False


@dataclass(frozen=True, slots=True)
class Arguments:
    """`constant`: all of them, when no variable decides. `_arguments`: those that have a value, in the definition's order; None:
    graphql-core is asked each time."""

    definition: GraphQLField
    node: FieldNode
    constant: Args | None
    _arguments: Sequence[_Argument] | None

    @staticmethod
    def of(definition: GraphQLField, node: FieldNode) -> Arguments:
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        try:
            found = [_argument(definition, node, name, given.get(name)) for name in definition.args]
        except (GraphQLError, _HoldsVariables):  # the request's error to tell, or to be put together for each request
            return Arguments(definition, node, None, None)
        arguments = [each for each in found if each.variable is not None or each.value is not Undefined]
        decided = all(each.variable is None for each in arguments)
        constant = {each.name: each.value for each in arguments} if decided else None
        return Arguments(definition, node, constant, arguments)

    def bind(self, variables: VariableValues) -> Args:
        """Raises GraphQLError."""
        if self.constant is not None:
            return self.constant
        if self._arguments is None:
            return get_argument_values(self.definition, self.node, variables)
        coerced, bound = variables.coerced, {}
        for argument in self._arguments:
            value = argument.value
            if argument.variable is not None and argument.variable in coerced:
                value = coerced[argument.variable]
            if argument.required and (value is None or value is Undefined):
                return get_argument_values(self.definition, self.node, variables)
            if value is not Undefined:
                bound[argument.name] = value
        return bound

    @property
    def known(self) -> Args:
        """Those that no variable decides."""
        return {each.name: each.value for each in self._arguments or () if each.variable is None}

    def decides(self, names: Iterable[str]) -> bool:
        """Whether a request's variables decide any of the arguments of these names."""
        if self.constant is not None:
            return False
        return self._arguments is None or any(
            each.variable is not None and each.name in names for each in self._arguments
        )


class _HoldsVariables(Exception):
    """A literal in which variables stand."""


def _argument(definition: GraphQLField, node: FieldNode, name: str, value: Node | None) -> _Argument:
    argument = definition.args[name]
    if isinstance(value, VariableNode):
        absent = Undefined if is_required_argument(argument) else _alone(definition, name, FieldNode(name=node.name))
        return _Argument(argument.out_name or name, value.name.value, absent, is_non_null_type(argument.type))
    if value is not None and _holds_variables(value):
        raise _HoldsVariables
    return _Argument(argument.out_name or name, None, _alone(definition, name, node))


def _alone(definition: GraphQLField, name: str, node: FieldNode) -> Any:
    """What graphql-core makes of this argument in the node, or of its absence there; Undefined: nothing."""
    argument = definition.args[name]
    found = get_argument_values(GraphQLField(definition.type, args={name: argument}), node)
    return found.get(argument.out_name or name, Undefined)


def _holds_variables(value: Node) -> bool:
    pending: list[Any] = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, VariableNode):
            return True
        pending += [*getattr(each, "values", ()), *[item.value for item in getattr(each, "fields", ())]]
    return False
