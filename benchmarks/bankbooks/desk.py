"""Where documents and transactions are written: invoices, bills, and money that moves for them."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from benchmarks.bankbooks.model import CURRENCY, FIRST, Books, Known, Truth
from benchmarks.bankbooks.parties import PHRASES, Partner, bank_name, end_to_end, partner
from sources.documents import (
    BankTransaction,
    BankTransactionStatus,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceStatus,
    Party,
)

PRICES = (49_00, 99_00, 199_00, 490_00, 1_190_00)
_NAMESAKES = 25
_FIRST_SHORT = 900


class Desk:
    """What is made for one company of about so many bank transactions. `chance` decides all of it: the same seed, the same books."""

    def __init__(self, lines: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.lines = lines
        self.books = Books()
        self.issued = 0
        self._numbers: set[str] = set()
        self.customers = [partner(self.chance, each) for each in range(max(lines // 25, 20))]
        self.suppliers = [partner(self.chance, each) for each in range(max(lines // 120, 10))]
        self.namesakes = [
            (each, replace(partner(self.chance, 90_000 + at), name=each.name))
            for at, each in enumerate(self.customers[::_NAMESAKES])
        ]
        self.customers += [other for _, other in self.namesakes]

    def day(self) -> date:
        """Any of the year's, so that what follows it is of the year too."""
        return FIRST + timedelta(days=self.chance.randrange(330))

    def amount(self) -> int:
        """Minor units; one in three is that of a price list."""
        return self.chance.choice(PRICES) if self.chance.random() < 0.3 else self.chance.randint(5_00, 9_000_00)

    # ---------------------------------------------------------------- documents

    def sale(self, partner: Partner | None = None, amount: int | None = None, **more: Any) -> tuple[Invoice, Partner]:
        """An invoice to a customer, any where none is given; `more`: as of `invoice`."""
        partner = partner or self.chance.choice(self.customers)
        return self.invoice(partner, amount or self.amount(), more.pop("day", self.day()), **more), partner

    def invoice(self, partner: Partner, amount: int, day: date, *, late: bool = False, credit: bool = False) -> Invoice:
        """One that we write; numbers of every third customer's are short and without zeros, so that they are parts of longer ones.
        `late`: stated only after the bank's transactions; `credit`: a credit note."""
        self.issued += 1
        number = f"{'CN' if credit else 'INV'}-2026-{self.issued:05}"
        if not credit and int(partner.number) % 3 == 0:
            number = f"RE{_FIRST_SHORT + self.issued}" if int(partner.number) % 2 else str(_FIRST_SHORT + self.issued)
        found = _document(partner, number, amount, day, InvoiceDirection.RECEIVABLE, credit=credit)
        (self.books.late if late else self.books.early).append(found)
        return found

    def bill(self, partner: Partner, amount: int, day: date) -> Invoice:
        """One that a supplier writes, with numbers in a form of their own."""
        while True:
            run = self.chance.randint(1_000, 999_999)
            forms = (str(100_000 + run), f"R{day.year}/{run % 10_000:04}", f"A-{run}", f"{run:06}-{day.month:02}")
            number = forms[partner.form]
            if (partner.number + number) not in self._numbers:
                self._numbers.add(partner.number + number)
                found = _document(partner, number, amount, day, InvoiceDirection.PAYABLE)
                self.books.early.append(found)
                return found

    # ---------------------------------------------------------------- money

    def move(
        self, amount: int, day: date, text: str, name: str | None, truth: Truth, case: str, **raw: Any
    ) -> BankTransaction:
        """A transaction of the bank's, and what it is about; money in is positive."""
        moved = BankTransaction(
            external_id=f"b{len(self.books.known) + 1:06}", status=BankTransactionStatus.BOOKED, amount=amount, currency=CURRENCY,
            booked_on=day, description=text[:140] or None, counterparty=name, reference=end_to_end(self.chance), raw=raw,
        )  # fmt: skip
        self.books.known.append(Known(moved, case, truth))
        return moved

    def pays(self, invoices: list[Invoice], partner: Partner, text: str, case: str, **more: Any) -> BankTransaction:
        """Money for invoices. `amount`, where it is not what they come to; `truth`, where it is not all of them."""
        whole = {("invoice", each.external_id): _sign(each) * each.total for each in invoices}
        amount = more.pop("amount", sum(whole.values()))
        issued = max(each.issue_date or FIRST for each in invoices)
        day = more.pop("day", issued + timedelta(days=self.chance.randint(1, 40)))
        name = more.pop("name", self.bank_name(partner))
        return self.move(amount, day, text, name, more.pop("truth", whole), case, iban=partner.iban, **more)

    def bank_name(self, partner: Partner) -> str | None:
        """See `parties.bank_name`."""
        return bank_name(self.chance, partner.name)

    def text(self, number: str, partner: Partner) -> str:
        """What a payer writes of a number: with other separators, or none, within a phrase of one in use."""
        chance = self.chance
        way = chance.random()
        if way < 0.15:
            number = number.replace("-", " ")
        elif way < 0.25:
            number = number.replace("-", "").replace("/", "")
        elif way < 0.3:
            number = number.lower()
        day = self.day().strftime("%d.%m.%Y")
        phrase = chance.choice(PHRASES)
        return phrase.format(number, day=day, customer=partner.number, order=chance.randint(10_000, 99_999))


def _document(
    partner: Partner, number: str, amount: int, day: date, direction: InvoiceDirection, *, credit: bool = False
) -> Invoice:
    kind = InvoiceKind.CREDIT_NOTE if credit else InvoiceKind.INVOICE
    return Invoice(
        external_id=f"{partner.number}:{number}", direction=direction, kind=kind, status=InvoiceStatus.OPEN,
        source_status="open", party=Party(name=partner.name, external_id=partner.number), currency=CURRENCY, subtotal=amount,
        tax=0, total=amount, amount_due=amount, number=number, issue_date=day, due_date=day + timedelta(days=14),
    )  # fmt: skip


def _sign(invoice: Invoice) -> int:
    sign = 1 if invoice.direction is InvoiceDirection.RECEIVABLE else -1
    return -sign if invoice.kind is InvoiceKind.CREDIT_NOTE else sign
