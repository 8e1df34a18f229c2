"""/graphql over WebSocket: graphql-transport-ws (https://github.com/enisdenjo/graphql-ws, PROTOCOL.md). docs/errors.md lists
the close codes. A bad document ends its own operation; a bad message, the token's end or a stalled reader end the socket.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import Any

import structlog
from starlette.types import Message, Receive, Scope, Send

from gateway.authentication import Authenticator, bearer
from gateway.closing import LAST_WORDS_SECONDS, Closing
from gateway.errors import error_object
from gateway.frames import EXTENSION, FrameProtocol
from gateway.limits import Limits
from gateway.logs import REQUEST_ID, request_id_from
from gateway.messages import ACK, PONG, id_of, message_of, next_of, parse_message
from gateway.metrics import Metrics
from gateway.operations import Operations
from gateway.outbox import Outbox
from gateway.parsing import check_no_nul, request_from
from gateway.requests import ErrorObject, GraphQLRequest, RequestRefused, Results, deliver
from sources.caller import Caller
from sources.errors import LedgergraphError, NotAuthenticated

log = structlog.get_logger(__name__)

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 10.0
_CLOCK_SECONDS = 60.0
"""A token's end is looked for at least so often: the clock may be set."""
_EXPIRY_FLUSH_SECONDS = 0.5
_EXPIRED = "token expired"


class WebSocketEndpoint:
    """The ASGI application behind /graphql for scope type websocket; uvicorn serves it with `gateway.frames`."""

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
        request_id = request_id_from(next((value for name, value in scope["headers"] if name == b"x-request-id"), None))
        REQUEST_ID.set(request_id)
        await receive()  # websocket.connect
        offered = PROTOCOL in scope.get("subprotocols", [])
        accept: dict[str, Any] = {"type": "websocket.accept", "headers": [(b"x-request-id", request_id.encode())]}
        try:
            await send({**accept, "subprotocol": PROTOCOL} if offered else accept)
        except OSError:
            return  # the client left during the handshake
        socket = Socket(self, receive, send, scope["extensions"][EXTENSION], request_id)
        full = len(self._open) >= self.limits.sockets
        self._open.add(socket)
        with self.metrics.sockets.track_inprogress():
            try:
                await socket.serve(Closing(4406) if not offered else _full(self.limits) if full else None)
            finally:
                self._open.discard(socket)

    def stop(self) -> None:
        """Close every socket for a restart; clients reconnect elsewhere and resume."""
        for socket in list(self._open):
            socket.end(Closing(1012))


def _full(limits: Limits) -> Closing:
    return Closing(1013, f"try again later: this process holds {limits.sockets} sockets")


class Operation:
    """One operation of a socket, and the sink of its results."""

    __slots__ = ("_id", "_key", "_outbox", "given_up", "task")

    def __init__(self, id_: str, outbox: Outbox) -> None:
        self._key, self._id, self._outbox = id_, json.dumps(id_).encode(), outbox  # orjson's bytes keep a kilobyte each
        self.given_up = False
        self.task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The protocol has no word for it."""

    def offer(self, results: Results) -> bool:
        make = partial(next_of, results, self._id)
        return self.given_up or self._outbox.offer(self._key, make, len(results.bodies), results.length)

    async def room(self) -> None:
        await self._outbox.room()

    def give_up(self) -> None:
        """A cancelled task holds the frames that it was cancelled in, and they this: it is let go."""
        self.given_up = True
        if self.task is not None:
            self.task.cancel()
            self.task = None


class Socket:
    """One connection. Its task reads messages; each operation has one more. What is sent goes through the outbox."""

    def __init__(
        self, endpoint: WebSocketEndpoint, receive: Receive, send: Send, wire: FrameProtocol, request_id: str
    ) -> None:
        self._endpoint, self._limits = endpoint, endpoint.limits
        self._receive, self._send, self._wire, self._request_id = receive, send, wire, request_id
        self._outbox = Outbox(wire, self._limits.socket_queue, self._limits.stall_seconds, self._stalled)
        self._caller: Caller | None = None
        self._operations: dict[str, Operation] = {}
        self._started = 0
        self._closing: Closing | None = None
        self._reading: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        wire.resumed = self._outbox.flush

    async def serve(self, refused: Closing | None = None) -> None:
        closing = refused
        if closing is None:
            try:
                closing = await self._read_until_closing()
                if closing is not None and closing.reason == _EXPIRED:
                    await self._tell_expiry()
            finally:
                self._set_timer(None)
                tasks = [operation.task for operation in self._operations.values() if operation.task is not None]
                for operation in self._operations.values():
                    operation.give_up()
                self._operations.clear()
                await asyncio.gather(*tasks, return_exceptions=True)
        if closing is not None:
            await self._close(closing)
        self._outbox.retire()

    def end(self, closing: Closing) -> None:
        """Closes the socket from outside of its task."""
        if self._reading is not None and self._closing is None:
            self._closing = closing
            self._reading.reschedule(asyncio.get_running_loop().time())

    async def _read_until_closing(self) -> Closing | None:
        """Why the socket ends: None when the client has left."""
        self._set_timer(self._endpoint.init_seconds, self.end, Closing(4408))
        try:
            async with asyncio.timeout(None) as self._reading:
                await self._read()
        except Closing as closing:
            return closing
        except OSError:  # TimeoutError is one: the socket was ended
            return self._closing
        except Exception as exc:
            log.error("a socket failed", exc_info=exc)
            return Closing(1012)
        finally:
            self._reading = None
        return None

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

    def _set_timer(self, seconds: float | None, *act: Any) -> None:
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = None if seconds is None else loop.call_later(seconds, *act)

    def _watch_token(self, caller: Caller) -> None:
        left = caller.expires_at - time.time()
        if left <= 0:
            self.end(Closing(4403, _EXPIRED))
        else:
            self._set_timer(min(left, _CLOCK_SECONDS), self._watch_token, caller)

    def _stalled(self) -> None:
        self._endpoint.metrics.stalled_readers.labels("websocket").inc()
        self.end(Closing(4508))

    async def _tell_expiry(self) -> None:
        message = "the token has expired: connect again with a new one and resume with the last cursor"
        for id_, operation in self._operations.items():
            operation.give_up()
            error = error_object("TOKEN_EXPIRED", message, self._request_id)
            self._outbox.force(id_, message_of("error", id_, [error]))
        try:
            await asyncio.wait_for(self._outbox.drain(), _EXPIRY_FLUSH_SECONDS)
        except TimeoutError:
            log.info("the reader did not take its last messages in time")

    # What the client says

    async def _read(self) -> None:
        while await self._take(await self._receive()):  # while it waits, the last message is held by nobody
            pass

    async def _take(self, event: Message) -> bool:
        if event["type"] == "websocket.disconnect":
            return False
        text = event.get("text")
        if text is None:
            raise Closing(4400, "binary frames are not part of the protocol")
        await self._handle(parse_message(text), may_hold_nul="\\u0000" in text)
        return True

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
        self._wire.trust()
        self._watch_token(self._caller)
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
        operation = self._operations[id_] = Operation(id_, self._outbox)
        operation.task = asyncio.create_task(self._operate(id_, operation, request, self._caller))

    def _complete(self, id_: str) -> None:
        operation = self._operations.pop(id_, None)
        if operation is not None:
            operation.give_up()
            self._outbox.discard(id_)

    # What the server answers

    async def _operate(self, id_: str, operation: Operation, request: GraphQLRequest, caller: Caller) -> None:
        REQUEST_ID.set(request.request_id)
        try:
            await self._answer(operation, request, caller)
        except RequestRefused as exc:
            await self._finish(id_, message_of("error", id_, exc.errors))
        else:
            await self._finish(id_, message_of("complete", id_))

    async def _answer(self, sink: Operation, request: GraphQLRequest, caller: Caller) -> None:
        operations = self._endpoint.operations
        operation = operations.prepare(request, caller, "websocket")
        if operation.kind == "subscription":
            await operations.stream(operation, request.request_id, "websocket", caller, sink)
        else:
            await deliver(sink, await operations.run(operation, request.request_id, "websocket"))

    async def _finish(self, id_: str, message: bytes) -> None:
        # Free before the client can know, so that it may use the id again at once.
        self._operations.pop(id_, None)
        await self._outbox.put(id_, message)

    async def _fail(self, id_: str, error: ErrorObject) -> None:
        await self._outbox.put(id_, message_of("error", id_, [error]))


async def _attempt(send: Send, message: dict[str, Any]) -> None:
    try:
        await send(message)
    except (OSError, RuntimeError):
        log.debug("the socket was closed before")
