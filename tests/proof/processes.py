"""Real gateway processes on a data directory of the test's own, and a client that talks to them over the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from gateway.authentication import SCOPES, issue_token, load_or_create_secret
from gateway.tokens import SECRET_FILE
from sources.database.embedded import EmbeddedPostgres
from tests.gateway.processes import Running, started

OPERATIONS = Path(__file__).parent.parent / "operations"
PATIENCE = 60.0
PAUSE = 0.05
"""Seconds between two attempts of a client."""
PASSING = {"DATABASE_UNAVAILABLE", "OVERLOADED"}
"""Codes after which docs/errors.md tells a client to send the same again."""
CHART = (("1000", "Bank", "ASSET"), ("4000", "Sales", "REVENUE"), ("5000", "Rent", "EXPENSE"))


def operation(name: str) -> str:
    """The text of tests/operations/NAME.graphql."""
    return (OPERATIONS / f"{name}.graphql").read_text(encoding="utf-8")


@dataclass(eq=False)
class Gateway:
    """One `ledgergraph serve`. `url` ends in /graphql."""

    running: Running
    url: str
    stack: AsyncExitStack

    @property
    def websocket(self) -> str:
        return self.url.replace("http", "ws", 1)

    async def kill(self) -> None:
        """As `kill -9` does."""
        self.running.process.kill()
        await self.running.ended()
        await self.stack.aclose()

    async def stop(self) -> None:
        status = await self.running.stop()
        await self.stack.aclose()
        assert status == 0, "\n".join(self.running.said)


@dataclass
class Site:
    """A data directory, and whichever gateways serve it at the moment."""

    data_dir: Path
    config: Path
    gateways: list[Gateway] = field(default_factory=list)
    started: list[Running] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def token(
        self, scopes: Sequence[str] = tuple(SCOPES), ledgers: Sequence[str] | None = None, ttl: int = 3600
    ) -> str:
        """Signed with the data directory's secret, as `ledgergraph token` does it."""
        secret = load_or_create_secret(self.data_dir / SECRET_FILE)
        return issue_token(secret, subject="prover", scopes=sorted(scopes), ledgers=ledgers, ttl=ttl)

    async def start(self) -> Gateway:
        stack = AsyncExitStack()
        serving = started("serve", "--data-dir", self.data_dir, "--port", 0, "--config", self.config)
        running = await stack.enter_async_context(serving)
        self.started.append(running)
        gateway = Gateway(running, await running.address(), stack)
        self.gateways.append(gateway)
        self.changed.set()
        return gateway

    async def kill(self, gateway: Gateway) -> None:
        """`kill -9`; clients find out by themselves."""
        self.gateways.remove(gateway)
        await gateway.kill()

    async def any(self, number: int) -> Gateway:
        """One of those that serve; waits for one."""
        while not self.gateways:
            self.changed.clear()
            await self.changed.wait()
        return self.gateways[number % len(self.gateways)]

    async def close(self) -> None:
        """Stops all; the database, too, when those that used it were killed."""
        try:
            await asyncio.gather(*[gateway.stop() for gateway in self.gateways])
        finally:
            for running in self.started:  # pytest shows it beside a failure
                print(*running.said, sep="\n")
            for gateway in self.gateways:
                await gateway.stack.aclose()
            async with EmbeddedPostgres(self.data_dir):
                pass

    def server_pid(self) -> int | None:
        """Of the PostgreSQL postmaster that runs."""
        return EmbeddedPostgres(self.data_dir).postmaster_pid()


@asynccontextmanager
async def site(data_dir: Path, gateways: int = 1, config: str = "") -> AsyncIterator[Site]:
    """A data directory with so many gateways. `config`: more of their TOML file."""
    file = data_dir.parent / f"{data_dir.name}.toml"
    file.write_text(f'{config}\n[server]\nlog_level = "warning"\n')
    opened = Site(data_dir, file)
    try:
        await asyncio.gather(*[opened.start() for _ in range(gateways)])
        yield opened
    finally:
        await opened.close()


@dataclass
class Client:
    """Speaks HTTP to the gateways with one token."""

    session: aiohttp.ClientSession
    token: str

    async def answer(self, url: str, query: str, **variables: Any) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/graphql-response+json"}
        body = {"query": query, "variables": variables}
        async with self.session.post(url, json=body, headers=headers) as response:
            return response.status, await response.json(content_type=None)

    async def data(self, url: str, query: str, **variables: Any) -> dict[str, Any]:
        """The data of an answer that has no errors."""
        _, body = await self.answer(url, query, **variables)
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    async def post_until_acknowledged(self, where: Site, number: int, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What became of an entry; the same key is sent again, to any gateway, until somebody answers."""
        async with asyncio.timeout(PATIENCE):
            while True:
                gateway = await where.any(number)
                with suppress(aiohttp.ClientError, TimeoutError):
                    _, body = await self.answer(gateway.url, operation("post-entry"), input=entry)
                    codes = {error["extensions"]["code"] for error in body.get("errors", ())}
                    assert codes <= PASSING, body
                    if not codes:
                        outcome: dict[str, Any] = body["data"]["postEntry"]
                        return outcome
                number += 1
                await asyncio.sleep(PAUSE)

    async def found(self, url: str, code: str = "us", currency: str = "USD") -> None:
        """A ledger with a small chart."""
        accounts = [{"code": account, "name": name, "type": kind} for account, name, kind in CHART]
        ledger = {"code": code, "name": code.upper(), "functionalCurrency": currency}
        chart = {"ledger": code, "accounts": accounts}
        saved = await self.data(url, operation("create-ledger"), ledger=ledger, chart=chart)
        kinds = [saved[name]["__typename"] for name in ("createLedger", "createAccounts")]
        assert kinds == ["LedgerSaved", "AccountsSaved"], saved

    async def entries(self, url: str, code: str = "us") -> list[dict[str, Any]]:
        """Every entry of a ledger, page by page."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            variables = {"ledger": code, "first": 1000, "after": after}
            page = (await self.data(url, operation("entries"), **variables))["entries"]
            found += page["nodes"]
            if not page["pageInfo"]["hasNextPage"]:
                return found
            after = page["pageInfo"]["endCursor"]


@asynccontextmanager
async def client(token: str, connections: int = 100) -> AsyncIterator[Client]:
    """A client of every gateway, with at most so many connections."""
    connector = aiohttp.TCPConnector(limit=connections)
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Client(session, token)


def sale(key: str, amount: str = "10.00", **changes: Any) -> dict[str, Any]:
    """An entry: a sale in cash, unless said otherwise."""
    return {
        "ledger": "us",
        "idempotencyKey": key,
        "effectiveDate": "2026-03-15",
        "description": f"Sale {key}",
        "lines": [{"account": "1000", "debit": amount}, {"account": "4000", "credit": amount}],
    } | changes
