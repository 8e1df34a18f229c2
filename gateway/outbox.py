"""What waits to be sent to one reader: a bounded queue that knows when the reader has stalled.

While the reader keeps up nothing is queued and no task runs: a message goes straight to the wire.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_MAX_WAITING = 16 * 1_048_576
"""Bytes that wait at most, whatever their number; the last message that is taken may go beyond."""


class Wire(Protocol):
    """What carries bytes to the reader. `takes_more` may be false at times; the outbox is flushed when it is true again."""

    takes_more: bool

    def write(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    make: Callable[[], bytes]
    count: int
    length: int


class Outbox:
    """About `size` messages wait. Each belongs to a `key` (an operation's id), by which it can be taken back. `stalled` is
    called when somebody has waited for room for `stall_seconds` while not one message left."""

    def __init__(self, wire: Wire, size: int, stall_seconds: float, stalled: Callable[[], None]) -> None:
        self._wire, self._size = wire, size
        self._stall_seconds, self._stalled = stall_seconds, stalled
        self._waiting: list[_Waiting] = []
        self._count = self._length = 0
        self._room: asyncio.Event | None = None
        self._empty: asyncio.Event | None = None

    def offer(self, key: str, make: Callable[[], bytes], count: int = 1, length: int = 0) -> bool:
        """Send or queue so many messages of about so many bytes, which `make` makes when the wire takes them; False, and
        nothing is taken, when there is no room."""
        if self._wire.takes_more and not self._waiting:
            self._wire.write(make())
            return True
        if self._count >= self._size or self._length >= _MAX_WAITING:
            return False
        self._queue(_Waiting(key, make, count, length))
        return True

    async def put(self, key: str, message: bytes) -> None:
        """Send or queue one message, when there is room for it."""
        while not self.offer(key, lambda: message, 1, len(message)):
            await self.room()

    def force(self, key: str, message: bytes) -> None:
        """Queue a message even beyond the bound: for the last words of a connection."""
        self._queue(_Waiting(key, lambda: message, 1, len(message)))
        self.flush()

    async def room(self) -> None:
        """Returns once the queue is half empty, so that whoever was refused is not at once again."""
        while self._count > self._size // 2 or self._length > _MAX_WAITING // 2:
            self._room = self._room or asyncio.Event()
            try:
                async with asyncio.timeout(self._stall_seconds):
                    await self._room.wait()
            except TimeoutError:
                self._stalled()

    def flush(self) -> None:
        """Send what is queued while the wire takes it."""
        sent = 0
        while sent < len(self._waiting) and self._wire.takes_more:
            self._wire.write(self._waiting[sent].make())
            sent += 1
        if sent:
            self._keep(self._waiting[sent:])

    def discard(self, key: str) -> None:
        """Take back what waits of an operation that its client gave up."""
        self._keep([message for message in self._waiting if message.key != key])

    def clear(self) -> None:
        """Forget everything that waits."""
        self._keep([])

    def retire(self) -> None:
        """Its reader has gone: whoever would have been told of a stall is let go."""
        self.clear()
        self._stalled = _nobody

    async def drain(self) -> None:
        """Wait until the wire has taken everything that was queued."""
        while self._waiting:
            self._empty = self._empty or asyncio.Event()
            await self._empty.wait()

    def _queue(self, message: _Waiting) -> None:
        self._waiting.append(message)
        self._count += message.count
        self._length += message.length

    def _keep(self, kept: list[_Waiting]) -> None:
        self._waiting = kept
        self._count = sum(message.count for message in kept)
        self._length = sum(message.length for message in kept)
        self._moved()

    def _moved(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None
        if self._empty is not None and not self._waiting:
            self._empty.set()
            self._empty = None


def _nobody() -> None:
    """Is told when nobody is left to tell."""
