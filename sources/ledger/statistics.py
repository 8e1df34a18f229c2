"""Keeps the query planner's statistics of a growing ledger fresh, where autovacuum would come a minute late."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import asyncpg

from sources.errors import Unavailable

if TYPE_CHECKING:
    from sources.ledger.posting import WritesDatabase

FIRST = 500
GROWTH = 4
"""Statistics are refreshed after so many postings of this process, then each time that number has grown so many times:
after that, autovacuum keeps up with the rest."""

_log = logging.getLogger(__name__)


class Statistics:
    """Counts what one process posts, and refreshes beside posting, never in its way."""

    def __init__(self, database: WritesDatabase) -> None:
        self._database = database
        self._posted = 0
        self._next = FIRST
        self._task: asyncio.Task[None] | None = None

    def count(self, posted: int) -> None:
        self._posted += posted
        if self._posted >= self._next and self._task is None:
            self._next = self._posted * GROWTH
            self._task = asyncio.create_task(self._refresh(), name="refresh statistics")

    async def close(self) -> None:
        if self._task is not None:
            await self._task

    async def _refresh(self) -> None:
        try:
            async with self._database.writer() as connection:
                await connection.execute("SELECT ledger.refresh_statistics()")
        except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
            _log.warning("statistics were not refreshed; autovacuum will: %s", fault)
        finally:
            self._task = None
