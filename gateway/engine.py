"""The engine: a document is planned once, kept, and run for each request with its variables and its caller."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import asyncpg
from graphql import GraphQLError, GraphQLSchema, get_variable_values
from graphql.execution.values import VariableValues

from gateway.answering import Answering
from gateway.bound import BoundOperation, Planned
from gateway.errors import CODES, code_of, describe, error_object
from gateway.execution import Bound
from gateway.limits import Limits
from gateway.pages import Subscription
from gateway.planning import document
from gateway.planning.building import Planner
from gateway.planning.collect import Collector
from gateway.planning.cost import cost
from gateway.planning.inputs import Variables
from gateway.planning.plan import FieldPlan, Plan
from gateway.planning.writing import WORDS
from gateway.requests import ErrorObject, GraphQLRequest, RequestRefused, Sink, deliver
from gateway.streaming import Streams, error_result
from resolvers.context import Services
from resolvers.fields import Link
from sources.caller import Caller
from sources.errors import DatabaseUnavailable, LedgergraphError
from sources.feed import Feed

MAX_VARIABLE_ERRORS = 20
MAX_VARIANTS = 64
PLANNED_CHARACTERS = 1_048_576
"""Length of all documents whose plans are kept, once for each plan: one takes some two hundred times its document's length."""


class Engine:
    """Plans and runs operations: see `gateway.requests.Engine`."""

    def __init__(self, schema: GraphQLSchema, services: Services, feed: Feed, limits: Limits) -> None:
        self._schema = schema
        self._services = services
        self._limits = limits
        directory = services.directory
        words = {**WORDS, "codes": directory.codes, "functional": directory.exponents}
        self._planner = Planner(schema, words, limits.fields)
        self._planned: OrderedDict[tuple[str, str | None], Planned] = OrderedDict()
        self._planned_characters = 0
        self.answering = Answering(schema, services, limits)
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

    def _variables(self, planned: Planned, request: GraphQLRequest) -> VariableValues:
        quick = planned.variables.coerce(request.variables) if planned.variables else None
        if quick is not None:
            return quick
        definitions = planned.operation.definition.variable_definitions or ()
        values = get_variable_values(self._schema, definitions, dict(request.variables), max_errors=MAX_VARIABLE_ERRORS)
        if isinstance(values, list):
            raise RequestRefused([_bad_input(error, request.request_id) for error in values])
        planned.variables = planned.variables or Variables.of(values)
        return values

    def _read(self, request: GraphQLRequest) -> Planned:
        key = (request.query, request.operation_name)
        planned = self._planned.get(key)
        if planned is None:
            operation = document.read(self._schema, request.query, request.operation_name, self._limits)
            planned = self._planned[key] = Planned(operation, len(request.query))
            self._bound_plans(planned.characters)
        else:
            self._planned.move_to_end(key)
        return planned

    def _bound_plans(self, more: int) -> None:
        self._planned_characters += more
        while len(self._planned) > self._limits.plan_cache or self._planned_characters > PLANNED_CHARACTERS:
            _, dropped = self._planned.popitem(last=False)
            self._planned_characters -= dropped.characters

    def _keeps(self, planned: Planned) -> bool:
        """Texts of entries are kept from a document's second run on, so that documents that never return cost nothing."""
        return self.answering.fragments.on and planned.runs > 0 and planned.operation.kind == "query"

    def _plan(self, planned: Planned, variables: Mapping[str, Any], *, keeping: bool) -> Plan:
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

    def _keep_plan(self, planned: Planned, key: tuple[bool, ...], plan: Plan) -> None:
        before = planned.characters
        if key[0]:
            planned.plans.pop((False, *key[1:]), None)  # a document keeps texts from its second run on, for good
        if len(planned.plans) < MAX_VARIANTS:
            planned.plans[key] = plan
        self._bound_plans(planned.characters - before)

    def _authorise(self, plan: Plan, bound: Bound, caller: Caller, request_id: str) -> None:
        if plan.allows(caller.scopes):
            return
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
            return await self.answering.answer(operation)
        except asyncpg.InvalidCachedStatementError as error:
            # A migration changed a table under a prepared statement; asyncpg has dropped it, so once more is enough.
            if operation.kind == "mutation":
                raise DatabaseUnavailable("the ledger store was just migrated; send the same request again") from error
            return await self.answering.answer(operation)

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


def _bind(plan: FieldPlan, variables: Any) -> Any:
    try:
        return plan.arguments.bind(variables) if plan.arguments else {}
    except GraphQLError as error:
        return error


def _bad_input(error: GraphQLError, request_id: str) -> ErrorObject:
    found = describe(error, request_id)
    return error_object("BAD_USER_INPUT", found["message"], request_id, None, found.get("locations"))


def _status(error: GraphQLError) -> int:
    return CODES[code_of(error) or "INTERNAL"]
