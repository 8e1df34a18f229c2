"""Stored documents as the pipeline sees them: a row for mapping, and what tells one version from another.

One statement for each kind of document among the keys.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.mapping.payloads import UNREAD
from sources.mirror import tables as mirror
from sources.pieces import in_pieces
from sources.pipeline import exchange_sql
from sources.pipeline.model import Key, Version

if TYPE_CHECKING:
    from sources.database.pool import Connection

Row = dict[str, Any]

DATED_BY: Final[Mapping[str, str]] = {
    "invoice": "issue_date",
    "payment": "occurred_on",
    "payroll_run": "pay_date",
    "bank_transaction": "dated_on",
}
"""The kinds of document that post, and which of its dates is the document's own."""

_JSON: Final = {
    "invoice": ("taxes", "lines", "raw", "exchange"),
    "payment": ("raw", "paid_out", "settles", "exchange"),
    "payroll_run": ("payslips",),
    "bank_transaction": ("raw", "allocations"),
}
_SHOWN: Final = {
    "invoice": "direction kind status number issue_date currency subtotal tax total",
    "payment": "type status currency amount fee occurred_on",
    "payroll_run": "source_status period_start period_end pay_date currency gross net",
    "bank_transaction": "status booked_on value_date currency amount",
}
_REOPENED: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "payroll_run": ("source_status", frozenset({"DRAFT", "PENDING"})),
    "invoice": ("status", frozenset({"DRAFT", "PENDING_APPROVAL"})),
}
"""By kind, the field and those of its states that a document goes back to for a correction."""
_OF_THE_MIRROR: Final = frozenset(
    {"first_seen", "changed_at", "missing_since", "content_hash", "ledger_id", "position"}
)


@dataclass(frozen=True, slots=True)
class Document:
    """`row`: of mirror.<kind>, JSON decoded; None: the mirror holds nothing of it. `bill`: what two systems would state alike
    of a bill; None: it is none, or leaves something of it open."""

    version: Version
    row: Row | None
    bill: bytes | None = None

    @property
    def is_of_order(self) -> bool:
        """Whether it is a bill of which the source states what was ordered."""
        row = self.row
        if row is None or self.version.key.kind != "invoice" or row["direction"] != "PAYABLE":
            return False
        return bool(row["raw"] and row["raw"].get("purchase"))

    def excerpt(self) -> str | None:
        """What a person needs to find the document, as JSON: no names of people, nothing of the raw payload."""
        if self.row is None:
            return None
        shown = {name: self.row[name] for name in _SHOWN[self.version.key.kind].split()}
        return orjson.dumps({name: value for name, value in shown.items() if value is not None}).decode()


async def load(
    connection: Connection,
    ledger_id: int,
    keys: Iterable[Key],
    cutovers: Mapping[str, date],
    today: date,
    reached: Iterable[str] | None = None,
) -> dict[Key, Document]:
    """The documents of these keys, all of them: what the mirror does not hold counts as deleted today. `reached`: the statuses of
    invoices whose payload rules ask for, as far as is known: that of the others is UNREAD; None: every payload is loaded. On a
    writer's connection, whose dates are dates."""
    by_kind: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        by_kind[key.kind].append(key)
    found: dict[Key, Document] = {}
    for kind, asked in by_kind.items():
        sources, _, accounts, ids = [list(column) for column in zip(*asked, strict=True)]
        rows = {}
        payloads = [None if reached is None else list(reached)] if kind == "invoice" else []
        records = await connection.fetch(_STATEMENTS[kind], ledger_id, sources, accounts, ids, *payloads)
        async for record in in_pieces(records):
            row = _decoded(kind, record)
            rows[row["source"], row["account"] if kind == "bank_transaction" else "", row["external_id"]] = row
        async for key in in_pieces(asked):
            row_of_key = rows.get((key.source, key.account, key.external_id))
            found[key] = _document(key, row_of_key, cutovers.get(key.source), today)
    return found


def _decoded(kind: str, record: Any) -> Row:
    row = dict(record)
    if kind == "invoice" and row["raw"] is None:
        row["raw"] = UNREAD
    for name in _JSON[kind]:
        if (text := row.get(name)) is not None and text is not UNREAD:
            row[name] = orjson.loads(text)
    if settled := row.get("settles"):
        row["settles"] = {**settled, "issue_date": settled["issue_date"] and date.fromisoformat(settled["issue_date"])}
    if kind == "bank_transaction" and row["allocations"] is None:
        del row["allocations"]  # its digest is then that of before there were any
    for each in row.get("allocations") or ():
        each["booked_on"] = each["booked_on"] and date.fromisoformat(each["booked_on"])
    return row


def _document(key: Key, row: Row | None, cutover: date | None, today: date) -> Document:
    if row is None:
        return Document(Version(key=key, digest=b"", dated=None, ceased_on=today, deleted=True), None)
    gone = row.get("deleted_at") is not None or row.get("visible") is False
    version = Version(
        key=key,
        digest=digest_of(row, cutover, gone),
        dated=row[DATED_BY[key.kind]],
        ceased_on=_ceased_on(key.kind, row, gone),
        deleted=gone,
    )
    return Document(version, row, None if gone else bill_key(key.kind, row))


def digest_of(row: Row, cutover: date | None, gone: bool) -> bytes:
    """Of all that may change what it posts. Where a kind has a `content_hash`, a row of that, of payslips, payout_external_id,
    settles and exchange will do."""
    if "content_hash" in row:
        more = [row.get("payslips"), row.get("payout_external_id"), row.get("settles")]
        more += [row["exchange"]] if row.get("exchange") else []
        stated = row["content_hash"] + orjson.dumps(more)
    else:
        content = {name: value for name, value in row.items() if name not in _OF_THE_MIRROR}
        stated = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(stated + orjson.dumps([cutover, gone])).digest()


def _ceased_on(kind: str, row: Row, gone: bool) -> date:
    """The day of its deletion, on which the source says it was voided, or of its last change. What another statement states in its
    place never was, and what was reopened is to be stated anew: its reversal is as of the day of the entry."""
    if gone and row["deleted_at"] is None:
        return date.min
    if not gone and kind in _REOPENED:
        field, states = _REOPENED[kind]
        if (row[field] or "").upper() in states:
            return date.min
    if not gone and (voided := _voided_on(row)) is not None:
        return voided
    moment: datetime = row["deleted_at"] if gone else row["changed_at"]
    return moment.astimezone(UTC).date()


def _voided_on(row: Row) -> date | None:
    """As a connector gives it (`voided_on`: an ISO date), or Stripe states it (`status_transitions.voided_at`: seconds since 1970);
    None: the source does not say, or it is not void."""
    raw = row.get("raw")
    if not isinstance(raw, dict) or row.get("status") != "VOID":
        return None
    if isinstance(day := raw.get("voided_on"), str):
        with contextlib.suppress(ValueError):
            return date.fromisoformat(day)
    stated = raw.get("status_transitions")
    seconds = stated.get("voided_at") if isinstance(stated, dict) else None
    if type(seconds) is not int or not 0 < seconds <= row["changed_at"].timestamp():
        return None
    return datetime.fromtimestamp(seconds, UTC).date()


def bill_key(kind: str, row: Row) -> bytes | None:
    """What tells one bill from another in whichever system: the supplier's tax id and the bill's number, without the marks and
    cases that systems write differently, its total and currency."""
    if kind != "invoice" or row["direction"] != "PAYABLE" or row["kind"] != "INVOICE":
        return None
    tax_id, number = _bare(row["party_tax_id"]), _bare(row["number"])
    if not tax_id or not number:
        return None
    return hashlib.sha256(orjson.dumps([tax_id, number, row["total"], row["currency"]])).digest()


def _bare(text: str | None) -> str:
    return "".join(character for character in text or "" if character.isalnum()).upper()


def foreign_days(documents: Sequence[Document], functional_currency: str) -> dict[str, set[date]]:
    """Currency -> every date that a document in it names: where its rates may be needed."""
    days: dict[str, set[date]] = defaultdict(set)
    for document in documents:
        row = document.row
        if row is None:
            continue
        allocated = {each["currency"] for each in row.get("allocations") or ()}
        for currency in {row["currency"], row.get("presented_currency"), *allocated} - {functional_currency, None}:
            stated = [value for value in row.values() if type(value) is date]
            settled = (row.get("settles") or {}).get("issue_date")
            booked = [each["booked_on"] for each in row.get("allocations") or ()]
            days[currency] |= {*stated, *([settled] if settled else []), *filter(None, booked), *_carried_days(row)}
    return dict(days)


def _carried_days(row: Row) -> set[date]:
    exchange = row.get("exchange") or {}
    stated = [part["on"] for part in exchange.get("carried") or ()]
    stated += [(exchange.get("parent") or {}).get("occurred_on"), (exchange.get("settles") or {}).get("issue_date")]
    return {date.fromisoformat(day) for day in stated if day}


_ASKED = "FROM unnest($2::text[], $3::text[], $4::text[]) AS asked (source, account, external_id)"
# By its key, one by one: with no statistics of a table that was empty a moment ago, a join would read all of it.
_BY_KEY = """
CROSS JOIN LATERAL (
    SELECT * FROM mirror.{0} WHERE ledger_id = $1 AND source = asked.source AND external_id = asked.external_id LIMIT 1
) AS held"""
# In a payload the program itself looks for what a bill was ordered by, and when an invoice was voided.
_INVOICES = f"""
SELECT {", ".join(f"held.{column.name}" for column in mirror.invoice.columns if column.name != "raw")},
    CASE WHEN held.direction = 'PAYABLE' OR held.status = 'VOID' OR coalesce(held.status = ANY($5::text[]), true)
        THEN held.raw END AS raw, {exchange_sql.INVOICE} AS exchange
{_ASKED}
{_BY_KEY.format("invoice")}"""
_PAYMENTS = f"""
SELECT held.*, CASE WHEN settled.ledger_id IS NOT NULL
    THEN jsonb_build_object('issue_date', settled.issue_date, 'currency', settled.currency) END AS settles,
    {exchange_sql.PAYMENT} AS exchange {_ASKED}
{_BY_KEY.format("payment")}
LEFT JOIN LATERAL (
    SELECT ledger_id, issue_date, currency FROM mirror.invoice
    WHERE ledger_id = $1 AND source = asked.source AND external_id = held.invoice_external_id LIMIT 1
) AS settled ON true"""
_PAYROLL_RUNS = f"""
SELECT held.*, CASE WHEN held.payslips_given THEN (
        SELECT coalesce(jsonb_agg(to_jsonb(slip) - ARRAY['employee_id', 'employee_name'] ORDER BY slip.position), '[]')
        FROM mirror.payslip slip
        WHERE slip.ledger_id = $1 AND slip.source = held.source AND slip.run_external_id = held.external_id
    ) END AS payslips {_ASKED}
{_BY_KEY.format("payroll_run")}"""
# What clears another amount of the same currency on the clearing account moves nothing where that currency is the ledger's.
_BANK_TRANSACTIONS = f"""
SELECT held.*, (
    SELECT jsonb_agg(jsonb_build_object('kind', part.kind, 'currency', part.currency, 'amount', part.amount,
            'bank_amount', part.bank_amount, 'number', part.number, 'party', part.party_id, 'account', part.external_id, 'before', before.amount,
            'side', CASE WHEN elsewhere.on IS NULL THEN part.side ELSE 'paid_elsewhere' END,
            'booked_on', coalesce(elsewhere.on, part.booked_on)) ORDER BY part.position)
    FROM (
        SELECT match_id FROM matching.match m WHERE m.ledger_id = $1 AND m.source = held.source AND m.account = held.account
            AND m.external_id = held.external_id AND m.status IN ('CERTAIN', 'CONFIRMED') LIMIT 1
    ) AS live
    CROSS JOIN LATERAL (SELECT * FROM matching.allocation p WHERE p.ledger_id = $1 AND p.match_id = live.match_id OFFSET 0) AS part
    LEFT JOIN LATERAL (
        SELECT coalesce(i.paid_elsewhere_on, i.due_date, i.issue_date) AS on FROM mirror.invoice i
        WHERE part.side = 'receivable' AND i.ledger_id = $1 AND i.source = part.source AND i.external_id = part.external_id
            AND i.paid_elsewhere <> 0 AND i.amount_due = 0 LIMIT 1
    ) AS elsewhere ON true
    CROSS JOIN LATERAL (
        SELECT sum(p.amount) AS amount FROM matching.allocation p
        JOIN matching.match m ON m.ledger_id = $1 AND m.match_id = p.match_id AND m.status IN ('CERTAIN', 'CONFIRMED')
        WHERE part.source <> '' AND p.ledger_id = $1 AND p.kind = part.kind AND p.source = part.source AND p.account = part.account
            AND p.external_id = part.external_id AND p.match_id < live.match_id
    ) AS before
    WHERE NOT (part.side = 'clearing' AND part.currency = held.currency
            AND part.currency = (SELECT functional_currency FROM ledger.ledger l WHERE l.ledger_id = $1))
) AS allocations {_ASKED}
CROSS JOIN LATERAL (
    SELECT * FROM mirror.bank_transaction stated
    WHERE stated.ledger_id = $1 AND stated.source = asked.source AND stated.account = asked.account
        AND stated.external_id = asked.external_id AND NOT stated.provisional
    ORDER BY stated.visible DESC, stated.deleted_at IS NULL DESC, stated.changed_at DESC
    LIMIT 1
) AS held"""
_STATEMENTS: Final = {
    "invoice": _INVOICES,
    "payment": _PAYMENTS,
    "payroll_run": _PAYROLL_RUNS,
    "bank_transaction": _BANK_TRANSACTIONS,
}
