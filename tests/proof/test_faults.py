"""A source that fails in every way: while it does, whoever asks is told so and everything else answers; once it is calm, mirror and
ledger are what the source says, and nothing is there twice."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.stripe_company import StripeCompany
from sources.connectors.http import HttpOptions
from sources.connectors.stripe import StripeConnector
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.documents import Document
from sources.mirror.refresh import Refresher
from sources.mirror.rows import invoice_row, payment_row
from tests.examples import FACTOR
from tests.proof.faults import Fault, FaultProxy, always, calm, deliver, proxy, serving, storm
from tests.proof.processes import Client, Gateway, Site, client, operation, site
from tests.sources.connectors.test_stripe_localstripe import DECLINED_LATER, GOOD_CARD, Shop, localstripe, shop
from tests.sources.pipeline.company import Company
from tests.sources.pipeline.test_stripe_entries import ACCOUNTS, RULES, Books, company, ties_out

__all__ = ["company", "localstripe", "shop"]

KEY, SECRET = "sk_test_faults", "whsec_faults"
SEEDS = range(max(1, round(3 * FACTOR)))
ROUNDS = 8
QUICK = HttpOptions(waiting=False, attempts=3, attempt_seconds=2.0, breaker_failures=1000)
SOURCE = "stripe"


# ---------------------------------------------------------------- the connector, the mirror and the pipeline


@dataclass
class Stage:
    """A company that reads a source through a proxy. `truth`: a connector that asks the source itself."""

    company: Company
    refresher: Refresher
    proxy: FaultProxy
    truth: StripeConnector

    async def ask(self) -> str | None:
        """What whoever asks for the source's documents as they are now is told; then the pipeline goes on."""
        told = (await self.refresher.ensure([SOURCE], 0))[SOURCE]
        await self.company.look()
        assert told.stale == (told.error is not None)
        return told.error

    async def settles(self) -> None:
        """The source is calm: it is read, what was left over is read, and mirror and ledger are its truth."""
        self.proxy.script = calm
        assert await self.ask() is None
        assert await self.ask() is None
        await self.company.hurry()
        await self.company.look()
        assert await self.company.issues() == {}
        assert await self.company.findings() == []
        assert await self.mirrored() == await self.stated()
        entries = len(await self.company.entries())
        assert await self.ask() is None
        assert len(await self.company.entries()) == entries

    async def stated(self) -> dict[str, str]:
        """The hash of each document by its id, as a first pull of the source itself finds it."""
        pages = [page async for page in self.truth.pull(None)]
        assert pages[-1].complete
        return {each.external_id: _hash(each) for page in pages for each in page.documents}

    async def mirrored(self) -> dict[str, str]:
        """As `stated`, of what is held."""
        return dict(await self.company.owner.fetch(_HELD, self.company.ledger.ledger_id))


def _hash(document: Document) -> str:
    row = payment_row(document) if hasattr(document, "occurred_on") else invoice_row(document)  # type: ignore[arg-type]
    return str(row["content_hash"]).removeprefix("\\x")


@asynccontextmanager
async def staged(company: Company, url: str, key: str = KEY) -> AsyncIterator[Stage]:
    async with proxy(url) as before:
        read = StripeConnector(name=SOURCE, base_url=before.url, api_key=key, http=QUICK)
        truth = StripeConnector(name=SOURCE, base_url=url, api_key=key, http=QUICK)
        refresher = Refresher(company.database, [(company.source(SOURCE), read)], deadline=10.0)
        try:
            yield Stage(company, refresher, before, truth)
        finally:
            await refresher.close()
            await truth.close()


def happens(stated: StripeCompany, chance: random.Random, now: int) -> None:
    """Something changes at the source."""
    invoices = [each for each in stated.invoices.values() if each["status"] == "open"]
    charges = [each for each in stated.money.charges.values() if not each["refunded"]]
    for _ in range(chance.randint(1, 4)):
        roll, invoice = chance.randrange(4), chance.choice(invoices)
        if invoice["status"] != "open":
            continue
        match roll:
            case 0:
                stated.pay(invoice, now)
            case 1:
                stated.void(invoice, now)
            case 2:
                stated.add_credit_note(invoice, now)
                stated.record("invoice.updated", invoice, now)
            case _:
                stated.money.refund(chance.choice(charges), 100, now)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
async def test_whatever_happens_on_the_way_the_books_end_as_the_source_says(seed: int, company: Company) -> None:
    """Half of all requests meet a fault, from the first pull on, while the account changes; what is held stays whole."""
    app = stripe_app(seed=seed, today=datetime.now(UTC).date(), api_key=KEY)
    stated, chance = app[STRIPE], random.Random(seed)
    async with serving(app) as url, staged(company, url) as stage:
        told = []
        stage.proxy.script = storm(seed, 0.5)
        for _ in range(ROUNDS):
            told.append(await stage.ask())
            happens(stated, chance, int(time.time()))
            assert await company.findings() == []
        assert any(told)
        assert all(f"Source '{SOURCE}'" in error for error in told if error)
        assert len(stage.proxy.met) > len(Fault) / 2
        await stage.settles()
        connector: Any = None
        await ties_out(stated, Books(company, connector))


async def test_each_fault_by_itself_is_told_and_heals(company: Company) -> None:
    """The copy that is held stays, stale, with a sentence that says what is wrong."""
    app = stripe_app(seed=3, today=datetime.now(UTC).date(), api_key=KEY)
    async with serving(app) as url, staged(company, url) as stage:
        await stage.settles()
        held = await stage.mirrored()
        for fault in set(Fault) - {Fault.DELAYED}:
            stage.proxy.script = always(fault)
            error = await stage.ask()
            assert error is not None, fault
            assert f"Source '{SOURCE}'" in error
            assert KEY not in error
            assert await stage.mirrored() == held
            stage.proxy.script = calm
            assert await stage.ask() is None
        stage.proxy.script = always(Fault.DELAYED)
        assert await stage.ask() is None


async def test_localstripe_behind_a_bad_line(shop: Shop, localstripe: str, company: Company) -> None:
    """A Stripe that nobody of this project wrote: invoices that are paid and voided while half of the answers do not arrive."""
    plan = await shop.plan(2500, "usd")
    async with staged(company, localstripe, "sk_test_localstripe") as stage:
        stage.proxy.script = storm(5)
        for number in range(3):
            await shop.subscribe(await shop.customer(f"Payer {number}", GOOD_CARD), plan, number + 1)
            await stage.ask()
            late = await shop.subscribe(await shop.customer(f"Debtor {number}", DECLINED_LATER), plan, 1)
            await stage.ask()
            if number:
                await shop.post(f"invoices/{late['latest_invoice']}/void")
        await stage.settles()
    nets = await company.nets()
    assert nets == {"1100": 2_500, "1200": 15_000, "4000": -17_500}


_HELD = """
SELECT external_id, encode(content_hash, 'hex') FROM mirror.invoice WHERE ledger_id = $1 AND deleted_at IS NULL
UNION ALL
SELECT external_id, encode(content_hash, 'hex') FROM mirror.payment WHERE ledger_id = $1 AND deleted_at IS NULL"""


# ---------------------------------------------------------------- the gateway as users start it

CONFIG = """
[mapping]
us = "{rules}"

[[sources]]
name = "stripe"
kind = "stripe"
ledger = "us"
base_url = "{url}"
api_key = "env:FAULTS_KEY"
post_from = 2020-01-01
every = 3600
webhook_secrets = "env:FAULTS_SECRET"
"""
_ASK = """query ($ledger: String!, $maxAge: Int) {
  invoices(maxAge: $maxAge, first: 1) { nodes { id } freshness { source stale error } }
  sources { name status lastError }
  trialBalance(ledger: $ledger) { rows { account { code } closing } }
}"""


@dataclass
class Served:
    """A gateway that serves, and who asks it."""

    talk: Client
    gateway: Gateway

    async def ask(self, max_age: int | None = None) -> dict[str, Any]:
        return await self.talk.data(self.gateway.url, _ASK, ledger="us", maxAge=max_age)

    async def net(self, name: str) -> int:
        """Minor units of a named account."""
        rows = (await self.ask())["trialBalance"]["rows"]
        found = [row["closing"] for row in rows if row["account"]["code"] == ACCOUNTS[name][0]]
        return round(float(found[0]) * 100) if found else 0

    async def reaches(self, **wanted: int) -> None:
        """Returns once these accounts are so."""
        async with asyncio.timeout(60):
            while {name: await self.net(name) for name in wanted} != wanted:
                await asyncio.sleep(0.1)


async def found_ledger(talk: Client, gateway: Gateway) -> None:
    accounts = [{"code": code, "name": code, "type": kind.value} for code, kind in dict(ACCOUNTS.values()).items()]
    ledger = {"code": "us", "name": "US", "functionalCurrency": "USD"}
    chart = {"ledger": "us", "accounts": accounts}
    saved = await talk.data(gateway.url, operation("create-ledger"), ledger=ledger, chart=chart)
    assert saved["createAccounts"]["__typename"] == "AccountsSaved", saved


def truth(stated: StripeCompany) -> dict[str, int]:
    """What two of the accounts say, as in `ties_out`."""
    money = stated.money
    under_way = sum(each["amount"] for each in money.payouts.values() if each["status"] in ("pending", "in_transit"))
    arrived = sum(each["amount"] for each in money.payouts.values() if each["status"] == "paid")
    return {"processor_clearing": money.balance + under_way, "bank_clearing": arrived}


@pytest.mark.timeout(240)
async def test_a_gateway_with_a_failing_source_answers_all_else_and_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Webhooks come twice, in any order, and their acknowledgements are lost; each is stored once, and the books are right."""
    monkeypatch.setenv("FAULTS_KEY", KEY)
    monkeypatch.setenv("FAULTS_SECRET", SECRET)
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    app = stripe_app(seed=2, today=datetime.now(UTC).date(), api_key=KEY)
    stated = app[STRIPE]
    async with serving(app) as url, proxy(url) as line:
        config = CONFIG.format(rules=rules, url=line.url)
        async with site(tmp_path / "data", config=config) as where, client(where.token()) as talk:
            served = Served(talk, where.gateways[0])
            await found_ledger(talk, served.gateway)
            await served.reaches(**truth(stated))
            await fails(served, line)
            seen, now = len(stated.events), int(time.time())
            for invoice in [each for each in stated.invoices.values() if each["status"] == "open"][:5]:
                stated.pay(invoice, now)
            stated.money.refund(next(iter(stated.money.charges.values())), 700, now)
            await told(served, stated.events[seen:])
            await served.reaches(**truth(stated))
            assert [each["status"] for each in (await served.ask())["sources"]] == ["OK"]
            await stored_once(where, stated.events[seen:])


async def fails(served: Served, line: FaultProxy) -> None:
    """The source gives 500 only: whoever wants it fresh is told; the others are answered as before."""
    before = await served.ask()
    line.script = always(Fault.FAILED)
    answer = await served.ask(max_age=0)
    (freshness,) = answer["invoices"]["freshness"]
    assert (freshness["source"], freshness["stale"]) == (SOURCE, True)
    assert "500" in freshness["error"]
    assert answer["invoices"]["nodes"] == before["invoices"]["nodes"]
    assert answer["trialBalance"] == before["trialBalance"]
    (source,) = (await served.ask())["sources"]
    assert source["status"] == "DEGRADED"
    assert "500" in source["lastError"]
    line.script = calm


async def told(served: Served, events: list[dict[str, Any]]) -> None:
    """Deliveries through a line that loses answers."""
    async with proxy(served.gateway.url.removesuffix("/graphql")) as line:
        line.script = storm(4, 0.4, (Fault.LOST, Fault.RESET, Fault.DELAYED, Fault.FAILED))
        sent = await deliver(f"{line.url}/webhooks/{SOURCE}", events, SECRET, seed=4)
        assert sent > len(events)


async def stored_once(where: Site, events: list[dict[str, Any]]) -> None:
    owner = await asyncpg.connect(EmbeddedPostgres(where.data_dir).dsn(user=OWNER_ROLE))
    try:
        rows = await owner.fetch("SELECT delivery_id FROM mirror.webhook ORDER BY 1")
        assert [row[0] for row in rows] == sorted(each["id"] for each in events)
        twice = "SELECT count(*) - count(DISTINCT (origin, idempotency_key)) FROM ledger.entry"
        assert await owner.fetchval(twice) == 0
    finally:
        await owner.close()
