"""What Stripe's answers hold, as documents: with what has to be asked for beside them (lines, customers, invoices that were paid,
payments that were paid out)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from sources.connectors.http import SourceRefused
from sources.connectors.stripe_api import MISSING, PAGE_SIZE, StripeApi, together
from sources.connectors.stripe_objects import parse_credit_note, parse_invoice, problem
from sources.connectors.stripe_payments import (
    parse_charge,
    parse_dispute,
    parse_movement,
    parse_payout,
    parse_refund,
    stands_for,
)
from sources.connectors.stripe_records import Record, UnreadableRecord, embedded, identity, mapping, reference, text
from sources.documents import Document, Invoice, InvoiceStatus, Problem
from sources.pieces import PIECE

MAX_LINE_PAGES = 100
MAX_PAYOUT_PAGES = 100
"""Of the balance transactions of one payout; what a larger one pays out is not known."""

MOVEMENTS = "balance_transactions"

MAX_REMEMBERED = 100_000
"""Charges and payment intents whose invoice is known within one pull; those of the rest are asked for."""

NAMES: Mapping[str, str] = {
    "invoices": "invoice",
    "credit_notes": "credit note",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "payouts": "payout",
    "balance_transactions": "balance transaction",
}
"""What one object of a collection is called."""

_REFUSED_LISTS = frozenset({400, 403, 404, 405})


@dataclass(slots=True)
class Batch:
    """Documents that were read, and the records that could not be."""

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def drafts(self) -> list[str]:
        return [each.external_id for each in self._invoices() if each.status is InvoiceStatus.DRAFT]

    def others(self) -> list[str]:
        return [each.external_id for each in self._invoices() if each.status is not InvoiceStatus.DRAFT]

    def _invoices(self) -> Iterable[Invoice]:
        return (document for document in self.documents if isinstance(document, Invoice))


class StripeReader:
    """Reads within one pull: what is asked for beside the records is asked for once. Methods raise SourceUnavailable."""

    def __init__(self, api: StripeApi) -> None:
        self._api = api
        self._customers: dict[str, Record | None] = {}
        self._paid: dict[str, str | None] = {}
        self._tells_invoices = True

    async def read(self, collection: str, records: Sequence[Any]) -> Batch:
        """The documents of some records; a record that cannot be read becomes a problem, and the others are read."""
        if collection == "invoices":
            await self._learn_customers(records)
            self._learn_payments(records)
        batch = Batch()
        for first in range(0, len(records), PIECE):
            piece = records[first : first + PIECE]
            for outcome in await together(self._read_one(collection, record) for record in piece):
                if isinstance(outcome, Problem):
                    batch.problems.append(outcome)
                else:
                    batch.documents += outcome
        return batch

    async def _read_one(self, collection: str, record: Any) -> Sequence[Document] | Problem:
        subject, again = f"{NAMES[collection]} without an id", None
        try:
            subject = f"{NAMES[collection]} {identity(record)}"
            again = f"{collection}/{identity(record)}"
            return await self._documents(collection, record)
        except UnreadableRecord as error:
            return problem(subject, error, again)

    async def _documents(self, collection: str, record: Record) -> Sequence[Document]:
        """Raises UnreadableRecord."""
        match collection:
            case "invoices":
                customer = self._customers.get(reference(record.get("customer")) or "")
                lines = await self._all_lines(collection, record)
                return [parse_invoice(record, customer, lines)]
            case "credit_notes":
                return [parse_credit_note(record, await self._all_lines(collection, record))]
            case "charges":
                return [parse_charge(record, await self._invoice_of(record))]
            case "refunds":
                return [parse_refund(record, await self._invoice_of(mapping(record, "charge")))]
            case "disputes":
                return parse_dispute(record, await self._invoice_of(mapping(record, "charge")))
            case "payouts":
                return [parse_payout(record, await self._paid_out(record))]
        moved = parse_movement(record)
        return [] if moved is None else [moved]

    async def _all_lines(self, collection: str, record: Record) -> list[Any] | None:
        """All lines of a document, where it holds the first of them only."""
        if not embedded(record, "lines")[1]:
            return None
        path = f"{collection}/{quote(identity(record), safe='')}/lines"
        try:
            lines = await self._api.list_all(path, [], MAX_LINE_PAGES)
        except SourceRefused as refused:
            if refused.status in (401, 403) or (refused.status == 404 and refused.code not in MISSING):
                raise  # not of this one document: it has to be asked for again
            raise UnreadableRecord(f"its lines cannot be read (status {refused.status})") from None
        if lines is None:
            raise UnreadableRecord(f"it has more than {MAX_LINE_PAGES * PAGE_SIZE} lines")
        return lines

    async def _learn_customers(self, records: Iterable[Any]) -> None:
        """Asks for the customers of records that do not name them."""
        nameless = (record for record in records if isinstance(record, dict) and "customer_name" not in record)
        ids = {record["customer"] for record in nameless if isinstance(record.get("customer"), str)}
        missing = sorted(ids - self._customers.keys())
        self._customers.update(await self._api.retrieve_all("customers", missing))

    def _learn_payments(self, invoices: Iterable[Any]) -> None:
        """Remembers which charges and payment intents pay an invoice: since API 2025-03-31 its payments say so, which are parts of
        no document, before that the invoice itself."""
        for invoice in invoices:
            if not isinstance(invoice, dict) or len(self._paid) >= MAX_REMEMBERED:
                continue
            parts = [part for part in embedded(invoice, "payments")[0] if isinstance(part, dict)]
            for place in (invoice, *(mapping(part, "payment") for part in parts)):
                for key in ("charge", "payment_intent"):
                    if payment := reference(place.get(key)):
                        self._paid[payment] = text(invoice, "id")

    async def _invoice_of(self, charge: Record) -> str | None:
        """The invoice that a charge pays: invoices have customers, and payments of theirs are payment intents."""
        intent = reference(charge.get("payment_intent"))
        if stated := reference(charge.get("invoice")) or self._paid.get(text(charge, "id") or ""):
            return stated
        if intent is None or not reference(charge.get("customer")):
            return None
        if intent not in self._paid:
            found = await self._ask_for_invoice(intent)
            if len(self._paid) >= MAX_REMEMBERED:
                return found
            self._paid[intent] = found
        return self._paid[intent]

    async def _ask_for_invoice(self, intent: str) -> str | None:
        """https://docs.stripe.com/api/invoice-payment/list; a server without that list is not asked again."""
        if not self._tells_invoices:
            return None
        params = [("payment[type]", "payment_intent"), ("payment[payment_intent]", intent)]
        try:
            page = await self._api.list_page("invoice_payments", params)
        except SourceRefused as refused:
            if refused.status not in _REFUSED_LISTS:
                raise
            self._tells_invoices = False
            return None
        found = (reference(record.get("invoice")) for record in page.records if isinstance(record, dict))
        return next((invoice for invoice in found if invoice), None)

    async def _paid_out(self, payout: Record) -> list[str]:
        """What an automatic payout pays out. Of a manual one Stripe does not tell."""
        if payout.get("automatic") is not True or payout.get("reconciliation_status", "completed") != "completed":
            return []
        try:
            moves = await self._api.list_all("balance_transactions", [("payout", identity(payout))], MAX_PAYOUT_PAGES)
        except SourceRefused as refused:
            if refused.status not in _REFUSED_LISTS:
                raise
            return []
        found = (stands_for(move) for move in moves or () if isinstance(move, dict))
        return sorted({each for each in found if each} - {identity(payout)})


def ungiven(collection: str, object_id: str) -> Problem:
    """Of an object that Stripe does not give, although it gives others: it is asked for again."""
    reason = UnreadableRecord("Stripe does not give it")
    return problem(f"{NAMES[collection]} {object_id}", reason, f"{collection}/{object_id}")
