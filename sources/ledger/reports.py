"""Balances and reports: sums of year, month and day rows, never of lines; amounts are minor units, debit positive.

What was posted before a day is the years up to the nearest beginning of a year, more or less the months from there to the
nearest beginning of a month, more or less the days from there: for each account and currency at most six months and fifteen
days, however long the ledger is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import asyncpg

from sources.errors import InvalidArgument, TooMuch
from sources.ledger.model import LedgerRef
from sources.ledger.queries import ACCOUNT, by_ledger
from sources.ledger.rules import FIRST_DATE, LAST_DATE
from sources.reading import Key, Reader, Results, Row, View, Want

Args = Mapping[str, Any]


async def balances_of_accounts(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Rows: account_id, currency, debit, credit, net, functional_net, ledger_id; in order of currency."""
    found: dict[Key, list[Row]] = {key: [] for key in keys}
    sums = "sum(debit), sum(credit), sum(functional_debit), sum(functional_credit)"
    for ledger_id, accounts in by_ledger(keys).items():
        chosen, those = _of(accounts)
        stored = _stored_before(_day_after(args.get("asOf")), _SUMS, chosen, 3)
        moved = f"HAVING greatest({sums}) > 0" if stored.less else ""
        sql = f"""SELECT account_id, currency, {sums} FROM ({stored.sql}) t
                  GROUP BY account_id, currency {moved} ORDER BY account_id, currency COLLATE "C" """
        for account, currency, *amounts in await reader.fetch(sql, ledger_id, those, *stored.args):
            debit, credit, functional_debit, functional_credit = map(int, amounts)
            values = {
                "ledger_id": ledger_id,
                "currency": currency,
                "debit": debit,
                "credit": credit,
                "net": debit - credit,
                "functional_net": functional_debit - functional_credit,
            }
            found[ledger_id, account].append(want.row(values))
    return found


async def functional_balance_of_accounts(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Rows: net, ledger_id; zero where nothing was posted."""
    found: dict[Key, Row] = {key: want.row({"net": 0, "ledger_id": key[0]}) for key in keys}
    for ledger_id, accounts in by_ledger(keys).items():
        chosen, those = _of(accounts)
        stored = _stored_before(_day_after(args.get("asOf")), _NET, chosen, 3)
        sql = f"SELECT account_id, sum(net) FROM ({stored.sql}) t GROUP BY account_id"
        for account, net in await reader.fetch(sql, ledger_id, those, *stored.args):
            found[ledger_id, account] = want.row({"net": int(net), "ledger_id": ledger_id})
    return found


def _of(accounts: list[int]) -> tuple[str, int | list[int]]:
    """One account by equality: PostgreSQL plans that once and for all, a list of unknown length for each request."""
    return ("b.account_id = $2", accounts[0]) if len(accounts) == 1 else ("b.account_id = ANY($2)", accounts)


async def trial_balance(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """A row: ledger_id, sequence, rows (an account's columns, opening, debit, credit, closing), totals. Raises
    InvalidArgument for days in the wrong order, TooMuch where an account's sum is beyond 64 bits."""
    ref = await reader.ledger(args["ledger"])
    since, until = args.get("from"), args.get("to")
    if since and until and since > until:
        raise InvalidArgument("from must not be after to")
    values: dict[str, Any] = {"ledger_id": ref.ledger_id}
    if "sequence" in want.columns:
        head = await reader.fetch("SELECT last_sequence FROM ledger.head WHERE ledger_id = $1", ref.ledger_id)
        values["sequence"] = head[0][0]
    totals = [name for name in ("debit", "credit") if f"total_{name}" in want.columns]
    if totals or "rows" in want.columns:
        names = want.nested["rows"].columns if "rows" in want.columns else ()
        values["rows"] = rows = await _trial_rows(reader, ref, since, until, [*names, *totals])
        values.update({f"total_{name}": sum(row[len(names) + at] for row in rows) for at, name in enumerate(totals)})
    return {(): want.row(values)}


async def _trial_rows(
    reader: Reader, ref: LedgerRef, since: date | None, until: date | None, names: Sequence[str]
) -> Sequence[Row]:
    """Of every account that moved up to the last day. Sums come as 64 bits: numerics would be texts on their way."""
    sql, args = _trial_sums(_day_after(until), 2)
    source = f"({sql}) s JOIN ledger.account a ON a.ledger_id = $1 AND a.account_id = s.account_id"
    columns = _SINCE_EVER
    if since is not None:
        before = _stored_before(since, _FUNCTIONAL, "true", 2 + len(args))
        source += f" LEFT JOIN ({_summed(before)}) o ON o.account_id = s.account_id"
        columns, args = _SINCE_A_DAY, (*args, *before.args)
    view = View(source, {**ACCOUNT.columns, **columns})
    try:
        return await reader.fetch(view.select(names, "true", "ORDER BY a.code"), ref.ledger_id, *args)
    except asyncpg.NumericValueOutOfRangeError as error:
        raise TooMuch("an account's sum has more than 64 bits: ask for the balances of accounts instead") from error


_SINCE_EVER = {
    "opening": "0",
    "debit": "s.debit::bigint",
    "credit": "s.credit::bigint",
    "closing": "(s.debit - s.credit)::bigint",
}
_SINCE_A_DAY = {
    "opening": "coalesce(o.debit - o.credit, 0)::bigint",
    "debit": "(s.debit - coalesce(o.debit, 0))::bigint",
    "credit": "(s.credit - coalesce(o.credit, 0))::bigint",
    "closing": "(s.debit - s.credit)::bigint",
}


def _trial_sums(day: date | None, number: int) -> tuple[str, tuple[str, ...]]:
    """Two sums of each account with lines before the day. Zeros may be of lines that are worth nothing, or of none."""
    stored = _stored_before(day, _FUNCTIONAL, "true", number)
    if day is None or not stored.less:
        return _summed(stored), stored.args
    moved = f"""SELECT true FROM ledger.line n WHERE n.ledger_id = $1 AND n.account_id = t.account_id
                AND n.effective_date < ${number + len(stored.args)}::date ORDER BY n.effective_date LIMIT 1"""
    return f"{_summed(stored)} HAVING sum(debit) <> 0 OR sum(credit) <> 0 OR ({moved})", (*stored.args, day.isoformat())


def _summed(stored: _Stored) -> str:
    return f"SELECT account_id, sum(debit) AS debit, sum(credit) AS credit FROM ({stored.sql}) t GROUP BY account_id"


# ---------------------------------------------------------------- what is stored


@dataclass(frozen=True, slots=True)
class _Stored:
    """A statement of rows whose sums are what was posted before a day, and its arguments. `less`: some are taken away, so
    that an account which moved only later may have rows too; their sums are zero."""

    sql: str
    args: tuple[str, ...]
    less: bool


_KEYS = {name: f"b.{name}" for name in ("account_id", "currency")}
_ACCOUNT = {"account_id": "b.account_id"}
_FUNCTIONAL = {**_ACCOUNT, "debit": "b.functional_debit", "credit": "b.functional_credit"}
_NET = {**_ACCOUNT, "net": "b.functional_debit - b.functional_credit"}
_SUMS = _KEYS | {name: f"b.{name}" for name in ("debit", "credit", "functional_debit", "functional_credit")}


def _day_after(day: date | None) -> date | None:
    """None, for all that is posted, where nothing can be dated later."""
    return None if day is None or day >= LAST_DATE else day + timedelta(days=1)


def _stored_before(day: date | None, columns: Mapping[str, str], where: str, number: int) -> _Stored:
    """`columns`: expressions over a balance row b, by name; but for keys they are sums. `where`: a condition over the row;
    `number`: of the first argument. No day: all that is posted."""
    if day is None or day > LAST_DATE:
        return _Stored(_select("year", columns, where), (), less=False)
    day = max(day, FIRST_DATE)
    month = _month_near(day)
    year = _year_near(month)
    parts = [f"{_select('year', columns, where)} AND b.year < ${number}::date"]
    days = [year]
    for period, start, end in (("month", year, month), ("day", month, day)):
        if start != end:
            stored = _select(period, columns, where, "-" if end < start else "")
            first = number + len(days)
            parts.append(f"{stored} AND b.{period} >= ${first}::date AND b.{period} < ${first + 1}::date")
            days += sorted((start, end))
    return _Stored(" UNION ALL ".join(parts), tuple(map(date.isoformat, days)), less=day < month or month < year)


def _select(period: str, columns: Mapping[str, str], where: str, sign: str = "") -> str:
    signed = [f"{'' if name in _KEYS else sign}({column}) AS {name}" for name, column in columns.items()]
    return f"SELECT {', '.join(signed)} FROM ledger.balance_{period} b WHERE b.ledger_id = $1 AND {where}"


def _month_near(day: date) -> date:
    """The beginning of a month that is nearest."""
    start = day.replace(day=1)
    end = (start + timedelta(days=31)).replace(day=1)
    return start if day - start <= end - day else end


def _year_near(month: date) -> date:
    """The beginning of a year that is nearest."""
    return date(month.year + (month.month > 7), 1, 1)
