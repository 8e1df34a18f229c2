"""Gusto through to the ledger by the built-in rules: processed payrolls become entries by department, reversals take them back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pytest

from sources.connectors.gusto import GustoConnector
from sources.connectors.http import HttpOptions
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from tests.sources.connectors.gusto_office import COMPANY, TOKEN, Office, Record, paid, serving
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
RULES = "\n".join(
    ['extends = "starter"', "[accounts]", *[f'{name} = "{code}"' for name, (code, _) in ACCOUNTS.items()],
     "[tables.departments]", 'Sales = "6101"', 'default = "wages"']
)  # fmt: skip
ADA = paid("e-1", 5000_00, taxes=900_00, employer=382_50, benefit=250_00, contribution=200_00)
EVE = paid("e-3", 2000_00, taxes=300_00, employer=153_00, reimbursement=31_20)


@dataclass
class Desk:
    company: Company
    office: Office
    refresher: Refresher

    async def catch_up(self) -> None:
        assert (await self.refresher.sync("payroll")).error is None
        await self.refresher.payslips_read("payroll")
        await self.company.look()
        assert await self.company.findings() == []

    async def problems(self) -> set[tuple[str, str]]:
        """Open issues of the source's own: code and subject."""
        rows = await self.company.owner.fetch(
            "SELECT code, subject FROM mirror.issue WHERE kind IS NULL AND closed_at IS NULL"
        )
        return {(row[0], row[1]) for row in rows}


@pytest.fixture
async def desk(database_url: str, owner_url: str) -> AsyncIterator[Desk]:
    office = Office()
    async with opened(database_url, owner_url) as company, serving(office) as base:
        wanted = {**dict(ACCOUNTS.values()), "6101": AccountType.EXPENSE}
        drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in wanted.items()]
        await administration.create_accounts(company.database, EVERYONE, ledger="acme-us", accounts=drafts)
        await company.use_rules(RULES)
        settings = SourceSettings(
            name="payroll", kind="gusto", ledger="acme-us", post_from=date(2026, 2, 1), options={"company_id": COMPANY}
        )
        connector = GustoConnector(
            name="payroll", base_url=base, company_id=COMPANY, token=TOKEN, http=HttpOptions(waiting=False), pause=0,
            clock=datetime(2026, 5, 6, tzinfo=UTC).timestamp,
        )  # fmt: skip
        refresher = Refresher(company.database, [(settings, connector)])
        yield Desk(company, office, refresher)
        await refresher.close()


BOTH = {
    "6100": 5000_00, "6101": 2000_00, "6130": 31_20, "6110": 535_50, "6120": 200_00, "2320": -1200_00 - 535_50,
    "2330": -200_00, "2340": -250_00, "1210": -(3850_00 + 1731_20),
}  # fmt: skip


async def test_payrolls_become_entries_by_department_and_reversals_take_them_back(desk: Desk) -> None:
    desk.office.run("run-1", ADA, EVE)
    desk.office.run("run-old", ADA, month=1)
    await desk.catch_up()
    assert await desk.company.nets() == BOTH
    assert await desk.company.statuses() == {"run-1": "POSTED", "run-old": "BEFORE_CUTOVER"}
    assert "Byron" not in str(await desk.company.entries())
    desk.office.run("run-2", *[negative(each) for each in (ADA, EVE)], off_cycle=True, off_cycle_reason="Reversal")
    await desk.catch_up()
    assert await desk.company.nets() == {}
    assert not any((await desk.company.issues()).values())
    assert await desk.problems() == set()


async def test_a_payroll_that_was_cancelled_is_reversed(desk: Desk) -> None:
    record = desk.office.run("run-1", ADA, EVE)
    await desk.catch_up()
    assert await desk.company.nets() == BOTH
    record["processed"] = False
    await desk.catch_up()
    assert await desk.company.nets() == {}


async def test_runs_that_do_not_add_up_are_issues(desk: Desk) -> None:
    """Payslips that are not what the run says are not posted; a report that differs is told of."""
    record = desk.office.run("run-1", ADA, EVE)
    record["totals"]["employer_taxes"] = "1.00"
    desk.office.run("run-2", ADA, EVE, month=4)
    desk.office.report = lambda report: report["data"][1]["rows"].pop(0)
    await desk.catch_up()
    assert await desk.company.issues() == {("DISAGREEING_FIGURES", "run-1"): True}
    assert (await desk.company.statuses())["run-2"] == "POSTED"
    await desk.catch_up()
    assert ("DISAGREEING_FIGURES", "payroll run-2") in await desk.problems()


async def test_payrolls_run_elsewhere_wait_for_a_rule(desk: Desk) -> None:
    desk.office.run("run-1", ADA, external=True)
    await desk.catch_up()
    assert await desk.company.issues() == {("NO_RULE", "run-1"): True}
    assert await desk.company.nets() == {}


def negative(compensation: Record) -> Record:
    """The same with every amount turned around."""

    def turned(value: object) -> object:
        if isinstance(value, dict):
            return {key: turned(each) for key, each in value.items()}
        if isinstance(value, list):
            return [turned(each) for each in value]
        if isinstance(value, str) and value.replace(".", "").lstrip("-").isdecimal() and float(value):
            return f"-{value}"
        return value

    found = turned(compensation)
    assert isinstance(found, dict)
    return found
