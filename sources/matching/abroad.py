"""Documents that a transaction names, and that are in another currency. Pure.

Certain is only what the bank says: what was ordered. What the day's rate makes of it is proposed, as it does not tell what a bank kept
from what the payer took off.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sources.matching import allocating, evidence, exchange
from sources.matching.model import Item, Match, Reason

if TYPE_CHECKING:
    from sources.matching.referring import Referring


def foreign(told: Referring, items: Sequence[Item]) -> Iterator[Match]:
    """These documents, of one currency that is not the transaction's, paid together."""
    line, currency = told.line, items[0].currency
    expected = sum(item.expected for item in items)
    what = f"{evidence.money(expected, currency)}, what is open of {evidence.names_of(items)}"
    if line.instructed == (currency, abs(expected)):
        reason = Reason("AMOUNT_ORDERED", 30, f"The bank says that {what}, was ordered.")
        sound = all(told.naming.is_whole(item.key) for item in items) and told.is_sound(items)
        yield _converted(told, items, reason, certain=sound)
        return
    worth = exchange.worth(told.rates, line.open, line.currency, currency, line.dated)
    if (at_rate := exchange.about(line, expected, currency, told.rates)) is not None:
        yield _converted(told, items, at_rate)
    elif worth is None:
        text = f"It is {what}, in another currency than the payment, and no rate of the day is known."
        yield _converted(told, items, Reason("OTHER_CURRENCY", 0, text))
    elif len(items) == 1 and worth:
        yield _part(told, items[0], worth)


def _converted(told: Referring, items: Sequence[Item], reason: Reason, *, certain: bool = False) -> Match:
    shares = allocating.shares(told.line.open, [item.expected for item in items])
    pairs = zip(items, shares, strict=True)
    parts = tuple(allocating.of_item(item, item.expected, share) for item, share in pairs)
    return Match(told.line.key, parts, told.reasons(items, reason), certain=certain)


def _part(told: Referring, item: Item, worth: int) -> Match:
    """By the day's rate less than is open, or more: the rest of the money then stays with the party."""
    line, stated = told.line, evidence.money(worth, item.currency)
    if abs(worth) < abs(item.expected):
        text = f"By the rate of {line.dated} it is {stated}, a part of what is open of {evidence.name_of(item)}."
        reasons = told.reasons([item], Reason("PARTIAL", 10, text))
        return Match(line.key, (allocating.of_item(item, worth, line.open),), reasons)
    money = allocating.shares(line.open, [item.expected, worth - item.expected])
    more = allocating.on_account(line, money[1], allocating.side_of(item), item.party_id)
    text = f"By the rate of {line.dated} it is {stated}, more than is open of {evidence.name_of(item)}."
    reasons = told.reasons([item], Reason("OVERPAID", 5, text))
    return Match(line.key, (allocating.of_item(item, item.expected, money[0]), more), reasons)
