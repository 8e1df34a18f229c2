"""Documents from plain values: whatever is given is a document or a list of reasons, and amounts are exact."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.documents import (
    BankAccount,
    BankStatement,
    BankTransaction,
    BankTransactionStatus,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    Payment,
    PaymentStatus,
    PaymentType,
    PayrollRun,
    Payslip,
    TaxAmount,
)
from sources.money import EXPONENTS, format_minor
from sources.plain_documents import KINDS, InvalidDocument, read_document, write_document

BILL: dict[str, Any] = {
    "external_id": "1", "direction": "PAYABLE", "status": "OPEN", "party": {"name": "V"}, "currency": "EUR", "total": "119"
}  # fmt: skip


def invoice(**more: Any) -> Invoice:
    found = read_document("invoice", {**BILL, **more})
    assert isinstance(found, Invoice)
    return found


def faults(kind: str, values: dict[str, Any]) -> set[tuple[str, str]]:
    with pytest.raises(InvalidDocument) as caught:
        read_document(kind, values)
    return {(fault.code, ".".join(fault.path)) for fault in caught.value.faults}


def test_what_is_left_out_follows_from_what_is_stated() -> None:
    bill = invoice(tax="19", rounding="0.01")
    assert (bill.total, bill.subtotal, bill.tax, bill.rounding, bill.amount_due) == (11_900, 9_999, 1_900, 1, 11_900)
    assert (bill.kind, bill.source_status) == ("INVOICE", "OPEN")
    assert invoice(status="PAID").amount_due == 0
    assert invoice(subtotal="100", tax="18").subtotal == 10_000  # figures that disagree are kept as they are stated


@given(st.sampled_from(sorted(EXPONENTS)), st.integers(-(10**15), 10**15), st.booleans())
def test_amounts_are_exact_in_every_currency(currency: str, minor: int, minor_units: bool) -> None:
    stated = str(minor) if minor_units else format_minor(minor, EXPONENTS[currency])
    found = read_document("invoice", {**BILL, "currency": currency, "total": stated}, minor_units=minor_units)
    assert isinstance(found, Invoice)
    assert (found.total, found.subtotal, found.amount_due) == (minor, minor, minor)


@pytest.mark.parametrize("amount", [1.5, "1e3", "1,50", "NaN", True, [], {}, "1.005", Decimal("NaN")])
def test_what_is_no_exact_amount_is_refused(amount: Any) -> None:
    assert ("INVALID_AMOUNT", "total") in faults("invoice", {**BILL, "total": amount})


@pytest.mark.parametrize("amount", ["10000000000000.01", "-10000000000000.01", "9" * 39])
def test_what_no_ledger_takes_is_refused(amount: str) -> None:
    """A line of an entry is at most 10^15 minor units: what is more would wait for ever, and count as owed."""
    assert ("AMOUNT_OUT_OF_RANGE", "total") in faults("invoice", {**BILL, "total": amount})


def test_a_number_that_a_decoder_made_exact_is_taken() -> None:
    assert (invoice(total=Decimal("119.50")).total, invoice(total=119).total) == (11_950, 11_900)


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-03-01", date(2026, 3, 1)),
        ("2026-03-01T23:59:59-08:00", date(2026, 3, 1)),
        ("2026-03-01T23:59:59.123456789Z", date(2026, 3, 1)),
        ("2026-03-01 23:59:59 UTC", date(2026, 3, 1)),
        ("2026-03-01T235959+0100", date(2026, 3, 1)),
        (" 2026-03-01 ", date(2026, 3, 1)),
        (date(2026, 3, 1), date(2026, 3, 1)),
    ],
)
def test_dates_and_the_dates_of_timestamps(value: Any, day: date) -> None:
    assert invoice(issue_date=value).issue_date == day


@pytest.mark.parametrize("value", ["01.03.2026", "2026-02-30", "20260301", 20260301, "2026-03-01x", ["2026-03-01"], "2026-03-01Tgarbage",
                                   "2026-03-01 ago", "2026-03-01T25:00", "2026-03-01T10:00:00Zulu", "2026-03-01T" + "1" * 90])  # fmt: skip
def test_what_is_no_date_is_refused(value: Any) -> None:
    assert faults("invoice", {**BILL, "issue_date": value}) == {("INVALID_DATE", "issue_date")}


def test_every_mistake_is_told_with_its_place() -> None:
    values = {**BILL, "direction": "SIDEWAYS", "colour": "red", "party": {}, "lines": [{"amount": "1"}, {"amont": "1"}, 3],
              "taxes": "none", "issue_date": "soon", "due_date": ""}  # fmt: skip
    del values["external_id"]
    assert faults("invoice", values) == {
        ("MISSING", "external_id"),
        ("INVALID_VALUE", "direction"),
        ("UNKNOWN_FIELD", "colour"),
        ("MISSING", "party.name"),
        ("MISSING", "lines.1.amount"),
        ("UNKNOWN_FIELD", "lines.1.amont"),
        ("INVALID_VALUE", "lines.2"),
        ("INVALID_VALUE", "taxes"),
        ("INVALID_DATE", "issue_date"),
    }


def test_each_kind_reads() -> None:
    payment = read_document(
        "payment",
        {"external_id": "p", "type": "PAYMENT", "status": "SUCCEEDED", "currency": "JPY", "amount": "5", "occurred_on": "2026-01-01",
         "presented_amount": "0.05", "presented_currency": "USD"},
    )  # fmt: skip
    assert isinstance(payment, Payment)
    assert (payment.amount, payment.presented_amount, payment.source_status) == (5, 5, "SUCCEEDED")
    run = read_document(
        "payroll_run",
        {"external_id": "r", "period_start": "2026-01-01", "period_end": "2026-01-31", "pay_date": "2026-01-31",
         "source_status": "Posted", "currency": "EUR", "net": "1.00",
         "payslips": [{"external_id": 1, "employee_id": 2, "employee_name": "A", "net": "1.00"}]},
    )  # fmt: skip
    assert isinstance(run, PayrollRun)
    assert run.payslips is not None
    assert (run.payslips[0].external_id, run.payslips[0].net) == ("1", 100)
    statement = read_document(
        "bank_statement",
        {"external_id": "s", "account": {"external_id": "A", "currency": "EUR"}, "closing": "-1.00",
         "transactions": [{"external_id": "t", "amount": "-1.00"}, {"external_id": "u", "amount": "3", "currency": "JPY"}]},
    )  # fmt: skip
    assert isinstance(statement, BankStatement)
    assert [(each.amount, each.currency) for each in statement.transactions] == [(-100, "EUR"), (3, "JPY")]
    assert (statement.closing, statement.provisional) == (-100, False)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.decimals() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*BILL, "lines", "taxes", "account", "transactions",
                                                                                 "amount", "name"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


# Deep values are drawn slowly while nothing of the library is in memory yet.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from(sorted(KINDS)), st.dictionaries(st.sampled_from([*BILL, "lines", "taxes", "account", "transactions", "net",
                                                                        "payslips", "presented_amount"]), ANYTHING))  # fmt: skip
def test_anything_is_a_document_or_reasons(kind: str, values: dict[str, Any]) -> None:
    try:
        found: Any = read_document(kind, values)
    except InvalidDocument as invalid:
        found = invalid.faults
    assert found


def test_rates_and_quantities_are_numbers_too() -> None:
    """An API states 7.7 as a number."""
    values = {"external_id": "1", "direction": "PAYABLE", "status": "OPEN", "party": {"name": "x"}, "currency": "CHF",
              "total": "1", "lines": [{"amount": 1, "quantity": Decimal("1.50")}],
              "taxes": [{"amount": 0, "rate": Decimal("7.7")}, {"amount": 0, "rate": 19}]}  # fmt: skip
    document = read_document("invoice", values)
    assert isinstance(document, Invoice)
    assert document.taxes is not None
    assert (document.lines[0].quantity, [tax.rate for tax in document.taxes]) == ("1.50", ["7.7", "19"])
    for wrong in (Decimal("NaN"), Decimal("1E+50"), True, 1.5):
        with pytest.raises(InvalidDocument):
            read_document("invoice", {**values, "lines": [{"amount": 1, "quantity": wrong}]})


RUN: dict[str, Any] = {
    "external_id": "r", "period_start": "2026-01-01", "period_end": "2026-01-31", "pay_date": "2026-01-31", "source_status": "Posted",
    "currency": "EUR", "net": "1.00",
}  # fmt: skip
STATEMENT: dict[str, Any] = {"external_id": "s", "account": {"external_id": "A", "currency": "EUR"}}


def test_an_empty_text_is_as_good_as_none() -> None:
    assert invoice(tax="", kind="", subtotal="", amount_due="", source_status="", lines="") == invoice()
    assert faults("invoice", {**BILL, "currency": ""}) == {("MISSING", "currency")}


def test_what_follows_from_a_mistake_is_no_mistake_of_its_own() -> None:
    for name, value in (("total", "1.005"), ("tax", "x"), ("rounding", "9" * 41), ("total", [])):
        assert faults("invoice", {**BILL, name: value}) == {("INVALID_AMOUNT", name)}
    assert faults("invoice", {**BILL, "subtotal": "1.005"}) == {("INVALID_AMOUNT", "subtotal")}
    assert faults("invoice", {**BILL, "total": None}) == {("MISSING", "total")}
    assert faults("invoice", {**BILL, "status": None}) == {("MISSING", "status")}
    assert faults("payroll_run", {**RUN, "source_status": None, "net": "x"}) == {
        ("MISSING", "source_status"),
        ("INVALID_AMOUNT", "net"),
    }


def test_what_makes_two_items_one_is_refused() -> None:
    """The one of them would silently be lost."""
    slip = {"external_id": "1", "employee_id": "2", "employee_name": "A", "net": "1.00"}
    assert faults(
        "payroll_run", {**RUN, "payslips": [slip, {**slip, "external_id": "2"}, {**slip, "external_id": 1}]}
    ) == {("INVALID_VALUE", "payslips.2.external_id")}
    booked = [{"external_id": "t", "amount": 1}, {"external_id": "t", "amount": 2}, {"external_id": "t", "amount": 2}]
    assert faults("bank_statement", {**STATEMENT, "transactions": booked}) == {
        ("INVALID_VALUE", "transactions.1.external_id"),
        ("INVALID_VALUE", "transactions.2.external_id"),
    }


def test_no_time_ends_before_it_begins() -> None:
    assert faults("payroll_run", {**RUN, "period_start": "2026-02-01"}) == {("INVALID_DATE", "period_end")}
    assert faults("bank_statement", {**STATEMENT, "from_date": "2026-02-02", "to_date": "2026-02-01"}) == {
        ("INVALID_DATE", "to_date")
    }
    line = {"amount": 1, "service_from": "2026-02-02", "service_to": "2026-02-01"}
    assert faults("invoice", {**BILL, "lines": [line]}) == {("INVALID_DATE", "lines.0.service_to")}
    assert invoice(
        lines=[{**line, "service_to": "2026-02-02"}], issue_date="2026-02-02", due_date="2026-02-01"
    ).due_date


MONEY = st.integers(-(10**12), 10**12)
DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))


@given(st.data(), st.sampled_from(["EUR", "JPY", "KWD"]))
def test_what_is_written_is_read_again(data: st.DataObject, currency: str) -> None:
    """Of any document, but for its raw record."""
    payments = st.builds(
        Payment, external_id=st.just("p"), type=st.sampled_from(PaymentType), status=st.sampled_from(PaymentStatus),
        source_status=st.just("x"), currency=st.just(currency), amount=MONEY, fee=st.none() | MONEY, net=st.none() | MONEY,
        presented_amount=MONEY, presented_currency=st.just("USD"), occurred_on=DAYS, available_on=st.none() | DAYS,
        party=st.none() | st.just(Party(name="Initech", tax_id="DE1")), paid_out=st.sampled_from([(), ("a", "b")]),
    ).map(lambda paid: paid if paid.fee is None else replace(paid, net=paid.amount - paid.fee))  # fmt: skip
    invoices = st.builds(
        Invoice, external_id=st.just("i"), direction=st.sampled_from(InvoiceDirection), kind=st.sampled_from(InvoiceKind),
        status=st.sampled_from(InvoiceStatus), source_status=st.just("x"), party=st.just(Party(name="Initech")),
        currency=st.just(currency), subtotal=MONEY, tax=MONEY, total=MONEY, amount_due=MONEY, prepaid=MONEY,
        issue_date=st.none() | DAYS, lines=st.lists(st.builds(InvoiceLine, amount=MONEY), max_size=2).map(tuple),
        taxes=st.none() | st.builds(TaxAmount, amount=MONEY, rate=st.just("7.7")).map(lambda tax: (tax,)),
    )  # fmt: skip
    entries = st.builds(
        BankTransaction, external_id=st.just("t"), status=st.sampled_from(BankTransactionStatus), amount=MONEY,
        currency=st.just("KWD"), booked_on=st.none() | DAYS,
    )  # fmt: skip
    statements = st.builds(
        BankStatement, external_id=st.just("s"), provisional=st.booleans(), opening=st.none() | MONEY,
        account=st.just(BankAccount(external_id="A", currency=currency)), transactions=entries.map(lambda entry: (entry,)),
    )  # fmt: skip
    slips = st.builds(
        Payslip, external_id=st.just("1"), employee_id=st.just("2"), employee_name=st.just("A"), net=MONEY
    )
    runs = st.builds(
        PayrollRun, external_id=st.just("r"), period_start=st.just(date(2026, 1, 1)), period_end=st.just(date(2026, 1, 31)),
        pay_date=DAYS, source_status=st.just("Posted"), currency=st.just(currency), net=MONEY, gross=st.none() | MONEY,
        payslips=st.none() | slips.map(lambda slip: (slip,)), payslips_follow=st.booleans(),
    )  # fmt: skip
    document = data.draw(payments | invoices | statements | runs)
    kind = next(name for name, cls in KINDS.items() if isinstance(document, cls))
    assert read_document(kind, write_document(document)) == document


def test_the_net_of_a_payment_is_its_amount_less_its_fee() -> None:
    payment = {
        "external_id": "p",
        "type": "PAYMENT",
        "status": "SUCCEEDED",
        "currency": "EUR",
        "amount": "5.00",
        "occurred_on": "2026-01-01",
    }
    assert faults("payment", {**payment, "fee": "0.50", "net": "4.51"}) == {("INVALID_AMOUNT", "net")}
    for more in ({"fee": "0.50", "net": "4.50"}, {"fee": "0.50"}, {"net": "4.51"}):
        assert read_document("payment", {**payment, **more}).external_id == "p"
