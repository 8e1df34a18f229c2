"""One HTTP request and the way to answer it: its headers, its body within the limits, its answer with a length and an id."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from starlette.types import Receive, Scope, Send

from gateway.errors import refusal
from gateway.limits import Limits
from gateway.negotiation import GRAPHQL_JSON, JSON, Accepted
from gateway.protocol import EXTENSION, Whole
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


class ClientGone(Exception):
    """The client left before its request was whole; nobody waits for an answer."""


@dataclass(slots=True, eq=False)
class Exchange:
    """`media` is the form of the answer, `gzip`: its client prefers it compressed, `compressing`: answers may be. kind,
    status and subject are for the log; `counted`: whatever happens from here on, the operation is counted where it is
    executed. `phase` began at `since` (time.perf_counter); see `gateway.watching`."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[bytes, bytes]
    request_id: str
    accepted: Accepted
    media: str
    compressing: bool
    gzip: bool
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
        return _VARY[self.compressing]

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
        gzip = self.gzip and len(body) >= COMPRESSED_FROM
        if gzip:
            body = await compressed(body)
        kind = (self.media, self.compressing, gzip)
        if status != 200 or headers or not self._whole(_JSON_HEADS[kind], body):
            await self.respond(status, body, [*_JSON_HEADERS[kind], *(headers or ())])

    def _whole(self, head: bytes, body: bytes) -> bool:
        """Whether the answer went out in one write. What names an origin may need headers of a middleware's."""
        write: Whole | None = self.scope.get("extensions", {}).get(EXTENSION)
        if write is None or b"origin" in self.headers:
            return False
        self.status = 200
        length_and_id = b"content-length: %d\r\nx-request-id: %b\r\n" % (len(body), self.request_id.encode())
        return write(self.scope, head + length_and_id, body)


async def compressed(body: bytes) -> bytes:
    """As gzip (RFC 1952)."""
    if len(body) < _APART_FROM:
        return _gzip(body)
    return await asyncio.get_running_loop().run_in_executor(None, _gzip, body)


async def read_body(exchange: Exchange, limits: Limits) -> bytes:
    """The whole body. Raises RequestRefused beyond the limit, ClientGone when it will never be whole."""
    declared = exchange.headers.get(b"content-length", b"0")
    if not declared.isdigit() or len(declared) > 18 or int(declared) > limits.body_bytes:
        raise too_large(limits, exchange.request_id)
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limits.body_bytes:
            raise too_large(limits, exchange.request_id)
        parts.append(part)
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def header_map(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name; the values of a repeated one are joined (RFC 9110, 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def too_large(limits: Limits, request_id: str) -> RequestRefused:
    return refusal("PAYLOAD_TOO_LARGE", f"a request has at most {limits.body_bytes} bytes", request_id)


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
