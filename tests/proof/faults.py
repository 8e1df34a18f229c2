"""An HTTP proxy on loopback that does to requests what networks and busy systems do, seeded or scripted, until it is told to be calm;
and a sender of webhooks that sends each several times, in any order."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
from aiohttp import web

PATIENCE = 30.0
DELAY_SECONDS = 0.05
SHARE = 0.5
"""Of the requests of a storm that something happens to."""
_DROPPED = frozenset({"transfer-encoding", "content-length", "connection", "content-encoding", "date", "server"})
_LINGER_NO_TIME = struct.pack("ii", 1, 0)


class Fault(StrEnum):
    """What happens to a request. LOST: it is answered, and so has done what it does, but the answer never arrives."""

    DELAYED = "delayed"
    RESET = "reset"
    TRUNCATED = "truncated"
    LOST = "lost"
    BUSY = "busy: 429 with Retry-After"
    FAILED = "500"
    UNAVAILABLE = "503"
    REFUSED = "401, as of a token that ended"
    GARBLED = "an answer that is no JSON"


Script = Callable[[], Fault | None]
"""Asked once for each request: what happens to it."""


def storm(seed: int, share: float = SHARE, faults: Sequence[Fault] = tuple(Fault)) -> Script:
    """Any of these faults, to so many of the requests."""
    chance = random.Random(seed)
    return lambda: chance.choice(faults) if chance.random() < share else None


def always(fault: Fault) -> Script:
    return lambda: fault


def calm() -> None:
    """The script of a proxy that does nothing."""


@dataclass
class FaultProxy:
    """Stands before `upstream`. `met`: what happened, how often; `url`: where it listens."""

    upstream: str
    script: Script = calm
    met: Counter[Fault | None] = field(default_factory=Counter)
    url: str = ""
    session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self.script()
        self.met[fault] += 1
        match fault:
            case Fault.BUSY:
                return web.json_response({"error": {"type": "rate_limit"}}, status=429, headers={"Retry-After": "1"})
            case Fault.FAILED:
                return web.json_response({"error": {"type": "api_error"}}, status=500)
            case Fault.UNAVAILABLE:
                return web.json_response({"error": {"type": "api_error"}}, status=503)
            case Fault.REFUSED:
                return web.json_response({"error": {"type": "invalid_token"}}, status=401)
            case Fault.GARBLED:
                return web.Response(text="<html>maintenance</html>", content_type="application/json")
            case Fault.RESET:
                return self._reset(request)
            case Fault.DELAYED:
                await asyncio.sleep(DELAY_SECONDS)
        status, headers, body = await self._forward(request)
        if fault is Fault.LOST:
            return self._reset(request)
        if fault is Fault.TRUNCATED:
            return await self._truncated(request, status, body)
        return web.Response(status=status, headers=headers, body=body)

    async def _forward(self, request: web.Request) -> tuple[int, Mapping[str, str], bytes]:
        assert self.session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in ("host", *_DROPPED)}
        url = f"{self.upstream}{request.raw_path}"
        body = await request.read()
        async with self.session.request(request.method, url, headers=headers, data=body or None) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            return answer.status, kept, await answer.read()

    @staticmethod
    def _reset(request: web.Request) -> web.Response:
        """Ends the connection by RST."""
        if request.transport is not None:
            request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NO_TIME)
            request.transport.abort()
        return web.Response()

    @staticmethod
    async def _truncated(request: web.Request, status: int, body: bytes) -> web.StreamResponse:
        """Half of the answer that was announced."""
        answer = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
        answer.content_length = len(body)
        with suppress(ConnectionError):  # who asked may have gone
            await answer.prepare(request)
            await answer.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return answer


@asynccontextmanager
async def proxy(upstream: str) -> AsyncIterator[FaultProxy]:
    """A calm one, that listens."""
    found = FaultProxy(upstream)
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{path:.*}", found.handle)
    async with serving(app) as url, aiohttp.ClientSession(auto_decompress=True) as session:
        found.url, found.session = url, session
        yield found


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """An application on a free port of loopback."""
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


# ---------------------------------------------------------------- webhooks


async def deliver(url: str, events: Sequence[Mapping[str, Any]], secret: str, seed: int) -> int:
    """Sends each of Stripe's events one to three times, in any order and several at once; one that was not acknowledged
    comes again, as Stripe does it. Answers with how many were sent."""
    chance = random.Random(seed)
    sendings = [event for event in events for _ in range(chance.randint(1, 3))]
    chance.shuffle(sendings)
    limit, sent = asyncio.Semaphore(4), 0

    async def send(session: aiohttp.ClientSession, event: Mapping[str, Any]) -> None:
        nonlocal sent
        async with limit, asyncio.timeout(PATIENCE):
            acknowledged = False
            while not acknowledged:
                sent += 1
                acknowledged = await _sent(session, url, event, secret)

    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        for event in sendings:
            group.create_task(send(session, event))
    return sent


async def _sent(session: aiohttp.ClientSession, url: str, event: Mapping[str, Any], secret: str) -> bool:
    body, moment = json.dumps(event).encode(), int(time.time())
    signature = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={moment},v1={signature}", "Content-Type": "application/json"}
    try:
        async with session.post(url, data=body, headers=headers) as answer:
            if answer.status == 200:
                return True
    except aiohttp.ClientError:
        pass
    await asyncio.sleep(0.02)
    return False
