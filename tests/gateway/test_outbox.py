"""The queue of what waits for one reader."""

from __future__ import annotations

import asyncio

from gateway.outbox import Outbox


class Pipe:
    """A wire that takes what fits."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.taken: list[bytes] = []

    @property
    def takes_more(self) -> bool:
        return self.room > 0

    def write(self, data: bytes) -> None:
        self.room -= 1
        self.taken.append(data)


def outbox(pipe: Pipe, size: int = 4, stall_seconds: float = 60.0) -> tuple[Outbox, list[None]]:
    stalls: list[None] = []
    return Outbox(pipe, size, stall_seconds, lambda: stalls.append(None)), stalls


def test_a_reader_that_keeps_up_has_no_queue() -> None:
    """What is offered while the wire takes it is made and written at once."""
    pipe = Pipe(room=2)
    box, _ = outbox(pipe)
    assert box.offer("a", lambda: b"1")
    assert box.offer("a", lambda: b"2")
    assert pipe.taken == [b"1", b"2"]


def test_what_waits_is_bounded_and_in_order() -> None:
    """Messages are made when the wire takes them; what does not fit is refused, and nothing of it is taken."""
    pipe, made = Pipe(), []
    box, _ = outbox(pipe, size=2)

    def make(number: int) -> bytes:
        made.append(number)
        return b"%d" % number

    assert [box.offer("a", lambda number=number: make(number)) for number in range(4)] == [True, True, False, False]
    assert not made
    pipe.room = 1
    box.flush()
    assert pipe.taken == [b"0"]
    assert box.offer("a", lambda: make(9))
    pipe.room = 5
    box.flush()
    assert pipe.taken == [b"0", b"1", b"9"]


def test_bytes_that_wait_are_bounded_too() -> None:
    """Whatever their number; one message is taken however long it is."""
    box, _ = outbox(Pipe(), size=1_000)
    assert box.offer("a", bytes, 1, 100 * 2**20)
    assert not box.offer("a", bytes, 1, 1)


async def test_who_was_refused_waits_until_half_is_gone() -> None:
    """So that a reader that takes one message now and then is not asked for each."""
    pipe = Pipe()
    box, stalls = outbox(pipe, size=4)
    for _ in range(4):
        assert box.offer("a", lambda: b"x")
    waiting = asyncio.create_task(box.room())
    for room, done in ((1, False), (1, True)):
        pipe.room = room
        box.flush()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert waiting.done() is done
    assert not stalls


async def test_a_stall_is_told_and_what_waits_can_be_given_up() -> None:
    """Nothing left for the whole time while somebody waited; an operation's own messages can be taken back alone."""
    pipe = Pipe()
    box, stalls = outbox(pipe, size=2, stall_seconds=0.02)
    box.offer("a", lambda: b"a")
    box.offer("b", lambda: b"b")
    waiting = asyncio.create_task(box.room())
    async with asyncio.timeout(10):
        while not stalls:
            await asyncio.sleep(0.001)
        box.discard("a")
        await waiting
        draining = asyncio.create_task(box.drain())
        await asyncio.sleep(0)
        pipe.room = 9
        box.flush()
        await draining
    assert pipe.taken == [b"b"]


def test_last_words_go_beyond_the_bound() -> None:
    pipe = Pipe()
    box, _ = outbox(pipe, size=1)
    box.offer("a", lambda: b"1")
    box.force("", b"last")
    pipe.room = 9
    box.flush()
    assert pipe.taken == [b"1", b"last"]
