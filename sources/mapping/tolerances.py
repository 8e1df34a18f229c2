"""[three_way_match] of a rule file: by how much a bill may differ from its order. No I/O."""

from __future__ import annotations

from decimal import Decimal

from sources.mapping.matching_bills import DEFAULT_TOLERANCE, Tolerance
from sources.mapping.nodes import Node
from sources.money import DECIMAL

_LONGEST = 20


def read_tolerance(root: Node) -> Tolerance:
    """What the file states, else the default. Faults are noted."""
    node = root.table("three_way_match")
    default = DEFAULT_TOLERANCE
    if node is None:
        return default
    node.only("price_tolerance", "quantity_tolerance")
    price, quantity = _part(node, "price_tolerance"), _part(node, "quantity_tolerance")
    return Tolerance(
        quantity=default.quantity if quantity is None else quantity, price=default.price if price is None else price
    )


def _part(node: Node, key: str) -> Decimal | None:
    stated = node.values.get(key)
    if stated is None:
        return None
    if isinstance(stated, str) and len(stated) <= _LONGEST and DECIMAL.fullmatch(stated) and 0 <= Decimal(stated) <= 1:
        return Decimal(stated)
    node.fault('must be a part between "0" and "1" as a text: "0.01" is 1 %', key)
    return None
