"""Books of which it is known what every bank transaction is about: invoices, bills, payouts, payroll runs, and a year of one bank
account. It shares nothing with what matches them; one transaction in five is awkward, in the ways in which people and banks are.

Besides, in all of it: one customer in twenty-five has the name of another one, a third of the sales are numbered without zeros before
them, so that numbers are parts of longer ones, and a tenth of all amounts are those of a price list."""

from __future__ import annotations

from benchmarks.bankbooks import amounts, moves, numbers, plain
from benchmarks.bankbooks.desk import Desk
from benchmarks.bankbooks.model import CURRENCY, Books, Known, by_day

__all__ = ["AWKWARD", "CASES", "CURRENCY", "Books", "Known", "by_day", "make"]

AWKWARD = 0.2
CASES = {
    "part": amounts.part,
    "instalments": amounts.instalments,
    "several": numbers.several,
    "range": numbers.range_,
    "typing mistake": numbers.mistyped,
    "digits swapped": numbers.swapped,
    "another's number": numbers.anothers,
    "no number": numbers.no_number,
    "equal amounts": numbers.equal,
    "fee, unsaid": amounts.fee,
    "fee, said": amounts.fee_said,
    "too much": amounts.too_much,
    "third party pays": moves.third_party,
    "paid twice": moves.twice,
    "came back": moves.returned,
    "credit note taken off": amounts.credited,
    "nothing of ours": moves.other,
    "sum without numbers": numbers.sum_,
    "late invoice": moves.late,
    "bill, last digits": numbers.short_bill,
    "number cut off": numbers.cut,
    "number broken by the bank": numbers.broken,
    "last month's number": numbers.last_months,
    "cash discount": amounts.discount,
    "wrong amount": amounts.wrong_amount,
    "several, less a claim": amounts.claim,
    "many without numbers": numbers.many,
    "credit note paid out": amounts.paid_out,
    "debit came back with a fee": moves.debit_returned,
    "payer's own number": numbers.payers_own,
    "two of one name": numbers.namesake,
    "one of several named": numbers.one_named,
}
"""By what is awkward, what makes the transactions. A further one at the end leaves the others in the order in which chance picks them."""


def make(lines: int, seed: int) -> Books:
    """`Books` of about so many transactions, the oldest first; the same seed makes the same ones."""
    desk = Desk(lines, seed)
    while len(desk.books.known) < lines:
        if desk.chance.random() < AWKWARD:
            CASES[desk.chance.choice(list(CASES))](desk)
        else:
            plain.plain(desk)
    plain.never_paid(desk)
    desk.books.known.sort(key=lambda each: (each.transaction.booked_on, each.transaction.external_id))
    return desk.books
