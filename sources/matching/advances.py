"""Money that a party has on account, and documents of it that came since: what was paid in advance, or too much. Pure.

Never certain: a person put the money there, or agreed to it, and says what it is used for. A proposal says anew what the whole
transaction is about; confirmed, it takes the place of the match that stands.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sources.matching import allocating, evidence
from sources.matching.evidence import Naming
from sources.matching.model import Allocation, Item, Line, Match, Reason


def proposals(line: Line, stands: Sequence[Allocation], items: Sequence[Item]) -> Iterator[Match]:
    """`stands`: allocations of the transaction's match; `line.open`: all of its money; `items`: open documents of parties that it has
    money of on account. Those that the text names, or that were issued since."""
    naming = Naming(line, items)
    for at, part in enumerate(stands):
        if part.key.kind != "on_account" or not part.party_id:
            continue
        rest = [*stands[:at], *stands[at + 1 :]]
        mine = [
            item for item in items if _may_be(line, part, item) and (item.key in naming or item.dated >= line.dated)
        ]
        for chosen in _ways(part, sorted(mine, key=lambda item: (item.dated, item.key))):
            yield _used(line, rest, part, chosen, naming)


def _may_be(line: Line, part: Allocation, item: Item) -> bool:
    """Whether it is a document of the same party, side and direction, and of the money's currency."""
    is_of_party = item.key.kind == "invoice" and item.party_id == part.party_id and item.ready
    return (
        is_of_party
        and allocating.side_of(item) is part.side
        and item.currency == line.currency
        and item.expected * part.amount > 0
    )


def _ways(part: Allocation, mine: Sequence[Item]) -> Iterator[list[Item]]:
    """Each by itself, and several that come to the amount."""
    for item in mine:
        yield [item]
    for way in dict.fromkeys(allocating.sums([item.expected for item in mine], part.amount, least=2)):
        yield [mine[at] for at in way]


def _used(line: Line, rest: Sequence[Allocation], part: Allocation, items: Sequence[Item], naming: Naming) -> Match:
    expected = sum(item.expected for item in items)
    taken = expected if abs(expected) <= abs(part.amount) else part.amount
    parts = tuple(allocating.of_item(item, item.expected if taken == expected else taken) for item in items)
    left = part.amount - taken
    more = (allocating.on_account(line, left, part.side, part.party_id),) if left else ()
    told = Reason("ON_ACCOUNT", 30, f"Its party has {evidence.money(part.amount, line.currency)} of it on account.")
    named = [naming.reason(item) for item in items if item.key in naming]
    reasons = evidence.present(
        named[0] if len(named) == len(items) else None, told, _amount(line, part, items, expected)
    )
    return Match(line.key, allocating.merged((*rest, *parts, *more)), reasons)


def _amount(line: Line, part: Allocation, items: Sequence[Item], expected: int) -> Reason:
    money = evidence.money(part.amount, line.currency)
    if len(items) > 1:
        return Reason("SUM", 20, f"{money} is the sum of {evidence.names_of(items)}.")
    if expected == part.amount:
        return evidence.amount(line, expected, evidence.name_of(items[0]))
    if abs(expected) > abs(part.amount):
        return Reason("PARTIAL", 10, f"{money} is a part of what is open of {evidence.name_of(items[0])}.")
    return Reason(
        "OVERPAID", 5, f"More is on account than is open of {evidence.name_of(items[0])}; the rest stays there."
    )
