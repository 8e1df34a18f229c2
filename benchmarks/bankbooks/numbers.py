"""Awkward by what is said: numbers mistyped, cut off, of somebody else or missing, and many documents in one payment."""

from __future__ import annotations

import string
from datetime import timedelta

from benchmarks.bankbooks.desk import PRICES, Desk
from benchmarks.bankbooks.model import FIRST
from sources.documents import InvoiceDirection


def several(desk: Desk) -> None:
    """Two to six, all named; sometimes all but the first by their last digits."""
    first, partner = desk.sale()
    rest = [desk.sale(partner, day=first.issue_date)[0] for _ in range(desk.chance.randint(1, 5))]
    numbers = [str(each.number) for each in (first, *rest)]
    if desk.chance.random() < 0.4:
        numbers = [numbers[0], *(number.rpartition("-")[2] for number in numbers[1:])]
    desk.pays([first, *rest], partner, desk.chance.choice((", ", " + ", " ", "/")).join(numbers), "several")


def range_(desk: Desk) -> None:
    """From one number to another."""
    first, partner = desk.sale()
    rest = [desk.sale(partner, day=first.issue_date)[0] for _ in range(desk.chance.randint(2, 6))]
    last = str(rest[-1].number).rpartition("-")[2]
    desk.pays([first, *rest], partner, f"{first.number} {desk.chance.choice(('-', 'bis', 'to'))} {last}", "range")


def mistyped(desk: Desk) -> None:
    """A figure is another one, missing or too many."""
    invoice, partner = desk.sale()
    number = list(str(invoice.number))
    at = desk.chance.randrange(min(4, len(number) - 2), len(number))
    way = desk.chance.random()
    if way < 0.6:
        number[at] = desk.chance.choice(string.digits)
    elif way < 0.8:
        del number[at]
    else:
        number.insert(at, desk.chance.choice(string.digits))
    desk.pays([invoice], partner, desk.text("".join(number), partner), "typing mistake")


def swapped(desk: Desk) -> None:
    """Two figures in the wrong order."""
    invoice, partner = desk.sale()
    number = list(str(invoice.number))
    at = desk.chance.randrange(max(len(number) - 5, 0), len(number) - 1)
    number[at], number[at + 1] = number[at + 1], number[at]
    desk.pays([invoice], partner, desk.text("".join(number), partner), "digits swapped")


def anothers(desk: Desk) -> None:
    """The text has the number of any other invoice, as often of the same customer."""
    invoice, partner = desk.sale()
    if desk.chance.random() < 0.5:
        other = desk.sale(partner, amount=desk.amount())[0]
    else:
        other = desk.chance.choice([each for each in desk.books.early if each.direction is InvoiceDirection.RECEIVABLE])
    desk.pays([invoice], partner, desk.text(str(other.number), partner), "another's number")


def no_number(desk: Desk) -> None:
    """The amount and the customer are all that there is."""
    invoice, partner = desk.sale()
    text = desk.chance.choice(("", "thank you", "Rechnung", f"customer {partner.number}", "Invoice as agreed", "March"))
    desk.pays([invoice], partner, text, "no number")


def cut(desk: Desk) -> None:
    """The bank's field ends within the number."""
    invoice, partner = desk.sale()
    text = f"Payment for invoice {invoice.number}"
    desk.pays([invoice], partner, text[: -desk.chance.randint(1, 2)], "number cut off")


def broken(desk: Desk) -> None:
    """A line of the bank's field ends within the number."""
    invoice, partner = desk.sale()
    number = str(invoice.number)
    at = desk.chance.randrange(1, len(number))
    desk.pays([invoice], partner, f"Invoice {number[:at]} {number[at:]}", "number broken by the bank")


def last_months(desk: Desk) -> None:
    """Two invoices of one price, and the text of the first payment is used again for the second."""
    first, partner = desk.sale(amount=desk.chance.choice(PRICES))
    day = first.issue_date or FIRST
    second, _ = desk.sale(partner, amount=first.total, day=day + timedelta(days=30))
    text = desk.text(str(first.number), partner)
    desk.pays([first], partner, text, "last month's number", day=day + timedelta(days=14))
    desk.pays([second], partner, text, "last month's number", day=day + timedelta(days=44))


def payers_own(desk: Desk) -> None:
    """The payer names an order of their own, whose number is that of an invoice of someone else's."""
    invoice, partner = desk.sale()
    text = f"PO {desk.chance.choice(desk.books.early).number} {desk.text(str(invoice.number), partner)}"
    desk.pays([invoice], partner, text, "payer's own number")


def namesake(desk: Desk) -> None:
    """Two customers of one name have an invoice of one price each; one of the two is named, or none is."""
    one, other = desk.chance.choice(desk.namesakes)
    invoice, _ = desk.sale(one, amount=desk.chance.choice(PRICES))
    desk.sale(other, amount=invoice.total, day=invoice.issue_date)
    text = desk.chance.choice((desk.text(str(invoice.number), one), "", "subscription"))
    desk.pays([invoice], one, text, "two of one name")


def one_named(desk: Desk) -> None:
    """Several are paid, and only the first is named."""
    first, partner = desk.sale()
    rest = [desk.sale(partner, day=first.issue_date)[0] for _ in range(desk.chance.randint(1, 4))]
    text = f"{first.number} {desk.chance.choice(('and others', 'etc.', 'u.a.', ''))}"
    desk.pays([first, *rest], partner, text, "one of several named")


def equal(desk: Desk) -> None:
    """Two invoices of one price to one customer, and nothing that says which is paid."""
    invoice, partner = desk.sale(amount=desk.chance.choice(PRICES))
    desk.sale(partner, amount=invoice.total, day=invoice.issue_date)
    text = desk.chance.choice(("", "subscription", f"customer {partner.number}"))
    desk.pays([invoice], partner, text, "equal amounts")


def sum_(desk: Desk) -> None:
    """Two to four at once, none of them named."""
    first, partner = desk.sale()
    rest = [desk.sale(partner, day=first.issue_date)[0] for _ in range(desk.chance.randint(1, 3))]
    text = desk.chance.choice(("", "open invoices", "statement of account"))
    desk.pays([first, *rest], partner, text, "sum without numbers")


def many(desk: Desk) -> None:
    """A customer pays what is open by a list that goes by mail, a credit note taken off."""
    first, partner = desk.sale()
    day = first.issue_date or FIRST
    rest = [desk.sale(partner, day=day)[0] for _ in range(desk.chance.randint(6, 14))]
    credit = desk.invoice(partner, min(each.total for each in (first, *rest)) // 2, day, credit=True)
    desk.pays([first, *rest, credit], partner, "see remittance advice", "many without numbers")


def short_bill(desk: Desk) -> None:
    """We pay by the last four figures of the supplier's number."""
    partner = desk.chance.choice(desk.suppliers)
    bill = desk.bill(partner, desk.amount(), desk.day())
    digits = "".join(each for each in str(bill.number) if each.isdigit())
    desk.pays([bill], partner, f"Rg {digits[-4:]}", "bill, last digits")
