"""Plaid through to the ledger by the built-in rules: what is booked at the bank is an entry, what is removed is reversed, and the
position is what the bank says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pytest

from sources.connectors.http import HttpOptions
from sources.connectors.plaid import PlaidConnector
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.mirror.cash import cash_positions
from sources.mirror.queries import Within
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from sources.pipeline import reconciliation
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.tied import TieState
from sources.reading import Want
from tests.sources.connectors.plaid_bank import CARD, CHECKING, CLIENT, SECRET, TOKEN, Bank, account, serving
from tests.sources.pipeline.company import EVERYONE, Company, opened

RULES = f"""
extends = "starter"
[accounts]
bank_clearing = "1290"
[tables.bank_accounts]
"{CHECKING}" = "1200"
"{CARD}" = "2100"
"""
COLUMNS = ("account", "booked", "pending", "available", "statement_date")


@dataclass
class Desk:
    """A company whose only source is its bank at Plaid. `today`: of the connector's clock."""

    company: Company
    bank: Bank
    refresher: Refresher
    today: datetime

    def now(self) -> float:
        return self.today.timestamp()

    async def catch_up(self) -> None:
        error = (await self.refresher.sync("bank")).error
        assert error is None
        await self.company.look()
        assert await self.company.findings() == []

    async def position(self, on: date, of: str = CHECKING) -> tuple[Any, ...]:
        ledger_id = self.company.ledger.ledger_id
        async with self.company.database.snapshot([ledger_id]) as connection:
            rows = await cash_positions(_Reader(connection), Within([ledger_id], ["bank"]), on, Want(COLUMNS))  # type: ignore[arg-type]
        return next(tuple(row[1:4]) for row in rows if row[0] == of)


class _Reader:
    def __init__(self, connection: Any) -> None:
        self.fetch = connection.fetch


@pytest.fixture
async def desk(database_url: str, owner_url: str) -> AsyncIterator[Desk]:
    bank = Bank(page=3)
    bank.accounts.append(account(CARD, 12, type="credit", balances={"available": 988}))
    async with opened(database_url, owner_url) as company, serving(bank) as base:
        drafts = [
            AccountDraft(code=code, name=code, type=kind)
            for code, kind in {
                "1200": AccountType.ASSET,
                "1290": AccountType.ASSET,
                "2100": AccountType.LIABILITY,
            }.items()
        ]
        await administration.create_accounts(company.database, EVERYONE, ledger="acme-us", accounts=drafts)
        await company.use_rules(RULES)
        settings = SourceSettings(
            name="bank", kind="plaid", ledger="acme-us", post_from=date(2026, 5, 1), options={"item_id": "item-1"}
        )
        found = Desk(company, bank, None, datetime(2026, 5, 6, 15, tzinfo=UTC))  # type: ignore[arg-type]
        connector = PlaidConnector(
            name="bank", base_url=base, client_id=CLIENT, secret=SECRET, access_token=TOKEN, item_id="item-1",
            http=HttpOptions(waiting=False), clock=found.now,
        )  # fmt: skip
        found.refresher = Refresher(company.database, [(settings, connector)])
        yield found
        await found.refresher.close()


async def test_what_the_bank_booked_is_in_the_books(desk: Desk) -> None:
    """Signs of accounts and cards, changes and removals; what is pending posts nothing."""
    bank, company = desk.bank, desk.company
    bank.put("before", 5, date="2026-04-30")
    bank.put("sale", -250)
    bank.put("rent", 100.5)
    bank.put("lunch", 12, account_id=CARD)
    bank.put("soon", 40, pending=True)
    await desk.catch_up()
    assert await company.nets() == {"1200": 250_00 - 100_50, "2100": -12_00, "1290": -250_00 + 100_50 + 12_00}
    assert not any((await company.issues()).values())
    bank.put("rent", 101.5)
    bank.remove("sale")
    bank.put("done", 41, pending_transaction_id="soon")
    bank.remove("soon")
    await desk.catch_up()
    assert await company.nets() == {"1200": -101_50 - 41_00, "2100": -12_00, "1290": 101_50 + 41_00 + 12_00}
    entries = await company.entries()
    assert len([1 for _, reverses, _ in entries if reverses is not None]) == 2
    assert "Acme" not in str(entries), "no text of the bank's stands in an entry"
    async with reconciliation.reading(company.database, company.ledger.ledger_id) as connection:
        report = await reconciliation.open_report(connection, company.ledger.ledger_id, "bank")
        await reconciliation.tie_documents(connection, report, RuleBook(), "bank", date(2026, 5, 1), date(2026, 5, 31))
    assert {each.key.external_id for each in report.tied if each.key and each.state is TieState.MATCHED} == {
        "rent",
        "lunch",
        "done",
    }
    assert all(each.state in (None, TieState.MATCHED) for each in report.tied)


async def test_positions_are_what_the_bank_says(desk: Desk) -> None:
    """Today's with what is pending; an earlier day's as the bank said it on that day, whatever came since."""
    bank = desk.bank
    bank.put("sale", -250)
    bank.put("soon", 40, pending=True)
    bank.put("zzz", 1, date="2026-05-06")
    await desk.catch_up()
    assert await desk.position(date(2026, 5, 6)) == (1000_00, -40_00, 1000_00)
    assert await desk.position(date(2026, 5, 6), CARD) == (-12_00, 0, None)
    assert await desk.position(date(2026, 5, 5)) == (None, -40_00, None), (
        "nobody said what it held before the first reading"
    )
    desk.today = datetime(2026, 5, 7, 9, tzinfo=UTC)
    bank.accounts[0]["balances"]["current"] = 959
    bank.put("done", 41, "2026-05-07", pending_transaction_id="soon")
    bank.remove("soon")
    await desk.catch_up()
    assert (await desk.position(date(2026, 5, 7)))[:2] == (959_00, 0)
    assert (await desk.position(date(2026, 5, 9)))[:2] == (959_00, 0)
    assert (await desk.position(date(2026, 5, 6)))[:2] == (1000_00, -40_00)


async def test_a_login_that_expired_leaves_what_was_read(desk: Desk) -> None:
    desk.bank.put("sale", -250)
    await desk.catch_up()
    desk.bank.refuse("ITEM_LOGIN_REQUIRED")
    freshness = await desk.refresher.sync("bank")
    assert "update mode" in str(freshness.error)
    assert (await desk.position(date(2026, 5, 6)))[0] == 1000_00
