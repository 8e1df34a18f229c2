"""Random lives of documents, and a model of what the rules make of them: written beside the rules below, not from the product.

A history is what a source states of one document: created, changed, void, deleted, stated again, an older version after a newer
one, two versions at once. What it stated last counts. A payment in euro settles an invoice, before or after that is stated, at the
rate of its day; the rates come late.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from sources.documents import Document, Invoice, InvoiceDirection, InvoiceStatus, Payment, PaymentStatus
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, rules

RULES = (
    rules()
    + """
[[rules]]
name = "received"
kind = "payment"
when = { status = ["SUCCEEDED"] }
  [[rules.postings]]
  name = "received"
  date = "occurred_on"
  description = "Payment {external_id}"
  lines = [
    { account = "1000", debit = "net" },
    { account = "expense", debit = "fee" },
    { account = "receivable", credit = "amount", rate_on = "settles.issue_date or occurred_on" },
  ]

[[rules]]
name = "not-received"
kind = "payment"
when = { status = ["PENDING", "FAILED", "CANCELED"] }
postings = []
"""
)

Paper = Invoice | Payment
Name = tuple[str, str]
"""Kind and external id."""


@dataclass(frozen=True)
class Wanted:
    """A posting that the rules call for: functional amounts by account, none of them zero."""

    name: str
    day: date
    nets: tuple[tuple[str, int], ...]


def rate(day: date) -> int:
    """Dollars for a euro."""
    return 2 + day.toordinal() % 2


def wanted(paper: Paper, settled_on: date | None = None) -> list[Wanted]:
    """What the rules call for of a version that is not deleted. `settled_on`: of a payment, the day of its invoice."""
    found = [each for each in _called_for(paper, settled_on) if each.day >= CUTOVER]
    return [replace(each, nets=tuple(sorted((code, net) for code, net in each.nets if net))) for each in found]


def _called_for(paper: Paper, settled_on: date | None) -> Iterator[Wanted]:
    if isinstance(paper, Payment):
        if paper.status is PaymentStatus.SUCCEEDED:
            assert paper.occurred_on is not None
            fee, day = paper.fee or 0, paper.occurred_on
            now, then = (1, 1) if paper.currency == "USD" else (rate(day), rate(settled_on or day))
            money = (paper.amount - fee) * now
            nets = (
                ("1000", money),
                ("6000", fee * now),
                ("1100", -paper.amount * then),
                ("7000", paper.amount * (then - now)),
            )
            yield Wanted("received", paper.occurred_on, nets)
        return
    if paper.status not in (InvoiceStatus.OPEN, InvoiceStatus.PAID):
        return
    assert paper.issue_date is not None
    assert paper.subtotal is not None
    assert paper.tax is not None
    subtotal, tax, total = paper.subtotal, paper.tax, paper.total
    if paper.direction is InvoiceDirection.PAYABLE:
        yield Wanted("bill", paper.issue_date, (("6000", subtotal), ("1700", tax), ("2000", -total)))
        return
    yield Wanted("invoice", paper.issue_date, (("1100", total), ("4000", -subtotal), ("1700", -tax)))
    if paper.status is InvoiceStatus.PAID:
        yield Wanted("settled", paper.due_date or paper.issue_date, (("1000", total), ("1100", -total)))


@dataclass
class History:
    """One document. `now`: what was stated last, None: that it is gone, or nothing yet."""

    kind: str
    external_id: str
    now: Paper | None = None
    stated: list[Paper] = field(default_factory=list)

    @property
    def name(self) -> Name:
        return self.kind, self.external_id


@dataclass
class Histories:
    """Many at a time, all from one seed."""

    seed: int
    count: int
    chance: random.Random = field(init=False)
    all: list[History] = field(init=False)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        kinds = ["invoice", "invoice", "invoice", "payment"]
        self.all = [History(self.chance.choice(kinds), f"d{number}") for number in range(self.count)]

    def page(self, share: float) -> tuple[list[Document], list[Name]]:
        """What the source states next, of so many of them: versions in order, and what is gone."""
        documents: list[Document] = []
        gone: list[Name] = []
        for history in self.all:
            if self.chance.random() > share:
                continue
            if history.now is not None and self.chance.random() < 0.15:
                history.now = None
                gone.append(history.name)
                continue
            versions = [self._version(history) for _ in range(self.chance.choice([1, 1, 1, 2]))]
            documents += versions
            history.stated += versions
            history.now = versions[-1]
        self.chance.shuffle(gone)
        return documents, gone

    def mend(self) -> tuple[list[Document], list[Name]]:
        """The last page: what no rule takes is corrected, and everything is stated once more."""
        for history in self.all:
            if isinstance(history.now, Invoice) and history.now.status is InvoiceStatus.UNKNOWN:
                history.now = replace(history.now, status=InvoiceStatus.OPEN)
        documents: list[Document] = [history.now for history in self.all if history.now is not None]
        return documents, [history.name for history in self.all if history.now is None and history.stated]

    def _version(self, history: History) -> Paper:
        """A new one, the same again, or one of before."""
        roll = self.chance.random()
        if history.stated and roll < 0.1:
            return history.stated[-1]
        if history.stated and roll < 0.3:
            return self.chance.choice(history.stated)
        return self._payment(history) if history.kind == "payment" else self._invoice(history)

    def _invoice(self, history: History) -> Invoice:
        subtotal, tax, day = self.chance.choice([0, 100, 200, 300]), self.chance.choice([0, 19]), self._day()
        statuses = [InvoiceStatus.OPEN] * 5 + [InvoiceStatus.PAID] * 3 + [InvoiceStatus.VOID] * 2
        earlier = [each.direction for each in history.stated if isinstance(each, Invoice)]
        direction = earlier[0] if earlier else self.chance.choice(list(InvoiceDirection))
        return Kit.invoice(
            history.external_id,
            direction=direction,
            status=self.chance.choice([*statuses, InvoiceStatus.DRAFT, InvoiceStatus.UNKNOWN]),
            issue_date=day,
            due_date=day + timedelta(days=30),
            subtotal=subtotal + 1,
            tax=tax,
            total=subtotal + 1 + tax,
            number=self.chance.choice([None, f"N {history.external_id}"]),
        )

    def _payment(self, history: History) -> Payment:
        amount, fee = self.chance.choice([100, 250, -40]), self.chance.choice([0, 3])
        statuses = [PaymentStatus.SUCCEEDED] * 4 + [PaymentStatus.PENDING, PaymentStatus.FAILED]
        return Kit.payment(
            history.external_id, status=self.chance.choice(statuses), amount=amount, fee=fee, net=amount - fee,
            occurred_on=self._day(), currency=self.chance.choice(["USD", "EUR"]),
            invoice_external_id=self.chance.choice([None, f"d{self.chance.randrange(self.count)}"]),
        )  # fmt: skip

    def _day(self) -> date:
        return CUTOVER + timedelta(days=self.chance.randrange(-20, 90))

    # ---------------------------------------------------------------- what the rules say

    def wanted(self) -> dict[Name, list[Wanted]]:
        """By document, of the versions stated last; documents that call for nothing are left out."""
        found = {each.name: wanted(each.now, self._settled_on(each.now)) for each in self.all if each.now is not None}
        return {name: sorted(postings, key=lambda each: each.name) for name, postings in found.items() if postings}

    def _settled_on(self, paper: Paper) -> date | None:
        """The day of the invoice that a payment settles, gone or not; None: it was never stated."""
        if isinstance(paper, Invoice) or paper.invoice_external_id is None:
            return None
        invoice = self.all[int(paper.invoice_external_id[1:])]
        newest = invoice.stated[-1] if invoice.stated else None
        return newest.issue_date if isinstance(newest, Invoice) else None

    def nets(self) -> dict[str, int]:
        """Of the whole ledger, by account."""
        return nets_of([each for postings in self.wanted().values() for each in postings])


def nets_of(postings: Sequence[Wanted]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in postings:
        for code, net in each.nets:
            total[code] += net
    return {code: net for code, net in total.items() if net}
