"""Payments that were made together, and that a bank books as one sum: as Xero's batch payments tell.

Facts: https://developer.xero.com/documentation/api/accounting/payments (`BatchPayment`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sources.matching import allocating, clues, evidence
from sources.matching.model import Item, ItemKey, Line, Match, Reason

if TYPE_CHECKING:
    from sources.database.pool import Connection

_DAYS: Final = (-5, 5)
_MOST: Final = 2_000


def sums(line: Line, runs: Sequence[Sequence[ItemKey]], items: Mapping[ItemKey, Item]) -> Iterator[Match]:
    """Runs of which just this is open, at about the day. Certain where the text has a number of one of the payments, and no other run
    comes to as much."""
    found = []
    for run in runs:
        mine = [items[key] for key in run if key in items and items[key].ready and items[key].open]
        days = [(line.dated - item.dated).days for item in mine]
        is_whole = len(mine) > 1 and all(item.currency == line.currency for item in mine)
        if (
            is_whole
            and sum(item.open for item in mine) == line.open
            and all(_DAYS[0] <= day <= _DAYS[1] for day in days)
        ):
            found.append(mine)
    for mine in found:
        named = any(clues.is_strong(key) for item in mine for key in item.keys & line.keys)
        reasons = evidence.present(
            Reason("REFERENCE_PART", 30, "The text has a number of payments that were made together.")
            if named
            else None,
            Reason(
                "SUM",
                30,
                f"{evidence.money(line.open, line.currency)} is the sum of {len(mine)} payments made together.",
            ),
            Reason("DATE", 10, "It is of the days in which the money of these payments moves."),
        )
        parts = tuple(allocating.of_item(item, item.open) for item in sorted(mine, key=lambda item: item.key))
        yield Match(line.key, parts, reasons, certain=named and len(found) == 1)


async def read(connection: Connection, ledger_id: int, lines: Sequence[Line]) -> list[list[ItemKey]]:
    """Open payments of the days about these lines, by the run that each is of."""
    if not lines:
        return []
    first = min(line.dated for line in lines) - timedelta(days=_DAYS[1])
    last = max(line.dated for line in lines) - timedelta(days=_DAYS[0])
    runs: dict[tuple[str, str], list[ItemKey]] = {}
    for row in await connection.fetch(_RUNS, ledger_id, first, last, _MOST):
        if row["run"] is not None:
            runs.setdefault((row["source"], row["run"]), []).append(
                ItemKey("payment", row["source"], "", row["external_id"])
            )
    return list(runs.values())


async def waiting_for(connection: Connection, ledger_id: int, payments: Sequence[ItemKey]) -> list[ItemKey]:
    """Transactions of which something is not matched, and that may be the sum of the runs that these payments are of."""
    if not payments:
        return []
    columns = [[key.source for key in payments], [key.external_id for key in payments]]
    rows = await connection.fetch(_WAITING, ledger_id, *columns, *_DAYS)
    return [ItemKey("bank_transaction", row["source"], row["account"], row["external_id"]) for row in rows]


_RUN: Final = "p.raw #>> '{BatchPayment,BatchPaymentID}'"
_RUNS: Final = f"""
SELECT i.source, i.external_id, paid.run FROM matching.item i
CROSS JOIN LATERAL (
    SELECT {_RUN} AS run FROM mirror.payment p WHERE p.ledger_id = $1 AND p.source = i.source AND p.external_id = i.external_id
        AND p.bank_account IS NOT NULL LIMIT 1
) AS paid
WHERE i.ledger_id = $1 AND i.kind = 'payment' AND i.ready AND i.used <> i.amount AND i.dated BETWEEN $2 AND $3
ORDER BY i.dated DESC, i.source, i.external_id LIMIT $4"""
_WAITING: Final = f"""
WITH changed AS (
    SELECT DISTINCT p.source, {_RUN} AS run, p.occurred_on FROM unnest($2::text[], $3::text[]) AS asked (source, external_id)
    JOIN mirror.payment p ON p.ledger_id = $1 AND p.source = asked.source AND p.external_id = asked.external_id
    WHERE {_RUN} IS NOT NULL
), run AS (
    SELECT changed.source, changed.run, i.currency, sum(i.amount - i.used)::bigint AS open, min(i.dated) AS first, max(i.dated) AS last
    FROM changed
    JOIN matching.item i ON i.ledger_id = $1 AND i.kind = 'payment' AND i.source = changed.source AND i.ready AND i.used <> i.amount
        AND i.dated = changed.occurred_on
    JOIN mirror.payment p ON p.ledger_id = $1 AND p.source = i.source AND p.external_id = i.external_id AND {_RUN} = changed.run
    GROUP BY changed.source, changed.run, i.currency
)
SELECT DISTINCT found.source, found.account, found.external_id FROM run CROSS JOIN LATERAL (
    SELECT i.source, i.account, i.external_id FROM matching.item i
    WHERE i.ledger_id = $1 AND i.kind = 'bank_transaction' AND i.currency = run.currency AND i.expected = run.open AND i.ready
        AND i.used <> i.amount AND i.dated BETWEEN run.last + $4::integer AND run.first + $5::integer
    ORDER BY i.dated LIMIT 20
) AS found"""
