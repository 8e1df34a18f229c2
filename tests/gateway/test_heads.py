"""Heads that come again: whatever was remembered, each request is answered as if it were the first."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from gateway import logs
from gateway.heads import LONGEST, MOST_HEADS, MOST_LINES, Heads, head_of
from gateway.protocol import HEAD, Protocol
from tests.gateway.toy import ToyEngine, token, toy_app

TIMES = 4
"""A head is parsed the first two times that it comes."""


class Wire:
    """A connection, bytes for bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, *pieces: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer to a request that is sent in pieces; see `answer`."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.001)
        return await self.answer()

    async def answer(self) -> tuple[bytes, bytes]:
        """Head and body of the next answer; both are empty when there is none."""
        try:
            head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        except (asyncio.IncompleteReadError, ConnectionError):
            return b"", b""
        if head.startswith(b"HTTP/1.1 100"):
            return await self.answer()
        length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        return head, await self.reader.readexactly(length)

    async def ask_json(self, *pieces: bytes) -> Any:
        return json.loads((await self.ask(*pieces))[1])


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Wire]:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()


@pytest.fixture
async def wire(client: Any) -> AsyncIterator[Wire]:
    """A connection to the toy graph."""
    async with connected(client.url) as found:
        yield found


GOOD = token()


def request(query: str = "{ hello }", *more: str, bearer: str = GOOD) -> bytes:
    body = json.dumps({"query": query}).encode()
    lines = ["POST /graphql HTTP/1.1", "Host: x", f"Authorization: Bearer {bearer}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


# ---------------------------------------------------------------- the protocol alone


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with all that it is told of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    told = {
        name: scope[name] for name in ("type", "method", "path", "raw_path", "query_string", "http_version", "scheme")
    }
    told |= {"headers": scope["headers"], "client": scope["client"][0], "asgi": scope["asgi"], "body": body}
    answer = repr(told).encode()
    known = str(HEAD in scope["extensions"]).encode()
    headers = [(b"content-length", b"%d" % len(answer)), (b"x-known", known)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def served(app: Any, keep_alive: float = 65) -> AsyncIterator[str]:
    """A server of the protocol; its address."""
    options: Any = {"http": partial(Protocol, heads=Heads()), "timeout_keep_alive": keep_alive}
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None, **options))
    running = asyncio.create_task(server._serve())
    while not server.started:
        assert not running.done(), running.exception()
        await asyncio.sleep(0.005)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await asyncio.wait_for(running, 20)


@pytest.fixture
async def echoing() -> AsyncIterator[str]:
    async with served(echo) as url:
        yield url


USUAL = {
    "a body": b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabcde",
    "no body": b"GET /graphql?query=%7Ba%7D HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "a path with escapes": b"GET /a%20b%2Fc?x=%20 HTTP/1.1\r\nHost: x\r\n\r\n",
    "a connection that is kept": b"POST / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n{",
    "a header twice": b"GET / HTTP/1.1\r\nHost: x\r\nAccept: a\r\nAccept: b\r\n\r\n",
    "a body like a head": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n\r\n\r\n",
    "a client behind a proxy": b"GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n\r\n",
}
UNUSUAL = {
    "chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "old HTTP": b"GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    "another method": b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n{",
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a length with a zero before it": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 01\r\n\r\n{",
    "the last request": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "an empty line before it": b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "many lines": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * MOST_LINES + b"\r\n",
    "a long line": b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * LONGEST + b"\r\n\r\n",
    "a long body": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000,
    "a permission to be asked for": b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n{",
}


@pytest.mark.parametrize("name", [*USUAL, *UNUSUAL])
async def test_a_request_is_understood_as_it_was_the_first_time(echoing: str, name: str) -> None:
    """Each time the application is told the same, and what is usual is not parsed each time."""
    sent = {**USUAL, **UNUSUAL}[name]
    answers = []
    async with connected(echoing) as wire:
        for _ in range(TIMES):
            head, body = await wire.ask(sent)
            answers.append((b"x-known: True" in head, body))
            if b"close" in head or not head:
                break
    first = answers[0][1]
    assert b"'method'" in first
    assert {body for _, body in answers if body} == {first}
    assert answers[-1][0] == (name in USUAL)


async def test_a_known_request_may_come_in_pieces(echoing: str) -> None:
    """Cut in two at any place, or byte by byte, with what is whole before and behind it."""
    sent = USUAL["a body"]
    async with connected(echoing) as wire:
        answers = {(await wire.ask(sent))[1] for _ in range(TIMES)}
        for cut in range(1, len(sent)):
            answers |= {(await wire.ask(sent[:cut], sent[cut:]))[1], (await wire.ask(sent))[1]}
        answers.add((await wire.ask(*(sent[at : at + 1] for at in range(len(sent)))))[1])
        assert len(answers) == 1
        wire.writer.write(sent * 10 + sent[:30])
        answers |= {(await wire.answer())[1] for _ in range(10)}
        answers.add((await wire.ask(sent[30:]))[1])
        assert len(answers) == 1


async def test_a_known_head_with_another_body(echoing: str) -> None:
    """Of the length that it states, or of less and then no more."""
    sent = USUAL["a body"]
    async with connected(echoing) as wire:
        for _ in range(TIMES):
            await wire.ask(sent)
        assert b"'vwxyz'" in (await wire.ask(sent[:-5] + b"vwxyz"))[1]
        wire.writer.write(sent[:-1])
        wire.writer.write_eof()
        assert await wire.answer() == (b"", b"")


async def test_connections_share_heads_and_nothing_else(echoing: str) -> None:
    """What follows a known head on another connection is parsed where it differs in a single byte."""
    sent = USUAL["a client behind a proxy"]
    async with connected(echoing) as first, connected(echoing) as second:
        for _ in range(TIMES):
            await first.ask(sent)
        head, body = await second.ask(sent)
        assert b"x-known: True" in head
        assert b"10.1.2.3" in body
        for wire in (first, second):
            head, body = await wire.ask(sent.replace(b"10.1.2.3", b"10.1.2.4"))
            assert b"'client': '10.1.2.4'" in body
            assert b"'scheme': 'https'" in body
            assert b"'client': '127.0.0.1'" in (await wire.ask(USUAL["no body"]))[1]


async def test_only_a_connection_that_rests_is_closed() -> None:
    """Not one with an open request, however long that takes."""
    engine = ToyEngine()
    async with served(toy_app(engine), 0.2) as url, connected(url) as busy, connected(url) as resting:
        for _ in range(TIMES):
            await busy.ask(request("{ down }"))
        busy.writer.write(request("{ slow }"))
        await asyncio.wait_for(engine.slow_started.wait(), 10)
        await resting.ask(request())
        assert await asyncio.wait_for(resting.reader.read(), 10) == b""
        engine.slow_released.set()
        assert json.loads((await busy.answer())[1]) == {"data": {"slow": "done"}}
        assert b" 503 " in (await busy.ask(request("{ down }")))[0]
        assert await asyncio.wait_for(busy.reader.read(), 10) == b""


async def test_nonsense_after_a_known_request_is_refused(echoing: str) -> None:
    async with connected(echoing) as wire:
        for _ in range(TIMES):
            await wire.ask(USUAL["a body"])
        head, _ = await wire.ask(b"nonsense\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400")
        assert await asyncio.wait_for(wire.reader.read(), 10) == b""


def test_what_is_kept_is_bounded() -> None:
    """However many heads come; none longer than the limit."""
    heads = Heads()
    scope: Any = {"http_version": "1.1", "headers": [], "client": ("127.0.0.1", 1)}
    raws = [b"GET /%d HTTP/1.1\r\n\r\n" % number for number in range(3 * MOST_HEADS)]
    for raw in raws:
        for _ in range(2):
            heads.note(raw, len(raw), scope)
        found = heads.get(raw)
        assert found is not None
        assert "client" not in found.scope
    assert sum(heads.get(raw) is not None for raw in raws) <= MOST_HEADS
    assert head_of(b"GET / HTTP/1.1\r\n" + b"a" * LONGEST + b"\r\n\r\n") == b""


# ---------------------------------------------------------------- the endpoint behind it


async def test_callers_are_told_apart(wire: Wire) -> None:
    """On one connection, in turns: nothing of one caller's head is another's."""
    asked = {name: request("{ subject }", bearer=token(subject=name)) for name in ("ann", "bob", "eve")}
    for _ in range(TIMES):
        for name, sent in asked.items():
            assert await wire.ask_json(sent) == {"data": {"subject": name}}


async def test_what_headers_ask_for_is_told_apart(wire: Wire) -> None:
    """Forms, compression and ids of answers, in turns on one connection."""
    query = "{" + " ".join(f"a{number}: hello" for number in range(100)) + "}"
    asked = {
        (accept, encoding, name): request(
            query, f"Accept: {accept}", f"Accept-Encoding: {encoding}", *([f"X-Request-Id: {name}"] if name else [])
        )
        for accept, encoding, name in itertools.product(
            ("application/json", "application/graphql-response+json"), ("gzip", "br"), ("", "one", "two")
        )
    }
    ids = []
    for _ in range(TIMES):
        for (accept, encoding, name), sent in asked.items():
            head, _ = await wire.ask(sent)
            lines = dict(line.split(": ", 1) for line in head.decode().lower().splitlines()[1:] if line)
            assert lines["content-type"] == f"{accept}; charset=utf-8"
            assert ("content-encoding" in lines) == (encoding == "gzip")
            if name:
                assert lines["x-request-id"] == name
            else:
                ids.append(lines["x-request-id"])
    assert len(set(ids)) == len(ids) == TIMES * 4


async def test_refusals_stay_refusals(wire: Wire) -> None:
    """A head that is refused is refused each time, and what is refused for its body only is not."""
    right = request()
    for _ in range(TIMES):
        assert (await wire.ask_json(right))["data"]
        assert b" 401 " in (await wire.ask(request(bearer=f"{GOOD}x")))[0]
        assert b" 401 " in (await wire.ask(right.replace(b"Bearer ", b"Basic ")))[0]
        assert b" 406 " in (await wire.ask(request("{ hello }", "Accept: image/png")))[0]
        assert b" 415 " in (await wire.ask(right.replace(b"application/json", b"text/plain")))[0]
        assert b" 400 " in (await wire.ask(right.replace(b'{"query"', b'["query"')))[0]


async def test_a_known_token_expires(wire: Wire) -> None:
    """Also where its head came before."""
    sent = request(bearer=token(ttl=1))
    seen = [(await wire.ask(sent))[0][9:12] for _ in range(TIMES)]
    async with asyncio.timeout(20):
        while seen[-1] == b"200":
            await asyncio.sleep(0.05)
            seen.append((await wire.ask(sent))[0][9:12])
    assert seen[0] == b"200"
    assert seen[-1] == b"401"


async def test_a_body_beyond_the_limit_is_refused_each_time(start: Any) -> None:
    async with start(body_bytes=40) as client, connected(client.url) as wire:
        for _ in range(TIMES):
            assert (await wire.ask_json(request()))["data"]
            assert b" 413 " in (await wire.ask(request("{ hello }" + " " * 30)))[0]


async def test_a_known_head_whose_body_stalls_is_given_up(start: Any) -> None:
    async with start(stall_seconds=0.2) as client, connected(client.url) as wire:
        for _ in range(TIMES):
            await wire.ask(request())
        assert b" 408 " in (await wire.ask(request()[:-1]))[0]


async def test_a_query_with_a_known_head_ends_with_its_client(client: Any) -> None:
    async with connected(client.url) as wire:
        for _ in range(TIMES):
            await wire.ask(request("{ down }"))
        wire.writer.write(request("{ slow }"))
        await asyncio.wait_for(client.engine.slow_started.wait(), 10)
    async with asyncio.timeout(10):
        while b'outcome="abandoned"' not in await metrics(client):
            await asyncio.sleep(0.02)


async def metrics(client: Any) -> bytes:
    async with client.session.get(client.url + "/metrics") as response:
        found: bytes = await response.read()
        return found


async def test_a_known_request_behind_one_that_runs_waits_for_it(client: Any) -> None:
    """Two requests of one length: the second comes whole, while the first is being answered."""
    async with connected(client.url) as wire:
        for _ in range(TIMES):
            await wire.ask(request("{ down }"))
        wire.writer.write(request("{ slow }"))
        await asyncio.wait_for(client.engine.slow_started.wait(), 10)
        wire.writer.write(request("{ down }"))
        await wire.writer.drain()
        for _ in range(2):  # what was sent is read before this is answered
            assert await metrics(client)
        client.engine.slow_released.set()
        assert json.loads((await wire.answer())[1]) == {"data": {"slow": "done"}}
        assert b" 503 " in (await wire.answer())[0]


async def test_pages_of_other_origins_get_their_headers_each_time(start: Any) -> None:
    async with start(cors_origins=["https://app.example"]) as client, connected(client.url) as wire:
        for _ in range(TIMES):
            head, _ = await wire.ask(request("{ hello }", "Origin: https://app.example"))
            assert b"access-control-allow-origin: https://app.example" in head.lower()
            head, _ = await wire.ask(request("{ hello }", "Origin: https://elsewhere.example"))
            assert b"access-control-allow-origin" not in head.lower()


async def test_lines_of_the_log_name_each_client(wire: Wire) -> None:
    """A client behind a trusted proxy by its own address, with its own subject, and without its secrets."""
    stream = io.StringIO()
    logs.configure("info", stream)
    for _ in range(TIMES):
        for client, subject in (("10.1.2.3", "ann"), ("10.1.2.4", 'b"ö'), ("", "bearer abc")):
            more = [f"X-Forwarded-For: {client}"] if client else []
            await wire.ask(request("{ hello }", *more, bearer=token(subject=subject)))
    await asyncio.sleep(0)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [(line["client"], line["subject"], line["status"], line["kind"]) for line in lines]
    expected = [("10.1.2.3", "ann"), ("10.1.2.4", 'b"ö'), ("127.0.0.1", "[secret]")]
    assert told == [(*each, 200, "query") for each in expected] * TIMES
    assert len({line["request_id"] for line in lines}) == len(lines)
    assert all(line["timestamp"].endswith("Z") and line["milliseconds"] >= 0 for line in lines)
