"""Issues change while gateways that stream them are killed: every subscriber ends with what each issue is, and is told nothing
twice; /metrics counts them. Over both transports, as users start the processes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from websockets.exceptions import ConnectionClosed

from sources.database.embedded import APP_ROLE, EmbeddedPostgres
from sources.mirror import issues
from sources.mirror.issues import DocumentIssue
from tests.proof.processes import PASSING, PATIENCE, PAUSE, Site, client, site
from tests.proof.watchers import LOST, TRANSPORTS

NOW = datetime(2026, 3, 1, tzinfo=UTC)
QUERY = """subscription ($after: String) { integrationIssues(ledger: "us", after: $after) {
  cursor issue { subject state message } } }"""
TURNS, DOCUMENTS, KILLED_AFTER = 200, 20, 40


@dataclass(eq=False)
class Watcher:
    """Follows the issues of a ledger from their beginning, and comes back with its last cursor."""

    where: Site
    transport: str
    cursor: str = "0"
    connections: int = 0
    numbers: list[int] = field(default_factory=list)
    states: dict[str, tuple[str, str]] = field(default_factory=dict)

    async def run(self) -> None:
        while True:
            gateway = await self.where.any(self.connections)
            self.connections += 1
            with suppress(*LOST, ConnectionClosed):
                await self._listen(gateway.url)
            await asyncio.sleep(PAUSE)

    async def _listen(self, url: str) -> None:
        token = self.where.token(["sources:read"], ["us"])
        async with aclosing(TRANSPORTS[self.transport](url, token, QUERY, after=self.cursor)) as payloads:
            async for payload in payloads:
                if "errors" in payload:
                    assert {error["extensions"]["code"] for error in payload["errors"]} <= PASSING, payload
                    return
                event = payload["data"]["integrationIssues"]
                self.cursor = event["cursor"]
                self.numbers.append(int(self.cursor.partition(".")[0]))
                self.states[event["issue"]["subject"]] = (event["issue"]["state"], event["issue"]["message"])


@asynccontextmanager
async def watching(where: Site) -> AsyncIterator[list[Watcher]]:
    watchers = [Watcher(where, transport) for transport in TRANSPORTS]
    tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
    try:
        yield watchers
    finally:
        ended = [task for task in tasks if task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


async def change(connection: Any, ledger_id: int, turn: int, chance: random.Random) -> None:
    """One transaction of a pipeline: some documents fail, or are dealt with."""
    documents = [("stripe", "invoice", "", f"in_{chance.randrange(DOCUMENTS)}") for _ in range(3)]
    async with connection.transaction():
        if chance.random() < 0.6:
            met = [DocumentIssue(each, "NO_RULE", f"Message {turn // 2}.") for each in documents]
            await issues.note_documents(connection, ledger_id, met, NOW)
        else:
            await issues.close_documents(connection, ledger_id, documents, NOW)


async def test_issues_are_followed_across_kills(tmp_path: Path) -> None:
    chance = random.Random(7)
    async with site(tmp_path / "data", gateways=2) as where, client(where.token()) as talk:
        await talk.found(where.gateways[0].url)
        connection = await asyncpg.connect(EmbeddedPostgres(where.data_dir).dsn(user=APP_ROLE))
        await connection.execute("SET ledgergraph.ledgers = '*'")
        ledger_id = await connection.fetchval("SELECT ledger_id FROM ledger.ledger WHERE code = 'us'")
        async with watching(where) as watchers, asyncio.timeout(PATIENCE * 2):
            for turn in range(TURNS):
                await change(connection, ledger_id, turn, chance)
                if turn % KILLED_AFTER == KILLED_AFTER - 1:
                    while any(not watcher.numbers for watcher in watchers):
                        await asyncio.sleep(PAUSE)
                    await where.kill(where.gateways[0])
                    await where.start()
            rows = await connection.fetch("SELECT subject, closed_at IS NULL AS open, message FROM mirror.issue")
            final = {row["subject"]: ("OPEN" if row["open"] else "CLOSED", row["message"]) for row in rows}
            while any(watcher.states != final for watcher in watchers):
                await asyncio.sleep(PAUSE)
            await connection.close()
        async with talk.session.get(where.gateways[0].url.replace("/graphql", "/metrics")) as response:
            scraped = await response.text()
        waiting = sum(state == "OPEN" for state, _ in final.values())
        assert f'ledgergraph_open_issues{{code="NO_RULE",source="(not configured)"}} {waiting}.0' in scraped
        for watcher in watchers:
            assert watcher.numbers == sorted(set(watcher.numbers))
            assert watcher.connections > 1
