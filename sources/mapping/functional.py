"""Lines into balanced lines: functional amounts by dated rates, exchange differences and roundings as lines of their own. Pure.

Where all lines are in one currency, they must balance in it. Each is converted half to even; what that leaves over goes to
the account `rounding`. A line that is taken out of the books at the rate it came in by (`rate_on`) leaves a realised gain or
loss: a receivable of 100 EUR booked at 1.10 and paid at 1.20 is credited with 110, and 10 are a gain (IAS 21.28). Where currencies differ (a payer paid in another one than the processor credited), the whole difference is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from fractions import Fraction
from typing import Final, NamedTuple

from sources.mapping.compiled import NotMapped
from sources.mapping.model import MappedLine, UnmappedCode
from sources.mapping.rates import WINDOW, Rates, convert, in_minor_units
from sources.money import EXPONENTS, format_minor

Side = Callable[[str], str]
"""The code of the account "rounding", "exchange_gain" or "exchange_loss"."""

_IMPLAUSIBLE: Final = 2
"""A difference of more than one half of the debits is no exchange difference, but a mistake of the rule."""


class Line(NamedTuple):
    """A line before its functional amount is known. `rate_on`: the day whose rate it is in the books by. `carried`: amounts and
    days, which sum to the amount; each was, or is to be, converted by itself. () where the whole is."""

    account: str
    amount: int
    currency: str
    rate_on: date | None
    description: str | None
    tax_code: str | None
    dimensions: tuple[tuple[str, str], ...]
    carried: tuple[tuple[int, date], ...] = ()


class Exchange:
    """The rates of one posting, whose day is `day`."""

    def __init__(self, rates: Rates, functional: str, kind: str, day: date) -> None:
        self.functional = functional
        self.day = day
        self._rates = rates
        self._kind = kind

    def rate(self, currency: str, on: date) -> Fraction:
        """Between minor units. Raises NotMapped."""
        rate = self._rates.rate(currency, self.functional, on, self._kind)
        if rate is None:
            window = f"on {on} or in the {WINDOW.days} days before"
            message = f"there is no {self._kind} rate from {currency} to {self.functional} {window}"
            hint = f"Record the {self._kind} rate of {currency} in {self.functional} on {on}: `setRates`, or `ledgergraph rates import`."
            raise NotMapped(UnmappedCode.MISSING_RATE, message, hint)
        return in_minor_units(rate, currency, self.functional)

    def booked(self, line: Line) -> int:
        """What the line is in the books by, in functional minor units. Raises NotMapped."""
        if not line.carried:
            return convert(line.amount, self.rate(line.currency, line.rate_on or self.day))
        return sum([convert(amount, self.rate(line.currency, day)) for amount, day in line.carried])

    def is_at(self, rate: Fraction, line: Line) -> bool:
        """Whether the line is in the books by this rate alone: then nothing of it is a gain or loss. Raises NotMapped."""
        days = {day for _, day in line.carried} or {line.rate_on or self.day}
        return all(self.rate(line.currency, day) == rate for day in days)


def completed(lines: Sequence[Line], exchange: Exchange, side: Side, what: str) -> tuple[MappedLine, ...]:
    """The lines with functional amounts, and what balances those. () where there are none. Raises NotMapped."""
    if not lines:
        return ()
    currency = lines[0].currency
    if any(line.currency != currency for line in lines):
        return _of_several_currencies(lines, exchange, side, what)
    if off := sum([line.amount for line in lines]):
        raise _unbalanced(what, off, currency)
    if currency == exchange.functional:
        return tuple(
            [
                MappedLine(account, amount, currency, None, description, tax_code, dimensions)
                for account, amount, _, _, description, tax_code, dimensions, _ in lines
            ]
        )
    return _of_one_currency(lines, exchange, side)


def _of_one_currency(lines: Sequence[Line], exchange: Exchange, side: Side) -> tuple[MappedLine, ...]:
    currency = lines[0].currency
    rate = exchange.rate(currency, exchange.day)
    mapped: list[MappedLine] = []
    difference = residual = 0
    for line in lines:
        booked = exchange.booked(line)
        at_settlement = convert(line.amount, rate)
        if exchange.is_at(rate, line):
            residual -= booked
        else:
            difference += at_settlement - booked
            residual -= at_settlement
        mapped.append(_mapped(line, booked))
    if difference:
        gain_or_loss = "exchange_gain" if difference < 0 else "exchange_loss"
        mapped.append(MappedLine(side(gain_or_loss), 0, currency, difference))
    if residual:
        mapped.append(MappedLine(side("rounding"), 0, currency, residual))
    return tuple(mapped)


def _of_several_currencies(lines: Sequence[Line], exchange: Exchange, side: Side, what: str) -> tuple[MappedLine, ...]:
    mapped: list[MappedLine] = []
    off = debits = 0
    for line in lines:
        if line.currency == exchange.functional:
            amount = line.amount
            mapped.append(_mapped(line, None))
        else:
            amount = exchange.booked(line)
            mapped.append(_mapped(line, amount))
        off += amount
        debits += max(amount, 0)
    if abs(off) * _IMPLAUSIBLE > debits:
        raise _unbalanced(what, off, exchange.functional)
    if off:
        gain_or_loss = "exchange_gain" if off > 0 else "exchange_loss"
        mapped.append(MappedLine(side(gain_or_loss), -off, exchange.functional))
    return tuple(mapped)


def _mapped(line: Line, functional: int | None) -> MappedLine:
    return MappedLine(
        line.account, line.amount, line.currency, functional, line.description, line.tax_code, line.dimensions
    )


def _unbalanced(what: str, off: int, currency: str) -> NotMapped:
    more, less = ("debits", "credits") if off > 0 else ("credits", "debits")
    amount = f"{format_minor(abs(off), EXPONENTS[currency])} {currency}"
    message = f"{what} does not balance: its {more} exceed its {less} by {amount}"
    return NotMapped(
        UnmappedCode.UNBALANCED, message, "Change the rule so that its debits and credits are of the same amounts."
    )
