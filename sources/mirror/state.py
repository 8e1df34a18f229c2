"""What the database knows of sources: their state, the ledgers that exist, and the lock under which one process pulls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sources.connectors.registry import KINDS
from sources.mirror.freshness import Held
from sources.mirror.settings import SourceSettings

if TYPE_CHECKING:
    from sources.database.pool import Connection


@dataclass(frozen=True, slots=True)
class Standing:
    """What a pull finds. `now`: the database's clock. `cursor`: where the last one ended, None: nothing was read under `route`,
    None: never. `run_id`: of the run that was recorded last, None: none; `ended`: not broken off; `extends`: it found nothing, began
    less than a minute ago and went well, so that another one like it may be told of in its record. `post_from`: the cut-over that
    its documents were last looked at under. `layout`: the options by which its files were read (`SourceSettings.layout`)."""

    now: datetime
    held: Held
    cursor: str | None
    route: str | None
    run_id: int | None
    ended: bool
    extends: bool
    post_from: date | None
    layout: str | None


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


async def prepare(connection: Connection) -> None:
    """Makes a connection one that pulls: it sees every ledger, so it is nobody else's. Its plans are never kept: they would be
    made for small tables, and outlive them during a backfill."""
    await connection.execute("SET plan_cache_mode = force_custom_plan; SET ledgergraph.ledgers = '*'")


async def lock(connection: Connection, source: str) -> None:
    """Waits until no other process pulls the source. Held until `unlock`, or the connection closes, however that comes
    about."""
    await connection.execute(f"SELECT pg_advisory_lock({_LOCK})", source)


async def unlock(connection: Connection, source: str) -> None:
    await connection.execute(f"SELECT pg_advisory_unlock({_LOCK})", source)


async def being_read(connection: Connection, sources: Iterable[str]) -> set[str]:
    """Those of these sources that some process pulls now, or stores submissions of."""
    return {row[0] for row in await connection.fetch(_BEING_READ, list(sources))}


async def standing(connection: Connection, settings: SourceSettings, home_id: int) -> Standing:
    """Where a pull of the source begins. The caller holds its lock. A folder that lies elsewhere now is the same source, whose files
    are known by what is in them."""
    row = await connection.fetchrow(_STANDING, settings.name, home_id)
    if row is not None and row["route"] is not None and _lies_elsewhere(row["route"], settings):
        await connection.execute(_LIES_ELSEWHERE, settings.name, settings.route)
        row = await connection.fetchrow(_STANDING, settings.name, home_id)
    assert row is not None
    current = row["route"] == settings.route
    held = Held(
        row["as_of"] if current else None,
        row["last_success_at"],
        row["last_attempt_at"],
        row["last_error"],
        row["problems"] or 0,
    )
    return Standing(
        row["now"],
        held,
        row["cursor"],
        row["route"],
        row["run_id"],
        row["ended"],
        row["extends"] or False,
        row["post_from"],
        row["layout"],
    )


def _lies_elsewhere(route: str, settings: SourceSettings) -> bool:
    *before, place = json.loads(route)
    *now, place_now = json.loads(settings.route)
    return KINDS[settings.kind].of_files and before == now and place != place_now


_LIES_ELSEWHERE = "UPDATE mirror.source_state SET route = $2 WHERE source = $1"
_READ = """
SELECT name, clock_timestamp() AS now, route, as_of, last_success_at, last_attempt_at, last_error, problems
FROM unnest($1::text[]) AS asked (name) LEFT JOIN mirror.source_state ON source = name"""

_LOCK = "hashtextextended('ledgergraph pull ' || $1, 0)"
# How PostgreSQL shows the key of an advisory lock: https://www.postgresql.org/docs/current/view-pg-locks.html
_BEING_READ = f"""
SELECT source FROM unnest($1::text[]) AS asked (source), LATERAL (SELECT {_LOCK.replace("$1", "source")} AS key) AS of
JOIN pg_locks held ON held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
    AND held.classid = (of.key >> 32 & 4294967295)::oid AND held.objid = (of.key & 4294967295)::oid
    AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
_STANDING = """
SELECT clock_timestamp() AS now, state.cursor, state.route, state.as_of, state.last_success_at, state.last_attempt_at, state.last_error,
    state.problems, state.post_from, state.layout, run.run_id, run.run_id IS NULL OR run.finished_at IS NOT NULL AS ended, run.error IS NULL
        AND run.documents + run.deleted + run.problems = 0 AND run.started_at > clock_timestamp() - interval '1 minute' AS extends
FROM (SELECT) AS one LEFT JOIN mirror.source_state state ON state.source = $1
LEFT JOIN LATERAL (
    SELECT * FROM mirror.sync_run last WHERE last.ledger_id = $2 AND last.source = $1
    ORDER BY last.started_at DESC, last.run_id DESC LIMIT 1
) AS run ON true"""
