"""What waits to be posted, and which of it is taken next: bounded, in order, and fair between those who post much and little."""

from __future__ import annotations

from sources.ledger.batch import Item
from sources.ledger.model import LedgerRef
from sources.ledger.queue import (
    MAX_BATCH_ENTRIES,
    MAX_BATCH_LINES,
    Call,
    Group,
    Waiting,
    atomic_group,
    single_groups,
)
from tests.sources.ledger.books import credit, debit, entry

LEDGER = LedgerRef(1, "acme-us", "USD")


def items(*keys: str, lines: int = 2) -> list[Item]:
    sides = [debit("1000", "1"), credit("4000", "1")] * (lines // 2)
    return [Item.of(entry(LEDGER, key, *sides)) for key in keys]


def asked(waiting: Waiting, *keys: str, atomic: bool = False, lines: int = 2, deadline: float = 0.0) -> Call:
    """A call of these entries, queued."""
    call = Call.of(len(keys), deadline)
    made = items(*keys, lines=lines)
    for group in [atomic_group(call, made)] if atomic else single_groups(call, made, 0):
        waiting.add(group)
    return call


def keys(groups: list[Group]) -> list[str]:
    return [item.draft.idempotency_key for group in groups for item in group.items]


def numbered(name: str, count: int) -> list[str]:
    return [f"{name}{number}" for number in range(count)]


async def test_a_batch_is_bounded_and_in_order() -> None:
    waiting = Waiting()
    asked(waiting, *numbered("a", 700))
    asked(waiting, *numbered("b", 700))
    first, second, third = waiting.take(), waiting.take(), waiting.take()
    assert [len(batch) for batch in (first, second, third)] == [MAX_BATCH_ENTRIES, MAX_BATCH_ENTRIES, 376]
    assert keys([*first, *second, *third]) == [*numbered("a", 700), *numbered("b", 700)]
    assert not waiting


async def test_lines_bound_a_batch_too() -> None:
    waiting = Waiting()
    asked(waiting, *numbered("a", 30), lines=500)
    assert len(waiting.take()) == MAX_BATCH_LINES // 500


async def test_one_key_is_taken_once_and_its_repeats_later_in_order() -> None:
    """What shares a key waits for the next batch, and so does what shares a key with that."""
    waiting = Waiting()
    asked(waiting, "a")
    asked(waiting, "a", "b", atomic=True)
    asked(waiting, "c")
    assert keys(waiting.take()) == ["a", "c"]
    asked(waiting, "b")
    assert sorted([*keys(waiting.take()), *keys(waiting.take())]) == ["a", "b", "b"]
    assert not waiting


async def test_a_call_may_use_one_key_twice() -> None:
    waiting = Waiting()
    asked(waiting, "a", "a", "b")
    assert [keys(waiting.take()), keys(waiting.take())] == [["a", "b"], ["a"]]


async def test_a_single_posting_is_in_the_next_batch_whatever_large_calls_wait() -> None:
    """Also behind 64 calls of 1,000 entries, at every turn of the lanes."""
    waiting = Waiting()
    for number in range(64):
        asked(waiting, *numbered(f"large {number}/", 1_000))
    for turn in range(8):
        asked(waiting, f"single {turn}")
        taken = keys(waiting.take())
        assert f"single {turn}" in taken
        assert len(taken) == MAX_BATCH_ENTRIES


async def test_single_postings_do_not_hold_up_a_large_call() -> None:
    """Each of two lanes has half of every batch while both have enough; what one leaves is the other's."""
    waiting = Waiting()
    asked(waiting, *numbered("large", 600))
    for key in numbered("single", 1_200):
        asked(waiting, key)
    shares = []
    for _ in range(4):
        taken = keys(waiting.take())
        shares.append(sum(key.startswith("large") for key in taken))
        assert len(taken) == (MAX_BATCH_ENTRIES if len(shares) < 4 else 1_800 - 3 * MAX_BATCH_ENTRIES)
    assert shares == [256, 256, 88, 0]


async def test_lanes_of_every_size_share_a_batch() -> None:
    waiting = Waiting()
    for number in range(600):
        asked(waiting, f"one {number}")
    for size in (10, 100, 1_000):
        for call in range(600 // size + 1):
            asked(waiting, *numbered(f"of {size} {call}/", size))
    taken = keys(waiting.take())
    for start in ("one", "of 10 ", "of 100 ", "of 1000 "):
        assert sum(key.startswith(start) for key in taken) == MAX_BATCH_ENTRIES // 4


async def test_what_is_larger_than_a_share_has_its_turn() -> None:
    """An atomic call of more than a batch, while single postings never end."""
    waiting = Waiting()
    asked(waiting, *numbered("whole", 1_000), atomic=True)
    asked(waiting, *numbered("more", 10))
    batches = []
    for turn in range(4):
        for key in numbered(f"single {turn}/", 600):
            asked(waiting, key)
        batches.append(keys(waiting.take()))
    assert [key for batch in batches for key in batch if key.startswith("whole")] == numbered("whole", 1_000)
    assert sum(any(key.startswith("whole") for key in batch) for batch in batches) == 1


async def test_what_waited_too_long_is_taken_away() -> None:
    waiting = Waiting()
    early, late = asked(waiting, "a", deadline=1.0), asked(waiting, "b", deadline=2.0)
    asked(waiting, *numbered("c", 20), deadline=3.0)
    assert waiting.next_deadline == 1.0
    assert [group.call for group in waiting.take_late(2.5)] == [early, late]
    assert waiting.next_deadline == 3.0
    assert keys(waiting.take()) == numbered("c", 20)


async def test_a_repeated_draft_of_an_atomic_call_has_one_outcome_and_every_place() -> None:
    call = Call.of(3, 0.0)
    group = atomic_group(call, items("a", "b", "a"))
    assert keys([group]) == ["a", "b"]
    assert group.places == [[0, 2], [1]]
    assert group.size == 3
