"""How every transport executes: the engine's operations, counted, with whatever goes wrong as a RequestRefused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import orjson
import structlog

from gateway.errors import describe, error_object, http_status
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.requests import Engine, ErrorObject, GraphQLRequest, RequestRefused, Sink, deliver
from sources.caller import Caller

log = structlog.get_logger(__name__)


class Operations:
    """One per process. `transport` is http, sse or websocket."""

    def __init__(self, engine: Engine, metrics: Metrics, limits: Limits) -> None:
        self._engine = engine
        self._metrics = metrics
        self._most_subscriptions = limits.subscriptions_per_caller
        self._subscriptions: Counter[str] = Counter()
        self._unattended: set[asyncio.Task[bytes]] = set()

    def prepare(self, request: GraphQLRequest, caller: Caller, transport: str) -> Any:
        """The operation of a request, with its `kind`. Raises RequestRefused."""
        try:
            return self._engine.prepare(request, caller)
        except Exception as exc:
            raise self._refused(exc, request.request_id, transport, "unknown") from exc

    async def run(self, operation: Any, request_id: str, transport: str) -> bytes:
        """A query's or mutation's whole response. A mutation goes on to its end even when whoever waits for it is cancelled.
        Raises RequestRefused."""
        started = time.perf_counter()
        try:
            run = self._to_its_end if operation.kind == "mutation" else self._engine.run
            answer = await run(operation)
        except Exception as exc:
            raise self._refused(exc, request_id, transport, operation.kind) from exc
        self._metrics.observe(transport, operation.kind, time.perf_counter() - started)
        self._metrics.count(transport, operation.kind, "ok")
        return answer

    async def stream(self, operation: Any, request_id: str, transport: str, caller: Caller, sink: Sink) -> None:
        """Gives a subscription's results to the sink until it ends. What it is refused with is RequestRefused; what fails later
        is a last result of errors alone."""
        try:
            self._count_in(caller, request_id)
            with self._metrics.subscriptions.labels(transport).track_inprogress():
                try:
                    await self._engine.stream(operation, sink)
                finally:
                    self._count_out(caller)
        except Exception as exc:
            refused = self._refused(exc, request_id, transport, "subscription")
            if exc is refused:
                raise
            await deliver(sink, errors_result(refused.errors))
        else:
            self._metrics.count(transport, "subscription", "ok")

    def _count_in(self, caller: Caller, request_id: str) -> None:
        if self._subscriptions[caller.subject] >= self._most_subscriptions:
            message = (
                f"at most {self._most_subscriptions} subscriptions of one caller run in this process: end some first"
            )
            raise RequestRefused([error_object("LIMIT_EXCEEDED", message, request_id)])
        self._subscriptions[caller.subject] += 1

    def _count_out(self, caller: Caller) -> None:
        self._subscriptions[caller.subject] -= 1
        if not self._subscriptions[caller.subject]:
            del self._subscriptions[caller.subject]

    async def finish(self, seconds: float) -> None:
        """Wait for mutations whose clients have gone, at most so long."""
        if self._unattended:
            await asyncio.wait(self._unattended, timeout=seconds)

    async def _to_its_end(self, operation: Any) -> bytes:
        task = asyncio.ensure_future(self._engine.run(operation))
        self._unattended.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[bytes]) -> None:
        self._unattended.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.debug("a mutation failed", error=type(task.exception()).__name__)

    def _refused(self, exc: Exception, request_id: str, transport: str, kind: str) -> RequestRefused:
        if isinstance(exc, RequestRefused):
            refused, outcome = exc, "refused"
        else:
            refused, outcome = refusal_of(exc, request_id), "failed"
        self._metrics.count(transport, kind, outcome, code_in(refused.errors))
        return refused


def refusal_of(exc: Exception, request_id: str) -> RequestRefused:
    """The refusal that an exception amounts to; itself when it is one."""
    if isinstance(exc, RequestRefused):
        return exc
    return RequestRefused([describe(exc, request_id)], http_status(exc))


def errors_result(errors: list[ErrorObject]) -> bytes:
    """A response of errors alone, without data: nothing was executed (GraphQL specification, 7.1)."""
    return orjson.dumps({"errors": errors})


def code_in(errors: list[ErrorObject]) -> str:
    """The code of the first error, for counting."""
    return str(errors[0].get("extensions", {}).get("code", "")) if errors else ""
