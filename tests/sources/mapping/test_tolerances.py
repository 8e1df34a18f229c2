"""By how much a bill may differ from its order is for the rules to say."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sources.mapping.matching_bills import DEFAULT_TOLERANCE, Tolerance
from sources.mapping.model import InvalidRules
from sources.mapping.rules import load

STATED = 'extends = "starter"\n[three_way_match]\n'


@pytest.mark.parametrize(
    ("stated", "found"),
    [
        ('price_tolerance = "0.01"\nquantity_tolerance = "0.1"', Tolerance(Decimal("0.1"), Decimal("0.01"))),
        ('price_tolerance = "0"', Tolerance(DEFAULT_TOLERANCE.quantity, Decimal(0))),
        ("", DEFAULT_TOLERANCE),
    ],
)
def test_what_is_stated_holds_and_what_is_not_is_the_default(stated: str, found: Tolerance) -> None:
    assert load(STATED + stated).tolerance == found


@pytest.mark.parametrize("value", ['"-0.1"', '"1.1"', "0.01", '"1e-2"', '"one"', "true", '"0.00000000000000000001"'])
def test_what_is_no_part_is_told_with_its_line_and_key(value: str) -> None:
    with pytest.raises(InvalidRules) as refused:
        load(f"{STATED}price_tolerance = {value}", "us.toml")
    (fault,) = refused.value.faults
    assert (fault.file, fault.line, fault.key) == ("us.toml", 3, "three_way_match.price_tolerance")
    assert 'a part between "0" and "1"' in fault.message


def test_an_unknown_key_and_what_is_no_table_are_told() -> None:
    with pytest.raises(InvalidRules, match="price_tolerance, quantity_tolerance"):
        load(f'{STATED}tolerance = "0.01"')
    with pytest.raises(InvalidRules, match="must be a table"):
        load('extends = "starter"\nthree_way_match = "0.01"\n')
