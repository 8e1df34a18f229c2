"""uvicorn's HTTP/1.1 with one thing more: an answer that is whole goes out in one write, with a head that is made already.

By way of ASGI, each header is checked by two regular expressions for every answer, and the head wakes the client before the
body is there: a sixth of the time of an answer that executes nothing. Whatever is not the usual case goes that way still.
This is written against uvicorn's own request cycle, so pyproject.toml names the releases that have it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

EXTENSION = "ledgergraph.whole"
"""The ASGI extension: a function for status 200 that is given the scope, header lines and a body of the length that they
state."""

Whole: TypeAlias = Callable[[Scope, bytes, bytes], bool]
"""False: nothing was done, and the answer has to be sent as usual."""


class Protocol(HttpToolsProtocol):
    """For uvicorn.Config(http=…)."""

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        # A scope that refers to its own cycle would leave both, and what was sent, to the collector.
        cycle.scope["extensions"] = {EXTENSION: self._answer}  # type: ignore[dict-item]
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.cycle:
            self.cycle.scope["extensions"] = {}

    def _answer(self, scope: Scope, head: bytes, body: bytes) -> bool:
        """As the cycle's `send` does for a message each, for a connection that goes on. Where another request has come behind
        this one, the protocol's cycle is that one's."""
        cycle = self.cycle
        if cycle.scope is not scope or cycle.disconnected or cycle.response_started:
            return False
        if cycle.flow.write_paused or not cycle.keep_alive:
            return False
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        given = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        cycle.transport.writelines((b"%b%b%b\r\n" % (STATUS_LINE[200], given, head), body))
        cycle.response_complete = True
        cycle.message_event.set()
        cycle.on_response()
        return True
