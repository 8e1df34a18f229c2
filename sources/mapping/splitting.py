"""Amounts divided exactly: by shares, and over the months of a period. Pure; amounts are minor units of either sign."""

from __future__ import annotations

import calendar
import math
from collections.abc import Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Final, NamedTuple

MAX_MONTHS: Final = 120
"""A period of more months is taken for a mistake."""


def whole_weights(shares: Sequence[Fraction]) -> tuple[int, ...]:
    """The shares as whole numbers in the same proportion. Raises ValueError: no share, a negative one, or all zero."""
    if not shares or not any(shares):
        raise ValueError("all shares are zero; state at least one that is not")
    if min(shares) < 0:
        raise ValueError("a share is negative; turn the side of the line instead")
    scale = math.lcm(*(share.denominator for share in shares))
    weights = [int(share * scale) for share in shares]
    common = math.gcd(*weights)
    return tuple(weight // common for weight in weights)


def split(amount: int, weights: Sequence[int]) -> tuple[int, ...]:
    """Parts that sum to the amount exactly, each less than one unit from its exact share: whole units first, then one more
    to the largest remainders, the first of equals first (largest remainder). A negative amount splits as the positive one
    does. `weights` are of `whole_weights`."""
    total, size = sum(weights), abs(amount)
    quotients = [divmod(size * weight, total) for weight in weights]
    parts = [whole for whole, _ in quotients]
    rest = size - sum(parts)
    for index in sorted(range(len(parts)), key=lambda index: -quotients[index][1])[:rest]:
        parts[index] += 1
    return tuple(parts) if amount >= 0 else tuple(-part for part in parts)


class Month(NamedTuple):
    """A part of a period: `label` is "2026-01", `end` the month's last day, `days` how many of its days are in the period."""

    label: str
    end: date
    days: int


def months(first: date, last: date) -> tuple[Month, ...]:
    """The months that a period touches; both days belong to it. Raises ValueError: it ends before it begins, or has more than
    MAX_MONTHS months."""
    if last < first:
        raise ValueError(f"the period from {first} to {last} ends before it begins")
    if (last.year - first.year) * 12 + last.month - first.month >= MAX_MONTHS:
        raise ValueError(f"the period from {first} to {last} has more than {MAX_MONTHS} months")
    found = []
    day = first
    while day <= last:
        end = day.replace(day=calendar.monthrange(day.year, day.month)[1])
        found.append(Month(f"{day:%Y-%m}", end, (min(end, last) - day).days + 1))
        if end >= last:
            break
        day = end + timedelta(days=1)
    return tuple(found)
