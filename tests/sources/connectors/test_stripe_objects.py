"""Stripe's objects become documents in our terms, exactly, or are refused with a reason."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.connectors.stripe_objects import parse_credit_note, parse_invoice
from sources.connectors.stripe_records import UnreadableRecord, minor_units
from sources.documents import Invoice, InvoiceDirection, InvoiceKind, InvoiceLine, InvoiceStatus, Party, TaxAmount

CORPORA = Path(os.environ.get("CORPORA") or Path(__file__).parents[4] / "shared" / "corpora")
JANUARY_1 = 1_767_225_600
FEBRUARY_1 = 1_769_904_000

Json = dict[str, Any]


@pytest.fixture(scope="module")
def fixtures() -> Json:
    path = CORPORA / "stripe" / "fixtures3.json"
    if not path.exists():
        pytest.skip("the corpora are not on this machine")
    resources: Json = json.loads(path.read_text(), parse_float=Decimal)["resources"]
    return resources


def invoice(**fields: Any) -> Json:
    """An open invoice of 100.00 USD without tax, changed by `fields`."""
    return {
        "id": "in_1",
        "object": "invoice",
        "currency": "usd",
        "status": "open",
        "customer": "cus_1",
        "customer_name": "Ada",
        "created": JANUARY_1,
        "total": 10_000,
        "total_excluding_tax": 10_000,
        "amount_due": 10_000,
        "amount_paid": 0,
        "amount_remaining": 10_000,
        "lines": {"data": [line(10_000)], "has_more": False},
    } | fields


def line(amount: int, **fields: Any) -> Json:
    return {"id": "il_1", "amount": amount, "currency": "usd", "description": "Seats", "quantity": 1} | fields


def test_stripes_own_invoice(fixtures: Json) -> None:
    """The invoice of Stripe's OpenAPI fixtures: a draft of 10.00 USD for a customer without a name."""
    read = parse_invoice(fixtures["invoice"])
    assert read == Invoice(
        external_id="in_1Pgc6tB7WZ01zgkWu9fdqL6I",
        direction=InvoiceDirection.RECEIVABLE,
        kind=InvoiceKind.INVOICE,
        status=InvoiceStatus.DRAFT,
        source_status="draft",
        party=Party(name="cus_QXg1o8vcGmoR32", external_id="cus_QXg1o8vcGmoR32"),
        currency="USD",
        subtotal=1000,
        tax=0,
        total=1000,
        amount_due=1000,
        issue_date=date(2009, 2, 13),
        due_date=date(2009, 2, 13),
        lines=(
            InvoiceLine(
                amount=1000,
                description="My First Invoice Item (created for API docs)",
                quantity="1",
                service_from=date(2024, 7, 26),
                service_to=date(2024, 7, 26),
            ),
        ),
        raw=read.raw,
    )
    assert read.raw["id"] == read.external_id
    assert "hosted_invoice_url" not in read.raw
    json.dumps(read.raw)


def test_stripes_own_credit_note(fixtures: Json) -> None:
    """The credit note of the fixtures: issued, 16.90 USD in two lines, nothing left to settle."""
    read = parse_credit_note(fixtures["credit_note"])
    assert (read.kind, read.status, read.source_status) == (InvoiceKind.CREDIT_NOTE, InvoiceStatus.PAID, "issued")
    assert (read.number, read.currency, read.total, read.subtotal, read.tax) == (
        "ABCD-1234-CN-01",
        "USD",
        1690,
        1690,
        0,
    )
    assert read.amount_due == 0
    assert [each.amount for each in read.lines] == [1190, 500]
    json.dumps(read.raw)


def test_the_customer_names_the_party(fixtures: Json) -> None:
    """A customer's name comes before its e-mail address, and that before its id; its tax id is taken along."""
    customer = {**fixtures["customer"], "email": "ada@example.com"}
    tax_ids = {"data": [fixtures["tax_id"]], "has_more": False}
    nameless = invoice(customer=customer["id"], customer_name=None)
    assert parse_invoice(nameless, customer).party.name == "ada@example.com"
    named = parse_invoice(nameless, {**customer, "name": "Ada GmbH", "tax_ids": tax_ids})
    assert named.party == Party(name="Ada GmbH", external_id=customer["id"], tax_id="DE123456789")
    expanded = parse_invoice(invoice(customer={**customer, "name": "Ada GmbH"}, customer_name=None))
    assert expanded.party.name == "Ada GmbH"
    assert expanded.raw["customer"] == customer["id"]


def test_any_object_is_read_or_refused(fixtures: Json) -> None:
    """Objects of all other kinds never break the reader."""
    for record in fixtures.values():
        for parse in (parse_invoice, parse_credit_note):
            with contextlib.suppress(UnreadableRecord):
                json.dumps(parse(record).raw)


@settings(deadline=None)
@given(data=st.data())
def test_a_damaged_invoice_is_read_or_refused(data: st.DataObject) -> None:
    """Whatever stands in a field, the invoice keeps its identities and can be stored, or is refused with a reason."""
    odd = st.sampled_from(
        [
            None,
            True,
            -1,
            10**18,
            10**400,
            Decimal("1.5"),
            Decimal("1E+999999"),
            "",
            "x\x00\ud800",
            [],
            [1],
            {},
            {"id": 5},
        ]
    )
    record = invoice(
        tax=500,
        total_taxes=[{"amount": 500, "tax_behavior": "exclusive", "tax_rate_details": {"tax_rate": "txr_1"}}],
        status_transitions={"finalized_at": JANUARY_1},
        effective_at=None,
        due_date=FEBRUARY_1,
        shipping_cost={"amount_subtotal": 5},
        amount_shipping=5,
        customer_tax_ids=[{"type": "eu_vat", "value": "DE1"}],
        number="A-1",
    )
    for key in data.draw(st.lists(st.sampled_from(sorted(record)), min_size=1, max_size=4)):
        record[key] = data.draw(odd)
    if data.draw(st.booleans()):
        record["lines"] = {
            "data": [line(5) | {data.draw(st.sampled_from(["amount", "taxes", "period"])): data.draw(odd)}]
        }
    try:
        read = parse_invoice(record)
    except UnreadableRecord:
        return
    assert read.total == read.subtotal + read.tax + read.rounding
    json.dumps(read.raw, ensure_ascii=False).encode()
    assert all(
        "\x00" not in text for text in (read.external_id, read.party.name, read.source_status, read.number or "")
    )


@pytest.mark.parametrize(
    ("stated", "currency", "minor"),
    [
        (1234, "USD", 1234),
        (500, "JPY", 500),
        (500, "ISK", 5),
        (500, "UGX", 5),
        (5, "MGA", 500),
        (1234, "HUF", 1234),
        (1234, "TWD", 1234),
        (5120, "KWD", 5120),
        (-1234, "EUR", -1234),
    ],
)
def test_stripes_minor_units(stated: int, currency: str, minor: int) -> None:
    """Stripe's decimals are not always ISO 4217's."""
    assert minor_units(stated, currency) == minor


@pytest.mark.parametrize(
    ("stated", "currency", "code"),
    [(550, "ISK", "INEXACT_AMOUNT"), (1, "QQQ", "UNKNOWN_CURRENCY"), (10**16, "USD", "AMOUNT_OUT_OF_RANGE")],
)
def test_what_is_not_exact_is_refused(stated: int, currency: str, code: str) -> None:
    """Half a króna is a problem, not a rounding."""
    with pytest.raises(UnreadableRecord) as refused:
        minor_units(stated, currency)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("draft", InvoiceStatus.DRAFT),
        ("open", InvoiceStatus.OPEN),
        ("paid", InvoiceStatus.PAID),
        ("void", InvoiceStatus.VOID),
        ("uncollectible", InvoiceStatus.UNCOLLECTIBLE),
        ("frozen", InvoiceStatus.UNKNOWN),
        (None, InvoiceStatus.UNKNOWN),
    ],
)
def test_statuses(word: str | None, status: InvoiceStatus) -> None:
    """A word that we do not know is kept beside UNKNOWN."""
    read = parse_invoice(invoice(status=word))
    assert (read.status, read.source_status) == (status, word or "")


NEW_TAX = {
    "amount": 1900,
    "tax_behavior": "exclusive",
    "taxable_amount": 10_000,
    "tax_rate_details": {"tax_rate": "txr_1"},
}
OLD_TAX = {
    "amount": 1900,
    "inclusive": False,
    "taxable_amount": 10_000,
    "tax_rate": {"id": "txr_1", "percentage": Decimal("19.0")},
}


@pytest.mark.parametrize(
    ("fields", "taxes"),
    [
        ({"total_taxes": [NEW_TAX]}, (TaxAmount(amount=1900, code="txr_1", taxable=10_000),)),
        (
            {"tax": 1900, "total_tax_amounts": [OLD_TAX]},
            (TaxAmount(amount=1900, code="txr_1", rate="19.0", taxable=10_000),),
        ),
        ({"tax": 1900, "total_tax_amounts": []}, None),
        ({"tax": None, "total_taxes": None, "total_excluding_tax": 10_000}, None),
    ],
)
def test_tax_in_the_shapes_of_all_versions(fields: Json, taxes: tuple[TaxAmount, ...] | None) -> None:
    """Stated by the new list, by the old fields, or only as a total without tax: 19.00 on 100.00."""
    read = parse_invoice(invoice(total=11_900, total_excluding_tax=None) | fields)
    assert (read.subtotal, read.tax, read.total, read.taxes) == (10_000, 1900, 11_900, taxes)


def test_lines_are_net_of_discounts_and_inclusive_tax() -> None:
    """119.00 with 19 % in it, less a tenth: the line is 90.00, as is the subtotal."""
    tax = {**NEW_TAX, "amount": 1710, "tax_behavior": "inclusive", "taxable_amount": 9000}
    discounted = line(11_900, taxes=[tax], discount_amounts=[{"amount": 1190, "discount": "di_1"}])
    read = parse_invoice(invoice(total=10_710, total_taxes=[tax], lines={"data": [discounted]}))
    assert (read.subtotal, read.tax) == (9000, 1710)
    assert [(each.amount, each.tax, each.tax_code) for each in read.lines] == [(9000, 1710, "txr_1")]


def test_shipping_and_credits_are_lines() -> None:
    """What Stripe states beside the lines is part of the total too."""
    read = parse_invoice(
        invoice(
            total=10_300,
            total_excluding_tax=10_300,
            amount_shipping=500,
            shipping_cost={"amount_subtotal": 500, "amount_tax": 0, "amount_total": 500},
            total_pretax_credit_amounts=[{"amount": 200, "type": "credit_balance_transaction"}],
        )
    )
    assert [(each.description, each.amount) for each in read.lines] == [
        ("Seats", 10_000),
        ("Shipping", 500),
        ("Billing credits", -200),
    ]
    assert sum(each.amount for each in read.lines) == read.subtotal


def test_what_the_credit_balance_covers_is_prepaid() -> None:
    """Of 100.00, 30.00 come from the customer's balance and 50.00 were paid: 20.00 are due."""
    read = parse_invoice(invoice(amount_due=7000, amount_paid=5000, amount_remaining=2000))
    assert (read.total, read.prepaid, read.amount_due) == (10_000, 3000, 2000)
    older = parse_invoice({key: value for key, value in invoice(amount_paid=4000).items() if key != "amount_remaining"})
    assert older.amount_due == 6000


def test_days() -> None:
    """The day printed on the invoice, in UTC; a draft has none. A period ends with its last day."""
    draft = parse_invoice(invoice(status="draft"))
    assert draft.issue_date is None
    finalized = parse_invoice(invoice(status_transitions={"finalized_at": FEBRUARY_1 - 1}, due_date=FEBRUARY_1))
    assert (finalized.issue_date, finalized.due_date) == (date(2026, 1, 31), date(2026, 2, 1))
    assert parse_invoice(invoice(effective_at=FEBRUARY_1)).issue_date == date(2026, 2, 1)
    month = line(1, period={"start": JANUARY_1, "end": FEBRUARY_1})
    read = parse_invoice(invoice(lines={"data": [month]}))
    assert (read.lines[0].service_from, read.lines[0].service_to) == (date(2026, 1, 1), date(2026, 1, 31))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda record: record.pop("id"), "it has no id"),
        (lambda record: record.pop("total"), "it has no total"),
        (lambda record: record.update(total="100.00"), "its total is not a whole number"),
        (lambda record: record.update(total=True), "its total is not a whole number"),
        (lambda record: record.update(currency=None), "its currency '' is not in ISO 4217"),
        (lambda record: record.update(due_date=10**15), "its due_date is no time"),
        (lambda record: record["lines"]["data"].append("line"), "its lines cannot be read"),
        (lambda record: record["lines"]["data"][0].pop("amount"), "it has no amount"),
    ],
)
def test_what_cannot_be_read_says_why(change: Callable[[Json], Any], sentence: str) -> None:
    """A person can find the fault by the sentence."""
    record = invoice()
    change(record)
    with pytest.raises(UnreadableRecord, match=sentence):
        parse_invoice(record)


# ---------------------------------------------------------------- paid past Stripe, and what was sold


def part(kind: str, amount: int, status: str = "paid", at: int = 1_775_001_600) -> dict[str, Any]:
    transitions = {"paid_at": at}
    return {"amount_paid": amount, "status": status, "payment": {"type": kind}, "status_transitions": transitions}


def test_parts_that_are_no_payment_of_stripes_were_paid_elsewhere() -> None:
    parts = [
        part("payment_intent", 700),
        part("payment_record", 300),
        part("payment_record", 50, "open"),
        part("charge", 9),
    ]
    found = parse_invoice(invoice(payments={"data": parts}))
    assert (found.paid_elsewhere, found.paid_elsewhere_on) == (300, date(2026, 4, 1))
    assert "payments" not in found.raw
    assert parse_invoice(invoice()).paid_elsewhere == 0


def test_before_2025_an_invoice_says_that_it_was_paid_elsewhere() -> None:
    paid = {"paid_out_of_band": True, "status": "paid", "status_transitions": {"paid_at": 1_775_001_600}}
    found = parse_invoice(invoice(**paid, amount_due=900))
    assert (found.paid_elsewhere, found.paid_elsewhere_on) == (900, date(2026, 4, 1))
    assert parse_invoice(invoice(**paid | {"status": "open"})).paid_elsewhere == 0


@pytest.mark.parametrize(
    "priced", [{"pricing": {"price_details": {"product": "prod_1"}}}, {"price": {"product": {"id": "prod_1"}}}]
)
def test_a_line_names_its_product(priced: dict[str, Any]) -> None:
    (found,) = parse_invoice(invoice(lines={"data": [{"id": "il_1", "amount": 1, "currency": "usd", **priced}]})).lines
    assert found.product == "prod_1"
