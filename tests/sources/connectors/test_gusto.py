"""Gusto's payroll: what is listed, what payslips say by department, and whether Gusto's own report says the same."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.gusto import API_VERSION, GustoConnector
from sources.connectors.gusto_records import (
    by_department,
    disagreement,
    parse_departments,
    parse_report,
    parse_run,
    parse_slips,
)
from sources.connectors.http import HttpOptions
from sources.documents import PayrollRun, Problem
from sources.errors import ConfigurationError, SourceUnavailable
from tests.sources.connectors.gusto_office import COMPANY, TOKEN, Office, Record, money, paid, serving

NOW = datetime(2026, 5, 6, 15, 0, tzinfo=UTC)


@dataclass
class Pulled:
    runs: dict[str, PayrollRun] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    cursor: str | None = None


def connector(base: str, **more: Any) -> GustoConnector:
    options = HttpOptions(waiting=False, attempts=3, response_bytes=1_000_000, **more.pop("http", {}))
    given = {"company_id": COMPANY, "base_url": base, "token": TOKEN, **more}
    return GustoConnector(name="payroll", http=options, clock=NOW.timestamp, pause=0, **given)


async def read(reader: GustoConnector, cursor: str | None = None) -> Pulled:
    pulled, complete = Pulled(), False
    async for page in reader.pull(cursor):
        assert not complete
        for run in page.documents:
            assert isinstance(run, PayrollRun)
            assert run.external_id not in pulled.runs
            pulled.runs[run.external_id] = run
        pulled.problems.extend(page.problems)
        pulled.cursor, complete = page.cursor, page.complete
    assert complete
    return pulled


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def base(office: Office) -> AsyncIterator[str]:
    async with serving(office) as address:
        yield address


@pytest.fixture
async def gusto(base: str) -> AsyncIterator[GustoConnector]:
    reader = connector(base)
    yield reader
    await reader.close()


ADA = paid("e-1", 5000_00, taxes=900_00, employer=382_50, benefit=250_00, contribution=200_00)
BOB = paid("e-2", 3000_00, taxes=400_00, employer=229_50, deduction=75_00, reimbursement=31_20)
EVE = paid("e-3", 2000_00, taxes=300_00, employer=153_00, tips=120_00)


async def test_a_run_holds_its_totals_and_its_payslips_the_rest(office: Office, gusto: GustoConnector) -> None:
    office.run("run-1", ADA, BOB, EVE)
    run = (await read(gusto)).runs["run-1"]
    assert (run.period_start, run.period_end, run.pay_date) == (date(2026, 3, 1), date(2026, 3, 28), date(2026, 3, 28))
    assert (run.source_status, run.payslips_follow, run.currency) == ("Posted", True, "USD")
    assert (run.gross, run.employee_taxes, run.deductions, run.reimbursements) == (9880_00, 1600_00, 325_00, 31_20)
    assert run.net == 9880_00 - 1600_00 - 325_00 + 31_20
    assert (run.employer_taxes, run.employer_contributions) == (765_00, 200_00)
    slips = {each.employee_id: each for each in await gusto.fetch_payslips("run-1")}
    assert {each.department for each in slips.values()} == {"Engineering", "Sales"}
    assert slips["e-1"].employee_name == "Ada Byron-e-1"
    assert (slips["e-3"].gross, slips["e-3"].net) == (1880_00, 1580_00), "cash tips are not the company's"
    for part in (
        "net",
        "gross",
        "employee_taxes",
        "deductions",
        "reimbursements",
        "employer_taxes",
        "employer_contributions",
    ):
        assert sum(getattr(each, part) for each in slips.values()) == getattr(run, part), part
    assert (await read(gusto)).problems == [], "the report agrees"
    assert "Byron" not in str(run.raw)


async def test_every_request_states_the_version(office: Office, gusto: GustoConnector) -> None:
    office.run("run-1", ADA)
    await read(gusto)
    await gusto.fetch_payslips("run-1")
    api = [headers for path, headers in zip(office.asked, office.headers, strict=True) if path.startswith("/v1/")]
    assert {headers["X-Gusto-API-Version"] for headers in api} == {API_VERSION}


async def test_a_version_that_is_served_no_more_is_told(office: Office, base: str) -> None:
    office.say({"error": "not_acceptable"}, 406)
    reader = connector(base, api_version="2019-01-01")
    with pytest.raises(SourceUnavailable, match=r"2019-01-01 .* set api_version"):
        await read(reader)
    await reader.close()


@pytest.mark.parametrize("people", [1, 25, 26, 100, 101, 250])
@pytest.mark.parametrize("version", ["2024-04-01", API_VERSION])
async def test_payslips_are_read_to_the_last_page(office: Office, base: str, people: int, version: str) -> None:
    """A version that gives all at once gives them again for the next page."""
    office.run("run-1", *(paid(f"e-{number}", 1000_00, taxes=100_00) for number in range(people)))
    reader = connector(base, api_version=version)
    assert len(await reader.fetch_payslips("run-1")) == people
    assert (await read(reader)).problems == []
    await reader.close()


async def test_payslips_that_go_while_they_are_read_are_read_again_later(office: Office, gusto: GustoConnector) -> None:
    record = office.run("run-1", *(paid(f"e-{number}", 1000_00) for number in range(150)))
    office.within = [lambda: record["employee_compensations"].pop(0)]
    with pytest.raises(SourceUnavailable, match="changed a payroll"):
        await gusto.fetch_payslips("run-1")


@pytest.mark.parametrize("day", [date(2026, 1, 31), date(2026, 11, 30), date(2028, 2, 29)])
async def test_no_more_is_asked_for_than_gusto_gives(office: Office, base: str, day: date) -> None:
    """A year at a time, up to three months ahead: 89 days on 31 January."""
    reader = connector(base)
    reader._clock = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp
    await read(reader)
    last = max(date.fromisoformat(path.split("end_date=")[1][:10]) for path in office.asked)
    assert last <= day + timedelta(days=89)
    await reader.close()


async def test_pages_and_years_are_read_to_the_end(office: Office, base: str) -> None:
    """Also payrolls whose period lies across the border between two years that are asked for."""
    office.per = 2
    for year in range(2023, 2027):
        for month in range(1, 13 if year < 2026 else 5):
            office.run(f"run-{year}-{month}", ADA, month=month, year=year)
    office.run("run-long", ADA, pay_period={"start_date": "2024-11-20", "end_date": "2025-02-10"})
    reader = connector(base)
    pulled = await read(reader)
    assert pulled.runs.keys() == office.payrolls.keys()
    assert pulled.cursor == '["2023-01-01",{}]'
    office.asked.clear()
    assert (await read(reader, pulled.cursor)).runs.keys() == office.payrolls.keys()
    assert all("start_date=2011" not in path for path in office.asked)
    assert (await read(reader, "not a day")).runs.keys() == office.payrolls.keys()
    await reader.close()


async def test_a_payroll_that_was_cancelled_is_mentioned_no_more(office: Office, gusto: GustoConnector) -> None:
    office.run("run-1", ADA)
    office.run("run-2", BOB, month=4)
    assert (await read(gusto)).runs.keys() == {"run-1", "run-2"}
    office.payrolls["run-2"]["processed"] = False
    assert (await read(gusto)).runs.keys() == {"run-1"}
    assert gusto.lists_everything


async def test_reversals_corrections_and_external_payrolls(office: Office, gusto: GustoConnector) -> None:
    back = paid("e-1", -5000_00, taxes=-900_00, employer=-382_50, benefit=-250_00, contribution=-200_00)
    office.run("run-1", ADA)
    office.run("run-2", back, off_cycle=True, off_cycle_reason="Reversal")
    office.run("run-3", BOB, external=True)
    runs = (await read(gusto)).runs
    assert (runs["run-2"].gross, runs["run-2"].net, runs["run-2"].source_status) == (-5000_00, -3850_00, "Posted")
    assert runs["run-2"].raw["off_cycle_reason"] == "Reversal"
    assert (runs["run-3"].source_status, runs["run-3"].payslips_follow) == ("External", False)


async def test_a_listing_that_changes_while_it_is_read_is_read_again(office: Office, gusto: GustoConnector) -> None:
    office.per = 2
    for month in range(1, 5):
        office.run(f"run-{month}", ADA, month=month)
    office.between.append(lambda: office.payrolls.__delitem__("run-1"))
    assert (await read(gusto)).runs.keys() == {"run-2", "run-3", "run-4"}


async def test_departments_that_differ_from_the_report_are_named_and_nobody_else(
    office: Office, gusto: GustoConnector, base: str
) -> None:
    office.run("run-1", ADA, BOB, EVE)

    def moved(report: Record) -> None:
        rows = report["data"][1]["rows"]
        next(row for row in rows if row[0] == "EmployerTax" and row[2] == "Sales")[3] = "150.00"

    office.report = moved
    assert len(await gusto.fetch_payslips("run-1")) == 3
    pulled = await read(gusto)
    (problem,) = pulled.problems
    assert (problem.subject, problem.code) == ("payroll run-1", "DISAGREEING_FIGURES")
    assert "employer taxes of department Sales: payslips 153.00, report 150.00" in problem.message
    assert "Engineering" not in problem.message
    assert "Ada" not in problem.message
    again = connector(base)
    pulled = await read(again, pulled.cursor)
    assert pulled.problems == [problem], "whichever process pulls next, while it lasts"
    office.report = lambda _report: None
    await again.fetch_payslips("run-1")
    pulled = await read(again, pulled.cursor)
    assert pulled.problems == []
    assert (await read(again, pulled.cursor)).problems == []
    await again.close()


@pytest.mark.parametrize("how", ["refused", "failed", "late", "elsewhere", "shape", "plain"])
async def test_a_report_that_cannot_be_had_is_told_and_keeps_nothing_back(
    office: Office, gusto: GustoConnector, how: str
) -> None:
    office.run("run-1", ADA)
    match how:
        case "refused":
            office.report_code = 403
        case "failed":
            office.report_status = ["pending", "failed"]
        case "late":
            office.report_status = ["pending"] * 50
        case "elsewhere":
            office.report_url = "ftp://files.example/report"
        case "shape":
            office.report = lambda report: report["data"].pop()
        case "plain":
            office.report_url = "http://files.example/report"
    assert len(await gusto.fetch_payslips("run-1")) == 1
    (problem,) = (await read(gusto)).problems
    assert (problem.subject, problem.code) == ("payroll run-1", "PAYROLL_NOT_CHECKED")


async def test_a_payslip_that_does_not_add_up_or_cannot_be_read(office: Office, gusto: GustoConnector) -> None:
    office.run(
        "run-1",
        {**ADA, "net_pay": "1.00", "check_amount": "1.00"},
        {**BOB, "taxes": [{"employer": "no", "amount": "1.00"}]},
        {**EVE, "excluded": True},
    )
    slips = await gusto.fetch_payslips("run-1")
    assert [each.employee_id for each in slips] == ["e-1"]
    codes = {problem.code for problem in (await read(gusto)).problems}
    assert codes == {"PAYSLIP_DOES_NOT_ADD_UP", "UNREADABLE_RECORD", "DISAGREEING_FIGURES"}


async def test_deductions_may_hold_those_for_benefits(office: Office, gusto: GustoConnector) -> None:
    office.run("run-1", {**ADA, "deductions": [{"name": "401(k)", "amount": 250.0}]})
    (slip,) = await gusto.fetch_payslips("run-1")
    assert slip.deductions == 250_00
    assert (await read(gusto)).problems == []


async def test_client_credentials_in_place_of_a_token(office: Office, base: str) -> None:
    office.run("run-1", ADA)
    reader = connector(base, token=None, client_id="app", client_secret="secret", token_url=f"{base}/token")
    assert (await read(reader)).runs.keys() == {"run-1"}
    office.token = "another"
    assert (await read(reader)).runs.keys() == {"run-1"}, "a token that is refused is renewed"
    await reader.close()


async def test_a_wrong_token_is_told_and_not_shown(office: Office, base: str) -> None:
    reader = connector(base, token="wrong-token-77")
    with structlog.testing.capture_logs() as logs, pytest.raises(SourceUnavailable, match="credentials") as refused:
        await read(reader)
    assert "wrong-token-77" not in f"{refused.value} {logs}"
    await reader.close()


async def test_rate_limits_and_faults_are_tried_again(office: Office, gusto: GustoConnector) -> None:
    office.run("run-1", ADA)
    office.say({}, 429, **{"Retry-After": "30"})
    office.say({}, 503)
    assert (await read(gusto)).runs.keys() == {"run-1"}
    assert not gusto.is_near_its_limit
    office.left = "12"
    await read(gusto)
    assert gusto.is_near_its_limit
    office.say({}, 500)
    with pytest.raises(SourceUnavailable, match="failed"):
        await read(gusto)


async def test_a_server_that_hangs_or_floods_fails_the_pull(office: Office, base: str) -> None:
    office.say(b"[" + b" " * 2_000_000)
    reader = connector(base, http={"attempt_seconds": 0.2, "deadline_seconds": 0.5})
    with pytest.raises(SourceUnavailable, match="more than 1000000 bytes"):
        await read(reader)
    office.hanging = True
    with pytest.raises(SourceUnavailable, match="did not answer"):
        await read(reader)
    await reader.close()


@pytest.mark.parametrize("body", [b'[{"payroll_uuid": "a"', {}, "x", None, 7])
async def test_listings_in_another_shape_fail_the_pull(office: Office, gusto: GustoConnector, body: Any) -> None:
    office.say(body)
    with pytest.raises(SourceUnavailable):
        await read(gusto)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"check_date": "2026-02-30"}, "check_date"),
        ({"check_date": "2026-03-28T00:00:00Z"}, "check_date"),
        ({"pay_period": None}, "pay_period"),
        ({"totals": []}, "totals"),
        ({"totals": {}}, "net_pay"),
        ({"totals": {"net_pay": "1.005"}}, "net_pay"),
        ({"totals": {"net_pay": "1e9"}}, "net_pay"),
        ({"totals": {"net_pay": True}}, "net_pay"),
        ({"totals": {"net_pay": "9" * 30}}, "net_pay"),
        ({"processed": "yes"}, "processed"),
        ({"external": 1}, "external"),
    ],
)
async def test_one_payroll_that_cannot_be_read_costs_itself(
    office: Office, gusto: GustoConnector, wrong: Record, words: str
) -> None:
    office.run("run-1", ADA)
    office.run("run-2", BOB)
    listed = [{**office.payrolls["run-1"], **wrong}, office.payrolls["run-2"]]
    for _ in range(60):
        office.say(listed, 200, **{"X-Total-Pages": "1", "X-Total-Count": "2"})
    pulled = await read(gusto)
    assert pulled.runs.keys() == {"run-2"}
    (problem,) = pulled.problems
    assert (problem.subject, problem.code) == ("payroll run-1", "UNREADABLE_RECORD")
    assert words in problem.message


async def test_a_payroll_that_is_not_there(office: Office, gusto: GustoConnector) -> None:
    for wanted in ("run-9", "../employees"):
        with pytest.raises(SourceUnavailable, match="no such"):
            await gusto.fetch_payslips(wanted)
    office.run("run-1", ADA)
    office.say(office.payrolls["run-1"])
    with pytest.raises(SourceUnavailable, match="another payroll"):
        await gusto.fetch_payslips("run-2")


@pytest.mark.parametrize(
    "more",
    [{"company_id": "../x"}, {"token": None}, {"token": "a b"}, {"token": None, "client_id": "a", "client_secret": "b"}, {"api_version": "a\nb"}],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"sources\.payroll"):
        connector("http://127.0.0.1:1", **more)


_SCALARS = st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=20)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)  # fmt: skip
_GOOD: Record = {"payroll_uuid": "a", "processed": True, "check_date": "2026-03-28", "pay_period": {"start_date": "2026-03-01", "end_date": "2026-03-28"}, "totals": {"net_pay": "1"}}  # fmt: skip


@given(st.sampled_from([*_GOOD, "employee_compensations", "data"]), _VALUES)
def test_any_answer_is_read_or_refused(name: str, value: Any) -> None:
    for parse in (parse_run, lambda record: parse_slips(record, {}), parse_report, parse_departments):
        for record in ({**_GOOD, name: value}, value):
            with contextlib.suppress(ValueError):
                parse(record)


CENTS = st.integers(-(10**9), 10**9)


@given(st.lists(st.tuples(CENTS, CENTS, CENTS, CENTS, CENTS, CENTS), max_size=6))
def test_slips_that_add_up_are_read_as_they_are(figures: list[tuple[int, ...]]) -> None:
    """Whatever the amounts: what was withheld, what the employer pays, and no problem."""
    compensations = [
        paid(
            f"e-{number}",
            gross,
            taxes=taxes,
            employer=employer,
            benefit=benefit,
            deduction=deduction,
            reimbursement=back,
        )
        for number, (gross, taxes, employer, benefit, deduction, back) in enumerate(figures)
    ]
    read_ = parse_slips({"payroll_uuid": "a", "employee_compensations": compensations}, {})
    assert read_.problems == ()
    for slip, (gross, taxes, employer, _, _, back) in zip(read_.payslips, figures, strict=True):
        assert (slip.gross, slip.employee_taxes, slip.employer_taxes) == (gross, taxes, employer)
        assert slip.net == gross - taxes - (slip.deductions or 0) + back
    assert disagreement("a", by_department(read_.payslips), by_department(read_.payslips)) is None
    for slip in read_.payslips[:1]:
        other = replace(slip, employer_taxes=(slip.employer_taxes or 0) + 1)
        assert disagreement("a", by_department(read_.payslips), by_department([other, *read_.payslips[1:]]))


def test_cents_are_written_as_gusto_writes_them() -> None:
    assert [money(cents) for cents in (-5, 5, 123456)] == ["-0.05", "0.05", "1234.56"]
