"""What the graph reads of the ledger: each function loads one level for all its parents (`sources.reading`).

Every statement names its ledgers by parameter; row-level security is the second wall.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from sources.errors import TooMuch
from sources.ledger.dense import dense_page, is_dense
from sources.ledger.filters import entry_page, line_page, present
from sources.packing import packed
from sources.reading import Conditions, Key, Order, Reader, Results, Row, View, Want, page, page_args

Args = Mapping[str, Any]
MAX_LINES = 200_000
"""Lines of entries that one statement reads at most: they are held in memory."""

LEDGER = View(
    "ledger.ledger l",
    {
        "ledger_id": "l.ledger_id",
        "code": "l.code",
        "name": "l.name",
        "functional_currency": "l.functional_currency",
        "locked_through": "l.locked_through",
        "last_sequence": "h.last_sequence",
        "last_hash": "encode(substring(h.last_hash, 1, 4), 'hex')",
    },
    {"h": "JOIN ledger.head h ON h.ledger_id = l.ledger_id"},
)

ACCOUNT = View(
    "ledger.account a",
    {
        name: f"a.{name}"
        for name in [
            "ledger_id",
            "account_id",
            "code",
            "name",
            "type",
            "normal_side",
            "currency",
            "parent_id",
            "active",
        ]
    },
    packed=packed("ledger_id account_id code name type normal_side currency parent_id active"),
)

ENTRY = View(
    "ledger.entry e",
    {
        name: f"e.{name}"
        for name in [
            "ledger_id",
            "sequence",
            "effective_date",
            "document_date",
            "posted_at",
            "posted_by",
            "journal",
            "description",
            "reference",
            "idempotency_key",
            "reverses",
            "total",
        ]
    }
    | {
        "source": "nullif(e.origin, '')",
        "hash": "encode(e.hash, 'hex')",
        "digits": "encode(substring(e.hash, 1, 4), 'hex')",
        "mark": "substring(e.hash, 1, 4)",
        # $1 is the ledger in every statement over entries: looked up once, where a join would be made for each row
        "names_version": "(SELECT l.names_version FROM ledger.ledger l WHERE l.ledger_id = $1)",
        "reversed_by": "(SELECT r.sequence FROM ledger.entry r WHERE r.ledger_id = e.ledger_id AND r.reverses = e.sequence)",
    },
    packed=packed(
        "ledger_id sequence posted_by journal description reference idempotency_key reverses total source hash digits "
        "names_version reversed_by",
        as_text="effective_date document_date posted_at",
    ),
)


def _dimensions(want: Want, stored: str) -> list[Row]:
    return [want.row({"name": name, "value": value}) for name, value in sorted(orjson.loads(stored).items())]


LINE = View(
    "ledger.line n",
    {
        name: f"n.{name}"
        for name in [
            "ledger_id",
            "sequence",
            "line_number",
            "account_id",
            "effective_date",
            "currency",
            "amount",
            "functional_amount",
            "description",
            "tax_code",
            "dimensions",
        ]
    },
    decoders={"dimensions": _dimensions},
    packed=packed(
        "ledger_id sequence line_number account_id currency amount functional_amount description tax_code",
        as_text="effective_date dimensions",
    ),
)

SEQUENCE = (("sequence", "bigint"),)
ACCOUNTS_BY_CODE = Order("accounts", (("code", "text"),))
ENTRY_ORDERS = {
    "SEQUENCE_ASC": Order("entries:sequence", SEQUENCE),
    "SEQUENCE_DESC": Order("entries:-sequence", SEQUENCE, descending=True),
    "EFFECTIVE_DATE_ASC": Order("entries:date", (("effective_date", "date"), ("sequence", "bigint"))),
    "EFFECTIVE_DATE_DESC": Order(
        "entries:-date", (("effective_date", "date"), ("sequence", "bigint")), descending=True
    ),
}
LINES_BY_DATE = Order("lines", (("effective_date", "date"), ("sequence", "bigint"), ("line_number", "int")))


# ---------------------------------------------------------------- by key


def by_ledger(keys: Sequence[Key]) -> dict[int, list[Any]]:
    """(ledger_id, x) keys -> the x of each ledger."""
    grouped: dict[int, list[Any]] = defaultdict(list)
    for ledger_id, value in keys:
        grouped[ledger_id].append(value)
    return grouped


async def _one(reader: Reader, view: View, column: str, keys: Sequence[Key], want: Want) -> Results:
    found: dict[Key, Row] = {}
    ledger_column, expression = view.columns["ledger_id"], view.columns[column]
    for ledger_id, values in by_ledger(keys).items():
        sql = view.select([*want.columns, column], f"{ledger_column} = $1 AND {expression} = ANY($2)")
        rows = view.decode(want, await reader.fetch(sql, ledger_id, values))
        found.update({(ledger_id, row[-1]): row for row in rows})
    return found


async def account_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await _one(reader, ACCOUNT, "account_id", keys, want)


async def account_by_code(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await _one(reader, ACCOUNT, "code", keys, want)


async def entry_by_sequence(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await _one(reader, ENTRY, "sequence", keys, want)


async def ledger_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    sql = LEDGER.select([*want.columns, "ledger_id"], "l.ledger_id = ANY($1)")
    return {(row[-1],): row for row in await reader.fetch(sql, [key[0] for key in keys])}


async def lines_of_entries(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Raises TooMuch for more than MAX_LINES of a ledger at once: an entry may have 10,000."""
    found: dict[Key, list[Row]] = {}
    names = [*want.columns, "sequence"]
    tail = f"ORDER BY n.sequence, n.line_number LIMIT {MAX_LINES + 1}"
    for ledger_id, sequences in by_ledger(keys).items():
        sql = LINE.select(names, "n.ledger_id = $1 AND n.sequence = ANY($2)", tail)
        rows = await reader.fetch(sql, ledger_id, sequences)
        if len(rows) > MAX_LINES:
            raise TooMuch(f"these entries have more than {MAX_LINES} lines together: ask for fewer entries at once")
        lines: dict[int, list[Row]] = {sequence: [] for sequence in sequences}
        for row in LINE.decode(want, rows):
            lines[row[-1]].append(row)
        found.update({(ledger_id, sequence): those for sequence, those in lines.items()})
    return found


async def line_by_number(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, (sequence, line number))."""
    found: dict[Key, Row] = {}
    names = [*want.columns, "sequence", "line_number"]
    for ledger_id, pairs in by_ledger(keys).items():
        where = "n.ledger_id = $1 AND (n.sequence, n.line_number) IN (SELECT * FROM unnest($2::bigint[], $3::int[]))"
        sequences, numbers = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        fetched = await reader.fetch(LINE.select(names, where), ledger_id, sequences, numbers)
        for row in LINE.decode(want, fetched):
            found[ledger_id, (row[-2], row[-1])] = row
    return found


# ---------------------------------------------------------------- roots


async def ledgers(reader: Reader, _keys: Sequence[Key], want: Want, _args: Args) -> Results:
    visible = [ref.ledger_id for ref in await reader.ledgers(None)]
    sql = LEDGER.select(want.columns, "l.ledger_id = ANY($1)", "ORDER BY l.code")
    return {(): await reader.fetch(sql, visible)}


async def ledger(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    found = await reader.ledgers([args["code"]])
    rows = await ledger_by_id(reader, [(ref.ledger_id,) for ref in found], want, {}) if found else {}
    return {(): next(iter(rows.values()), None)}


async def account(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger's code, account's code)."""
    return await _by_ledger_code(reader, ACCOUNT, "code", keys, want)


async def entry(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger's code, sequence)."""
    return await _by_ledger_code(reader, ENTRY, "sequence", keys, want)


async def _by_ledger_code(reader: Reader, view: View, column: str, keys: Sequence[Key], want: Want) -> Results:
    """Keys: (ledger's code, value of the column). For one value PostgreSQL keeps a plan; for a list it may make a new one."""
    found: dict[Key, Row] = {}
    for ref in await reader.ledgers({code for code, _ in keys}):
        values = [value for code, value in keys if code == ref.code]
        where = Conditions()
        where.add(f"{view.columns['ledger_id']} = {{0}}", ref.ledger_id)
        if len(values) == 1:
            where.add(f"{view.columns[column]} = {{0}}", values[0])
        else:
            where.add(f"{view.columns[column]} = ANY({{0}})", values)
        rows = await reader.fetch(view.select([*want.columns, column], where.sql), *where.args)
        found.update({(ref.code, row[-1]): row for row in rows})
    return found


async def accounts(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    ref = await reader.ledger(args["ledger"])
    filter_ = args.get("filter") or {}
    where = Conditions()
    where.add("a.ledger_id = {0}", ref.ledger_id)
    present(where, filter_, "codes", "a.code = ANY({0})")
    present(where, filter_, "codePrefix", "starts_with(a.code, {0})")
    present(where, filter_, "active", "a.active = {0}")
    if filter_.get("types") is not None:
        where.add("a.type = ANY({0})", [kind.value for kind in filter_["types"]])
    return {(): want.row(await page(reader, ACCOUNT, where, ACCOUNTS_BY_CODE, want, args))}


_ALL_ENTRIES = "SELECT h.last_sequence FROM ledger.head h WHERE h.ledger_id = $1"
"""How many entries a ledger has: sequences are dense, and counting them would read them all."""


async def entries(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    ref = await reader.ledger(args["ledger"])
    order = ENTRY_ORDERS[args["orderBy"].value]
    filter_ = {name: value for name, value in (args.get("filter") or {}).items() if value is not None}
    if not filter_ and order.keys == SEQUENCE and is_dense(want):
        paging = page_args(args, reader.page_size, order)
        version = await reader.version(ref.ledger_id)
        if version is None or version.era:
            return {(): want.row(dense_page(ref.ledger_id, version, order, want, paging))}
    where, branches = entry_page(ref, filter_, order)
    total = None if filter_ else _ALL_ENTRIES
    return {(): want.row(await page(reader, ENTRY, where, order, want, args, branches, total))}


async def journal_lines(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    ref = await reader.ledger(args["ledger"])
    where, branches = line_page(ref, args.get("filter") or {})
    return {(): want.row(await page(reader, LINE, where, LINES_BY_DATE, want, args, branches))}


async def ledger_node(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Keys: (ledger_id, "")."""
    rows = await ledger_by_id(reader, [(key[0],) for key in keys], want, args)
    return {key: rows.get((key[0],)) for key in keys}


async def accounts_by_codes(reader: Reader, keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Keys: (ledger_id, codes); the accounts in the order of the codes."""
    pairs = [(ledger_id, code) for ledger_id, codes in keys for code in codes]
    rows = await account_by_code(reader, pairs, want, args)
    return {(ledger_id, codes): [rows[ledger_id, code] for code in codes] for ledger_id, codes in keys}
