"""Matches that cannot stand without others: those that took one back, and those that used what only it had given back. Every caller holds
the ledger's claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sources.matching import allocating, items, kept
from sources.matching.kept import Matches
from sources.matching.model import LIVE, Allocation, Item, ItemKey

if TYPE_CHECKING:
    from sources.database.pool import Connection


def uses(matches: Iterable[tuple[ItemKey, Sequence[Allocation]]]) -> Counter[ItemKey]:
    """By how much these matches change what is used of each document, and of their transactions."""
    used: Counter[ItemKey] = Counter()
    for line, allocations in matches:
        for each in allocations:
            used[line] += each.bank_amount
            if each.is_of_document:
                used[each.key] += allocating.uses(each)
    return used


async def live_with(connection: Connection, ledger_id: int, numbers: Iterable[int]) -> Matches:
    """The live ones among these matches, with all live ones that fall with them."""
    falling: Matches = {}
    more = set(numbers)
    while more:
        falling |= await kept.live_of(connection, ledger_id, more)
        more = set(await kept.returning(connection, ledger_id, more)) - falling.keys()
        if not more and (misfit := await _misfit(connection, ledger_id, falling)) is not None:
            more = await _newest(connection, ledger_id, *misfit, falling)
    return falling


async def _misfit(connection: Connection, ledger_id: int, falling: Matches) -> tuple[Item, int] | None:
    """A document of which more would be used than there is, or less than nothing, and how much would be."""
    change = uses(falling.values())
    for item in (await items.held(connection, ledger_id, change)).values():
        used = item.amount - item.open - change[item.key]
        if used * item.amount < 0 or abs(used) > abs(item.amount):
            return item, used
    return None


async def _newest(connection: Connection, ledger_id: int, item: Item, used: int, falling: Matches) -> set[int]:
    """The newest match that uses the document in the direction that is too much."""
    touching = await kept.touching(connection, ledger_id, [item.key], LIVE)
    others = await kept.live_of(connection, ledger_id, {number for number, _ in touching} - falling.keys())
    return set(sorted(number for number, match in others.items() if uses([match])[item.key] * used > 0)[-1:])
