"""An operation on its way through the engine: its document's plans, and a request that is bound to one of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphql import GraphQLError

from gateway.execution import Bound
from gateway.planning import document
from gateway.planning.inputs import Variables
from gateway.planning.plan import FieldPlan, Plan
from gateway.requests import GraphQLRequest, OperationKind
from resolvers.fields import Link
from sources.caller import Caller
from sources.reading import Row


@dataclass(slots=True)
class Planned:
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


@dataclass(slots=True, eq=False)
class BoundOperation:
    """A request that may run: planned, costed, authorised and bound to its variables and caller."""

    request: GraphQLRequest
    caller: Caller
    planned: Planned
    plan: Plan
    bound: Bound

    @property
    def operation(self) -> document.Operation:
        return self.planned.operation

    @property
    def kind(self) -> OperationKind:
        return self.operation.kind  # type: ignore[return-value]

    @property
    def member(self) -> Row:
        """What distinguishes it from others that are read together with it: the row above its single root field."""
        return root_row(self.plan.single, self.bound) if self.plan.single else ()


def root_row(plan: FieldPlan, bound: Bound) -> Row:
    """What stands above a root field: the values of the arguments by which its relation loads, where it names some."""
    if not isinstance(plan.source, Link) or not plan.source.by:
        return ()
    args = bound[plan]
    if isinstance(args, GraphQLError):
        return ("",) * len(plan.source.by)  # the error stands for whatever is asked for
    return tuple([args[name] for name in plan.source.by])
