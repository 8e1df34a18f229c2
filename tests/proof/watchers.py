"""Subscribers of postings over the wire that lose their connection and resume with the last cursor they received."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

from tests.proof.processes import PASSING, PATIENCE, PAUSE, Site, operation

PROTOCOL = Subprotocol("graphql-transport-ws")
LOST = (OSError, WebSocketException, aiohttp.ClientError, TimeoutError)

Payload = dict[str, Any]


@asynccontextmanager
async def socket(url: str, token: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A socket whose token was accepted."""
    settings: Any = {"subprotocols": [PROTOCOL], "compression": None, "open_timeout": PATIENCE, **options}
    async with connect(url, **settings) as opened:
        await opened.send(json.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}))
        assert json.loads(await opened.recv())["type"] == "connection_ack"
        yield opened


async def subscribe(opened: ClientConnection, query: str, **variables: Any) -> None:
    payload = {"query": query, "variables": variables}
    await opened.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))


async def over_websocket(url: str, token: str, query: str, **variables: Any) -> AsyncGenerator[Payload, None]:
    """Payloads of one subscription; errors as {"errors": […]}. ConnectionClosed when the server ends the socket."""
    async with socket(url.replace("http", "ws", 1), token) as opened:
        await subscribe(opened, query, **variables)
        while True:
            message = json.loads(await opened.recv())
            match message["type"]:
                case "next":
                    yield message["payload"]
                case "error":
                    yield {"errors": message["payload"]}
                case "complete":
                    return


async def over_events(url: str, token: str, query: str, **variables: Any) -> AsyncGenerator[Payload, None]:
    """Payloads of one subscription over server-sent events, until `complete` or the end of the response."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    body = {"query": query, "variables": variables}
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=PATIENCE)
    async with (
        aiohttp.ClientSession(timeout=timeout, read_bufsize=1_000_000) as session,
        session.post(url, json=body, headers=headers) as response,
    ):
        if response.content_type != "text/event-stream":
            yield await response.json(content_type=None)
            return
        async for line in response.content:
            if line.startswith(b"event: complete"):
                return
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


TRANSPORTS = {"websocket": over_websocket, "sse": over_events}


@dataclass(eq=False)
class Watcher:
    """Watches one ledger from its beginning. `seen`: (sequence, hash) of every event, in the order of arrival."""

    where: Site
    transport: str
    token: str
    cursor: str = "0"
    seen: list[tuple[int, str]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    connections: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """For ever: for a task that is cancelled at the end. Ends with AssertionError on an error that is no reason to
        try again."""
        while True:
            gateway = await self.where.any(self.connections)
            self.connections += 1
            with suppress(*LOST, ConnectionClosed):
                await self._listen(gateway.url)
            await asyncio.sleep(PAUSE)

    async def _listen(self, url: str) -> None:
        source = TRANSPORTS[self.transport]
        query = operation("postings")
        async with aclosing(source(url, self.token, query, ledger="us", after=self.cursor)) as payloads:
            async for payload in payloads:
                if "errors" in payload:
                    codes = {error["extensions"]["code"] for error in payload["errors"]}
                    assert codes <= PASSING, payload
                    return
                event = payload["data"]["postings"]
                self.cursor = event["cursor"]
                self.seen.append((event["entry"]["sequence"], event["entry"]["hash"]))
                self.keys.append(event["entry"]["idempotencyKey"])
                self.moved.set()

    async def reach(self, sequence: int) -> None:
        """Returns once the event of this sequence has come."""
        while not self.seen or self.seen[-1][0] < sequence:
            self.moved.clear()
            await self.moved.wait()


@asynccontextmanager
async def watching(where: Site, token: str) -> AsyncIterator[list[Watcher]]:
    """One subscriber for each transport."""
    watchers = [Watcher(where, transport, token) for transport in TRANSPORTS]
    tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
    try:
        yield watchers
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def reached(watchers: list[Watcher], sequence: int) -> None:
    """Returns once every subscriber has seen the event of this sequence."""
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*[watcher.reach(sequence) for watcher in watchers])
