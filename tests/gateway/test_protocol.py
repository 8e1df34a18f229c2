"""Answers in one write: what a client of HTTP/1.1 may do on a connection goes on to work."""

from __future__ import annotations

import asyncio
import gc
import json
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tests.gateway.toy import token


class Wire:
    """A connection, bytes for bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, name: str, *more: str, version: str = "1.1", body: bool = True) -> None:
        self.writer.write(request(name, *more, version=version, body=body))

    async def answer(self) -> tuple[bytes, Any]:
        """Head and JSON of the next answer."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length: "))
        return head, json.loads(await self.reader.readexactly(length))


def content(name: str) -> bytes:
    return json.dumps({"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": name}}).encode()


def request(name: str, *more: str, version: str = "1.1", body: bool = True) -> bytes:
    sent = content(name)
    lines = [f"POST /graphql HTTP/{version}", "Host: x", f"Authorization: Bearer {token()}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(sent)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + (sent if body else b"")


@pytest.fixture
async def wire(client: Any) -> Any:
    host, port = client.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**20)
    yield Wire(reader, writer)
    writer.close()


def said(name: str) -> dict[str, Any]:
    return {"data": {"hello": f"hello {name}"}}


async def test_a_connection_is_used_again(wire: Wire) -> None:
    """Each answer whole, with the headers of any."""
    for name in ("a", "b" * 100_000, "c"):
        wire.send(name)
        head, answer = await wire.answer()
        assert answer == said(name)
        names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:] if line]
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert {b"date", b"content-type", b"vary", b"x-content-type-options", b"x-request-id"} <= set(names)
        assert len(names) == len(set(names))


async def test_what_was_answered_is_freed_without_the_collector(wire: Wire) -> None:
    """On a connection that goes on, and with one that ends."""

    def held() -> int:
        return sum(type(each) is RequestResponseCycle for each in gc.get_objects())

    gc.collect()
    before = held()
    gc.disable()
    try:
        for name in "abc":
            wire.send(name)
            await wire.answer()
        assert held() <= before + 1
        wire.writer.close()
        async with asyncio.timeout(10):
            while held() > before:
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_requests_that_come_together_are_answered_in_order(wire: Wire) -> None:
    names = [f"n{number}" for number in range(50)]
    wire.writer.write(b"".join(request(name) for name in names))
    assert [(await wire.answer())[1] for _ in names] == [said(name) for name in names]


@pytest.mark.parametrize(("more", "version"), [(("Connection: close",), "1.1"), ((), "1.0")])
async def test_a_connection_that_is_to_close_closes(wire: Wire, more: tuple[str, ...], version: str) -> None:
    wire.send("last", *more, version=version)
    head, answer = await wire.answer()
    assert b"connection: close" in head.lower()
    assert answer == said("last")
    assert await asyncio.wait_for(wire.reader.read(), 10) == b""


async def test_a_client_that_waits_to_be_asked_for_its_body_is_asked(wire: Wire) -> None:
    wire.send("patient", "Expect: 100-continue", body=False)
    assert (await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 10)).startswith(b"HTTP/1.1 100")
    wire.writer.write(content("patient"))
    assert (await wire.answer())[1] == said("patient")


async def test_a_reader_that_is_slow_gets_all(wire: Wire) -> None:
    """Far more than the system buffers is written before anything is read."""
    names = [letter * 900_000 for letter in "abcdefghij"]
    wire.writer.write(b"".join(request(name) for name in names))
    await asyncio.sleep(0.2)
    for name in names:
        assert (await wire.answer())[1] == said(name)


async def test_pages_of_other_origins_get_their_headers(start: Any) -> None:
    """Which a middleware adds."""
    async with start(cors_origins=["https://app.example"]) as client:
        _, _, headers = await client.post({"query": "{ hello }"}, origin="https://app.example")
        assert headers["Access-Control-Allow-Origin"] == "https://app.example"
