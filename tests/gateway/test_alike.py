"""Operations that are alike and begin at the same moment run once, and nobody gets what began before."""

from __future__ import annotations

import asyncio

import pytest

from gateway.alike import Alike, Answer


class Work:
    """Counts its runs; each waits for `release`. `same`: whether others may have the answer."""

    def __init__(self, same: bool = True) -> None:
        self.runs = 0
        self.ended = 0
        self.same = same
        self.begun = asyncio.Event()
        self.release = asyncio.Event()

    async def __call__(self) -> Answer:
        self.runs += 1
        number = self.runs
        self.begun.set()
        try:
            await self.release.wait()
        finally:
            self.ended += 1
        return str(number).encode(), self.same


async def test_those_who_come_together_share_a_run_and_later_ones_have_their_own() -> None:
    alike, work = Alike(), Work()
    together = [asyncio.create_task(alike.run("a", work)) for _ in range(5)]
    await work.begun.wait()
    later = asyncio.create_task(alike.run("a", work))
    work.release.set()
    assert await asyncio.gather(*together) == [b"1"] * 5
    assert await later == b"2"


async def test_what_differs_is_not_shared() -> None:
    """Another caller's ledgers or scopes are another key."""
    alike, work = Alike(), Work()
    work.release.set()
    assert sorted(await asyncio.gather(*(alike.run(key, work) for key in "abca"))) == [b"1", b"1", b"2", b"3"]


async def test_an_answer_of_one_request_alone_is_told_to_nobody_else() -> None:
    """Each of the others runs for itself: errors tell the request's id."""
    alike, work = Alike(), Work(same=False)
    work.release.set()
    assert sorted(await asyncio.gather(*(alike.run("a", work) for _ in range(3)))) == [b"1", b"2", b"3"]


async def test_a_run_goes_on_while_anyone_waits_and_ends_with_the_last() -> None:
    alike, work = Alike(), Work()
    gone, stays = (asyncio.create_task(alike.run("a", work)) for _ in range(2))
    await work.begun.wait()
    gone.cancel()
    await asyncio.wait([gone])
    work.release.set()
    assert await stays == b"1"
    work.release.clear()
    work.begun.clear()
    last = asyncio.create_task(alike.run("a", work))
    await work.begun.wait()
    last.cancel()
    await asyncio.wait([last])
    await asyncio.sleep(0)
    assert work.ended == 2


async def test_who_comes_after_all_others_went_away_is_answered() -> None:
    alike, work = Alike(), Work()
    work.release.set()
    gone = asyncio.create_task(alike.run("a", work))
    await asyncio.sleep(0)
    gone.cancel()
    stays = asyncio.create_task(alike.run("a", work))
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert await stays == b"1"
