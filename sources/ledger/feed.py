"""The log of posted entries: sequences, and the first digits of each entry's hash. See `sources.feed`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sources.database.pool import Database
from sources.feed import Look, Position
from sources.ledger.filters import entry_conditions
from sources.ledger.model import LedgerRef
from sources.ledger.queries import ENTRY
from sources.reading import Reader, Row, Want

CHANNEL: Final = "ledgergraph_posted"


@dataclass(frozen=True, slots=True)
class PostingLog:
    """Every entry of a ledger, by its sequence."""

    channel: str = CHANNEL

    async def look(self, reader: Reader, ledger: LedgerRef, sequence: int, limit: int, most: int | None) -> Look:
        goal = sequence + limit if most is None else min(sequence + limit, most)
        rows = await reader.fetch(_LOOK, ledger.ledger_id, sequence, goal)
        return Look(*rows[0]) if rows else Look(0, "", 0, "")

    async def heads(self, database: Database, ledger_ids: Sequence[int]) -> Mapping[int, int]:
        async with database.following(ledger_ids) as snapshot:
            rows = await snapshot.fetch(_HEADS, ledger_ids)
        return dict.fromkeys(ledger_ids, 0) | dict(rows)

    async def settle(self, database: Database, ledger_id: int) -> None:
        """An entry has its sequence when it is committed."""


POSTINGS: Final = PostingLog()


async def read_postings(
    reader: Reader, ledger: LedgerRef, position: Position, reached: Position, want: Want, filter_: Mapping[str, Any]
) -> list[tuple[Row, Position]]:
    """Entries behind the position, up to and with the reached one, that the filter lets through; each with its own."""
    where = entry_conditions(ledger, filter_)
    where.add("e.sequence > {0}", position.sequence)
    where.add("e.sequence <= {0}", reached.sequence)
    sql = ENTRY.select([*want.columns, "sequence", "digits"], where.sql, "ORDER BY e.sequence")
    rows = await reader.fetch(sql, *where.args)
    return [(row, Position(row[-2], row[-1])) for row in rows]


def _digits(sequence: str) -> str:
    entry = f"SELECT encode(substring(e.hash, 1, 4), 'hex') FROM ledger.entry e WHERE e.ledger_id = $1 AND e.sequence = {sequence}"
    return f"coalesce(({entry}), '')"


_LOOK: Final = f"""
SELECT h.last_sequence, {_digits("$2")}, least($3, h.last_sequence), {_digits("least($3, h.last_sequence)")}
FROM ledger.head h WHERE h.ledger_id = $1"""
_HEADS: Final = "SELECT ledger_id, last_sequence FROM ledger.head WHERE ledger_id = ANY($1)"
