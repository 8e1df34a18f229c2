"""What matching has to look at: documents that the pipeline dealt with, and transactions for which something new may be found.

Noted in the transaction that records what became of the documents, and taken under the same claim of the ledger
(`sources.pipeline.todo.claim`): one process at a time matches a ledger, and one that dies has changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sources.matching.model import ItemKey

if TYPE_CHECKING:
    from sources.database.pool import Connection


class Due(NamedTuple):
    """`change` tells one change of a document from the next."""

    key: ItemKey
    change: int


async def note(connection: Connection, ledger_id: int, keys: Iterable[ItemKey]) -> None:
    """These documents were dealt with. The first bank transaction of a ledger has all of its documents noted."""
    wanted = sorted(set(keys))
    if any(key.kind == "bank_transaction" for key in wanted) and await connection.fetchval(_BEGIN, ledger_id):
        await connection.execute(_ENROL, ledger_id)
    if wanted:
        await connection.execute(_NOTE, ledger_id, *columns_of(wanted))


async def take(connection: Connection, ledger_id: int, limit: int) -> list[Due]:
    """Those that have waited longest."""
    rows = await connection.fetch(_TAKE, ledger_id, limit)
    return [Due(ItemKey(*row[:4]), row[4]) for row in rows]


async def close(connection: Connection, ledger_id: int, done: Sequence[Due]) -> None:
    """Removes what has not changed since it was taken."""
    columns = columns_of([each.key for each in done])
    await connection.execute(_CLOSE, ledger_id, *columns, [each.change for each in done])


def columns_of(keys: Iterable[ItemKey]) -> list[list[str]]:
    """Keys as the columns kind, source, account and external_id, for unnest."""
    return [list(column) for column in zip(*keys, strict=True)] or [[], [], [], []]


ASKED = "unnest($2::text[], $3::text[], $4::text[], $5::text[]) WITH ORDINALITY AS asked (kind, source, account, external_id, n)"
IS_ASKED = (
    "held.ledger_id = $1 AND held.kind = asked.kind AND held.source = asked.source AND held.account = asked.account "
    "AND held.external_id = asked.external_id"
)
_BEGIN = (
    "INSERT INTO matching.state (ledger_id, since) VALUES ($1, clock_timestamp()) ON CONFLICT DO NOTHING RETURNING true"
)
_SET = "ON CONFLICT (ledger_id, kind, source, account, external_id) DO UPDATE SET change = DEFAULT"
_ENROL = f"""
INSERT INTO matching.todo (ledger_id, kind, source, account, external_id)
SELECT ledger_id, kind, source, account, external_id FROM pipeline.document WHERE ledger_id = $1
ORDER BY kind COLLATE "C", source COLLATE "C", account COLLATE "C", external_id COLLATE "C"
{_SET}"""
_NOTE = f"""
INSERT INTO matching.todo (ledger_id, kind, source, account, external_id)
SELECT $1, kind, source, account, external_id FROM {ASKED}
WHERE EXISTS (SELECT FROM matching.state WHERE ledger_id = $1)
ORDER BY n
{_SET}"""
_TAKE = """
SELECT kind, source, account, external_id, change FROM matching.todo WHERE ledger_id = $1 ORDER BY change LIMIT $2"""
_CLOSE = f"""
DELETE FROM matching.todo held USING (
    SELECT asked.*, change FROM unnest($6::bigint[]) WITH ORDINALITY AS changed (change, n) JOIN {ASKED} USING (n)
) AS asked
WHERE {IS_ASKED} AND held.change = asked.change"""
