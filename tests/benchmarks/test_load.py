"""The load generator, in its process: it compares every answer, whatever pieces it comes in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from benchmarks.load import KEY
from benchmarks.processes import generator

HEAD_END = b"\r\n\r\n"


class Server(asyncio.Protocol):
    """Answers every request with what `answer` makes of its body, in pieces of at most `piece` bytes; None: it hangs up."""

    def __init__(self, answer: Callable[[bytes], bytes | None], seen: list[bytes], piece: int) -> None:
        self._answer, self._seen, self._piece = answer, seen, piece
        self._read = b""

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(HEAD_END)
        length = int(head.lower().partition(b"content-length: ")[2]) if end else 0
        if not end or len(body) < length:
            return
        assert b"Authorization: Bearer t\r\n" in head
        assert len(body) == length
        self._read = b""
        self._seen.append(body)
        answer = self._answer(body)
        if answer is None:
            self._transport.close()
        else:
            self._send(b"HTTP/1.1 200 OK\r\nContent-Length: %d" % len(answer) + HEAD_END + answer)

    def _send(self, rest: bytes) -> None:
        self._transport.write(rest[: self._piece])
        if left := rest[self._piece :]:
            asyncio.get_running_loop().call_soon(self._send, left)


@asynccontextmanager
async def asking(
    answer: Callable[[bytes], bytes | None], piece: int = 2**20
) -> AsyncIterator[tuple[partial, list[bytes]]]:
    """A load generator's `run` against such a server, with two clients; and the bodies that the server has read."""
    seen: list[bytes] = []
    server = await asyncio.get_running_loop().create_server(lambda: Server(answer, seen, piece), "127.0.0.1", 0)
    async with server, generator("t") as load:
        yield partial(load.run, server.sockets[0].getsockname()[1], clients=2, seconds=0.05), seen


async def test_right_answers_are_counted_with_their_times():
    async with asking(lambda _: b"right") as (run, seen):
        result = await run(bodies=["{}"], expected="right")
        assert result.answers > 0
        assert result.all_answers == result.answers + 2 == len(seen)
        assert 0 < result.p50 <= result.p99 < 5
        assert result.seconds >= 0.05


@pytest.mark.parametrize(
    "expected",
    [
        {"expected": "wrong"},
        {"expected": "righ"},
        {"expected": "right."},
        {"expected": ""},
        {"marker": "right", "times": 2},
        {"expected": ["wrong"]},
    ],
    ids=str,
)
async def test_a_wrong_answer_ends_the_job(expected):
    async with asking(lambda _: b"right") as (run, _seen):
        with pytest.raises(RuntimeError, match=r"WrongAnswer.*right"):
            await run(bodies=["{}"], **expected)
        assert (await run(bodies=["{}"], marker="i", times=1)).answers


async def test_bodies_take_turns_and_each_has_its_own_answer():
    """No body is asked again before all others were; an answer that belongs to another body is a wrong one."""
    bodies = [f"question {number}" for number in range(7)]
    async with asking(lambda body: body[-1:] * 3) as (run, seen):
        await run(bodies=bodies, expected=[body[-1] * 3 for body in bodies])
        asked = [body.decode() for body in seen]
        assert len(asked) > 14
        assert max(map(asked.count, bodies)) - min(map(asked.count, bodies)) <= 1
        with pytest.raises(RuntimeError, match="WrongAnswer"):
            await run(bodies=bodies, expected=["000", *(body[-1] * 3 for body in bodies[:-1])])


@pytest.mark.parametrize("piece", [1, 7, 50_000])
async def test_an_answer_may_come_in_pieces(piece: int):
    """In the middle of its head, and larger than what is read at once; its last byte counts."""
    answer = "small" if piece < 50_000 else "x" * 300_000 + "y"
    async with asking(lambda _: answer.encode(), piece) as (run, _seen):
        assert (await run(bodies=["{}"], expected=answer)).answers
        with pytest.raises(RuntimeError, match="WrongAnswer"):
            await run(bodies=["{}"], expected=f"{answer[:-1]}z")


async def test_every_request_has_keys_of_its_own():
    """Wherever a body names the key, and of the same length, so that the request's length stays right."""
    async with asking(lambda _: b"posted") as (run, seen):
        for _ in range(2):
            await run(bodies=[f'["{KEY}", "{KEY}-2"]'], expected="posted")
    assert len(set(seen)) == len(seen) > 2
    assert all(body.count(body[2 : 2 + len(KEY)]) == 2 for body in seen)


async def test_a_broken_connection_ends_the_job():
    async with asking(lambda _: None) as (run, _seen):
        with pytest.raises(RuntimeError, match="ConnectionResetError"):
            await run(bodies=["{}"], expected="right")


async def test_nobody_there_ends_the_job():
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with generator("t") as load:
        with pytest.raises(RuntimeError, match="ConnectionRefusedError"):
            await load.run(port, clients=1, seconds=0.05, bodies=["{}"], expected="right")
