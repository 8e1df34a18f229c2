"""Subscribers and a poster, a process of its own: jobs come as JSON lines on stdin, results go as JSON lines to stdout."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
import uvloop

from benchmarks.load import KEY
from benchmarks.measuring import percentile
from benchmarks.subscribers import Watch, Wrong
from gateway.serving import raise_open_files

MUTATION = """mutation ($entries: [PostEntryInput!]!) { postEntries(input: {entries: $entries}) { results {
  ... on EntryPosted { entry { sequence } } } } }"""
_SETTLE_SECONDS = 3.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

Entry = Mapping[str, Any]
"""`input`: a PostEntryInput with KEY in its key; `matches`: whether each subscription lets it through."""


class Poster:
    """Posts the given entries, over and over, with new keys. `posted`: (sequence, matches) of each."""

    def __init__(self, port: int, token: str, entries: Sequence[Entry]) -> None:
        self._port, self._token, self._entries = port, token, entries
        self._numbers, self._run = itertools.count(), uuid4().hex
        self._lanes: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.posted: list[tuple[int, Sequence[bool]]] = []

    async def post(self, count: int) -> list[Sequence[bool]]:
        """Posts so many entries at once; what each matches."""
        numbers = [next(self._numbers) for _ in range(count)]
        entries = [self._entries[number % len(self._entries)] for number in numbers]
        inputs = [
            {**entry["input"], "idempotencyKey": entry["input"]["idempotencyKey"].replace(KEY, f"{self._run}-{number}")}
            for entry, number in zip(entries, numbers, strict=True)
        ]
        answer = await self._ask(orjson.dumps({"query": MUTATION, "variables": {"entries": inputs}}))
        matches = [entry["matches"] for entry in entries]
        try:
            sequences = [result["entry"]["sequence"] for result in answer["data"]["postEntries"]["results"]]
        except (KeyError, TypeError):
            raise Wrong(f"not posted: {answer}") from None
        self.posted.extend(zip(sequences, matches, strict=True))
        return matches

    async def _ask(self, body: bytes) -> Any:
        lane = self._lanes.pop() if self._lanes else await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = lane
        writer.write(
            f"POST /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self._token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        answer = orjson.loads(await reader.readexactly(int(length[1]) if length else 0) or b"{}")
        self._lanes.append(lane)
        return answer

    def close(self) -> None:
        for _, writer in self._lanes:
            writer.close()


class Session:
    """The subscribers of one server, and who posts there."""

    def __init__(self) -> None:
        self._watch = Watch()
        self._expected = 0

    async def open(
        self, port: int, tokens: list[str], payloads: list[Any], subscribers: int, entries: list[Any]
    ) -> Any:
        """Connects and subscribes them, and posts until all receive. `entries`: see `Entry`; the first matches every
        subscription."""
        self._poster = Poster(port, tokens[0], entries)
        self._crowds = [len(range(number, subscribers, len(payloads))) for number in range(len(payloads))]
        begun = time.perf_counter()
        await self._watch.guarded(self._watch.open(port, tokens, payloads, subscribers))
        if entries:
            await self._watch.guarded(self._settle())
        return {"seconds": time.perf_counter() - begun}

    async def _settle(self) -> None:
        while True:
            await self._poster.post(1)
            latest = time.perf_counter() + _SETTLE_SECONDS
            while time.perf_counter() < latest:
                if self._watch.settled(self._poster.posted[-1][0]):
                    self._expected = self._watch.count
                    return
                await asyncio.sleep(0.02)

    async def saturate(self, seconds: float, size: int, window: int) -> Any:
        """Entries are posted `size` at a time for so long, `window` of them on their way at most; then until all arrived."""
        before, begun = self._watch.count, time.time()

        async def lane() -> None:
            while time.time() < begun + seconds:
                await self._post(size)
                await self._watch.until(self._expected)

        await self._all(*(lane() for _ in range(window // size)))
        count = self._watch.count - before
        return {"messages": count, "seconds": self._watch.last - begun}

    async def pace(self, seconds: float, rate: float) -> Any:
        """So many entries a second, one by one, whatever becomes of them; seconds from each posting to each arrival."""
        self._watch.late, before = [], self._watch.count
        begun, tasks = time.time(), []
        for number in range(max(1, int(seconds * rate))):
            await asyncio.sleep(max(0.0, begun + number / rate - time.time()))
            tasks.append(asyncio.create_task(self._post(1)))
        await self._all(*tasks)
        late, self._watch.late = self._watch.late, None
        found = {"messages": self._watch.count - before, "seconds": self._watch.last - begun}
        return found | {"p50": percentile(late, 0.5), "p99": percentile(late, 0.99), "most": max(late)}

    async def _all(self, *work: Awaitable[None]) -> None:
        async def done() -> None:
            await asyncio.gather(*work)
            await self._watch.until(self._expected)

        await self._watch.guarded(done())
        self._check()

    async def _post(self, count: int) -> None:
        for matches in await self._poster.post(count):
            self._expected += sum(itertools.compress(self._crowds, matches))

    def _check(self) -> None:
        """Raises Wrong unless every subscriber received exactly what was posted since its subscription's first event."""
        posted = sorted(self._poster.posted, key=lambda item: item[0])
        for number, log in enumerate(self._watch.logs):
            found = [message.sequence for message in log.messages]
            due = [sequence for sequence, matches in posted if matches[number] and sequence >= found[0]]
            if found != due:
                raise Wrong(f"subscription {number} received {len(found)} events of {len(due)}")
        late = [subscriber for subscriber in self._watch.subscribers if subscriber.place < len(subscriber.log.messages)]
        if late or self._watch.count != self._expected:
            raise Wrong(f"{len(late)} subscribers miss events; {self._watch.count} messages for {self._expected}")

    async def events(self) -> Any:
        """The last event of each subscription, as it was received."""
        return [orjson.loads(log.messages[-1].head + b"x" + log.messages[-1].tail) for log in self._watch.logs]

    async def close(self) -> Any:
        self._watch.close()
        self._poster.close()
        return {}


async def work(answer: Callable[[Any], None]) -> None:
    """Does the jobs of stdin, one after the other: {"do": a method of Session, …}; a failed one answers {"failed": why}."""
    session, loop = Session(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        job = orjson.loads(line)
        try:
            answer(await getattr(session, job.pop("do"))(**job))
        except (Wrong, OSError, asyncio.IncompleteReadError) as fault:
            answer({"failed": f"{type(fault).__name__}: {fault}"})


def main() -> None:
    def answer(found: Any) -> None:
        sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
        sys.stdout.buffer.flush()

    raise_open_files()
    gc.disable()
    uvloop.run(work(answer))


if __name__ == "__main__":
    main()
