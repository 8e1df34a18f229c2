"""Dated exchange rates, looked up without guessing. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

from sources.money import EXPONENTS

WINDOW: Final = timedelta(days=7)
"""How much older than its day a rate may be: banks publish none on week-ends and holidays."""

DEFAULT_TYPE: Final = "spot"


class Quote(NamedTuple):
    """One unit of `base` costs `rate` units of `quote`, on that day. `type` is a word such as "spot" or "average"."""

    base: str
    quote: str
    type: str
    on: date
    rate: Decimal | Fraction


class Rates:
    """Rates by pair, type and day. A rate that is zero or negative is refused with ValueError."""

    def __init__(self, quotes: Iterable[Quote] = ()) -> None:
        self._days: dict[tuple[str, str, str], dict[date, Fraction]] = defaultdict(dict)
        self._partners: dict[tuple[str, str], set[str]] = defaultdict(set)
        self._found: dict[tuple[str, str, date, str], Fraction | None] = {}
        self.missed: set[tuple[str, date]] = set()
        """Currencies and days that were asked for in vain: who holds more rates may look for those."""
        for quote in quotes:
            rate = Fraction(quote.rate)
            if rate <= 0:
                raise ValueError(f"the rate of {quote.base} in {quote.quote} on {quote.on} is not positive")
            self._days[quote.base, quote.quote, quote.type][quote.on] = rate
            self._partners[quote.base, quote.type].add(quote.quote)
            self._partners[quote.quote, quote.type].add(quote.base)

    def rate(self, base: str, quote: str, on: date, type: str = DEFAULT_TYPE) -> Fraction | None:  # noqa: A002
        """What one unit of `base` costs in `quote` on that day, or on the latest day before within a week; None: not known.
        A day's rate is the stated one, else the inverse of the opposite one, else by way of a third currency that both have a
        rate with on that very day (the first in alphabetical order)."""
        if base == quote:
            return Fraction(1)
        key = (base, quote, on, type)
        if key not in self._found:
            days = (on - timedelta(days=back) for back in range(WINDOW.days + 1))
            self._found[key] = next((rate for day in days if (rate := self._on(base, quote, day, type))), None)
            if self._found[key] is None:
                self.missed.add((base, on))
        return self._found[key]

    def _on(self, base: str, quote: str, day: date, kind: str) -> Fraction | None:
        if direct := self._pair(base, quote, day, kind):
            return direct
        for third in sorted(self._partners[base, kind] & self._partners[quote, kind]):
            first, second = self._pair(base, third, day, kind), self._pair(third, quote, day, kind)
            if first and second:
                return first * second
        return None

    def _pair(self, base: str, quote: str, day: date, kind: str) -> Fraction | None:
        if stated := self._days.get((base, quote, kind), {}).get(day):
            return stated
        opposite = self._days.get((quote, base, kind), {}).get(day)
        return 1 / opposite if opposite else None


def in_minor_units(rate: Fraction, base: str, quote: str) -> Fraction:
    """The rate between minor units: 1 JPY = 0.0067 USD is 0.67 cents of a yen."""
    return rate * Fraction(10) ** (EXPONENTS[quote] - EXPONENTS[base])


def convert(amount: int, rate: Fraction) -> int:
    """Minor units at a rate of `in_minor_units`, half to even."""
    whole, rest = divmod(amount * rate.numerator, rate.denominator)
    twice = 2 * rest
    return whole + (twice > rate.denominator or (twice == rate.denominator and whole % 2 == 1))
