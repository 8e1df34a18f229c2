"""uvicorn's HTTP/1.1 with two short ways for what is usual; whatever is not goes uvicorn's way still.

A request whose head came before, byte for byte, and that is whole when it comes is not parsed again (`gateway.heads`). An
answer that is whole goes out in one write, with a head that is made already: by way of ASGI, each header is checked by two
regular expressions for every answer, and the head wakes the client before the body is there.
This is written against uvicorn's own request cycle, so pyproject.toml names the releases that have it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from gateway.heads import Head, Heads, head_of

EXTENSION = "ledgergraph.whole"
"""The ASGI extension: the Protocol of the connection."""

HEAD = "ledgergraph.head"
"""The ASGI extension: the gateway.heads.Head of a request whose head came before."""


_SHORT = 16_384
"""Bytes of a body that are sooner copied behind their head than given to the system apart."""


class Protocol(HttpToolsProtocol):
    """For uvicorn.Config(http=…), with the heads that its connections share."""

    def __init__(self, *args: Any, heads: Heads, **options: Any) -> None:
        super().__init__(*args, **options)
        self._heads = heads
        self._last: Head | None = None
        self._between = True
        self._begun = 0
        self._answered_at = 0.0
        app: Any = self.app
        self._behind_proxies = app.app if isinstance(app, ProxyHeadersMiddleware) else app

    def data_received(self, data: bytes) -> None:
        if not self._between:
            super().data_received(data)
            return
        head, raw = self._last, b""
        if head is None or not data.startswith(head.raw):
            raw = head_of(data)
            head = self._last = self._heads.get(raw)
        if head is not None and len(data) == head.size and self._is_free():
            self._begin(head, data)
            return
        self._begun = 0
        super().data_received(data)
        if self._between and self._begun == 1 and raw and self._notes(data):
            self._heads.note(raw, len(data), self.scope)

    def on_message_begin(self) -> None:
        self._between = False
        self._begun += 1
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._between = not self.parser.should_upgrade()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """As uvicorn's, but that one timer serves for many requests: when it ends, it sees when the last one was answered. A
        request that is open then will start another."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._answered_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._wait(self.timeout_keep_alive)

    def _wait(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        left = self._answered_at + self.timeout_keep_alive - self.loop.time()
        if self._is_free() and left > 0:
            self._wait(left)
        elif self._is_free():
            super().timeout_keep_alive_handler()

    def _is_free(self) -> bool:
        """Whether nothing is open on a connection that goes on."""
        cycle = self.cycle
        return (cycle is None or (cycle.response_complete and cycle.keep_alive)) and not self.transport.is_closing()

    def _notes(self, data: bytes) -> bool:
        return len(data) <= HIGH_WATER_LIMIT and self.limit_concurrency is None and self.cycle.keep_alive

    def _begin(self, head: Head, data: bytes) -> None:
        """As uvicorn's callbacks of the parser do, for a request that is whole."""
        scope: Any = {
            **head.scope,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "state": self.app_state.copy(),
            "extensions": {EXTENSION: self, HEAD: head},
        }
        self.scope = scope
        self.cycle = cycle = RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=True,
            on_response=self.on_response_complete,
        )
        cycle.body += data[len(head.raw) :]
        cycle.more_body = False
        cycle.message_event.set()
        super()._start_asgi_task(cycle, self.app if head.forwarded else self._behind_proxies)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # A scope that refers to its own cycle would leave both, and what was sent, to the collector.
        cycle.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.cycle:
            self.cycle.scope["extensions"] = {}

    def whole_body(self, scope: Scope) -> bytes | None:
        """The body of a request when all of it is here and it was not received yet; None: it has to be received."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
            return None
        body = bytes(cycle.body)
        cycle.body = bytearray()
        cycle.message_event.clear()
        cycle.flow.resume_reading()
        return body

    def answer(self, scope: Scope, head: bytes, body: bytes) -> bool:
        """Answers with status 200, header lines and a body of the length that they state: as the cycle's `send` does for a
        message each, for a connection that goes on. Where another request has come behind this one, the protocol's cycle is
        that one's. False: nothing was done, and the answer has to be sent as usual."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.disconnected or cycle.response_started:
            return False
        if cycle.flow.write_paused or not cycle.keep_alive:
            return False
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        given = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        whole_head = b"%b%b%b\r\n" % (STATUS_LINE[200], given, head)
        if len(body) < _SHORT:
            cycle.transport.write(whole_head + body)
        else:
            cycle.transport.writelines((whole_head, body))
        cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True
