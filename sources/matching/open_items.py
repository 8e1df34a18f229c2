"""What the graph reads of what is open: invoices and credit notes on a day, and by party how long they are overdue. See `sources.reading`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from sources.matching import open_sql
from sources.mirror.queries import columns
from sources.reading import Conditions, Key, Order, Reader, View, Want, page

Args = Mapping[str, Any]
BUCKETS: Final = (
    ("not_due", None, 0),
    ("days_1_to_30", 1, 30),
    ("days_31_to_60", 31, 60),
    ("days_61_to_90", 61, 90),
    ("over_90", 91, None),
)
_ASKED: Final = ("$1", "$3", "$2::text::date")
"""Ledger, direction, day: as `_conditions` marks them."""
_OPEN: Final = open_sql.on_day(*_ASKED)

OPEN_ITEM = View(
    f"({_OPEN}) o",
    columns("o", "source external_id party_id party_name currency due_on open unexplained")
    | {"ledger_id": "$1::bigint", "overdue": "$2::text::date - o.due_on"},
)
OPEN_ITEMS_BY_DAY = Order("open-items", (("due_on", "date"), ("source", "text"), ("external_id", "text")))


def _bucket(low: int | None, high: int | None) -> str:
    """By the day on which it is due: so many days before the day asked for."""
    parts = [
        *([f"due_on <= $2::text::date - {low}"] if low is not None else []),
        *([f"due_on >= $2::text::date - {high}"] if high is not None else []),
    ]
    return " AND ".join(parts)


_SUMS: Final = ", ".join(
    f"(coalesce(sum(open) FILTER (WHERE {_bucket(low, high)}), 0))::bigint AS {name}" for name, low, high in BUCKETS
)
_PARTS: Final = f"""
SELECT party_id, party_name, currency, due_on, nullif(open, 0) AS open, on_account, set_off, unexplained FROM ({_OPEN}) o
UNION ALL
SELECT party_id, party_name, currency, NULL::date, NULL::bigint, amount, 0, 0 FROM ({open_sql.on_account(*_ASKED)}) a"""
_AGED: Final = f"""count(open) AS documents, coalesce(sum(open), 0)::bigint AS open, {_SUMS},
    (sum(on_account) - {open_sql.UNFOUND})::bigint AS on_account, (sum(unexplained) + {open_sql.UNFOUND})::bigint AS unexplained,
    (coalesce(sum(open), 0) + sum(on_account) + sum(unexplained))::bigint AS balance"""
_OF_AGEING: Final = " ".join(("documents open", *(name for name, _, _ in BUCKETS), "on_account unexplained balance"))
_SUMMED: Final = ", ".join(f"sum({name})::bigint AS {name}" for name in _OF_AGEING.split())
_ANY: Final = "({0}.documents > 0 OR {0}.on_account <> 0 OR {0}.unexplained <> 0)"
AGEING_BY_PARTY = Order("open-items-by-party", (("party_id", "text"), ("currency", "text")))


async def _conditions(reader: Reader, args: Args) -> Conditions:
    where = Conditions()
    where.mark((await reader.ledger(args["ledger"])).ledger_id)
    where.mark(args["asOf"].isoformat())
    where.mark(args["direction"].value)
    return where


def _narrow(where: Conditions, args: Args) -> None:
    if args.get("party") is not None:
        where.add("party_id = {0}", args["party"])
    if args.get("currency") is not None:
        where.add("currency = {0}", args["currency"])


def _days_before(day: date, days: int) -> date:
    """The calendar ends somewhere, and what was typed may not."""
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return date.min if days > 0 else date.max


async def open_items(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> dict[str, Any]:
    """A page of the invoices and credit notes that are open on a day, or of those of which the books have something else; those due
    first before the others."""
    where = await _conditions(reader, args)
    _narrow(where, args)
    where.add("o.unexplained <> 0" if args.get("unexplained") else "o.open <> 0")
    if args.get("overdueBy") is not None:
        where.add("o.due_on <= {0}::text::date", _days_before(args["asOf"], args["overdueBy"]).isoformat())
    return await page(reader, OPEN_ITEM, where, OPEN_ITEMS_BY_DAY, want, args)


async def ageing(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> dict[str, Any]:
    """A page of what is open on a day, by party and currency; `totals` of all parties, by currency."""
    where = await _conditions(reader, args)
    _narrow(where, args)
    of_party = f"""
(SELECT party_id, max(party_name) AS party_name, currency, {_AGED} FROM ({_PARTS}) parts WHERE {where.sql} GROUP BY party_id, currency) a"""
    by_party = View(of_party, columns("a", f"party_id party_name currency {_OF_AGEING}"))
    asked = Conditions()
    asked.args = where.args
    asked.add(_ANY.format("a"))
    values = await page(reader, by_party, asked, AGEING_BY_PARTY, want, args)
    if "totals" in want.columns:
        totals = View(
            f"(SELECT currency, {_SUMMED} FROM {of_party} GROUP BY currency) t", columns("t", f"currency {_OF_AGEING}")
        )
        wanted = want.nested["totals"]
        sql = totals.select(wanted.columns, _ANY.format("t"), "ORDER BY t.currency")
        values["totals"] = await reader.fetch(sql, *where.args)
    return values
