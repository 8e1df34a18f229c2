"""How far sources and their documents are: for people who look after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sources.database.pool import Connection


class Standing(NamedTuple):
    """`documents`: that the source stated so far; `to_do`: documents that the pipeline has to look at; `posted`: that have
    entries; `proposed`: that wait for a person; `issues`: that are open, about the source or its documents."""

    documents: int
    to_do: int
    posted: int
    proposed: int
    issues: int


async def standings(connection: Connection, sources: Sequence[str]) -> dict[str, Standing]:
    """Of each of these sources. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    rows = await connection.fetch(_STANDINGS, list(sources))
    return {row[0]: Standing(*row[1:]) for row in rows}


async def documents_read(connection: Connection, source: str) -> int:
    """How many documents the source stated so far: it grows while a pull goes on."""
    return int(await connection.fetchval(_READ, source) or 0)


_READ = "SELECT documents FROM mirror.source_state WHERE source = $1"
_STANDINGS = """
SELECT asked.source, coalesce(state.documents, 0),
    (SELECT count(*) FROM pipeline.todo held WHERE held.source = asked.source),
    (SELECT count(*) FROM pipeline.document held WHERE held.source = asked.source AND held.status = 'POSTED'),
    (SELECT count(*) FROM pipeline.document held WHERE held.source = asked.source AND held.status = 'PROPOSED'),
    (SELECT count(*) FROM mirror.issue held WHERE held.source = asked.source AND held.closed_at IS NULL)
FROM unnest($1::text[]) AS asked (source) LEFT JOIN mirror.source_state state ON state.source = asked.source"""
