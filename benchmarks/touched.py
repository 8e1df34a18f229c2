"""What statements touch: PostgreSQL's own count of blocks and rows, which knows no noise, of the very statements that operations run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import orjson

from resolvers.context import Context
from sources.ledger.batch import Item, post_batch
from sources.ledger.model import Draft, LedgerRef, Outcome

_EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, WAL, TIMING OFF, FORMAT JSON)"
_READING = ("Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan")


@dataclass(slots=True)
class Touched:
    """`blocks`: of 8 KiB, in memory or not, each time that one is looked at; `rows`: that scans gave or refused; `wal`: bytes
    of the log."""

    blocks: int = 0
    rows: float = 0
    wal: int = 0

    def add(self, explained: str) -> None:
        plan = orjson.loads(explained)[0]["Plan"]
        self.blocks += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        self.wal += plan.get("WAL Bytes", 0)
        self.rows += _rows(plan)


def _rows(plan: dict[str, Any]) -> float:
    here = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) if plan["Node Type"] in _READING else 0
    return float(here * plan["Actual Loops"] + sum(_rows(below) for below in plan.get("Plans", ())))


@contextmanager
def reading() -> Iterator[Touched]:
    """Counts what the statements of all operations touch meanwhile; each runs twice."""
    found, original = Touched(), Context.fetch

    async def fetch(self: Context, sql: str, *args: Any) -> Sequence[Any]:
        explained = await original(self, f"{_EXPLAIN} {sql}", *args)
        found.add(explained[0][0])
        return await original(self, sql, *args)

    Context.fetch = fetch  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Context.fetch = original  # type: ignore[method-assign]


async def posting(
    connection: asyncpg.Connection[Any], ledger: LedgerRef, drafts: Sequence[Draft]
) -> tuple[Touched, list[Outcome]]:
    """What one batch of these drafts touches; it is rolled back, and then posted."""
    explaining = _Explaining(connection)
    outcomes = await post_batch(explaining, ledger, [[Item.of(draft)] for draft in drafts])  # type: ignore[arg-type]
    return explaining.found, outcomes


class _Explaining:
    """A connection that explains what it fetches."""

    def __init__(self, connection: asyncpg.Connection[Any]) -> None:
        self._connection = connection
        self.found = Touched()

    async def fetch(self, sql: str, *args: Any, **options: Any) -> Sequence[Any]:
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            self.found.add((await self._connection.fetch(f"{_EXPLAIN} {sql}", *args))[0][0])
        finally:
            await transaction.rollback()
        rows: Sequence[Any] = await self._connection.fetch(sql, *args, **options)
        return rows
