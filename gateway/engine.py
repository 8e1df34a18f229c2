"""The engine: a document is planned once, kept, and run for each request with its variables and its caller."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any

import asyncpg
import orjson
from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    execute_sync,
    get_variable_values,
)
from graphql.execution.values import VariableValues

from gateway.alike import Alike, Answer
from gateway.errors import CODES, code_of, describe, error_object
from gateway.execution import Bound, Execution
from gateway.kept import KeptTexts
from gateway.limits import Limits
from gateway.pages import Subscription
from gateway.planning import document
from gateway.planning.building import Planner
from gateway.planning.collect import Collector
from gateway.planning.cost import cost
from gateway.planning.inputs import Variables
from gateway.planning.plan import FieldPlan, Plan
from gateway.planning.writing import WORDS
from gateway.requests import ErrorObject, GraphQLRequest, OperationKind, RequestRefused, Sink, deliver
from gateway.streaming import Streams, error_result
from resolvers.context import Context, SecondStatement, Services
from resolvers.fields import Link, Stability
from sources.caller import Caller
from sources.errors import DatabaseUnavailable, LedgergraphError
from sources.ledger.feed import Feed

MAX_VARIABLE_ERRORS = 20
MAX_VARIANTS = 64
PLANNED_CHARACTERS = 1_048_576
"""Length of all documents whose plans are kept, once for each plan: one takes some two hundred times its document's length."""


@dataclass(slots=True)
class _Planned:
    """A document's operation with its plans, one for each setting of its @skip and @include variables; `length` of the
    document."""

    operation: document.Operation
    length: int
    plans: dict[tuple[bool, ...], Plan] = field(default_factory=dict)
    variables: Variables | None = None
    runs: int = 0

    @property
    def characters(self) -> int:
        return self.length * max(1, len(self.plans))


@dataclass(slots=True)
class BoundOperation:
    """A request that may run: planned, costed, authorised and bound to its variables and caller."""

    request: GraphQLRequest
    caller: Caller
    planned: _Planned
    plan: Plan
    bound: Bound

    @property
    def operation(self) -> document.Operation:
        return self.planned.operation

    @property
    def kind(self) -> OperationKind:
        return self.operation.kind  # type: ignore[return-value]


class Engine:
    """Plans and runs operations: see `gateway.requests.Engine`."""

    def __init__(self, schema: GraphQLSchema, services: Services, feed: Feed, limits: Limits) -> None:
        self._schema = schema
        self._services = services
        self._limits = limits
        directory = services.directory
        words = {**WORDS, "codes": directory.codes, "functional": directory.exponents}
        self._planner = Planner(schema, words, limits.fields)
        self._planned: OrderedDict[tuple[str, str | None], _Planned] = OrderedDict()
        self._planned_characters = 0
        self._answers = KeptTexts(limits.answer_cache_bytes)
        self._fragments = KeptTexts(limits.fragment_cache_bytes)
        self._alike = Alike()
        self.streams = Streams(services, feed, limits.answer_bytes)

    # ------------------------------------------------------------ preparing

    def prepare(self, request: GraphQLRequest, caller: Caller) -> BoundOperation:
        """Raises RequestRefused."""
        try:
            document.check_variables(request.variables, self._limits)
            planned = self._read(request)
            variables = self._variables(planned, request)
            plan = self._plan(planned, variables.coerced, keeping=self._keeps(planned))
        except document.InvalidDocument as invalid:
            raise RequestRefused([describe(error, request.request_id) for error in invalid.errors]) from invalid
        except GraphQLError as error:
            raise RequestRefused([describe(error, request.request_id)], _status(error)) from error
        bound = {linked: _bind(linked, variables) for linked in plan.linked}
        self._authorise(plan, bound, caller, request.request_id)
        estimate = cost(plan.root, bound)
        if estimate > self._limits.cost:
            message = f"the answer may hold {estimate} values; the limit is {self._limits.cost}: ask for smaller pages"
            raise RequestRefused([error_object("LIMIT_EXCEEDED", message, request.request_id)])
        planned.runs += 1
        return BoundOperation(request, caller, planned, plan, bound)

    def _variables(self, planned: _Planned, request: GraphQLRequest) -> VariableValues:
        quick = planned.variables.coerce(request.variables) if planned.variables else None
        if quick is not None:
            return quick
        definitions = planned.operation.definition.variable_definitions or ()
        values = get_variable_values(self._schema, definitions, dict(request.variables), max_errors=MAX_VARIABLE_ERRORS)
        if isinstance(values, list):
            raise RequestRefused([_bad_input(error, request.request_id) for error in values])
        planned.variables = planned.variables or Variables.of(values)
        return values

    def _read(self, request: GraphQLRequest) -> _Planned:
        key = (request.query, request.operation_name)
        planned = self._planned.get(key)
        if planned is None:
            operation = document.read(self._schema, request.query, request.operation_name, self._limits)
            planned = self._planned[key] = _Planned(operation, len(request.query))
            self._bound_plans(planned.characters)
        else:
            self._planned.move_to_end(key)
        return planned

    def _bound_plans(self, more: int) -> None:
        self._planned_characters += more
        while len(self._planned) > self._limits.plan_cache or self._planned_characters > PLANNED_CHARACTERS:
            _, dropped = self._planned.popitem(last=False)
            self._planned_characters -= dropped.characters

    def _keeps(self, planned: _Planned) -> bool:
        """Texts of entries are kept from a document's second run on, so that documents that never return cost nothing."""
        return self._fragments.on and planned.runs > 0 and planned.operation.kind == "query"

    def _plan(self, planned: _Planned, variables: Mapping[str, Any], *, keeping: bool) -> Plan:
        operation = planned.operation
        for name in operation.switches:
            if name in variables and variables[name] is None:  # a default lets a nullable variable stand here
                message = f"Variable '${name}' decides @skip or @include: it must not be null."
                raise GraphQLError(message, extensions={"code": "BAD_USER_INPUT"})
        switches = {name: bool(variables.get(name)) for name in operation.switches}
        key = (keeping, *switches.values())
        plan = planned.plans.get(key)
        if plan is None:
            root_type = self._schema.get_root_type(operation.definition.operation)
            assert root_type is not None
            collector = Collector(self._schema, operation.fragments, switches)
            plan = self._planner.plan(root_type, operation.definition.selection_set, collector, keeping=keeping)
            self._keep_plan(planned, key, plan)
        return plan

    def _keep_plan(self, planned: _Planned, key: tuple[bool, ...], plan: Plan) -> None:
        before = planned.characters
        if key[0]:
            planned.plans.pop((False, *key[1:]), None)  # a document keeps texts from its second run on, for good
        if len(planned.plans) < MAX_VARIANTS:
            planned.plans[key] = plan
        self._bound_plans(planned.characters - before)

    def _authorise(self, plan: Plan, bound: Bound, caller: Caller, request_id: str) -> None:
        demands = [(demanded.path, demanded.scopes) for demanded in plan.demands]
        for linked in plan.linked:
            args = bound[linked]
            if isinstance(linked.source, Link) and linked.source.demand and not isinstance(args, GraphQLError):
                demands.append((linked.path, linked.source.demand(args)))
        errors = []
        for path, scopes in demands:
            missing = [scope for scope in scopes if scope not in caller.scopes]
            if missing:
                message = f"your token lacks the scope {' and '.join(missing)}, which {'.'.join(path)} needs"
                errors.append(error_object("FORBIDDEN", message, request_id, path))
        if errors:
            raise RequestRefused(errors, CODES["FORBIDDEN"])

    # ------------------------------------------------------------ running

    async def run(self, operation: BoundOperation) -> bytes:
        """The complete JSON response. Raises DatabaseUnavailable or Overloaded when nothing could be answered."""
        try:
            return await self._run(operation)
        except asyncpg.InvalidCachedStatementError as error:
            # A migration changed a table under a prepared statement; asyncpg has dropped it, so once more is enough.
            if operation.kind == "mutation":
                raise DatabaseUnavailable("the ledger store was just migrated; send the same request again") from error
            return await self._run(operation)

    async def _run(self, operation: BoundOperation) -> bytes:
        """What took one statement the last time will most likely take one again, which needs no transaction around it."""
        plan = operation.plan
        if plan.statements == 1 and operation.kind == "query" and not plan.prepares:
            try:
                return await self._run_in(Context(self._services, operation.caller, alone=True), operation)
            except SecondStatement:
                plan.statements = 0
        return await self._run_in(Context(self._services, operation.caller), operation)

    async def _run_in(self, context: Context, operation: BoundOperation) -> bytes:
        request_id = operation.request.request_id
        execution = Execution(context, operation.bound, request_id, self._limits.answer_bytes, self._fragments)
        if operation.kind != "mutation":
            prepared = [execution.prepare(plan) for plan in operation.plan.root.fields]
            await (prepared[0] if len(prepared) == 1 else asyncio.gather(*prepared))
        if not context.freshness or any(each.stale for each in context.freshness.values()):
            return (await self._execute(operation, execution))[0]
        return await self._alike.run(_likeness(operation, context), partial(self._execute, operation, execution))

    async def _execute(self, operation: BoundOperation, execution: Execution) -> Answer:
        request_id = operation.request.request_id
        async with execution.context as context:
            parts = []
            for plan in operation.plan.root.fields:
                parts.append(f'"{plan.name}":{await self._root(execution, plan, operation)}')
                if operation.kind == "mutation":
                    await context.end_snapshot()
        operation.plan.statements = context.statements
        body = f'{{"data":{{{",".join(parts)}}}'
        if execution.errors:
            body += f',"errors":{_dumps(execution.told())}'
        if context.freshness:
            body += f',"extensions":{{"sources":{_dumps(_sources(context))}}}'
        answer = f"{body}}}".encode()
        if len(answer) > self._limits.answer_bytes:
            message = f"the answer has {len(answer)} bytes; the limit is {self._limits.answer_bytes}: ask for less"
            return orjson.dumps({"data": None, "errors": [error_object("LIMIT_EXCEEDED", message, request_id)]}), False
        return answer, not execution.errors

    async def _root(self, execution: Execution, plan: FieldPlan, operation: BoundOperation) -> str:
        if plan.constant is not None:
            return plan.constant
        if plan.introspects:
            return self._introspect(execution, plan, operation)
        if plan.stability <= Stability.POSTED and self._answers.on and operation.planned.runs > 1:
            return await self._kept_or_run(execution, plan, operation)
        return await execution.root_field(plan)

    async def _kept_or_run(self, execution: Execution, plan: FieldPlan, operation: BoundOperation) -> str:
        """The field's text as it was kept for the ledger's present version, or written now and kept."""
        args, context = operation.bound.get(plan), execution.context
        assert isinstance(plan.source, Link)
        if plan.source.ledger is None or not isinstance(args, Mapping):
            return await execution.root_field(plan)
        found = await context.ledgers([args[plan.source.ledger]])
        version = await context.version(found[0].ledger_id) if found else None
        if version is None:
            return await execution.root_field(plan)
        key = (operation.plan.number, plan.name, found[0].ledger_id, version, _digest(operation, plan))
        text = self._answers.get(key)
        if text is None:
            before = len(execution.errors)
            text = await execution.root_field(plan)
            if len(execution.errors) == before:
                self._answers.keep(key, text)
        return text

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

    async def stream(self, operation: BoundOperation, sink: Sink) -> None:
        """Gives a complete execution result for each event; an error is a last result {"errors": […]}."""
        request_id = operation.request.request_id
        if not operation.plan.root.fields:
            return
        plan = operation.plan.root.fields[0]
        args = operation.bound.get(plan)
        if isinstance(args, GraphQLError):
            raise RequestRefused([_bad_input(args, request_id)])
        try:
            await self.streams.run(Subscription(plan, operation.bound, operation.caller, request_id), sink)
        except (LedgergraphError, asyncpg.PostgresError) as error:
            await deliver(sink, error_result(error, request_id))


def _likeness(operation: BoundOperation, context: Context) -> Hashable:
    """What an answer depends on besides the database."""
    request, caller = operation.request, operation.caller
    fresh = tuple((each.source, each.as_of) for each in context.freshness.values())
    return (request.query, request.operation_name, repr(request.variables), caller.scopes, caller.ledgers, fresh)


def _digest(operation: BoundOperation, plan: FieldPlan) -> bytes:
    """Of the arguments of a root field and those below it: they may be as long as a request."""
    below = [value for linked, value in operation.bound.items() if linked.path[0] == plan.name]
    return sha256(repr(below).encode()).digest()


def _bind(plan: FieldPlan, variables: Any) -> Any:
    try:
        return plan.arguments.bind(variables) if plan.arguments else {}
    except GraphQLError as error:
        return error


def _bad_input(error: GraphQLError, request_id: str) -> ErrorObject:
    found = describe(error, request_id)
    return error_object("BAD_USER_INPUT", found["message"], request_id, None, found.get("locations"))


def _argument_error(error: GraphQLError, request_id: str) -> ErrorObject:
    """Of an introspection field: nothing else can be wrong there than values of variables that do not fit its arguments."""
    found = describe(error, request_id)
    return error_object("INVALID_ARGUMENT", found["message"], request_id, found.get("path"), found.get("locations"))


def _status(error: GraphQLError) -> int:
    return CODES[code_of(error) or "INTERNAL"]


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
