"""The three-way match of a bill: what was ordered, what was received, what is billed, line by line. Pure: no I/O.

    mismatches(invoice's row) -> (), it is matched, or what disagrees

A bill agrees with its order where each line's quantity, with what other bills in the books have of the same order line, is no more
than was ordered and no more than was received, and its unit price is what was ordered. Less is no fault: another bill may follow.
A line that is of no order, or that nothing is delivered of, is not held against one. The facts are of the connector, in the raw
payload under "purchase": one item for each order line, with the fields of `OrderLine` as texts, in one unit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final

CODE: Final = "THREE_WAY_MISMATCH"
HINT: Final = "Correct the bill, the receipt or the order in its source: then it posts by itself. Resolve this issue, and it posts as it is."


class MismatchReason(StrEnum):
    """What disagrees."""

    MORE_THAN_ORDERED = "MORE_THAN_ORDERED"
    MORE_THAN_RECEIVED = "MORE_THAN_RECEIVED"
    OTHER_PRICE = "OTHER_PRICE"
    UNREADABLE = "UNREADABLE"


@dataclass(frozen=True, slots=True)
class Tolerance:
    """By how much a bill may differ, as a part of what was agreed: Decimal("0.01") is 1 %. A price may differ either way."""

    quantity: Decimal = Decimal(0)
    price: Decimal = Decimal("0.005")


DEFAULT_TOLERANCE: Final = Tolerance()
"""No more than was ordered or received, and a price within 0.5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderLine:
    """What a bill, the order and its receipts say of one order line; quantities in one unit, prices for one of it.
    A credit note bills a negative quantity. `line`: what the bill calls it. `order`: the order's number. `received` None: nothing is delivered of it.
    `billed_elsewhere`: by other bills that are in the books."""

    line: str
    order: str | None
    ordered: Decimal
    order_price: Decimal
    billed: Decimal
    billed_price: Decimal
    received: Decimal | None = None
    billed_elsewhere: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One thing that disagrees. `message`: a sentence with the line, and its quantities or prices."""

    reason: MismatchReason
    message: str


def match(lines: tuple[OrderLine, ...], tolerance: Tolerance = DEFAULT_TOLERANCE) -> tuple[Mismatch, ...]:
    """All that disagrees; (): the bill is matched."""
    return tuple([found for line in lines for found in _line(line, tolerance)])


def mismatches(row: Mapping[str, Any], tolerance: Tolerance = DEFAULT_TOLERANCE) -> tuple[Mismatch, ...]:
    """`match` for a row of mirror.invoice, its raw payload decoded; (): it agrees, or is of no order. Facts that cannot be read
    agree with nothing."""
    raw = row.get("raw")
    facts = raw.get("purchase") if isinstance(raw, Mapping) else None
    if not facts:
        return ()
    try:
        return match(tuple([_order_line(each) for each in facts]), tolerance)
    except (AttributeError, KeyError, TypeError, InvalidOperation):
        return (Mismatch(MismatchReason.UNREADABLE, "What its order says of it cannot be read."),)


def _line(line: OrderLine, tolerance: Tolerance) -> list[Mismatch]:
    named = (
        f"{line.line!r} of order {line.order}" if line.order else f"{line.line!r}, whose order is not there any more,"
    )
    billed = line.billed + line.billed_elsewhere
    said = f"{named}: billed {_shown(line.billed)}"
    if line.billed_elsewhere:
        said += f" and {_shown(line.billed_elsewhere)} by other bills"
    found = []
    most = 1 + tolerance.quantity
    if billed > line.ordered * most:
        message = f"{said}, ordered {_shown(line.ordered)}."
        found.append(Mismatch(MismatchReason.MORE_THAN_ORDERED, message))
    if line.received is not None and billed > line.received * most:
        message = f"{said}, received {_shown(line.received)}."
        found.append(Mismatch(MismatchReason.MORE_THAN_RECEIVED, message))
    if abs(line.billed_price - line.order_price) > line.order_price * tolerance.price:
        message = f"{named}: unit price {_shown(line.billed_price)}, ordered at {_shown(line.order_price)}."
        found.append(Mismatch(MismatchReason.OTHER_PRICE, message))
    return found


def _order_line(facts: Mapping[str, Any]) -> OrderLine:
    numbers = ("ordered", "order_price", "billed", "billed_price")
    received, elsewhere = facts.get("received"), facts.get("billed_elsewhere")
    return OrderLine(
        line=str(facts["line"]),
        order=facts.get("order"),
        **{name: Decimal(facts[name]) for name in numbers},
        received=None if received is None else Decimal(received),
        billed_elsewhere=Decimal(elsewhere or 0),
    )


def _shown(number: Decimal) -> str:
    shown = format(number, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown
