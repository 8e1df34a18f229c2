"""How every transport executes: the engine's operations, counted, with whatever goes wrong as a RequestRefused."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import orjson
import structlog

from gateway.errors import describe, http_status
from gateway.metrics import Metrics
from gateway.requests import Engine, ErrorObject, GraphQLRequest, RequestRefused
from sources.caller import Caller

log = structlog.get_logger(__name__)


class Operations:
    """One per process. `transport` is http, sse or websocket."""

    def __init__(self, engine: Engine, metrics: Metrics) -> None:
        self._engine = engine
        self._metrics = metrics
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
            answer = await self._answer(operation)
        except Exception as exc:
            raise self._refused(exc, request_id, transport, operation.kind) from exc
        self._metrics.observe(transport, operation.kind, time.perf_counter() - started)
        self._metrics.count(transport, operation.kind, "ok")
        return answer

    async def stream(self, operation: Any, request_id: str, transport: str) -> AsyncGenerator[bytes, None]:
        """A subscription's results. What fails before the first is RequestRefused, later a last result of errors alone."""
        begun = False
        with self._metrics.subscriptions.labels(transport).track_inprogress():
            try:
                async with _closed_at_the_end(self._engine.stream(operation)) as results:
                    async for result in results:
                        begun = True
                        yield result
            except Exception as exc:
                refused = self._refused(exc, request_id, transport, "subscription")
                if not begun:
                    raise refused from exc
                yield errors_result(refused.errors)
            else:
                self._metrics.count(transport, "subscription", "ok")

    async def finish(self, seconds: float) -> None:
        """Wait for mutations whose clients have gone, at most so long."""
        if self._unattended:
            await asyncio.wait(self._unattended, timeout=seconds)

    async def _answer(self, operation: Any) -> bytes:
        if operation.kind != "mutation":
            return await self._engine.run(operation)
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


@asynccontextmanager
async def _closed_at_the_end(results: Any) -> AsyncGenerator[Any, None]:
    if hasattr(results, "aclose"):
        async with aclosing(results):
            yield results
    else:
        yield results
