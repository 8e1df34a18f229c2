"""What the database knows of sources: their state, the ledgers that exist, and the lock under which one process pulls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from sources.mirror.freshness import Held
from sources.mirror.settings import SourceSettings

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def read(connection: Connection, settings: Iterable[SourceSettings]) -> tuple[datetime, dict[str, Held]]:
    """The database's clock, and what it knows of each of these sources (at least one)."""
    routes = {each.name: each.route for each in settings}
    rows = await connection.fetch(_READ, list(routes))
    held = {}
    for row in rows:
        as_of = row["as_of"] if row["route"] == routes[row["name"]] else None
        held[row["name"]] = Held(
            as_of, row["last_success_at"], row["last_attempt_at"], row["last_error"], row["problems"] or 0
        )
    return rows[0]["now"], held


async def ledger_ids(connection: Connection, codes: Iterable[str]) -> Mapping[str, int]:
    """code -> id of those ledgers that exist."""
    async with connection.transaction():
        await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
        rows = await connection.fetch("SELECT code, ledger_id FROM ledger.ledger WHERE code = ANY($1)", list(codes))
        return {row[0]: row[1] for row in rows}


async def lock(connection: Connection, source: str) -> None:
    """Waits until no other process pulls the source. Held until the connection closes, however that comes about. Plans of
    this connection are never kept: they would be made for small tables, and outlive them during a backfill."""
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    await connection.execute("SELECT pg_advisory_lock(hashtextextended('ledgergraph pull ' || $1, 0))", source)


_READ = """
SELECT name, clock_timestamp() AS now, route, as_of, last_success_at, last_attempt_at, last_error, problems
FROM unnest($1::text[]) AS asked (name) LEFT JOIN mirror.source_state ON source = name"""
