"""Readings are shared by those who asked before they began, and by nobody else."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence

import pytest

from sources.gathering import PATIENCE, Gathering


class Store:
    """What is read: a number that grows. Each reading notes it at its beginning, and ends when it is released."""

    def __init__(self) -> None:
        self.now = 0
        self.readings: list[list[str]] = []
        self.ended = 0
        self.begun = asyncio.Event()
        self.release = asyncio.Event()
        self.alone: set[str] = set()

    async def read(self, members: Sequence[str]) -> Mapping[str, tuple[str, int]]:
        self.readings.append(list(members))
        seen = self.now
        self.begun.set()
        try:
            await self.release.wait()
        finally:
            self.ended += 1
        if "broken" in members:
            raise ValueError("broken")
        if len(members) > 1:
            return {member: (member, seen) for member in members if member not in self.alone}
        return {members[0]: (members[0], seen)}


async def test_those_who_come_while_one_is_read_share_the_next() -> None:
    gathering, store = Gathering(10), Store()
    first = asyncio.create_task(gathering.ask("g", "a", store.read))
    await store.begun.wait()
    store.now = 1
    others = [asyncio.create_task(gathering.ask("g", member, store.read)) for member in "abbac"]
    await asyncio.sleep(0)
    assert store.readings == [["a"]]
    store.release.set()
    assert await first == ("a", 0)
    assert await asyncio.gather(*others) == [(member, 1) for member in "abbac"]
    assert store.readings == [["a"], ["a", "b", "c"]]


async def test_those_whom_one_event_woke_share_one_reading() -> None:
    gathering, store = Gathering(10), Store()
    store.release.set()
    assert await asyncio.gather(*(gathering.ask("g", member, store.read) for member in "aab")) == [
        ("a", 0),
        ("a", 0),
        ("b", 0),
    ]
    assert store.readings == [["a", "b"]]


async def test_groups_do_not_wait_for_each_other() -> None:
    """Another caller's ledgers or scopes are another group."""
    gathering, store = Gathering(10), Store()
    waits = asyncio.create_task(gathering.ask("g", "a", store.read))
    await store.begun.wait()
    other = Store()
    other.release.set()
    assert await gathering.ask("h", "a", other.read) == ("a", 0)
    store.release.set()
    assert await waits == ("a", 0)


async def test_a_slow_reading_holds_up_nobody_for_long() -> None:
    """The next one begins beside it."""
    gathering, slow, quick = Gathering(10), Store(), Store()
    quick.release.set()
    first = asyncio.create_task(gathering.ask("g", "a", slow.read))
    await slow.begun.wait()
    async with asyncio.timeout(100 * PATIENCE):
        assert await gathering.ask("g", "a", quick.read) == ("a", 0)
    assert slow.ended == 0
    slow.release.set()
    assert await first == ("a", 0)


async def test_a_reading_takes_so_many_members_and_the_same_one_any_number_of_times() -> None:
    gathering, store = Gathering(2), Store()
    store.release.set()
    found = await asyncio.gather(*(gathering.ask("g", member, store.read) for member in "abcab"))
    assert [member for member, _ in found] == list("abcab")
    assert sorted(store.readings) == [["a", "b"], ["c"]]


async def test_nothing_is_gathered_where_one_is_the_limit() -> None:
    gathering, store = Gathering(1), Store()
    store.release.set()
    await asyncio.gather(*(gathering.ask("g", "a", store.read) for _ in range(3)))
    assert store.readings == [["a"]] * 3


async def test_what_is_not_to_be_shared_is_read_alone() -> None:
    gathering, store = Gathering(10), Store()
    store.alone = {"a", "b"}
    store.release.set()
    assert await asyncio.gather(*(gathering.ask("g", member, store.read) for member in "abc")) == [
        ("a", 0),
        ("b", 0),
        ("c", 0),
    ]
    assert sorted(store.readings) == [["a"], ["a", "b", "c"], ["b"]]


async def test_all_who_share_a_reading_meet_its_failure() -> None:
    """And those who come later do not."""
    gathering, store = Gathering(10), Store()
    store.release.set()
    asked = [asyncio.create_task(gathering.ask("g", member, store.read)) for member in ("a", "broken")]
    for each in asked:
        with pytest.raises(ValueError, match="broken"):
            await each
    assert await gathering.ask("g", "a", store.read) == ("a", 0)


async def test_who_reads_for_all_may_leave() -> None:
    """Before it begins or while it reads: the others read again, and its own reading has ended."""
    gathering, store = Gathering(10), Store()
    leaves, stays = (asyncio.create_task(gathering.ask("g", "a", store.read)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    await store.begun.wait()
    store.begun.clear()
    third = asyncio.create_task(gathering.ask("g", "b", store.read))
    await asyncio.sleep(0)
    stays.cancel()
    await store.begun.wait()
    store.release.set()
    assert await third == ("b", 0)
    assert store.readings == [["a"], ["b"]]
    assert store.ended == 2


async def test_many_who_leave_keep_nobody_from_an_answer() -> None:
    """Whoever waited for two that left reads alone, however many come and leave after them."""
    gathering, store = Gathering(10), Store()
    impatient = asyncio.create_task(gathering.ask("g", "a", store.read))
    patient = asyncio.create_task(gathering.ask("g", "p", store.read))
    await store.begun.wait()
    for _ in range(5):
        store.begun.clear()
        following = asyncio.create_task(gathering.ask("g", "a", store.read))
        await asyncio.sleep(0)
        impatient.cancel()
        await store.begun.wait()
        await asyncio.sleep(PATIENCE / 10)
        impatient = following
    assert store.readings.count(["p"]) == 1
    store.release.set()
    assert await patient == ("p", 0)
    assert await impatient == ("a", 0)


async def test_who_waits_may_leave() -> None:
    gathering, store = Gathering(10), Store()
    first, leaves, stays = (asyncio.create_task(gathering.ask("g", member, store.read)) for member in "aba")
    await store.begun.wait()
    leaves.cancel()
    await asyncio.wait([leaves])
    store.release.set()
    assert await asyncio.gather(first, stays) == [("a", 0), ("a", 0)]


async def test_nobody_is_told_what_was_before_they_asked() -> None:
    """Under load, with readings of any length, with some who leave: what is told is never older than its question, and
    nothing stays behind."""
    gathering = Gathering(5)
    moment = 0
    chance = random.Random(7)

    async def read(members: Sequence[str]) -> Mapping[str, int]:
        seen = moment
        await asyncio.sleep(chance.random() * 0.004)
        return dict.fromkeys(members, seen)

    async def ask(number: int) -> None:
        nonlocal moment
        await asyncio.sleep(chance.random() * 0.1)
        moment += 1
        asked = moment
        try:
            async with asyncio.timeout(0.001 if number % 7 == 0 else 10):
                assert await gathering.ask(number % 2, str(number % 9), read) >= asked
        except TimeoutError:
            assert number % 7 == 0

    await asyncio.gather(*(ask(number) for number in range(400)))
    assert not gathering._opening
    assert not gathering._running
