"""Strawberry's own subscription handler over the same postings: `python -m benchmarks.strawberry_peer DATA_DIR`.

For comparison alone, in its fairest shape: what was posted is read once for all subscribers, resolvers are plain
attributes, there is no authentication, and no history. Mutations over HTTP, the server and its settings are the product's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import strawberry
from starlette.types import Receive, Scope, Send
from strawberry.asgi import GraphQL
from strawberry.schema.config import StrawberryConfig
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL

from benchmarks.books import LEDGER
from gateway.app import App
from gateway.composition import gateway_over
from gateway.config import Settings
from gateway.logs import configure
from gateway.openbooks import Books, books
from gateway.running import run_until_stopped
from gateway.serving import bound_socket, raise_open_files, serve_gateway
from sources.ledger.feed import POSTINGS

BigInt = strawberry.scalar(int, name="BigInt", serialize=int, parse_value=int)

_NEW = """SELECT e.sequence, e.sequence || '.' || encode(substring(e.hash, 1, 4), 'hex') AS cursor, e.effective_date,
    to_char(e.posted_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"') AS posted_at, e.posted_by, e.journal, e.description, e.reference,
    (e.total / 100.0)::numeric(30, 2) AS total, encode(e.hash, 'hex') AS hash,
    ARRAY(SELECT a.code FROM ledger.line n JOIN ledger.account a USING (ledger_id, account_id)
          WHERE n.ledger_id = e.ledger_id AND n.sequence = e.sequence) AS accounts
  FROM ledger.entry e WHERE e.ledger_id = $1 AND e.sequence > $2 ORDER BY e.sequence LIMIT 500"""


@strawberry.type
class JournalEntry:
    sequence: BigInt
    effective_date: str
    posted_at: str
    posted_by: str
    journal: str | None
    description: str
    reference: str | None
    total: str
    hash: str


@strawberry.type
class PostingEvent:
    cursor: str
    entry: JournalEntry
    accounts: strawberry.Private[frozenset[str]]


@strawberry.input
class PostingFilter:
    account_codes: list[str] | None = None
    min_total: str | None = None

    def passes(self, event: PostingEvent) -> bool:
        if self.min_total is not None and float(event.entry.total) < float(self.min_total):
            return False
        return self.account_codes is None or not event.accounts.isdisjoint(self.account_codes)


class Broadcast:
    """Reads what is new once, and hands it to the queue of every subscriber."""

    def __init__(self, opened: Books) -> None:
        self._opened = opened
        self.queues: set[asyncio.Queue[PostingEvent]] = set()

    async def run(self) -> None:
        ledger_id = (await self._opened.directory.resolve([LEDGER]))[LEDGER].ledger_id
        async with self._opened.database.snapshot([ledger_id]) as connection:
            at = await connection.fetchval("SELECT last_sequence FROM ledger.head WHERE ledger_id = $1", ledger_id)
        while True:
            await self._opened.feed.moved(POSTINGS, ledger_id, at)
            async with self._opened.database.snapshot([ledger_id]) as connection:
                rows = await connection.fetch(_NEW, ledger_id, at)
            for row in rows:
                values: dict[str, Any] = dict(row)
                at, cursor, accounts = values["sequence"], values.pop("cursor"), frozenset(values.pop("accounts"))
                event = PostingEvent(cursor=cursor, entry=JournalEntry(**values), accounts=accounts)
                for queue in self.queues:
                    queue.put_nowait(event)


def schema(broadcast: Broadcast) -> strawberry.Schema:
    @strawberry.type
    class Query:
        ledger: str = LEDGER

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def postings(
            self,
            ledger: str,
            filter: PostingFilter | None = None,  # noqa: A002
        ) -> AsyncGenerator[PostingEvent, None]:
            queue: asyncio.Queue[PostingEvent] = asyncio.Queue()
            broadcast.queues.add(queue)
            try:
                while True:
                    event = await queue.get()
                    if filter is None or filter.passes(event):
                        yield event
            finally:
                broadcast.queues.discard(queue)

    return strawberry.Schema(Query, subscription=Subscription, config=StrawberryConfig())


@dataclass(frozen=True, slots=True)
class Peer:
    """Strawberry's sockets, the product's HTTP."""

    product: App
    sockets: Any

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.sockets if scope["type"] == "websocket" else self.product)(scope, receive, send)

    async def end_streams(self) -> None:
        await self.product.end_streams()


async def serve(settings: Settings) -> None:
    listening = bound_socket(settings.server.host, 0)
    async with books(settings) as opened, gateway_over(settings, opened) as gateway:
        broadcast = Broadcast(opened)
        sockets = GraphQL(schema(broadcast), subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL])
        reading = asyncio.create_task(broadcast.run())
        peer: Any = Peer(gateway.app, sockets)
        try:
            served = replace(gateway, app=peer)
            await serve_gateway(served, listening, lambda address: print(f"serving {address}/graphql", flush=True))
        finally:
            reading.cancel()


if __name__ == "__main__":
    configure("info")
    raise_open_files()
    run_until_stopped(lambda: serve(Settings(data_dir=Path(sys.argv[1]))))
