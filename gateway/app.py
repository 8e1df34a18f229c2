"""The ASGI application: which path is answered by what. Everything it needs is handed in; nothing is read from the environment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import Any

import orjson
import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.authentication import Authenticator
from gateway.exchange import SECURITY_HEADERS
from gateway.frames import FrameProtocol
from gateway.heads import Heads
from gateway.http import GraphQLEndpoint
from gateway.limits import Limits
from gateway.metrics import CONTENT_TYPE, Metrics
from gateway.operations import Operations
from gateway.protocol import Protocol
from gateway.requests import Engine
from gateway.sse import EventStreams
from gateway.webhooks import PATH as WEBHOOKS
from gateway.webhooks import respond
from gateway.websocket import WebSocketEndpoint
from sources.errors import LedgergraphError

log = structlog.get_logger(__name__)

Readiness = Callable[[], Awaitable[None]]
"""Returns when requests can be answered; raises LedgergraphError with the reason when they cannot."""

Lifespan = Callable[[], AbstractAsyncContextManager[None]]

READINESS_SECONDS = 5.0
_END_STREAMS_SECONDS = 5.0


class App:
    """The ASGI application of one process."""

    def __init__(
        self,
        http: ASGIApp,
        websocket: WebSocketEndpoint,
        streams: EventStreams,
        operations: Operations,
        metrics: Metrics,
        limits: Limits,
        readiness: Readiness,
        lifespan: Lifespan | None,
        webhooks: ASGIApp | None = None,
    ) -> None:
        self._http, self._websocket = http, websocket
        self._streams, self._operations = streams, operations
        self.metrics, self.limits = metrics, limits
        self._readiness, self._lifespan = readiness, lifespan
        self._webhooks = webhooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and scope["path"] == "/graphql":
            await self._http(scope, receive, send)
        elif kind == "http":
            await self._serve_other(scope, receive, send)
        elif kind == "websocket":
            await self._serve_websocket(scope, receive, send)
        else:
            await self._live(receive, send)

    async def end_streams(self) -> None:
        """For a shutdown: end subscriptions so that their clients resume elsewhere, and wait for mutations that run unattended."""
        self._streams.stop()
        self._websocket.stop()
        await self._operations.finish(_END_STREAMS_SECONDS)

    async def _serve_other(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/healthz":
                await _respond(send, 200, b'{"status":"ok"}')
            case "/readyz":
                await self._tell_readiness(send)
            case "/metrics":
                await _respond(send, 200, await self.metrics.scrape(), CONTENT_TYPE.encode())
            case path if path.startswith(WEBHOOKS):
                await self._take_webhook(scope, receive, send)
            case _:
                await _respond(send, 404, b'{"error":"not found: the graph is at /graphql"}')

    async def _take_webhook(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._webhooks is None:
            await respond(send, 404)
            return
        try:
            await self._webhooks(scope, receive, send)
        except Exception as exc:
            log.error("a webhook could not be taken", exc_info=exc)
            await respond(send, 500)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/graphql":
            await self._websocket(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1000})  # before it is accepted: HTTP 403

    async def _tell_readiness(self, send: Send) -> None:
        try:
            async with asyncio.timeout(READINESS_SECONDS):
                await self._readiness()
        except TimeoutError:
            reason = "no answer in time"
        except LedgergraphError as exc:
            reason = str(exc)
        except Exception as exc:
            log.error("the check of readiness failed", exc_info=exc)
            reason = "the check failed; the log says why"
        else:
            await _respond(send, 200, b'{"status":"ready"}')
            return
        await _respond(send, 503, orjson.dumps({"status": "unavailable", "reason": reason}))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        async with AsyncExitStack() as stack:
            try:
                if self._lifespan is not None:
                    await stack.enter_async_context(self._lifespan())
            except Exception as exc:
                log.error("startup failed", exc_info=exc)
                await send({"type": "lifespan.startup.failed", "message": str(exc)})
                return
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            await self.end_streams()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(
    engine: Engine,
    *,
    authenticator: Authenticator,
    limits: Limits,
    readiness: Readiness,
    cors_origins: Iterable[str] = (),
    metrics: Metrics | None = None,
    lifespan: Lifespan | None = None,
    init_seconds: float | None = None,
    compressing: bool = True,
    webhooks: ASGIApp | None = None,
) -> App:
    """The application over an engine. `cors_origins`: origins whose pages may call it, "*" for any; none by default.
    `init_seconds`: how long a new socket may take to say who it is, 10 by default. `compressing`: for clients that ask.
    `webhooks`: answers below /webhooks/; None: nothing there is taken."""
    metrics = metrics or Metrics()
    operations, streams = Operations(engine, metrics, limits), EventStreams()
    http: ASGIApp = GraphQLEndpoint(operations, authenticator, limits, metrics, streams, compressing=compressing)
    origins = list(cors_origins)
    if origins:
        http = CORSMiddleware(
            http,
            allow_origins=origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=["x-request-id"],
        )
    websocket = WebSocketEndpoint(operations, authenticator, limits, metrics)
    if init_seconds is not None:
        websocket.init_seconds = init_seconds
    return App(http, websocket, streams, operations, metrics, limits, readiness, lifespan, webhooks)


def protocol_settings(limits: Limits) -> dict[str, Any]:
    """uvicorn's settings that this application's promises need, for uvicorn.Config.

    httptools takes header fields of any length, so that an overlong token is answered; a ping's answer may take longer than a
    reader may stall, so that a stalled reader learns why it was closed; messages are not compressed, which costs most of a
    worker's time and gives little on a fast network."""
    return {
        "http": partial(Protocol, heads=Heads()),
        "ws": FrameProtocol,
        "ws_max_size": limits.body_bytes,
        "ws_ping_interval": 20.0,
        "ws_ping_timeout": limits.stall_seconds + 30.0,
        "ws_per_message_deflate": False,
        "timeout_keep_alive": 65,
        "access_log": False,
        "server_header": False,
        "log_config": None,
    }


async def _respond(send: Send, status: int, body: bytes, content_type: bytes = b"application/json") -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *SECURITY_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
