"""The load generator, a process of its own: jobs come as JSON lines on stdin, results go as JSON lines to stdout.

It speaks HTTP/1.1 by bare protocols on uvloop, with requests made beforehand, and compares answers where they were read
into: a client library, or asyncio's streams, would take more of the shared cores than some servers that are measured.
Each client keeps one connection and sends its next request when the last one is answered.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import cast

import orjson
import uvloop

from benchmarks.measuring import percentile

KEY = "@key-of-request"
"""Stands in bodies for what makes a request's idempotency keys unique; replaced by a text of the same length."""

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *(\d+)")
_BUFFER = 2**16
_WARMING = 8


@dataclass(frozen=True, slots=True)
class Job:
    """`number` makes keys unique among jobs. The clients take the bodies in turn, one after the other, from the first again
    after the last. Every answer has to be `expected` (a list: what stands in it for the body that was sent), or else to hold
    `marker` so many `times`."""

    number: int
    port: int
    token: str
    clients: int
    seconds: float
    bodies: list[str]
    expected: str | list[str] | None = None
    marker: str = ""
    times: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """`answers` within `seconds`; `all_answers`: with those of the warm-up; times to answer in seconds."""

    answers: int
    all_answers: int
    seconds: float
    p50: float
    p99: float


class WrongAnswer(Exception):
    """An answer is not what the job expects."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request, in the parts that its key stands between, and the answer to it; None: see the job's marker."""

    parts: list[bytes]
    expected: bytes | None


class Client(asyncio.BufferedProtocol):
    """One connection. `times`: to answer, in seconds; `ended`: when the last answer was there."""

    def __init__(self, job: Job, number: int, exchanges: Iterator[Exchange]) -> None:
        self._job, self._number, self._exchanges = job, number, exchanges
        self._marker = job.marker.encode()
        self._read = bytearray(_BUFFER)
        self._free = self._all = memoryview(self._read)
        self._have = self._body = self._end = 0
        self._waiting: asyncio.Future[None] | None = None
        self.asked = 0
        self.times: list[float] = []
        self.ended = 0.0

    def ask_until(self, moment: float) -> asyncio.Future[None]:
        """Done after the first answer that comes at the moment or later. It fails with WrongAnswer, or with OSError when the
        connection breaks."""
        self._moment = moment
        self._waiting = asyncio.get_running_loop().create_future()
        self._ask()
        return self._waiting

    def close(self) -> None:
        self._waiting = None
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._free

    def buffer_updated(self, nbytes: int) -> None:
        self._have += nbytes
        if not self._end:
            self._measure()
        if self._end and self._have >= self._end:
            self._answered()
        else:
            self._free = self._all[self._have :]

    def _ask(self) -> None:
        self._exchange = exchange = next(self._exchanges)
        if len(exchange.parts) == 1:
            [request] = exchange.parts
        else:
            request = f"{self._job.number:04}-{self._number:03}-{self.asked:06}".encode().join(exchange.parts)
        self.asked += 1
        self._begun = time.perf_counter()
        self._transport.write(request)

    def _measure(self) -> None:
        """Where the answer's body begins and ends, once its head is there; makes room for all of it."""
        place = self._read.find(b"\r\n\r\n", 0, self._have)
        if place < 0:
            return
        length = _LENGTH.search(self._read, 0, place)
        self._body = place + 4
        self._end = self._body + (int(length[1]) if length else 0)
        if self._end > len(self._read):
            self._read = self._read[: self._have] + bytes(self._end - self._have)
            self._all = memoryview(self._read)

    def _answered(self) -> None:
        now = time.perf_counter()
        if not self._right():
            self._fail(WrongAnswer(f"{bytes(self._read[:40])!r}: {bytes(self._read[self._body : self._have][:500])!r}"))
            return
        self.ended = now
        self.times.append(now - self._begun)
        self._have = self._end = 0
        self._free = self._all
        if now < self._moment:
            self._ask()
        elif self._waiting:
            self._waiting.set_result(None)

    def _right(self) -> bool:
        if self._have != self._end or not self._read.startswith(b"HTTP/1.1 200"):
            return False
        expected = self._exchange.expected
        if expected is None:
            return self._read.count(self._marker, self._body, self._end) == self._job.times
        return self._end - self._body == len(expected) and self._read.startswith(expected, self._body)

    def _fail(self, fault: Exception) -> None:
        if self._waiting and not self._waiting.done():
            self._waiting.set_exception(fault)


async def run(job: Job) -> Result:
    """Does a job: some clients ask once to warm up, then all ask until the time is over. Raises WrongAnswer, OSError."""
    exchanges = itertools.cycle(_exchanges(job))
    clients: list[Client] = []
    loop = asyncio.get_running_loop()
    try:
        for number in range(job.clients):
            make = partial(Client, job, number, exchanges)
            clients.append((await loop.create_connection(make, "127.0.0.1", job.port))[1])
        await asyncio.gather(*(client.ask_until(0.0) for client in clients[:_WARMING]))
        for client in clients:
            client.times.clear()
        begun = time.perf_counter()
        await asyncio.gather(*(client.ask_until(begun + job.seconds) for client in clients))
    finally:
        for client in clients:
            client.close()
    times = [taken for client in clients for taken in client.times]
    took = max(client.ended for client in clients) - begun
    asked = sum(client.asked for client in clients)
    return Result(len(times), asked, took, percentile(times, 0.5), percentile(times, 0.99))


def _exchanges(job: Job) -> list[Exchange]:
    expected = job.expected if isinstance(job.expected, list) else [job.expected] * len(job.bodies)
    return [
        Exchange(
            request_of(job.port, job.token, body).split(KEY.encode()), answer.encode() if answer is not None else None
        )
        for body, answer in zip(job.bodies, expected, strict=True)
    ]


def request_of(port: int, token: str, body: str) -> bytes:
    content = body.encode()
    head = (
        "POST /graphql HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{port}\r\n"
        f"Authorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
        "Accept: application/graphql-response+json\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    return head.encode() + content


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return head, await reader.readexactly(int(length[1])) if length else b""


def main() -> None:
    """Does the jobs of stdin, one after the other; a failed one answers {"failed": why}."""
    for line in sys.stdin.buffer:
        answer: dict[str, object]
        try:
            answer = asdict(uvloop.run(run(Job(**orjson.loads(line)))))
        except (WrongAnswer, OSError) as fault:
            answer = {"failed": f"{type(fault).__name__}: {fault}"}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
