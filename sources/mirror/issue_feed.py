"""The log of changes of issues: each issue once, where it changed last. See `sources.feed` and `sql/0010_issue_feed.sql`.

Whoever changes an issue leaves it without a number. Whoever follows the ledger numbers what was committed, in small transactions
of their own, before the heads are read: so numbers follow the order of commits, and nobody who writes waits for them. Where
nobody follows, nothing is numbered; the first one who does finds it waiting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sources.database.pool import Database
from sources.feed import Look, Position
from sources.ledger.model import LedgerRef
from sources.mirror.logbook import ISSUE, names_of
from sources.reading import Conditions, Reader, Row, Want

STEP: Final = 1_000
"""Issues that one transaction numbers."""
_AMONG: Final = {"sources": "i.source", "codes": "i.code"}


@dataclass(frozen=True, slots=True)
class IssueLog:
    """Every issue of a ledger that ever was, by the number of its last change."""

    channel: str = "ledgergraph_issues"

    async def look(self, reader: Reader, ledger: LedgerRef, sequence: int, limit: int, most: int | None) -> Look:
        rows = await reader.fetch(_LOOK, ledger.ledger_id, sequence, limit, most)
        return Look(*rows[0])

    async def heads(self, database: Database, ledger_ids: Sequence[int]) -> Mapping[int, int]:
        async with database.following(ledger_ids) as snapshot:
            rows = await snapshot.fetch(_HEADS, ledger_ids)
        return {
            ledger_id: (await self._number(database, ledger_id))[1] if waiting else newest
            for ledger_id, newest, waiting in rows
        }

    async def settle(self, database: Database, ledger_id: int) -> None:
        async with database.following([ledger_id]) as snapshot:
            ((_, _, waiting),) = await snapshot.fetch(_HEADS, [ledger_id])
        while waiting:
            waiting = (await self._number(database, ledger_id))[0] >= STEP

    async def _number(self, database: Database, ledger_id: int) -> tuple[int, int]:
        """How many were numbered, and the newest number."""
        async with database.writer() as connection:
            row = await connection.fetchrow(_NUMBER, ledger_id, STEP)
        assert row is not None
        return row[0], row[1]


ISSUES: Final = IssueLog()


async def read_issues(
    reader: Reader, ledger: LedgerRef, position: Position, reached: Position, want: Want, filter_: Mapping[str, Any]
) -> list[tuple[Row, Position]]:
    """Issues whose last change lies behind the position, up to and with the reached one, and that the filter lets through; each
    as it is now, with its own position."""
    where = Conditions()
    where.add("i.ledger_id = {0}", ledger.ledger_id)
    where.add("i.revision > {0}", position.sequence)
    where.add("i.revision <= {0}", reached.sequence)
    for name, column in _AMONG.items():
        if filter_.get(name) is not None:
            where.add(f"{column} = ANY({{0}})", filter_[name])
    if filter_.get("documentKinds") is not None:
        where.add("i.kind = ANY({0})", [name.lower() for name in names_of(filter_["documentKinds"])])
    sql = _EVENT.select([*want.columns, "revision", "digits"], where.sql, "ORDER BY i.revision")
    rows = await reader.fetch(sql, *where.args)
    return [(row, Position(row[-2], row[-1])) for row in rows]


def _digits(ledger_id: str, revision: str) -> str:
    """Those of the era in which the number was given."""
    return (
        f"coalesce((SELECT era.digits FROM mirror.issue_era era WHERE era.ledger_id = {ledger_id} "
        f"AND era.first_revision <= {revision} ORDER BY era.first_revision DESC LIMIT 1), '')"
    )


_EVENT: Final = replace(
    ISSUE, columns={**ISSUE.columns, "revision": "i.revision", "digits": _digits("i.ledger_id", "i.revision")}
)
# One statement, which is its own transaction: a process that stands still holds up no other one.
_NUMBER: Final = """
WITH seen AS MATERIALIZED (SELECT set_config('ledgergraph.ledgers', ($1::bigint)::text, true)::bigint AS ledger_id)
SELECT given.numbered, given.newest FROM seen CROSS JOIN LATERAL mirror.number_issues(seen.ledger_id, $2) AS given"""
_LOOK: Final = f"""
WITH head AS MATERIALIZED (
    SELECT coalesce((SELECT revision FROM mirror.issue_head WHERE ledger_id = $1), 0) AS newest
), behind AS MATERIALIZED (
    SELECT i.revision FROM mirror.issue i
    WHERE i.ledger_id = $1 AND i.revision > $2 AND i.revision <= least((SELECT newest FROM head), $4::bigint)
    ORDER BY i.revision LIMIT $3
), goal AS MATERIALIZED (
    SELECT newest, CASE WHEN $3 = 0 THEN $2
        WHEN (SELECT count(*) FROM behind) < $3 THEN least(newest, $4::bigint)
        ELSE (SELECT max(revision) FROM behind) END AS reached
    FROM head
)
SELECT newest, {_digits("$1", "$2")}, reached, {_digits("$1", "goal.reached")} FROM goal"""
_HEADS: Final = """
SELECT asked.ledger_id, coalesce(head.revision, 0),
    EXISTS (SELECT FROM mirror.issue i WHERE i.ledger_id = asked.ledger_id AND i.revision IS NULL)
FROM unnest($1::bigint[]) AS asked (ledger_id) LEFT JOIN mirror.issue_head head ON head.ledger_id = asked.ledger_id"""
