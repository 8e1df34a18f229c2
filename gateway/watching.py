"""What takes long: bodies that do not come, and queries whose client went away while they ran.

One look at all open exchanges a few times a second costs a request less than a timer of its own would.
"""

from __future__ import annotations

import asyncio
import time

from gateway.exchange import Exchange

PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 0.1
"""How long a query runs before its connection is listened to: most are answered by then."""

STALLED = "stalled"
GONE = "gone"


class Watch:
    """The open exchanges of one process. An exchange that is ended finds its task cancelled, and why in `ended`."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._open: set[Exchange] = set()
        self._looks = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def add(self, exchange: Exchange) -> None:
        """An exchange that the running task answers."""
        if not self._looks:
            self._looks = True
            self._loop = asyncio.get_running_loop()
            self._loop.call_later(PAUSE_SECONDS, self._look)
        exchange.task = asyncio.current_task(self._loop)
        self._open.add(exchange)

    def discard(self, exchange: Exchange) -> None:
        self._open.discard(exchange)
        stop_listening(exchange)

    def _look(self) -> None:
        self._looks = bool(self._open)
        if not self._looks:
            return
        asyncio.get_running_loop().call_later(PAUSE_SECONDS, self._look)
        now = time.perf_counter()
        for exchange in self._open:
            age = now - exchange.since
            if exchange.phase == "reading" and age > self._stall_seconds:
                _end(exchange, STALLED)
            elif exchange.phase == "executing" and exchange.listener is None and age > PATIENCE_SECONDS:
                exchange.listener = asyncio.create_task(_listen(exchange))


def stop_listening(exchange: Exchange) -> None:
    """Before the answer is sent: the server says that a client went away also when it was answered."""
    if exchange.listener is not None:
        exchange.listener.cancel()


async def _listen(exchange: Exchange) -> None:
    while (await exchange.receive())["type"] != "http.disconnect":
        pass
    _end(exchange, GONE)


def _end(exchange: Exchange, why: str) -> None:
    if exchange.task is not None and not exchange.ended:
        exchange.ended = why
        exchange.task.cancel()
