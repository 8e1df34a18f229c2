"""/graphql over HTTP, as the GraphQL-over-HTTP specification says (https://graphql.github.io/graphql-over-http/draft/).

POST with a JSON body or GET with a query string; one answer as application/graphql-response+json or application/json,
or events (`gateway.sse`). A body is read only for an authenticated caller, and never beyond the limit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.types import Receive, Scope, Send

from gateway import ide
from gateway.authentication import Authenticator, bearer
from gateway.errors import refusal
from gateway.limits import Limits
from gateway.logs import REQUEST_ID, request_id_from
from gateway.metrics import Metrics
from gateway.negotiation import EVENT_STREAM, JSON, Accepted, negotiate, readable_body
from gateway.operations import Operations, code_in, errors_result, refusal_of
from gateway.parsing import check_no_nul, parse_json, query_parameters, request_from, request_from_query_string
from gateway.requests import GraphQLRequest, RequestRefused
from gateway.sse import EventStreams, Terms
from sources.caller import Caller

log = structlog.get_logger(__name__)

Headers = list[tuple[bytes, bytes]]

SECURITY_HEADERS: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]
_JSON_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_CHALLENGE = b'Bearer realm="ledgergraph"'


class ClientGone(Exception):
    """The client left before its request was whole; nobody waits for an answer."""


@dataclass(slots=True)
class Exchange:
    """One request and the way to answer it. `media` is the form of the answer; kind, status and subject are for
    the log; `counted`: whatever happens from here on, the operation is counted where it is executed."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[bytes, bytes]
    request_id: str
    accepted: Accepted
    media: str = JSON
    kind: str = "unknown"
    status: int = 0
    subject: str | None = None
    counted: bool = False

    async def respond(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        every = [
            *headers,
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", self.request_id.encode()),
            *SECURITY_HEADERS,
        ]
        await self.send({"type": "http.response.start", "status": status, "headers": every})
        await self.send({"type": "http.response.body", "body": body})

    async def respond_json(self, status: int, body: bytes, headers: Headers | None = None) -> None:
        content_type = (b"content-type", f"{self.media}; charset=utf-8".encode())
        await self.respond(status, body, [content_type, (b"vary", b"accept"), _JSON_POLICY, *(headers or [])])


class GraphQLEndpoint:
    """The ASGI application behind /graphql for scope type http."""

    def __init__(
        self,
        operations: Operations,
        authenticator: Authenticator,
        limits: Limits,
        metrics: Metrics,
        streams: EventStreams,
    ) -> None:
        self._operations, self._authenticator = operations, authenticator
        self._limits, self._metrics, self._streams = limits, metrics, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers = header_map(scope)
        request_id = request_id_from(headers.get(b"x-request-id"))
        REQUEST_ID.set(request_id)
        accept = headers.get(b"accept")
        accepted = negotiate(None if accept is None else accept.decode("latin-1")[:1000])
        exchange = Exchange(scope, receive, send, headers, request_id, accepted, accepted.json or JSON)
        try:
            await self._answer(exchange)
        except ClientGone:
            log.info("the client left before its request was whole")
            return
        except Exception as exc:
            await self._refuse(exchange, refusal_of(exc, request_id))
        _log(exchange, time.perf_counter() - started)

    async def _answer(self, exchange: Exchange) -> None:
        method = exchange.scope["method"]
        if method not in ("GET", "POST"):
            raise refusal("METHOD_NOT_ALLOWED", "use POST, or GET for a query", exchange.request_id)
        if method == "GET" and exchange.accepted.html and not _asks(exchange.scope):
            await exchange.respond(200, *ide.page())
            return
        if exchange.accepted.json is None and not exchange.accepted.events:
            message = "an answer is application/graphql-response+json, application/json or text/event-stream"
            raise refusal("NOT_ACCEPTABLE", message, exchange.request_id)
        caller = await self._authenticator.authenticate(bearer(_text(exchange.headers.get(b"authorization"))))
        exchange.subject = caller.subject
        request = await self._read(exchange)
        try:
            await self._execute(exchange, request, caller)
        except RequestRefused as exc:
            if exchange.accepted.json is None and exc.http_status not in (405, 406):
                await self._stream(exchange, _refused_result(exc), caller)
                return
            if exchange.media == JSON and exc.http_status == 400:
                exc.http_status = 200  # 6.4.1: with this media type, a well-formed request is answered with 200
            raise

    async def _read(self, exchange: Exchange) -> GraphQLRequest:
        try:
            if exchange.scope["method"] == "GET":
                query_string: bytes = exchange.scope["query_string"]
                if len(query_string) > self._limits.body_bytes:
                    raise _too_large(self._limits, exchange.request_id)
                return request_from_query_string(query_string, exchange.request_id)
            unreadable = readable_body(exchange.headers)
            if unreadable:
                raise refusal("UNSUPPORTED_MEDIA_TYPE", unreadable, exchange.request_id)
            body = await read_body(exchange, self._limits)
            parameters = parse_json(body)
            if b"\\u0000" in body:
                check_no_nul(parameters)
            return request_from(parameters, exchange.request_id)
        except ValueError as exc:
            raise refusal("BAD_REQUEST", str(exc), exchange.request_id) from exc

    async def _execute(self, exchange: Exchange, request: GraphQLRequest, caller: Caller) -> None:
        wants_events = exchange.accepted.json is None or exchange.accepted.prefers_events
        exchange.counted = True
        operation = self._operations.prepare(request, caller, "sse" if wants_events else "http")
        exchange.kind = operation.kind
        if exchange.kind == "mutation" and exchange.scope["method"] == "GET":
            raise refusal("METHOD_NOT_ALLOWED", "a mutation must be sent by POST", request.request_id)
        if exchange.kind == "subscription":
            if not exchange.accepted.events:
                message = "a subscription is answered as text/event-stream, or over WebSocket (graphql-transport-ws)"
                raise refusal("NOT_ACCEPTABLE", message, request.request_id)
            await self._stream(exchange, self._operations.stream(operation, request.request_id, "sse"), caller)
        elif wants_events:
            await self._stream(exchange, self._run_once(operation, request.request_id), caller)
        else:
            answer = await self._operations.run(operation, request.request_id, "http")
            await exchange.respond_json(200, answer)

    async def _run_once(self, operation: Any, request_id: str) -> AsyncGenerator[bytes, None]:
        yield await self._operations.run(operation, request_id, "sse")

    async def _stream(self, exchange: Exchange, results: AsyncGenerator[bytes, None], caller: Caller) -> None:
        exchange.status = 200
        headers = [
            (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", exchange.request_id.encode()),
            (b"vary", b"accept"),
            *SECURITY_HEADERS,
        ]
        terms = Terms(exchange.request_id, caller.expires_at, self._limits, self._metrics)
        await self._streams.serve(exchange.receive, exchange.send, headers, results, terms)

    async def _refuse(self, exchange: Exchange, refused: RequestRefused) -> None:
        if not exchange.counted:
            self._metrics.count("http", "unknown", "refused", code_in(refused.errors))
        await exchange.respond_json(refused.http_status, errors_result(refused.errors), _headers_of(refused, exchange))


async def read_body(exchange: Exchange, limits: Limits) -> bytes:
    """The whole body. Raises RequestRefused beyond the limit or when it does not arrive in time, ClientGone when it never will."""
    declared = exchange.headers.get(b"content-length", b"0")
    if not declared.isdigit() or len(declared) > 18 or int(declared) > limits.body_bytes:
        raise _too_large(limits, exchange.request_id)
    body = bytearray()
    try:
        async with asyncio.timeout(limits.stall_seconds):
            while True:
                message = await exchange.receive()
                if message["type"] == "http.disconnect":
                    raise ClientGone
                body += message.get("body", b"")
                if len(body) > limits.body_bytes:
                    raise _too_large(limits, exchange.request_id)
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        raise refusal("BAD_REQUEST", "the body did not arrive in time", exchange.request_id, 408) from None


def header_map(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name; the values of a repeated one are joined (RFC 9110, 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


async def _refused_result(refused: RequestRefused) -> AsyncGenerator[bytes, None]:
    yield errors_result(refused.errors)


def _too_large(limits: Limits, request_id: str) -> RequestRefused:
    return refusal("PAYLOAD_TOO_LARGE", f"a request has at most {limits.body_bytes} bytes", request_id)


def _headers_of(refused: RequestRefused, exchange: Exchange) -> Headers:
    status = refused.http_status
    if status == 401:
        error = b', error="invalid_token"' if b"authorization" in exchange.headers else b""
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


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


def _log(exchange: Exchange, seconds: float) -> None:
    log.info(
        "request",
        method=exchange.scope["method"],
        status=exchange.status,
        kind=exchange.kind,
        subject=exchange.subject,
        milliseconds=round(seconds * 1000, 2),
    )
