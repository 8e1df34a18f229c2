"""Documents in other currencies: dated rates, roundings, and what settling at another rate gains or loses."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from typing import Any

import pytest

from sources.mapping.model import UnmappedCode
from sources.mapping.rates import Rates
from tests.sources.mapping.kit import (
    DAY,
    functional,
    invoice,
    line,
    payment,
    payroll_run,
    postings,
    rule,
    spot,
    starter,
    unmapped,
)

STARTER = starter()
SIMPLE = '{ account = "10", debit = "total" }, { account = "20", credit = "total" }'


def test_each_line_is_converted_and_the_residual_is_a_line_of_its_own() -> None:
    rates = Rates([spot("EUR", "USD", "1.105")])
    row = invoice(line(10), line(10), line(10), currency="EUR")
    (found,) = postings(STARTER, "invoice", row, rates)
    assert functional(found) == [("1210", 33), ("4100", -11), ("4100", -11), ("4100", -11)]
    (found,) = postings(STARTER, "invoice", invoice(line(5), line(5), currency="EUR"), rates)
    assert functional(found) == [("1210", 11), ("4100", -6), ("4100", -6), ("7400", 1)]
    assert found.lines[-1][:4] == ("7400", 0, "EUR", 1)


def test_a_missing_rate_is_told_and_never_guessed() -> None:
    rates = Rates(
        [spot("EUR", "USD", "1.1", DAY - timedelta(days=8)), spot("EUR", "USD", "1.1", DAY + timedelta(days=1))]
    )
    found = unmapped(STARTER, "invoice", invoice(currency="EUR"), rates)
    assert found.code == UnmappedCode.MISSING_RATE
    assert found.message == "there is no spot rate from EUR to USD on 2026-01-15 or in the 7 days before"
    assert found.hint == "Record the spot rate of EUR in USD on 2026-01-15: `setRates`, or `ledgergraph rates import`."


def test_the_type_of_rate_is_the_files_or_the_postings() -> None:
    rates = Rates([spot("EUR", "USD", "2", kind="average"), spot("EUR", "USD", "3", kind="closing")])
    for more, top, expected in (
        ("", 'rate_type = "average"', 20_000),
        ('rate_type = "closing"', 'rate_type = "average"', 30_000),
    ):
        (found,) = postings(rule(SIMPLE, posting=more, top=top), "invoice", invoice(currency="EUR"), rates)
        assert functional(found) == [("10", expected), ("20", -expected)]


def later(rate: str) -> Rates:
    """1.10 on the day of the invoice, another rate on the day of its payment."""
    return Rates([spot("EUR", "USD", "1.10"), spot("EUR", "USD", rate, DAY + timedelta(days=30))])


PAID = payment(
    "PAYMENT", 10_000, currency="EUR", occurred_on=DAY + timedelta(days=30), settles={"issue_date": "2026-01-15"}
)


@pytest.mark.parametrize(("rate", "extra"), [("1.20", [("4800", -1_000)]), ("1.00", [("7410", 1_000)]), ("1.10", [])])
def test_a_payment_settles_at_the_invoices_rate_and_realises_the_difference(rate: str, extra: list[Any]) -> None:
    (found,) = postings(STARTER, "payment", PAID, later(rate))
    assert functional(found) == [("1140", int(Fraction(rate) * 10_000)), ("1210", -11_000), *extra]
    assert [each.amount for each in found.lines] == [10_000, -10_000, *(0 for _ in extra)]


def test_a_payment_of_an_unknown_invoice_settles_at_its_own_rate() -> None:
    (found,) = postings(STARTER, "payment", PAID | {"settles": None}, later("1.20"))
    assert functional(found) == [("1140", 12_000), ("1210", -12_000)]


def test_an_exchange_difference_is_told_from_a_rounding() -> None:
    """A refund of three cents with a fee of one: every part rounds, the receivable alone is at another rate."""
    row = PAID | {"type": "REFUND", "amount": -3, "fee": 1}
    (found,) = postings(STARTER, "payment", row, later("1.50"))
    assert functional(found) == [("1140", -4), ("1210", 3), ("5400", 2), ("1140", -2), ("7410", 1)]


def test_a_payer_of_another_currency_settles_what_was_invoiced() -> None:
    """100 EUR were invoiced at 1.10; the processor credits 118 USD: the difference is a gain in our own currency."""
    row = payment("PAYMENT", 11_800, presented_amount=10_000, presented_currency="EUR", settles={"issue_date": DAY})
    (found,) = postings(STARTER, "payment", row, later("1.20"))
    assert [tuple(each[:4]) for each in found.lines] == [
        ("1140", 11_800, "USD", None),
        ("1210", -10_000, "EUR", -11_000),
        ("4800", -800, "USD", None),
    ]
    (found,) = postings(STARTER, "payment", row | {"amount": 10_500}, later("1.20"))
    assert found.lines[-1][:4] == ("7410", 500, "USD", None)


def test_a_difference_that_no_exchange_rate_makes_is_a_mistake() -> None:
    row = payment("PAYMENT", 118_000, presented_amount=10_000, presented_currency="EUR", settles={"issue_date": DAY})
    found = unmapped(STARTER, "payment", row, later("1.20"))
    assert (found.code, "debits exceed its credits by 1070.00 USD" in found.message) == (UnmappedCode.UNBALANCED, True)


def test_wages_are_paid_at_the_rate_that_they_were_booked_by() -> None:
    rates = Rates([spot("EUR", "USD", "1.1", date(2026, 1, 31)), spot("EUR", "USD", "1.2", date(2026, 2, 3))])
    _, paid = postings(STARTER, "payroll_run", payroll_run(currency="EUR"), rates)
    assert functional(paid) == [("2310", 423_500), ("1199", -462_000), ("7410", 38_500)]


def test_the_accounts_for_differences_are_needed_only_where_there_are_some() -> None:
    ruleset = rule(SIMPLE, posting='rate_type = "spot"')
    rates = Rates([spot("EUR", "USD", "1.105")])
    assert len(postings(ruleset, "invoice", invoice(currency="EUR"), rates)) == 1
    lines = '{ account = "10", debit = "total" }, { account = "20", credit = "item.amount", each = "lines" }'
    found = unmapped(rule(lines), "invoice", invoice(line(5), line(5), currency="EUR"), rates)
    assert (found.code, "the account rounding" in found.message) == (UnmappedCode.UNKNOWN_ACCOUNT_NAME, True)


def test_an_amount_that_no_entry_takes_is_told() -> None:
    """In the document's currency it could be posted; in the functional one it could not."""
    rates = Rates([spot("EUR", "USD", "100000000000")])
    found = unmapped(STARTER, "invoice", invoice(line(10**14), currency="EUR"), rates)
    assert (found.code, "minor units" in found.message) == (UnmappedCode.EXPRESSION_FAILED, True)
