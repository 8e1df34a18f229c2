"""Reading in groups, as postings share a commit: who asks for the like of what is being read shares the next reading.

A reading is shared only by those who came before it began, so that each gets an answer as new as one of its own. Under load,
many take one statement; alone, nobody waits for anybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

M = TypeVar("M", bound=Hashable)
R = TypeVar("R")

PATIENCE = 0.05
"""Seconds that a reading waits for the one before it: a slow one holds up nobody for longer."""

CHANCES = 2
"""Readings in which somebody waits for others; when these left, it reads alone. Where many leave before a slow reading has ended,
who waits would else never be told."""


class _Left(Exception):
    """Who was to read for all went away."""


class _Reading:
    """One reading, open for others until it begins. `ended` wakes who waits to begin the next one."""

    def __init__(self, first: Any) -> None:
        self.members: dict[Any, None] = {first: None}
        self.waiting: list[tuple[Any, asyncio.Future[Any]]] = []
        self.next: asyncio.Future[None] | None = None

    def tell(self, found: Mapping[Any, Any]) -> None:
        for member, waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(found.get(member))

    def fail(self, error: BaseException) -> None:
        for _, waiter in self.waiting:
            if not waiter.done():
                waiter.set_exception(error if isinstance(error, Exception) else _Left())


class Gathering:
    """The readings of one process by group: those of a group differ in their members alone. `size`: members of a reading at
    most; 1 gathers nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._opening: dict[Hashable, _Reading] = {}
        self._running: dict[Hashable, _Reading] = {}

    async def ask(self, group: Hashable, member: M, read: Callable[[Sequence[M]], Awaitable[Mapping[M, R]]]) -> R:
        """What a reading finds for this member. `read`: given several members, it may leave out what is not to be shared;
        given one alone, it has its result. Raises what `read` raises."""
        for _ in range(CHANCES if self._size > 1 else 0):
            reading = self._opening.get(group)
            if reading is None:
                return await self._lead(group, member, read)
            if member not in reading.members:
                if len(reading.members) >= self._size:
                    break
                reading.members[member] = None
            waiter: asyncio.Future[R | None] = asyncio.get_running_loop().create_future()
            reading.waiting.append((member, waiter))
            try:
                found = await waiter
            except _Left:
                continue
            if found is not None:
                return found
            break
        return (await read([member]))[member]

    async def _lead(self, group: Hashable, member: M, read: Callable[[Sequence[M]], Awaitable[Mapping[M, R]]]) -> R:
        reading = self._opening[group] = _Reading(member)
        try:
            await self._turn(group)
            del self._opening[group]
            self._running[group] = reading
            found = await read(list(reading.members))
            reading.tell(found)
        except BaseException as error:
            reading.fail(error)
            raise
        finally:
            for place in (self._opening, self._running):
                if place.get(group) is reading:
                    del place[group]
            if reading.next is not None and not reading.next.done():
                reading.next.set_result(None)
        return found[member] if member in found else (await read([member]))[member]

    async def _turn(self, group: Hashable) -> None:
        """Until the reading before has ended, or for PATIENCE; without one, until all have asked whom the same event woke."""
        before = self._running.get(group)
        if before is None:
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        turn = before.next = loop.create_future()
        patience = loop.call_later(PATIENCE, _wake, turn)
        try:
            await turn
        finally:
            patience.cancel()


def _wake(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)
