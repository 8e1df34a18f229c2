"""Awkward by the amount: parts, fees, discounts, too much, and credit notes."""

from __future__ import annotations

from datetime import timedelta

from benchmarks.bankbooks.desk import Desk
from benchmarks.bankbooks.model import FIRST


def part(desk: Desk) -> None:
    """Some of it, and nothing that says so."""
    invoice, partner = desk.sale()
    amount = invoice.total * desk.chance.randint(15, 85) // 100
    truth = {("invoice", invoice.external_id): amount}
    desk.pays([invoice], partner, desk.text(str(invoice.number), partner), "part", amount=amount, truth=truth)


def instalments(desk: Desk) -> None:
    """In two or three parts, each with its number."""
    invoice, partner = desk.sale(amount=desk.chance.randint(300, 900_000))
    parts, left = desk.chance.randint(2, 3), invoice.total
    for number in range(parts):
        amount = left if number == parts - 1 else invoice.total // parts
        left -= amount
        text = f"{invoice.number} {desk.chance.choice(('Rate', 'part', 'instalment', ''))} {number + 1}/{parts}"
        day = (invoice.issue_date or FIRST) + timedelta(days=20 * (number + 1))
        truth = {("invoice", invoice.external_id): amount}
        desk.pays([invoice], partner, text, "instalments", amount=amount, truth=truth, day=day)


def fee(desk: Desk) -> None:
    """A bank on the way kept some."""
    invoice, partner = desk.sale(amount=desk.chance.randint(100_00, 9_000_00))
    kept = desk.chance.choice((2_50, 8_00, 15_00, 12_35))
    desk.pays([invoice], partner, desk.text(str(invoice.number), partner), "fee, unsaid", amount=invoice.total - kept)


def fee_said(desk: Desk) -> None:
    """A bank on the way kept some, and says so."""
    invoice, partner = desk.sale(amount=desk.chance.randint(100_00, 9_000_00))
    kept = desk.chance.choice((2_50, 8_00, 15_00, 12_35))
    said = f"/REMI/{invoice.number}/CHGS/EUR{kept // 100},{kept % 100:02}/"
    text = desk.text(str(invoice.number), partner)
    desk.pays([invoice], partner, text, "fee, said", amount=invoice.total - kept, **{"86": said})


def too_much(desk: Desk) -> None:
    """A cent, a typing mistake, or a third more."""
    invoice, partner = desk.sale()
    more = desk.chance.choice((1, 10, 1_00, 100_00, invoice.total // 3 + 1))
    desk.pays([invoice], partner, desk.text(str(invoice.number), partner), "too much", amount=invoice.total + more)


def wrong_amount(desk: Desk) -> None:
    """Two figures swapped when the transfer was typed in."""
    invoice, partner = desk.sale(amount=desk.chance.randint(100_00, 9_000_00))
    figures = list(str(invoice.total))
    at = desk.chance.randrange(len(figures) - 1)
    figures[at], figures[at + 1] = figures[at + 1], figures[at]
    amount = max(int("".join(figures)), 1)
    truth = {("invoice", invoice.external_id): min(amount, invoice.total)}
    text = desk.text(str(invoice.number), partner)
    desk.pays([invoice], partner, text, "wrong amount", amount=amount, truth=truth)


def discount(desk: Desk) -> None:
    """Two or three percent taken off for paying early, said or not: the invoice is paid by it."""
    invoice, partner = desk.sale(amount=desk.chance.randint(100_00, 9_000_00))
    percent = desk.chance.choice((2, 3))
    said = desk.chance.choice(("", "", f" abzgl. {percent}% Skonto", f" less {percent}%"))
    amount = invoice.total - round(invoice.total * percent / 100)
    text = desk.text(str(invoice.number), partner) + said
    desk.pays([invoice], partner, text, "cash discount", amount=amount)


def claim(desk: Desk) -> None:
    """Several that are named, and less is paid than they come to."""
    first, partner = desk.sale(amount=desk.chance.randint(100_00, 2_000_00))
    rest = [desk.sale(partner, day=first.issue_date)[0] for _ in range(desk.chance.randint(1, 3))]
    amount = sum(each.total for each in (first, *rest)) - desk.chance.choice((25_00, 37_80, first.total // 10))
    text = ", ".join(str(each.number) for each in (first, *rest))
    desk.pays([first, *rest], partner, text, "several, less a claim", amount=amount)


def credited(desk: Desk) -> None:
    """An invoice less a credit note, by its number or not."""
    invoice, partner = desk.sale(amount=desk.chance.randint(200_00, 5_000_00))
    credit = desk.invoice(partner, invoice.total // desk.chance.randint(3, 9), invoice.issue_date or FIRST, credit=True)
    text = desk.chance.choice((f"{invoice.number} - {credit.number}", f"{invoice.number} less credit note"))
    desk.pays([invoice, credit], partner, text, "credit note taken off")


def paid_out(desk: Desk) -> None:
    """We pay a credit note out."""
    partner = desk.chance.choice(desk.customers)
    credit = desk.invoice(partner, desk.amount(), desk.day(), credit=True)
    desk.pays([credit], partner, f"Refund {credit.number}", "credit note paid out")
