"""Cash positions: what an account held at the end of a day, as far as its statements tell.

- The base is the newest authoritative statement that ends on or before the day and gives a closing balance.
- booked: the base's closing balance and every booked transaction dated after the base's end, up to the day; None without a base.
  Transactions count as everywhere: once, and provisional ones only until an authoritative statement covers their date.
- pending: the pending transactions up to the day. Those of an authoritative statement count only while it is the newest up to
  the day: the ones after it state anew what is pending.
- available: the closing available balance of the base, while nothing was booked after it; else nobody stated one: None.
- warnings: what is odd about the account's authoritative statements up to the day, newest first, at most MAX_WARNINGS.
- counted_by: of an account that several of the sources tell of, the one whose row counts, in the rows of the others: a sum over
  rows leaves these out. A known balance goes first, else as in `sources.mirror.told_twice`.
A transaction is dated by its booking date, else its value date, else the end of its statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import orjson

from sources.mirror import told_twice
from sources.mirror.queries import Within, superseded
from sources.mirror.told_twice import Place
from sources.reading import Reader, Row, Want

MAX_WARNINGS = 20
_AS_READ = ("ledger_id", "source", "account", "currency", "identity", "closing", "statement_date", "fetched_at")


async def cash_positions(reader: Reader, within: Within, as_of: date, want: Want) -> list[Row]:
    """One row for each account and currency, in order of ledger, source, account and currency (the account's own first).
    Amounts are signed minor units."""
    day = as_of.isoformat()
    rows = await reader.fetch(_POSITIONS, list(within.ledger_ids), list(within.sources), day)
    known = {_place(row) for row in rows if row["closing"] is not None}
    counted: dict[Place, str] = {}
    for places in await told_twice.ranked(reader, rows, as_of):
        first = next((place for place in places if place in known), places[0])
        counted |= {place: first.source for place in places if place != first}
    return [want.row(_values(row, day, counted.get(_place(row)))) for row in rows]


def _place(row: Mapping[str, Any]) -> Place:
    return Place(row["ledger_id"], row["source"], row["account"], row["currency"])


def _values(row: Mapping[str, Any], day: str, counted_by: str | None) -> dict[str, Any]:
    odd = _warnings(row["warnings"])
    if counted_by is not None:
        odd = [
            f"The source {counted_by} tells of the same account, which counts by it: leave this one out of sums.",
            *odd,
        ]
    booked = None if row["closing"] is None else row["closing"] + int(row["moved"])
    return {
        **{name: row[name] for name in _AS_READ},
        "as_of": day,
        "booked": booked,
        "pending": int(row["pending"]),
        "available": row["closing_available"] if row["movements"] == 0 else None,
        "warnings": odd,
        "counted_by": counted_by,
    }


def _warnings(stored: str | None) -> Sequence[str]:
    found = [sentence for sentences in orjson.loads(stored or "[]") for sentence in sentences]
    left = len(found) - MAX_WARNINGS
    return found if left <= 0 else [*found[:MAX_WARNINGS], f"{left} older warnings are not shown."]


_POSITIONS = f"""
WITH position AS (
    SELECT a.ledger_id, a.source, a.external_id AS account, c.currency, c.currency <> a.currency AS other,
        {told_twice.identity("a")} AS identity
    FROM mirror.bank_account a CROSS JOIN LATERAL unnest(a.currencies) AS c (currency)
    WHERE a.ledger_id = ANY($1) AND a.source = ANY($2) AND a.deleted_at IS NULL
)
SELECT p.ledger_id, p.source, p.account, p.currency, p.identity, base.closing, base.closing_available, base.ends_on AS statement_date,
    booked.moved, booked.movements, expected.pending, odd.warnings, state.as_of AS fetched_at
FROM position p
JOIN mirror.source_state state ON state.source = p.source
LEFT JOIN LATERAL (
    SELECT s.closing, s.closing_available, s.ends_on FROM mirror.bank_statement s
    WHERE s.ledger_id = p.ledger_id AND s.source = p.source AND s.account = p.account AND s.currency = p.currency
        AND s.rank > 0 AND s.closing IS NOT NULL AND s.ends_on <= $3::text::date
    ORDER BY s.rank DESC LIMIT 1
) base ON true
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.amount), 0) AS moved, count(*) AS movements FROM mirror.bank_transaction t
    WHERE t.ledger_id = p.ledger_id AND t.source = p.source AND t.account = p.account AND t.currency = p.currency
        AND t.visible AND t.status = 'BOOKED' AND t.dated_on > base.ends_on AND t.dated_on <= $3::text::date
) booked
CROSS JOIN LATERAL (
    SELECT coalesce(sum(t.amount), 0) AS pending FROM mirror.bank_transaction t
    WHERE t.ledger_id = p.ledger_id AND t.source = p.source AND t.account = p.account AND t.currency = p.currency
        AND t.visible AND t.status = 'PENDING' AND coalesce(t.dated_on <= $3::text::date, true)
        AND NOT {superseded("t", "$3::text::date")}
) expected
CROSS JOIN LATERAL (
    SELECT jsonb_agg(CASE WHEN s.gap IS NULL THEN s.warnings ELSE s.warnings || to_jsonb(s.gap) END ORDER BY s.rank DESC)
        AS warnings
    FROM mirror.bank_statement s
    WHERE s.ledger_id = p.ledger_id AND s.source = p.source AND s.account = p.account AND s.currency = p.currency
        AND s.rank > 0 AND (s.gap IS NOT NULL OR s.warnings <> '[]') AND coalesce(s.ends_on <= $3::text::date, true)
) odd
ORDER BY p.ledger_id, p.source, p.account, p.other, p.currency"""
