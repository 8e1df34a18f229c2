"""A proxy before a vendor's server that does to answers what networks, busy systems and careless releases do: faults of whole answers,
and one value of an answer after the other replaced by something else."""

from __future__ import annotations

import asyncio
import json
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from typing import Any

import aiohttp
from aiohttp import web

from tests.proof.faults import FaultProxy, serving

BOUND = 1_000_000
"""Bytes of an answer that the connectors under test read."""
SILENCE = 0.6
"""Seconds for which a silent server says nothing; twice what the connectors under test wait."""

Fault = Callable[["Meddler", web.Request], Awaitable[web.StreamResponse]]
Alter = Callable[[str, bytes], bytes]
"""From endpoint and body to another body."""


@dataclass
class Meddler(FaultProxy):
    """`when`: by the number of a request, from 1 on, whether `fault` happens to it. `alter`: what becomes of bodies of JSON.
    `endpoint`: see a Subject."""

    when: Callable[[int], bool] = lambda _number: False
    fault: Fault | None = None
    alter: Alter = lambda _endpoint, body: body
    endpoint: Callable[[str, bytes], str] | None = None
    asked: list[str] = field(default_factory=list)

    def calm_down(self) -> None:
        self.asked.clear()
        self.fault, self.alter = None, lambda _endpoint, body: body

    async def handle(self, request: web.Request) -> web.StreamResponse:
        name = endpoint_of(request.path, await request.read(), self.endpoint)
        self.asked.append(name)
        if self.fault is not None and self.when(len(self.asked)):
            return await self.fault(self, request)
        status, headers, body = await self._forward(request)
        if status == 200:
            body = self.alter(name, body)
        return web.Response(status=status, headers=headers, body=body)


@asynccontextmanager
async def meddler(app: web.Application, endpoint: Callable[[str, bytes], str] | None = None) -> AsyncIterator[Meddler]:
    """A calm one, that listens, before a server of the application."""
    async with serving(app) as upstream, aiohttp.ClientSession(auto_decompress=True) as session:
        found = Meddler(upstream, session=session, endpoint=endpoint)
        before = web.Application(client_max_size=2**24)
        before.router.add_route("*", "/{path:.*}", found.handle)
        async with serving(before) as url:
            found.url = url
            yield found


def endpoint_of(path: str, body: bytes, named: Callable[[str, bytes], str] | None) -> str:
    """Ids in a path are left out: whatever has a digit in it, and is no version."""
    if named is not None:
        return named(path, body)
    return "/".join(
        "*" if re.search(r"\d", part) and not re.fullmatch(r"v?[\d.]+", part) else part for part in path.split("/")
    )


# ---------------------------------------------------------------- faults of whole answers


def _status(status: int, headers: Callable[[], Mapping[str, str]] = dict) -> Fault:
    async def answer(_proxy: Meddler, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"type": "api_error"}}, status=status, headers=headers())

    return answer


def _body(text: bytes, content_type: str = "application/json") -> Fault:
    async def answer(_proxy: Meddler, _request: web.Request) -> web.StreamResponse:
        return web.Response(body=text, content_type=content_type)

    return answer


async def _reset_before(proxy: Meddler, request: web.Request) -> web.StreamResponse:
    return proxy._reset(request)


async def _reset_within(proxy: Meddler, request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    _, _, body = await proxy._forward(request)
    with suppress(ConnectionError):
        await answer.prepare(request)
        await answer.write(body[: len(body) // 2])
    proxy._reset(request)
    return answer


async def _broken_off(proxy: Meddler, request: web.Request) -> web.StreamResponse:
    status, _, body = await proxy._forward(request)
    return await proxy._truncated(request, status, body)


async def _half_json(proxy: Meddler, request: web.Request) -> web.StreamResponse:
    _, _, body = await proxy._forward(request)
    return web.Response(body=body[: len(body) // 2] or b"{", content_type="application/json")


async def _too_large(proxy: Meddler, request: web.Request) -> web.StreamResponse:
    _, _, body = await proxy._forward(request)
    return web.Response(body=b" " * BOUND + body + b" ", content_type="application/json")


async def _bomb(_proxy: Meddler, _request: web.Request) -> web.StreamResponse:
    """A thousandth of what it becomes when it is unpacked."""
    return web.Response(body=_unpacking(), headers={"Content-Encoding": "gzip", "Content-Type": "application/json"})


@cache
def _unpacking() -> bytes:
    """256 MB of blanks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS + 16)
    return b"".join([*(packer.compress(b" " * 1_000_000) for _ in range(256)), packer.flush()])


async def _endless(_proxy: Meddler, request: web.Request) -> web.StreamResponse:
    """In chunks, until nobody listens any more."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.enable_chunked_encoding()
    with suppress(ConnectionError):
        await answer.prepare(request)
        while True:
            await answer.write(b" " * 65_536)
    return answer


async def _dripping(_proxy: Meddler, request: web.Request) -> web.StreamResponse:
    """A byte now and then: something always comes, and it never ends."""
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    with suppress(ConnectionError):
        await answer.prepare(request)
        while True:
            await answer.write(b" ")
            await asyncio.sleep(SILENCE / 20)
    return answer


async def _as_text(proxy: Meddler, request: web.Request) -> web.StreamResponse:
    _, _, body = await proxy._forward(request)
    return web.Response(body=body, content_type="text/plain")


async def _silent(_proxy: Meddler, _request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(SILENCE)
    return web.Response(status=500)


def _date() -> Mapping[str, str]:
    return {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)}


TRANSIENT: Mapping[str, Fault] = {
    "429, seconds": _status(429, lambda: {"Retry-After": "30"}),
    "429, date": _status(429, _date),
    "502": _status(502),
    "503": _status(503, lambda: {"Retry-After": "5"}),
    "504": _status(504),
    "reset before the answer": _reset_before,
    "reset within the body": _reset_within,
    "broken off": _broken_off,
    "silent": _silent,
}
"""Once, it costs nothing."""
LASTING: Mapping[str, Fault] = {
    "500": _status(500),
    "half the JSON": _half_json,
    "too large": _too_large,
    "a bomb": _bomb,
    "endless": _endless,
    "dripping": _dripping,
    "another content type": _as_text,
    "a page for people": _body(b"<html>Maintenance</html>", "text/html"),
    "a page for people, said to be JSON": _body(b"<html>Maintenance</html>"),
    "nothing": _body(b""),
    "null": _body(b"null"),
    "a list": _body(b"[]"),
    "a text": _body(b'"ok"'),
    "an object": _body(b'{"ok": true}'),
    "deep": _body(b"[" * 200_000),
    "deep, and well formed": _body(b'{"data": ' * 100_000 + b"1" + b"}" * 100_000),
    "not Unicode": _body(b'{"a": "\xff\xfe"}'),
    "elsewhere": _status(302, lambda: {"Location": "http://elsewhere.invalid/"}),
    "401": _status(401),
    "403": _status(403),
    "404": _status(404),
}


@dataclass
class Looping:
    """The `alter` of a listing that leads in circles: its second page leads to the first one again."""

    endpoint: str
    pages: list[bytes] = field(default_factory=list)
    asked: int = 0

    def __call__(self, endpoint: str, body: bytes) -> bytes:
        if endpoint != self.endpoint:
            return body
        self.asked += 1
        if len(self.pages) < 2:
            self.pages.append(body)
        return self.pages[(self.asked - 1) % 2]


# ---------------------------------------------------------------- one value after the other

_RAW = "\ue000"
_RAW_TEXT = re.compile(rf'"{_RAW}([^"{_RAW}]*){_RAW}"')
_IDENTIFIERS = (str, int)


def raw(token: str) -> str:
    """A value that JSON is to hold as it is written here."""
    return f"{_RAW}{token}{_RAW}"


VALUES: tuple[Any, ...] = (
    None, True, "", "A word nobody knows", "NaN", "2026-02-31T25:00:00Z", "1.234,5", [], {}, [[]], {"a": {"b": None}}, 10**40,
    raw("1e999999999"), raw("-1e-999999999"), raw("0.00001"), "\x00\ud800", "x" * 5_000,
)  # fmt: skip
"""None of these is an amount, an id that was given out, or a day."""


def decode(body: bytes) -> Any:
    """JSON whose fractions stay as they are written."""
    return json.loads(body, parse_float=raw)


def encode(value: Any) -> bytes:
    return _RAW_TEXT.sub(r"\1", json.dumps(value).replace(json.dumps(_RAW)[1:-1], _RAW)).encode()


Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Of every value within, lists and objects too."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from places(inner, (*path, number))


def shape(path: Path) -> str:
    return ".".join("*" if isinstance(step, int) else step for step in path)


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def identifiers(value: Any) -> set[str]:
    """Every text and number within."""
    if isinstance(value, dict):
        return {found for inner in value.values() for found in identifiers(inner)}
    if isinstance(value, list):
        return {found for inner in value for found in identifiers(inner)}
    return {str(value)} if isinstance(value, _IDENTIFIERS) and not isinstance(value, bool) else set()


def record_around(answer: Any, path: Path) -> Any:
    """The element of the outermost list that the place is in; None: it is in none."""
    for depth, step in enumerate(path):
        if isinstance(step, int):
            return at(answer, path[: depth + 1])
    return None


@dataclass
class Replacing:
    """The `alter` that puts `most` of the values, round from the one at `start` on, into the places of one shape, one into each record.
    `touched`: texts and numbers of the records that were changed; None in it: an answer as a whole was."""

    endpoint: str
    shape: str
    start: int
    most: int
    known: set[str]
    put: list[Any] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)

    def __call__(self, endpoint: str, body: bytes) -> bytes:
        if endpoint != self.endpoint:
            return body
        answer = decode(body)
        original = decode(body)
        records: list[Any] = []
        for path in [each for each in places(answer) if shape(each) == self.shape]:
            record = record_around(original, path)
            if len(self.put) >= self.most or any(record is each for each in records if record is not None):
                continue
            records.append(record)
            value = VALUES[(self.start + len(self.put)) % len(VALUES)]
            self.put.append(value)
            at(answer, path[:-1])[path[-1]] = value
            found, whole = identifiers(original if record is None else record), identifiers(original)
            if not found & self.known and len(whole & self.known) == 1:
                found = whole  # a list within an answer that is one record
            if record is not None or len(found & self.known) == 1:
                self.touched |= found
        return encode(answer)
