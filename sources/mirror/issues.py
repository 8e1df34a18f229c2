"""Integration problems that wait to be resolved: one row per cause and subject, open until the subject reads well again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from sources.documents import Problem
from sources.mirror.rows import MAX_MESSAGE
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

Cause = tuple[str, str]
"""Code and subject of an issue."""
MAX_SUBJECT = 500


async def note(
    connection: Connection,
    ledger_id: int,
    source: str,
    problems: Iterable[Problem],
    started_at: datetime,
    noted: set[Cause],
) -> None:
    """Opens issues, or counts them once more for the run that began at `started_at`. `noted`: the run's causes so far."""
    stated = {
        (clean(each.code), clean(each.subject)[:MAX_SUBJECT]): clean(each.message)[:MAX_MESSAGE] for each in problems
    }
    fresh = {cause: message for cause, message in stated.items() if cause not in noted}
    noted.update(stated)
    if fresh:
        codes, subjects = [code for code, _ in fresh], [subject for _, subject in fresh]
        await connection.execute(_NOTE, ledger_id, source, started_at, codes, subjects, list(fresh.values()))


async def close_read(
    connection: Connection, ledger_id: int, source: str, external_ids: Sequence[str], kept: set[Cause], now: datetime
) -> None:
    """Closes the issues whose subject names one of these documents, which were read well; not those of the run itself."""
    await _close(connection, _CLOSE_READ, ledger_id, source, kept, now, external_ids)


async def close_absent(
    connection: Connection,
    ledger_id: int,
    source: str,
    kept: set[Cause],
    now: datetime,
    codes: Sequence[str] | None = None,
) -> None:
    """Closes what a run did not meet: of every code when it read everything, of `codes` when it names all of those."""
    await _close(connection, _CLOSE_ABSENT, ledger_id, source, kept, now, codes)


async def count_open(connection: Connection, ledger_id: int, source: str) -> int:
    return int(await connection.fetchval(_COUNT, ledger_id, source))


async def _close(
    connection: Connection,
    sql: str,
    ledger_id: int,
    source: str,
    kept: set[Cause],
    now: datetime,
    *more: Sequence[str] | None,
) -> None:
    codes, subjects = [code for code, _ in kept], [subject for _, subject in kept]
    await connection.execute(sql, ledger_id, source, now, codes, subjects, *more)


_NOTE = """
INSERT INTO mirror.issue AS held (ledger_id, source, code, subject, message, first_seen, opened_at, last_seen)
SELECT $1, $2, code, subject, message, $3, $3, $3 FROM unnest($4::text[], $5::text[], $6::text[]) AS met (code, subject, message)
ON CONFLICT (ledger_id, source, code, subject) DO UPDATE SET message = excluded.message, last_seen = excluded.last_seen,
    times = held.times + 1, closed_at = NULL,
    opened_at = CASE WHEN held.closed_at IS NULL THEN held.opened_at ELSE excluded.opened_at END"""
_OPEN = """
UPDATE mirror.issue SET closed_at = $3
WHERE ledger_id = $1 AND source = $2 AND closed_at IS NULL
    AND (code, subject) NOT IN (SELECT * FROM unnest($4::text[], $5::text[]))"""
_CLOSE_READ = f"{_OPEN} AND regexp_split_to_array(subject, '\\s+') && $6::text[]"
_CLOSE_ABSENT = f"{_OPEN} AND ($6::text[] IS NULL OR code = ANY($6::text[]))"
_COUNT = "SELECT count(*) FROM mirror.issue WHERE ledger_id = $1 AND source = $2 AND closed_at IS NULL"
