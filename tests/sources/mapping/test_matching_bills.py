"""The three-way match: what of a bill disagrees with what was ordered and received."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.matching_bills import MismatchReason, OrderLine, Tolerance, match, mismatches

AGREED = OrderLine(
    line="Bolts",
    order="7",
    ordered=Decimal(10),
    order_price=Decimal("4.50"),
    received=Decimal(10),
    billed=Decimal(10),
    billed_price=Decimal("4.50"),
)
FACTS = {
    "line": "Bolts",
    "order": "7",
    "ordered": "10",
    "order_price": "4.5",
    "received": "8",
    "billed": "4",
    "billed_price": "4.5",
    "billed_elsewhere": "6",
}
amounts = st.decimals(min_value=0, max_value=10**9, places=3)


def reasons(line: OrderLine, tolerance: Tolerance | None = None) -> list[str]:
    return [each.reason for each in match((line,), tolerance or Tolerance())]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"billed": Decimal(3)}, []),
        ({"billed": Decimal(-2), "billed_elsewhere": Decimal(12)}, []),
        ({"received": None, "ordered": Decimal(10)}, []),
        ({"billed_price": Decimal("4.52")}, []),
        ({"billed": Decimal(11), "received": Decimal(11)}, ["MORE_THAN_ORDERED"]),
        ({"received": Decimal(9)}, ["MORE_THAN_RECEIVED"]),
        ({"billed_elsewhere": Decimal("0.001")}, ["MORE_THAN_ORDERED", "MORE_THAN_RECEIVED"]),
        ({"billed_price": Decimal("4.53")}, ["OTHER_PRICE"]),
        ({"billed_price": Decimal("4.40")}, ["OTHER_PRICE"]),
        ({"order_price": Decimal(0)}, ["OTHER_PRICE"]),
    ],
)
def test_what_disagrees_is_told(change: dict[str, Decimal | None], told: list[str]) -> None:
    assert reasons(replace(AGREED, **change)) == told  # type: ignore[arg-type]


def test_a_sentence_names_line_order_quantities_and_prices() -> None:
    line = replace(AGREED, billed_elsewhere=Decimal(4), billed_price=Decimal("5.00"))
    assert [each.message for each in match((line,))] == [
        "'Bolts' of order 7: billed 10 and 4 by other bills, ordered 10.",
        "'Bolts' of order 7: billed 10 and 4 by other bills, received 10.",
        "'Bolts' of order 7: unit price 5, ordered at 4.5.",
    ]


def test_a_tolerance_lets_so_much_pass() -> None:
    line = replace(AGREED, billed=Decimal("10.2"), billed_price=Decimal("4.59"))
    assert reasons(line, Tolerance(quantity=Decimal("0.02"), price=Decimal("0.02"))) == []
    assert reasons(replace(line, billed=Decimal("10.21")), Tolerance(quantity=Decimal("0.02"), price=Decimal(1))) == [
        "MORE_THAN_ORDERED",
        "MORE_THAN_RECEIVED",
    ]


@given(ordered=amounts, received=amounts, billed=amounts, elsewhere=amounts)
def test_a_bill_agrees_in_quantity_just_where_it_stays_within_both(
    ordered: Decimal, received: Decimal, billed: Decimal, elsewhere: Decimal
) -> None:
    line = replace(AGREED, ordered=ordered, received=received, billed=billed, billed_elsewhere=elsewhere)
    assert (reasons(line) == []) == (billed + elsewhere <= min(ordered, received))


def test_facts_beside_a_bill_are_read_and_what_is_of_no_order_agrees() -> None:
    assert mismatches({"raw": {"purchase": [FACTS]}}) == mismatches({"raw": {"purchase": [FACTS, FACTS]}})[:1]
    assert [each.reason for each in mismatches({"raw": {"purchase": [FACTS]}})] == [MismatchReason.MORE_THAN_RECEIVED]
    assert mismatches({"raw": {"purchase": [{**FACTS, "received": None}]}}) == ()
    assert mismatches({"raw": {"purchase": []}}) == mismatches({"raw": None}) == ()


@pytest.mark.parametrize("facts", [{}, {**FACTS, "billed": "many"}, {**FACTS, "ordered": None}, "x", 5])
def test_facts_that_cannot_be_read_agree_with_nothing(facts: object) -> None:
    assert [each.reason for each in mismatches({"raw": {"purchase": [facts]}})] == [MismatchReason.UNREADABLE]
