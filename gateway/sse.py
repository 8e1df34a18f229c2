"""Server-sent events: graphql-sse, distinct connections mode (https://github.com/enisdenjo/graphql-sse, PROTOCOL.md).

One operation, one response: `event: next` with an execution result each, then `event: complete`. A stream that the server
ends early for the reader to resume (shutdown) ends without `complete`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog
from starlette.types import Receive, Send

from gateway.errors import error_object
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.operations import errors_result
from gateway.outbox import Outbox
from gateway.requests import RequestRefused

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 12.0
"""A comment is sent after so much silence, so that proxies keep the connection."""

LAST_WORDS_SECONDS = 60.0
"""How long a stalled reader may take to come back for the reason why its stream ended; nothing but the connection is held."""

COMPLETE = b"event: complete\ndata:\n\n"
_COMMENT = b":\n\n"


@dataclass(frozen=True, slots=True)
class Terms:
    """What bounds one stream. `expires_at`: the token's, seconds since the epoch."""

    request_id: str
    expires_at: float
    limits: Limits
    metrics: Metrics


def next_event(result: bytes) -> bytes:
    """One execution result as an event."""
    if b"\n" in result:
        result = result.replace(b"\n", b"\ndata: ")
    return b"event: next\ndata: " + result + b"\n\n"


class EventStreams:
    """The open streams of one process, so that a shutdown can end them: they would not end by themselves."""

    def __init__(self) -> None:
        self._open: set[EventStream] = set()

    async def serve(
        self,
        receive: Receive,
        send: Send,
        headers: list[tuple[bytes, bytes]],
        results: AsyncGenerator[bytes, None],
        terms: Terms,
    ) -> None:
        """Answer with the results as events, until they end, the token expires, or the reader leaves or stalls."""
        stream = EventStream(receive, send, results, terms)
        self._open.add(stream)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await stream.serve()
        finally:
            self._open.discard(stream)

    def stop(self) -> None:
        """End every stream without `complete`: clients reconnect elsewhere and resume."""
        for stream in list(self._open):
            stream.stop()


class EventStream:
    """One response. Three tasks: the pump takes results, the writer sends, and one waits for the client to leave."""

    def __init__(self, receive: Receive, send: Send, results: AsyncGenerator[bytes, None], terms: Terms) -> None:
        self._receive, self._send, self._results, self._terms = receive, send, results, terms
        self._outbox: Outbox[bytes] = Outbox(self._write, terms.limits.socket_queue)
        self._pump: asyncio.Task[None] | None = None

    async def serve(self) -> None:
        self._pump = asyncio.create_task(self._take_results())
        writer = asyncio.create_task(self._outbox.run())
        gone = asyncio.create_task(self._wait_until_gone())
        try:
            await self._watch(self._pump, writer, gone)
        finally:
            tasks = (self._pump, writer, gone)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()

    async def _watch(self, pump: asyncio.Task[None], writer: asyncio.Task[None], gone: asyncio.Task[None]) -> None:
        while True:
            await asyncio.wait({pump, writer, gone}, timeout=self._pause(), return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or writer.done():
                return
            if pump.done():
                if not pump.cancelled() and pump.exception() is not None:
                    log.error("a stream failed", exc_info=pump.exception())
                await self._finish(gone)
                return
            if time.time() >= self._terms.expires_at:
                pump.cancel()
                await self._end_with("TOKEN_EXPIRED", "the token has expired: connect again with a new one", gone)
                return
            if self._outbox.stalled(self._terms.limits.stall_seconds):
                pump.cancel()
                self._outbox.clear()
                self._terms.metrics.stalled_readers.labels("sse").inc()
                await self._end_with("SLOW_CONSUMER", "the reader stalled: resume with the last cursor", gone)
                return
            if self._outbox.idle and time.monotonic() - self._outbox.wrote_at >= KEEP_ALIVE_SECONDS:
                self._outbox.force("", _COMMENT)

    def _pause(self) -> float:
        return max(
            0.01,
            min(KEEP_ALIVE_SECONDS / 4, self._terms.limits.stall_seconds / 10, self._terms.expires_at - time.time()),
        )

    async def _take_results(self) -> None:
        try:
            # Closed when the pump ends, not when the reader has taken its last words: a subscription costs more than a socket.
            async with aclosing(self._results) as results:
                async for result in results:
                    await self._outbox.put("", next_event(result))
        except RequestRefused as exc:
            await self._outbox.put("", next_event(errors_result(exc.errors)))
        await self._outbox.put("", COMPLETE)
        await self._outbox.drain()

    async def _end_with(self, code: str, message: str, gone: asyncio.Task[None]) -> None:
        last = errors_result([error_object(code, message, self._terms.request_id)])
        self._outbox.force("", next_event(last) + COMPLETE)
        await self._finish(gone)

    async def _finish(self, gone: asyncio.Task[None]) -> None:
        drained = asyncio.create_task(self._say_goodbye())
        await asyncio.wait({drained, gone}, timeout=LAST_WORDS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()
        await asyncio.gather(drained, return_exceptions=True)

    async def _say_goodbye(self) -> None:
        await self._outbox.drain()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, event: bytes) -> None:
        await self._send({"type": "http.response.body", "body": event, "more_body": True})

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
