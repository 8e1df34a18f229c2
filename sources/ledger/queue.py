"""What waits to be posted: calls, the groups that they are made of, and which groups go into one batch. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sources.ledger.batch import Item
from sources.ledger.model import Draft, EntryDraft, Outcome, Posted, Reason
from sources.ledger.reasons import key_used_twice, reversed_twice

MAX_BATCH_ENTRIES: Final = 512
MAX_BATCH_LINES: Final = 5_000
"""A batch takes the database some 30 ms: that is how long a posting waits for the one that is under way."""

LANES: Final = (1, 16, 256)
"""Calls of at most so many entries wait in one lane, larger ones in the last: who posts little does not wait behind who
posts much."""

_LINES_PER_PLACE: Final = 20  # an entry takes one place in the queue for every 20 lines, so that memory is bounded too
_FAR: Final = 4 * MAX_BATCH_ENTRIES  # how far behind the front of a lane a flusher looks for what fits into the batch


@dataclass(slots=True)
class Call:
    """One `post`: it is done when every one of its drafts has an outcome or a fault. `deadline`: in the event loop's time;
    what was not taken by then is given up."""

    done: asyncio.Future[None]
    outcomes: list[Outcome | BaseException | None]
    missing: int
    deadline: float

    @classmethod
    def of(cls, size: int, deadline: float) -> Call:
        return cls(asyncio.get_running_loop().create_future(), [None] * size, size, deadline)

    def settle(self, index: int, outcome: Outcome | BaseException) -> None:
        self.outcomes[index] = outcome
        self.missing -= 1
        if self.missing == 0 and not self.done.done():
            self.done.set_result(None)


@dataclass(slots=True)
class Group:
    """What is posted all or none: one item, or the items of an atomic call. `places` says which of the call's outcomes each
    item gives; an item that repeats an earlier one of the group gives two. `size`: the places that it takes in the queue."""

    call: Call
    items: list[Item]
    places: list[list[int]]
    size: int

    @property
    def line_count(self) -> int:
        return sum([item.line_count for item in self.items])

    def keys(self) -> Iterator[Hashable]:
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


@dataclass(slots=True)
class _Batch:
    """What was taken, what has to wait for the next batch because of a key, and the keys of both."""

    groups: list[Group] = field(default_factory=list)
    entries: int = 0
    lines: int = 0
    keys: set[Hashable] = field(default_factory=set)

    def takes(self, group: Group, entries: int, lines: int) -> bool:
        """Whether the group is within these bounds; the first one always is."""
        return not self.groups or (
            self.entries + len(group.items) <= entries and self.lines + group.line_count <= lines
        )

    def add(self, group: Group) -> bool:
        """False: it shares a key with what was there before."""
        keys = list(group.keys())
        free = self.keys.isdisjoint(keys)
        self.keys.update(keys)
        if free:
            self.groups.append(group)
            self.entries += len(group.items)
            self.lines += group.line_count
        return free


class Waiting:
    """The groups that wait to be posted to one ledger, in lanes by the size of their calls."""

    def __init__(self) -> None:
        self._lanes: tuple[deque[Group], ...] = tuple(deque[Group]() for _ in (*LANES, 0))
        self._first = 0

    def __bool__(self) -> bool:
        return any(self._lanes)

    def add(self, group: Group) -> None:
        size = len(group.call.outcomes)
        self._lanes[sum(size > most for most in LANES)].append(group)

    def take(self) -> list[Group]:
        """The next batch. Each lane that is not empty has an equal share of it, what one leaves is for the others, and
        each is the first in its turn: what is too large for a share, a batch of its own, waits for that. What shares a key
        with an earlier group waits for the next batch, as a replay or a conflict."""
        batch = _Batch()
        turn = [*self._lanes[self._first :], *self._lanes[: self._first]]
        self._first = (self._first + 1) % len(self._lanes)
        busy = [lane for lane in turn if lane]
        for served, lane in enumerate(busy, 1):
            _fill(batch, lane, MAX_BATCH_ENTRIES * served // len(busy), MAX_BATCH_LINES * served // len(busy))
        for lane in busy[:-1]:
            _fill(batch, lane, MAX_BATCH_ENTRIES, MAX_BATCH_LINES)
        return batch.groups

    def take_late(self, now: float) -> list[Group]:
        """Takes away what has waited beyond its deadline."""
        late = []
        for lane in self._lanes:
            while lane and lane[0].call.deadline <= now:
                late.append(lane.popleft())
        return late

    def take_all(self) -> list[Group]:
        found = [group for lane in self._lanes for group in lane]
        for lane in self._lanes:
            lane.clear()
        return found

    @property
    def next_deadline(self) -> float:
        """Of a queue that is not empty. A lane is in order of time, but for large calls, which are checked piece by piece."""
        return min(lane[0].call.deadline for lane in self._lanes if lane)


def _fill(batch: _Batch, lane: deque[Group], entries: int, lines: int) -> None:
    later: list[Group] = []
    looked = 0
    while lane and looked < _FAR and batch.takes(lane[0], entries, lines):
        group = lane.popleft()
        looked += 1
        if not batch.add(group):
            later.append(group)
    lane.extendleft(reversed(later))


def size_of(drafts: Iterable[Draft]) -> int:
    """How many places drafts take in the queue."""
    return sum([1 + len(draft.lines) // _LINES_PER_PLACE if isinstance(draft, EntryDraft) else 1 for draft in drafts])


def single_groups(call: Call, items: Sequence[Item], first: int) -> list[Group]:
    """A group of its own for each item; `first`: the place of the first one among the call's outcomes."""
    return [Group(call, [item], [[place]], size_of([item.draft])) for place, item in enumerate(items, first)]


def atomic_group(call: Call, items: Sequence[Item]) -> Group:
    """One group of all items. A repeated draft shares the outcome of the first; one that contradicts it is refused, and
    with it the group."""
    group = Group(call, [], [], size_of([item.draft for item in items]))
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
