"""/graphql over WebSocket: graphql-transport-ws (https://github.com/enisdenjo/graphql-ws, PROTOCOL.md). docs/errors.md lists
the close codes. A bad document ends its own operation; a bad message, the token's end or a stalled reader end the socket.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from gateway.authentication import Authenticator, bearer
from gateway.closing import LAST_WORDS_SECONDS, Closing
from gateway.errors import error_object
from gateway.limits import Limits
from gateway.logs import REQUEST_ID, request_id_from
from gateway.messages import ACK, PONG, id_of, message_of, next_of, parse_message
from gateway.metrics import Metrics
from gateway.operations import Operations
from gateway.outbox import Outbox
from gateway.parsing import check_no_nul, request_from
from gateway.requests import ErrorObject, GraphQLRequest, RequestRefused
from sources.caller import Caller
from sources.errors import LedgergraphError, NotAuthenticated

log = structlog.get_logger(__name__)

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
_EXPIRY_FLUSH_SECONDS = 0.5


class WebSocketEndpoint:
    """The ASGI application behind /graphql for scope type websocket."""

    def __init__(
        self,
        operations: Operations,
        authenticator: Authenticator,
        limits: Limits,
        metrics: Metrics,
        init_seconds: float = INIT_SECONDS,
    ) -> None:
        self.operations, self.authenticator = operations, authenticator
        self.limits, self.metrics, self.init_seconds = limits, metrics, init_seconds
        self._open: set[Socket] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = request_id_from(headers.get(b"x-request-id"))
        REQUEST_ID.set(request_id)
        await receive()  # websocket.connect
        offered = PROTOCOL in scope.get("subprotocols", [])
        accept: dict[str, Any] = {"type": "websocket.accept", "headers": [(b"x-request-id", request_id.encode())]}
        try:
            await send({**accept, "subprotocol": PROTOCOL} if offered else accept)
        except OSError:
            return  # the client left during the handshake
        socket = Socket(self, receive, send, request_id)
        self._open.add(socket)
        with self.metrics.sockets.track_inprogress():
            try:
                await socket.serve(None if offered else Closing(4406))
            finally:
                self._open.discard(socket)

    def stop(self) -> None:
        """Close every socket for a restart; clients reconnect elsewhere and resume."""
        for socket in list(self._open):
            socket.stop()


class Socket:
    """One connection. Its tasks: a reader of messages, a writer of the outbox, a watch over time, and one for each operation."""

    def __init__(self, endpoint: WebSocketEndpoint, receive: Receive, send: Send, request_id: str) -> None:
        self._endpoint, self._limits = endpoint, endpoint.limits
        self._receive, self._send, self._request_id = receive, send, request_id
        self._outbox: Outbox[str] = Outbox(self._write, endpoint.limits.socket_queue)
        self._caller: Caller | None = None
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._started = 0
        self._restarting = False
        self._changed = asyncio.Event()  # wakes the watch before its time

    async def serve(self, refused: Closing | None = None) -> None:
        closing = refused
        if closing is None:
            tasks = [asyncio.create_task(step) for step in (self._read(), self._watch(), self._outbox.run())]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                closing = _outcome(done)
            finally:
                every = [*tasks, *self._operations.values()]
                self._operations.clear()
                for task in every:
                    task.cancel()
                await asyncio.gather(*every, return_exceptions=True)
        if closing is not None:
            await self._close(closing)

    def stop(self) -> None:
        self._restarting = True
        self._changed.set()

    async def _write(self, message: str) -> None:
        try:
            await self._send({"type": "websocket.send", "text": message})
        except RuntimeError as exc:  # the server's own protocol layer has closed the socket
            raise ConnectionError("the socket is closed") from exc

    async def _close(self, closing: Closing) -> None:
        log.info("socket closed", code=closing.code, reason=closing.reason)
        self._endpoint.metrics.closed_sockets.labels(str(closing.code)).inc()
        self._outbox.clear()
        message = {"type": "websocket.close", "code": closing.code, "reason": closing.reason}
        send = asyncio.create_task(_attempt(self._send, message))
        gone = asyncio.create_task(self._wait_until_gone())
        await asyncio.wait({send, gone}, timeout=LAST_WORDS_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        for task in (send, gone):
            task.cancel()
        await asyncio.gather(send, gone, return_exceptions=True)

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "websocket.disconnect":
            pass

    # What watches over time

    async def _watch(self) -> None:
        deadline = time.monotonic() + self._endpoint.init_seconds
        while True:
            await self._pause(deadline)
            if self._restarting:
                raise Closing(1012)
            if self._caller is None:
                if time.monotonic() >= deadline:
                    raise Closing(4408)
            elif time.time() >= self._caller.expires_at:
                await self._expire()
            if self._outbox.stalled(self._limits.stall_seconds):
                self._endpoint.metrics.stalled_readers.labels("websocket").inc()
                raise Closing(4508)

    async def _pause(self, deadline: float) -> None:
        left = self._limits.stall_seconds / 10
        if self._caller is None:
            left = min(left, deadline - time.monotonic())
        else:
            left = min(left, self._caller.expires_at - time.time())
        try:
            async with asyncio.timeout(max(0.005, left)):
                await self._changed.wait()
        except TimeoutError:
            return
        self._changed.clear()

    async def _expire(self) -> None:
        for id_, task in self._operations.items():
            task.cancel()
            message = "the token has expired: connect again with a new one and resume with the last cursor"
            self._outbox.force(
                id_, message_of("error", id_, [error_object("TOKEN_EXPIRED", message, self._request_id)])
            )
        try:
            await asyncio.wait_for(self._outbox.drain(), _EXPIRY_FLUSH_SECONDS)
        except TimeoutError:
            log.info("the reader did not take its last messages in time")
        raise Closing(4403, "token expired")

    # What the client says

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            if text is None:
                raise Closing(4400, "binary frames are not part of the protocol")
            message = parse_message(text, self._limits.body_bytes)
            await self._handle(message, may_hold_nul="\\u0000" in text)

    async def _handle(self, message: dict[str, Any], may_hold_nul: bool) -> None:
        match message["type"]:
            case "connection_init":
                await self._initialise(message.get("payload"))
            case "ping":
                await self._outbox.put("", PONG)
            case "pong":
                return
            case "subscribe":
                await self._subscribe(id_of(message), message.get("payload"), may_hold_nul)
            case "complete":
                self._complete(id_of(message))
            case _:
                raise Closing(4400, "unknown type of message")

    async def _initialise(self, payload: Any) -> None:
        if self._caller is not None:
            raise Closing(4429)
        if payload is not None and not isinstance(payload, dict):
            raise Closing(4400, "the payload of connection_init is an object")
        authorization = (payload or {}).get("Authorization", (payload or {}).get("authorization"))
        if authorization is not None and not isinstance(authorization, str):
            raise Closing(4403)
        try:
            self._caller = await self._endpoint.authenticator.authenticate(bearer(authorization))
        except NotAuthenticated as exc:
            raise Closing(4403, f"Forbidden: {exc}") from None
        except LedgergraphError as exc:
            raise Closing(1013, f"try again later: {exc}") from None
        self._changed.set()
        await self._outbox.put("", ACK)

    async def _subscribe(self, id_: str, payload: Any, may_hold_nul: bool) -> None:
        if self._caller is None:
            raise Closing(4401)
        if id_ in self._operations:
            raise Closing(4409, f"Subscriber for {id_} already exists")
        self._started += 1
        request_id = f"{self._request_id}.{self._started}"
        try:
            request = request_from(payload, request_id)
        except ValueError as exc:
            raise Closing(4400, f"subscribe: {exc}") from None
        try:
            if may_hold_nul:
                check_no_nul(payload)
        except ValueError as exc:
            await self._fail(id_, error_object("BAD_REQUEST", str(exc), request_id))
            return
        if len(self._operations) >= self._limits.operations_per_socket:
            reason = f"at most {self._limits.operations_per_socket} operations run on one socket"
            await self._fail(id_, error_object("LIMIT_EXCEEDED", reason, request_id))
            return
        self._operations[id_] = asyncio.create_task(self._operate(id_, request, self._caller))

    def _complete(self, id_: str) -> None:
        task = self._operations.pop(id_, None)
        if task is not None:
            task.cancel()
            self._outbox.discard(id_)

    # What the server answers

    async def _operate(self, id_: str, request: GraphQLRequest, caller: Caller) -> None:
        REQUEST_ID.set(request.request_id)
        try:
            await self._answer(id_, request, caller)
        except RequestRefused as exc:
            await self._end(id_, message_of("error", id_, exc.errors))
        else:
            await self._end(id_, message_of("complete", id_))

    async def _answer(self, id_: str, request: GraphQLRequest, caller: Caller) -> None:
        operations = self._endpoint.operations
        operation = operations.prepare(request, caller, "websocket")
        if operation.kind != "subscription":
            answer = await operations.run(operation, request.request_id, "websocket")
            await self._outbox.put(id_, next_of(id_, answer))
            return
        async with aclosing(operations.stream(operation, request.request_id, "websocket")) as results:
            async for result in results:
                await self._outbox.put(id_, next_of(id_, result))

    async def _end(self, id_: str, message: str) -> None:
        # Free before the client can know, so that it may use the id again at once.
        self._operations.pop(id_, None)
        await self._outbox.put(id_, message)

    async def _fail(self, id_: str, error: ErrorObject) -> None:
        await self._outbox.put(id_, message_of("error", id_, [error]))


def _outcome(done: set[asyncio.Task[None]]) -> Closing | None:
    """Why a socket ends: a Closing that one of its tasks raised, or None when the client has left."""
    for task in done:
        exc = task.exception()
        if isinstance(exc, Closing):
            return exc
        if exc is not None and not isinstance(exc, OSError):
            log.error("a socket failed", exc_info=exc)
            return Closing(1012)
    return None


async def _attempt(send: Send, message: dict[str, Any]) -> None:
    try:
        await send(message)
    except (OSError, RuntimeError):
        log.debug("the socket was closed before")
