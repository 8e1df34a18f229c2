"""Amounts are divided exactly: no unit appears or disappears, whatever the shares and the sign."""

from __future__ import annotations

import calendar
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.mapping.splitting import MAX_MONTHS, months, split, whole_weights

AMOUNTS = st.integers(-(10**15), 10**15)
SHARES = st.lists(st.fractions(0, 1000, max_denominator=1000), min_size=1, max_size=12).filter(any)
DAYS = st.dates(date(1999, 1, 1), date(2040, 1, 1))


@given(AMOUNTS, SHARES)
def test_parts_sum_to_the_amount_and_are_off_by_less_than_one(amount: int, shares: list[Fraction]) -> None:
    """Each part is its exact share, rounded up or down, with the sign of the amount."""
    parts = split(amount, whole_weights(shares))
    assert sum(parts) == amount
    for part, share in zip(parts, shares, strict=True):
        assert abs(part - Fraction(amount) * share / sum(shares)) < 1
        assert part * amount >= 0


@given(AMOUNTS, SHARES)
def test_a_negative_amount_splits_as_the_positive_one_does(amount: int, shares: list[Fraction]) -> None:
    """So that what is split on both sides of an entry balances part by part."""
    weights = whole_weights(shares)
    assert split(-amount, weights) == tuple(-part for part in split(amount, weights))


def test_the_largest_remainders_get_what_is_left() -> None:
    """Of equal ones, the first."""
    assert split(100, (1, 1, 1)) == (34, 33, 33)
    assert split(-100, (1, 1, 1)) == (-34, -33, -33)
    assert split(5, whole_weights([Fraction("33.3"), Fraction("66.7")])) == (2, 3)
    assert split(1, (0, 1, 0)) == (0, 1, 0)
    assert split(0, (1, 2)) == (0, 0)


@pytest.mark.parametrize("shares", [[], [0, 0], [1, -1], [-1]])
def test_shares_that_say_nothing_are_refused(shares: list[int]) -> None:
    with pytest.raises(ValueError, match="share"):
        whole_weights([Fraction(share) for share in shares])


@given(DAYS, st.integers(0, 3000))
def test_months_hold_every_day_of_a_period_once(first: date, length: int) -> None:
    """Each part ends with its month, and they follow each other."""
    last = first + timedelta(days=length)
    found = months(first, last)
    assert sum(month.days for month in found) == length + 1
    assert all(month.end.day == calendar.monthrange(month.end.year, month.end.month)[1] for month in found)
    assert found[0].label == f"{first:%Y-%m}"
    assert found[-1].label == f"{last:%Y-%m}"
    assert len({month.label for month in found}) == len(found)


def test_a_period_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        months(date(2026, 1, 2), date(2026, 1, 1))
    assert len(months(date(2026, 1, 1), date(2035, 12, 31))) == MAX_MONTHS
    with pytest.raises(ValueError, match="more than 120 months"):
        months(date(2026, 1, 1), date(2036, 1, 1))
    assert months(date(9999, 12, 1), date(9999, 12, 31))[0].days == 31
