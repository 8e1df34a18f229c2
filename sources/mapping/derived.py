"""What a document's figures say besides what they state: names that rules speak of as if the source gave them. Pure.

- `line_tax`, of an invoice that states its taxes by line alone: their sum.
- `fee_tax`, of a movement at a processor: how much of what the processor charges is tax. Stripe states it among the `fee_details`
  of the balance transaction, with type tax; a balance transaction of the category tax is tax altogether
  (https://docs.stripe.com/api/balance_transactions/object).
- `settles`, `settled`, `parent`, `returned`, `carried`: by what rates a document in another currency is, or was, in the books, and
  what came back of a dispute (`sources.pipeline.exchange_sql`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
_TAX = frozenset({"tax", "tax_fee"})


def of_invoice(row: Row) -> dict[str, Any]:
    """The names that an invoice has besides its columns."""
    exchange = row.get("exchange") or {}
    return {"line_tax": _line_tax(row), "settles": exchange.get("settles"), "settled": exchange.get("settled")}


def of_payment(row: Row) -> dict[str, Any]:
    """The names that a payment has besides its columns. `settles` may be a column of the row already."""
    exchange = row.get("exchange") or {}
    settles = row.get("settles")
    if settles and "before" in exchange:
        settles = {**settles, "before": exchange["before"]}
    return {
        "settles": settles,
        "parent": exchange.get("parent"),
        "returned": exchange.get("returned"),
        "carried": exchange.get("carried"),
        "fee_tax": _fee_tax(row),
    }


def _line_tax(row: Row) -> int | None:
    """None where the taxes are stated apart, not by line, or by line in other amounts."""
    stated = [line["tax"] for line in row.get("lines") or () if line.get("tax") is not None]
    return sum(stated) if stated and not row.get("taxes") and sum(stated) == row.get("tax") else None


def _fee_tax(row: Row) -> int | None:
    """Minor units as of `fee`; None: not stated, or no whole number of them."""
    raw = row.get("raw")
    if not isinstance(raw, dict):
        return None
    whole = -row["amount"] if row["type"] == "FEE" and (raw.get("reporting_category") or raw.get("type")) in _TAX else 0
    parts = [each for each in _movement(raw).get("fee_details") or () if _is_part(each)]
    stated = sum([each["amount"] for each in parts])
    tax = sum([each["amount"] for each in parts if each.get("type") == "tax"])
    fee = row.get("fee") or 0
    part = 0 if not stated or fee * tax % stated else fee * tax // stated
    return whole + part or None


def _is_part(each: Any) -> bool:
    return isinstance(each, dict) and type(each.get("amount")) is int


def _movement(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The balance transaction: expanded, the first of a dispute's, or the payload itself."""
    held = raw.get("balance_transaction")
    if isinstance(held, dict):
        return held
    several = [each for each in raw.get("balance_transactions") or () if isinstance(each, dict)]
    return min(several, key=lambda each: (each.get("created") or 0, each.get("id") or ""), default=raw)
