"""Many subscribers of one server that check every message and cost little.

They speak graphql-transport-ws on bare protocols (for uvloop) and compare bytes: parsing every message would take more
of the shared cores than the server that is measured. Of each distinct subscription the first to receive an event parses
it; everybody else's message has to be the same but for the operation's id, and to come at the same place.
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson

PATIENCE = 60.0
_AT_ONCE = 100
_TEXT, _CLOSE, _PING, _PONG = 0x81, 0x88, 0x89, 0x8A


class Wrong(Exception):
    """A subscriber received something else than the ledger's postings, once each and in order."""


@dataclass(frozen=True, slots=True)
class Message:
    """What every subscriber of one subscription receives for one event. `head` and `tail`: around the operation's id."""

    head: bytes
    tail: bytes
    sequence: int
    posted_at: float


@dataclass(slots=True)
class Log:
    """What one subscription was sent so far."""

    messages: list[Message] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def note(self, raw: bytes, id_: bytes) -> Message:
        """Raises Wrong for what is no event."""
        head, found, tail = raw.partition(id_)
        try:
            event = orjson.loads(raw)["payload"]["data"]["postings"]
            sequence, posted_at = event["entry"]["sequence"], event["entry"]["postedAt"]
        except (ValueError, KeyError, TypeError):
            raise Wrong(f"no event: {raw[:500]!r}") from None
        if not found or (self.messages and sequence <= self.messages[-1].sequence):
            raise Wrong(f"out of order: {raw[:500]!r}")
        message = Message(head, tail, sequence, datetime.fromisoformat(posted_at).timestamp())
        self.places[sequence] = len(self.messages)
        self.messages.append(message)
        return message


class Subscriber(asyncio.Protocol):
    """One socket with one subscription. `fault`: why it ended, when it did."""

    def __init__(self, watch: Watch, log: Log, start: bytes) -> None:
        self._watch, self.log, self._start = watch, log, start
        self.id = str(uuid4()).encode()
        self.place = -1
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._rest = b""
        self._upgraded = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET /graphql HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n".encode()
        )

    def subscribe(self, payload: bytes) -> None:
        self.transport.write(_frame(b'{"type":"subscribe","id":"' + self.id + b'","payload":' + payload + b"}"))

    def data_received(self, data: bytes) -> None:
        now = time.time()
        data = self._rest + data if self._rest else data
        try:
            self._rest = self._take(data, 0 if self._upgraded else self._upgrade(data), now)
        except Wrong as fault:
            self._watch.fail(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.fail(Wrong(f"the server closed a socket: {exc}"))

    def _upgrade(self, data: bytes) -> int:
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            return 0
        if not data.startswith(b"HTTP/1.1 101"):
            raise Wrong(f"no socket: {data[:100]!r}")
        self._upgraded = True
        self.transport.write(_frame(self._start))
        return end

    def _take(self, data: bytes, at: int, now: float) -> bytes:
        """Handles every whole frame; what is left."""
        end = len(data) if self._upgraded else 0
        while end - at >= 2:
            size, body = data[at + 1], at + 2
            if size >= 126:
                body += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : body], "big")
            if body + size > end:
                break
            if data[at] == _TEXT:
                self._message(data, body, body + size, now)
            elif data[at] == _PING:
                self.transport.write(_frame(data[body : body + size], _PONG))
            elif data[at] == _CLOSE:
                raise Wrong(f"closed: {data[body : body + size]!r}")
            at = body + size
        return data[at:] if at else data

    def _message(self, data: bytes, begin: int, end: int, now: float) -> None:
        place, messages = self.place, self.log.messages
        if 0 <= place < len(messages):
            message = messages[place]
            middle = begin + len(message.head)
            if not data.startswith(self.id, middle) or data[middle + len(self.id) : end] != message.tail:
                raise Wrong(f"not what others received: {data[begin:end][:500]!r}")
        elif not self.accepted.done():
            if b"connection_ack" not in data[begin:end]:
                raise Wrong(f"not accepted: {data[begin:end][:500]!r}")
            self.accepted.set_result(None)
            return
        else:
            raw = data[begin:end]
            if place < 0 and (known := self._place(raw)) is not None:
                self.place = place = known
                message = messages[place]
            else:
                message = self.log.note(raw, self.id)
                place = len(messages) - 1
        self.place = place + 1
        self._watch.received(message, now)

    def _place(self, raw: bytes) -> int | None:
        """Where this subscriber's first message stands among the others' messages."""
        event = orjson.loads(raw)["payload"].get("data") or {}
        return self.log.places.get(event.get("postings", {}).get("entry", {}).get("sequence"))


def _frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """A client's frame; a mask of zeros leaves the payload as it is (RFC 6455, 5.3)."""
    size = len(payload)
    head = bytes((opcode, 0x80 | size)) if size < 126 else bytes((opcode, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Watch:
    """The subscribers of one server. `count`: messages that they received; `last`: when, the last one; `late`: seconds from
    each posting to each arrival, while they are asked for."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self.logs: list[Log] = []
        self.count = 0
        self.last = 0.0
        self.late: list[float] | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def received(self, message: Message, now: float) -> None:
        self.count += 1
        self.last = now
        if self.late is not None:
            self.late.append(now - message.posted_at)
        while self._waiting and self.count >= self._waiting[0][0]:
            self._waiting.pop(0)[1].set_result(None)

    def fail(self, fault: Exception) -> None:
        if not self._closing and not self._failed.done():
            self._failed.set_exception(fault)

    async def until(self, count: int) -> None:
        """Returns once so many messages were received in all."""
        if self.count < count:
            reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((count, reached))
            self._waiting.sort(key=lambda waiting: waiting[0])
            await reached

    async def guarded(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The work's result. Raises Wrong when a subscriber fails, or the work does not end."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait((task, self._failed), timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        task.cancel()
        if not done:
            raise Wrong(f"{self.count} messages were received, and no more came")
        return self._failed.result()

    async def open(self, port: int, tokens: Sequence[str], payloads: Sequence[dict[str, Any]], count: int) -> None:
        """So many subscribers, each with the next token and the next payload; their sockets are accepted then."""
        self.logs = [Log() for _ in payloads]
        starts = [
            orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}})
            for token in tokens
        ]
        bodies = [orjson.dumps(payload) for payload in payloads]
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, count))
            await asyncio.gather(*(self._connect(port, starts[number % len(starts)], number) for number in numbers))
            await asyncio.gather(*(subscriber.accepted for subscriber in self.subscribers[first:]))
            for number in numbers:
                self.subscribers[number].subscribe(bodies[number % len(bodies)])

    async def _connect(self, port: int, start: bytes, number: int) -> None:
        log = self.logs[number % len(self.logs)]
        loop = asyncio.get_running_loop()
        _, subscriber = await loop.create_connection(lambda: Subscriber(self, log, start), "127.0.0.1", port)
        self.subscribers.append(subscriber)

    def settled(self, sequence: int) -> bool:
        """Whether every subscriber received something, and all the same until the event of this sequence."""
        for subscriber in self.subscribers:
            messages = subscriber.log.messages
            if not messages or subscriber.place < len(messages) or messages[-1].sequence != sequence:
                return False
        return True

    def close(self) -> None:
        self._closing = True
        for subscriber in self.subscribers:
            subscriber.transport.abort()
        self._failed.cancel()
