"""What waits to be posted: calls, the groups that they are made of, and which groups go into one batch. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sources.ledger.batch import Item
from sources.ledger.model import Outcome, Posted, Reason
from sources.ledger.reasons import key_used_twice, reversed_twice

MAX_BATCH_ENTRIES: Final = 512
MAX_BATCH_LINES: Final = 20_000
_LINES_PER_PLACE: Final = 20  # an entry takes one place in the queue for every 20 lines, so that memory is bounded too
_FAR: Final = 4 * MAX_BATCH_ENTRIES  # how far behind the front a flusher looks for what fits into the batch


@dataclass(slots=True)
class Call:
    """One `post`: it is done when every one of its drafts has an outcome or a fault."""

    done: asyncio.Future[None]
    outcomes: list[Outcome | BaseException | None]
    missing: int

    def settle(self, index: int, outcome: Outcome | BaseException) -> None:
        self.outcomes[index] = outcome
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class Group:
    """What is posted all or none: one item, or the items of an atomic call. `places` says which of the call's outcomes each
    item gives; an item that repeats an earlier one of the group gives two."""

    call: Call
    items: list[Item]
    places: list[list[int]]

    @property
    def size(self) -> int:
        return sum(1 + item.line_count // _LINES_PER_PLACE for item in self.items)

    @property
    def line_count(self) -> int:
        return sum(item.line_count for item in self.items)

    def keys(self) -> Iterator[tuple[str, str] | int]:
        """What no other group of the same batch may touch: idempotency keys, and sequences that are being reversed."""
        for item in self.items:
            yield item.key
            if item.reverses is not None:
                yield item.reverses

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        for outcome, (first, *repeats) in zip(outcomes, self.places, strict=True):
            self.call.settle(first, outcome)
            for place in repeats:
                again = replace(outcome, replayed=True) if isinstance(outcome, Posted) else outcome
                self.call.settle(place, again)

    def refuse(self, reason: Reason) -> None:
        """None of it is to be posted any more; its keys are still looked up."""
        self.items = [refused(item, reason) for item in self.items]

    def fail(self, fault: BaseException) -> None:
        """The outcome of what has none is not known."""
        for place in (place for places in self.places for place in places):
            if self.call.outcomes[place] is None:
                self.call.settle(place, fault)


def take(waiting: deque[Group]) -> list[Group]:
    """The next batch, from the front; what shares a key with it waits for the next one, as a replay or a conflict."""
    batch: list[Group] = []
    later: list[Group] = []
    taken: set[tuple[str, str] | int] = set()
    held: set[tuple[str, str] | int] = set()
    entries = lines = 0
    while waiting and len(batch) + len(later) < _FAR:
        group = waiting[0]
        entries += len(group.items)
        lines += group.line_count
        if batch and (entries > MAX_BATCH_ENTRIES or lines > MAX_BATCH_LINES):
            break
        waiting.popleft()
        keys = set(group.keys())
        if keys & taken or keys & held:
            later.append(group)
            held |= keys
            entries -= len(group.items)
            lines -= group.line_count
        else:
            batch.append(group)
            taken |= keys
    waiting.extendleft(reversed(later))
    return batch


def atomic_group(call: Call, items: Sequence[Item]) -> Group:
    """One group of all items. A repeated draft shares the outcome of the first; one that contradicts it is refused, and
    with it the group."""
    group = Group(call, [], [])
    by_key: dict[tuple[str, str], int] = {}
    reversed_before: set[int] = set()
    for place, item in enumerate(items):
        first = by_key.setdefault(item.key, len(group.items))
        if first < len(group.items):
            if item.body_hash is not None and item.body_hash == group.items[first].body_hash:
                group.places[first].append(place)
                continue
            kept = refused(item, key_used_twice())
        elif item.reverses in reversed_before:
            kept = refused(item, reversed_twice(item.reverses))
        else:
            kept = item
        if item.reverses is not None:
            reversed_before.add(item.reverses)
        group.items.append(kept)
        group.places.append([place])
    return group


def refused(item: Item, reason: Reason) -> Item:
    """The item with one more reason not to post it; its key is still looked up."""
    return replace(item, checked=None, reasons=(*item.reasons, reason))
