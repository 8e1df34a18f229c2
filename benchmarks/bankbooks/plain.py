"""What is not awkward: invoices and bills that are paid with their numbers, payouts, payroll; and sales that nobody pays."""

from __future__ import annotations

import string
from datetime import timedelta

from benchmarks.bankbooks.desk import Desk
from benchmarks.bankbooks.model import CURRENCY
from sources.documents import Payment, PaymentStatus, PaymentType, PayrollRun


def plain(desk: Desk) -> None:
    """An invoice or a bill by its number, a payout, or a payroll."""
    way = desk.chance.random()
    if way < 0.70:
        invoice, partner = desk.sale()
        desk.pays([invoice], partner, desk.text(str(invoice.number), partner), "")
    elif way < 0.92:
        partner = desk.chance.choice(desk.suppliers)
        bill = desk.bill(partner, desk.amount(), desk.day())
        desk.pays([bill], partner, desk.text(str(bill.number), partner), "")
    elif way < 0.98:
        _payout(desk)
    else:
        _payroll(desk)


def _payout(desk: Desk) -> None:
    day, amount = desk.day(), desk.chance.randint(500_00, 40_000_00)
    found = Payment(
        external_id=f"po_1{''.join(desk.chance.choices(string.ascii_letters + string.digits, k=20))}", type=PaymentType.PAYOUT,
        status=PaymentStatus.SUCCEEDED, source_status="paid", currency=CURRENCY, amount=-amount, fee=0, net=-amount,
        occurred_on=day, available_on=day + timedelta(days=2),
    )  # fmt: skip
    desk.books.payouts.append(found)
    arrives = day + timedelta(days=desk.chance.randint(2, 4))
    truth = {("payment", found.external_id): amount}
    desk.move(amount, arrives, "STRIPE PAYOUT", "Stripe Technology Europe Ltd", truth, "")


def _payroll(desk: Desk) -> None:
    day, net = desk.day(), desk.chance.randint(20_000_00, 90_000_00)
    number = len(desk.books.runs) + 1
    run = PayrollRun(
        external_id=f"run-{number}", period_start=day.replace(day=1), period_end=day, pay_date=day, source_status="Posted",
        currency=CURRENCY, net=net, gross=net, employee_taxes=0, deductions=0,
    )  # fmt: skip
    desk.books.runs.append(run)
    truth = {("payroll_run", run.external_id): -net}
    desk.move(-net, day, desk.chance.choice(("SALARIES BATCH", "LOHN/GEHALT", "Payroll")), None, truth, "")


def never_paid(desk: Desk) -> None:
    """One invoice in ten is still open at the end of the year: what a wrong match would hit."""
    for _ in range(desk.lines // 10):
        desk.sale()
