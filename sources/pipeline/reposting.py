"""Chosen documents posted again by the rules that are active now: the one way in which rules reach what is posted.

Each gets its next generation: the pipeline's next run reverses what the active rules call for otherwise, at the original dates,
and posts it anew; what they call for alike stands, and what somebody reversed by hand meanwhile comes back. Active rules of before, and the same once more, take it back.
"""

from __future__ import annotations

from collections.abc import Iterable

from sources.database.pool import Database
from sources.pipeline import todo
from sources.pipeline.model import Key
from sources.pipeline.taking import columns_of, turn


async def repost(database: Database, ledger_id: int, keys: Iterable[Key]) -> list[Key]:
    """Those of the documents that the pipeline knows, each of whose next generation is to be posted; the others are for it to
    look at anyway. Wake the pipeline afterwards. Raises DatabaseUnavailable."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    async with turn(database, ledger_id) as connection:
        rows = await connection.fetch(_NEXT_GENERATION, ledger_id, *columns_of(wanted))
        found = sorted(Key(row["source"], row["kind"], row["account"], row["external_id"]) for row in rows)
        await todo.add(connection, ledger_id, found)
    return found


_NEXT_GENERATION = """
UPDATE pipeline.document held SET generation = held.generation + 1, content_hash = NULL, ruleset_version = NULL
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS asked (source, kind, account, external_id)
WHERE held.ledger_id = $1 AND held.source = asked.source AND held.kind = asked.kind AND held.account = asked.account
    AND held.external_id = asked.external_id
RETURNING held.source, held.kind, held.account, held.external_id"""
