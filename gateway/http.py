"""/graphql over HTTP, as the GraphQL-over-HTTP specification says (https://graphql.github.io/graphql-over-http/draft/).

POST with a JSON body or GET with a query string; one answer as application/graphql-response+json or application/json,
or events (`gateway.sse`). A body is read only for an authenticated caller, and never beyond the limit (`gateway.uploads`). A query
whose client goes away is cancelled, and its statement with it; a mutation goes on to its end.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from gateway import ide
from gateway.asked import asked
from gateway.authentication import Authenticator
from gateway.errors import refusal
from gateway.exchange import (
    SECURITY_HEADERS,
    ClientGone,
    Exchange,
    Headers,
    body_here,
    read_body,
    too_large,
    wire_of,
)
from gateway.limits import Limits
from gateway.logs import REQUEST_ID, new_request_id, request_lines
from gateway.metrics import Metrics
from gateway.negotiation import EVENT_STREAM, JSON
from gateway.operations import Operations, code_in, errors_result, refusal_of
from gateway.parsing import check_no_nul, parse_json, query_parameters, request_from, request_from_query_string
from gateway.requests import GraphQLRequest, RequestRefused, Sink, deliver
from gateway.sse import EventStreams, Source, Terms
from gateway.uploads import Uploads
from gateway.watching import STALLED, Watch, stop_listening
from sources.caller import Caller

log = structlog.get_logger(__name__)

_CHALLENGE = b'Bearer realm="ledgergraph"'


class GraphQLEndpoint:
    """The ASGI application behind /graphql for scope type http. `compressing`: answers are compressed for clients that ask."""

    def __init__(
        self,
        operations: Operations,
        authenticator: Authenticator,
        limits: Limits,
        metrics: Metrics,
        streams: EventStreams,
        *,
        compressing: bool = True,
    ) -> None:
        self._operations, self._authenticator = operations, authenticator
        self._limits, self._metrics, self._streams = limits, metrics, streams
        self._compressing = compressing
        self._watch, self._uploads = Watch(limits.stall_seconds), Uploads(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = self._exchange(scope, receive, send)
        started = exchange.since
        self._watch.add(exchange)
        try:
            await self._answer(exchange)
        except ClientGone:
            log.info("the client left before its request was whole")
            return
        except asyncio.CancelledError:
            if not exchange.ended or exchange.task is None or exchange.task.uncancel():
                raise  # somebody else cancels: the process ends
            await self._give_up(exchange)
        except Exception as exc:
            await self._refuse(exchange, refusal_of(exc, exchange.request_id))
        finally:
            self._watch.discard(exchange)
        _log(exchange, time.perf_counter() - started)

    def _exchange(self, scope: Scope, receive: Receive, send: Send) -> Exchange:
        wanted = asked(scope, compressing=self._compressing)
        request_id = wanted.request_id or new_request_id()
        REQUEST_ID.set(request_id)
        return Exchange(scope, receive, send, wanted, wire_of(scope), request_id, time.perf_counter())

    async def _give_up(self, exchange: Exchange) -> None:
        """After the watch ended an exchange."""
        if exchange.ended == STALLED:
            stalled = refusal("BAD_REQUEST", "the body did not arrive in time", exchange.request_id, 408)
            await self._refuse(exchange, stalled)
        else:
            self._metrics.count("http", exchange.kind, "abandoned")

    async def _answer(self, exchange: Exchange) -> None:
        method = exchange.scope["method"]
        if method not in ("GET", "POST"):
            raise refusal("METHOD_NOT_ALLOWED", "use POST, or GET for a query", exchange.request_id)
        accepted = exchange.asked.accepted
        if method == "GET" and accepted.html and not _asks(exchange.scope):
            page, headers = ide.page()
            await exchange.respond(200, page, [*headers, exchange.vary, *SECURITY_HEADERS])
            return
        if accepted.json is None and not accepted.events:
            message = "an answer is application/graphql-response+json, application/json or text/event-stream"
            raise refusal("NOT_ACCEPTABLE", message, exchange.request_id)
        caller = await self._authenticator.authenticate(exchange.asked.token())
        exchange.subject = caller.subject
        with self._uploads.admitted(exchange.asked.length, caller) as most:
            await self._serve(exchange, caller, most)

    async def _serve(self, exchange: Exchange, caller: Caller, most: int) -> None:
        accepted = exchange.asked.accepted
        request = await self._read(exchange, most)
        try:
            await self._execute(exchange, request, caller)
        except RequestRefused as exc:
            if accepted.json is None and exc.http_status not in (405, 406):
                await self._stream(exchange, partial(_refuse_all, exc), caller)
                return
            if exchange.asked.media == JSON and exc.http_status == 400:
                exc.http_status = 200  # 6.4.1: with this media type, a well-formed request is answered with 200
            raise

    async def _read(self, exchange: Exchange, most: int) -> GraphQLRequest:
        try:
            if exchange.scope["method"] == "GET":
                query_string: bytes = exchange.scope["query_string"]
                if len(query_string) > self._limits.body_bytes:
                    raise too_large(self._limits.body_bytes, exchange.request_id)
                return request_from_query_string(query_string, exchange.request_id)
            unreadable = exchange.asked.unreadable
            if unreadable:
                raise refusal("UNSUPPORTED_MEDIA_TYPE", unreadable, exchange.request_id)
            body = body_here(exchange, most)
            if body is None:
                exchange.phase, exchange.since = "reading", time.perf_counter()
                body = await read_body(exchange, most, in_parts=most > self._limits.body_bytes)
                exchange.phase = "arriving"
            self._uploads.check(body, exchange.request_id)
            parameters = parse_json(body)
            if b"\\u0000" in body:
                check_no_nul(parameters)
            return request_from(parameters, exchange.request_id)
        except ValueError as exc:
            raise refusal("BAD_REQUEST", str(exc), exchange.request_id) from exc

    async def _execute(self, exchange: Exchange, request: GraphQLRequest, caller: Caller) -> None:
        accepted = exchange.asked.accepted
        wants_events = accepted.json is None or accepted.prefers_events
        exchange.counted = True
        operation = self._operations.prepare(request, caller, "sse" if wants_events else "http")
        exchange.kind = operation.kind
        if exchange.kind == "mutation" and exchange.scope["method"] == "GET":
            raise refusal("METHOD_NOT_ALLOWED", "a mutation must be sent by POST", request.request_id)
        if exchange.kind == "subscription":
            if not accepted.events:
                message = "a subscription is answered as text/event-stream, or over WebSocket (graphql-transport-ws)"
                raise refusal("NOT_ACCEPTABLE", message, request.request_id)
            source = partial(self._operations.stream, operation, request.request_id, "sse", caller)
            await self._stream(exchange, source, caller)
        elif wants_events:
            await self._stream(exchange, partial(self._run_once, operation, request.request_id), caller)
        else:
            await exchange.respond_json(200, await self._run(exchange, operation, request.request_id))

    async def _run(self, exchange: Exchange, operation: Any, request_id: str) -> bytes:
        """A mutation is not watched: it goes on although nobody waits for it."""
        if exchange.kind == "query":
            exchange.phase, exchange.since = "executing", time.perf_counter()
        try:
            return await self._operations.run(operation, request_id, "http")
        finally:
            exchange.phase = "answering"
            stop_listening(exchange)

    async def _run_once(self, operation: Any, request_id: str, sink: Sink) -> None:
        await deliver(sink, await self._operations.run(operation, request_id, "sse"))

    async def _stream(self, exchange: Exchange, source: Source, caller: Caller) -> None:
        exchange.status = 200
        headers = [
            (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", exchange.request_id.encode()),
            exchange.vary,
            *SECURITY_HEADERS,
        ]
        terms = Terms(exchange.request_id, caller.expires_at, self._limits, self._metrics)
        await self._streams.serve(exchange.receive, exchange.send, headers, source, terms)

    async def _refuse(self, exchange: Exchange, refused: RequestRefused) -> None:
        if not exchange.counted:
            self._metrics.count("http", "unknown", "refused", code_in(refused.errors))
        await exchange.respond_json(refused.http_status, errors_result(refused.errors), _headers_of(refused, exchange))


async def _refuse_all(refused: RequestRefused, sink: Sink) -> None:
    raise refused


def _headers_of(refused: RequestRefused, exchange: Exchange) -> Headers:
    status = refused.http_status
    if status == 401:
        error = b', error="invalid_token"' if b"authorization" in exchange.asked.headers else b""
        return [(b"www-authenticate", _CHALLENGE + error)]
    if status == 403:
        return [(b"www-authenticate", _CHALLENGE + b', error="insufficient_scope"')]
    if status == 405:
        return [(b"allow", b"POST" if exchange.kind == "mutation" else b"GET, POST")]
    if status == 503:
        return [(b"retry-after", b"1")]
    return []


def _asks(scope: Scope) -> bool:
    try:
        return any(name == "query" for name, _ in query_parameters(scope["query_string"]))
    except ValueError:
        return True  # the reader of the query string says what is wrong with it


def _log(exchange: Exchange, seconds: float) -> None:
    client = exchange.scope.get("client")
    request_lines.tell(
        exchange.request_id,
        exchange.scope["method"],
        exchange.status,
        exchange.kind,
        exchange.subject,
        client[0] if client else None,
        seconds,
    )
