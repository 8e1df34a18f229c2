"""A year of Acme's books: seeded, deterministic, in order of date. Pure: nothing is posted here.

Every entry has a key of its own, so that posting them all again, or going on after an interruption, posts nothing twice.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta

from gateway.demo.bookkeeper import BookItem, Bookkeeper, ReversalOf, line
from gateway.demo.company import CUSTOMERS, STAFF, SUPPLIERS, Entity
from sources.ledger.model import EntryDraft, LedgerRef, LineDraft

DAYS = 365


def year_of_books(entity: Entity, ledger: LedgerRef, through: date, seed: int) -> Iterator[BookItem]:
    """Some 10,000 entries of the 365 days that end with `through`. A reversal comes after its original."""
    return _Books(entity, ledger, through - timedelta(days=DAYS - 1), random.Random(f"{seed}:{entity.code}")).all()  # noqa: S311


class _Books(Bookkeeper):
    def all(self) -> Iterator[BookItem]:
        yield from self._opening()
        for offset in range(DAYS):
            day = self._first + timedelta(days=offset)
            yield from self._due_on(day)
            if day.weekday() < 5:
                yield from self._business(day)
            yield from self._calendar(day)

    # ---- a day of business

    def _opening(self) -> Iterator[BookItem]:
        capital, loan = 150_000_000, 60_000_000
        lines = (self._own("1110", capital + loan), self._own("3100", -capital), self._own("2500", -loan))
        yield self._entry("GENERAL", self._first, "Opening balances", *lines)
        lines = (self._own("1510", 18_000_000), self._own("1520", 6_000_000), self._own("1110", -24_000_000))
        yield self._entry("GENERAL", self._first, "Equipment and furniture", *lines)

    def _business(self, day: date) -> Iterator[BookItem]:
        chance = self._chance
        for currency, price in self._prices.items():
            self._prices[currency] = max(1, round(price * (1 + chance.gauss(0, 0.003)))) if price > 1_000 else price
        for _ in range(chance.randint(9, 15)):
            yield from self._sale(day)
        for _ in range(chance.randint(0, 3)):
            yield from self._sale_abroad(day)
        for _ in range(chance.randint(3, 6)):
            yield from self._bill(day)
        if chance.random() < 0.5:
            yield from self._bill_abroad(day)
        for _ in range(chance.randint(1, 4)):
            yield self._card(day)

    def _sale(self, day: date) -> Iterator[BookItem]:
        account = self._chance.choice(("4100", "4100", "4200", "4300"))
        net = self._some(8_000, 900_000)
        tax = self._tax(net)
        self._tax_due[0] += tax
        customer, number = self._chance.choice(CUSTOMERS), f"INV-{self._number:06}"
        yield self._entry(
            "SALES",
            day,
            f"Invoice to {customer}",
            self._own("1210", net + tax),
            self._own(account, -net, ("department", "sales")),
            self._own("2210", -tax),
            document=number,
        )
        if self._chance.random() < 0.97:
            paid = day + timedelta(days=self._chance.randint(1, 45))
            self._later(paid, lambda when: self._receipt(when, customer, net + tax, number))

    def _receipt(self, day: date, customer: str, gross: int, number: str) -> Iterator[BookItem]:
        fee = round(gross * 0.015) if self._chance.random() < 0.3 else 0
        lines = [self._own("1110", gross - fee), self._own("1210", -gross)]
        if fee:
            lines.insert(1, self._own("5400", fee, ("department", "sales")))
        yield self._entry("BANK", day, f"Payment from {customer}", *lines, document=number)

    def _sale_abroad(self, day: date) -> Iterator[BookItem]:
        currency = self._chance.choice(list(self._prices))
        minor = self._some(20_000, 1_500_000)
        functional = self._functional(minor, currency)
        customer, number = self._chance.choice(CUSTOMERS), f"INV-{self._number:06}"
        lines = (
            self._abroad("1220", minor, currency, functional),
            self._abroad("4100", -minor, currency, -functional),
        )
        yield self._entry("SALES", day, f"Invoice to {customer} abroad", *lines, document=number)
        if currency == self._entity.foreign_bank:
            paid = day + timedelta(days=self._chance.randint(5, 50))
            self._later(paid, lambda when: self._receipt_abroad(when, customer, minor, functional, number))

    def _receipt_abroad(self, day: date, customer: str, minor: int, booked: int, number: str) -> Iterator[BookItem]:
        currency = self._entity.foreign_bank
        worth = self._functional(minor, currency)
        self._bank_abroad[0] += minor
        self._bank_abroad[1] += worth
        lines = [self._abroad("1130", minor, currency, worth), self._abroad("1220", -minor, currency, -booked)]
        lines += self._difference(worth - booked)
        yield self._entry("BANK", day, f"Payment from {customer} abroad", *lines, document=number)

    def _difference(self, gain: int) -> list[LineDraft]:
        """The line that closes a gain or a loss on currencies."""
        return [self._own("4800" if gain > 0 else "7400", -gain)] if gain else []

    def _bill(self, day: date) -> Iterator[BookItem]:
        supplier, account = self._chance.choice(list(SUPPLIERS.items()))
        net = self._some(5_000, 350_000)
        tax = self._tax(net)
        self._tax_due[1] += tax
        number = f"BILL-{self._number:06}"
        entry = self._entry(
            "PURCHASES",
            day,
            f"Bill from {supplier}",
            self._own(account, net, self._department()),
            self._own("1600", tax),
            self._own("2110", -net - tax),
            document=number,
        )
        yield entry
        if self._chance.random() < 0.01:
            self._later(day + timedelta(days=2), lambda when: self._mistake(when, entry))
        else:
            self._later(day + timedelta(days=30), lambda when: self._payment(when, supplier, net + tax, number))

    def _mistake(self, day: date, entry: EntryDraft) -> Iterator[BookItem]:
        yield ReversalOf(
            idempotency_key=self._key(),
            original=entry.idempotency_key,
            effective_date=day,
            description=f"Booked twice: {entry.description}",
        )

    def _payment(self, day: date, supplier: str, gross: int, number: str) -> Iterator[BookItem]:
        lines = (self._own("2110", gross), self._own("1110", -gross))
        yield self._entry("BANK", day, f"Payment to {supplier}", *lines, document=number)

    def _bill_abroad(self, day: date) -> Iterator[BookItem]:
        currency = self._chance.choice(list(self._prices))
        minor = self._some(10_000, 200_000)
        worth = self._functional(minor, currency)
        supplier = self._chance.choice(list(SUPPLIERS))
        expense = line(
            SUPPLIERS[supplier], minor, currency, worth, self._entity.currency, dimensions=(self._department(),)
        )
        payable = self._abroad("2120", -minor, currency, -worth)
        number = f"BILL-{self._number:06}"
        yield self._entry("PURCHASES", day, f"Bill from {supplier} abroad", expense, payable, document=number)
        paid = day + timedelta(days=self._chance.randint(10, 40))
        self._later(paid, lambda when: self._payment_abroad(when, supplier, currency, minor, worth, number))

    def _payment_abroad(
        self, day: date, supplier: str, currency: str, minor: int, booked: int, number: str
    ) -> Iterator[BookItem]:
        worth = self._functional(minor, currency)
        lines = [self._abroad("2120", minor, currency, booked), self._own("1110", -worth)]
        lines += self._difference(booked - worth)
        yield self._entry("BANK", day, f"Payment to {supplier} abroad", *lines, document=number)

    def _card(self, day: date) -> EntryDraft:
        account, text = self._chance.choice((("6400", "Taxi and train"), ("6310", "Supplies"), ("6320", "Mobile plan")))
        amount = self._some(600, 40_000)
        return self._entry(
            "BANK", day, text, self._own(account, amount, self._department()), self._own("1110", -amount)
        )

    # ---- what the calendar brings

    def _calendar(self, day: date) -> Iterator[BookItem]:
        if day.day == 1:
            yield from self._first_of_month(day)
        if day.day == 10:
            yield from self._tax_return(day)
        if day.day == 25:
            yield from self._payroll(day)
        if (day + timedelta(days=1)).day == 1:
            yield from self._month_end(day)

    def _first_of_month(self, day: date) -> Iterator[BookItem]:
        rent = [self._own("6200", 160_000 * STAFF[name], ("department", name)) for name in self.departments]
        yield self._entry("PURCHASES", day, "Rent", *rent, self._own("1110", -160_000 * sum(STAFF.values())))
        yield self._entry("BANK", day, "Insurance", self._own("6700", 210_000), self._own("1110", -210_000))
        yield self._entry("BANK", day, "Loan: interest", self._own("7200", 250_000), self._own("1110", -250_000))

    def _tax_return(self, day: date) -> Iterator[BookItem]:
        collected, recoverable = self._tax_due
        self._tax_due = [0, 0]
        if collected or recoverable:
            lines = [self._own("2210", collected), self._own("1600", -recoverable)]
            lines.append(self._own("1110", recoverable - collected))
            yield self._entry("BANK", day, f"{self._entity.tax_name}: return", *lines)

    def _payroll(self, day: date) -> Iterator[BookItem]:
        gross = {
            name: sum(self._chance.randint(420_000, 780_000) for _ in range(STAFF[name])) for name in self.departments
        }
        total = sum(gross.values())
        taxes, pensions, charges = total * 24 // 100, total * 5 // 100, {n: pay * 9 // 100 for n, pay in gross.items()}
        net = total - taxes - pensions
        lines = [self._own("6100", pay, ("department", name)) for name, pay in gross.items()]
        lines += [self._own("6110", cost, ("department", name)) for name, cost in charges.items()]
        lines += [
            self._own("2310", -net),
            self._own("2320", -pensions),
            self._own("2220", -taxes - sum(charges.values())),
        ]
        yield self._entry("PAYROLL", day, f"Payroll {day:%B %Y}", *lines)
        yield self._entry("BANK", day, "To the payroll account", self._own("1120", net), self._own("1110", -net))
        yield self._entry("PAYROLL", day, "Wages paid", self._own("2310", net), self._own("1120", -net))
        owed = taxes + sum(charges.values())
        lines = [self._own("2220", owed), self._own("2320", pensions), self._own("1110", -owed - pensions)]
        yield self._entry("BANK", day, "Payroll taxes and pensions", *lines)

    def _month_end(self, day: date) -> Iterator[BookItem]:
        yield self._entry("GENERAL", day, "Depreciation", self._own("6800", 400_000), self._own("1590", -400_000))
        fee = self._some(4_000, 12_000)
        yield self._entry("BANK", day, "Bank fees", self._own("6900", fee), self._own("1110", -fee))
        cost = self._some(100_000, 600_000)
        accrual = self._entry(
            "GENERAL",
            day,
            "Accrued utilities",
            self._own("6210", cost, ("department", "operations")),
            self._own("2410", -cost),
        )
        yield accrual
        self._later(day + timedelta(days=1), lambda when: self._release(when, accrual))
        yield from self._revaluation(day)

    def _release(self, day: date, accrual: EntryDraft) -> Iterator[BookItem]:
        yield ReversalOf(
            idempotency_key=self._key(),
            original=accrual.idempotency_key,
            effective_date=day,
            description="Accrual released",
        )

    def _revaluation(self, day: date) -> Iterator[BookItem]:
        currency = self._entity.foreign_bank
        gain = self._functional(self._bank_abroad[0], currency) - self._bank_abroad[1]
        if gain:
            self._bank_abroad[1] += gain
            lines = [self._abroad("1130", 0, currency, gain), *self._difference(gain)]
            yield self._entry("FX", day, f"Revaluation of the {currency} account", *lines)
