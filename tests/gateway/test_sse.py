"""Server-sent events, graphql-sse in distinct connections mode."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway import sse
from gateway.negotiation import EVENT_STREAM
from tests.gateway.toy import ToyEngine, serve, token, toy_app

PATIENCE = 15


@contextlib.asynccontextmanager
async def streamed(client: Any, query: str, ttl: float = 600, **body: Any) -> AsyncIterator[aiohttp.ClientResponse]:
    """The response to one operation whose events are asked for."""
    headers = {"authorization": f"Bearer {token(ttl=ttl)}", "accept": EVENT_STREAM}
    async with client.session.post(client.graphql, json={"query": query, **body}, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == EVENT_STREAM
        yield response


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """(event, data) one by one; comments are left out."""
    name, data = "", ""
    async with asyncio.timeout(PATIENCE):
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data:"):
                data += line.removeprefix("data:").removeprefix(" ")
            elif not line and name:
                yield name, json.loads(data) if data else None
                name = data = ""


async def all_events(response: aiohttp.ClientResponse) -> list[tuple[str, Any]]:
    return [event async for event in events(response)]


async def test_a_subscription_is_streamed(client: Any) -> None:
    """Each result is a next event, the end is complete."""
    async with streamed(client, "subscription { count(to: 2) }") as response:
        assert await all_events(response) == [
            ("next", {"data": {"count": 1}}),
            ("next", {"data": {"count": 2}}),
            ("complete", None),
        ]


async def test_a_get_is_streamed(client: Any) -> None:
    """EventSource speaks GET."""
    headers = client.headers(accept=EVENT_STREAM)
    query = {"query": "subscription { count(to: 1) }"}
    async with client.session.get(client.graphql, params=query, headers=headers) as response:
        assert await all_events(response) == [("next", {"data": {"count": 1}}), ("complete", None)]


async def test_queries_and_mutations_are_one_event(client: Any) -> None:
    for query, data in (("{ hello }", {"hello": "hello world"}), ("mutation { add }", {"add": 1})):
        async with streamed(client, query) as response:
            assert await all_events(response) == [("next", {"data": data}), ("complete", None)]


async def test_a_mutation_needs_post_here_too(client: Any) -> None:
    headers = client.headers(accept=EVENT_STREAM)
    async with client.session.get(client.graphql, params={"query": "mutation { add }"}, headers=headers) as response:
        assert response.status == 405
    assert client.engine.total == 0


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ admin }", "FORBIDDEN"),
        ("subscription { lost }", "HISTORY_LOST"),
        ("{ down }", "DATABASE_UNAVAILABLE"),
    ],
)
async def test_refusals_are_events(client: Any, query: str, code: str) -> None:
    """A browser's EventSource sees no body of a 4xx, so the protocol has the reason in the stream."""
    async with streamed(client, query) as response:
        (name, result), end = await all_events(response)
        assert (name, result["errors"][0]["extensions"]["code"], end) == ("next", code, ("complete", None))


async def test_what_is_no_request_is_a_status(client: Any) -> None:
    """Without a token or a readable body there is no stream."""
    headers = {"accept": EVENT_STREAM, "content-type": "application/json"}
    for extra, body, status in (({}, b"{}", 401), (client.headers(), b"{", 400), (client.headers(), b"[]", 400)):
        async with client.session.post(client.graphql, data=body, headers={**extra, **headers}) as response:
            assert response.status == status
            assert (await response.json())["errors"]


async def test_a_subscription_needs_a_stream(client: Any) -> None:
    """A client that takes JSON alone is told so; one that takes anything gets the stream."""
    body = {"query": "subscription { count(to: 1) }"}
    status, answer, _ = await client.post(body)
    assert (status, answer["errors"][0]["extensions"]["code"]) == (406, "NOT_ACCEPTABLE")
    for accept in ("*/*", "application/graphql-response+json, text/event-stream;q=0.5"):
        async with client.session.post(client.graphql, json=body, headers=client.headers(accept=accept)) as response:
            assert response.content_type == EVENT_STREAM


async def test_json_is_preferred_for_one_answer(client: Any) -> None:
    """A client that takes both gets JSON for a query, unless it prefers events."""
    for accept, media in (
        ("application/json, text/event-stream", "application/json"),
        ("text/event-stream, */*;q=0.1", EVENT_STREAM),
    ):
        async with client.session.post(
            client.graphql, json={"query": "{ hello }"}, headers=client.headers(accept=accept)
        ) as response:
            assert response.content_type == media


async def test_a_fault_in_the_midst_is_masked(client: Any) -> None:
    async with streamed(client, "subscription { fails }") as response:
        first, second, end = await all_events(response)
        assert first == ("next", {"data": {"fails": 1}})
        assert second[1]["errors"][0]["extensions"]["code"] == "INTERNAL"
        assert "db.internal" not in json.dumps(second)
        assert end == ("complete", None)


async def test_token_expiry_ends_the_stream(client: Any) -> None:
    """Within a second of its expiry the stream says TOKEN_EXPIRED and completes."""
    began = time.time()
    async with streamed(client, "subscription { silence }", ttl=1) as response:
        (name, result), end = await all_events(response)
        assert (name, result["errors"][0]["extensions"]["code"], end) == ("next", "TOKEN_EXPIRED", ("complete", None))
    assert time.time() - began < 3  # whole seconds: the token lives up to two
    assert client.engine.streams == 0


async def test_a_client_that_leaves_ends_its_stream(client: Any) -> None:
    async with streamed(client, "subscription { flood }") as response:
        async for _ in events(response):
            break
        response.close()
    await asyncio.wait_for(client.engine.stream_ended.wait(), 5)
    assert client.engine.streams == 0


async def test_silence_is_filled_with_comments(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxies close what is silent."""
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.1)
    async with streamed(client, "subscription { silence }") as response:
        async with asyncio.timeout(PATIENCE):
            assert await response.content.readexactly(6) == b":\n\n:\n\n"
        response.close()


async def test_a_stalled_reader_is_told_when_it_comes_back(start: Any) -> None:
    """A reader that takes nothing while its queue is full ends its subscription; what was sent before reaches it whole, then
    the reason. The rest of the server goes on."""
    async with start(stall_seconds=1.0, socket_queue=10) as client:
        narrow = socket.socket()
        host, port = client.url.removeprefix("http://").split(":")
        narrow.connect((host, int(port)))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
        body = b'{"query":"subscription { flood(size: 100000) }"}'
        head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token()}\r\nAccept: {EVENT_STREAM}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        await asyncio.wait_for(client.engine.stream_ended.wait(), PATIENCE)
        assert client.engine.produced < 200
        assert (await client.post({"query": "{ hello }"}))[0] == 200
        async with asyncio.timeout(PATIENCE):
            rest = b""
            while not rest.endswith(b"0\r\n\r\n"):
                rest = rest[-2000:] + await reader.read(65536)
        assert b"SLOW_CONSUMER" in rest
        assert sse.COMPLETE in rest
        writer.close()
        await writer.wait_closed()


async def test_a_restart_ends_streams_for_resuming() -> None:
    """The stream ends without complete, which would tell the client that there is nothing more."""
    engine = ToyEngine()
    app = toy_app(engine)
    async with serve(app) as url, aiohttp.ClientSession() as session:
        headers = {"authorization": f"Bearer {token()}", "accept": EVENT_STREAM}
        body = {"query": "subscription { silence }"}
        async with session.post(url + "/graphql", json=body, headers=headers) as response:
            await app.end_streams()
            assert await all_events(response) == []
