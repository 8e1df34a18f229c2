"""What Acme Inc. has at its invented Stripe account: customers, a year of invoices, some credit notes, the charges that paid them
and weekly payouts of those, and the events of all.

Everything follows from the seed and the day. Objects have the shape of API version 2025-03-31; amounts are Stripe's minor units.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from gateway.demo.company import CUSTOMERS
from gateway.demo.servers.stripe_money import StripeMoney

Object = dict[str, Any]

DAY = 86_400
EVENT_DAYS = 30

_PLANS = (("Starter plan", 4_900), ("Team plan", 19_900), ("Business plan", 49_900), ("Enterprise plan", 149_900))
_EXTRAS = (
    ("Onboarding workshop", 150_000),
    ("Data migration", 275_000),
    ("Priority support", 35_000),
    ("API calls", 12),
)
_STATUSES = ("paid",) * 74 + ("open",) * 12 + ("void",) * 8 + ("uncollectible",) * 6


@dataclass(slots=True)
class StripeCompany:
    """The account's objects by id, newest last. Methods change them as Stripe would, and record the event."""

    seed: int
    customers: dict[str, Object] = field(default_factory=dict)
    invoices: dict[str, Object] = field(default_factory=dict)
    credit_notes: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    numbers: int = 0
    money: StripeMoney = field(init=False)

    def __post_init__(self) -> None:
        self.money = StripeMoney(self.seed, self.record)

    def token(self, prefix: str, length: int = 14) -> str:
        """An id in Stripe's form, the same for one seed and one order of calls."""
        self.numbers += 1
        letters = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz"
        chance = random.Random(f"{self.seed}:{self.numbers}")  # noqa: S311
        return f"{prefix}_{''.join(chance.choices(letters, k=length))}"

    def record(self, kind: str, subject: Object, at: int) -> None:
        """Adds an event with a copy of its object."""
        event_id = self.token("evt", 24)
        event = {"id": event_id, "object": "event", "api_version": "2025-03-31.basil", "created": at, "livemode": False}
        self.events.append({**event, "type": kind, "data": {"object": dict(subject)}, "pending_webhooks": 0})

    def add_customer(self, name: str, at: int, tax_exempt: bool) -> Object:
        customer_id = self.token("cus")
        slug = name.lower().replace(" ", "")
        customer = {
            "id": customer_id,
            "object": "customer",
            "created": at,
            "currency": "usd",
            "email": f"billing@{slug}.example",
            "name": name,
            "balance": 0,
            "livemode": False,
            "metadata": {},
            "tax_exempt": "exempt" if tax_exempt else "none",
        }
        self.customers[customer_id] = customer
        return customer

    def add_invoice(self, customer: Object, at: int, lines: list[tuple[str, int, int]], *, tax_permille: int) -> Object:
        """A draft. `lines`: description, quantity, price of one in cents; each is for the month that starts at `at`."""
        invoice_id = self.token("in", 24)
        items = [self._line(invoice_id, line, at, tax_permille) for line in lines]
        subtotal = sum(item["amount"] for item in items)
        taxes = _total_taxes(items)
        total = subtotal + sum(tax["amount"] for tax in taxes)
        invoice = {
            "id": invoice_id,
            "object": "invoice",
            "amount_due": total,
            "amount_paid": 0,
            "amount_remaining": total,
            "amount_shipping": 0,
            "collection_method": "send_invoice",
            "created": at,
            "currency": "usd",
            "customer": customer["id"],
            "customer_email": customer["email"],
            "customer_name": customer["name"],
            "customer_tax_ids": [],
            "due_date": None,
            "effective_at": None,
            "hosted_invoice_url": None,
            "lines": {"object": "list", "data": items, "has_more": False, "url": f"/v1/invoices/{invoice_id}/lines"},
            "livemode": False,
            "metadata": {},
            "number": None,
            "post_payment_credit_notes_amount": 0,
            "pre_payment_credit_notes_amount": 0,
            "starting_balance": 0,
            "status": "draft",
            "status_transitions": dict.fromkeys(("finalized_at", "marked_uncollectible_at", "paid_at", "voided_at")),
            "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal,
            "total": total,
            "total_discount_amounts": [],
            "total_excluding_tax": subtotal,
            "total_taxes": taxes,
        }
        self.invoices[invoice_id] = invoice
        self.record("invoice.created", invoice, at)
        return invoice

    def _line(self, invoice_id: str, line: tuple[str, int, int], at: int, tax_permille: int) -> Object:
        description, quantity, price = line
        amount = quantity * price
        start = datetime.fromtimestamp(at, UTC).replace(day=1, hour=0, minute=0, second=0)
        end = (start + timedelta(days=31)).replace(day=1)
        tax = {
            "amount": round(amount * tax_permille / 1_000),
            "tax_behavior": "exclusive",
            "tax_rate_details": {"tax_rate": f"txr_sales{tax_permille}"},
            "taxability_reason": "standard_rated",
            "taxable_amount": amount,
            "type": "tax_rate_details",
        }
        return {
            "id": self.token("il", 24),
            "object": "line_item",
            "amount": amount,
            "currency": "usd",
            "description": description,
            "discount_amounts": [],
            "invoice": invoice_id,
            "livemode": False,
            "metadata": {},
            "period": {"start": int(start.timestamp()), "end": int(end.timestamp())},
            "quantity": quantity,
            "taxes": [tax] if tax_permille else [],
        }

    def finalize(self, invoice: Object, at: int) -> None:
        """A draft becomes open: it gets its number, its date and, in 30 days, its due date."""
        invoice["number"] = f"ACME-{sum(1 for each in self.invoices.values() if each['number']) + 1:04}"
        invoice["due_date"] = at + 30 * DAY
        invoice["effective_at"] = at
        self._move(invoice, "open", "finalized_at", at)
        self.record("invoice.finalized", invoice, at)

    def pay(self, invoice: Object, at: int) -> None:
        invoice["amount_paid"] = invoice["amount_due"]
        invoice["amount_remaining"] = 0
        if invoice["amount_due"]:
            customer = self.customers[invoice["customer"]]
            self.money.charge(invoice["amount_due"], at, customer, invoice)
        self._move(invoice, "paid", "paid_at", at)
        self.record("invoice.paid", invoice, at)

    def void(self, invoice: Object, at: int) -> None:
        self._move(invoice, "void", "voided_at", at)
        self.record("invoice.voided", invoice, at)

    def mark_uncollectible(self, invoice: Object, at: int) -> None:
        self._move(invoice, "uncollectible", "marked_uncollectible_at", at)
        self.record("invoice.marked_uncollectible", invoice, at)

    def delete(self, invoice: Object, at: int) -> None:
        """Drafts alone can be deleted."""
        del self.invoices[invoice["id"]]
        self.record("invoice.deleted", invoice, at)

    def add_credit_note(self, invoice: Object, at: int) -> Object:
        """Credits the first line of a paid invoice to the customer's balance."""
        line = invoice["lines"]["data"][0]
        tax = sum(each["amount"] for each in line["taxes"])
        credit_id, total = self.token("cn", 24), line["amount"] + tax
        item = {"id": self.token("cnli", 24), "object": "credit_note_line_item", "type": "invoice_line_item"}
        item |= {key: line[key] for key in ("amount", "description", "quantity", "taxes", "discount_amounts")}
        note = {
            "id": credit_id,
            "object": "credit_note",
            "amount": total,
            "created": at,
            "currency": "usd",
            "customer": invoice["customer"],
            "effective_at": at,
            "invoice": invoice["id"],
            "lines": {
                "object": "list",
                "data": [item],
                "has_more": False,
                "url": f"/v1/credit_notes/{credit_id}/lines",
            },
            "livemode": False,
            "number": f"{invoice['number']}-CN-01",
            "reason": "order_change",
            "status": "issued",
            "subtotal": line["amount"],
            "total": total,
            "total_excluding_tax": line["amount"],
            "total_taxes": line["taxes"],
            "type": "post_payment",
            "voided_at": None,
        }
        self.credit_notes[credit_id] = note
        invoice["post_payment_credit_notes_amount"] += total
        self.record("credit_note.created", note, at)
        return note

    def rename_customer(self, customer: Object, name: str, at: int) -> None:
        """Drafts follow their customer's name; issued invoices keep it."""
        customer["name"] = name
        for invoice in self.invoices.values():
            if invoice["customer"] == customer["id"] and invoice["status"] == "draft":
                invoice["customer_name"] = name
        self.record("customer.updated", customer, at)

    def _move(self, invoice: Object, status: str, transition: str, at: int) -> None:
        invoice["status"] = status
        invoice["status_transitions"] = {**invoice["status_transitions"], transition: at}


def make_company(seed: int, today: date, count: int = 120) -> StripeCompany:
    """An account with `count` invoices of the year that ends yesterday, three of them drafts of the last two days, and events
    of the last 30 days."""
    company = StripeCompany(seed)
    chance = random.Random(seed)  # noqa: S311
    midnight = int(datetime.combine(today, time(), UTC).timestamp())
    names = chance.sample(CUSTOMERS, 18)
    customers = [company.add_customer(name, midnight - 400 * DAY, index % 6 == 0) for index, name in enumerate(names)]
    moments = sorted(midnight - chance.randrange(4 * DAY, 365 * DAY) for _ in range(count - 3))
    moments += sorted(midnight - chance.randrange(3_600, 2 * DAY) for _ in range(3))
    for created in moments:
        customer = chance.choice(customers)
        tax_permille = 0 if customer["tax_exempt"] == "exempt" else 82
        invoice = company.add_invoice(customer, created, some_lines(chance), tax_permille=tax_permille)
        _age(company, invoice, created, chance, midnight)
    for week in range(52, -1, -1):
        payout = company.money.pay_out(midnight - week * 7 * DAY)
        if payout is not None and week:
            company.money.arrive(payout, payout["arrival_date"])
    company.events.sort(key=lambda event: event["created"])
    company.events = [event for event in company.events if event["created"] >= midnight - EVENT_DAYS * DAY]
    return company


def some_lines(chance: random.Random) -> list[tuple[str, int, int]]:
    """An invoice's lines: one plan, some extras, and now and then more lines than Stripe puts into an invoice object."""
    lines = [(description, chance.randint(1, 25), price) for description, price in chance.sample(_PLANS, 1)]
    for description, price in chance.sample(_EXTRAS, chance.randrange(3)):
        lines.append((description, chance.randint(800, 9_000) if price < 100 else 1, price))
    if chance.random() < 0.03:
        lines += [(f"Storage of project {number}", chance.randint(1, 40), 250) for number in range(1, 13)]
    return lines


def _age(company: StripeCompany, invoice: Object, created: int, chance: random.Random, midnight: int) -> None:
    """What happened to an invoice since: old ones are settled, drafts are from the last days."""
    age = (midnight - created) // DAY
    status = chance.choice(_STATUSES)
    if age <= 2:
        return
    company.finalize(invoice, created + 3_600)
    later = min(created + chance.randint(2, 45) * DAY, midnight - 3_600)
    if status == "paid" and later > created + DAY:
        company.pay(invoice, later)
        if chance.random() < 0.05:
            company.add_credit_note(invoice, min(later + 2 * DAY, midnight - 1_800))
    elif status == "void":
        company.void(invoice, later)
    elif status == "uncollectible" and age > 120:
        company.mark_uncollectible(invoice, later)


def _total_taxes(items: list[Object]) -> list[Object]:
    """The taxes of all lines, added up by rate."""
    totals: dict[str, Object] = {}
    for tax in (tax for item in items for tax in item["taxes"]):
        total = totals.setdefault(tax["tax_rate_details"]["tax_rate"], {**tax, "amount": 0, "taxable_amount": 0})
        total["amount"] += tax["amount"]
        total["taxable_amount"] += tax["taxable_amount"]
    return list(totals.values())
