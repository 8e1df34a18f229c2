"""Bank transactions: of accounts page by page, and by id. Only those that count are answered: what an authoritative statement
covers, a better one states again, or was pending in a statement that another one follows, is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sources.mirror.queries import BANK_TRANSACTION, Args, add_dates, split, superseded
from sources.reading import (
    Conditions,
    Key,
    Order,
    PageArgs,
    Reader,
    Results,
    Row,
    Want,
    encode_cursor,
    page_args,
)

TRANSACTIONS_BY_DATE = Order(
    "bank-transactions", (("listed_booked", "date"), ("listed_value", "date"), ("external_id", "text"))
)
_KEYS = tuple(name for name, _ in TRANSACTIONS_BY_DATE.keys)
_EVER = "'infinity'"
_COUNTS = f"t.visible AND NOT {superseded('t', _EVER)}"
_OF_PARENT = f"t.ledger_id = parent.ledger_id AND t.source = parent.source AND t.account = parent.account AND {_COUNTS}"
_PARENTS = "unnest($1::bigint[], $2::text[], $3::text[]) AS parent (ledger_id, source, account)"


async def transactions_of_accounts(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """A page for each account, by (ledger_id, source, account): ordered by booking date (pending ones last), value date
    and id. One statement for all of them, and one for their counts."""
    paging = page_args({name: args.get(name) for name in ("first", "after")}, reader.page_size, TRANSACTIONS_BY_DATE)
    where = _conditions(keys, args)
    pages: dict[Key, dict[str, Any]] = {key: {} for key in keys}
    if "total_count" in want.columns:
        counts = await _counts(reader, where)
        for key in keys:
            pages[key]["total_count"] = counts.get(key, 0)
    if "rows" in want.columns or "page_info" in want.columns:
        rows_want = want.nested.get("rows", Want())
        fetched = await _fetch(reader, where, rows_want, paging)
        for key in keys:
            pages[key] |= _page(fetched.get(key, []), rows_want, want.nested.get("page_info"), paging)
    return {key: want.row(values) for key, values in pages.items()}


async def transaction_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, source, account, external id)."""
    names = [*want.columns, "ledger_id", "source", "account", "external_id"]
    where = (
        f"{_COUNTS} AND (t.ledger_id, t.source, t.account, t.external_id) IN "
        "(SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]))"
    )
    rows = await reader.fetch(BANK_TRANSACTION.select(names, where), *split(keys))
    return {tuple(row[-4:]): row for row in rows}


def _conditions(keys: Sequence[Key], args: Args) -> Conditions:
    where = Conditions()
    where.args.extend(split(keys))
    where.add(_OF_PARENT)
    add_dates(where, "t.dated_on", args.get("from"), args.get("to"))
    if args.get("statuses") is not None:
        where.add("t.status = ANY({0})", [status.value for status in args["statuses"]])
    return where


async def _counts(reader: Reader, where: Conditions) -> Mapping[Key, int]:
    sql = (
        "SELECT parent.ledger_id, parent.source, parent.account, count(*) "
        f"FROM {_PARENTS} JOIN mirror.bank_transaction t ON {where.sql} GROUP BY 1, 2, 3"
    )
    return {tuple(row[:3]): row[3] for row in await reader.fetch(sql, *where.args)}


async def _fetch(reader: Reader, where: Conditions, want: Want, paging: PageArgs) -> dict[Key, list[Any]]:
    """Up to one row more than a page for each account; their order's keys stand behind want's columns."""
    if paging.after is not None:
        where = where.copy()
        where.add(
            "(t.listed_booked, t.listed_value, t.external_id) > ({0}::text::date, {1}::text::date, {2}::text)",
            *paging.after,
        )
    names = [*_without_cursor(want).columns, *_KEYS]
    order = ", ".join(BANK_TRANSACTION.columns[name] for name in _KEYS)
    page = BANK_TRANSACTION.select(names, where.sql, f"ORDER BY {order} LIMIT {paging.limit + 1}")
    sql = (
        f"SELECT page.*, parent.ledger_id, parent.source, parent.account FROM {_PARENTS} CROSS JOIN LATERAL ({page}) "
        f"AS page ({', '.join(f'c{n}' for n in range(len(names)))})"
    )
    found: dict[Key, list[Any]] = {}
    for row in await reader.fetch(sql, *where.args):
        found.setdefault(tuple(row[-3:]), []).append(row)
    return found


def _page(fetched: Sequence[Any], want: Want, info_want: Want | None, paging: PageArgs) -> dict[str, Any]:
    records, width = fetched[: paging.limit], len(_without_cursor(want).columns)
    cursors = [encode_cursor(TRANSACTIONS_BY_DATE, list(record[width : width + len(_KEYS)])) for record in records]
    info = {
        "has_next": len(fetched) > paging.limit,
        "has_previous": paging.after is not None,
        "start": cursors[0] if cursors else None,
        "end": cursors[-1] if cursors else None,
    }
    rows: Sequence[Row] = records
    if "cursor" in want.columns:
        at = want.columns.index("cursor")
        rows = [(*record[:at], cursor, *record[at:width]) for record, cursor in zip(records, cursors, strict=True)]
    return {"rows": rows, "page_info": info_want.row(info) if info_want else None}


def _without_cursor(want: Want) -> Want:
    return replace(want, columns=tuple(name for name in want.columns if name != "cursor"))
