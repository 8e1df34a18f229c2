"""What the endpoints and the engine say to each other: a request, an operation made of it, and a refusal.

The endpoints (HTTP, WebSocket, server-sent events) know nothing of GraphQL beyond this; the engine knows nothing of transports.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
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


class Engine(Protocol):
    """Plans and executes operations."""

    def prepare(self, request: GraphQLRequest, caller: Caller) -> Any:
        """The `Operation` of a request, without I/O. Raises RequestRefused."""
        ...

    async def run(self, operation: Any) -> bytes:
        """One query or mutation -> its complete JSON response. Errors of fields are inside; raises DatabaseUnavailable
        or Overloaded when nothing could be answered."""
        ...

    def stream(self, operation: Any) -> AsyncIterator[bytes]:
        """One subscription -> a complete JSON execution result for each event. Raises RequestRefused before the first
        event; an error later is a last result {"errors": […]}, after which the iterator ends."""
        ...
