"""Runs bound operations: from an answer that is kept, together with others that ask alike, or alone.

A query is read in a snapshot that begins after it was asked. While one is being read, others that differ from it in nothing,
or in the one object that they ask for, wait for the next reading and share it (`sources.gathering`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import orjson
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
)

from gateway.bound import BoundOperation, root_row
from gateway.errors import describe, error_object
from gateway.execution import Execution
from gateway.kept import KeptTexts
from gateway.limits import Limits
from gateway.planning.plan import FieldPlan
from gateway.requests import ErrorObject
from resolvers.context import Context, SecondStatement, Services
from resolvers.fields import Link
from sources.gathering import Gathering
from sources.ledger.versions import Version
from sources.mirror.freshness import Freshness
from sources.reading import Key, Row

_SHELF: Key = ()
"""All answers stand on one: hardly two have a version of their ledgers in common for long."""

Answer = tuple[bytes, BoundOperation | None]
"""A complete response, and to which operation alone it may be told, because its errors tell that one's request id."""


class Answering:
    """Queries and mutations of one process."""

    def __init__(self, schema: GraphQLSchema, services: Services, limits: Limits) -> None:
        self._schema = schema
        self._services = services
        self._limits = limits
        self.answers: KeptTexts[bytes] = KeptTexts(limits.answer_cache_bytes)
        self.fragments: KeptTexts[str] = KeptTexts(limits.fragment_cache_bytes)
        self._gathering = Gathering(services.reading_group)

    async def answer(self, operation: BoundOperation) -> bytes:
        """The complete JSON response. Raises DatabaseUnavailable or Overloaded when nothing could be answered."""
        if operation.kind == "mutation":
            return (await self._execute(operation, self._execution(operation), [()]))[()][0]
        key = await self._key(operation)
        kept = self.answers.get(_SHELF, key) if key else None
        if kept is not None:
            return kept
        body, alone = await self._read(operation)
        if key and alone is None:
            self.answers.keep(_SHELF, key, body)
        return body

    # ------------------------------------------------------------ keeping

    async def _key(self, operation: BoundOperation) -> Key | None:
        """By which the answer is kept: with the versions of its ledgers as they are now. None: it is not kept. From a document's
        second run on, so that documents that never return cost nothing."""
        if not (self.answers.on and operation.plan.keepable and operation.planned.runs > 1):
            return None
        codes = []
        for plan in operation.plan.asking:
            args = operation.bound[plan]
            assert isinstance(plan.source, Link)
            if plan.source.ledger is None or isinstance(args, GraphQLError):
                return None
            codes.append(args[plan.source.ledger])
        versions = await self._versions(operation, codes)
        if versions is None:
            return None
        digest = sha256(repr(list(operation.bound.values())).encode()).digest()  # they may be as long as a request
        return (operation.plan.number, *versions, digest)

    async def _versions(
        self, operation: BoundOperation, codes: Sequence[str]
    ) -> tuple[tuple[int, Version], ...] | None:
        context = Context(self._services, operation.caller)
        found = await context.ledgers(codes)
        visible = await context.visible()
        versions = []
        for ref in found:
            version = await self._services.versions.now(visible, ref.ledger_id)
            if version is None:
                return None
            versions.append((ref.ledger_id, version))
        return tuple(versions) if len(versions) == len(set(codes)) else None

    # ------------------------------------------------------------ reading

    async def _read(self, operation: BoundOperation) -> Answer:
        plan = operation.plan
        if plan.introspects or plan.prepares:
            execution = self._execution(operation)
            await self._prepare(operation, execution)
            if plan.introspects or execution.unprepared or any(map(_is_stale, execution.context.freshness.values())):
                return (await self._execute(operation, execution, [operation.member]))[operation.member]
            group, read = _group(operation, execution.context), partial(self._execute, operation, execution)
        else:
            group, read = _group(operation), partial(self._together, operation)
        answer = await self._gathering.ask(group, operation.member, read)
        if answer[1] is None or answer[1] is operation:
            return answer
        return (await read([operation.member]))[operation.member]

    async def _prepare(self, operation: BoundOperation, execution: Execution) -> None:
        if operation.plan.prepares:
            prepared = [execution.prepare(field) for field in operation.plan.root.fields]
            await (prepared[0] if len(prepared) == 1 else asyncio.gather(*prepared))

    async def _together(self, operation: BoundOperation, members: Sequence[Row]) -> Mapping[Row, Answer]:
        """What took one statement the last time will most likely take one again, which needs no transaction around it."""
        plan = operation.plan
        if plan.statements == 1:
            try:
                return await self._execute(operation, self._execution(operation, alone=True), members)
            except SecondStatement:
                plan.statements = 0
        return await self._execute(operation, self._execution(operation), members)

    def _execution(self, operation: BoundOperation, *, alone: bool = False) -> Execution:
        context = Context(self._services, operation.caller, alone=alone)
        request_id = operation.request.request_id
        return Execution(context, operation.bound, request_id, self._limits.answer_bytes, self.fragments)

    async def _execute(
        self, operation: BoundOperation, execution: Execution, members: Sequence[Row]
    ) -> Mapping[Row, Answer]:
        """The complete responses by member. Of several members none, when there are errors: each has to have its own."""
        columns = []
        async with execution.context as context:
            for plan in operation.plan.root.fields:
                texts = await self._root(execution, plan, operation, members)
                columns.append([f'"{plan.name}":{text}' for text in texts])
                if operation.kind == "mutation":
                    await context.end_snapshot()
        operation.plan.statements = context.statements
        if execution.errors and len(members) > 1:
            return {}
        tail = f',"errors":{_dumps(execution.told())}' if execution.errors else ""
        if context.freshness:
            tail += f',"extensions":{{"sources":{_dumps(_sources(context))}}}'
        rows = zip(*columns, strict=True) if columns else [()]
        bodies = [f'{{"data":{{{",".join(parts)}}}{tail}}}'.encode() for parts in rows]
        return dict(zip(members, [self._sized(body, operation, execution) for body in bodies], strict=True))

    def _sized(self, body: bytes, operation: BoundOperation, execution: Execution) -> Answer:
        if len(body) <= self._limits.answer_bytes:
            return body, operation if execution.errors else None
        message = f"the answer has {len(body)} bytes; the limit is {self._limits.answer_bytes}: ask for less"
        error = error_object("LIMIT_EXCEEDED", message, operation.request.request_id)
        return orjson.dumps({"data": None, "errors": [error]}), operation

    async def _root(
        self, execution: Execution, plan: FieldPlan, operation: BoundOperation, members: Sequence[Row]
    ) -> list[str]:
        if plan.constant is not None:
            return [plan.constant] * len(members)
        if plan.introspects:
            return [self._introspect(execution, plan, operation)]
        if plan is operation.plan.single:
            return await execution.root_field(plan, members)
        return await execution.root_field(plan, [root_row(plan, operation.bound)])

    def _introspect(self, execution: Execution, plan: FieldPlan, operation: BoundOperation) -> str:
        definition = operation.operation.definition
        alone = OperationDefinitionNode(
            operation=OperationType.QUERY,
            name=definition.name,
            variable_definitions=definition.variable_definitions,
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(plan.nodes)),
        )
        asked = DocumentNode(definitions=(alone, *operation.operation.fragments.values()))
        result = execute_sync(self._schema, asked, variable_values=dict(operation.request.variables))
        for error in result.errors or ():
            execution.errors.append(_argument_error(error, operation.request.request_id))
        return _dumps((result.data or {}).get(plan.name))


def _group(operation: BoundOperation, context: Context | None = None) -> Hashable:
    """What an answer depends on besides the database and the member; `context`: of an operation that was prepared."""
    plan, caller = operation.plan, operation.caller
    fresh = tuple([(each.source, each.as_of) for each in context.freshness.values()]) if context else ()
    bound = operation.bound.items()
    arguments = [args for field, args in bound if field is not plan.single or isinstance(args, GraphQLError)]
    return (plan.number, caller.scopes, caller.ledgers, fresh, repr(arguments))


def _is_stale(freshness: Freshness) -> bool:
    return freshness.stale


def _argument_error(error: GraphQLError, request_id: str) -> ErrorObject:
    """Of an introspection field: nothing else can be wrong there than values of variables that do not fit its arguments."""
    found = describe(error, request_id)
    return error_object("INVALID_ARGUMENT", found["message"], request_id, found.get("path"), found.get("locations"))


def _sources(context: Context) -> list[dict[str, Any]]:
    return [
        {
            "source": freshness.source,
            "asOf": freshness.as_of.isoformat(timespec="microseconds") if freshness.as_of else None,
            "stale": freshness.stale,
            "error": freshness.error,
        }
        for _, freshness in sorted(context.freshness.items())
    ]


def _dumps(value: Any) -> str:
    return orjson.dumps(value).decode()
