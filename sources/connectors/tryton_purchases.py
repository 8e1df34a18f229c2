"""What a purchase order and its receipts say of a bill's lines, as plain texts beside the bill: `raw["purchase"]`.

One item for each order line that a bill has lines of, in the order line's own unit; `sources.mapping.matching_bills` judges it.

    line               what the bill says of it        order          the purchase's number
    ordered, billed    quantities                      order_price    billed_price    for one unit
    received           of what was ordered; absent where nothing is delivered (a service)
    billed_elsewhere   on other bills that are in the books

Facts: Tryton's modules purchase and stock, https://docs.tryton.org/latest/modules-purchase/. A quantity in another unit of the
same kind is converted by the units' factors. Quantities count in the direction of the order: those of a return, which are
negative at Tryton, are positive here, and those of a credit note about an order of goods are negative. No I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final

from sources.connectors.tryton_values import Record, decimal, listed, need_decimal, related, text, written

MODEL: Final = "purchase.line"
FIELDS: Final = (
    "purchase.number", "quantity", "unit_price", "unit.factor", "movable", "product.rec_name",
    "moves.state", "moves.quantity", "moves.unit.factor",
    "invoice_lines.quantity", "invoice_lines.unit.factor", "invoice_lines.invoice", "invoice_lines.invoice.state",
)  # fmt: skip
"""What is read of purchase.line."""

_IN_THE_BOOKS: Final = ("posted", "paid")


def order_lines_of(invoices: Iterable[Record]) -> list[int]:
    """Ids of the order lines that bills have lines of."""
    found = {
        order
        for each in invoices
        if each.get("type") == "in"
        for line in listed(each, "lines")
        if (order := _order(line))
    }
    return sorted(found)


def purchase_facts(invoice: Record, orders: Mapping[int, Record]) -> list[dict[str, Any]]:
    """What `orders`, by id, say of a bill's lines. Raises UnreadableRecord."""
    lines: dict[int, list[Record]] = {}
    for line in listed(invoice, "lines"):
        order = _order(line) if invoice.get("type") == "in" else None
        if order is not None:
            lines.setdefault(order, []).append(line)
    return [_facts(invoice["id"], mine, orders.get(order, {})) for order, mine in lines.items()]


def other_bills(invoice_ids: Iterable[int], orders: Iterable[Record]) -> list[int]:
    """Bills of the same order lines, whose own match these bills change."""
    mine = set(invoice_ids)
    others = {
        line["invoice"]
        for order in orders
        for line in listed(order, "invoice_lines")
        if type(line.get("invoice")) is int
    }
    return sorted(others - mine)


def _order(line: Record) -> int | None:
    model, _, number = str(line.get("origin") or "").partition(",")
    return int(number) if model == MODEL and number.isdecimal() else None


def _facts(invoice_id: int, lines: list[Record], order: Record) -> dict[str, Any]:
    facts: dict[str, Any] = {"line": _label(lines[0], order)}
    sign = -1 if (decimal(order, "quantity") or 0) < 0 else 1
    if not order:  # deleted, or hidden from the user: nothing agrees with it
        facts |= {"order": None, "ordered": "0", "order_price": "0"}
    else:
        facts |= {
            "order": text(related(order, "purchase"), "number") or str(order["id"]),
            "ordered": written(abs(need_decimal(order, "quantity"))),
            "order_price": written(need_decimal(order, "unit_price")),
        }
    if order.get("movable"):
        done = [move for move in listed(order, "moves") if move.get("state") == "done"]
        facts["received"] = written(abs(_sum(done, order)))
    elsewhere = [
        line
        for line in listed(order, "invoice_lines")
        if line.get("invoice") != invoice_id and related(line, "invoice").get("state") in _IN_THE_BOOKS
    ]
    price = need_decimal(lines[0], "unit_price") * _factor(order) / _factor(lines[0])
    dearest = max([price, *(need_decimal(line, "unit_price") * _factor(order) / _factor(line) for line in lines[1:])])
    return facts | {
        "billed": written(sign * _sum(lines, order)),
        "billed_price": written(dearest),
        "billed_elsewhere": written(sign * _sum(elsewhere, order)),
    }


def _label(line: Record, order: Record) -> str:
    return text(line, "description") or text(related(order, "product"), "rec_name") or f"line {line.get('id', '')}"


def _factor(record: Record) -> Decimal:
    """How many of its kind's smallest unit a unit is; 1 where there is no unit."""
    return decimal(related(record, "unit"), "factor") or Decimal(1)


def _sum(records: Iterable[Record], order: Record) -> Decimal:
    """Quantities in the order's unit. To a millionth: factors such as a third of a dozen are rounded at Tryton."""
    total = Decimal(0)
    for each in records:
        factor, own = _factor(each), _factor(order)
        quantity = decimal(each, "quantity") or Decimal(0)
        total += quantity if factor == own else (quantity * factor / own).quantize(Decimal("0.000001"))
    return total
