"""E-invoices through to the ledger: from a file in the folder to an entry by the starter rules, once, in whichever form it comes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from sources.connectors.einvoice import EInvoicesConnector
from sources.documents import Invoice, InvoiceDirection, InvoiceKind, InvoiceStatus, Party
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.mirror import state, store
from tests.sources.connectors.einvoice_kit import Paper, Row, cii, pdf, ubl, zugferd_1
from tests.sources.pipeline.company import EVERYONE, Company, opened

LONG_AGO = 1_700_000_000
RULES = """
extends = "starter"
[accounts]
receivable = "1100"
payable = "2000"
revenue = "4000"
expense = "6000"
sales_tax = "1700"
purchase_tax = "1600"
rounding = "7000"
exchange_gain = "7000"
exchange_loss = "7000"
[settings.reverse_charge]
AE = "19"
[tables.purchase_tax]
"7" = "1607"
[tables.expense_accounts]
"4711" = "6300"
"""
MORE = {"1600": AccountType.ASSET, "1607": AccountType.ASSET, "6300": AccountType.EXPENSE}
BILL = Paper(
    lines=[Row("100.00"), Row("50.00", "Books", rate="7", account="4711")],
    extras=[Row("10.00", "Bonus", charge=False)],
    taxes=[("17.10", "90.00", "S", "19"), ("3.50", "50.00", "S", "7.00")],
    net="140.00",
    tax="20.60",
    gross="160.60",
    payable="160.60",
)
POSTED = {"2000": -16060, "6000": 9000, "6300": 5000, "1600": 1710, "1607": 350}


@dataclass
class Inbox:
    """A company that keeps its books in euro, whose suppliers' invoices come into a folder."""

    company: Company
    path: Path
    written: int = 0

    def put(self, name: str, data: bytes) -> None:
        self.written += 1
        (self.path / name).write_bytes(data)
        os.utime(self.path / name, (LONG_AGO + self.written, LONG_AGO + self.written))

    async def catch_up(self) -> None:
        """One pull, and the pipeline until nothing is due."""
        company, settings = self.company, self.company.source("inbox")
        ledgers = {company.ledger.code: company.ledger.ledger_id}
        connector = EInvoicesConnector(name="inbox", path=self.path)
        found = await state.standing(company.speaking, settings, company.ledger.ledger_id)
        run = await store.begin(company.speaking, settings, ledgers, found)
        async for page in connector.pull(run.cursor):
            await store.store_page(company.speaking, run, page)
        await store.end(company.speaking, run, None, everything=False)
        await connector.close()
        await company.look()
        assert await company.findings() == []

    async def documents(self) -> list[str]:
        rows = await self.company.owner.fetch(
            "SELECT external_id FROM mirror.invoice WHERE source = 'inbox' ORDER BY 1"
        )
        return [row[0] for row in rows]


@pytest.fixture
async def inbox(database_url: str, owner_url: str, tmp_path: Path) -> AsyncIterator[Inbox]:
    async with opened(database_url, owner_url, currency="EUR") as company:
        accounts = [AccountDraft(code=code, name=code, type=kind) for code, kind in MORE.items()]
        await administration.create_accounts(company.database, EVERYONE, ledger=company.ledger.code, accounts=accounts)
        await company.use_rules(RULES)
        yield Inbox(company, tmp_path)


async def test_a_bill_in_the_folder_is_an_entry_with_its_taxes_by_rate(inbox: Inbox) -> None:
    inbox.put("bill.xml", ubl(BILL))
    await inbox.catch_up()
    assert await inbox.company.entries() == [("2026-03-10", None, "Bill R-1 Lieferant GmbH")]
    assert await inbox.company.nets() == POSTED


async def test_every_form_and_every_copy_of_a_bill_post_once(inbox: Inbox) -> None:
    """Dropped twice, renamed, sent again in another syntax."""
    forms = {
        "a.pdf": pdf(("factur-x.xml", cii(BILL))),
        "b.xml": ubl(BILL),
        "copy.xml": ubl(BILL),
        "c.xml": zugferd_1(BILL),
    }
    for name, data in forms.items():
        inbox.put(name, data)
        await inbox.catch_up()
    (inbox.path / "a.pdf").rename(inbox.path / "z.pdf")
    inbox.put("again.xml", cii(BILL))
    await inbox.catch_up()
    assert await inbox.documents() == ["DE123456789/380/2026-03-10/R-1"]
    assert len(await inbox.company.entries()) == 1
    assert await inbox.company.nets() == POSTED


async def test_another_version_replaces_the_first_and_its_entry(inbox: Inbox) -> None:
    inbox.put("bill.xml", ubl(BILL))
    await inbox.catch_up()
    inbox.put("corrected.xml", ubl(Paper()))
    await inbox.catch_up()
    assert [reverses for _, reverses, _ in await inbox.company.entries()] == [None, 1, None]
    assert await inbox.company.nets() == {"2000": -11900, "6000": 10000, "1600": 1900}


@pytest.mark.parametrize("change", [{"gross": "160.61", "payable": "160.61"}, {"net": "139.00"}, {"payable": "160.00"}])
async def test_figures_that_disagree_wait_until_they_agree(inbox: Inbox, change: dict[str, str]) -> None:
    inbox.put("bill.xml", ubl(replace(BILL, **change)))  # type: ignore[arg-type]
    await inbox.catch_up()
    key = "DE123456789/380/2026-03-10/R-1"
    assert (await inbox.company.entries(), await inbox.company.issues()) == ([], {("DISAGREEING_FIGURES", key): True})
    inbox.put("bill.xml", ubl(BILL))
    await inbox.catch_up()
    assert (await inbox.company.nets(), await inbox.company.issues()) == (POSTED, {("DISAGREEING_FIGURES", key): False})


async def test_under_reverse_charge_we_owe_the_tax_and_deduct_it(inbox: Inbox) -> None:
    paper = Paper(
        lines=[Row(category="AE", rate="0")],
        taxes=[("0.00", "100.00", "AE", "0")],
        tax="0.00",
        gross="100.00",
        payable="100.00",
    )
    inbox.put("bill.xml", cii(paper))
    await inbox.catch_up()
    assert await inbox.company.nets() == {"2000": -10000, "6000": 10000, "1600": 1900, "1700": -1900}


async def test_a_credit_note_takes_back_what_the_bill_posted(inbox: Inbox) -> None:
    inbox.put("bill.xml", ubl(BILL))
    inbox.put("note.xml", ubl(replace(BILL, type_code="381", number="G-1", preceding=("R-1", "2026-03-10"))))
    await inbox.catch_up()
    assert len(await inbox.company.entries()) == 2
    assert await inbox.company.nets() == {}


async def test_a_negative_correction_does_too(inbox: Inbox) -> None:
    def less(row: Row) -> Row:
        return replace(row, amount=f"-{row.amount}")

    inbox.put("bill.xml", ubl(BILL))
    correction = replace(
        BILL,
        type_code="384",
        number="K-1",
        lines=[less(row) for row in BILL.lines],
        extras=[less(row) for row in BILL.extras],
        taxes=[(f"-{tax}", f"-{base}", code, rate) for tax, base, code, rate in BILL.taxes],
        net="-140.00",
        tax="-20.60",
        gross="-160.60",
        payable="-160.60",
    )
    inbox.put("correction.xml", cii(correction))
    await inbox.catch_up()
    assert (len(await inbox.company.entries()), await inbox.company.nets()) == (2, {})


async def test_a_pro_forma_invoice_posts_nothing(inbox: Inbox) -> None:
    inbox.put("offer.xml", ubl(replace(BILL, type_code="325")))
    await inbox.catch_up()
    assert (await inbox.company.entries(), await inbox.company.issues()) == ([], {})


@pytest.mark.parametrize("folder_first", [True, False])
async def test_a_bill_that_another_system_gives_too_posts_once(inbox: Inbox, folder_first: bool) -> None:
    """Whichever comes first; the other one waits, and says of which it is a duplicate."""
    theirs = Invoice(
        external_id="77",
        direction=InvoiceDirection.PAYABLE,
        kind=InvoiceKind.INVOICE,
        status=InvoiceStatus.OPEN,
        source_status="posted",
        party=Party(name="Lieferant", tax_id="DE 123456789"),
        currency="EUR",
        subtotal=14000,
        tax=2060,
        total=16060,
        amount_due=16060,
        number="r1",
        issue_date=date(2026, 3, 10),
    )
    inbox.put("bill.xml", ubl(BILL))
    if folder_first:
        await inbox.catch_up()
    await inbox.company.state(theirs, source="erp")
    await inbox.company.look()
    await inbox.catch_up()
    late = "77" if folder_first else "DE123456789/380/2026-03-10/R-1"
    assert await inbox.company.issues() == {("POSSIBLE_DUPLICATE", late): True}
    assert len(await inbox.company.entries()) == 1
    assert (await inbox.company.nets())["2000"] == -16060
