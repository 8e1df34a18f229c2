"""Payslips of the mirror that transactions may pay, and transactions that may pay payslips: by the amount, and about the pay date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sources.matching import clues, wages
from sources.matching.model import ItemKey, Line
from sources.matching.todo import ASKED, columns_of
from sources.matching.wages import Payslip, Run

if TYPE_CHECKING:
    from sources.database.pool import Connection

_MOST_RUNS: Final = 100


async def read(connection: Connection, ledger_id: int, lines: Sequence[Line]) -> list[Run]:
    """The open payroll runs of the days about these lines, with the payslips of their amounts and what is paid."""
    paying = [line for line in lines if line.open < 0]
    if not paying:
        return []
    first = min(line.dated for line in paying) - timedelta(days=wages.DAYS[1])
    last = max(line.dated for line in paying) - timedelta(days=wages.DAYS[0])
    rows = await connection.fetch(_RUNS, ledger_id, first, last, _MOST_RUNS)
    runs = {(row["source"], row["external_id"]): _run(row) for row in rows}
    if not runs:
        return []
    columns = [list(column) for column in zip(*runs, strict=True)]
    for row in await connection.fetch(_PAYSLIPS, ledger_id, *columns, sorted({-line.open for line in paying})):
        runs[row["source"], row["external_id"]].payslips.append(_payslip(row))
    for row in await connection.fetch(_PAID, ledger_id, *columns):
        runs[row["source"], row["external_id"]].paid.append((row["amount"], row["party"]))
    return list(runs.values())


def _run(row: Any) -> Run:
    return Run(ItemKey("payroll_run", row["source"], "", row["external_id"]), bool(row["payslips_given"]))


def _payslip(row: Any) -> Payslip:
    keys = clues.keys_of_number(row["payslip_id"]) | clues.keys_of_number(row["employee_id"])
    return Payslip(row["net"], clues.party_name(row["employee_name"]), frozenset(keys))


async def waiting_for(connection: Connection, ledger_id: int, runs: Sequence[ItemKey]) -> list[ItemKey]:
    """Transactions of which something is not matched, and that may pay payslips of these runs."""
    if not runs:
        return []
    rows = await connection.fetch(_WAITING, ledger_id, *columns_of(runs), *wages.DAYS)
    return [ItemKey("bank_transaction", row["source"], row["account"], row["external_id"]) for row in rows]


# Each run's by itself, by index: see `worker`.
_RUNS = """
SELECT i.source, i.external_id, run.payslips_given FROM matching.item i
CROSS JOIN LATERAL (
    SELECT payslips_given FROM mirror.payroll_run held
    WHERE held.ledger_id = $1 AND held.source = i.source AND held.external_id = i.external_id LIMIT 1
) AS run
WHERE i.ledger_id = $1 AND i.kind = 'payroll_run' AND i.ready AND i.used <> i.amount AND i.dated BETWEEN $2 AND $3
ORDER BY i.dated DESC, i.source, i.external_id LIMIT $4"""
_OF_RUNS = "unnest($2::text[], $3::text[]) AS asked (source, external_id)"
_PAYSLIPS = f"""
SELECT asked.source, asked.external_id, slip.external_id AS payslip_id, slip.employee_id, slip.employee_name, slip.net
FROM {_OF_RUNS} CROSS JOIN LATERAL (
    SELECT * FROM mirror.payslip held WHERE held.ledger_id = $1 AND held.source = asked.source
        AND held.run_external_id = asked.external_id AND held.net = ANY($4::bigint[])
    ORDER BY held.position, held.external_id OFFSET 0
) AS slip"""
_PAID = f"""
SELECT asked.source, asked.external_id, paid.amount, coalesce(line.party, '') AS party
FROM {_OF_RUNS} CROSS JOIN LATERAL (
    SELECT a.match_id, a.amount FROM matching.allocation a
    WHERE a.ledger_id = $1 AND a.kind = 'payroll_run' AND a.source = asked.source AND a.account = '' AND a.external_id = asked.external_id
    OFFSET 0
) AS paid
CROSS JOIN LATERAL (
    SELECT * FROM matching.match m WHERE m.ledger_id = $1 AND m.match_id = paid.match_id AND m.status || '' IN ('CERTAIN', 'CONFIRMED')
    LIMIT 1
) AS live
LEFT JOIN LATERAL (
    SELECT i.party FROM matching.item i WHERE i.ledger_id = $1 AND i.kind = (SELECT 'bank_transaction')  -- not by the index of an account's
        AND i.source = live.source AND i.account = live.account AND i.external_id = live.external_id LIMIT 1
) AS line ON true"""
_WAITING = f"""
SELECT DISTINCT found.source, found.account, found.external_id
FROM {ASKED}
CROSS JOIN LATERAL (
    SELECT i.currency, i.dated FROM matching.item i WHERE i.ledger_id = $1 AND i.kind = 'payroll_run' AND i.source = asked.source
        AND i.account = '' AND i.external_id = asked.external_id AND i.ready AND i.used <> i.amount LIMIT 1
) AS run
CROSS JOIN LATERAL (
    SELECT DISTINCT held.net FROM mirror.payslip held
    WHERE held.ledger_id = $1 AND held.source = asked.source AND held.run_external_id = asked.external_id AND held.net > 0 OFFSET 0
) AS slip
CROSS JOIN LATERAL (
    SELECT i.source, i.account, i.external_id FROM matching.item i
    WHERE i.ledger_id = $1 AND i.kind = 'bank_transaction' AND i.currency = run.currency AND i.expected = -slip.net AND i.ready
        AND i.used <> i.amount AND i.dated BETWEEN run.dated + $6::integer AND run.dated + $7::integer
    ORDER BY i.dated LIMIT 20
) AS found"""
