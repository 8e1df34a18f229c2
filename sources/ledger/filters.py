"""Filters of the ledger's lists as conditions, and how a page of what they let through is found without reading the rest.

A page's cost has to depend on the page, not on the ledger. What an index orders by a value first is read value by value: an
account's lines and entries by date, the entries of a journal, a source or a day by sequence. Times of posting never
decrease along the sequence, and become bounds of it. Where nothing helps (currencies and dimensions of lines, totals, long
ranges of dates in order of sequence), a page of what is rare reads much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sources.errors import InvalidArgument
from sources.ledger.model import LedgerRef
from sources.money import EXPONENTS, ceil_minor
from sources.reading import Branches, Conditions, Order

Filter = Mapping[str, Any]
MAX_BRANCHES = 20
"""Values that are read one by one: of each as many rows as the page takes."""

MAX_DAYS = 31
"""Days that are read one by one: entries of more of them, in order of sequence, are found as the planner thinks best."""

_LINES = "SELECT 1 FROM ledger.line n WHERE n.ledger_id = e.ledger_id AND n.sequence = e.sequence"


def entry_conditions(ref: LedgerRef, filter_: Filter) -> Conditions:
    """Entries that an EntryFilter or a PostingFilter lets through."""
    where = Conditions()
    where.add("e.ledger_id = {0}", ref.ledger_id)
    _dates(where, filter_, "e.effective_date")
    for name, sign in (("postedFrom", ">="), ("postedTo", "<=")):
        if filter_.get(name) is not None:
            where.add(f"e.posted_at {sign} {{0}}::timestamptz", filter_[name].isoformat())
    if filter_.get("accountCodes") is not None:
        chosen = "SELECT a.account_id FROM ledger.account a WHERE a.ledger_id = {0} AND a.code = ANY({1})"
        where.add(f"EXISTS ({_LINES} AND n.account_id IN ({chosen}))", ref.ledger_id, filter_["accountCodes"])
    present(where, filter_, "sources", "e.origin = ANY({0}) AND e.origin <> ''")
    present(where, filter_, "journals", "e.journal = ANY({0})")
    present(where, filter_, "reference", "e.reference = {0}")
    present(where, filter_, "idempotencyKey", "e.idempotency_key = {0}")
    if filter_.get("dimension") is not None:
        where.add(f"EXISTS ({_LINES} AND n.dimensions @> {{0}}::text::jsonb)", _dimension(filter_["dimension"]))
    if filter_.get("minTotal") is not None:
        minor = ceil_minor(filter_["minTotal"], EXPONENTS[ref.functional_currency])
        where.add("e.total >= {0}", max(-(2**63), min(minor, 2**63 - 1)))
    return where


def line_conditions(ref: LedgerRef, filter_: Filter) -> Conditions:
    """Lines that a LineFilter lets through."""
    where = Conditions()
    where.add("n.ledger_id = {0}", ref.ledger_id)
    chosen = (
        "n.account_id IN (SELECT a.account_id FROM ledger.account a WHERE a.ledger_id = {0} AND a.{column} = ANY({1}))"
    )
    if filter_.get("accountCodes") is not None:
        where.add(chosen.replace("{column}", "code"), ref.ledger_id, filter_["accountCodes"])
    if filter_.get("accountTypes") is not None:
        types = [kind.value for kind in filter_["accountTypes"]]
        where.add(chosen.replace("{column}", "type"), ref.ledger_id, types)
    _dates(where, filter_, "n.effective_date")
    present(where, filter_, "currency", "n.currency = {0}")
    if filter_.get("dimension") is not None:
        where.add("n.dimensions @> {0}::text::jsonb", _dimension(filter_["dimension"]))
    present(
        where,
        filter_,
        "sources",
        "EXISTS (SELECT 1 FROM ledger.entry e WHERE e.ledger_id = n.ledger_id AND e.sequence = n.sequence "
        "AND e.origin = ANY({0}) AND e.origin <> '')",
    )
    return where


# ---------------------------------------------------------------- pages


def entry_page(ref: LedgerRef, filter_: Filter, order: Order) -> tuple[Conditions, Branches | None]:
    """The condition of a page of entries, and the branches by which it is read."""
    where = entry_conditions(ref, filter_)
    if order.keys[0][0] != "sequence":
        return where, _entries_of_accounts(ref, filter_)
    _bound_sequences(where, ref, filter_)
    since, until = filter_.get("effectiveFrom"), filter_.get("effectiveTo")
    if since is not None and until is not None and (until - since).days < MAX_DAYS:
        return where, _entries_of_days(ref, filter_)
    for name, column in (("journals", "e.journal"), ("sources", "e.origin")):
        if _few(filter_, name):
            return where, _entries_by(ref, filter_, name, column)
    return where, None


def line_page(ref: LedgerRef, filter_: Filter) -> tuple[Conditions, Branches | None]:
    """As `entry_page`, of lines in order of date."""
    where = line_conditions(ref, filter_)
    if not _few(filter_, "accountCodes"):
        return where, None
    within = line_conditions(ref, {**filter_, "accountCodes": None, "accountTypes": None})
    within.add("n.account_id = branch.value")
    keys = ("n.effective_date", "n.sequence", "n.line_number")
    return where, Branches(_accounts(within, ref, filter_), "ledger.line n", within, keys)


def _few(filter_: Filter, name: str) -> bool:
    return filter_.get(name) is not None and len(filter_[name]) <= MAX_BRANCHES


def _entries_of_accounts(ref: LedgerRef, filter_: Filter) -> Branches | None:
    """Dates and sequences stand with the lines too, where the index has them."""
    if not _few(filter_, "accountCodes"):
        return None
    within = entry_conditions(ref, {**filter_, "accountCodes": None})
    within.add("n.ledger_id = {0}", ref.ledger_id)
    _dates(within, filter_, "n.effective_date")
    within.add("n.account_id = branch.value")
    source = "ledger.line n JOIN ledger.entry e ON e.ledger_id = n.ledger_id AND e.sequence = n.sequence"
    keys = ("n.effective_date", "n.sequence")
    return Branches(_accounts(within, ref, filter_), source, within, keys, repeats=True)


def _entries_of_days(ref: LedgerRef, filter_: Filter) -> Branches:
    within = entry_conditions(ref, {**filter_, "effectiveFrom": None, "effectiveTo": None})
    _bound_sequences(within, ref, filter_)
    within.add("e.effective_date = branch.value")
    first, last = (within.mark(filter_[name].isoformat()) for name in ("effectiveFrom", "effectiveTo"))
    values = f"SELECT {first}::date + day AS value FROM generate_series(0, {last}::date - {first}::date) AS day"
    return Branches(values, "ledger.entry e", within, ("e.sequence",))


def _entries_by(ref: LedgerRef, filter_: Filter, name: str, column: str) -> Branches:
    within = entry_conditions(ref, {**filter_, name: None})
    _bound_sequences(within, ref, filter_)
    within.add(f"{column} = branch.value AND {column} <> ''")
    values = f"SELECT DISTINCT value FROM unnest({within.mark(filter_[name])}::text[]) AS stated (value)"
    return Branches(values, "ledger.entry e", within, ("e.sequence",))


def _accounts(within: Conditions, ref: LedgerRef, filter_: Filter) -> str:
    sql = (
        f"SELECT a.account_id AS value FROM ledger.account a WHERE a.ledger_id = {within.mark(ref.ledger_id)} "
        f"AND a.code = ANY({within.mark(filter_['accountCodes'])})"
    )
    if filter_.get("accountTypes") is None:
        return sql
    return f"{sql} AND a.type = ANY({within.mark([kind.value for kind in filter_['accountTypes']])})"


# ---------------------------------------------------------------- bounds of the sequence


def _bound_sequences(where: Conditions, ref: LedgerRef, filter_: Filter) -> None:
    for name, bound, sign in (("postedFrom", ">", "<"), ("postedTo", "<=", "<=")):
        if filter_.get(name) is not None:
            last = _LAST_POSTED.replace("{sign}", sign)
            where.add(f"e.sequence {bound} ({last})", ref.ledger_id, filter_[name].isoformat())


_LAST_POSTED = """WITH RECURSIVE step AS (
      SELECT 0::bigint AS low, h.last_sequence + 1 AS high FROM ledger.head h WHERE h.ledger_id = {0}
      UNION ALL
      SELECT CASE WHEN found.earlier THEN found.sequence ELSE s.low END,
             CASE WHEN found.earlier THEN s.high ELSE found.sequence END
      FROM step s CROSS JOIN LATERAL (
        SELECT p.sequence, p.posted_at {sign} {1}::timestamptz AS earlier FROM ledger.entry p
        WHERE p.ledger_id = {0} AND p.sequence >= (s.low + s.high) / 2 ORDER BY p.sequence LIMIT 1
      ) AS found WHERE s.high - s.low > 1)
    SELECT max(low) FROM step"""
"""The last sequence that was posted before a time: halves what is left, as posted_at never decreases along the sequence."""


# ---------------------------------------------------------------- parts


def present(where: Conditions, filter_: Filter, name: str, sql: str) -> None:
    """Adds the condition when the filter states it."""
    if filter_.get(name) is not None:
        where.add(sql, filter_[name])


def _dates(where: Conditions, filter_: Filter, expression: str) -> None:
    for name, sign in (("effectiveFrom", ">="), ("effectiveTo", "<=")):
        if filter_.get(name) is not None:
            where.add(f"{expression} {sign} {{0}}::date", filter_[name].isoformat())


def _dimension(filter_: Filter) -> str:
    name, value = filter_["name"], filter_["value"]
    if "\0" in name + value:
        raise InvalidArgument("a dimension holds a NUL character, which no stored text has")
    return orjson.dumps({name: value}).decode()
