"""What the graph reads of matching: matches, transactions without one, rules. See `sources.reading`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from sources.mirror.logbook import document_id, names_of
from sources.mirror.queries import columns, split
from sources.reading import Conditions, Key, Order, Reader, Results, Row, View, Want, page

Args = Mapping[str, Any]


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


async def unmatched_transactions(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> dict[str, Any]:
    """A page of the booked transactions of one ledger of which something is not matched, the oldest first."""
    where = Conditions()
    where.add("i.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    where.add("i.kind = 'bank_transaction' AND i.ready AND i.used <> i.amount")
    for name, sign in (("from", ">="), ("to", "<=")):
        if args.get(name) is not None:
            where.add(f"i.dated {sign} {{0}}::text::date", args[name].isoformat())
    if args.get("currency") is not None:
        where.add("i.currency = {0}", args["currency"])
    return await page(reader, UNMATCHED, where, UNMATCHED_BY_DATE, want, args)


async def matching_rules(reader: Reader, _keys: Sequence[Key], want: Want, args: Args) -> Results:
    """Of one ledger, the oldest first; those in force, unless `removed` asks for the others too."""
    where = Conditions()
    where.add("r.ledger_id = {0}", (await reader.ledger(args["ledger"])).ledger_id)
    if not args.get("removed"):
        where.add("r.removed_at IS NULL")
    return {(): want.row(await page(reader, RULE, where, RULES_BY_ID, want, args))}
