"""Whatever the figures of a document: its postings balance, the ledger takes them, and they are the same every time."""

from __future__ import annotations

import dataclasses
import random
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.rates import Rates
from tests.sources.mapping.kit import (
    DAY,
    functional,
    invoice,
    line,
    payment,
    payroll_run,
    postings,
    prove,
    slip,
    spot,
    starter,
    tax,
    transaction,
)

STARTER = starter()
CURRENCIES = st.sampled_from(["USD", "EUR", "JPY", "BHD", "CLF"])
AMOUNTS = st.integers(-(10**9), 10**9)
QUOTES = [
    spot("EUR", "USD", "1.0837"),
    spot("USD", "JPY", "156.21"),
    spot("BHD", "USD", "2.6525"),
    spot("CLF", "USD", "40.917"),
    spot("EUR", "USD", "1.1102", DAY + timedelta(days=60)),
    spot("USD", "JPY", "149.9", DAY + timedelta(days=60)),
    spot("BHD", "USD", "2.6531", DAY + timedelta(days=60)),
    spot("CLF", "USD", "41.2", DAY + timedelta(days=60)),
]
RATES = Rates(QUOTES)


@st.composite
def invoices(draw: st.DrawFn) -> dict[str, Any]:
    lines = draw(st.lists(st.builds(line, AMOUNTS, description=st.none() | st.text(max_size=20)), max_size=5))
    taxes = draw(st.none() | st.lists(st.builds(tax, AMOUNTS, code=st.sampled_from([None, "a", "b"])), max_size=3))
    more = {} if lines else {"subtotal": draw(AMOUNTS)}
    more |= {} if taxes else {"tax": draw(AMOUNTS)}
    row = invoice(
        *(lines or [line(0)]),
        taxes=taxes,
        currency=draw(CURRENCIES),
        direction=draw(st.sampled_from(["RECEIVABLE", "PAYABLE"])),
        kind=draw(st.sampled_from(["INVOICE", "CREDIT_NOTE"])),
        status=draw(st.sampled_from(["OPEN", "PAID"])),
        party_name=draw(st.text(max_size=300)),
        party_external_id=draw(st.none() | st.text(max_size=300)),
        number=draw(st.none() | st.text(max_size=300)),
        rounding=draw(st.integers(-5, 5)),
        **more,
    )
    if row["direction"] == "RECEIVABLE" and row["kind"] == "INVOICE" and draw(st.booleans()):
        row |= {"status": "UNCOLLECTIBLE", "amount_due": draw(AMOUNTS), "due_date": DAY + timedelta(days=61)}
    return row | {"lines": lines}


@st.composite
def payroll_runs(draw: st.DrawFn) -> dict[str, Any]:
    """Every part of it may be left out."""
    size = st.integers(0, 10**8)
    slips = draw(st.lists(st.tuples(size, size, st.sampled_from([None, "Sales", "Support"])), max_size=4))
    gross = sum(each[0] for each in slips) if slips else draw(size)
    taxes, deductions, reimbursements, employer, contributions = (draw(st.none() | size) for _ in range(5))
    rest = 0 if None not in (taxes, deductions) else draw(size)
    net = gross - (taxes or 0) - (deductions or 0) + (reimbursements or 0) - rest
    nets = [each[1] for each in slips[:-1]]
    return payroll_run(
        currency=draw(CURRENCIES),
        gross=draw(st.sampled_from([gross, None])) if slips else gross,
        employee_taxes=taxes,
        deductions=deductions,
        reimbursements=reimbursements,
        net=net,
        employer_taxes=employer,
        employer_contributions=contributions,
        total_cost=draw(st.none() | st.just(gross + (employer or 0) + (contributions or 0))),
        payslips=[slip(each[0], own, each[2]) for each, own in zip(slips, [*nets, net - sum(nets)], strict=False)]
        or None,
        period_end=DAY,
        pay_date=draw(st.sampled_from([DAY, DAY + timedelta(days=61)])),
    )


@st.composite
def payments(draw: st.DrawFn) -> dict[str, Any]:
    """In one currency, or paid in another one than it was credited in, at a rate near the day's; settling an old invoice or none."""
    amount, fee = draw(AMOUNTS), draw(st.none() | AMOUNTS)
    row = payment(
        draw(st.sampled_from(["PAYMENT", "REFUND", "FEE", "DISPUTE", "PAYOUT", "TRANSFER"])),
        amount,
        currency=draw(CURRENCIES),
        fee=fee,
        net=None if fee is None else amount - fee,
        occurred_on=DAY + timedelta(days=61),
        party_name=draw(st.none() | st.text(max_size=20)),
        settles=draw(st.sampled_from([None, {"issue_date": DAY.isoformat()}])),
    )
    if draw(st.booleans()):
        row |= {"currency": "EUR", "presented_currency": "USD", "presented_amount": round(amount * 1.09), "fee": None}
    return row


TRANSACTIONS = st.builds(transaction, AMOUNTS, currency=CURRENCIES)
DOCUMENTS = st.one_of(
    st.tuples(st.just("invoice"), invoices()),
    st.tuples(st.just("payroll_run"), payroll_runs()),
    st.tuples(st.just("payment"), payments()),
    st.tuples(st.just("bank_transaction"), TRANSACTIONS),
)


@given(DOCUMENTS)
def test_every_posting_balances_and_the_ledger_takes_it(document: tuple[str, dict[str, Any]]) -> None:
    """In any currency exponent, of either sign: what the rules give passes the ledger's own rules."""
    kind, row = document
    for found in postings(STARTER, kind, row, RATES):
        assert sum(amount for _, amount in functional(found)) == 0
        assert len(found.lines) >= 2
        assert all(each.functional is None for each in found.lines if each.currency == "USD")
        prove(found)


@given(DOCUMENTS, st.randoms())
def test_the_outcome_is_the_same_every_time(document: tuple[str, dict[str, Any]], chance: random.Random) -> None:
    """Also from a row whose columns come in another order, and with rules that were read anew."""
    kind, row = document
    first = postings(STARTER, kind, row, RATES)
    names = list(row)
    chance.shuffle(names)
    again = postings(starter(), kind, {name: row[name] for name in names}, Rates(reversed(QUOTES)))
    assert [each.outcome() for each in first] == [each.outcome() for each in again]
    assert first == again


def test_the_outcome_covers_what_is_posted_and_nothing_else() -> None:
    (found,) = postings(STARTER, "invoice", invoice())
    same = dataclasses.replace(found, name="other", rule="other")
    assert same.outcome() == found.outcome()
    changes: list[dict[str, Any]] = [
        {"effective_date": date(2026, 1, 16)},
        {"document_date": DAY},
        {"description": "x"},
        {"journal": None},
        {"reference": None},
        {"lines": found.lines[::-1]},
        *(
            {"lines": (found.lines[0]._replace(**{name: value}), found.lines[1])}
            for name, value in _LINE_CHANGES.items()
        ),
    ]
    outcomes = {found.outcome(), *(dataclasses.replace(found, **change).outcome() for change in changes)}
    assert len(outcomes) == len(changes) + 1


_LINE_CHANGES: dict[str, Any] = {
    "account": "1",
    "amount": 1,
    "currency": "EUR",
    "functional": 1,
    "description": "",
    "tax_code": "",
    "dimensions": (),
}
