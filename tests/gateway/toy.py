"""A toy graph behind the real endpoints, and a live server on loopback to reach them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
import uvicorn
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    build_schema,
    execute,
    get_operation_ast,
    parse,
    subscribe,
    validate,
)
from graphql.execution.values import get_variable_values
from starlette.types import ASGIApp

from gateway.app import App, create_app, protocol_settings
from gateway.authentication import SecretAuthenticator, issue_token
from gateway.errors import describe
from gateway.limits import Limits
from gateway.requests import GraphQLRequest, OperationKind, RequestRefused, Sink, deliver
from sources.caller import Caller
from sources.errors import DatabaseUnavailable, Forbidden, HistoryLost, NotFound

SECRET = b"toy-secret-that-is-long-enough-for-hs256"

SCHEMA = build_schema("""
type Query {
  hello(name: String = "world"): String!
  exact(value: Whole!): String!
  boom: String
  missing: String
  subject: String
  slow: String
  down: String
  admin: String
}
scalar Whole
type Mutation { add(amount: Int! = 1): Int! addSlowly: Int! }
type Subscription {
  count(to: Int!): Int!
  flood(size: Int! = 1000): String!
  silence: Int!
  fails(after: Int! = 1): Int!
  lost: Int!
}
""")


@dataclass(frozen=True)
class ToyOperation:
    kind: OperationKind
    document: DocumentNode
    request: GraphQLRequest
    caller: Caller


class ToyEngine:
    """Executes by graphql-core. `streams` counts the subscriptions that run; `total` is what mutations added."""

    def __init__(self) -> None:
        self.total = 0
        self.streams = 0
        self.produced = 0
        self.stream_ended = asyncio.Event()
        self.slow_started = asyncio.Event()
        self.slow_released = asyncio.Event()
        self.added = asyncio.Event()

    def prepare(self, request: GraphQLRequest, caller: Caller) -> ToyOperation:
        try:
            document = parse(request.query, max_tokens=2000)
        except GraphQLError as exc:
            raise RequestRefused([describe(exc, request.request_id)]) from exc
        faults = validate(SCHEMA, document)
        if faults:
            raise RequestRefused([describe(fault, request.request_id) for fault in faults])
        operation = get_operation_ast(document, request.operation_name)
        if operation is None:
            raise RequestRefused([describe(GraphQLError("Unknown operation."), request.request_id)])
        values = get_variable_values(SCHEMA, operation.variable_definitions or (), dict(request.variables))
        if isinstance(values, list):
            bad = [GraphQLError(fault.message, extensions={"code": "BAD_USER_INPUT"}) for fault in values]
            raise RequestRefused([describe(fault, request.request_id) for fault in bad])
        if "admin" in request.query and "ledger:admin" not in caller.scopes:
            forbidden = describe(Forbidden("the field needs the scope ledger:admin"), request.request_id, ["admin"])
            raise RequestRefused([forbidden], 403)
        return ToyOperation(operation.operation.value, document, request, caller)

    async def run(self, operation: ToyOperation) -> bytes:
        if "down" in operation.request.query:
            raise DatabaseUnavailable("the ledger store does not answer")
        result = execute(SCHEMA, operation.document, self._root(operation), **_arguments(operation))
        return self._dump(await result if asyncio.iscoroutine(result) else result, operation)

    async def stream(self, operation: ToyOperation, sink: Sink) -> None:
        if "lost" in operation.request.query:
            lost = HistoryLost("the cursor points at lost history: read from the beginning")
            raise RequestRefused([describe(lost, operation.request.request_id)])
        self.streams += 1
        try:
            root = Feeds(self)
            results = subscribe(SCHEMA, operation.document, root, **_arguments(operation))
            results = await results if asyncio.iscoroutine(results) else results
            assert not isinstance(results, ExecutionResult), results
            async for result in results:
                self.produced += 1
                await deliver(sink, self._dump(result, operation))
        finally:
            self.streams -= 1
            self.stream_ended.set()

    def _root(self, operation: ToyOperation) -> Root:
        return Root(self, operation.caller)

    def _dump(self, result: ExecutionResult, operation: ToyOperation) -> bytes:
        body: dict[str, Any] = {"data": result.data}
        if result.errors:
            body["errors"] = [describe(fault, operation.request.request_id) for fault in result.errors]
        return orjson.dumps(body)


def _arguments(operation: ToyOperation) -> dict[str, Any]:
    return {
        "variable_values": dict(operation.request.variables),
        "operation_name": operation.request.operation_name,
    }


class Root:
    def __init__(self, engine: ToyEngine, caller: Caller) -> None:
        self._engine, self._caller = engine, caller

    def hello(self, info: Any, name: str | None) -> str:
        return f"hello {name}"

    def exact(self, info: Any, value: int) -> str:
        return f"{type(value).__name__} {value}"

    def boom(self, info: Any) -> str:
        raise RuntimeError("SELECT secret FROM table on host db.internal")

    def missing(self, info: Any) -> str:
        raise NotFound("no such ledger")

    def subject(self, info: Any) -> str:
        return self._caller.subject

    def add(self, info: Any, amount: int) -> int:
        self._engine.total += amount
        self._engine.added.set()
        return self._engine.total

    async def slow(self, info: Any) -> str:
        self._engine.slow_started.set()
        await self._engine.slow_released.wait()
        return "done"

    async def addSlowly(self, info: Any) -> int:  # noqa: N802
        await self.slow(info)
        return self.add(info, 1)


class Feeds:
    """Source streams; graphql-core takes the async generator that a field of the root gives."""

    def __init__(self, engine: ToyEngine) -> None:
        self._engine = engine

    async def count(self, info: Any, to: int) -> AsyncGenerator[dict[str, int], None]:
        for number in range(1, to + 1):
            yield {"count": number}

    async def flood(self, info: Any, size: int) -> AsyncGenerator[dict[str, str], None]:
        while True:
            yield {"flood": "x" * size}
            await asyncio.sleep(0)

    async def silence(self, info: Any) -> AsyncGenerator[dict[str, int], None]:
        await asyncio.Event().wait()
        yield {"silence": 0}

    async def fails(self, info: Any, after: int) -> AsyncGenerator[dict[str, int], None]:
        for number in range(1, after + 1):
            yield {"fails": number}
        raise RuntimeError("the feed broke: host db.internal")


def token(**claims: Any) -> str:
    """A token of the toy's secret: everything is allowed unless said otherwise."""
    stated: dict[str, Any] = {"subject": "ann", "scopes": ["ledger:read"], "ledgers": None, "ttl": 600, **claims}
    return issue_token(SECRET, **stated)


def toy_app(engine: ToyEngine, **options: Any) -> App:
    """The real application over the toy engine; limits may be given one by one."""
    names = {name for name in Limits.__dataclass_fields__ if name in options}
    limits = replace(Limits(), **{name: options.pop(name) for name in names})

    async def ready() -> None:
        return

    settings: dict[str, Any] = {"authenticator": SecretAuthenticator(SECRET), "readiness": ready, **options}
    return create_app(engine, limits=limits, **settings)


@contextlib.asynccontextmanager
async def serve(app: ASGIApp) -> AsyncIterator[str]:
    """Run an application on a free loopback port in this loop; its address, "http://127.0.0.1:…"."""
    limits = app.limits if isinstance(app, App) else Limits()
    settings = {**protocol_settings(limits), "timeout_graceful_shutdown": 2}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **settings))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    running = asyncio.create_task(server.serve())
    try:
        while not server.started:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        if isinstance(app, App):
            await app.end_streams()
        server.should_exit = True
        await asyncio.wait_for(running, 20)
