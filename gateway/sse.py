"""Server-sent events: graphql-sse, distinct connections mode (https://github.com/enisdenjo/graphql-sse, PROTOCOL.md).

One operation, one response: `event: next` with an execution result each, then `event: complete`. A stream that the server
ends early for the reader to resume (shutdown) ends without `complete`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog
from starlette.types import Receive, Send

from gateway.errors import error_object
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.operations import errors_result
from gateway.outbox import Outbox
from gateway.requests import RequestRefused, Results, Sink, deliver

log = structlog.get_logger(__name__)

KEEP_ALIVE_SECONDS = 12.0
"""A comment is sent after so much silence, so that proxies keep the connection."""

LAST_WORDS_SECONDS = 60.0
"""How long a stalled reader may take to come back for the reason why its stream ended; nothing but the connection is held."""

Source = Callable[[Sink], Awaitable[None]]
"""Gives results to a sink until there are no more. What it raises before the first is RequestRefused."""

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


def next_events(results: Results) -> bytes:
    """An event for each result, made once for all readers."""
    made = results.made.get("sse")
    if made is None:
        made = results.made["sse"] = b"".join([next_event(body) for body in results.bodies])
    events: bytes = made
    return events


class EventStreams:
    """The open streams of one process, so that a shutdown can end them: they would not end by themselves."""

    def __init__(self) -> None:
        self._open: set[EventStream] = set()

    async def serve(
        self,
        receive: Receive,
        send: Send,
        headers: list[tuple[bytes, bytes]],
        source: Source,
        terms: Terms,
    ) -> None:
        """Answer with the results as events, until they end, the token expires, or the reader leaves or stalls. The response
        begins when the subscription stands, so that a reader who sees it begin misses nothing from then on."""
        stream = EventStream(receive, send, headers, source, terms)
        self._open.add(stream)
        try:
            await stream.serve()
        finally:
            self._open.discard(stream)

    def stop(self) -> None:
        """End every stream without `complete`: clients reconnect elsewhere and resume."""
        for stream in list(self._open):
            stream.stop()


class ChunkWire:
    """A wire over a response: its head, then one part of its body at a time is on its way. `begun`: the head is sent; `sent`:
    no part is on its way; `wrote_at`: since when."""

    def __init__(self, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self.takes_more = True
        self.resumed: Callable[[], None] | None = None
        self.wrote_at = time.monotonic()
        self._send, self._headers = send, headers
        self._part = b""
        self._given, self.begun, self.sent = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.sent.set()

    def begin(self) -> None:
        """Send the head, if that was not done; what is written sends it too."""
        self._given.set()

    def write(self, data: bytes) -> None:
        self.takes_more, self._part = False, data
        self.sent.clear()
        self._given.set()

    async def run(self) -> None:
        """Send what is given, for ever; OSError when the reader has gone."""
        while True:
            await self._given.wait()
            self._given.clear()
            if not self.begun.is_set():
                await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
                self.begun.set()
            part, self._part = self._part, b""
            if not part:
                continue
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
            self.wrote_at, self.takes_more = time.monotonic(), True
            self.sent.set()
            if self.resumed is not None:
                self.resumed()


class EventStream:
    """One response, and the sink of its results. Three tasks: the pump takes results, the wire sends, and one waits for the
    client to leave."""

    def __init__(
        self, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]], source: Source, terms: Terms
    ) -> None:
        self._receive, self._send, self._source, self._terms = receive, send, source, terms
        self._wire = ChunkWire(send, headers)
        self._outbox = Outbox(self._wire, terms.limits.socket_queue, terms.limits.stall_seconds, self._stall)
        self._wire.resumed = self._outbox.flush
        self._pump: asyncio.Task[None] | None = None
        self._stalled = self._ended = False

    def begin(self) -> None:
        self._wire.begin()

    def offer(self, results: Results) -> bool:
        return self._ended or self._outbox.offer("", partial(next_events, results), len(results.bodies), results.length)

    async def room(self) -> None:
        await self._outbox.room()

    async def serve(self) -> None:
        self._pump = asyncio.create_task(self._take_results())
        writer = asyncio.create_task(self._wire.run())
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

    def _stall(self) -> None:
        self._stalled = True
        self.stop()

    async def _watch(self, pump: asyncio.Task[None], writer: asyncio.Task[None], gone: asyncio.Task[None]) -> None:
        while True:
            await asyncio.wait({pump, writer, gone}, timeout=self._pause(), return_when=asyncio.FIRST_COMPLETED)
            if gone.done() or writer.done():
                return
            if self._stalled:
                self._outbox.clear()
                self._terms.metrics.stalled_readers.labels("sse").inc()
                await self._end_with("SLOW_CONSUMER", "the reader stalled: resume with the last cursor", gone)
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
            if self._wire.takes_more and time.monotonic() - self._wire.wrote_at >= KEEP_ALIVE_SECONDS:
                self._outbox.force("", _COMMENT)

    def _pause(self) -> float:
        return max(0.01, min(KEEP_ALIVE_SECONDS / 4, self._terms.expires_at - time.time()))

    async def _take_results(self) -> None:
        try:
            await self._source(self)
        except RequestRefused as exc:
            await deliver(self, errors_result(exc.errors))
        await self._outbox.put("", COMPLETE)

    async def _end_with(self, code: str, message: str, gone: asyncio.Task[None]) -> None:
        self._ended = True
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
        self._wire.begin()
        await self._wire.begun.wait()
        await self._wire.sent.wait()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
