"""Documents whose rates hang on others, when the worker dies or the others change meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from sources.database.pool import Database
from sources.documents import InvoiceKind, InvoiceStatus, PaymentType
from sources.ledger import administration
from sources.ledger.model import AccountDraft
from sources.mapping.rates import Quote
from sources.pipeline import documents, rates
from sources.pipeline.worker import Pipeline
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import EVERYONE, Company, opened
from tests.sources.pipeline.fragile import Fuse, crash
from tests.sources.pipeline.test_settlements import NAMES, RULES, nets

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 20)
PAID = Kit.payment("ch_1", currency="EUR", amount=1000, fee=0, net=1000, occurred_on=FIRST)
RETURNED = Kit.payment(
    "re_1", type=PaymentType.REFUND, currency="EUR", amount=-1000, fee=0, net=-1000, occurred_on=date(2026, 4, 1),
    parent_external_id="ch_1",
)  # fmt: skip
SALE = Kit.invoice("in_1", currency="EUR", issue_date=FIRST, subtotal=10, tax=0, total=10, amount_due=10)
NOTE = replace(
    SALE, external_id="cn_1", kind=InvoiceKind.CREDIT_NOTE, subtotal=5, total=5, amount_due=0, raw={"invoice": "in_1"}
)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in dict(NAMES.values()).items()]
        await administration.create_accounts(found.database, EVERYONE, ledger=found.ledger.code, accounts=drafts)
        await found.use_rules(RULES)
        quotes = [(FIRST, "1.10"), (SECOND, "1.20"), (RETURNED.occurred_on, "1.10")]
        await rates.set_rates(
            found.speaking, [Quote("EUR", "USD", "spot", day, Decimal(rate)) for day, rate in quotes if day], "test"
        )
        yield found
        assert await found.findings() == []


async def test_a_worker_that_dies_in_any_step_leaves_no_refund_at_its_payments_old_rate(company: Company) -> None:
    await company.state(PAID, RETURNED)
    await company.look()
    died, steps = True, 0
    while died:
        day = (SECOND, FIRST)[steps % 2]
        await company.state(replace(PAID, occurred_on=day))
        died = await crash(company, Fuse(steps), 500)
        await company.look()
        # What was paid in is what was given back, at the rate of the payment's day; the clearing account has that of the refund's.
        assert ("receivable", "EUR") not in await nets(company), steps
        steps += 1
    assert steps > 20


async def test_a_credit_note_that_changes_while_a_payment_is_taken_moves_that_too(company: Company) -> None:
    """The payment is read first, then the note changes and is read: one batch knows two states of it."""
    paid = replace(PAID, amount=5, net=5, occurred_on=SECOND, invoice_external_id="in_1")
    await company.state(SALE, replace(NOTE, status=InvoiceStatus.VOID))
    await company.look()
    await company.state(paid)
    await company.state(replace(NOTE, status=InvoiceStatus.VOID, number="CN-1"))

    async def change() -> None:
        await company.state(NOTE)

    meanwhile: Any = Meanwhile(company.database, change)
    await Pipeline(meanwhile, company.poster).run_ledger(company.ledger.ledger_id)
    assert meanwhile.has_happened
    assert ("receivable", "EUR") not in await nets(company)


class Meanwhile:
    """A database in which something happens once, just before invoices are loaded."""

    def __init__(self, database: Database, act: Callable[[], Awaitable[None]]) -> None:
        self._database, self.act = database, act
        self.has_happened = False

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Any]:
        async with self._database.writer() as connection:
            yield Watched(connection, self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


class Watched:
    def __init__(self, connection: Any, owner: Meanwhile) -> None:
        self._connection, self._owner = connection, owner

    async def fetch(self, sql: str, *arguments: Any) -> Any:
        if not self._owner.has_happened and sql == documents._INVOICES:
            self._owner.has_happened = True
            await self._owner.act()
        return await self._connection.fetch(sql, *arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)
