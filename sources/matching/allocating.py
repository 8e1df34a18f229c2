"""Money divided among documents: never more than is open of one, never more than there is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from sources.errors import InvalidArgument
from sources.matching.model import Allocation, Item, ItemKey, Line, Side

MAX_ITEMS: Final = 24
"""Documents among which a sum is looked for."""
FEW: Final = 10
"""Of so many every sum is looked at: only then is it known that there is none."""
_STEPS: Final = 4_000


class Unfit(InvalidArgument):
    """Allocations that do not fit the transaction, or what is open; the text says why, for a person."""


def of_item(item: Item, amount: int, bank_amount: int | None = None) -> Allocation:
    """`amount` in the document's currency; `bank_amount` where the bank's is another."""
    return Allocation(
        item.key,
        side_of(item),
        item.currency,
        amount,
        amount if bank_amount is None else bank_amount,
        item.dated,
        item.number,
        item.party_id,
    )


def side_of(item: Item) -> Side:
    """The side of its party's account."""
    return Side.RECEIVABLE if item.side is Side.PAID_ELSEWHERE else item.side


def fee(line: Line, amount: int) -> Allocation:
    """What the bank kept: the opposite sign of the transaction's where it kept it of money that came in."""
    return Allocation(ItemKey("fee", "", "", ""), Side.FEES, line.currency, amount, amount)


def write_off(line: Line, amount: int, side: Side, party_id: str | None) -> Allocation:
    """What nobody pays any more."""
    return Allocation(
        ItemKey("write_off", "", "", ""), Side.WRITE_OFF, line.currency, amount, amount, party_id=party_id
    )


def on_account(line: Line, amount: int, side: Side, party_id: str | None) -> Allocation:
    """What stays with the party: paid too much, or in advance."""
    return Allocation(ItemKey("on_account", "", "", ""), side, line.currency, amount, amount, party_id=party_id)


def to_account(line: Line, amount: int, code: str) -> Allocation:
    """To an account of the ledger."""
    return Allocation(ItemKey("account", "", "", code), Side.ACCOUNT, line.currency, amount, amount)


def returned(allocations: Iterable[Allocation]) -> tuple[Allocation, ...]:
    """The same taken back."""
    return tuple(replace(each, amount=-each.amount, bank_amount=-each.bank_amount) for each in allocations)


def merged(allocations: Iterable[Allocation]) -> tuple[Allocation, ...]:
    """What goes to one document as one allocation, in the place of the first."""
    found: dict[object, Allocation] = {}
    for at, each in enumerate(allocations):
        key = each.key if each.is_of_document else at
        before = found.get(key)
        found[key] = each if before is None else _both(before, each)
    return tuple(found.values())


def _both(one: Allocation, other: Allocation) -> Allocation:
    return replace(one, amount=one.amount + other.amount, bank_amount=one.bank_amount + other.bank_amount)


def uses(allocation: Allocation) -> int:
    """By how much the allocation changes what is used of its document. Of another bank transaction, what moves the other way."""
    return -allocation.amount if allocation.key.kind == "bank_transaction" else allocation.amount


def check(line: Line, items: dict[ItemKey, Item], allocations: Sequence[Allocation]) -> None:
    """Raises Unfit. `items`: what the allocations name; a document that is taken twice counts twice."""
    if not allocations:
        raise Unfit("a match has at least one allocation")
    total = sum(each.bank_amount for each in allocations)
    if total * line.open <= 0 or abs(total) > abs(line.open):
        raise Unfit("the allocations come to more than what of the transaction is not matched yet, or go the other way")
    used: dict[ItemKey, int] = {}
    for each in allocations:
        if each.amount == 0 or each.amount * each.bank_amount <= 0:
            raise Unfit("an allocation is not zero, and of one sign in both currencies")
        if each.is_of_document:
            _check_document(line, items, each)
            used[each.key] = used.get(each.key, 0) + uses(each)
        elif each.currency != line.currency or each.amount != each.bank_amount:
            raise Unfit("a fee, a write-off and what stays on account are in the transaction's currency")
    for key, amount in used.items():
        item = items[key]
        rest = item.open - amount
        if rest * item.amount < 0 or abs(rest) > abs(item.amount):
            raise Unfit(f"the allocations come to more than what is open of {item.number or key.external_id}")


def _check_document(line: Line, items: dict[ItemKey, Item], allocation: Allocation) -> None:
    item = items.get(allocation.key)
    if item is None or allocation.key == line.key:
        raise Unfit(f"there is no document {allocation.key.external_id[:80]} that can be matched")
    if allocation.currency != item.currency:
        raise Unfit("an allocation is in its document's currency")
    if allocation.currency == line.currency and allocation.amount != allocation.bank_amount:
        raise Unfit("an allocation in the transaction's currency is of one amount")


def shares(whole: int, weights: Sequence[int]) -> list[int]:
    """`whole` in parts as the weights are, to the last minor unit: none is further from its share than rounding is."""
    total, given, before = sum(weights), 0, 0
    found = []
    for weight in weights:
        before += weight
        upto = whole * before // total
        found.append(upto - given)
        given = upto
    return found


def apply(line: Line, items: dict[ItemKey, Item], allocations: Iterable[Allocation]) -> None:
    """What is open after the match."""
    for each in allocations:
        items[line.key].open -= each.bank_amount
        if each.is_of_document:
            items[each.key].open -= uses(each)


def is_sum_of_few(amounts: Sequence[int], wanted: int) -> bool:
    """Whether one, two or three of the amounts come to `wanted`."""
    for at, first in enumerate(amounts):
        rest, seen = wanted - first, set[int]()
        if rest == 0:
            return True
        for second in amounts[at + 1 :]:
            if second == rest or rest - second in seen:
                return True
            seen.add(second)
    return False


def sums(amounts: Sequence[int], wanted: int, least: int = 1) -> list[tuple[int, ...]]:
    """Positions of at least `least` amounts that come to `wanted`: [] none, one if there is just one way, two if there are several,
    or if looking for another one took too long. The first found takes early positions."""
    found: list[tuple[int, ...]] = []
    count = min(len(amounts), MAX_ITEMS)
    above, below = [0] * (count + 1), [0] * (count + 1)
    for at in range(count - 1, -1, -1):
        above[at] = above[at + 1] + max(amounts[at], 0)
        below[at] = below[at + 1] + min(amounts[at], 0)
    steps = 0
    chosen: list[int] = []

    def look(at: int, left: int) -> bool:
        """Whether to stop."""
        nonlocal steps
        steps += 1
        if len(found) == 2 or steps > _STEPS:
            return True
        if at == count or not below[at] <= left <= above[at]:
            return False
        chosen.append(at)
        rest = left - amounts[at]
        if rest == 0 and len(chosen) >= least:
            found.append(tuple(chosen))
        if look(at + 1, rest):
            return True
        chosen.pop()
        return look(at + 1, left)

    look(0, wanted)
    return found * 2 if len(found) == 1 and steps > _STEPS else found
