"""Awkward by who pays and when: others than the customer, twice, what comes back, what is not ours, invoices that are late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from benchmarks.bankbooks.desk import PRICES, Desk
from benchmarks.bankbooks.model import FIRST
from benchmarks.bankbooks.parties import partner as new_partner


def third_party(desk: Desk) -> None:
    """A parent company or a relative pays; sometimes one who is a customer too."""
    invoice, partner = desk.sale()
    other = desk.chance.choice(desk.customers) if desk.chance.random() < 0.5 else new_partner(desk.chance, 0)
    text = desk.text(str(invoice.number), partner)
    desk.pays([invoice], replace(partner, iban=other.iban), text, "third party pays", name=desk.bank_name(other))


def twice(desk: Desk) -> None:
    """The second payment is about nothing that is open."""
    invoice, partner = desk.sale()
    text = desk.text(str(invoice.number), partner)
    first = desk.pays([invoice], partner, text, "paid twice")
    again = (first.booked_on or FIRST) + timedelta(days=desk.chance.randint(1, 20))
    desk.pays([invoice], partner, text, "paid twice", day=again, truth={})


def returned(desk: Desk) -> None:
    """A bill's payment comes back, and is made once more."""
    partner = desk.chance.choice(desk.suppliers)
    bill = desk.bill(partner, desk.amount(), desk.day())
    first = desk.pays([bill], partner, str(bill.number), "came back")
    day = first.booked_on or FIRST
    text = f"{desk.chance.choice(('RETURN AC01', 'RETOURE', 'Rücküberweisung'))} {bill.number}"
    back = {("invoice", bill.external_id): bill.total}
    desk.pays([bill], partner, text, "came back", amount=bill.total, truth=back, day=day + timedelta(days=2))
    desk.pays([bill], partner, str(bill.number), "came back", day=day + timedelta(days=5))


def debit_returned(desk: Desk) -> None:
    """A direct debit that we drew comes back some days later, with what the bank takes for it."""
    invoice, partner = desk.sale()
    text = f"SEPA direct debit {invoice.number}"
    first = desk.pays([invoice], partner, text, "debit came back with a fee")
    kept = desk.chance.choice((3_00, 5_10, 9_50))
    back = (
        f"{desk.chance.choice(('RETURN MD06', 'Rücklastschrift AM04'))} {invoice.number} incl. fee EUR {kept / 100:.2f}"
    )
    day = (first.booked_on or FIRST) + timedelta(days=desk.chance.randint(1, 30))
    truth = {("invoice", invoice.external_id): -invoice.total}
    desk.pays(
        [invoice], partner, back, "debit came back with a fee", amount=-invoice.total - kept, truth=truth, day=day
    )


def other(desk: Desk) -> None:
    """Rent, cards, interest: with numbers that may be those of an invoice by chance."""
    text, name = desk.chance.choice(
        (
            (f"Contract {desk.chance.randint(1, 99_999):05} rent", "Property Fund"),
            (f"CARD {desk.chance.randint(1_000, 9_999)} {desk.day():%d.%m.%y}", "Fuel Station"),
            ("Interest", None),
            (f"Ref 2026-{desk.chance.randint(1, desk.issued + 1):05}", "Tax Office"),
        )
    )
    amount = desk.chance.choice((*PRICES, desk.chance.randint(1_00, 2_000_00)))
    desk.move(amount * desk.chance.choice((-1, -1, 1)), desk.day(), text, name, {}, "nothing of ours")


def late(desk: Desk) -> None:
    """The invoice is stated only after the money came."""
    invoice, partner = desk.sale(late=True)
    desk.pays([invoice], partner, desk.text(str(invoice.number), partner), "late invoice")
