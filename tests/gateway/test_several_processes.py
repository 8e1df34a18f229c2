"""Several `serve` processes on one database and one source: each pull is one process's, each document is posted once, whoever dies."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from aiohttp import web

from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.stripe_company import StripeCompany
from tests.gateway.processes import Running, started, until
from tests.gateway.test_webhooks import SECRET, signed
from tests.sources.pipeline.company import Company, opened, rules

PROCESSES = 3
EVERY = 1.0
MORE_RULES = """
[[rules]]
name = "money"
kind = "payment"
postings = []
"""
CONFIG = """
[[sources]]
name = "billing"
kind = "stripe"
ledger = "us"
api_key = "env:KEY"
post_from = 2020-01-01
every = {every}
base_url = "{url}"
webhook_secrets = ["env:HOOK"]
"""


@dataclass
class Several:
    """The processes, what they are fed by, and what they feed."""

    running: list[Running]
    addresses: list[str]
    stripe: StripeCompany
    company: Company

    async def deliver(self, session: aiohttp.ClientSession, number: int) -> None:
        """One event, to every process that lives at the same moment, twice."""
        body = json.dumps(
            {"id": f"evt_{number}", "type": "invoice.paid", "created": 1, "data": {"object": {}}}
        ).encode()
        alive = [url for each, url in zip(self.running, self.addresses, strict=True) if each.process.returncode is None]
        answers = await asyncio.gather(*(_send(session, url, body) for url in [*alive, *alive]))
        assert set(answers) == {200}

    async def settled(self) -> bool:
        """Every invoice of the source is mirrored as it is, and nothing is due."""
        stated = {each["id"]: each["status"] for each in self.stripe.invoices.values()}
        rows = await self.company.owner.fetch(
            "SELECT external_id, lower(source_status) FROM mirror.invoice WHERE kind = 'INVOICE'"
        )
        held = {row[0]: row[1] for row in rows}
        due = await self.company.owner.fetchval("SELECT count(*) FROM pipeline.todo WHERE not_before <= now()")
        open_ = await self.company.owner.fetchval("SELECT count(*) FROM mirror.webhook WHERE processed_at IS NULL")
        return held.items() >= stated.items() and due == 0 and open_ == 0

    async def pulls(self) -> int:
        """So far: each that finds nothing is a page of its run's record."""
        return int(await self.company.owner.fetchval("SELECT sum(pages) FROM mirror.sync_run"))


async def _send(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    async with session.post(url, data=body, headers={"Stripe-Signature": signed(body, SECRET)}) as answer:
        return answer.status


@asynccontextmanager
async def several(database_url: str, owner_url: str, tmp_path: Path) -> AsyncIterator[Several]:
    app = stripe_app(3, datetime.now(UTC).date(), "sk")
    async with AsyncExitStack() as stack:
        company = await stack.enter_async_context(opened(database_url, owner_url, code="us"))
        await company.use_rules(rules() + MORE_RULES)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        config = tmp_path / "sources.toml"
        config.write_text(CONFIG.format(every=EVERY, url=f"http://127.0.0.1:{runner.addresses[0][1]}"))
        options = ("--port", 0, "--config", config, "--database-url", database_url)
        secrets = {"LEDGERGRAPH_JWT_SECRET": "s" * 32, "KEY": "sk", "HOOK": SECRET}
        starting = [stack.enter_async_context(started("serve", *options, **secrets)) for _ in range(PROCESSES)]
        running = [await each for each in starting]
        addresses = [(await each.address()).replace("/graphql", "/webhooks/billing") for each in running]
        yield Several(running, addresses, app[STRIPE], company)


async def test_processes_share_a_source_and_one_is_killed(database_url: str, owner_url: str, tmp_path: Path) -> None:
    """Schedules and webhooks at once, while invoices change; kill -9 in the middle. Nothing twice, nothing lost, no deadlock,
    and no more pulls than one process would make."""
    async with several(database_url, owner_url, tmp_path) as found, aiohttp.ClientSession() as session:
        open_ = [each for each in found.stripe.invoices.values() if each["status"] == "open"]
        for number, invoice in enumerate(open_[:12]):
            found.stripe.pay(invoice, int(time.time()))
            await found.deliver(session, number)
            if number == 5:
                found.running[0].process.kill()
                await found.running[0].ended()
        await until(found.settled)
        before, since = await found.pulls(), time.monotonic()
        await asyncio.sleep(4 * EVERY)
        assert 1 <= await found.pulls() - before <= (time.monotonic() - since) / EVERY + 2
        for each in found.running[1:]:
            assert await each.stop() == 0
        said = [line for each in found.running for line in each.said]
        assert not [line for line in said if "deadlock" in line or "Traceback" in line]
        assert await found.company.findings() == []
        assert await found.company.owner.fetchval("SELECT count(*) FROM pipeline.posting WHERE status = 'POSTED'") > 50
        stored = await found.company.owner.fetchval("SELECT count(*) FROM mirror.webhook")
        assert stored == len(open_[:12])
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await found.company.owner.fetchval(deadlocks) == 0
