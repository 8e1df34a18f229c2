"""Invoices that are settled in all the ways there are, in two currencies, as a source states them; and what was earned by them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from sources.documents import (
    Document,
    Invoice,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    Payment,
    PaymentType,
    TaxAmount,
)
from sources.mapping.rates import Quote, convert
from tests.sources.mirror.kit import Kit

FIRST = date(2026, 1, 5)
DAYS = 120


@dataclass
class Settled:
    """Everything is settled in the end: receivables, disputes, and what the processor holds is paid out. `earned`: functional minor
    units of revenue, credit notes taken off at the rates of their invoices."""

    seed: int
    documents: list[Document] = field(default_factory=list)
    moves: list[Payment] = field(default_factory=list)
    earned: int = 0
    lost: dict[str, int] = field(default_factory=dict)
    numbers: int = 0
    chance: random.Random = field(init=False)
    rates: dict[date, Decimal] = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        days = [FIRST + timedelta(days=n) for n in range(DAYS)]
        self.rates = {day: Decimal(self.chance.randrange(90_000, 130_000)) / 100_000 for day in days}

    def quotes(self) -> list[Quote]:
        return [Quote("EUR", "USD", "spot", day, rate) for day, rate in self.rates.items()]

    def in_books(self, amount: int, currency: str, day: date) -> int:
        return amount if currency == "USD" else convert(amount, Fraction(self.rates[day]))

    def live(self, count: int) -> None:
        for _ in range(count):
            self._invoice(self.chance.choice(["EUR", "EUR", "USD"]))
        self._walk_in()
        for currency in ("EUR", "USD"):
            self._pay_out(currency)
        self.documents += self.moves

    # ---------------------------------------------------------------- one invoice

    def _invoice(self, currency: str) -> None:
        chance, key, day = self.chance, self._key("in"), self._day(0, 30)
        subtotal, tax = chance.randrange(1, 500_00), chance.randrange(0, 90_00)
        open_ = total = subtotal + tax
        notes = []
        if chance.random() < 0.4:
            open_ -= self._credit(key, currency, day, chance.randrange(1, subtotal + 1), notes)
        paid = self._payments(key, currency, chance.choice([open_, chance.randrange(0, open_ + 1)])) if open_ else []
        open_ -= sum(each.amount for each in paid)
        if paid and chance.random() < 0.4 and subtotal - sum(notes):
            given_back = self._credit(key, currency, day, chance.randrange(1, subtotal - sum(notes) + 1), notes)
            rest = given_back - self._refunds(paid[0], min(given_back, paid[0].amount))
            open_ -= rest
        if open_ < 0:  # more was credited than is owed: given back once more
            self._refunds(paid[0], -open_)
            open_ = 0
        if paid and chance.random() < 0.4:
            self._dispute(chance.choice(paid))
        status, elsewhere, due = InvoiceStatus.PAID, 0, 0
        if open_ and chance.random() < 0.5:
            status, due = InvoiceStatus.UNCOLLECTIBLE, open_
        elif open_:
            elsewhere = open_
        self.earned += self.in_books(subtotal, currency, day)
        self.documents.append(
            Kit.invoice(
                key, status=status, currency=currency, issue_date=day, due_date=self._day(31, 110), subtotal=subtotal, tax=tax,
                total=total, amount_due=due, paid_elsewhere=elsewhere, lines=(InvoiceLine(amount=subtotal),), party=_PARTY,
                taxes=(TaxAmount(amount=tax, rate="19"),),
            )
        )  # fmt: skip

    def _credit(self, invoice: str, currency: str, day: date, amount: int, notes: list[int]) -> int:
        notes.append(amount)
        self.earned -= self.in_books(amount, currency, day)
        self.documents.append(
            Kit.invoice(
                self._key("cn"), kind=InvoiceKind.CREDIT_NOTE, status=InvoiceStatus.PAID, currency=currency, amount_due=0,
                issue_date=self._day(31, 110), subtotal=amount, tax=0, total=amount, lines=(InvoiceLine(amount=amount),),
                raw={"invoice": invoice}, party=_PARTY,
            )
        )  # fmt: skip
        return amount

    def _payments(self, invoice: str, currency: str, amount: int) -> list[Payment]:
        parts = self._parts(amount)
        return [self._move(PaymentType.PAYMENT, part, currency, 31, invoice_external_id=invoice) for part in parts]

    def _refunds(self, paid: Payment, amount: int) -> int:
        for part in self._parts(amount):
            self._move(
                PaymentType.REFUND, -part, paid.currency, 31,
                invoice_external_id=paid.invoice_external_id, parent_external_id=paid.external_id,
            )  # fmt: skip
        return amount

    def _dispute(self, paid: Payment) -> None:
        won = self.chance.random() < 0.5
        taken = self._move(
            PaymentType.DISPUTE, -paid.amount, paid.currency, 60, source_status="won" if won else "lost",
            parent_external_id=paid.external_id, invoice_external_id=paid.invoice_external_id,
        )  # fmt: skip
        back = self._parts(paid.amount) if won else []
        for part in back:
            self._move(
                PaymentType.DISPUTE, part, paid.currency, 80, source_status=taken.source_status,
                parent_external_id=taken.external_id, invoice_external_id=paid.invoice_external_id,
            )  # fmt: skip
        if not won:
            self.lost[paid.currency] = self.lost.get(paid.currency, 0) + paid.amount

    def _walk_in(self) -> None:
        """No invoice is known of it, and all of it is given back."""
        paid = self._move(PaymentType.PAYMENT, 77_77, "EUR", 5)
        self._refunds(paid, paid.amount)

    # ---------------------------------------------------------------- the processor

    def _pay_out(self, currency: str) -> None:
        held = [each for each in self.moves if each.currency == currency]
        self.chance.shuffle(held)
        middle = self.chance.randrange(0, len(held) + 1)
        for group in (held[:middle], held[middle:]):
            amount = sum(each.net or 0 for each in group)
            if not amount:
                continue
            key = self._key("po")
            for each in group:
                self.moves[self.moves.index(each)] = replace(each, payout_external_id=key)
            ids = tuple(each.external_id for each in group)
            self._move(PaymentType.PAYOUT, -amount, currency, 112, key=key, fee=0, net=-amount, paid_out=ids)

    def _move(
        self, kind: PaymentType, amount: int, currency: str, since: int, *, key: str = "", **more: Any
    ) -> Payment:
        fee = self.chance.randrange(0, 300) if kind in (PaymentType.PAYMENT, PaymentType.DISPUTE) else 0
        tax = fee // 5
        details = [{"amount": fee - tax, "type": "stripe_fee"}, {"amount": tax, "type": "tax"}]
        values: dict[str, Any] = {
            "type": kind,
            "amount": amount,
            "currency": currency,
            "fee": fee,
            "net": amount - fee,
            "occurred_on": self._day(since, DAYS),
            "party": None if kind is PaymentType.PAYOUT else _PARTY,
            "raw": {"balance_transaction": {"fee_details": details}} if fee else {},
        }
        found = Kit.payment(key or self._key("py"), **values | more)
        self.moves.append(found)
        return found

    def _parts(self, amount: int) -> list[int]:
        parts = []
        while amount:
            parts.append(amount if len(parts) == 3 else self.chance.randint(1, amount))
            amount -= parts[-1]
        return parts

    def _day(self, first: int, after: int) -> date:
        return FIRST + timedelta(days=self.chance.randrange(first, after))

    def _key(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}_{self.numbers:04}"

    def pages(self) -> list[list[Document]]:
        """In any order, some of them twice: an earlier state of an invoice is that it is open."""
        stated: list[Document] = []
        for document in self.documents:
            if isinstance(document, Invoice) and document.kind is InvoiceKind.INVOICE and self.chance.random() < 0.3:
                stated.append(replace(document, status=InvoiceStatus.OPEN, paid_elsewhere=0, amount_due=document.total))
        self.chance.shuffle(stated)
        later = list(self.documents)
        self.chance.shuffle(later)
        size = max(len(later) // 4, 1)
        return [stated, *(later[start : start + size] for start in range(0, len(later), size))]


_PARTY = Party(name="Blue Harbor", external_id="cus_1")
