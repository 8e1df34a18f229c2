"""What the graph reads of matching: matches, transactions without one, open items and their ageing, rules. See `sources.reading`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from sources.matching import open_sql
from sources.mirror.logbook import document_id, names_of
from sources.mirror.queries import columns, split
from sources.reading import Conditions, Key, Order, Reader, Results, Row, View, Want, page

Args = Mapping[str, Any]
MOST_SHOWN: Final = 1_000
BUCKETS: Final = (
    ("not_due", None, 0),
    ("days_1_to_30", 1, 30),
    ("days_31_to_60", 31, 60),
    ("days_61_to_90", 61, 90),
    ("over_90", 91, None),
)


def _allocations(want: Want, stored: str) -> list[Row]:
    return [want.row(part) for part in orjson.loads(stored)]


_TRANSACTION = "m.ledger_id, 'bank_transaction', m.source, m.account, m.external_id"
_PARTS: Final = f"""(
    SELECT jsonb_agg(jsonb_build_object('kind', upper(a.kind), 'number', a.number, 'amount', a.amount, 'currency', a.currency,
        'bank_amount', a.bank_amount, 'bank_currency', t.currency, 'ledger_id', a.ledger_id,
        'ledger_account', CASE a.kind WHEN 'account' THEN a.external_id END, 'party', a.party_id,
        'document_kind', CASE WHEN a.source <> '' THEN {document_id("a")["document_kind"]} END,
        'document_rest', {document_id("a")["document_rest"]}) ORDER BY a.position)
    FROM matching.allocation a, matching.item t
    WHERE a.ledger_id = m.ledger_id AND a.match_id = m.match_id
        AND (t.ledger_id, t.kind, t.source, t.account, t.external_id) = ({_TRANSACTION}))"""
MATCH = View(
    "matching.match m",
    columns("m", "ledger_id match_id source account external_id status score rule_id created_at decided_at decided_by")
    | {"reasons": "m.reasons", "allocations": _PARTS},
    decoders={"reasons": _allocations, "allocations": _allocations},
)
MATCHES_BY_ID = Order("matches", (("match_id", "bigint"),))

UNMATCHED = View(
    "matching.item i",
    columns("i", "ledger_id source account external_id currency amount dated") | {"open": "i.amount - i.used"},
)
UNMATCHED_BY_DATE = Order(
    "unmatched-transactions",
    (("dated", "date"), ("source", "text"), ("account", "text"), ("external_id", "text")),
)

RULE = View(
    "matching.rule r",
    columns("r", "ledger_id rule_id type payer_account payer_name party pattern money_in ledger_account match_id created_at created_by "
            "removed_at removed_by transaction_source transaction_account transaction_external_id"),
)  # fmt: skip
RULES_BY_ID = Order("matching-rules", (("rule_id", "bigint"),))


async def match_proposals(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Matches of one ledger, the oldest first; those that wait, unless `states` says otherwise."""
    where = Conditions()
    where.add("m.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    states = ["PROPOSED"] if args.get("states") is None else names_of(args["states"])
    if states == ["PROPOSED"]:
        where.add("m.status = 'PROPOSED'")
    else:
        where.add("m.status = ANY({0})", states)
    if args.get("leastScore") is not None:
        where.add("m.score >= {0}", args["leastScore"])
    return {(): want.row(await page(reader, MATCH, where, MATCHES_BY_ID, want, args))}


async def match_by_id(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, match_id)."""
    where = "(m.ledger_id, m.match_id) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))"
    rows = await reader.fetch(MATCH.select([*want.columns, "ledger_id", "match_id"], where), *split(keys))
    return {tuple(row[-2:]): row for row in MATCH.decode(want, rows)}


async def proposals_of(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, source, account, external id) of transactions; the best first."""
    names = [*want.columns, "ledger_id", "source", "account", "external_id"]
    where = (
        "m.status = 'PROPOSED' AND (m.ledger_id, m.source, m.account, m.external_id) IN "
        "(SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]))"
    )
    rows = await reader.fetch(MATCH.select(names, where, "ORDER BY m.score DESC, m.match_id"), *split(keys))
    found: dict[Key, list[Any]] = {key: [] for key in keys}
    for row in MATCH.decode(want, rows):
        found[tuple(row[-4:])].append(row)
    return found


async def unmatched_transactions(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Booked transactions of one ledger of which something is not matched, the oldest first."""
    where = Conditions()
    where.add("i.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    where.add("i.kind = 'bank_transaction' AND i.ready AND i.used <> i.amount")
    for name, sign in (("from", ">="), ("to", "<=")):
        if args.get(name) is not None:
            where.add(f"i.dated {sign} {{0}}::text::date", args[name].isoformat())
    return {(): want.row(await page(reader, UNMATCHED, where, UNMATCHED_BY_DATE, want, args))}


async def matching_rules(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Of one ledger, the oldest first; those in force, unless `removed` asks for the others too."""
    where = Conditions()
    where.add("r.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    if not args.get("removed"):
        where.add("r.removed_at IS NULL")
    return {(): want.row(await page(reader, RULE, where, RULES_BY_ID, want, args))}


# ---------------------------------------------------------------- open items

_OPEN: Final = f"""
SELECT i.ledger_id, i.source, i.external_id, coalesce(i.party_external_id, '') AS party_id, i.party_name, i.currency,
    CASE i.kind WHEN 'CREDIT_NOTE' THEN -1 ELSE 1 END * {open_sql.amount("$2::text::date")} AS open,
    coalesce(i.due_date, i.issue_date, i.listed_on) AS due_on, $2::text::date - coalesce(i.due_date, i.issue_date, i.listed_on) AS overdue
FROM mirror.invoice i
{open_sql.joins("$2::text::date")}
WHERE i.ledger_id = $1 AND i.direction = $3 AND i.status IN ('OPEN', 'PAID') AND i.deleted_at IS NULL AND i.listed_on <= $2::text::date
    AND NOT EXISTS (SELECT FROM pipeline.document d WHERE d.ledger_id = $1 AND d.kind = 'invoice' AND d.source = i.source
        AND d.account = '' AND d.external_id = i.external_id AND d.status = 'DUPLICATE')"""


def _bucket(low: int | None, high: int | None) -> str:
    parts = [*([f"overdue >= {low}"] if low is not None else []), *([f"overdue <= {high}"] if high is not None else [])]
    return " AND ".join(parts)


_SUMS: Final = ", ".join(
    f"(coalesce(sum(open) FILTER (WHERE {_bucket(low, high)}), 0))::bigint AS {name}" for name, low, high in BUCKETS
)
OPEN_ITEM = View(
    f"({_OPEN}) o",
    columns("o", "ledger_id source external_id party_id party_name currency due_on overdue")
    | {"open": "o.open::bigint"},
)
OPEN_ITEMS_BY_DAY = Order("open-items", (("due_on", "date"), ("source", "text"), ("external_id", "text")))
AGEING = View(
    f"(SELECT party_id, max(party_name) AS party_name, currency, count(*) AS documents, sum(open)::bigint AS open, {_SUMS} "
    f"FROM ({_OPEN}) items WHERE open <> 0 GROUP BY party_id, currency) a",
    columns("a", "party_id party_name currency documents open " + " ".join(name for name, _, _ in BUCKETS)),
)
AGEING_BY_PARTY = Order("open-items-by-party", (("party_id", "text"), ("currency", "text")))


async def _open_conditions(reader: Reader, args: Args) -> Conditions:
    where = Conditions()
    where.mark((await reader.ledger(args["ledger"])).ledger_id)
    where.mark(args["asOf"].isoformat())
    where.mark(args["direction"].value)
    return where


async def open_items(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Invoices and credit notes that are open on a day, those due first before the others."""
    where = await _open_conditions(reader, args)
    where.add("o.open <> 0")
    if args.get("party") is not None:
        where.add("o.party_id = {0}", args["party"])
    return {(): want.row(await page(reader, OPEN_ITEM, where, OPEN_ITEMS_BY_DAY, want, args))}


async def ageing(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """What is open on a day, by party and currency."""
    where = await _open_conditions(reader, args)
    return {(): want.row(await page(reader, AGEING, where, AGEING_BY_PARTY, want, args))}


# ---------------------------------------------------------------- the bank beside the books


async def bank_and_books(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """What is at the bank and not explained in the books, and what is in the books and not at the bank; the first of each."""
    ledger_id = (await reader.ledger(args["ledger"])).ledger_id
    values: dict[str, Any] = {"ledger_id": ledger_id}
    for name, where in _KINDS.items():
        if f"{name}_totals" in want.columns:
            rows = await reader.fetch(_TOTALS.format(where), ledger_id)
            values[f"{name}_totals"] = _rows(want.nested[f"{name}_totals"], ("currency", "count", "amount"), rows)
        if name in want.columns:
            rows = await reader.fetch(_FIRST.format(where), ledger_id)
            values[name] = _rows(want.nested[name], _FIRST_NAMES, rows)
    return {(): want.row(values)}


def _rows(want: Want, names: Sequence[str], rows: Iterable[Any]) -> list[Row]:
    return [want.row(dict(zip(names, row, strict=True))) for row in rows]


_KINDS: Final = {
    "bank_only": "i.kind = 'bank_transaction'",
    "payouts": "i.kind = 'payment'",
    "payroll_runs": "i.kind = 'payroll_run'",
    "paid_without_money": "i.kind = 'invoice' AND i.due = 0 AND i.used = 0",
}
_TOTALS: Final = """
SELECT i.currency, count(*), sum(i.amount - i.used)::bigint FROM matching.item i
WHERE i.ledger_id = $1 AND i.ready AND i.used <> i.amount AND {0} GROUP BY 1 ORDER BY 1"""
_FIRST_NAMES: Final = ("ledger_id", "source", "account", "external_id", "currency", "open", "dated")
_FIRST: Final = f"""
SELECT i.ledger_id, i.source, i.account, i.external_id, i.currency, i.amount - i.used, i.dated FROM matching.item i
WHERE i.ledger_id = $1 AND i.ready AND i.used <> i.amount AND {{0}}
ORDER BY i.dated, i.source, i.account, i.external_id LIMIT {MOST_SHOWN}"""
