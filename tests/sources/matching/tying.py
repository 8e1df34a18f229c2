"""Random histories of a company in two currencies, and what is open beside the control accounts: on each day, to the cent."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sources.connectors.xero_accounting_payments import UNSTATED
from sources.documents import Invoice, InvoiceDirection, InvoiceKind, InvoiceStatus, Party, Payment, PaymentType
from sources.errors import LedgergraphError
from sources.ledger.model import EntryDraft, LineDraft, Posted
from sources.mapping.rates import Quote
from sources.matching import actions, open_sql
from sources.money import format_minor
from sources.pipeline import rates
from tests.sources.matching.trade import BANK, OTHER_BANK, Trade, invoice, money, statement, void
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, changed

FIRST, DAYS = date(2026, 1, 2), 60
BEFORE = CUTOVER - timedelta(days=1)
BANKS = {"EUR": BANK, "USD": OTHER_BANK}
PARTIES = ("Globex GmbH", "Hooli Inc", "Initech Ltd")


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


@dataclass(frozen=True)
class Tie:
    """Of one direction, currency and day. `items`: what is open with what parties have on account; `books`: of the control account."""

    direction: str
    currency: str
    on: date
    items: int
    unexplained: int
    books: int


async def ties(trade: Trade, first: date = BEFORE) -> list[Tie]:
    """Of every day until nothing moves any more."""
    ledger_id, last = trade.company.ledger.ledger_id, day(DAYS + 30)
    found = []
    for direction, code, sign in (("RECEIVABLE", "1100", 1), ("PAYABLE", "2000", -1)):
        rows = await trade.company.speaking.fetch(_TIES, ledger_id, direction, first, last, code, sign)
        found += [Tie(direction, row[1], row[0], int(row[2]), int(row[3]), int(row[4])) for row in rows]
    return found


_ITEMS = f"""
SELECT o.currency, o.open + o.on_account AS items, o.unexplained, 0 AS books FROM ({open_sql.on_day("$1", "$2", "days.day::date")}) AS o
UNION ALL
SELECT a.currency, a.amount, 0, 0 FROM ({open_sql.on_account("$1", "$2", "days.day::date")}) AS a
UNION ALL
SELECT l.currency, 0, 0, $6::bigint * l.amount FROM ledger.line l JOIN ledger.account a USING (ledger_id, account_id)
WHERE l.ledger_id = $1 AND a.code = $5 AND l.effective_date <= days.day"""
_TIES = f"""
SELECT days.day::date, met.currency, sum(met.items), sum(met.unexplained), sum(met.books)
FROM generate_series($3::date, $4::date, interval '1 day') AS days (day) CROSS JOIN LATERAL ({_ITEMS}) AS met
GROUP BY 1, 2 ORDER BY 1, 2"""


@dataclass
class History:
    """One seed's company. Its sources say that something is settled once they state by what."""

    trade: Trade
    chance: random.Random
    documents: list[Invoice] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    moved: list[Any] = field(default_factory=list)
    credited: set[str] = field(default_factory=set)
    allocated: dict[str, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    async def begin(self) -> None:
        """Some documents are from before the cut-over; the opening balances have what is open of them."""
        await self.trade.company.owner.execute("UPDATE ledger.account SET currency = NULL")
        quotes = [Quote("USD", "EUR", "spot", day(n), Decimal(f"0.{80 + n % 17}")) for n in range(-60, DAYS + 40)]
        await rates.set_rates(self.trade.company.speaking, quotes, "test")
        for _ in range(4):
            await self.issue(day(-self.chance.randrange(3, 40)))
        await self.trade.company.look()
        for at, each in enumerate(self.documents):
            await self._open(at, each)

    async def _open(self, at: int, each: Invoice) -> None:
        is_debit = (each.direction is InvoiceDirection.RECEIVABLE) == (each.kind is InvoiceKind.INVOICE)
        code = "1100" if each.direction is InvoiceDirection.RECEIVABLE else "2000"
        dimension = "customer" if each.direction is InvoiceDirection.RECEIVABLE else "vendor"
        amount = format_minor(each.total, 2)
        lines = [
            LineDraft(
                account=account, debit=amount if debit else None, credit=None if debit else amount, currency=each.currency,
                functional_amount=amount,
                dimensions=((dimension, each.party.external_id),) if account == code else (),
            )
            for account, debit in ((code, is_debit), ("4100", not is_debit))
        ]  # fmt: skip
        draft = EntryDraft(
            ledger=self.trade.company.ledger, idempotency_key=f"opening-{at}", effective_date=BEFORE, description="Opening",
            lines=tuple(lines), posted_by="ann",
        )  # fmt: skip
        (outcome,) = await self.trade.company.poster.post([draft])
        assert isinstance(outcome, Posted), outcome

    async def step(self, *more: str) -> str:
        name = self.chance.choice((*ACTIONS, *more))
        await getattr(self, name)()
        await self.trade.company.look()
        return name

    # ---------------------------------------------------------------- what happens

    async def issue(self, on: date | None = None, kind: InvoiceKind = InvoiceKind.INVOICE) -> None:
        number, on = next(self.numbers), on or day(self.chance.randrange(DAYS))
        direction = self.chance.choice(
            [InvoiceDirection.RECEIVABLE, InvoiceDirection.RECEIVABLE, InvoiceDirection.PAYABLE]
        )
        total = self.chance.choice((49_00, 99_00, 130_01))
        self.documents.append(
            invoice(
                f"D-2026-{number:05}", total, self.chance.choice(PARTIES), direction=direction, kind=kind, issue_date=on,
                due_date=on + timedelta(days=14), currency=self.chance.choice(("EUR", "EUR", "USD")),
            )
        )  # fmt: skip
        await self.state(self.documents[-1])

    async def note(self) -> None:
        """A credit note that nobody has set off yet."""
        await self.issue(kind=InvoiceKind.CREDIT_NOTE)

    async def credit(self) -> None:
        """A credit note that takes off one invoice, and its source says so."""
        about = self._one(lambda each: each.kind is InvoiceKind.INVOICE and each.amount_due > 30_00)
        if about is not None and about.external_id not in self.credited:
            self.credited.add(about.external_id)
            taken = changed(
                about, external_id=f"cn-{about.external_id}", number=f"CN-{about.number}", kind=InvoiceKind.CREDIT_NOTE,
                status=InvoiceStatus.PAID, total=30_00, subtotal=30_00, amount_due=0, issue_date=day(self.chance.randrange(DAYS)),
                raw={"invoice": about.external_id},
            )  # fmt: skip
            await self.state(taken)
            await self._replace(about, amount_due=about.amount_due - 30_00)

    async def pay(self) -> None:
        """By a processor, and the invoice's source states it, whole or in part, before or after the invoice's day."""
        about = self._one(
            lambda each: each.kind is InvoiceKind.INVOICE and each.direction is InvoiceDirection.RECEIVABLE
        )
        if about is not None and about.amount_due > 0:
            amount = self.chance.choice((about.amount_due, about.amount_due // 2))
            await self._pay(about.external_id, about.party, amount, about.currency)
            left = about.amount_due - amount
            await self._replace(about, amount_due=left, status=InvoiceStatus.OPEN if left else InvoiceStatus.PAID)

    async def _pay(self, of: str | None, party: Party, amount: int, currency: str, **more: Any) -> None:
        values = {
            "amount": amount,
            "fee": 0,
            "net": amount,
            "currency": currency,
            "invoice_external_id": of,
            "party": party,
        }
        on = {"occurred_on": day(self.chance.randrange(DAYS))}
        self.payments.append(Kit.payment(f"p{next(self.numbers)}", **{**values, **on, **more}))
        await self.state(self.payments[-1])

    async def prepay(self) -> None:
        """Nothing is held that it is for."""
        party = Party(name="Globex GmbH", external_id="globex-gmbh")
        await self._pay(self.chance.choice((None, "d-2026-99999")), party, 20_00, "EUR")

    async def advance(self, about: Invoice | None = None) -> None:
        """As books elsewhere state it: of a customer, or to a supplier."""
        about = about or self._one(lambda each: each.kind is InvoiceKind.INVOICE)
        if about is not None:
            sign = 1 if about.direction is InvoiceDirection.RECEIVABLE else -1
            amount = sign * self.chance.choice((20_00, 49_00, 130_01))
            await self._pay(None, about.party, amount, about.currency, bank_account=UNSTATED)

    async def allocate(self) -> None:
        """What a credit note or an advance has left goes to an invoice of its party, whole or in part: its source moves no money."""
        about = self._one(lambda each: each.kind is InvoiceKind.INVOICE and self._may_take(each))
        if about is None:
            await self.issue()
            return
        if not (givers := self._givers(about)):
            await self.advance(about)
            givers = self._givers(about)
        given = self.chance.choice(givers)
        most = min(self._left(given, about), about.amount_due)
        part = self.chance.choice((most, most, most // 2))
        self.allocated[given.external_id] = self.allocated.get(given.external_id, 0) + part
        self.allocated.setdefault(about.external_id, 0)
        await self._prepaid(about, part)
        if isinstance(given, Invoice):
            await self._prepaid(given, part)

    def _givers(self, about: Invoice) -> list[Invoice | Payment]:
        return [each for each in (*self.documents, *self.payments) if self._left(each, about) > 0]

    def _left(self, given: Invoice | Payment, about: Invoice) -> int:
        """What could go to an invoice."""
        if (given.party and given.party.external_id, given.currency) != (about.party.external_id, about.currency):
            return 0
        if isinstance(given, Invoice):
            is_note = given.kind is InvoiceKind.CREDIT_NOTE and given.direction is about.direction
            stands = given.status is InvoiceStatus.OPEN and given.issue_date >= CUTOVER
            return given.amount_due if is_note and stands else 0
        sign = 1 if about.direction is InvoiceDirection.RECEIVABLE else -1
        is_advance = given.type is PaymentType.PAYMENT and given.invoice_external_id is None
        return sign * given.amount - self.allocated.get(given.external_id, 0) if is_advance else 0

    async def _prepaid(self, about: Invoice, part: int) -> None:
        left = about.amount_due - part
        status = InvoiceStatus.OPEN if left else InvoiceStatus.PAID
        await self._replace(about, prepaid=about.prepaid + part, amount_due=left, status=status)

    async def fail(self) -> None:
        """A payment that was known did not come about after all."""
        if payments := [each for each in self.payments if each.external_id not in self.allocated]:
            paid = self.chance.choice(payments)
            about = next((each for each in self.documents if each.external_id == paid.invoice_external_id), None)
            if about is None or about.issue_date >= CUTOVER:
                self.payments.remove(paid)
                await self.trade.company.state(source="sales", gone=[("payment", paid.external_id)])
                if about is not None and about.status in (InvoiceStatus.OPEN, InvoiceStatus.PAID):
                    await self._replace(about, amount_due=about.amount_due + paid.amount, status=InvoiceStatus.OPEN)

    async def refund(self) -> None:
        """What was on account goes back."""
        party = Party(name="Globex GmbH", external_id="globex-gmbh")
        await self._pay(None, party, -5_00, "EUR", type=PaymentType.REFUND)

    async def move(self) -> None:
        """Over the bank, whole or in part; sometimes before the invoice is known."""
        about = self._one(lambda each: each.status is InvoiceStatus.OPEN)
        if about is not None:
            sign = -1 if (about.direction is InvoiceDirection.PAYABLE) != (about.kind is InvoiceKind.CREDIT_NOTE) else 1
            part = self.chance.choice((1, 1, 2, 3))
            text = f"{about.number} {'instalment' if part > 1 else ''}"
            await self._move(sign * about.total // part, text, about.party.name, about.currency)

    async def _move(self, amount: int, text: str, name: str, currency: str) -> None:
        number, on = len(self.moved), day(self.chance.randrange(DAYS))
        self.moved.append((money(f"t{number}", amount, text, name=name, day=on, currency=currency), BANKS[currency]))
        await self.trade.company.state(
            statement(f"s{number}", self.moved[-1][0], account=self.moved[-1][1]), source="bank"
        )

    async def vague(self) -> None:
        await self._move(self.chance.choice((49_00, 99_00, -49_00)), "thanks", self.chance.choice(PARTIES), "EUR")

    async def restate(self) -> None:
        """More or less, on another day, or of another party."""
        about = self._one(lambda each: each.status is InvoiceStatus.OPEN and each.issue_date >= CUTOVER)
        if about is not None:
            more = self.chance.choice((0, 7_00))
            await self._replace(
                about, total=about.total + more, subtotal=about.total + more, amount_due=about.amount_due + more,
                issue_date=day(self.chance.randrange(DAYS)),
            )  # fmt: skip

    async def void(self) -> None:
        """The source says when; or it counts from the day on which it was seen."""
        about = self._one(lambda each: self._may_go(each) and each.status is not InvoiceStatus.VOID)
        if about is not None:
            on = (
                {"raw": {"voided_on": day(self.chance.randrange(DAYS)).isoformat()}}
                if self.chance.random() < 0.7
                else {}
            )
            await self._replace(about, **void(about), **on)

    async def delete(self) -> None:
        about = self._one(self._may_go)
        if about is not None:
            self.documents.remove(about)
            await self.trade.company.state(source="sales", gone=[("invoice", about.external_id)])

    async def decide(self, name: str, status: str) -> None:
        company = self.trade.company
        query = "SELECT match_id FROM matching.match WHERE status = ANY($1::text[]) ORDER BY match_id"
        if numbers := [row[0] for row in await company.owner.fetch(query, status.split())]:
            with contextlib.suppress(LedgergraphError):
                await getattr(actions, name)(
                    company.database, company.ledger.ledger_id, self.chance.choice(numbers), by="ann"
                )

    async def promise(self) -> None:
        """Its source says that it is paid before anybody states by what, or nobody ever will."""
        about = self._one(lambda each: each.status is InvoiceStatus.OPEN and each.issue_date >= CUTOVER)
        if about is not None:
            await self._replace(about, amount_due=0, status=InvoiceStatus.PAID)

    async def confirm(self) -> None:
        await self.decide("confirm", "PROPOSED")

    async def unmatch(self) -> None:
        await self.decide("unmatch", "CERTAIN CONFIRMED")

    # ----------------------------------------------------------------

    async def state(self, document: Any) -> None:
        await self.trade.company.state(document, source="sales")

    async def _replace(self, about: Invoice, **more: Any) -> None:
        at = self.documents.index(about)
        self.documents[at] = changed(about, **more)
        await self.state(self.documents[at])

    def _may_go(self, each: Invoice) -> bool:
        """No source lets go of what something was set off against."""
        return each.issue_date >= CUTOVER and not {each.external_id} & (self.credited | self.allocated.keys())

    def _may_take(self, each: Invoice) -> bool:
        return each.issue_date >= CUTOVER and each.status is InvoiceStatus.OPEN and each.amount_due > 0

    def _one(self, fits: Any) -> Invoice | None:
        found = [each for each in self.documents if fits(each)]
        return self.chance.choice(found) if found else None


ACTIONS = (
    "issue", "issue", "note", "credit", "pay", "pay", "prepay", "advance", "allocate", "allocate", "fail", "refund", "move", "move", "move", "vague", "restate", "void",
    "void", "delete", "confirm", "confirm", "unmatch",
)  # fmt: skip
