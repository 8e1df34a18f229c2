"""Documents of the mirror as what can be matched, kept up to date one batch of changed ones at a time.

What of an invoice can be allocated is its total less what was prepaid and what mirrored payments settled: what its source says is due
may be less (it knows of a payment that nobody else states), or more (it does not know what arrived at the bank).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import orjson

from sources.matching import clues, record
from sources.matching.model import Item, ItemKey, Side
from sources.matching.todo import ASKED, IS_ASKED, columns_of

if TYPE_CHECKING:
    from sources.database.pool import Connection

_NEVER = date(1, 1, 1)
_STANDING = ("OPEN", "PAID", "UNCOLLECTIBLE")


async def read(
    connection: Connection, ledger_id: int, keys: Iterable[ItemKey], applying: Collection[str]
) -> dict[ItemKey, Item]:
    """These documents as they are now; `open` is all of what can be allocated. One that is gone, void, or was never there has
    nothing. `applying`: names of the rules that book what bank transactions are about: others' transactions are not matched."""
    by_kind: dict[str, list[ItemKey]] = defaultdict(list)
    for key in keys:
        by_kind[key.kind].append(key)
    found: dict[ItemKey, Item] = {}
    for kind, asked in by_kind.items():
        for row in await connection.fetch(_STATEMENTS[kind], ledger_id, *columns_of(asked)):
            item = _MAKERS[kind](row, applying)
            found[item.key] = item
        for key in asked:
            if key not in found:
                found[key] = Item(key, Side.CLEARING, "XXX", 0, 0, 0, _NEVER, ready=False)
    return found


def _key(row: Any) -> ItemKey:
    return ItemKey(row["kind"], row["source"], row["account"], row["external_id"])


def _is_ready(row: Any, amount: int) -> bool:
    return amount != 0 and row["became"] in ("POSTED", "BEFORE_CUTOVER", "PROPOSED")


def _invoice(row: Any, _applying: Collection[str]) -> Item:
    is_receivable = row["direction"] == "RECEIVABLE"
    sign = (1 if is_receivable else -1) * (-1 if row["invoice_kind"] == "CREDIT_NOTE" else 1)
    stands = row["deleted_at"] is None and row["status"] in _STANDING
    stated = row["total"] - row["prepaid"]
    left = max(abs(stated) - abs(int(row["paid"])) - _applied(row), 0) * (1 if stated >= 0 else -1)
    amount = sign * left if stands else 0
    due = sign * row["amount_due"] if row["status"] == "OPEN" else 0
    return Item(
        _key(row),
        _side(row),
        row["currency"],
        amount,
        amount,
        due if due * amount > 0 else 0,
        row["issue_date"] or row["first_seen"].date(),
        row["due_date"],
        row["number"],
        clues.party_name(row["party_name"]),
        row["party_external_id"],
        ready=_is_ready(row, amount) and row["status"] != "UNCOLLECTIBLE",
        keys=frozenset(clues.keys_of_number(row["number"] or row["external_id"])),
        is_void=not stands,
    )


def _applied(row: Any) -> int:
    """What its source set off: of an invoice by credit notes that name it, of a credit note against the invoice that it names. So much
    of it as that says is settled, and neither payments nor matched money explain. Of several notes that were applied in part it is not
    known which."""
    credited = int(row["credited"] or 0)
    applied = min(credited, max(int(row["unexplained"] or 0), 0))
    if row["invoice_kind"] != "CREDIT_NOTE" or not applied:
        return applied
    left = abs(int(row["total"])) - int(row["used"])
    if credited == abs(row["total"]):
        return min(applied, left)
    return left if applied == credited else 0


def _side(row: Any) -> Side:
    if row["direction"] != "RECEIVABLE":
        return Side.PAYABLE
    return Side.PAID_ELSEWHERE if row["paid_elsewhere"] and not row["amount_due"] else Side.RECEIVABLE


def _payment(row: Any, _applying: Collection[str]) -> Item:
    """A payout, by the processor's name as its party, or a payment straight to or from a bank account, by who paid or was paid."""
    is_direct = row["bank_account"] is not None and row["type"] in ("PAYMENT", "REFUND")
    stands = row["deleted_at"] is None and row["status"] == "SUCCEEDED" and (is_direct or row["type"] == "PAYOUT")
    amount = (row["amount"] if is_direct else -row["amount"]) if stands else 0
    told = [row["external_id"], row["reference"], *([row["description"]] if is_direct else [])]
    return Item(
        _key(row),
        Side.CLEARING,
        row["currency"],
        amount,
        amount,
        0,
        row["occurred_on"],
        row["available_on"],
        (row["description"] or row["external_id"]) if is_direct else row["external_id"],
        clues.party_name(row["party_name"] if is_direct else row["source_kind"].partition("_")[0]),
        ready=_is_ready(row, amount),
        keys=frozenset(key for number in told for key in clues.keys_of_number(number)),
    )


def _payroll_run(row: Any, _applying: Collection[str]) -> Item:
    amount = -row["net"] if row["deleted_at"] is None and row["became"] != "NOTHING" else 0
    day = row["pay_date"]
    return Item(_key(row), Side.CLEARING, row["currency"], amount, amount, 0, day, day, ready=_is_ready(row, amount))


def _transaction(row: Any, applying: Collection[str]) -> Item:
    stands = row["visible"] and row["deleted_at"] is None and row["status"] == "BOOKED" and row["dated_on"] is not None
    amount = row["amount"] if stands else 0
    raw = record.raw_text(orjson.loads(row["raw"]))
    return Item(
        _key(row),
        Side.CLEARING,
        row["currency"],
        amount,
        amount,
        0,
        row["dated_on"] or _NEVER,
        party=clues.party_name(row["counterparty"]),
        payer=record.payer_account(raw, [row["account"]]),
        ready=amount != 0 and row["became"] == "POSTED" and row["rule"] in applying,
        keys=frozenset(clues.keys_of_text(row["reference"], row["description"], record.creditor_references(raw))),
    )


_MAKERS = {"invoice": _invoice, "payment": _payment, "payroll_run": _payroll_run, "bank_transaction": _transaction}


# ---------------------------------------------------------------- what is held


async def held(connection: Connection, ledger_id: int, keys: Iterable[ItemKey]) -> dict[ItemKey, Item]:
    """Of these documents, what is kept."""
    wanted = sorted(set(keys))
    rows = await connection.fetch(_HELD, ledger_id, *columns_of(wanted)) if wanted else []
    return {item.key: item for item in map(_of_row, rows)}


_SIDES = {side.value: side for side in Side}


def _of_row(row: Any) -> Item:
    """By place, as `_HELD` has them: there are hundreds for each transaction."""
    values: tuple[Any, ...] = (ItemKey(*row[:4]), _SIDES[row[4]], *row[5:16], frozenset(row[16]), row[17])
    return Item(*values)


async def keep(
    connection: Connection, ledger_id: int, found: Mapping[ItemKey, Item], before: Mapping[ItemKey, Item]
) -> None:
    """Writes what changed. What is used of a document fits already: matches that no longer fit were withdrawn."""
    changed = [
        item
        for key, item in sorted(found.items())
        if (not _is_same(item, before[key]) if key in before else item.amount != 0)
    ]
    if not changed:
        return
    columns = columns_of([item.key for item in changed])
    await connection.execute(_KEEP, ledger_id, *columns, *_columns(changed))
    rekeyed = [item for item in changed if item.keys != (before[item.key].keys if item.key in before else frozenset())]
    if rekeyed:
        await connection.execute(_UNKEY, ledger_id, *columns_of([item.key for item in rekeyed if item.key in before]))
        pairs = [(item.key, key) for item in rekeyed for key in sorted(item.keys)]
        if pairs:
            await connection.execute(
                _KEY, ledger_id, *columns_of([pair[0] for pair in pairs]), [pair[1] for pair in pairs]
            )


def _is_same(item: Item, before: Item) -> bool:
    return replace(item, open=before.open) == before


def _columns(changed: Sequence[Item]) -> list[list[Any]]:
    return [
        [item.side.value for item in changed],
        [item.currency for item in changed],
        [item.amount for item in changed],
        [item.due for item in changed],
        [item.ready for item in changed],
        [item.dated for item in changed],
        [item.due_on for item in changed],
        [item.number for item in changed],
        [item.party for item in changed],
        [item.party_id for item in changed],
        [item.payer for item in changed],
    ]


_OF = "held.ledger_id = $1 AND held.source = asked.source AND held.external_id = asked.external_id"
_BECAME = f"LEFT JOIN LATERAL (SELECT * FROM pipeline.document d WHERE {IS_ASKED.replace('held.', 'd.')} LIMIT 1) AS d ON true"
_PAID = """(SELECT coalesce(sum(abs(coalesce(p.presented_amount, p.amount))), 0) FROM mirror.payment p
        WHERE p.ledger_id = $1 AND p.source = {0}.source AND p.invoice_external_id = {0}.external_id
            AND p.type = CASE {0}.kind WHEN 'CREDIT_NOTE' THEN 'REFUND' ELSE 'PAYMENT' END
            AND p.status = 'SUCCEEDED' AND p.deleted_at IS NULL AND coalesce(p.presented_currency, p.currency) = {0}.currency)"""
_USED = """coalesce((SELECT abs(u.used) FROM matching.item u WHERE u.ledger_id = $1 AND u.kind = 'invoice' AND u.source = {0}.source
        AND u.account = '' AND u.external_id = {0}.external_id LIMIT 1), 0)"""
_INVOICES = f"""
SELECT asked.kind, asked.account, held.source, held.external_id, held.direction, held.kind AS invoice_kind, held.status, held.number,
    held.party_name, held.party_external_id, held.currency, held.issue_date, held.due_date, held.total, held.prepaid,
    held.amount_due, held.paid_elsewhere, held.first_seen, held.deleted_at, d.status AS became, {_PAID.format("held")} AS paid,
    {_USED.format("held")} AS used, told.credited, told.unexplained
FROM {ASKED} JOIN mirror.invoice held ON {_OF} {_BECAME}
LEFT JOIN LATERAL (
    SELECT credited.amount AS credited, abs(t.total - t.prepaid) - abs(t.amount_due) - abs(t.paid_elsewhere) - {_PAID.format("t")}
        - {_USED.format("t")} AS unexplained
    FROM mirror.invoice t CROSS JOIN LATERAL (
        SELECT sum(abs(n.total)) AS amount FROM mirror.invoice n
        WHERE n.ledger_id = $1 AND n.source = t.source AND n.raw ->> 'invoice' = t.external_id COLLATE "default"
            AND n.kind = 'CREDIT_NOTE' AND n.status = 'PAID' AND n.deleted_at IS NULL AND n.currency = t.currency
            AND n.direction = t.direction
    ) AS credited
    WHERE t.ledger_id = $1 AND t.source = held.source AND t.external_id = CASE WHEN held.kind <> 'CREDIT_NOTE' THEN held.external_id
            WHEN held.status = 'PAID' THEN held.raw ->> 'invoice' END
        AND t.kind = 'INVOICE' AND t.status IN ('OPEN', 'PAID') AND t.deleted_at IS NULL AND t.currency = held.currency
        AND t.direction = held.direction AND credited.amount IS NOT NULL LIMIT 1
) AS told ON true"""
_PAYMENTS = f"""
SELECT asked.kind, asked.account, held.source, held.external_id, held.type, held.status, held.currency, held.amount,
    held.occurred_on, held.available_on, held.reference, held.description, held.bank_account, held.party_name, held.deleted_at,
    state.kind AS source_kind, d.status AS became
FROM {ASKED} JOIN mirror.payment held ON {_OF} JOIN mirror.source_state state ON state.source = held.source {_BECAME}"""
_PAYROLL_RUNS = f"""
SELECT asked.kind, asked.account, held.source, held.external_id, held.currency, held.net, held.pay_date, held.deleted_at,
    d.status AS became
FROM {ASKED} JOIN mirror.payroll_run held ON {_OF} {_BECAME}"""
_TRANSACTIONS = f"""
SELECT asked.kind, asked.source, asked.account, asked.external_id, held.status, held.currency, held.amount, held.dated_on,
    held.counterparty, held.reference, held.description, held.raw, held.visible, held.deleted_at, d.status AS became, d.rule
FROM {ASKED} CROSS JOIN LATERAL (
    SELECT * FROM mirror.bank_transaction t
    WHERE t.ledger_id = $1 AND t.source = asked.source AND t.account = asked.account AND t.external_id = asked.external_id
        AND NOT t.provisional
    ORDER BY t.visible DESC, t.deleted_at IS NULL DESC, t.changed_at DESC LIMIT 1
) AS held {_BECAME}"""
_STATEMENTS = {
    "invoice": _INVOICES,
    "payment": _PAYMENTS,
    "payroll_run": _PAYROLL_RUNS,
    "bank_transaction": _TRANSACTIONS,
}
_HELD = f"""
SELECT held.kind, held.source, held.account, held.external_id, held.side, held.currency, held.amount, held.amount - held.used AS open,
    held.due, held.dated, held.due_on, held.number, held.party, held.party_id, held.payer, held.ready, ARRAY(
    SELECT k.key FROM matching.item_key k WHERE k.ledger_id = $1 AND k.kind = held.kind AND k.source = held.source
        AND k.account = held.account AND k.external_id = held.external_id
) AS keys, CASE WHEN held.kind = 'invoice' AND held.amount = 0 THEN coalesce((
    SELECT i.deleted_at IS NOT NULL OR i.status NOT IN {_STANDING} FROM mirror.invoice i
    WHERE i.ledger_id = $1 AND i.source = held.source AND i.external_id = held.external_id), false) ELSE false END AS is_void
FROM {ASKED} CROSS JOIN LATERAL (SELECT * FROM matching.item held WHERE {IS_ASKED} LIMIT 1) AS held"""
_KEEP = f"""
INSERT INTO matching.item AS held (ledger_id, kind, source, account, external_id, side, currency, amount, due, ready, dated, due_on,
    number, party, party_id, payer)
SELECT $1, asked.kind, asked.source, asked.account, asked.external_id, met.side, met.currency, met.amount, met.due, met.ready,
    met.dated, met.due_on, met.number, met.party, met.party_id, met.payer
FROM {ASKED} JOIN unnest($6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::boolean[], $11::date[], $12::date[], $13::text[],
        $14::text[], $15::text[], $16::text[]) WITH ORDINALITY
    AS met (side, currency, amount, due, ready, dated, due_on, number, party, party_id, payer, n) USING (n)
ON CONFLICT (ledger_id, kind, source, account, external_id) DO UPDATE SET side = excluded.side, currency = excluded.currency,
    amount = excluded.amount, due = excluded.due, ready = excluded.ready, dated = excluded.dated, due_on = excluded.due_on,
    number = excluded.number, party = excluded.party, party_id = excluded.party_id, payer = excluded.payer"""
_UNKEY = f"DELETE FROM matching.item_key held USING {ASKED} WHERE {IS_ASKED}"
_KEY = f"""
INSERT INTO matching.item_key (ledger_id, kind, source, account, external_id, key)
SELECT $1, asked.kind, asked.source, asked.account, asked.external_id, met.key
FROM {ASKED} JOIN unnest($6::text[]) WITH ORDINALITY AS met (key, n) USING (n)"""
