"""Stripe through to the ledger: what a server states becomes entries by the starter rules, and ties out to the cent."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest
from aiohttp import web

from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.stripe_company import StripeCompany
from sources.connectors.http import HttpOptions
from sources.connectors.stripe import StripeConnector
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.mirror import state, store
from tests.sources.connectors.test_stripe_localstripe import (
    DECLINED_LATER,
    GOOD_CARD,
    Shop,
    localstripe,
    shop,
    stripe,
)
from tests.sources.pipeline.company import EVERYONE, Company, opened

__all__ = ["localstripe", "shop", "stripe"]

KEY = "sk_test_entries"
ACCOUNTS = {
    "receivable": ("1100", AccountType.ASSET),
    "processor_clearing": ("1200", AccountType.ASSET),
    "bank_clearing": ("1210", AccountType.ASSET),
    "disputes": ("1220", AccountType.ASSET),
    "dispute_losses": ("6300", AccountType.EXPENSE),
    "paid_elsewhere": ("1240", AccountType.ASSET),
    "processor_transfers": ("1230", AccountType.ASSET),
    "sales_tax": ("1700", AccountType.LIABILITY),
    "revenue": ("4000", AccountType.REVENUE),
    "processor_fees": ("6100", AccountType.EXPENSE),
    "bad_debt": ("6200", AccountType.EXPENSE),
    "rounding": ("7000", AccountType.EXPENSE),
    "exchange_gain": ("7000", AccountType.EXPENSE),
    "exchange_loss": ("7000", AccountType.EXPENSE),
}
RULES = 'extends = "starter"\n[accounts]\n' + "".join(f'{name} = "{code}"\n' for name, (code, _) in ACCOUNTS.items())


@dataclass
class Books:
    """A company whose only source is a Stripe; `nets`: minor units of named accounts, debit positive."""

    company: Company
    connector: StripeConnector

    async def catch_up(self) -> None:
        """One pull, and the pipeline until nothing is due; nothing is left over."""
        company, settings = self.company, self.company.source("stripe")
        ledgers = {company.ledger.code: company.ledger.ledger_id}
        found = await state.standing(company.speaking, settings, company.ledger.ledger_id)
        run = await store.begin(company.speaking, settings, ledgers, found)
        async for page in self.connector.pull(run.cursor):
            await store.store_page(company.speaking, run, page)
        await store.end(company.speaking, run, None, everything=False)
        await company.look()
        assert await company.issues() == {}
        assert await company.findings() == []

    async def net(self, name: str) -> int:
        return (await self.company.nets()).get(ACCOUNTS[name][0], 0)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    """Its cut-over is long ago, and its rules are the starter rules."""
    async with opened(database_url, owner_url) as found:
        wanted = dict(ACCOUNTS.values())
        drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in wanted.items()]
        await administration.create_accounts(found.database, EVERYONE, ledger=found.ledger.code, accounts=drafts)
        await found.use_rules(RULES)
        found.post_from = date(2020, 1, 1)
        yield found


@pytest.fixture
async def account(company: Company) -> AsyncIterator[tuple[StripeCompany, Books]]:
    """A year of invoices, most of them paid, and weekly payouts."""
    app = stripe_app(seed=11, today=datetime.now(UTC).date(), api_key=KEY)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    connector = StripeConnector(name="stripe", base_url=url, api_key=KEY, http=HttpOptions(waiting=False))
    yield app[STRIPE], Books(company, connector)
    await connector.close()
    await runner.cleanup()


async def ties_out(stated: StripeCompany, books: Books) -> None:
    """The clearing account is Stripe's balance and what is on its way to the bank, bank clearing what has arrived there, and
    the receivable what customers owe less what was credited to them, or given back."""
    money = stated.money
    arrived = sum(each["amount"] for each in money.payouts.values() if each["status"] == "paid")
    under_way = sum(each["amount"] for each in money.payouts.values() if each["status"] in ("pending", "in_transit"))
    assert await books.net("processor_clearing") == money.balance + under_way
    assert await books.net("bank_clearing") == arrived
    due = sum(each["amount_remaining"] for each in stated.invoices.values() if each["status"] == "open")
    credited = sum(each["total"] for each in stated.credit_notes.values() if each["status"] == "issued")
    returned = sum(each["amount"] for each in money.refunds.values() if each["status"] == "succeeded")
    walk_in = sum(each["amount_captured"] for each in money.charges.values() if each["customer"] is None)
    assert await books.net("receivable") == due - credited + returned - walk_in
    assert await books.net("disputes") == sum(
        each["amount"]
        for each in money.disputes.values()
        if each["balance_transactions"] and each["status"] not in ("won", "lost")
    )
    assert await books.net("dispute_losses") == sum(
        each["amount"] for each in money.disputes.values() if each["status"] == "lost"
    )


async def test_a_year_of_stripe_ties_out_and_stays_so(account: tuple[StripeCompany, Books]) -> None:
    """Whatever happens there: after the next pull the books say the same as Stripe."""
    stated, books = account
    money, now = stated.money, int(time.time())
    await books.catch_up()
    await ties_out(stated, books)
    assert await books.net("processor_fees") > 0

    one, other, third, *more = money.charges.values()
    refund = money.refund(one, 700, now)
    dispute, decided = money.dispute(other, now), money.dispute(min(more, key=lambda each: each["amount"]), now)
    money.dispute(third, now, inquiry=True)
    money.fee(1_900, now)
    waiting = money.authorise(4_000, now)
    opened_ = next(each for each in stated.invoices.values() if each["status"] == "open")
    stated.pay(opened_, now)
    stated.add_credit_note(opened_, now)
    await books.catch_up()
    await ties_out(stated, books)

    money.fail_refund(refund, now + 1, fee=50)
    money.close_dispute(dispute, "won", now + 1)
    money.close_dispute(decided, "lost", now + 1)
    money.capture(waiting, 3_000, now + 1)
    stated.void(next(each for each in stated.invoices.values() if each["status"] == "open"), now + 1)
    payout = money.pay_out(now + 1)
    assert payout is not None
    money.arrive(payout, now + 2)
    await books.catch_up()
    await ties_out(stated, books)

    money.fail_payout(payout, now + 3)
    await books.catch_up()
    await ties_out(stated, books)
    rows = await books.company.entries()
    assert any(reverses for _, reverses, _ in rows)


async def test_subscriptions_of_localstripe_become_entries(
    shop: Shop, stripe: StripeConnector, company: Company
) -> None:
    """Invoiced, paid and given back there; here the receivable is settled, and what is left of each account is what is due."""
    books = Books(company, stripe)
    plan = await shop.plan(2500, "usd")
    rate = await shop.post("tax_rates", display_name="Sales tax", inclusive=False, percentage=8)
    payer, debtor = await shop.customer("Payer", GOOD_CARD), await shop.customer("Debtor", DECLINED_LATER)
    await shop.subscribe(payer, plan, 4, default_tax_rates=[rate["id"]])
    unpaid = (await shop.subscribe(debtor, plan, 1))["latest_invoice"]
    await books.catch_up()
    assert await company.nets() == {"1100": 2_500, "1200": 10_800, "1700": -800, "4000": -12_500}
    assert set((await company.statuses()).values()) == {"POSTED", "NOTHING"}

    (charge,) = await company.owner.fetch("SELECT external_id FROM mirror.payment WHERE status = 'SUCCEEDED'")
    await shop.post("refunds", charge=charge[0], amount=1_000)
    await shop.post(f"invoices/{unpaid}/void")
    await books.catch_up()
    assert await company.nets() == {"1100": 1_000, "1200": 9_800, "1700": -800, "4000": -10_000}
    posted = len(await company.entries())
    await books.catch_up()
    assert len(await company.entries()) == posted
