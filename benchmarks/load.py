"""The load generator, a process of its own: jobs come as JSON lines on stdin, results go as JSON lines to stdout.

It speaks HTTP/1.1 over asyncio's streams (on uvloop), with requests made beforehand: a client library would take more
of the shared cores than the server that is measured. Each client keeps one connection and sends its next request when
the last one is answered.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from dataclasses import asdict, dataclass

import orjson
import uvloop

from benchmarks.measuring import percentile

KEY = "@key-of-request"
"""Stands in bodies for what makes a request's idempotency keys unique; replaced by a text of the same length."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BUFFER = 2**20
_WARMING = 8


@dataclass(frozen=True, slots=True)
class Job:
    """`number` makes keys unique among jobs. Every answer has to be `expected`, or else to hold `marker` so many `times`."""

    number: int
    port: int
    token: str
    clients: int
    seconds: float
    bodies: list[str]
    expected: str | None = None
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


class Client:
    """One connection."""

    def __init__(self, job: Job, number: int, requests: list[bytes]) -> None:
        self._job, self._number, self._requests = job, number, requests
        self.asked = 0
        self._expected = job.expected.encode() if job.expected is not None else None
        self.times: list[float] = []
        self.ended = 0.0

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._job.port, limit=_BUFFER)

    async def ask(self) -> None:
        """One request and its answer. Raises WrongAnswer."""
        key = f"{self._job.number:04}-{self._number:03}-{self.asked:06}"
        request = self._requests[(self._number + self.asked) % len(self._requests)].replace(KEY.encode(), key.encode())
        self.asked += 1
        begun = time.perf_counter()
        self._writer.write(request)
        head, body = await answer_of(self._reader)
        self.ended = time.perf_counter()
        self.times.append(self.ended - begun)
        right = body == self._expected if self._expected else body.count(self._job.marker.encode()) == self._job.times
        if not head.startswith(b"HTTP/1.1 200") or not right:
            raise WrongAnswer(f"{head[:40]!r}: {body[:500]!r}")

    async def ask_until(self, moment: float) -> None:
        while time.perf_counter() < moment:
            await self.ask()

    def close(self) -> None:
        self._writer.close()


async def run(job: Job) -> Result:
    """Does a job: some clients ask once to warm up, then all ask until the time is over."""
    requests = [request_of(job.port, job.token, body) for body in job.bodies]
    clients = [Client(job, number, requests) for number in range(job.clients)]
    try:
        await asyncio.gather(*(client.connect() for client in clients))
        await asyncio.gather(*(client.ask() for client in clients[:_WARMING]))
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
        except (WrongAnswer, OSError, asyncio.IncompleteReadError) as fault:
            answer = {"failed": f"{type(fault).__name__}: {fault}"}
        sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
