"""A vendor behind a proxy, read into a real mirror."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from sources.connectors.http import HttpOptions
from sources.database.pool import Database
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from tests.sources.connectors.checklist.subjects import Key, Subject, System

SOURCE, LEDGER = "vendor", "acme-us"


@dataclass
class Mirrored:
    """`owner`: sees and may do everything."""

    system: System
    refresher: Refresher
    owner: asyncpg.Connection[Any]
    ledger_id: int

    async def ask(self) -> str | None:
        """What whoever wants the source's documents as they are now is told of it."""
        told = (await self.refresher.ensure([SOURCE], 0))[SOURCE]
        assert told.stale == (told.error is not None)
        return told.error

    async def issues(self) -> list[tuple[str, str]]:
        """Code and subject of those that are open."""
        rows = await self.owner.fetch("SELECT code, subject FROM mirror.issue WHERE closed_at IS NULL ORDER BY 1, 2")
        return [(row[0], row[1]) for row in rows]

    async def hurry(self) -> None:
        """What waits to be asked for again has waited long enough."""
        await self.owner.execute("UPDATE mirror.issue SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")

    async def held(self) -> Mapping[Key, int]:
        """As a System's `truth`."""
        rows = await self.owner.fetch(_HELD, self.ledger_id)
        return {(row[0], row[1]): int(row[2]) for row in rows}


@asynccontextmanager
async def mirrored(
    subject: Subject, system: System, url: str, db: Database, owner: asyncpg.Connection[Any], http: HttpOptions
) -> AsyncIterator[Mirrored]:
    """The vendor's documents, asked for at this address, in the ledger LEDGER, which there is."""
    ledger_id = await owner.fetchval("SELECT ledger_id FROM ledger.ledger WHERE code = $1", LEDGER)
    settings = SourceSettings(name=SOURCE, kind=subject.kind, ledger=LEDGER)
    refresher = Refresher(db, [(settings, system.connector(url, http))], deadline=60.0)
    try:
        yield Mirrored(system, refresher, owner, ledger_id)
    finally:
        await refresher.close()


_HELD = """
SELECT 'invoice', external_id, total FROM mirror.invoice WHERE ledger_id = $1 AND deleted_at IS NULL
UNION ALL SELECT 'payment', external_id, amount FROM mirror.payment WHERE ledger_id = $1 AND deleted_at IS NULL
UNION ALL SELECT 'payroll_run', external_id, net FROM mirror.payroll_run WHERE ledger_id = $1 AND deleted_at IS NULL
UNION ALL SELECT 'bank_statement', external_id, (
    SELECT coalesce(sum(t.amount), 0) FROM mirror.bank_transaction t
    WHERE t.ledger_id = s.ledger_id AND t.source = s.source AND t.statement = s.external_id AND t.deleted_at IS NULL)
FROM mirror.bank_statement s WHERE ledger_id = $1 AND deleted_at IS NULL"""
