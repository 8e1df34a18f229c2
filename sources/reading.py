"""How rows are asked for and paged: the words shared by every query builder.

A builder fetches one whole level for all its parents: it gets the parents' keys and what the operation wants of the
rows, and answers with a result for each key. Rows are positioned by `Want.columns`.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Protocol

import orjson

from sources.caller import Caller
from sources.errors import InvalidArgument, InvalidCursor
from sources.ledger.model import LedgerRef
from sources.ledger.versions import Version
from sources.packing import LEAST, Packed, fetch_packed

Row = Sequence[Any]
Key = tuple[Any, ...]
DEFAULT_PAGE = 50
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?\+00", re.ASCII)


@dataclass(frozen=True, slots=True)
class Want:
    """What an operation needs of the rows of one type.

    columns: names, in the order in which rows give their values.
    nested:  for a column that itself holds rows (or one row): what is wanted of those.
    types:   for rows of several types: what is wanted of each, by type name; such rows come as `Tagged`.
    fields:  names of the selected fields.
    """

    columns: tuple[str, ...] = ()
    nested: Mapping[str, Want] = field(default_factory=dict)
    types: Mapping[str, Want] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()

    def row(self, values: Mapping[str, Any]) -> Row:
        """A row of these columns from values by name."""
        return tuple([values[name] for name in self.columns])


@dataclass(frozen=True, slots=True)
class Tagged:
    """A row whose type is known only now."""

    typename: str
    row: Row


@dataclass(frozen=True, slots=True)
class Failure:
    """The result for one key is an error; what is not a LedgergraphError is masked for clients."""

    error: Exception


Results = Mapping[Key, Any]
"""For each key a row, a list of rows, a Tagged, None, or a Failure."""


class Reader(Protocol):
    """One operation's view of the database: one snapshot, one caller."""

    caller: Caller
    page_size: int

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Rows of one statement on the operation's snapshot. Dates, timestamps and numerics are texts both ways."""
        ...

    async def ledger(self, code: str) -> LedgerRef:
        """A ledger by its code. Raises NotFound when there is none, or the caller may not see it."""
        ...

    async def ledgers(self, codes: Iterable[str] | None) -> list[LedgerRef]:
        """Those of the codes that exist and that the caller may see (None: all of them), in order of code."""
        ...

    def code(self, ledger_id: int) -> str:
        """The code of a ledger that this operation has resolved."""
        ...

    async def version(self, ledger_id: int) -> Version | None:
        """Of a ledger in the operation's snapshot; None: it does not see the ledger."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """Named SQL expressions over a FROM clause, from which a statement takes just what is asked for.
    `joins` names FROM clauses that only some columns need: a column of the form "alias.…" brings joins[alias] along.
    `decoders` turn a column's JSON text into rows, given what is wanted of those. `packed`: how its pages are packed."""

    source: str
    columns: Mapping[str, str]
    joins: Mapping[str, str] = field(default_factory=dict)
    decoders: Mapping[str, Callable[[Want, str], Any]] = field(default_factory=dict)
    packed: Packed = field(default_factory=dict)

    def select(self, names: Iterable[str], where: str, tail: str = "") -> str:
        expressions = [self.columns[name] for name in names] or ["1"]
        used = f"{' '.join(expressions)} {where} {tail}"
        joins = " ".join(sql for alias, sql in self.joins.items() if re.search(rf"\b{alias}\.", used))
        return f"SELECT {', '.join(expressions)} FROM {self.source} {joins} WHERE {where} {tail}"

    def decode(self, want: Want, rows: Sequence[Any]) -> Sequence[Any]:
        """The rows with their JSON columns decoded; values behind want's columns stay."""
        coded = [
            (at, self.decoders[name], want.nested.get(name, Want()))
            for at, name in enumerate(want.columns)
            if name in self.decoders
        ]
        if not coded:
            return rows
        decoded = []
        for row in rows:
            values = list(row)
            for at, decoder, inner in coded:
                values[at] = None if values[at] is None else decoder(inner, values[at])
            decoded.append(values)
        return decoded


class Conditions:
    """A WHERE clause with its arguments; only the filters that are present become part of it."""

    def __init__(self) -> None:
        self.args: list[Any] = []
        self._parts: list[str] = []

    def add(self, sql: str, *values: Any) -> None:
        """`{0}`, `{1}` … in sql stand for the values."""
        self._parts.append(sql.format(*[self.mark(value) for value in values]))

    def mark(self, value: Any) -> str:
        """The value becomes an argument: what stands for it in the statement."""
        self.args.append(checked(value))
        return f"${len(self.args)}"

    def copy(self) -> Conditions:
        other = Conditions()
        other.args, other._parts = self.args[:], self._parts[:]
        return other

    @property
    def sql(self) -> str:
        return " AND ".join(self._parts) or "true"


def checked(value: Any) -> Any:
    """PostgreSQL's text cannot hold NUL: say so instead of failing there."""
    texts = value if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(text, str) and "\0" in text for text in texts):
        raise InvalidArgument("a text holds a NUL character, which no stored text has")
    return value


@dataclass(frozen=True, slots=True)
class Order:
    """A total order for keyset paging. `keys`: (column name, SQL type); all run in one direction."""

    name: str
    keys: tuple[tuple[str, str], ...]
    descending: bool = False


@dataclass(frozen=True, slots=True)
class PageArgs:
    """first/after or last/before as given, checked; after and before as keys."""

    limit: int
    backward: bool
    after: list[Any] | None
    before: list[Any] | None


def page_args(args: Mapping[str, Any], page_size: int, order: Order) -> PageArgs:
    """Raises InvalidArgument for first and last together, a negative one, or one above the page size; InvalidCursor."""
    first, last = args.get("first"), args.get("last")
    if first is not None and last is not None:
        raise InvalidArgument("give either first or last, not both")
    limit = last if last is not None else DEFAULT_PAGE if first is None else first
    if not 0 <= limit <= page_size:
        raise InvalidArgument(f"{'last' if last is not None else 'first'} must be between 0 and {page_size}")
    after, before = (
        None if args.get(name) is None else decode_cursor(order, args[name]) for name in ("after", "before")
    )
    return PageArgs(limit, last is not None, after, before)


def encode_cursor(order: Order, values: Sequence[Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([order.name, *values])).decode().rstrip("=")


def decode_cursor(order: Order, cursor: str) -> list[Any]:
    """The key that a cursor holds. Raises InvalidCursor."""
    try:
        raw = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        name, *values = raw
    except (binascii.Error, ValueError, TypeError, UnicodeEncodeError) as error:
        raise InvalidCursor("this is not a cursor of this list; take one from pageInfo or an edge") from error
    if name != order.name or len(values) != len(order.keys):
        raise InvalidCursor("this cursor belongs to another list or another order")
    if not all(_fits(value, kind) for value, (_, kind) in zip(values, order.keys, strict=True)):
        raise InvalidCursor("this cursor was changed; take one from pageInfo or an edge")
    return list(values)


def _fits(value: Any, kind: str) -> bool:
    if kind in ("bigint", "int"):
        top = 2**63 if kind == "bigint" else 2**31
        return isinstance(value, int) and not isinstance(value, bool) and -top <= value < top
    if not isinstance(value, str) or "\0" in value:
        return False
    if kind == "timestamptz":
        return _is_moment(value)
    return kind != "date" or _is_date(value)


def _is_moment(value: str) -> bool:
    """As PostgreSQL writes it in UTC."""
    try:
        return bool(_MOMENT.fullmatch(value)) and datetime.fromisoformat(value).year > 0
    except ValueError:
        return False


def _is_date(value: str) -> bool:
    try:
        return date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Branches:
    """Rows that one of several values selects, where an index gives those of each value in the page's order: of each as many
    are read as the page takes, and merged. Otherwise every row of all the values is read and sorted, or rows of other
    values are walked over.

    values:  a statement that gives the distinct `value`s.
    source:  FROM clause of one value's rows, under the view's alias.
    where:   which they are; it takes the place of the page's own condition and names `branch.value`.
    keys:    the order's keys as the index has them.
    repeats: a row may come more than once."""

    values: str
    source: str
    where: Conditions
    keys: tuple[str, ...]
    repeats: bool = False

    def rows(self, alias: str, where: str, ordered: str, limit: int) -> str:
        """A FROM clause of the first rows of every value."""
        distinct = f"DISTINCT ON ({', '.join(self.keys)}) " if self.repeats else ""
        return (
            f"({self.values}) AS branch CROSS JOIN LATERAL (SELECT {distinct}{alias}.* FROM {self.source} "
            f"WHERE {where} {ordered} LIMIT {limit}) AS {alias}"
        )


async def page(
    reader: Reader,
    view: View,
    where: Conditions,
    order: Order,
    want: Want,
    args: Mapping[str, Any],
    branches: Branches | None = None,
    total: str | None = None,
) -> dict[str, Any]:
    """One page of a connection, by name: rows, page_info, total_count; only what `want` names is read. `total`: a statement
    that knows the count of what `where` lets through, with its arguments."""
    values: dict[str, Any] = {}
    paging = page_args(args, reader.page_size, order)
    if "total_count" in want.columns:
        count = total or view.select((), where.sql).replace("SELECT 1", "SELECT count(*)", 1)
        counted = await reader.fetch(count, *where.args)
        values["total_count"] = counted[0][0]
    if "rows" in want.columns or "page_info" in want.columns:
        rows_want = want.nested.get("rows", Want())
        rows, info = await _page_rows(reader, view, where, order, rows_want, paging, branches)
        values["rows"] = rows
        if "page_info" in want.columns:
            values["page_info"] = want.nested["page_info"].row(info)
    return values


async def _page_rows(
    reader: Reader,
    view: View,
    where: Conditions,
    order: Order,
    want: Want,
    paging: PageArgs,
    branches: Branches | None,
) -> tuple[Sequence[Row], dict[str, Any]]:
    kept = replace(want, columns=tuple(name for name in want.columns if name != "cursor"))
    keyed = [name for name, _ in order.keys]
    names = [*kept.columns, *[name for name in keyed if name not in kept.columns]]
    sql, args = _page_statement(view, where, order, names, paging, branches)
    if paging.limit >= LEAST and view.packed.keys() >= set(names):
        fetched: Sequence[Row] = await fetch_packed(reader, sql, args, [view.packed[name] for name in names])
    else:
        fetched = await reader.fetch(sql, *args)
    more, records = len(fetched) > paging.limit, view.decode(kept, fetched[: paging.limit])
    if paging.backward:
        records = records[::-1]
    width = len(kept.columns)
    cursors = _Cursors(order, tuple([names.index(name) for name in keyed]))
    info = {
        "has_next": more if not paging.backward else paging.before is not None,
        "has_previous": more if paging.backward else paging.after is not None,
        "start": cursors.of(records[0]) if records else None,
        "end": cursors.of(records[-1]) if records else None,
    }
    if "cursor" not in want.columns:
        return records, info
    at = want.columns.index("cursor")
    return [(*record[:at], cursors.of(record), *record[at:width]) for record in records], info


def _page_statement(
    view: View, where: Conditions, order: Order, names: Sequence[str], paging: PageArgs, branches: Branches | None
) -> tuple[str, list[Any]]:
    limit = paging.limit + 1
    keys = [view.columns[name] for name, _ in order.keys]
    ordered = _ordered(keys, order, paging)
    if branches is None:
        bounded = _bounded(where, keys, order, paging)
        return view.select(names, bounded.sql, f"{ordered} LIMIT {limit}"), bounded.args
    bounded = _bounded(branches.where, branches.keys, order, paging)
    alias = view.source.split()[-1]
    within = branches.rows(alias, bounded.sql, _ordered(branches.keys, order, paging), limit)
    merged = replace(view, source=within).select(names, "true", f"{ordered} LIMIT {limit}")
    if branches.repeats:
        merged = merged.replace("SELECT ", f"SELECT DISTINCT ON ({', '.join(keys)}) ", 1)
    return merged, bounded.args


def _bounded(where: Conditions, keys: Sequence[str], order: Order, paging: PageArgs) -> Conditions:
    bounded = where.copy()
    for key, later in ((paging.after, True), (paging.before, False)):
        if key is not None:
            sign = "<" if later == order.descending else ">"
            marks = ", ".join(f"{{{n}}}::{kind}" for n, (_, kind) in enumerate(order.keys))
            bounded.add(f"({', '.join(keys)}) {sign} ({marks})", *key)
    return bounded


def _ordered(keys: Sequence[str], order: Order, paging: PageArgs) -> str:
    down = "DESC" if order.descending != paging.backward else "ASC"
    return f"ORDER BY {', '.join(f'{key} {down}' for key in keys)}"


@dataclass(frozen=True, slots=True)
class _Cursors:
    order: Order
    positions: tuple[int, ...]

    def of(self, record: Sequence[Any]) -> str:
        return encode_cursor(self.order, [record[position] for position in self.positions])
