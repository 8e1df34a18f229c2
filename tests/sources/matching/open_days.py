"""What is open on a day, as it is read, and as documents, payments and matches say by a slow reading of the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sources.documents import InvoiceDirection, InvoiceKind, InvoiceStatus, PaymentStatus, PaymentType
from sources.matching import open_sql
from tests.sources.matching.trade import Trade

FIRST = date(2026, 3, 1)
OPEN_STATUSES = (InvoiceStatus.OPEN, InvoiceStatus.PAID, InvoiceStatus.UNCOLLECTIBLE)
LIVE = ("CERTAIN", "CONFIRMED")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


async def open_on(trade: Trade, on: date, direction: str = "RECEIVABLE") -> dict[str, int]:
    """What is open of each document, as the graph and the reconciliation read it."""
    rows = await trade.company.speaking.fetch(
        f"SELECT external_id, open FROM ({open_sql.on_day('$1', '$2', '$3::date')}) o WHERE open <> 0",
        trade.company.ledger.ledger_id,
        direction,
        on,
    )
    assert len({row[0] for row in rows}) == len(rows)
    return dict(rows)


async def noted(trade: Trade) -> int:
    return int(await trade.company.owner.fetchval("SELECT count(*) FROM matching.open_todo"))


# ---------------------------------------------------------------- by the rules


@dataclass
class Known:
    """What was stated, by external id, and what was matched: line -> (day, status, {invoice: signed amount})."""

    invoices: dict[str, Any] = field(default_factory=dict)
    payments: dict[str, Any] = field(default_factory=dict)
    matches: dict[int, tuple[date, str, dict[str, int]]] = field(default_factory=dict)

    def open_on(self, on: date, direction: str) -> dict[str, int]:
        found = {
            name: self._open(each, on) for name, each in self.invoices.items() if each.direction.value == direction
        }
        return {name: amount for name, amount in found.items() if amount}

    def _open(self, each: Any, on: date) -> int:
        begins = each.accounting_date or each.issue_date
        if each.status not in OPEN_STATUSES or begins > on:
            return 0
        if each.status is InvoiceStatus.UNCOLLECTIBLE and (each.due_date or each.issue_date) <= on:
            return 0
        total = each.total - each.prepaid
        sign = 1 if total >= 0 else -1
        total, due = abs(total), sign * each.amount_due
        paid, paid_at_last = self._paid(each, on), self._paid(each, None)
        matched, matched_at_last = (max(self._matched(each, sign, to), 0) for to in (on, None))
        credited, credited_at_last = self._credited(each, on), self._credited(each, None)
        later_elsewhere = each.paid_elsewhere if (each.paid_elsewhere_on or begins) > on else 0
        unexplained = max(total - due - paid_at_last - each.paid_elsewhere, 0)
        due += paid_at_last - paid + later_elsewhere
        credited, credited_at_last = min(unexplained, credited), min(unexplained, credited_at_last)
        due += credited_at_last - credited
        due += min(unexplained - credited_at_last, matched_at_last) - min(unexplained - credited_at_last, matched)
        left = max(min(total - paid - matched - credited, due), 0)
        found: int = sign * (-1 if each.kind is InvoiceKind.CREDIT_NOTE else 1) * left
        return found

    def _paid(self, each: Any, on: date | None) -> int:
        wanted = PaymentType.REFUND if each.kind is InvoiceKind.CREDIT_NOTE else PaymentType.PAYMENT
        return sum(
            abs(payment.amount)
            for payment in self.payments.values()
            if payment.invoice_external_id == each.external_id
            and payment.type is wanted
            and payment.status is PaymentStatus.SUCCEEDED
            and (on is None or payment.occurred_on <= on)
        )

    def _matched(self, each: Any, sign: int, on: date | None) -> int:
        moves = sign * (1 if each.direction is InvoiceDirection.RECEIVABLE else -1)
        moves *= -1 if each.kind is InvoiceKind.CREDIT_NOTE else 1
        return sum(
            moves * parts.get(each.external_id, 0)
            for moved, status, parts in self.matches.values()
            if status in LIVE and (on is None or moved <= on)
        )

    def _credited(self, each: Any, on: date | None) -> int:
        return sum(
            abs(note.total)
            for note in self.invoices.values()
            if each.kind is InvoiceKind.INVOICE
            and note.kind is InvoiceKind.CREDIT_NOTE
            and note.raw.get("invoice") == each.external_id
            and note.status is InvoiceStatus.PAID
            and note.direction is each.direction
            and (on is None or (note.accounting_date or note.issue_date) <= on)
        )
