"""A worker that dies where a test wants it to: before any statement of its own, and before or after anything it posts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sources.database.pool import Connection, Database
from sources.ledger.model import Draft, Outcome
from sources.ledger.posting import Poster
from sources.pipeline.worker import Pipeline
from tests.sources.pipeline.company import Company


class Crash(BaseException):
    """The process dies here: nothing in the product catches it."""


class Fuse:
    """Burns with each step; None: it never goes off."""

    def __init__(self, steps: int | None = None) -> None:
        self.steps = steps
        self.burnt = 0

    def step(self) -> None:
        self.burnt += 1
        if self.steps is not None and self.burnt > self.steps:
            raise Crash


class FragileConnection:
    """A connection whose statements are steps."""

    def __init__(self, connection: Connection, fuse: Fuse) -> None:
        self._connection, self._fuse = connection, fuse

    def __getattr__(self, name: str) -> Any:
        if name in ("fetch", "fetchrow", "fetchval", "execute"):
            self._fuse.step()
        return getattr(self._connection, name)


class FragileDatabase:
    """The claim's transaction of a worker that dies: it is rolled back by the server."""

    def __init__(self, database: Database, fuse: Fuse) -> None:
        self._database, self._fuse = database, fuse

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Any]:
        async with self._database.writer() as connection:
            yield FragileConnection(connection, self._fuse)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class FragilePoster:
    """Each call is two steps: before it is sent, and before its answer comes."""

    def __init__(self, poster: Poster, fuse: Fuse, before: Callable[[], Awaitable[None]] | None = None) -> None:
        self._poster, self._fuse, self._before = poster, fuse, before

    async def post(self, drafts: Sequence[Draft], *, atomic: bool = False) -> list[Outcome]:
        if self._before is not None:
            await self._before()
        self._fuse.step()
        outcomes = await self._poster.post(drafts, atomic=atomic)
        self._fuse.step()
        return outcomes


def fragile(
    database: Database,
    poster: Poster,
    fuse: Fuse,
    *,
    batch: int = 500,
    before: Callable[[], Awaitable[None]] | None = None,
) -> Pipeline:
    """A pipeline over the real database and poster that dies when the fuse has burnt down. `before`: each call of the poster."""
    fragile_database: Any = FragileDatabase(database, fuse)
    fragile_poster: Any = FragilePoster(poster, fuse, before)
    return Pipeline(fragile_database, fragile_poster, batch=batch)


async def crash(company: Company, fuse: Fuse, batch: int) -> bool:
    """Runs a worker until it dies; False: it came to the end of what is due."""
    worker = fragile(company.database, company.poster, fuse, batch=batch)
    try:
        await worker.run_ledger(company.ledger.ledger_id)
    except Crash:
        return True
    return False
