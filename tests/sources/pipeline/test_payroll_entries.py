"""Xero payroll through to the ledger: posted runs become entries by their payslips, are paid, and tie out to the penny."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from aiohttp import web

from gateway import logs
from sources.connectors.xero_payroll import XeroPayrollConnector
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from sources.pipeline import reconciliation
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.tied import TieState
from tests.sources.connectors.test_xero_payroll import Xero, running, status
from tests.sources.pipeline.company import EVERYONE, Company, opened

ACCOUNTS = {
    "bank_clearing": ("1210", AccountType.ASSET),
    "wages_payable": ("2310", AccountType.LIABILITY),
    "payroll_taxes_payable": ("2320", AccountType.LIABILITY),
    "pensions_payable": ("2330", AccountType.LIABILITY),
    "deductions_payable": ("2340", AccountType.LIABILITY),
    "wages": ("6100", AccountType.EXPENSE),
    "payroll_taxes": ("6110", AccountType.EXPENSE),
    "pensions": ("6120", AccountType.EXPENSE),
    "reimbursements": ("6130", AccountType.EXPENSE),
}
RULES = 'extends = "starter"\n[accounts]\n' + "".join(f'{name} = "{code}"\n' for name, (code, _) in ACCOUNTS.items())
CUTOVER = date(2026, 8, 1)
FIRST, LAST = date(2025, 1, 1), date(2027, 12, 31)
Record = dict[str, Any]


@dataclass
class Office:
    """A company whose payroll is kept at Xero; the test changes what Xero states."""

    company: Company
    xero: Xero
    connector: XeroPayrollConnector
    refresher: Refresher

    @property
    def slips(self) -> dict[str, list[Record]]:
        return self.xero.server.company.slips

    def due(self) -> list[Record]:
        """Posted runs of which something is dated on or after the cut-over."""
        return [
            run
            for run in self.xero.runs.values()
            if run["payRunStatus"] == "Posted" and max(run["periodEndDate"], run["paymentDate"]) >= str(CUTOVER)
        ]

    async def catch_up(self) -> None:
        """One pull, the payslips behind it, and the pipeline until nothing is due."""
        await self.refresher.sync("payroll")
        await self.refresher.payslips_read("payroll")
        await self.company.look()

    async def pauses_pass(self) -> None:
        await self.company.owner.execute("UPDATE mirror.payroll_run SET payslips_not_before = clock_timestamp()")
        await self.company.hurry()

    async def message(self) -> str:
        """Of the only open issue about a document."""
        rows = await self.company.owner.fetch(
            "SELECT message FROM mirror.issue WHERE kind IS NOT NULL AND closed_at IS NULL"
        )
        ((text,),) = rows
        return str(text)

    async def ties_out(self) -> None:
        """The books hold the sums of the payslips of all runs that are due, and nothing else; each run is matched."""
        slips = [slip for run in self.due() for slip in self.slips[run["payRunID"]]]
        sums = {name: sum(pence(slip[f"total{name}"]) for slip in slips) for name in TOTALS}
        expected = {
            "wages": sums["Earnings"],
            "reimbursements": sums["Reimbursements"],
            "payroll_taxes": sums["EmployerTaxes"],
            "pensions": sums["Benefits"],
            "payroll_taxes_payable": -sums["EmployeeTaxes"] - sums["EmployerTaxes"],
            "deductions_payable": -sums["Deductions"],
            "pensions_payable": -sums["Benefits"],
            "bank_clearing": -sums["Pay"],
        }
        assert await self.company.nets() == {ACCOUNTS[name][0]: amount for name, amount in expected.items() if amount}
        assert await self.company.findings() == []
        assert not any((await self.company.issues()).values())
        async with reconciliation.reading(self.company.database, self.company.ledger.ledger_id) as connection:
            report = await reconciliation.open_report(connection, self.company.ledger.ledger_id, "payroll")
            await reconciliation.tie_documents(connection, report, RuleBook(), "payroll", FIRST, LAST)
        states = {each.key.external_id: each.state for each in report.tied if each.state is not None}
        assert states == {run["payRunID"]: TieState.MATCHED for run in self.due()}


TOTALS = ("Earnings", "Reimbursements", "EmployerTaxes", "Benefits", "EmployeeTaxes", "Deductions", "Pay")


def pence(pounds: float) -> int:
    return round(pounds * 100)


@pytest.fixture
async def office(database_url: str, owner_url: str) -> AsyncIterator[Office]:
    """Twelve months of 25 employees; the newest run is a draft."""
    async with opened(database_url, owner_url, code="acme-uk", currency="GBP") as company, running() as xero:
        wanted = dict(ACCOUNTS.values())
        drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in wanted.items()]
        await administration.create_accounts(company.database, EVERYONE, ledger="acme-uk", accounts=drafts)
        await company.use_rules(RULES)
        async with _reading(company, xero) as (connector, refresher):
            yield Office(company, xero, connector, refresher)


@asynccontextmanager
async def _reading(company: Company, xero: Xero) -> AsyncIterator[tuple[XeroPayrollConnector, Refresher]]:
    settings = SourceSettings(
        name="payroll",
        kind="xero-payroll",
        ledger=company.ledger.code,
        post_from=CUTOVER,
        options={"tenant_id": "tenant"},
    )
    connector = xero.connector()
    refresher = Refresher(company.database, [(settings, connector)])
    yield connector, refresher
    await refresher.close()


async def test_posted_runs_become_entries_and_are_paid(office: Office) -> None:
    """From the cut-over on; drafts post nothing, nobody is asked twice, and no name is anywhere but in the payslips."""
    await office.catch_up()
    await office.ties_out()
    statuses = await office.company.statuses()
    counts = {status: list(statuses.values()).count(status) for status in set(statuses.values())}
    assert counts == {"POSTED": len(office.due()), "BEFORE_CUTOVER": 11 - len(office.due()), "NOTHING": 1}
    assert len(office.due()) >= 3
    entries = await office.company.entries()
    assert len(entries) == 2 * len(office.due())
    assert {day for day, _, text in entries if text.startswith("Payment")} == {
        run["paymentDate"][:10] for run in office.due()
    }
    asked = office.xero.asked.count("/Payslips")
    await office.catch_up()
    assert office.xero.asked.count("/Payslips") == asked == len(office.due())
    await no_names(office)


async def no_names(office: Office) -> None:
    tables = (
        "ledger.entry",
        "ledger.line",
        "mirror.issue",
        "mirror.payroll_run",
        "pipeline.proposal",
        "pipeline.posting",
    )
    union = " UNION ALL ".join(f"SELECT to_jsonb(each)::text FROM {table} each" for table in tables)
    texts = " ".join([row[0] for row in await office.company.owner.fetch(union)])
    for slip in next(iter(office.slips.values())):
        assert slip["lastName"] not in texts
        assert slip["employeeID"] not in texts


@pytest.mark.parametrize(
    "fault",
    [
        "ALTER TABLE mirror.payslip ADD CONSTRAINT planted CHECK (length(employee_name) < 0)",
        "ALTER TABLE mirror.payslip ALTER employee_id DROP NOT NULL, ALTER employee_id TYPE date USING NULL",
    ],
)
async def test_no_name_is_logged_when_payslips_cannot_be_stored(office: Office, fault: str) -> None:
    """The database and its driver quote the row, or the argument, that they refuse."""
    stream = io.StringIO()
    logs.configure("debug", stream)
    await office.company.owner.execute(fault)
    await office.catch_up()
    assert "Traceback" in stream.getvalue()
    names = {slip[part] for slips in office.slips.values() for slip in slips for part in ("lastName", "employeeID")}
    assert [name for name in sorted(names) if name in stream.getvalue()] == []
    await no_names(office)


async def test_a_run_whose_figures_disagree_posts_nothing_until_they_agree(office: Office) -> None:
    """The issue names the identity and the payslip's id; the run is corrected at Xero, or its payslips alone."""
    run = office.due()[-1]
    wrong = office.slips[run["payRunID"]][3]
    right = wrong["totalDeductions"]
    wrong["totalDeductions"] = right + 0.01
    await office.catch_up()
    assert await office.company.issues() == {("DISAGREEING_FIGURES", run["payRunID"]): True}
    identity = "net = gross - employee taxes - deductions + reimbursements"
    assert f"{identity} of the payslip {wrong['paySlipID']} is off by 0.01 GBP" in await office.message()
    await no_names(office)
    entries = await office.company.entries()
    assert len(entries) == 2 * (len(office.due()) - 1)
    wrong["totalDeductions"] = right
    run["postedDateTime"] = "2026-11-21T10:30:00"
    await office.catch_up()
    await office.ties_out()

    wrong["totalDeductions"] = right + 0.01
    run["postedDateTime"] = "2026-11-22T10:30:00"
    await office.catch_up()
    assert "is off by" in await office.message()
    wrong["totalDeductions"] = right
    await office.catch_up()
    assert "is off by" in await office.message()
    await office.company.owner.execute("UPDATE mirror.payroll_run SET payslips_at = payslips_at - interval '1 day'")
    await office.catch_up()
    await office.ties_out()


async def test_a_run_that_is_reopened_corrected_and_deleted_is_taken_back_each_time(office: Office) -> None:
    """What was reopened is reversed on its own days, so that no month has it twice; what is deleted, as of the day it went."""
    await office.catch_up()
    run = office.due()[0]
    slip = office.slips[run["payRunID"]][0]
    run.update(payRunStatus="Draft", postedDateTime=None)
    before = len(await office.company.entries())
    await office.catch_up()
    await office.ties_out()
    undone = (await office.company.entries())[before:]
    assert [day for day, _, _ in undone] == [run["periodEndDate"][:10], run["paymentDate"][:10]]

    slip["totalEarnings"] = slip["grossEarnings"] = slip["grossEarnings"] + 100
    slip["totalPay"] += 100
    run.update(payRunStatus="Posted", postedDateTime="2026-11-21T10:30:00")
    run["totalPay"], run["totalCost"] = round(run["totalPay"] + 100, 2), round(run["totalCost"] + 100, 2)
    await office.catch_up()
    await office.ties_out()

    slip["totalPay"] = round(slip["totalPay"] + 5, 2)
    slip["totalReimbursements"] += 5
    run["totalPay"] = round(run["totalPay"] + 5, 2)
    await office.catch_up()
    await office.ties_out()

    del office.xero.runs[run["payRunID"]]
    await office.catch_up()
    await office.ties_out()


FAULTS = [
    status(429, {"Retry-After": "1", "X-Rate-Limit-Problem": "minute"}),
    status(500),
    status(503),
    status(200, body='{"paySlips": [{"paySlipID": "5'),
    status(200, body='{"pagination": {"page": 1, "pageCount": 1, "itemCount": 25}, "paySlips": []}'),
    status(403),
    status(404),
]


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_goes_wrong_meanwhile_every_run_posts_once(office: Office, seed: int) -> None:
    """Runs that cannot be read are issues with their reason, the others post; processes end in between."""
    chance = random.Random(seed)

    async def fails(request: web.Request) -> None:
        if request.path.endswith("/Payslips") and chance.random() < 0.6:
            office.xero.answers("/Payslips", chance.choice(FAULTS))

    office.xero.before = fails
    for _ in range(6):
        async with _reading(office.company, office.xero) as (_, refresher):
            await refresher.sync("payroll")
            if chance.random() < 0.5:
                await refresher.payslips_read("payroll")
        await office.company.look()
        issues = await office.company.issues()
        assert {code for code, _ in issues} <= {"PAYSLIPS_NOT_READ"}
        await office.pauses_pass()
    office.xero.before = None
    office.xero.instead.clear()
    for _ in range(5):
        async with _reading(office.company, office.xero) as (_, refresher):
            await refresher.sync("payroll")
            await refresher.payslips_read("payroll")
        await office.pauses_pass()
        await office.company.look()
    await office.ties_out()
    assert len(await office.company.entries()) == 2 * len(office.due())


async def test_payslips_that_cannot_be_read_are_an_issue_with_the_reason(office: Office) -> None:
    """Nothing posts meanwhile; other runs do, and it closes by itself."""
    office.xero.answers("/Payslips", status(403))
    await office.catch_up()
    ((code, external_id),) = await office.company.issues()
    assert code == "PAYSLIPS_NOT_READ"
    assert "does not let this app read /Payslips (status 403)" in await office.message()
    assert len(await office.company.entries()) == 2 * (len(office.due()) - 1)
    assert (await office.company.statuses())[external_id] == "ISSUE"
    await office.pauses_pass()
    await office.catch_up()
    await office.ties_out()


async def test_a_run_that_is_being_read_is_no_issue_yet(office: Office) -> None:
    """The pipeline comes before the payslips do: it leaves the run for a while, and then says what it waits for."""
    office.xero.server.minute_limit = 20
    office.xero.server.window = (0, 0)
    await office.catch_up()
    assert "/Payslips" not in office.xero.asked
    assert await office.company.issues() == {}
    assert set(await office.company.to_do()) == {run["payRunID"] for run in office.due()}
    await office.company.owner.execute("UPDATE pipeline.todo SET since = since - interval '11 minutes'")
    await office.company.look()
    assert {code for code, _ in await office.company.issues()} == {"PAYSLIPS_NOT_READ"}
    office.xero.server.minute_limit = 6_000
    await office.pauses_pass()
    await office.catch_up()
    await office.ties_out()


async def test_a_backfill_keeps_calls_free_for_others(office: Office) -> None:
    """It ends its round near Xero's limit, and goes on behind the next pull."""
    office.xero.server.minute_limit = 23
    office.xero.server.window = (0, 0)
    await office.catch_up()
    assert 0 < office.xero.asked.count("/Payslips") < len(office.due())
    assert office.connector.is_near_its_limit
    office.xero.server.minute_limit = 6_000
    await office.catch_up()
    await office.ties_out()
