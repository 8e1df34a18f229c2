"""Exchange rates of the days on which money moved that may be about documents in another currency."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from sources.mapping.rates import DEFAULT_TYPE, WINDOW, Quote, Rates, convert, in_minor_units
from sources.matching import evidence
from sources.matching.model import Line, Reason

if TYPE_CHECKING:
    from sources.database.pool import Connection

TOLERANCE: Final = 3
"""Percent by which a payer's bank may convert otherwise than at the day's rate."""


async def read(connection: Connection, wanted: Collection[tuple[str, date]]) -> Rates:
    """Every rate that these currencies may need on these days."""
    if not wanted:
        return Rates()
    currencies = {currency for currency, _ in wanted}
    days = {on - timedelta(days=back) for _, on in wanted for back in range(WINDOW.days + 1) if on > _EARLY}
    rows = await connection.fetch(_RATES, sorted(currencies), sorted(days), DEFAULT_TYPE)
    return Rates(Quote(row["base"], row["quote"], DEFAULT_TYPE, row["on_date"], row["rate"]) for row in rows)


def about(line: Line, expected: int, currency: str, rates: Rates) -> Reason | None:
    """Whether the line is worth about `expected` in the other currency, by the rate of its day."""
    worth_ = worth(rates, line.open, line.currency, currency, line.dated)
    if worth_ is None or worth_ * expected <= 0 or abs(worth_ - expected) * 100 > abs(expected) * TOLERANCE:
        return None
    off = f"{abs(worth_ - expected) * 100 / abs(expected):.1f}"
    text = (
        f"By the rate of {line.dated} it is worth {evidence.money(worth_, currency)}, {off} % off what is open; "
        "the difference would be a realised gain or loss."
    )
    return Reason("AMOUNT_AT_RATE", 20, text)


def worth(rates: Rates, amount: int, currency: str, other: str, on: date) -> int | None:
    """Minor units of the other currency by the day's rate; None: it is not known."""
    rate = rates.rate(currency, other, on)
    return None if rate is None else convert(amount, in_minor_units(rate, currency, other))


_EARLY: Final = date.min + WINDOW
_RATES: Final = """
SELECT base, quote, on_date, rate FROM ledger.rate
WHERE (base = ANY($1::text[]) OR quote = ANY($1::text[])) AND on_date = ANY($2::date[]) AND lower(type) = $3"""
