"""The reference executor: graphql-core, field by field, over the same declarations.

It is what differential tests compare the planned execution with, and what benchmarks run beside it. Each field of each
parent asks its relation alone, so it is slow on purpose; nothing in production uses it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    execute,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    parse,
)

from gateway.errors import describe
from gateway.planning.declared import declaration, substituted
from gateway.planning.plan import RowSpace
from gateway.planning.shaping import leaf, namespace
from gateway.planning.writing import WORDS
from resolvers.context import Context, Services
from resolvers.fields import Inline, Leaf, Link, Nested
from sources.caller import Caller
from sources.errors import InvalidArgument
from sources.reading import Failure, Tagged, Want


@dataclass(frozen=True, slots=True)
class Source:
    """A row with every column of its type, in the order that `want` gives."""

    typename: str
    row: Any
    want: Want

    def value(self, column: str) -> Any:
        return self.row[self.want.columns.index(column)]


class ReferenceContext(Context):
    """graphql-core resolves siblings at the same time; one snapshot takes one statement at a time."""

    def __init__(self, services: Services, caller: Caller) -> None:
        super().__init__(services, caller)
        self._one_at_a_time = asyncio.Lock()

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        async with self._one_at_a_time:
            return await super().fetch(sql, *args)


class Reference:
    """Runs documents on a schema of its own: it sets resolvers there."""

    def __init__(self, schema: GraphQLSchema, services: Services) -> None:
        self._schema = schema
        self._services = services
        directory = services.directory
        self._words = namespace({**WORDS, "codes": directory.codes, "functional": directory.exponents})
        self._wants: dict[str, Want] = {}
        for kind in schema.type_map.values():
            if is_abstract_type(kind):
                kind.resolve_type = lambda value, *_: value.typename
            elif is_object_type(kind) and not kind.name.startswith("__"):
                kind.is_type_of = None
                for field in kind.fields.values():
                    self._equip(field)

    async def run(
        self,
        query: str,
        caller: Caller,
        variables: Mapping[str, Any] | None = None,
        operation_name: str | None = None,
    ) -> dict[str, Any]:
        """{"data", "errors"?} with errors as clients see them."""
        async with ReferenceContext(self._services, caller) as context:
            result = execute(
                self._schema,
                parse(query),
                context_value=context,
                variable_values=dict(variables or {}),
                operation_name=operation_name,
            )
            if not isinstance(result, ExecutionResult):
                result = await result
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [describe(_told(error), "") for error in result.errors]
        return answer

    def _equip(self, field: GraphQLField) -> None:
        source = declaration(field)
        named = get_named_type(field.type)
        if isinstance(source, Leaf):
            field.resolve = self._leaf(source)
        elif isinstance(source, Inline):
            field.resolve = lambda value, _info: Source(named.name, value.row, value.want)
        elif isinstance(source, Nested):
            column = source.column
            field.resolve = lambda value, _info: _wrapped(field, named, value.value(column), value.want.nested[column])
        elif isinstance(source, Link):
            field.resolve = self._link(source, field, named)

    def _leaf(self, source: Leaf) -> Callable[[Any, Any], Any]:
        write: Callable[[Any], str]
        if source.function is not None:
            function = source.function
            write = lambda row: function(*row)  # noqa: E731
        else:
            write = leaf(substituted(source.write, range(len(source.needs))), self._words)

        def resolve(value: Source, _info: Any) -> Any:
            row = [value.value(column) for column in source.needs]
            return None if row and row[0] is None else orjson.loads(write(row))

        return resolve

    def _link(self, source: Link, field: GraphQLField, named: Any) -> Callable[..., Any]:
        scalar = self._leaf(source.value) if source.value else None
        scalar_want = Want(tuple(dict.fromkeys(source.value.needs))) if source.value else Want()

        async def resolve(value: Source | None, info: Any, **args: Any) -> Any:
            context: ReferenceContext = info.context
            key = tuple([value.value(column) for column in source.key] if value else [args[name] for name in source.by])
            if None in key:
                return None
            want = scalar_want if scalar else self._want(named)
            if source.prepare:
                await source.prepare(context, want, args)
            if source.writes:
                await context.end_snapshot()
            found = (await source.relation(context, [key], want, args)).get(key)
            if isinstance(found, Failure):
                raise found.error
            if scalar is not None:
                return None if found is None else scalar(Source("", found, want), info)
            return _wrapped(field, named, found, want)

        return resolve

    def _want(self, named: Any) -> Want:
        if named.name not in self._wants:
            space = RowSpace()
            self._fill_any(space, named)
            self._wants[named.name] = space.want()
        return self._wants[named.name]

    def _fill(self, space: RowSpace, kind: GraphQLObjectType) -> None:
        """Every column that any field of the type may need."""
        for name, field in kind.fields.items():
            source = declaration(field)
            space.fields.add(name)
            named = get_named_type(field.type)
            for column in source.needs if isinstance(source, Leaf) else source.key if isinstance(source, Link) else ():
                space.position(column)
            if isinstance(source, Inline):
                self._fill(space, named)
            elif isinstance(source, Nested) and not is_leaf_type(named):
                self._fill_any(space.nested(source.column), named)

    def _fill_any(self, space: RowSpace, named: Any) -> None:
        if not is_abstract_type(named):
            self._fill(space, named)
            return
        for concrete in self._schema.get_possible_types(named):
            self._fill(space.of_type(concrete.name), concrete)


def _told(error: GraphQLError) -> GraphQLError:
    """An error of graphql-core's own at a field can only be about its arguments: values of variables that do not fit there."""
    if error.path is None or not (error.original_error is None or isinstance(error.original_error, GraphQLError)):
        return error
    return GraphQLError(error.message, error.nodes, path=error.path, original_error=InvalidArgument(error.message))


def _wrapped(field: GraphQLField, named: Any, value: Any, want: Want) -> Any:
    kind: Any = field.type
    kind = kind.of_type if is_non_null_type(kind) else kind
    if is_list_type(kind) and value is not None:
        return [_wrapped_one(named, item, want) for item in value]
    return _wrapped_one(named, value, want)


def _wrapped_one(named: Any, value: Any, want: Want) -> Any:
    if value is None:
        return None
    if isinstance(value, Failure):
        return value.error
    if isinstance(value, Tagged):
        return Source(value.typename, value.row, want.types[value.typename])
    return Source(named.name, value, want)
