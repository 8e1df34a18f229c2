"""COPY of entries and lines into plain tables of the same shape: what posting could be, if nothing were checked or summed."""

from __future__ import annotations

import io
import itertools
import time
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg

TABLES = ("entry", "line")
_SCHEMA = "bench_copy"


class Copying:
    """The same columns, constraints and indexes; no foreign keys, triggers, balances or hash chain. The rows are the ledger's
    own, so many entries in a transaction, over and over."""

    def __init__(self, connection: asyncpg.Connection[Any], entries: int) -> None:
        self._connection, self._entries = connection, entries
        self._batches: list[Sequence[bytes]] = []

    async def prepare(self, batches: int) -> None:
        await self._connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        for table in TABLES:
            shape = f"LIKE ledger.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES"
            await self._connection.execute(f"CREATE TABLE {_SCHEMA}.{table} ({shape})")
        for number in range(batches):
            first = number * self._entries + 1
            within = f"WHERE sequence BETWEEN {first} AND {first + self._entries - 1}"
            self._batches.append([await self._text(f"SELECT * FROM ledger.{table} {within}") for table in TABLES])

    async def rate(self, seconds: float) -> float:
        """Entries a second, on one connection."""
        count, taken, begun = 0, 0.0, time.perf_counter()
        for batch in self._rounds():
            if batch is None:
                emptied = time.perf_counter()
                await self._connection.execute(f"TRUNCATE {', '.join(f'{_SCHEMA}.{table}' for table in TABLES)}")
                begun += time.perf_counter() - emptied
                continue
            async with self._connection.transaction():
                for table, text in zip(TABLES, batch, strict=True):
                    await self._connection.copy_to_table(table, schema_name=_SCHEMA, source=io.BytesIO(text))
            count += self._entries
            taken = time.perf_counter() - begun
            if taken >= seconds:
                break
        return count / taken

    def _rounds(self) -> Iterator[Sequence[bytes] | None]:
        """None: the tables have to be emptied, for what comes was there before."""
        return itertools.cycle([None, *self._batches])

    async def _text(self, query: str) -> bytes:
        found = io.BytesIO()
        await self._connection.copy_from_query(query, output=found)
        return found.getvalue()
