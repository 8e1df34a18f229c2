"""What waits to be sent to one reader: a bounded queue, emptied by one writer, that knows when the reader has stalled."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T", str, bytes)

_MAX_WAITING = 16 * 1_048_576
"""Characters or bytes that wait at most, whatever their number; one message is taken however long it is."""


class Outbox(Generic[T]):
    """At most `size` messages wait. `put` waits for room, so that a slow reader slows its own operations alone.
    Each message belongs to a `key` (an operation's id), by which it can be taken back."""

    def __init__(self, write: Callable[[T], Awaitable[None]], size: int) -> None:
        self._write: Callable[[T], Awaitable[None]] = write
        self._size = size
        self._waiting: deque[tuple[str, T]] = deque()
        self._length = 0
        self._ready, self._room, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._full_since: float | None = None
        self.wrote_at = time.monotonic()

    async def put(self, key: str, message: T) -> None:
        """Queue a message, when there is room for it."""
        while len(self._waiting) >= self._size or (self._waiting and self._length + len(message) > _MAX_WAITING):
            if self._full_since is None:
                self._full_since = time.monotonic()
            self._room.clear()
            await self._room.wait()
        self.force(key, message)

    def force(self, key: str, message: T) -> None:
        """Queue a message even beyond the bound: for the last words of a connection."""
        self._waiting.append((key, message))
        self._length += len(message)
        self._idle.clear()
        self._ready.set()

    def discard(self, key: str) -> None:
        """Take back what waits of an operation that its client gave up."""
        kept = [item for item in self._waiting if item[0] != key]
        self._waiting.clear()
        self._waiting.extend(kept)
        self._length = sum(len(message) for _, message in kept)
        self._full_since = None
        self._room.set()

    async def run(self) -> None:
        """Send what is queued, for ever; OSError when the reader has gone."""
        while True:
            await self._ready.wait()
            while self._waiting:
                _, message = self._waiting.popleft()
                self._length -= len(message)
                self._full_since = None
                self._room.set()
                await self._write(message)
                self.wrote_at = time.monotonic()
            self._ready.clear()
            self._idle.set()

    async def drain(self) -> None:
        """Wait until everything that was queued is sent."""
        await self._idle.wait()

    def clear(self) -> None:
        """Forget everything that waits."""
        self._waiting.clear()
        self._length = 0
        self._full_since = None
        self._room.set()

    @property
    def idle(self) -> bool:
        """Nothing waits and nothing is being sent."""
        return self._idle.is_set()

    def stalled(self, seconds: float) -> bool:
        """Whether somebody has waited for room this long while not one message left."""
        return self._full_since is not None and time.monotonic() - self._full_since >= seconds
