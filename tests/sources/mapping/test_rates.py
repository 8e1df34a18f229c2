"""Rates are found as they are stated, or not at all; conversion is exact and half-even; what settles is told apart."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.rates import Rates, convert, in_minor_units
from tests.sources.mapping.kit import DAY, spot


def test_the_latest_rate_within_a_week_counts() -> None:
    """An older one is none, nor is one of a later day or of another type."""
    rates = Rates([spot("EUR", "USD", "1.10"), spot("EUR", "USD", "1.50", kind="average")])
    for back, expected in ((0, Fraction("1.1")), (7, Fraction("1.1")), (8, None), (-1, None)):
        assert rates.rate("EUR", "USD", DAY + timedelta(days=back)) == expected
    assert rates.rate("EUR", "USD", DAY, "average") == Fraction("1.5")
    assert rates.rate("EUR", "USD", DAY, "closing") is None
    assert rates.rate("EUR", "EUR", date(1999, 1, 1)) == 1


def test_the_opposite_rate_and_a_third_currency_serve() -> None:
    """As with the ECB's, all against the euro; only rates of one day are combined."""
    rates = Rates(
        [spot("EUR", "USD", "1.25"), spot("EUR", "GBP", "0.8"), spot("EUR", "CHF", "1", DAY - timedelta(days=1))]
    )
    assert rates.rate("USD", "EUR", DAY) == Fraction("0.8")
    assert rates.rate("GBP", "USD", DAY) == Fraction("1.5625")
    assert rates.rate("CHF", "USD", DAY) is None
    assert rates.rate("JPY", "USD", DAY) is None


def test_a_stated_rate_goes_before_a_computed_one() -> None:
    rates = Rates(
        [spot("EUR", "USD", "2"), spot("USD", "EUR", "0.4"), spot("EUR", "GBP", "1"), spot("USD", "GBP", "1")]
    )
    assert rates.rate("USD", "EUR", DAY) == Fraction("0.4")


@pytest.mark.parametrize("rate", ["0", "-1"])
def test_a_rate_that_is_not_positive_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="not positive"):
        Rates([spot("EUR", "USD", rate)])


@given(st.integers(-(10**15), 10**15), st.decimals("0.000001", "100000", places=6))
def test_conversion_is_exact_and_rounds_half_to_even(amount: int, rate: Decimal) -> None:
    with localcontext(prec=60):
        expected = int((amount * rate).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
    assert convert(amount, Fraction(rate)) == expected
    assert convert(-amount, Fraction(rate)) == -expected


def test_minor_units_of_either_size_are_converted() -> None:
    """10,000 yen at 0.0067 are 67 dollars; 1.234 dinars at 2.65 are 3.27 dollars."""
    assert convert(10_000, in_minor_units(Fraction("0.0067"), "JPY", "USD")) == 6_700
    assert convert(1_234, in_minor_units(Fraction("2.65"), "BHD", "USD")) == 327
    assert convert(6_700, in_minor_units(1 / Fraction("0.0067"), "USD", "JPY")) == 10_000
