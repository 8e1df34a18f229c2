"""Allocations as a person states them: amounts as decimals, in the currencies that the documents have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sources.matching.allocating import Unfit
from sources.matching.model import Allocation, Item, ItemKey, Side
from sources.money import EXPONENTS, parse_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """`amount`: of the transaction's money, signed as it; None: what the others leave of it. `document_amount`: in the document's
    currency, where that is another."""

    key: ItemKey
    amount: str | None
    document_amount: str | None = None
    side: Side = Side.CLEARING
    party_id: str | None = None


def allocations(currency: str, held: Mapping[ItemKey, Item], stated: Sequence[Stated], money: int) -> list[Allocation]:
    """`money`: minor units that are to be divided. Raises Unfit for an amount that its currency does not have, and where more than one
    is left out."""
    amounts = [None if each.amount is None else _minor(each.amount, currency) for each in stated]
    if amounts.count(None) > 1:
        raise Unfit("of the allocations one may be without an amount: it is what the others leave")
    rest = money - sum(filter(None, amounts))
    found = []
    for each, part in zip(stated, amounts, strict=True):
        item = held.get(each.key)
        own = item.currency if item else currency
        bank_amount = rest if part is None else part
        amount = bank_amount if each.document_amount is None else _minor(each.document_amount, own)
        if own != currency and each.document_amount is None:
            raise Unfit(f"the document is in {own}: state how much of it the money settles")
        found.append(Allocation(each.key, each.side, own, amount, bank_amount, party_id=each.party_id))
    return found


def _minor(text: str, currency: str) -> int:
    try:
        return parse_minor(text, EXPONENTS[currency])
    except ValueError as fault:
        raise Unfit(f"an amount in {currency} {fault}") from None
