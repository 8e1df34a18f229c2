"""What the endpoints and the engine say to each other: a request, an operation made of it, and a refusal.

The endpoints (HTTP, WebSocket, server-sent events) know nothing of GraphQL beyond this; the engine knows nothing of transports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from sources.caller import Caller

OperationKind: TypeAlias = Literal["query", "mutation", "subscription"]

ErrorObject: TypeAlias = dict[str, Any]
"""An error as the GraphQL specification (7.1.2) states it, JSON-able: {"message", "extensions", "path"?, "locations"?}."""


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """One request as a client sent it. `variables` are JSON values as parsed; whole numbers of any size are exact ints,
    numbers with a fraction or an exponent are floats. `request_id` is repeated in logs and in every error."""

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    request_id: str = ""


class RequestRefused(Exception):
    """The document as a whole is refused before anything was executed: `errors` are ready GraphQL error objects,
    `http_status` is what an endpoint that speaks HTTP answers with (400, 403, 413, 503 …)."""

    def __init__(self, errors: Sequence[ErrorObject], http_status: int = 400) -> None:
        super().__init__(errors[0]["message"] if errors else "refused")
        self.errors = list(errors)
        self.http_status = http_status


class Operation(Protocol):
    """A request that may be executed: parsed, validated, costed, authorised and bound to its caller."""

    @property
    def kind(self) -> OperationKind: ...


class Results:
    """Complete JSON execution results of one subscription, in order, that go to its readers together. `made`: what a
    transport made of them, by a key of its own, so that it is made once for all readers."""

    __slots__ = ("bodies", "length", "made")

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.bodies = bodies
        self.length = sum(map(len, bodies))
        self.made: dict[Any, Any] = {}


class Sink(Protocol):
    """Where a subscription's results go: one operation of one reader."""

    def begin(self) -> None:
        """The subscription stands: whatever is posted from now on will come."""
        ...

    def offer(self, results: Results) -> bool:
        """Takes all of them, or none and is False when the reader is behind. Never raises."""
        ...

    async def room(self) -> None:
        """Returns once results are taken again."""
        ...


async def deliver(sink: Sink, *bodies: bytes) -> None:
    """Gives results to a sink, and waits for as long as it takes none."""
    results = Results(bodies)
    while not sink.offer(results):
        await sink.room()


class Engine(Protocol):
    """Plans and executes operations."""

    def prepare(self, request: GraphQLRequest, caller: Caller) -> Any:
        """The `Operation` of a request, without I/O. Raises RequestRefused."""
        ...

    async def run(self, operation: Any) -> bytes:
        """One query or mutation -> its complete JSON response. Errors of fields are inside; raises DatabaseUnavailable
        or Overloaded when nothing could be answered."""
        ...

    async def stream(self, operation: Any, sink: Sink) -> None:
        """Gives one subscription's results to the sink until it ends. Raises RequestRefused before the first; an error later
        is a last result {"errors": […]}."""
        ...
