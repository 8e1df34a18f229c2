"""Reading Xero's records: hand-made ones, Xero's own examples, the demo's company, and the document served by Prism."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from aiohttp.test_utils import TestServer, unused_port

from gateway.demo.servers.xero_company import make_company
from gateway.demo.servers.xero_payroll import xero_payroll_app
from sources.connectors.xero_payroll import XeroPayrollConnector
from sources.connectors.xero_payroll_records import parse_listing, parse_pay_run, parse_payslip
from sources.documents import PayrollRun, Payslip

ROOT = Path(__file__).parents[3]
CORPORA = Path(os.environ.get("CORPORA", ROOT.parent / "shared" / "corpora"))
TODAY = date(2026, 11, 22)

RUN = {
    "payRunID": "e0a5",
    "periodStartDate": "2026-01-01T00:00:00",
    "periodEndDate": "2026-01-31",
    "paymentDate": "/Date(1769558400000+0000)/",
    "totalCost": Decimal("490.39"),
    "totalPay": Decimal("376.9"),
    "payRunStatus": "Draft",
}
SLIP = {
    "paySlipID": "51",
    "employeeID": "e1",
    "firstName": "Quince",
    "lastName": "Marrow",
    "grossEarnings": Decimal("500.00"),
    "totalEmployeeTaxes": Decimal("90.10"),
    "totalDeductions": Decimal("10"),
    "totalReimbursements": Decimal("5.5"),
    "totalPay": Decimal("405.40"),
}


# ---------------------------------------------------------------- records


def test_a_pay_run_states_net_pay_and_cost_alone() -> None:
    """The parts that only payslips have stay None, amounts are pence, both forms of date are read."""
    run = parse_pay_run(RUN)
    assert (run.external_id, run.source_status, run.currency) == ("e0a5", "Draft", "GBP")
    assert (run.net, run.total_cost) == (37690, 49039)
    assert (run.gross, run.employee_taxes, run.deductions, run.reimbursements) == (None, None, None, None)
    assert (run.employer_taxes, run.employer_contributions, run.payslips) == (None, None, None)
    assert (run.period_start, run.period_end, run.pay_date) == (date(2026, 1, 1), date(2026, 1, 31), date(2026, 1, 28))


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2020-02-03", date(2020, 2, 3)),
        ("2020-02-03T00:00:00", date(2020, 2, 3)),
        ("2020-02-03T23:59:59.9215965Z", date(2020, 2, 3)),
        ("2020-02-03T00:00:00+01:00", date(2020, 2, 3)),
        ("/Date(1580688000000)/", date(2020, 2, 3)),
        ("/Date(1580644800000+1300)/", date(2020, 2, 3)),
        ("/Date(-86400000+0000)/", date(1969, 12, 31)),
    ],
)
def test_dates_of_both_forms(text: str, day: date) -> None:
    assert parse_pay_run({**RUN, "paymentDate": text}).pay_date == day


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"totalPay": Decimal("376.921")}, "totalPay has more than 2 decimals"),
        ({"totalPay": Decimal("1E-999999")}, "totalPay is out of range"),
        ({"totalCost": Decimal("1E+999999")}, "totalCost is out of range"),
        ({"totalPay": 10**13 + 1}, "totalPay is out of range"),
        ({"totalPay": "376.92"}, "totalPay is not a number"),
        ({"totalPay": True}, "totalPay is not a number"),
        ({"totalPay": None}, "totalPay is missing"),
        ({"paymentDate": "2026-02-30T00:00:00"}, "paymentDate is no calendar date"),
        ({"paymentDate": "/Date(99999999999999)/x"}, "paymentDate is not a date"),
        ({"paymentDate": None}, "paymentDate is not a date"),
        ({"payRunID": "a\u0000b"}, "payRunID is not an identifier"),
        ({"payRunStatus": 7}, "payRunStatus is not a word"),
    ],
)
def test_a_malformed_pay_run_is_refused_with_its_field(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        parse_pay_run({**RUN, **change})


@pytest.mark.parametrize(
    ("amount", "minor"), [(0, 0), (-5, -500), (Decimal("-0.10"), -10), (Decimal("1E+2"), 10000), (10**13, 10**15)]
)
def test_amounts_are_exact_pence(amount: int | Decimal, minor: int) -> None:
    assert parse_pay_run({**RUN, "totalPay": amount}).net == minor


def test_raw_of_a_run_holds_nothing_personal() -> None:
    """Neither payslips, nor the message to employees, nor fields that nobody knows yet."""
    personal = {
        "paySlips": [SLIP],
        "payslipMessage": "Happy birthday, Quince",
        "approvedBy": "Quince",
        "calendarType": {"Quince": 1},
    }
    raw = parse_pay_run({**RUN, **personal}).raw
    assert "Quince" not in json.dumps(raw)
    assert raw["totalCost"] == "490.39"
    assert raw["payRunStatus"] == "Draft"


def test_a_payslip_that_adds_up() -> None:
    reading = parse_payslip(SLIP, "r1")
    assert reading.payslip == Payslip(
        external_id="51",
        employee_id="e1",
        employee_name="Quince Marrow",
        gross=50000,
        net=40540,
        employee_taxes=9010,
        deductions=1000,
        reimbursements=550,
    )
    assert reading.problems == ()


@pytest.mark.parametrize("deductions", ["10", "14"])
def test_court_orders_count_once_whether_or_not_deductions_hold_them(deductions: str) -> None:
    slip = {**SLIP, "totalCourtOrders": 4, "totalDeductions": Decimal(deductions), "totalPay": Decimal("401.40")}
    reading = parse_payslip(slip, "r1")
    assert (reading.problems, reading.payslip.deductions) == ((), 1400)


@pytest.mark.parametrize(
    ("stated", "deductions"), [({}, None), ({"totalDeductions": None, "totalCourtOrders": 4}, 400)]
)
def test_deductions_that_are_not_stated_are_none_but_for_court_orders(stated: dict[str, Any], deductions: int) -> None:
    slip = {name: value for name, value in SLIP.items() if name != "totalDeductions"} | stated
    assert parse_payslip(slip, "r1").payslip.deductions == deductions


def test_what_the_employer_pays_beside_is_read() -> None:
    payslip = parse_payslip({**SLIP, "totalEmployerTaxes": 60, "totalBenefits": Decimal("15.5")}, "r1").payslip
    assert (payslip.employer_taxes, payslip.employer_contributions) == (6000, 1550)


def test_a_payslip_that_does_not_add_up_is_read_and_reported_without_names_or_pay() -> None:
    reading = parse_payslip({**SLIP, "totalPay": Decimal("405.41")}, "r1")
    (problem,) = reading.problems
    assert reading.payslip.net == 40541
    assert (problem.subject, problem.code) == ("payslip 51 of pay run r1", "PAYSLIP_DOES_NOT_ADD_UP")
    assert "off by 0.01 GBP" in problem.message
    assert not any(secret in problem.message for secret in ("Quince", "Marrow", "405", "500"))


def test_gross_falls_back_to_total_earnings_and_a_nameless_employee_to_the_id() -> None:
    slip = {**SLIP, "grossEarnings": None, "totalEarnings": 500, "firstName": " \ud800\u0000 ", "lastName": None}
    payslip = parse_payslip(slip, "r1").payslip
    assert (payslip.gross, payslip.employee_name) == (50000, "e1")
    assert parse_payslip({**slip, "totalEarnings": None}, "r1").payslip.gross is None


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"payRuns": None}, {"payRuns": [], "problem": {"title": "Quince Marrow"}}]
)
def test_an_envelope_that_is_none_is_refused(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"is not an object|has no list payRuns|reports a problem \(untitled\)"):
        parse_listing(answer, "payRuns")


# ---------------------------------------------------------------- Xero's own examples


@cache
def specification() -> dict[str, Any]:
    """Xero's OpenAPI document with timestamps as text and fractions exact, as they are in JSON."""
    path = CORPORA / "xero" / "xero-payroll-uk.yaml"
    if not path.is_file():
        pytest.skip(f"Xero's OpenAPI document is not at {path} (set CORPORA)")

    document: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), _AsJson)
    return document


class _AsJson(yaml.SafeLoader):
    yaml_implicit_resolvers: ClassVar[Any] = {
        sign: [pair for pair in pairs if not pair[0].endswith(":timestamp")]
        for sign, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_AsJson.add_constructor("tag:yaml.org,2002:float", lambda loader, node: Decimal(loader.construct_scalar(node)))


def example(path: str) -> Any:
    return specification()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]


def test_xeros_example_of_pay_runs() -> None:
    listing = parse_listing(example("/PayRuns"), "payRuns")
    assert (listing.page, listing.page_count, listing.item_count, listing.is_last(1)) == (1, 1, 2, True)
    weekly, monthly = (parse_pay_run(record) for record in listing.records)
    assert (weekly.net, weekly.total_cost, weekly.source_status) == (37692, 49039, "Draft")
    assert (weekly.period_start, weekly.period_end, weekly.pay_date) == (
        date(2020, 2, 3),
        date(2020, 2, 9),
        date(2020, 2, 10),
    )
    assert (monthly.net, monthly.total_cost, monthly.source_status) == (129465, 150208, "Posted")
    assert parse_pay_run(example("/PayRuns/{PayRunID}")["payRun"]) == weekly


def test_xeros_example_of_payslips_does_not_add_up_and_is_read() -> None:
    """Its deductions of 9.62 are not part of its net pay."""
    (record,) = parse_listing(example("/Payslips"), "paySlips").records
    reading = parse_payslip(record, "e0a59d82-6229-4be4-9d66-49891b4d933e")
    assert (reading.payslip.gross, reading.payslip.net) == (48077, 38654)
    assert reading.payslip.employee_id == "aad6b292-7b94-408b-93f6-e489867e3fb0"
    assert reading.payslip.employee_name == f"{record['firstName']} {record['lastName']}"
    assert [problem.code for problem in reading.problems] == ["PAYSLIP_DOES_NOT_ADD_UP"]
    assert "off by 9.62 GBP" in reading.problems[0].message
    with pytest.raises(ValueError, match="another pay run"):
        parse_payslip(record, "ea4f0a14-2c41-4583-9845-9e455972b326")


# ---------------------------------------------------------------- the demo's company


def test_the_demos_company_is_the_same_every_time_and_adds_up() -> None:
    """Twelve months of 25 payslips; a month's run keeps its id and amounts on a later day."""
    company = make_company(7, TODAY)
    assert make_company(7, TODAY) == company
    assert [run["payRunStatus"] for run in company.runs.values()] == ["Posted"] * 11 + ["Draft"]
    later = make_company(7, date(2026, 12, 5))
    assert set(list(company.runs)[1:]) == set(list(later.runs)[:-1])
    assert list(company.slips.values())[-1] == list(later.slips.values())[-2]
    for identifier, run in company.runs.items():
        readings = [parse_payslip(as_json(slip), identifier) for slip in company.slips[identifier]]
        assert len(readings) == 25
        assert [problem for reading in readings for problem in reading.problems] == []
        assert sum(reading.payslip.net for reading in readings) == parse_pay_run(as_json(run)).net


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_float=Decimal)


# ---------------------------------------------------------------- Prism: Xero's document, served by others


@pytest.mark.timeout(240)
async def test_against_prism_serving_xeros_document(tmp_path: Path) -> None:
    """Prism checks our requests (paths, parameters, tenant header, token) and answers with Xero's examples."""
    whole = specification()
    paths = {
        path: {key: whole["paths"][path][key] for key in ("get", "parameters")} for path in ("/PayRuns", "/Payslips")
    }
    document = tmp_path / "xero.json"
    document.write_text(json.dumps({**whole, "paths": paths}, default=float), encoding="utf-8")
    program = await asyncio.to_thread(prism_program)
    identity = xero_payroll_app(7, TODAY, "client", "secret", "tenant")
    async with TestServer(identity) as tokens, prism(program, document) as base_url:
        connector = XeroPayrollConnector(
            name="payroll",
            base_url=base_url,
            token_url=str(tokens.make_url("/connect/token")),
            client_id="client",
            client_secret="secret",
            tenant_id="tenant",
        )
        (page,) = [page async for page in connector.pull(None)]
        weekly, monthly = (run for run in page.documents if isinstance(run, PayrollRun))
        assert (weekly.net, monthly.net, page.problems) == (37692, 129465, [])
        (slip,) = await connector.fetch_payslips(weekly.external_id)
        assert (slip.gross, slip.net) == (48077, 38654)
        (page,) = [page async for page in connector.pull(page.cursor)]
        assert [problem.code for problem in page.problems] == ["PAYSLIP_DOES_NOT_ADD_UP"]
        await connector.close()


def prism_program() -> Path:
    """Prism's command line, installed once under .cache; skips where it cannot be."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed, so Prism cannot serve Xero's document")
    home = ROOT / ".cache" / "prism-5.16"
    if not home.exists():
        install_prism(home)
    return home / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"


def install_prism(home: Path) -> None:
    """Appears whole or not at all, also when two runs do it at once."""
    home.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, ignore_cleanup_errors=True) as half:
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", half]
        try:
            outcome = subprocess.run(
                [*command, "@stoplight/prism-cli@5.16"], capture_output=True, timeout=180, check=False
            )
        except subprocess.TimeoutExpired:
            pytest.skip("Prism could not be installed with npm within 180 s")
        if outcome.returncode:
            pytest.skip(f"Prism could not be installed with npm: {outcome.stderr.decode(errors='replace')[-200:]}")
        with contextlib.suppress(OSError):  # another run was first
            Path(half).rename(home)


@contextlib.asynccontextmanager
async def prism(program: Path, document: Path) -> AsyncIterator[str]:
    port = unused_port()
    process = await asyncio.create_subprocess_exec(
        "node", str(program), "mock", "-h", "127.0.0.1", "-p", str(port), str(document),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output = process.stdout
    assert output is not None
    try:
        async with asyncio.timeout(40):
            said = b""
            while b"Prism is listening" not in said:
                line = await output.readline()
                said += line
                assert line, f"Prism ended: {said.decode(errors='replace')}"
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(output.read())  # or its pipe fills up
            yield f"http://127.0.0.1:{port}"
            process.terminate()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
