"""Balances and reports: sums of the month rows before a date's month and of its days, never of lines.

A balance at any date reads a bounded number of rows; amounts are minor units, debit positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from sources.errors import InvalidArgument
from sources.ledger.model import LedgerRef
from sources.ledger.queries import by_ledger
from sources.reading import Key, Reader, Results, Row, Want

Args = Mapping[str, Any]


async def balances_of_accounts(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Rows: account_id, currency, debit, credit, net, functional_net, ledger_id; in order of currency."""
    found: dict[Key, list[Row]] = {key: [] for key in keys}
    for ledger_id, accounts in by_ledger(keys).items():
        chosen, those = _of(accounts)
        totals, day = _totals(chosen, args.get("asOf"), 3)
        sql = f"""SELECT account_id, currency, sum(debit), sum(credit), sum(functional_debit) - sum(functional_credit)
                  FROM ({totals}) t GROUP BY account_id, currency ORDER BY account_id, currency COLLATE "C" """
        for account, currency, debit, credit, functional_net in await reader.fetch(sql, ledger_id, those, *day):
            values = {
                "ledger_id": ledger_id,
                "currency": currency,
                "debit": int(debit),
                "credit": int(credit),
                "net": int(debit) - int(credit),
                "functional_net": int(functional_net),
            }
            found[ledger_id, account].append(want.row(values))
    return found


async def functional_balance_of_accounts(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Rows: net, ledger_id; zero where nothing was posted."""
    found: dict[Key, Row] = {key: want.row({"net": 0, "ledger_id": key[0]}) for key in keys}
    for ledger_id, accounts in by_ledger(keys).items():
        chosen, those = _of(accounts)
        totals, day = _totals(chosen, args.get("asOf"), 3)
        sql = f"SELECT account_id, sum(functional_debit) - sum(functional_credit) FROM ({totals}) t GROUP BY account_id"
        for account, net in await reader.fetch(sql, ledger_id, those, *day):
            found[ledger_id, account] = want.row({"net": int(net), "ledger_id": ledger_id})
    return found


def _of(accounts: list[int]) -> tuple[str, int | list[int]]:
    """One account by equality: PostgreSQL plans that once and for all, a list of unknown length for each request."""
    return ("b.account_id = $2", accounts[0]) if len(accounts) == 1 else ("b.account_id = ANY($2)", accounts)


def _totals(where: str, day: date | None, number: int) -> tuple[str, tuple[Any, ...]]:
    """Rows of whole months before the day's month and of its days up to it; no day: every month."""
    months = f"SELECT b.* FROM ledger.balance_month b WHERE b.ledger_id = $1 AND {where}"
    if day is None:
        return months, ()
    first, last = f"${number}::date", f"${number + 1}::date"
    days = f"SELECT b.* FROM ledger.balance_day b WHERE b.ledger_id = $1 AND {where}"
    sql = f"{months} AND b.month < {first} UNION ALL {days} AND b.day >= {first} AND b.day <= {last}"
    return sql, (_month(day), day.isoformat())


def _month(day: date) -> str:
    """The first of the day's month. Made here: in the statement it would be made again for every row."""
    return day.replace(day=1).isoformat()


async def trial_balance(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """A row: ledger_id, sequence, rows (ledger_id, account_id, opening, debit, credit, closing), totals."""
    ref = await reader.ledger(args["ledger"])
    since, until = args.get("from"), args.get("to")
    if since and until and since > until:
        raise InvalidArgument("from must not be after to")
    head = await reader.fetch("SELECT last_sequence FROM ledger.head WHERE ledger_id = $1", ref.ledger_id)
    rows = await _trial_rows(reader, ref, since, until)
    row_want = want.nested.get("rows", Want())
    values = {
        "ledger_id": ref.ledger_id,
        "sequence": head[0][0],
        "rows": [row_want.row(row) for row in rows],
        "total_debit": sum(row["debit"] for row in rows),
        "total_credit": sum(row["credit"] for row in rows),
    }
    return {(): want.row(values)}


async def _trial_rows(reader: Reader, ref: LedgerRef, since: Any, until: Any) -> list[dict[str, int]]:
    """Two sums an account up to the last day, and two before the first day where there is one."""
    totals, args = _totals("true", until, 2)
    sums = "sum(functional_debit) AS debit, sum(functional_credit) AS credit"
    sql = f"SELECT account_id, {sums} FROM ({totals}) c GROUP BY account_id"
    before = "SELECT 0 AS debit, 0 AS credit"
    if since is not None:
        first, mark = f"${len(args) + 2}::date", f"${len(args) + 3}::date"
        months = f"SELECT b.* FROM ledger.balance_month b WHERE b.ledger_id = $1 AND b.month < {first}"
        days = f"SELECT b.* FROM ledger.balance_day b WHERE b.ledger_id = $1 AND b.day >= {first} AND b.day < {mark}"
        before = f"SELECT account_id, {sums} FROM ({months} UNION ALL {days}) b GROUP BY account_id"
        args = (*args, _month(since), since.isoformat())
    join = f"LEFT JOIN ({before}) b ON b.account_id = s.account_id" if since is not None else f"CROSS JOIN ({before}) b"
    ordered = f"""SELECT s.account_id, s.debit, s.credit, coalesce(b.debit, 0), coalesce(b.credit, 0) FROM ({sql}) s
                  JOIN ledger.account a ON a.ledger_id = $1 AND a.account_id = s.account_id {join} ORDER BY a.code"""
    rows = []
    for account_id, *found in await reader.fetch(ordered, ref.ledger_id, *args):
        debit, credit, before_debit, before_credit = map(int, found)
        rows.append(
            {
                "ledger_id": ref.ledger_id,
                "account_id": account_id,
                "opening": before_debit - before_credit,
                "debit": debit - before_debit,
                "credit": credit - before_credit,
                "closing": debit - credit,
            }
        )
    return rows
