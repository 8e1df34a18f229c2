"""The settings of docs/rest-apis.md, and nothing but them, read servers in the shapes of the vendors that they are for."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.config import load
from gateway.sourceconfig import connector_for
from sources.documents import BankStatement, Invoice, PayrollRun
from tests.sources.connectors.checklist.copies import Copy, Outcome
from tests.sources.connectors.rest_vendors import (
    SECRETS,
    Chargebee,
    Coupa,
    FreeAgent,
    KeyPay,
    Mercury,
    NetSuite,
    Odoo,
    QuickBooks,
    Vendor,
    Wise,
)
from tests.sources.connectors.test_rest import served

GUIDE = (Path(__file__).parents[3] / "docs/rest-apis.md").read_text()
EXAMPLES = {
    found[1]: found[0]
    for found in re.findall(r"```toml\n(\[\[sources\]\]\nname = \"([\w-]+)\".*?)```", GUIDE, flags=re.DOTALL)
}


class Read:
    """Who stores what the guide's settings read. Addresses of vendors are the server's."""

    def __init__(self, name: str, vendor: Vendor, folder: Path) -> None:
        self.example, self.vendor, self.folder = EXAMPLES[name], vendor, folder
        self.copy = Copy()

    async def again(self) -> Outcome:
        async with served(self.vendor.app) as base:
            file = self.folder / "sources.toml"
            file.write_text(re.sub(r"https://[^/\"]+", base, self.example))
            (source,) = load(SECRETS, config=file).sources
            connector = connector_for(source)
            self.vendor.asked.clear()
            try:
                outcome = await self.copy.pull(connector)
            finally:
                await connector.close()
        assert outcome.error is None
        return outcome

    def held(self, kind: str = "invoice") -> dict[str, Any]:
        return {key[1]: document for key, document in self.copy.held.items() if key[0] == kind}

    @property
    def totals(self) -> dict[str, int]:
        return {name: document.total for name, document in self.held().items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def test_every_example_has_a_server_here() -> None:
    assert set(EXAMPLES) == {
        "quickbooks", "freeagent", "chargebee", "netsuite", "coupa", "mercury", "wise", "payroll-au", "odoo"
    }  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_no_example_sends_a_secret_elsewhere(example: str) -> None:
    hosts = {urlsplit(address).hostname for address in re.findall(r'"(https://[^"]+)"', example)}
    assert len(hosts - {"tokens.example.com"}) == 1


async def test_quickbooks(folder: Path) -> None:
    system = QuickBooks()
    for number in range(1, 6):
        system.bill(number, 225.0 + number, 0 if number == 1 else 225.0 + number, f"2026-03-1{number}T10:00:00-07:00")
    read = Read("quickbooks", system, folder)
    assert not (await read.again()).problems
    assert read.totals == {str(number): 22_500 + 100 * number for number in range(1, 6)}
    paid, bill = read.held()["1"], read.held()["2"]
    assert isinstance(bill, Invoice)
    assert (paid.status, paid.amount_due, bill.status, bill.amount_due) == ("PAID", 0, "OPEN", 22_700)
    assert [(line.amount, line.account) for line in bill.lines] == [(22_700, "72")]
    del system.records["3"]
    system.bill(5, 9.0, 9.0, "2026-03-20T10:00:00-07:00")
    await read.again()
    assert "2026-03-15T16:55:00Z" in system.asked[0]
    assert (read.totals["5"], "3" in read.totals) == (900, True)  # deleted ones show in the daily listing
    read.copy.cursor = None
    await read.again()
    assert "3" not in read.totals


async def test_freeagent(folder: Path) -> None:
    system = FreeAgent()
    for number in range(1, 8):
        system.bill(number, f"{100 + number}.5", "Overdue", f"2026-03-1{number}T10:00:00.000Z")
    system.bill(9, "-12.0", "Refunded", "2026-03-19T10:00:00.000Z")
    read = Read("freeagent", system, folder)
    assert not (await read.again()).problems
    assert len(read.totals) == 8
    bill = read.held()["https://api.freeagent.com/v2/bills/1"]
    assert (bill.total, bill.status, bill.party.name, bill.due_date) == (10_150, "OPEN", "Initech", date(2026, 4, 9))
    assert read.totals["https://api.freeagent.com/v2/bills/9"] == -1_200
    system.bill(1, "101.5", "Paid", "2026-03-20T10:00:00.000Z")
    assert len((await read.again()).seen) == 2
    assert read.held()["https://api.freeagent.com/v2/bills/1"].status == "PAID"


async def test_chargebee(folder: Path) -> None:
    system = Chargebee()
    for number in range(5):
        system.invoice(f"inv{number}", 4_999 + number, 1_773_000_000 + number * 1_000)
    read = Read("chargebee", system, folder)
    assert not (await read.again()).problems
    assert read.totals == {f"inv{number}": 4_999 + number for number in range(5)}
    found = read.held()["inv0"]
    assert (found.issue_date, found.party.name, found.status) == (date(2026, 3, 10), "Ann Smith", "PAID")
    assert (found.lines[0].service_from, found.lines[0].service_to) == (date(2026, 3, 10), date(2026, 4, 10))
    system.invoice("inv3", 4_999, 1_773_009_000, deleted=True)
    outcome = await read.again()
    assert (outcome.deleted, len(outcome.seen)) == ({("invoice", "inv3")}, 1)
    assert "updated_at[after]=1773003700" in system.asked[0]


async def test_netsuite(folder: Path) -> None:
    system = NetSuite()
    for number in range(1, 6):
        system.bill(number, f"-{number}19.95", "Open", f"2026-03-1{number} 10:00:00")
    read = Read("netsuite", system, folder)
    assert not (await read.again()).problems
    assert read.totals == {str(number): number * 10_000 + 1_995 for number in range(1, 6)}
    assert "1970-01-01 00:00:00" in system.asked[0]
    system.bill(5, "-519.95", "Paid In Full", "2026-03-16 10:00:00")
    assert set((await read.again()).seen) == {("invoice", "4"), ("invoice", "5")}  # a day of overlap
    assert (read.held()["5"].status, len(read.totals)) == ("PAID", 5)


async def test_coupa(folder: Path) -> None:
    system = Coupa()
    for number in range(1, 121):
        system.invoice(number, f"{number}.50", "approved", "2026-03-10T10:00:00-07:00")
    system.invoice(7, "7.50", "approved", "2026-03-10T10:00:00-07:00", paid=True)
    system.invoice(8, "8.50", "approved", "2026-03-10T10:00:00-07:00", **{"document-type": "Credit Note"})
    system.invoice(9, "9.50", "new_word", "2026-03-10T10:00:00-07:00")
    read = Read("coupa", system, folder)
    (problem,) = {each.message for each in (await read.again()).problems}
    assert "status 'new_word' is none of DRAFT" in problem
    assert len(read.totals) == 119
    assert (read.held()["7"].status, read.held()["8"].kind, read.held()["120"].number) == (
        "PAID",
        "CREDIT_NOTE",
        "I-120",
    )
    assert (read.held()["1"].issue_date, read.held()["1"].lines[0].account) == (date(2026, 3, 10), "4711-10")


async def test_mercury(folder: Path) -> None:
    system = Mercury()
    system.transaction("a", -1500.25, "sent", "2026-03-10T14:00:00.123Z")
    system.transaction("b", 99, "sent", "2026-03-11T14:00:00Z")
    system.transaction("c", -20, "pending", None)
    system.transaction("d", -30, "failed", None)
    read = Read("mercury", system, folder)
    assert not (await read.again()).problems
    held = read.held("bank_statement")
    assert {name: statement.transactions[0].amount for name, statement in held.items()} == {
        "a": -150_025,
        "b": 9_900,
        "c": -2_000,
    }
    rent = held["a"]
    assert isinstance(rent, BankStatement)
    assert (rent.account.currency, rent.transactions[0].booked_on, rent.transactions[0].description) == (
        "USD",
        date(2026, 3, 10),
        "Rent",
    )
    assert held["c"].transactions[0].status == "PENDING"
    system.transaction("c", -20, "cancelled", None)
    assert (await read.again()).deleted == {("bank_statement", "c")}


async def test_wise(folder: Path) -> None:
    def transaction(number: str, value: float, at: str) -> dict[str, Any]:
        details = {
            "type": "TRANSFER",
            "description": "Sent",
            "recipient": {"name": "Initech"},
            "paymentReference": "R 1",
        }
        return {
            "type": "DEBIT",
            "date": at,
            "amount": {"value": value, "currency": "EUR"},
            "referenceNumber": number,
            "details": details,
        }

    system = Wise()
    system.records = {
        "1": transaction("TRANSFER-1", -7.76, "2026-11-01T08:00:00.000000Z"),
        "2": transaction("TRANSFER-2", 20.0, "2026-11-02T08:00:00.000000Z"),
    }
    read = Read("wise", system, folder)
    outcome = await read.again()
    assert not outcome.problems
    found = {
        statement.transactions[0].external_id: statement.transactions[0]
        for statement in read.held("bank_statement").values()
    }
    assert {name: each.amount for name, each in found.items()} == {"TRANSFER-1": -776, "TRANSFER-2": 2_000}
    assert found["TRANSFER-1"].counterparty == "Initech"
    del system.records["1"]  # older than the API goes back
    assert (await read.again()).deleted == set()
    assert len(read.copy.held) == 2


async def test_employment_hero_payroll(folder: Path) -> None:
    system = KeyPay()
    for number in range(1, 6):
        system.run(number, finalised=number != 5)
    read = Read("payroll-au", system, folder)
    assert not (await read.again()).problems
    run = read.held("payroll_run")["1"]
    assert isinstance(run, PayrollRun)
    assert (run.gross, run.net, run.employee_taxes, run.deductions, run.employer_contributions) == (
        500_000,
        380_050,
        119_950,
        0,
        57_500,
    )
    assert (run.currency, run.pay_date, run.source_status) == ("AUD", date(2026, 3, 15), "Posted")
    assert read.held("payroll_run")["5"].source_status == "Draft"
    assert run.payslips is not None
    assert (run.payslips[0].employee_name, run.payslips[0].net, run.payslips[0].employee_id) == (
        "Ann Smith",
        380_050,
        "7",
    )


async def test_odoo(folder: Path) -> None:
    system = Odoo()
    for number in range(1, 6):
        system.bill(number, 100.0 + number, f"2026-03-1{number} 10:00:00")
    system.bill(3, 50.0, "2026-03-13 10:00:00", move_type="in_refund", ref="R-3")
    system.bill(4, 50.0, "2026-03-14 10:00:00", state="draft", invoice_date=False)
    read = Read("odoo", system, folder)
    assert not (await read.again()).problems
    assert (read.totals["1"], read.held()["1"].number, read.held()["1"].due_date) == (10_100, "BILL/1", None)
    assert (read.held()["3"].kind, read.held()["3"].number, read.held()["4"].status) == ("CREDIT_NOTE", "R-3", "DRAFT")
    system.bill(5, 105.0, "2026-03-16 10:00:00", payment_state="paid", amount_residual=0.0)
    assert set((await read.again()).seen) == {("invoice", "5")}
    assert read.held()["5"].status == "PAID"
