"""Operations that are alike and begin at the same moment run once: those whom one pull of a source woke, above all.

A run is shared only by those who came before it began to read, so that each gets an answer as new as one of its own. It reads
when everyone whom the same event woke has come: one turn of the event loop later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

Answer = tuple[bytes, bool]
"""A response, and whether it tells others alike the same: an error tells the id of the request that ran."""


@dataclass(eq=False, slots=True)
class _Run:
    task: asyncio.Task[Answer] | None = None
    waiting: set[object] = field(default_factory=set)


class Alike:
    """The runs of one engine that have not begun yet, by what makes them alike."""

    def __init__(self) -> None:
        self._opening: dict[Hashable, _Run] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[Answer]]) -> bytes:
        """The answer of one run of `work` for all who come with this key before it begins. It is cancelled when all of them
        are."""
        run, me = self._opening.get(key), object()
        first = run is None
        if run is None:
            run = self._opening[key] = _Run()
            run.task = asyncio.create_task(self._begin(key, run, work))
        assert run.task is not None
        run.waiting.add(me)
        try:
            answer, same = await asyncio.shield(run.task)
        finally:
            run.waiting.discard(me)
            if not run.waiting:
                self._close(key, run)
                run.task.cancel()
        return answer if same or first else (await work())[0]

    async def _begin(self, key: Hashable, run: _Run, work: Callable[[], Awaitable[Answer]]) -> Answer:
        await asyncio.sleep(0)
        self._close(key, run)
        return await work()

    def _close(self, key: Hashable, run: _Run) -> None:
        """From now on nobody joins."""
        if self._opening.get(key) is run:
            del self._opening[key]
