"""Books of which it is known what every bank transaction is about: invoices, bills, payouts, payroll runs, and a year of one bank
account. It shares nothing with what matches them; one transaction in five is awkward, in the ways in which people and banks are.

Besides, in all of it: one customer in twenty-five has the name of another one, a third of the sales are numbered without zeros before
them, so that numbers are parts of longer ones, and a tenth of all amounts are those of a price list."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from sources.documents import (
    BankTransaction,
    BankTransactionStatus,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceStatus,
    Party,
    Payment,
    PaymentStatus,
    PaymentType,
    PayrollRun,
)

CURRENCY = "EUR"
FIRST = date(2026, 1, 5)
AWKWARD = 0.2
_NAMESAKES = 25
_FIRST_SHORT = 900
_PRICES = (49_00, 99_00, 199_00, 490_00, 1_190_00)
_WORDS: Sequence[str] = [
    "North",
    "South",
    "Harbour",
    "Alpine",
    "Silver",
    "Green",
    "Blue",
    "Iron",
    "Maple",
    "River",
    "Stone",
    "Bright",
    "Prime",
    "United",
    "Central",
    "Atlas",
    "Nova",
    "Delta",
    "Orion",
    "Vega",
    "Cedar",
    "Falcon",
    "Granite",
    "Summit",
    "Baltic",
    "Nordic",
    "Amber",
    "Coral",
    "Crimson",
    "Golden",
    "Pacific",
    "Royal",
    "Sunset",
    "Urban",
    "Vertex",
    "Zenith",
    "Müller",
    "Schäfer",
    "Weiß",
    "Köhler",
    "Dubois",
    "Lefèvre",
    "Rossi",
    "Jansen",
    "Novák",
    "Larsen",
]
_TRADES = [
    "Logistics",
    "Foods",
    "Systems",
    "Design",
    "Textiles",
    "Machines",
    "Consulting",
    "Media",
    "Energy",
    "Health",
    "Print",
    "Tools",
    "Travel",
    "Motors",
    "Labs",
    "Studios",
]
_FORMS = ("GmbH", "AG", "Ltd", "Inc.", "B.V.", "S.A.", "KG", "LLC")
_GIVEN = ["Anna", "Jonas", "Mia", "Lukas", "Emma", "Paul", "Lea", "Felix", "Clara", "Max", "Nora", "Emil"]
_SWAPS = str.maketrans({"ü": "ue", "ä": "ae", "ö": "oe", "ß": "ss", "é": "e", "è": "e", "á": "a"})
_PHRASES = (
    "{}",
    "Invoice {}",
    "Payment for invoice {}",
    "RE {} vom {day}",
    "Rg.Nr. {} Kd.Nr. {customer}",
    "{} / customer {customer}",
    "Our order {order}, your invoice {}",
    "SEPA transfer {} thank you",
)


@dataclass(frozen=True, slots=True)
class Known:
    """A transaction and what it is about: (kind, external id) of a document -> minor units of it, signed as money moves. `case`: in
    which way it is awkward, "" for one that is not. `late`: one of its documents is stated only after the transaction."""

    transaction: BankTransaction
    case: str
    truth: Mapping[tuple[str, str], int]


@dataclass(slots=True)
class Books:
    """`early` documents are stated before the bank's transactions, `late` ones after."""

    early: list[Any] = field(default_factory=list)
    late: list[Any] = field(default_factory=list)
    payouts: list[Payment] = field(default_factory=list)
    runs: list[PayrollRun] = field(default_factory=list)
    known: list[Known] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Partner:
    name: str
    number: str
    iban: str
    terms: str
    form: int


class Maker:
    """Makes `Books` of about so many transactions; the same seed makes the same ones."""

    def __init__(self, lines: int, seed: int = 11) -> None:
        self._chance = random.Random(seed)
        self._lines = lines
        self._books = Books()
        self._count = 0
        self._issued = 0
        self._used_numbers: set[str] = set()
        self._customers = [self._partner(each) for each in range(max(lines // 25, 20))]
        self._suppliers = [self._partner(each) for each in range(max(lines // 120, 10))]
        self._namesakes = [
            (each, replace(self._partner(90_000 + at), name=each.name))
            for at, each in enumerate(self._customers[::_NAMESAKES])
        ]
        self._customers += [other for _, other in self._namesakes]
        self._cases: dict[str, Callable[[], None]] = {
            "part": self._part, "instalments": self._instalments, "several": self._several, "range": self._range,
            "typing mistake": self._mistyped, "digits swapped": self._swapped, "another's number": self._anothers,
            "no number": self._no_number, "equal amounts": self._equal, "fee, unsaid": self._fee, "fee, said": self._fee_said,
            "too much": self._too_much, "third party pays": self._third_party, "paid twice": self._twice, "came back": self._returned,
            "credit note taken off": self._credited, "nothing of ours": self._other, "sum without numbers": self._sum,
            "late invoice": self._late, "bill, last digits": self._short_bill, "number cut off": self._cut,
            "number broken by the bank": self._broken, "last month's number": self._last_months, "cash discount": self._discount,
            "wrong amount": self._wrong_amount, "several, less a claim": self._claim, "many without numbers": self._many,
            "credit note paid out": self._paid_out, "debit came back with a fee": self._debit_returned,
            "payer's own number": self._payers_own, "two of one name": self._namesake, "one of several named": self._one_named,
        }  # fmt: skip

    def make(self) -> Books:
        while self._count < self._lines:
            if self._chance.random() < AWKWARD:
                self._cases[self._chance.choice(list(self._cases))]()
            else:
                self._plain()
        self._never_paid()
        self._books.known.sort(key=lambda each: (each.transaction.booked_on, each.transaction.external_id))
        return self._books

    # ---------------------------------------------------------------- parts

    def _partner(self, number: int) -> _Partner:
        chance = self._chance
        name = f"{chance.choice(_WORDS)} {chance.choice(_WORDS)} {chance.choice(_TRADES)} {chance.choice(_FORMS)}"
        if chance.random() < 0.15:
            name = f"{chance.choice(_GIVEN)} {chance.choice(_WORDS)}"
        return _Partner(name, str(70_000 + number), _iban(chance), "", chance.randrange(4))

    def _day(self) -> date:
        return FIRST + timedelta(days=self._chance.randrange(330))

    def _amount(self) -> int:
        return self._chance.choice(_PRICES) if self._chance.random() < 0.3 else self._chance.randint(5_00, 9_000_00)

    def _invoice(
        self, partner: _Partner, amount: int, day: date, *, late: bool = False, credit: bool = False
    ) -> Invoice:
        self._issued += 1
        number = f"{'CN' if credit else 'INV'}-2026-{self._issued:05}"
        if not credit and int(partner.number) % 3 == 0:
            number = f"RE{_FIRST_SHORT + self._issued}" if int(partner.number) % 2 else str(_FIRST_SHORT + self._issued)
        return self._state(number, partner, amount, day, InvoiceDirection.RECEIVABLE, late, credit)

    def _bill(self, partner: _Partner, amount: int, day: date) -> Invoice:
        chance = self._chance
        while True:
            run = chance.randint(1_000, 999_999)
            number = (str(100_000 + run), f"R{day.year}/{run % 10_000:04}", f"A-{run}", f"{run:06}-{day.month:02}")[
                partner.form
            ]
            if (partner.number + number) not in self._used_numbers:
                self._used_numbers.add(partner.number + number)
                return self._state(number, partner, amount, day, InvoiceDirection.PAYABLE, False, False)

    def _state(
        self,
        number: str,
        partner: _Partner,
        amount: int,
        day: date,
        direction: InvoiceDirection,
        late: bool,
        credit: bool,
    ) -> Invoice:
        kind = InvoiceKind.CREDIT_NOTE if credit else InvoiceKind.INVOICE
        found = Invoice(
            external_id=f"{partner.number}:{number}", direction=direction, kind=kind, status=InvoiceStatus.OPEN,
            source_status="open", party=Party(name=partner.name, external_id=partner.number), currency=CURRENCY, subtotal=amount,
            tax=0, total=amount, amount_due=amount, number=number, issue_date=day, due_date=day + timedelta(days=14),
        )  # fmt: skip
        (self._books.late if late else self._books.early).append(found)
        return found

    def _move(
        self,
        amount: int,
        day: date,
        text: str,
        name: str | None,
        truth: Mapping[tuple[str, str], int],
        case: str,
        **raw: Any,
    ) -> BankTransaction:
        self._count += 1
        moved = BankTransaction(
            external_id=f"b{self._count:06}", status=BankTransactionStatus.BOOKED, amount=amount, currency=CURRENCY,
            booked_on=day, description=text[:140] or None, counterparty=name, reference=self._end_to_end(), raw=raw,
        )  # fmt: skip
        self._books.known.append(Known(moved, case, truth))
        return moved

    def _end_to_end(self) -> str | None:
        chance = self._chance
        if chance.random() < 0.6:
            return "NOTPROVIDED"
        return "".join(chance.choice(string.ascii_uppercase + string.digits) for _ in range(chance.randint(8, 20)))

    def _bank_name(self, partner: _Partner) -> str | None:
        """As a bank writes it: in capitals, without umlauts, cut off, or not at all."""
        chance, name = self._chance, partner.name
        way = chance.random()
        if way < 0.05:
            return None
        if way < 0.45:
            name = name.upper()
        if way < 0.35:
            name = name.lower().translate(_SWAPS).upper()
        if way < 0.25:
            name = " ".join(
                word
                for word in name.split()
                if word.rstrip(".").upper() not in {"GMBH", "AG", "LTD", "INC", "KG", "LLC"}
            )
        return name[:27] if way < 0.6 else name

    def _text(self, number: str, partner: _Partner) -> str:
        chance = self._chance
        way = chance.random()
        if way < 0.15:
            number = number.replace("-", " ")
        elif way < 0.25:
            number = number.replace("-", "").replace("/", "")
        elif way < 0.3:
            number = number.lower()
        day = self._day().strftime("%d.%m.%Y")
        return chance.choice(_PHRASES).format(
            number, day=day, customer=partner.number, order=chance.randint(10_000, 99_999)
        )

    def _pays(self, invoices: list[Invoice], partner: _Partner, text: str, case: str, **more: Any) -> BankTransaction:
        """`amount`, where it is not what the invoices come to; `truth`, where it is not all of them."""
        signs = {each.external_id: _sign(each) for each in invoices}
        whole = {("invoice", each.external_id): signs[each.external_id] * each.total for each in invoices}
        amount = more.pop("amount", sum(whole.values()))
        issued = max(each.issue_date or FIRST for each in invoices)
        day = more.pop("day", issued + timedelta(days=self._chance.randint(1, 40)))
        name = more.pop("name", self._bank_name(partner))
        return self._move(amount, day, text, name, more.pop("truth", whole), case, iban=partner.iban, **more)

    def _sale(
        self, partner: _Partner | None = None, amount: int | None = None, **more: Any
    ) -> tuple[Invoice, _Partner]:
        partner = partner or self._chance.choice(self._customers)
        return self._invoice(partner, amount or self._amount(), more.pop("day", self._day()), **more), partner

    # ---------------------------------------------------------------- what is not awkward

    def _plain(self) -> None:
        way = self._chance.random()
        if way < 0.70:
            invoice, partner = self._sale()
            self._pays([invoice], partner, self._text(str(invoice.number), partner), "")
        elif way < 0.92:
            partner = self._chance.choice(self._suppliers)
            bill = self._bill(partner, self._amount(), self._day())
            self._pays([bill], partner, self._text(str(bill.number), partner), "")
        elif way < 0.98:
            self._payout()
        else:
            self._payroll()

    def _payout(self) -> None:
        day, amount = self._day(), self._chance.randint(500_00, 40_000_00)
        found = Payment(
            external_id=f"po_1{''.join(self._chance.choices(string.ascii_letters + string.digits, k=20))}", type=PaymentType.PAYOUT,
            status=PaymentStatus.SUCCEEDED, source_status="paid", currency=CURRENCY, amount=-amount, fee=0, net=-amount,
            occurred_on=day, available_on=day + timedelta(days=2),
        )  # fmt: skip
        self._books.payouts.append(found)
        arrives = day + timedelta(days=self._chance.randint(2, 4))
        self._move(
            amount,
            arrives,
            "STRIPE PAYOUT",
            "Stripe Technology Europe Ltd",
            {("payment", found.external_id): amount},
            "",
        )

    def _payroll(self) -> None:
        day, net = self._day(), self._chance.randint(20_000_00, 90_000_00)
        number = len(self._books.runs) + 1
        run = PayrollRun(
            external_id=f"run-{number}", period_start=day.replace(day=1), period_end=day, pay_date=day, source_status="Posted",
            currency=CURRENCY, net=net, gross=net, employee_taxes=0, deductions=0,
        )  # fmt: skip
        self._books.runs.append(run)
        truth = {("payroll_run", run.external_id): -net}
        self._move(-net, day, self._chance.choice(("SALARIES BATCH", "LOHN/GEHALT", "Payroll")), None, truth, "")

    def _never_paid(self) -> None:
        """One invoice in ten is still open at the end of the year: what a wrong match would hit."""
        for _ in range(self._lines // 10):
            self._sale()

    # ---------------------------------------------------------------- what is

    def _part(self) -> None:
        invoice, partner = self._sale()
        amount = invoice.total * self._chance.randint(15, 85) // 100
        truth = {("invoice", invoice.external_id): amount}
        self._pays([invoice], partner, self._text(str(invoice.number), partner), "part", amount=amount, truth=truth)

    def _instalments(self) -> None:
        invoice, partner = self._sale(amount=self._chance.randint(300, 900_000))
        parts, left = self._chance.randint(2, 3), invoice.total
        for number in range(parts):
            amount = left if number == parts - 1 else invoice.total // parts
            left -= amount
            text = f"{invoice.number} {self._chance.choice(('Rate', 'part', 'instalment', ''))} {number + 1}/{parts}"
            day = (invoice.issue_date or FIRST) + timedelta(days=20 * (number + 1))
            truth = {("invoice", invoice.external_id): amount}
            self._pays([invoice], partner, text, "instalments", amount=amount, truth=truth, day=day)

    def _several(self) -> None:
        first, partner = self._sale()
        rest = [self._sale(partner, day=first.issue_date)[0] for _ in range(self._chance.randint(1, 5))]
        numbers = [str(each.number) for each in (first, *rest)]
        if self._chance.random() < 0.4:
            numbers = [numbers[0], *(number.rpartition("-")[2] for number in numbers[1:])]
        self._pays([first, *rest], partner, self._chance.choice((", ", " + ", " ", "/")).join(numbers), "several")

    def _range(self) -> None:
        first, partner = self._sale()
        rest = [self._sale(partner, day=first.issue_date)[0] for _ in range(self._chance.randint(2, 6))]
        last = str(rest[-1].number).rpartition("-")[2]
        self._pays([first, *rest], partner, f"{first.number} {self._chance.choice(('-', 'bis', 'to'))} {last}", "range")

    def _mistyped(self) -> None:
        invoice, partner = self._sale()
        number = list(str(invoice.number))
        at = self._chance.randrange(min(4, len(number) - 2), len(number))
        way = self._chance.random()
        if way < 0.6:
            number[at] = self._chance.choice(string.digits)
        elif way < 0.8:
            del number[at]
        else:
            number.insert(at, self._chance.choice(string.digits))
        self._pays([invoice], partner, self._text("".join(number), partner), "typing mistake")

    def _swapped(self) -> None:
        invoice, partner = self._sale()
        number = list(str(invoice.number))
        at = self._chance.randrange(max(len(number) - 5, 0), len(number) - 1)
        number[at], number[at + 1] = number[at + 1], number[at]
        self._pays([invoice], partner, self._text("".join(number), partner), "digits swapped")

    def _anothers(self) -> None:
        """The text has the number of any other invoice, as often of the same customer."""
        invoice, partner = self._sale()
        if self._chance.random() < 0.5:
            other = self._sale(partner, amount=self._amount())[0]
        else:
            other = self._chance.choice(
                [each for each in self._books.early if each.direction is InvoiceDirection.RECEIVABLE]
            )
        self._pays([invoice], partner, self._text(str(other.number), partner), "another's number")

    def _no_number(self) -> None:
        invoice, partner = self._sale()
        text = self._chance.choice(
            ("", "thank you", "Rechnung", f"customer {partner.number}", "Invoice as agreed", "March")
        )
        self._pays([invoice], partner, text, "no number")

    def _cut(self) -> None:
        """The bank's field ends within the number."""
        invoice, partner = self._sale()
        text = f"Payment for invoice {invoice.number}"
        self._pays([invoice], partner, text[: -self._chance.randint(1, 2)], "number cut off")

    def _broken(self) -> None:
        """A line of the bank's field ends within the number."""
        invoice, partner = self._sale()
        number = str(invoice.number)
        at = self._chance.randrange(1, len(number))
        self._pays([invoice], partner, f"Invoice {number[:at]} {number[at:]}", "number broken by the bank")

    def _last_months(self) -> None:
        """Two invoices of one price, and the text of the first payment is used again for the second."""
        first, partner = self._sale(amount=self._chance.choice(_PRICES))
        day = first.issue_date or FIRST
        second, _ = self._sale(partner, amount=first.total, day=day + timedelta(days=30))
        text = self._text(str(first.number), partner)
        self._pays([first], partner, text, "last month's number", day=day + timedelta(days=14))
        self._pays([second], partner, text, "last month's number", day=day + timedelta(days=44))

    def _payers_own(self) -> None:
        """The payer names an order of their own, whose number is that of an invoice of someone else's."""
        invoice, partner = self._sale()
        text = f"PO {self._chance.choice(self._books.early).number} {self._text(str(invoice.number), partner)}"
        self._pays([invoice], partner, text, "payer's own number")

    def _namesake(self) -> None:
        """Two customers of one name have an invoice of one price each; one of the two is named, or none is."""
        one, other = self._chance.choice(self._namesakes)
        invoice, _ = self._sale(one, amount=self._chance.choice(_PRICES))
        self._sale(other, amount=invoice.total, day=invoice.issue_date)
        text = self._chance.choice((self._text(str(invoice.number), one), "", "subscription"))
        self._pays([invoice], one, text, "two of one name")

    def _one_named(self) -> None:
        """Several are paid, and only the first is named."""
        first, partner = self._sale()
        rest = [self._sale(partner, day=first.issue_date)[0] for _ in range(self._chance.randint(1, 4))]
        text = f"{first.number} {self._chance.choice(('and others', 'etc.', 'u.a.', ''))}"
        self._pays([first, *rest], partner, text, "one of several named")

    def _equal(self) -> None:
        """Two invoices of one price to one customer, and nothing that says which is paid."""
        invoice, partner = self._sale(amount=self._chance.choice(_PRICES))
        self._sale(partner, amount=invoice.total, day=invoice.issue_date)
        self._pays(
            [invoice], partner, self._chance.choice(("", "subscription", f"customer {partner.number}")), "equal amounts"
        )

    def _fee(self) -> None:
        invoice, partner = self._sale(amount=self._chance.randint(100_00, 9_000_00))
        kept = self._chance.choice((2_50, 8_00, 15_00, 12_35))
        self._pays(
            [invoice], partner, self._text(str(invoice.number), partner), "fee, unsaid", amount=invoice.total - kept
        )

    def _fee_said(self) -> None:
        invoice, partner = self._sale(amount=self._chance.randint(100_00, 9_000_00))
        kept = self._chance.choice((2_50, 8_00, 15_00, 12_35))
        said = f"/REMI/{invoice.number}/CHGS/EUR{kept // 100},{kept % 100:02}/"
        text = self._text(str(invoice.number), partner)
        self._pays([invoice], partner, text, "fee, said", amount=invoice.total - kept, **{"86": said})

    def _too_much(self) -> None:
        invoice, partner = self._sale()
        more = self._chance.choice((1, 10, 1_00, 100_00, invoice.total // 3 + 1))
        self._pays(
            [invoice], partner, self._text(str(invoice.number), partner), "too much", amount=invoice.total + more
        )

    def _wrong_amount(self) -> None:
        """Two figures swapped when the transfer was typed in."""
        invoice, partner = self._sale(amount=self._chance.randint(100_00, 9_000_00))
        figures = list(str(invoice.total))
        at = self._chance.randrange(len(figures) - 1)
        figures[at], figures[at + 1] = figures[at + 1], figures[at]
        amount = max(int("".join(figures)), 1)
        truth = {("invoice", invoice.external_id): min(amount, invoice.total)}
        text = self._text(str(invoice.number), partner)
        self._pays([invoice], partner, text, "wrong amount", amount=amount, truth=truth)

    def _discount(self) -> None:
        """Two or three percent taken off for paying early, said or not: the invoice is paid by it."""
        invoice, partner = self._sale(amount=self._chance.randint(100_00, 9_000_00))
        percent = self._chance.choice((2, 3))
        said = self._chance.choice(("", "", f" abzgl. {percent}% Skonto", f" less {percent}%"))
        amount = invoice.total - round(invoice.total * percent / 100)
        text = self._text(str(invoice.number), partner) + said
        self._pays([invoice], partner, text, "cash discount", amount=amount)

    def _claim(self) -> None:
        """Several that are named, and less is paid than they come to."""
        first, partner = self._sale(amount=self._chance.randint(100_00, 2_000_00))
        rest = [self._sale(partner, day=first.issue_date)[0] for _ in range(self._chance.randint(1, 3))]
        amount = sum(each.total for each in (first, *rest)) - self._chance.choice((25_00, 37_80, first.total // 10))
        text = ", ".join(str(each.number) for each in (first, *rest))
        self._pays([first, *rest], partner, text, "several, less a claim", amount=amount)

    def _third_party(self) -> None:
        """A parent company or a relative pays; sometimes one who is a customer too."""
        invoice, partner = self._sale()
        other = self._chance.choice(self._customers) if self._chance.random() < 0.5 else self._partner(0)
        text = self._text(str(invoice.number), partner)
        self._pays([invoice], replace(partner, iban=other.iban), text, "third party pays", name=self._bank_name(other))

    def _twice(self) -> None:
        invoice, partner = self._sale()
        text = self._text(str(invoice.number), partner)
        first = self._pays([invoice], partner, text, "paid twice")
        again = (first.booked_on or FIRST) + timedelta(days=self._chance.randint(1, 20))
        self._pays([invoice], partner, text, "paid twice", day=again, truth={})

    def _returned(self) -> None:
        """A bill's payment comes back, and is made once more."""
        partner = self._chance.choice(self._suppliers)
        bill = self._bill(partner, self._amount(), self._day())
        first = self._pays([bill], partner, str(bill.number), "came back")
        day = first.booked_on or FIRST
        text = f"{self._chance.choice(('RETURN AC01', 'RETOURE', 'Rücküberweisung'))} {bill.number}"
        back = {("invoice", bill.external_id): bill.total}
        self._pays([bill], partner, text, "came back", amount=bill.total, truth=back, day=day + timedelta(days=2))
        self._pays([bill], partner, str(bill.number), "came back", day=day + timedelta(days=5))

    def _debit_returned(self) -> None:
        """A direct debit that we drew comes back some days later, with what the bank takes for it."""
        invoice, partner = self._sale()
        text = f"SEPA direct debit {invoice.number}"
        first = self._pays([invoice], partner, text, "debit came back with a fee")
        kept = self._chance.choice((3_00, 5_10, 9_50))
        back = f"{self._chance.choice(('RETURN MD06', 'Rücklastschrift AM04'))} {invoice.number} incl. fee EUR {kept / 100:.2f}"
        day = (first.booked_on or FIRST) + timedelta(days=self._chance.randint(1, 30))
        truth = {("invoice", invoice.external_id): -invoice.total}
        self._pays(
            [invoice], partner, back, "debit came back with a fee", amount=-invoice.total - kept, truth=truth, day=day
        )

    def _paid_out(self) -> None:
        partner = self._chance.choice(self._customers)
        credit = self._invoice(partner, self._amount(), self._day(), credit=True)
        self._pays([credit], partner, f"Refund {credit.number}", "credit note paid out")

    def _credited(self) -> None:
        invoice, partner = self._sale(amount=self._chance.randint(200_00, 5_000_00))
        credit = self._invoice(
            partner, invoice.total // self._chance.randint(3, 9), invoice.issue_date or FIRST, credit=True
        )
        text = self._chance.choice((f"{invoice.number} - {credit.number}", f"{invoice.number} less credit note"))
        self._pays([invoice, credit], partner, text, "credit note taken off")

    def _other(self) -> None:
        """Rent, cards, interest: with numbers that may be those of an invoice by chance."""
        text, name = self._chance.choice(
            (
                (f"Contract {self._chance.randint(1, 99_999):05} rent", "Property Fund"),
                (f"CARD {self._chance.randint(1_000, 9_999)} {self._day():%d.%m.%y}", "Fuel Station"),
                ("Interest", None),
                (f"Ref 2026-{self._chance.randint(1, self._issued + 1):05}", "Tax Office"),
            )
        )
        amount = self._chance.choice((*_PRICES, self._chance.randint(1_00, 2_000_00)))
        self._move(amount * self._chance.choice((-1, -1, 1)), self._day(), text, name, {}, "nothing of ours")

    def _sum(self) -> None:
        first, partner = self._sale()
        rest = [self._sale(partner, day=first.issue_date)[0] for _ in range(self._chance.randint(1, 3))]
        self._pays(
            [first, *rest],
            partner,
            self._chance.choice(("", "open invoices", "statement of account")),
            "sum without numbers",
        )

    def _many(self) -> None:
        """A customer pays what is open by a list that goes by mail, a credit note taken off."""
        first, partner = self._sale()
        day = first.issue_date or FIRST
        rest = [self._sale(partner, day=day)[0] for _ in range(self._chance.randint(6, 14))]
        credit = self._invoice(partner, min(each.total for each in (first, *rest)) // 2, day, credit=True)
        self._pays([first, *rest, credit], partner, "see remittance advice", "many without numbers")

    def _late(self) -> None:
        invoice, partner = self._sale(late=True)
        self._pays([invoice], partner, self._text(str(invoice.number), partner), "late invoice")

    def _short_bill(self) -> None:
        partner = self._chance.choice(self._suppliers)
        bill = self._bill(partner, self._amount(), self._day())
        digits = "".join(each for each in str(bill.number) if each.isdigit())
        self._pays([bill], partner, f"Rg {digits[-4:]}", "bill, last digits")


def _sign(invoice: Invoice) -> int:
    sign = 1 if invoice.direction is InvoiceDirection.RECEIVABLE else -1
    return -sign if invoice.kind is InvoiceKind.CREDIT_NOTE else sign


def _iban(chance: random.Random) -> str:
    """A German one, with its check digits (ISO 13616)."""
    number = "".join(chance.choices(string.digits, k=18))
    check = 98 - int(f"{number}131400") % 97
    return f"DE{check:02}{number}"


def by_day(known: list[Known], days: int) -> Iterator[list[Known]]:
    """As statements of so many days each."""
    first = known[0].transaction.booked_on or FIRST
    groups: dict[int, list[Known]] = {}
    for each in known:
        groups.setdefault(((each.transaction.booked_on or first) - first).days // days, []).append(each)
    for number in sorted(groups):
        yield groups[number]
