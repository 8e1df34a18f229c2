"""One HTTP request and the way to answer it: its headers, its body within the limits, its answer with a length and an id."""

from __future__ import annotations

import asyncio
import itertools
import time
import zlib
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from starlette.types import Receive, Scope, Send

from gateway.asked import Asked
from gateway.errors import refusal
from gateway.negotiation import GRAPHQL_JSON, JSON
from gateway.protocol import EXTENSION, Protocol
from gateway.requests import RequestRefused

Headers = list[tuple[bytes, bytes]]
Phase: TypeAlias = Literal["arriving", "reading", "executing", "answering"]

SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
_JSON_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_GZIP = (b"content-encoding", b"gzip")

COMPRESSED_FROM = 1_400
"""Bytes of an answer: shorter ones are one packet either way."""
_APART_FROM = 32_768
"""Bytes from which a thread compresses: the event loop would stand still for longer than a thread takes to be asked."""
_LEVEL = 1
"""A page of 244 kB takes 1.8 ms and becomes 56 kB; at level 6, 4.4 ms and 43 kB."""
_PART = 65_536


class ClientGone(Exception):
    """The client left before its request was whole; nobody waits for an answer."""


@dataclass(slots=True, eq=False)
class Exchange:
    """`wire`: the protocol of its connection, where it is ours. kind, status and subject are for the log; `counted`: whatever happens from here on, the operation is counted where it is executed. `phase`
    began at `since` (time.perf_counter); see `gateway.watching`."""

    scope: Scope
    receive: Receive
    send: Send
    asked: Asked
    wire: Protocol | None
    request_id: str
    since: float
    task: asyncio.Task[Any] | None = None
    phase: Phase = "arriving"
    ended: str = ""
    listener: asyncio.Task[None] | None = None
    kind: str = "unknown"
    status: int = 0
    subject: str | None = None
    counted: bool = False

    @property
    def vary(self) -> tuple[bytes, bytes]:
        return _VARY[self.asked.compressing]

    async def respond(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        every = [
            *headers,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", self.request_id.encode()),
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": every})
        await self.send({"type": "http.response.body", "body": body})

    async def respond_json(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        """Compressed where the client asked for it and the size pays."""
        asked = self.asked
        gzip = asked.gzip and len(body) >= COMPRESSED_FROM
        if gzip:
            body = await compressed(body)
        kind = (asked.media, asked.compressing, gzip)
        if status != 200 or headers or not self._whole(_JSON_HEADS[kind], body):
            await self.respond(status, body, [*_JSON_HEADERS[kind], *(headers or ())])

    def _whole(self, head: bytes, body: bytes) -> bool:
        """Whether the answer went out in one write. What names an origin may need headers of a middleware's."""
        if self.wire is None or b"origin" in self.asked.headers:
            return False
        self.status = 200
        length_and_id = b"content-length: %d\r\nx-request-id: %b\r\n" % (len(body), self.request_id.encode())
        return self.wire.answer(self.scope, head + length_and_id, body)


async def compressed(body: bytes) -> bytes:
    """As gzip (RFC 1952)."""
    if len(body) < _APART_FROM:
        return _gzip(body)
    return await asyncio.get_running_loop().run_in_executor(None, _gzip, body)


def wire_of(scope: Scope) -> Protocol | None:
    """The protocol of a request's connection, where it is ours."""
    found: Protocol | None = scope["extensions"].get(EXTENSION) if "extensions" in scope else None
    return found


def body_here(exchange: Exchange, most: int) -> bytes | None:
    """The whole body when it came with the head; None: it has to be read. Raises RequestRefused beyond `most` bytes."""
    length = exchange.asked.length
    if length is None or length > most:
        raise too_large(most, exchange.request_id)
    body = exchange.wire.whole_body(exchange.scope) if exchange.wire is not None else None
    if body is not None and len(body) > most:  # its length was not stated
        raise too_large(most, exchange.request_id)
    return body


async def read_body(exchange: Exchange, most: int, *, in_parts: bool = False) -> bytes:
    """The whole body. `in_parts`: it has its time for each 64 KiB, and not for all. Raises RequestRefused beyond `most` bytes, ClientGone
    when it will never be whole."""
    parts: list[bytes] = []
    size, timed, more = 0, 0, True
    while more:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise too_large(most, exchange.request_id)
        if in_parts and size - timed >= _PART:
            exchange.since, timed = time.perf_counter(), size
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def too_large(most: int, request_id: str) -> RequestRefused:
    return refusal("PAYLOAD_TOO_LARGE", f"a request has at most {most} bytes", request_id)


def _gzip(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL, zlib.MAX_WBITS + 16)


def _json_headers(media: str, compressing: bool, gzip: bool) -> Headers:
    content_type = (b"content-type", f"{media}; charset=utf-8".encode())
    return [content_type, _VARY[compressing], _JSON_POLICY, *SECURITY_HEADERS, *([_GZIP] if gzip else [])]


_VARY = {False: (b"vary", b"accept"), True: (b"vary", b"accept, accept-encoding")}
_JSON_HEADERS = {
    kind: _json_headers(*kind) for kind in itertools.product((JSON, GRAPHQL_JSON), (False, True), (False, True))
}
_JSON_HEADS = {
    kind: b"".join([b"%b: %b\r\n" % header for header in headers]) for kind, headers in _JSON_HEADERS.items()
}
