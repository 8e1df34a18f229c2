"""A whole graph in the test's process: engine, poster, feed and reference over one fresh database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from gateway.authentication import SCOPES
from gateway.engine import Engine
from gateway.limits import Limits
from gateway.reference import Reference
from gateway.requests import GraphQLRequest, RequestRefused, Results
from gateway.schema import build, core
from resolvers.context import Services
from sources.caller import Caller
from sources.database.pool import Database
from sources.feed import Feed
from sources.ledger.directory import Directory
from sources.ledger.feed import POSTINGS
from sources.ledger.posting import Poster
from sources.mirror.refresh import Refresher

SCHEMA = core(build())
CHART = (
    ("1000", "Bank", "ASSET"),
    ("1100", "Receivables", "ASSET"),
    ("2000", "Payables", "LIABILITY"),
    ("3000", "Capital", "EQUITY"),
    ("4000", "Sales", "REVENUE"),
    ("5000", "Rent", "EXPENSE"),
)


def caller(*scopes: str, ledgers: Sequence[str] | None = None) -> Caller:
    """A caller with these scopes (none given: all) and ledgers (None: every one)."""
    claimed = None if ledgers is None else frozenset(ledgers)
    return Caller("tester", frozenset(scopes) or SCOPES, claimed, time.time() + 3600)


@dataclass
class Graph:
    engine: Engine
    services: Services
    feed: Feed
    anyone: Caller = field(default_factory=caller)

    @cached_property
    def reference(self) -> Reference:
        return Reference(core(build()), self.services)

    async def run(
        self, query: str, variables: Mapping[str, Any] | None = None, by: Caller | None = None, name: str | None = None
    ) -> dict[str, Any]:
        """The whole answer; a refused request is {"errors": […], "refused": status}."""
        try:
            operation = self.engine.prepare(GraphQLRequest(query, name, variables or {}, "test"), by or self.anyone)
        except RequestRefused as refused:
            return {"errors": refused.errors, "refused": refused.http_status}
        return json.loads(await self.engine.run(operation))  # type: ignore[no-any-return]

    async def data(self, query: str, variables: Mapping[str, Any] | None = None, by: Caller | None = None) -> Any:
        """The data of an answer that has no errors."""
        answer = await self.run(query, variables, by)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def stream(
        self, query: str, variables: Mapping[str, Any] | None = None, by: Caller | None = None
    ) -> AsyncIterator[bytes]:
        return events(self.engine, self.prepare(query, variables, by))

    def prepare(
        self,
        query: str,
        variables: Mapping[str, Any] | None = None,
        by: Caller | None = None,
        request_id: str = "test",
    ) -> Any:
        return self.engine.prepare(GraphQLRequest(query, None, variables or {}, request_id), by or self.anyone)

    async def found(self, code: str = "us", currency: str = "USD") -> None:
        """A ledger with a small chart."""
        accounts = [{"code": code_, "name": name, "type": kind} for code_, name, kind in CHART]
        answer = await self.data(
            """mutation ($ledger: CreateLedgerInput!, $chart: CreateAccountsInput!) {
                 createLedger(input: $ledger) { __typename }
                 createAccounts(input: $chart) { __typename ... on ChangeRejected { reasons { code message path } } }
               }""",
            {
                "ledger": {"code": code, "name": code.upper(), "functionalCurrency": currency},
                "chart": {"ledger": code, "accounts": accounts},
            },
        )
        assert answer["createLedger"]["__typename"] == "LedgerSaved"
        assert answer["createAccounts"]["__typename"] == "AccountsSaved", answer

    async def post(self, *entries: Mapping[str, Any]) -> list[dict[str, Any]]:
        """What became of each entry."""
        answer = await self.data(
            """mutation ($entries: [PostEntryInput!]!) { postEntries(input: {entries: $entries}) { results {
                 __typename ... on EntryPosted { replayed entry { sequence } }
                 ... on EntryRejected { reasons { code message path } } ... on IdempotencyConflict { sequence } } } }""",
            {"entries": list(entries)},
        )
        return answer["postEntries"]["results"]  # type: ignore[no-any-return]


class Queue:
    """A sink whose results are taken from its end, one by one. `size`: how many wait at most, about."""

    def __init__(self, size: int = 1_000) -> None:
        self.size = size
        self.bodies: asyncio.Queue[bytes] = asyncio.Queue()
        self._taken = asyncio.Event()

    def begin(self) -> None: ...

    def offer(self, results: Results) -> bool:
        if self.bodies.qsize() >= self.size:
            return False
        for body in results.bodies:
            self.bodies.put_nowait(body)
        return True

    async def room(self) -> None:
        while self.bodies.qsize() >= self.size:
            self._taken.clear()
            await self._taken.wait()

    async def take(self) -> bytes:
        body = await self.bodies.get()
        self._taken.set()
        return body


async def events(engine: Engine, operation: Any, sink: Queue | None = None) -> AsyncGenerator[bytes, None]:
    """A subscription's results, as an iterator."""
    sink = sink or Queue()
    running = asyncio.create_task(engine.stream(operation, sink))
    try:
        while not running.done() or not sink.bodies.empty():
            taking = asyncio.create_task(sink.take())
            try:
                await asyncio.wait((running, taking), return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    yield taking.result()
            finally:
                taking.cancel()
        running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def entry(key: str, amount: str = "10.00", **changes: Any) -> dict[str, Any]:
    """A sale in cash, unless said otherwise."""
    return {
        "ledger": "us",
        "idempotencyKey": key,
        "effectiveDate": "2026-03-15",
        "description": f"Sale {key}",
        "lines": [{"account": "1000", "debit": amount}, {"account": "4000", "credit": amount}],
    } | changes


@contextlib.asynccontextmanager
async def open_graph(database_url: str, limits: Limits | None = None, **options: Any) -> AsyncIterator[Graph]:
    limits = limits or Limits()
    async with Database(database_url, readers=4, writers=3) as database, Feed(database) as feed:
        directory = Directory(database)
        poster = Poster(database, queue_limit=limits.posting_queue, on_posted=partial(feed.hasten, POSTINGS))
        refresher = Refresher(database, options.get("sources", ()), deadline=limits.source_deadline_seconds)
        await refresher.start()
        services = Services(
            database, directory, poster, refresher, page_size=limits.page_size, reading_group=limits.reading_group
        )
        try:
            yield Graph(Engine(SCHEMA, services, feed, limits), services, feed)
        finally:
            await refresher.close()
            await poster.close()
