"""Xero through to the ledger, beside the bank: what is owed settles once, whichever source is first, and the tie-out says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date

import pytest

from sources.connectors.xero_accounting import KIND, XeroAccountingConnector
from sources.mirror import state, store
from sources.pipeline import reconciliation
from sources.pipeline.control_accounts import tie_subledgers
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.tied import TieState
from tests.sources.connectors.xero_accounting_server import BANK, OWNER, TENANT, Organisation, serving
from tests.sources.matching.trade import RULES, Trade, money, trading

YEAR = (date(2026, 1, 1), date(2026, 12, 31))


@dataclass
class Books:
    """A company in pounds whose books are at Xero."""

    trade: Trade
    xero: Organisation
    connector: XeroAccountingConnector

    async def catch_up(self) -> None:
        """One pull, and the pipeline until nothing is due."""
        company = self.trade.company
        settings = replace(company.source("xero"), kind=KIND.name, options={"tenant_id": TENANT})
        ledgers = {company.ledger.code: company.ledger.ledger_id}
        await state.lock(company.speaking, settings.name)
        try:
            found = await state.standing(company.speaking, settings, company.ledger.ledger_id)
            run = await store.begin(company.speaking, settings, ledgers, found)
            async for page in self.connector.pull(run.cursor):
                await store.store_page(company.speaking, run, page)
            await store.end(company.speaking, run, None, everything=False)
        finally:
            await state.unlock(company.speaking, settings.name)
        await company.look()
        await self.trade.is_sound()

    async def banked(self, external_id: str, cents: int, text: str, name: str | None = "BLUE HARBOR") -> None:
        await self.trade.moved(money(external_id, cents, text, name, currency="GBP", day=date(2026, 3, 10)))

    async def nets(self) -> dict[str, int]:
        return {name: net for name in ("receivable", "payable", "bank_clearing") if (net := await self.trade.net(name))}

    async def ties_out(self) -> None:
        """Every document of Xero is posted as it says or calls for nothing, and what is open there is what is owed here."""
        company = self.trade.company
        async with reconciliation.reading(company.database, company.ledger.ledger_id) as connection:
            ledger_id, book = company.ledger.ledger_id, RuleBook()
            report = await reconciliation.open_report(connection, ledger_id, "xero")
            await reconciliation.tie_documents(connection, report, book, "xero", *YEAR)
            standing = await book.standing(connection, ledger_id, report.books.rules)
            subledgers = await tie_subledgers(connection, ledger_id, standing, YEAR[1])
        assert {tied.state for tied in report.tied} <= {TieState.MATCHED, None}
        assert [subledger.parties for subledger in subledgers] == [(), ()]


@pytest.fixture
async def books(database_url: str, owner_url: str) -> AsyncIterator[Books]:
    xero = Organisation()
    async with trading(database_url, owner_url, "GBP") as trade, serving(xero) as connector:
        yield Books(trade, xero, connector)


async def test_what_is_invoiced_paid_voided_and_deleted_at_xero(books: Books) -> None:
    """A sale with two taxes, a bill and a credit note post; payments settle them; a void and a deletion are reversed."""
    xero = books.xero
    customer, vendor = xero.contact("Blue Harbor", "GB123"), xero.contact("Initech")
    sale = xero.invoice(customer, (10_000, "OUTPUT2", "200"), (500, "ZERORATED", "201"), inclusive=True)
    bill = xero.invoice(vendor, (5_000, "INPUT2", "400"), kind="ACCPAY")
    note = xero.credit_note(customer, (1_000, "OUTPUT2", "200"))
    draft = xero.invoice(customer, (9_999, "OUTPUT2", "200"), Status="DRAFT")
    await books.catch_up()
    assert await books.trade.company.nets() == {
        "1100": 12_500 - 1_200, "4000": -10_500 + 1_000, "1700": -2_000 + 200, "6000": 5_000, "1701": 1_000, "2000": -6_000,
    }  # fmt: skip
    assert (await books.trade.company.statuses())[draft] == "NOTHING"
    await books.ties_out()

    paid = xero.pay(sale, 12_500)
    xero.pay(bill, 2_000)
    xero.pay(note, 1_200)
    await books.catch_up()
    assert await books.nets() == {"payable": -4_000, "bank_clearing": 12_500 - 2_000 - 1_200}
    await books.ties_out()

    xero.unpay(paid)
    await books.catch_up()
    assert (await books.nets())["receivable"] == 12_500
    await books.ties_out()
    xero.void(sale, draft)
    xero.change(sale, AmountDue=0.0)
    await books.catch_up()
    assert await books.nets() == {"payable": -4_000, "bank_clearing": -2_000 - 1_200}
    await books.ties_out()
    reversals = [entry for entry in await books.trade.company.entries() if entry[1] is not None]
    assert len(reversals) == 2


@pytest.mark.parametrize("bank_first", [False, True])
async def test_money_settles_once_whoever_tells_of_it_first(books: Books, bank_first: bool) -> None:
    """The bank's line is matched with Xero's payment; if it is first, with the invoice until the payment comes."""
    xero = books.xero
    customer, vendor = xero.contact("Blue Harbor"), xero.contact("Initech")
    sale = xero.invoice(customer, (10_000, "NONE", "200"), InvoiceNumber="INV-20001")
    bill = xero.invoice(vendor, (5_000, "NONE", "400"), kind="ACCPAY", InvoiceNumber="R-887766")
    await books.catch_up()
    if bank_first:
        await books.banked("t1", 10_000, "INV-20001")
        await books.banked("t2", -5_000, "R-887766", "INITECH")
        assert await books.trade.live() == {"t1": (("invoice", sale, 10_000),), "t2": (("invoice", bill, -5_000),)}
        assert await books.nets() == {}
    first, second = xero.pay(sale, 10_000), xero.pay(bill, 5_000)
    await books.catch_up()
    if not bank_first:
        assert await books.nets() == {"bank_clearing": 5_000}
        await books.banked("t1", 10_000, "INV-20001")
        await books.banked("t2", -5_000, "R-887766", "INITECH")
    assert await books.nets() == {}
    assert await books.trade.live() == {"t1": (("payment", first, 10_000),), "t2": (("payment", second, -5_000),)}
    assert await books.trade.open() == {}
    assert (await books.trade.company.nets())["1000"] == 5_000
    await books.trade.is_sound()
    await books.ties_out()


async def test_a_payment_that_is_deleted_at_xero_leaves_the_bank_s_line_to_the_invoice(books: Books) -> None:
    xero = books.xero
    sale = xero.invoice(xero.contact("Blue Harbor"), (10_000, "NONE", "200"), InvoiceNumber="INV-20001")
    payment = xero.pay(sale, 10_000)
    await books.catch_up()
    await books.banked("t1", 10_000, "INV-20001")
    xero.unpay(payment)
    await books.catch_up()
    assert await books.trade.live() == {"t1": (("invoice", sale, 10_000),)}
    assert await books.nets() == {}


async def test_credits_and_advances_move_no_money_when_they_are_allocated(books: Books) -> None:
    xero = books.xero
    customer = xero.contact("Blue Harbor")
    sale = xero.invoice(customer, (10_000, "NONE", "200"), InvoiceNumber="INV-20001")
    note = xero.credit_note(customer, (1_000, "NONE", "200"))
    over = xero.advance(customer, 700)
    await books.catch_up()
    assert await books.nets() == {"receivable": 8_300, "bank_clearing": 700}
    xero.allocate(note, sale, 1_000)
    xero.allocate(over, sale, 700)
    await books.catch_up()
    assert await books.nets() == {"receivable": 8_300, "bank_clearing": 700}
    await books.ties_out()
    await books.banked("t1", 8_300, "INV-20001")
    assert await books.trade.live() == {"t1": (("invoice", sale, 8_300),)}
    assert await books.nets() == {"bank_clearing": 700}


async def test_an_advance_that_is_given_back(books: Books) -> None:
    xero = books.xero
    customer, vendor = xero.contact("Blue Harbor"), xero.contact("Initech")
    over, before = xero.advance(customer, 700), xero.advance(vendor, 600, "SPEND-PREPAYMENT")
    await books.catch_up()
    assert await books.nets() == {"receivable": -700, "payable": 600, "bank_clearing": 100}
    xero.pay(over, 700)
    xero.pay(before, 600)
    await books.catch_up()
    assert await books.nets() == {}
    await books.ties_out()


async def test_what_was_paid_from_another_account_goes_where_the_rules_send_it(books: Books) -> None:
    await books.trade.company.use_rules(RULES + '[tables.payment_accounts]\n"880" = "7000"\n')
    xero = books.xero
    bill = xero.invoice(xero.contact("Initech"), (5_000, "NONE", "400"), kind="ACCPAY")
    xero.pay(bill, 2_000, account=OWNER)
    xero.pay(bill, 3_000, account=BANK)
    await books.catch_up()
    assert (await books.trade.company.nets()) == {"6000": 5_000, "7000": -2_000, "1210": -3_000}
