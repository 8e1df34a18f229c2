"""Compressed answers: for clients that ask, where the size pays, and never for streams."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from gateway.exchange import COMPRESSED_FROM
from gateway.negotiation import takes_gzip

LONG = "x" * 100_000


async def raw(client: Any, body: Any, **headers: str) -> tuple[Any, bytes]:
    """The answer's headers and its bytes as they came."""
    every = client.headers(content_type="application/json", accept="application/graphql-response+json", **headers)
    if "accept_encoding" not in headers:
        every["accept-encoding"] = ""
    options = {"headers": every, "json": body, "auto_decompress": False}
    async with client.session.request("POST", client.graphql, **options) as response:
        return response.headers.copy(), await response.read()


def greeting(name: str) -> dict[str, Any]:
    return {"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": name}}


@pytest.fixture
async def client(start: Any) -> Any:
    async with start() as started:
        started.session._auto_decompress = False
        yield started


@pytest.mark.parametrize("length", [COMPRESSED_FROM, 100_000, 900_000])
async def test_long_answers_are_compressed_for_those_who_ask(client: Any, length: int) -> None:
    """Here and by a thread: the same answer, its length that of what is sent."""
    headers, sent = await raw(client, greeting("y" * length), accept_encoding="gzip, br")
    assert headers["Content-Encoding"] == "gzip"
    assert int(headers["Content-Length"]) == len(sent) < length
    assert json.loads(gzip.decompress(sent)) == {"data": {"hello": f"hello {'y' * length}"}}


@pytest.mark.parametrize("accept_encoding", ["", "identity", "br, zstd", "gzip;q=0", "*;q=0"])
async def test_others_get_them_as_they_are(client: Any, accept_encoding: str) -> None:
    headers, sent = await raw(client, greeting(LONG), accept_encoding=accept_encoding)
    assert "Content-Encoding" not in headers
    assert json.loads(sent) == {"data": {"hello": f"hello {LONG}"}}


async def test_short_answers_stay_as_they_are(client: Any) -> None:
    """One packet is one packet."""
    headers, sent = await raw(client, greeting("ann"), accept_encoding="gzip")
    assert "Content-Encoding" not in headers
    assert json.loads(sent) == {"data": {"hello": "hello ann"}}


async def test_caches_are_told_what_an_answer_depends_on(client: Any) -> None:
    """Vary names both headers, whether this answer is compressed or not."""
    for name, accept_encoding in (("ann", ""), (LONG, "gzip"), (LONG, "")):
        headers, _ = await raw(client, greeting(name), accept_encoding=accept_encoding)
        assert headers["Vary"] == "accept, accept-encoding"


async def test_it_can_be_switched_off(start: Any) -> None:
    async with start(compressing=False) as client:
        client.session._auto_decompress = False
        headers, sent = await raw(client, greeting(LONG), accept_encoding="gzip")
        assert ("Content-Encoding" in headers, headers["Vary"]) == (False, "accept")
        assert json.loads(sent) == {"data": {"hello": f"hello {LONG}"}}


async def test_long_refusals_are_compressed_too(client: Any) -> None:
    body = {"query": "{ " + " ".join(f"nothing{n}" for n in range(200)) + " }"}
    headers, sent = await raw(client, body, accept_encoding="gzip")
    assert headers["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(sent))["errors"][0]["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"


async def test_streams_are_never_compressed(client: Any) -> None:
    """Each event has to arrive when it is sent."""
    headers = client.headers(accept="text/event-stream", accept_encoding="gzip, *", content_type="application/json")
    body = {"query": "subscription { flood(size: 5000) }"}
    async with client.session.post(client.graphql, headers=headers, json=body) as response:
        assert "Content-Encoding" not in response.headers
        assert await response.content.readline() == b"event: next\n"


@pytest.mark.parametrize(
    ("accept_encoding", "taken"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("*;q=0", False),
        ("*;q=0, gzip;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip; q = 0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("identity;q=0, gzip", True),
        ("identity;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("gzip;q=0.2, *;q=0.5", False),
        ("gzip;q=nan", False),
        ("gzip;q=inf", False),
        ("gzip;q=-1", False),
        ("gzip;q=2", False),
        ("gzip;q=1e-3", True),
        ("gzip;q=", False),
        ("gzipped, notgzip, gzip2", False),
        (";;;,,,;q=1,=", False),
        ("gzip\x00", False),
        ("br;q=1.0, zstd;q=0.9", False),
        ("," * 10_000 + "gzip", True),
    ],
)
def test_weights_decide(accept_encoding: str | None, taken: bool) -> None:
    """RFC 9110, 12.5.3; what is no weight is none."""
    assert takes_gzip(accept_encoding) is taken


async def test_an_endless_accept_encoding_is_read_in_part(client: Any) -> None:
    """It is a client's own loss."""
    headers, sent = await raw(client, greeting(LONG), accept_encoding="br, " * 1_500 + "gzip")
    assert "Content-Encoding" not in headers
    assert json.loads(sent) == {"data": {"hello": f"hello {LONG}"}}
