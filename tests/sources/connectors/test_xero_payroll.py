"""The Xero payroll connector against a stateful local server that speaks Xero's protocol."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
import structlog
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.demo.servers.xero_payroll import PREFIX, XERO, XeroServer, xero_payroll_app
from sources.connectors.http import HttpOptions
from sources.connectors.xero_payroll import XeroPayrollConnector
from sources.documents import Page, PayrollRun, Problem
from sources.errors import ConfigurationError, SourceUnavailable

TODAY = date(2026, 11, 22)
IMPATIENT = HttpOptions(waiting=False, deadline_seconds=10, attempts=3)

Answer = Callable[[], web.Response]


@dataclass
class Xero:
    """The demo server on loopback, with what it was asked, answers that take precedence once, and a hook before each."""

    url: str
    server: XeroServer
    asked: list[str] = field(default_factory=list)
    instead: dict[str, deque[Answer]] = field(default_factory=dict)
    before: Callable[[web.Request], Awaitable[None]] | None = None

    @property
    def runs(self) -> dict[str, dict[str, Any]]:
        return self.server.company.runs

    def answers(self, path: str, *answers: Answer) -> None:
        self.instead.setdefault(path, deque()).extend(answers)

    def connector(self, **changes: Any) -> XeroPayrollConnector:
        settings = {
            "name": "payroll",
            "base_url": self.url + PREFIX,
            "client_id": "client",
            "client_secret": "s%cret:é",
            "tenant_id": "tenant",
            "options": IMPATIENT,
        }
        return XeroPayrollConnector(**{**settings, **changes})


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Xero]:
    app = xero_payroll_app(7, TODAY, "client", "s%cret:é", "tenant", **settings)
    xero = Xero(url="", server=app[XERO])

    @web.middleware
    async def watched(request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.removeprefix(PREFIX)
        xero.asked.append(path)
        if xero.before is not None:
            await xero.before(request)
        if xero.instead.get(path):
            return xero.instead[path].popleft()()
        return await handler(request)

    app.middlewares.insert(0, watched)
    async with TestServer(app) as server:
        xero.url = str(server.make_url("")).rstrip("/")
        yield xero


@pytest.fixture
async def xero() -> AsyncIterator[Xero]:
    async with running() as server:
        yield server


@pytest.fixture
async def connector(xero: Xero) -> AsyncIterator[XeroPayrollConnector]:
    client = xero.connector()
    yield client
    await client.close()


async def pages_of(connector: XeroPayrollConnector, cursor: str | None = None) -> list[Page]:
    return [page async for page in connector.pull(cursor)]


async def collect(connector: XeroPayrollConnector, read: list[Page]) -> None:
    async for page in connector.pull(None):
        read.append(page)


async def runs_of(connector: XeroPayrollConnector) -> list[PayrollRun]:
    return [run for page in await pages_of(connector) for run in page.documents if isinstance(run, PayrollRun)]


async def problems_of(connector: XeroPayrollConnector) -> list[Problem]:
    return [problem for page in await pages_of(connector) for problem in page.problems]


def status(code: int, headers: dict[str, str] | None = None, body: str = "{}") -> Answer:
    return lambda: web.Response(status=code, headers=headers, text=body, content_type="application/json")


def json_run(identifier: str, total_pay: float = 376.92) -> dict[str, Any]:
    days = dict.fromkeys(("periodStartDate", "periodEndDate", "paymentDate"), "2026-01-31T00:00:00")
    return {**days, "payRunID": identifier, "totalCost": 490.39, "totalPay": total_pay, "payRunStatus": "Draft"}


def pay_runs(*records: Any, **pagination: int) -> Answer:
    return status(200, body=json.dumps({"problem": None, "pagination": pagination or None, "payRuns": list(records)}))


# ---------------------------------------------------------------- pulling


async def test_a_pull_reads_every_page_and_only_the_last_is_complete() -> None:
    async with running(page_size=5) as xero:
        connector = xero.connector()
        pages = await pages_of(connector)
        assert [(len(page.documents), page.complete) for page in pages] == [(5, False), (5, False), (2, True)]
        assert {run.external_id for page in pages for run in page.documents} == set(xero.runs)
        assert all(not page.problems and not page.deletions for page in pages)
        assert xero.asked == ["/connect/token", "/PayRuns", "/PayRuns", "/PayRuns"]
        await connector.close()


async def test_runs_are_read_as_the_server_has_them(xero: Xero, connector: XeroPayrollConnector) -> None:
    for run in await runs_of(connector):
        stated = xero.runs[run.external_id]
        assert (run.net, run.total_cost) == (round(stated["totalPay"] * 100), round(stated["totalCost"] * 100))
        assert run.period_start.isoformat() in stated["periodStartDate"]


async def test_a_later_pull_lists_everything_again(xero: Xero, connector: XeroPayrollConnector) -> None:
    """Drafts change and vanish without a trace, so a pull shows what is there, whatever the cursor."""
    before = await pages_of(connector)
    draft = next(run for run in xero.runs.values() if run["payRunStatus"] == "Draft")
    posted = next(run for run in xero.runs.values() if run["payRunStatus"] == "Posted")
    posted["totalPay"] = 1.25
    del xero.runs[draft["payRunID"]]
    after = {run.external_id: run for run in await runs_of(connector)}
    assert len(before[0].documents) == 12
    assert draft["payRunID"] not in after
    assert after[posted["payRunID"]].net == 125
    assert connector.lists_everything


async def test_an_organisation_without_pay_runs(xero: Xero, connector: XeroPayrollConnector) -> None:
    xero.runs.clear()
    assert [(list(page.documents), page.complete) for page in await pages_of(connector)] == [([], True)]


async def test_a_run_that_goes_while_pages_are_read_makes_the_pull_begin_anew() -> None:
    """It moves another run over the edge of a page: that one must not be taken for deleted."""
    async with running(page_size=5) as xero:
        newest = list(xero.runs)[-1]

        async def remove(_: web.Request) -> None:
            if xero.asked.count("/PayRuns") == 2:
                xero.runs.pop(newest, None)

        xero.before = remove
        connector = xero.connector()
        pages = await pages_of(connector)
        assert [page.complete for page in pages] == [False] * 5 + [True]
        assert {run.external_id for page in pages[3:] for run in page.documents} == set(xero.runs)
        assert len(xero.runs) == 11
        await connector.close()


async def test_a_list_that_never_rests_is_not_believed(xero: Xero, connector: XeroPayrollConnector) -> None:
    xero.answers("/PayRuns", *(pay_runs(json_run("a"), page=1, pageCount=1, itemCount=n) for n in (2, 3, 4)))
    with pytest.raises(SourceUnavailable, match="kept changing its list"):
        await pages_of(connector)


async def test_a_source_that_counts_otherwise_but_repeats_itself_is_believed(
    xero: Xero, connector: XeroPayrollConnector
) -> None:
    xero.answers("/PayRuns", *(pay_runs(json_run("a"), page=1, pageCount=1, itemCount=9) for _ in range(2)))
    assert [page.complete for page in await pages_of(connector)] == [False, True]


async def test_a_list_without_pagination_goes_on_while_its_pages_are_full(
    xero: Xero, connector: XeroPayrollConnector
) -> None:
    xero.answers("/PayRuns", pay_runs(*(json_run(f"a{n}") for n in range(100))), pay_runs(json_run("b")))
    assert [(len(page.documents), page.complete) for page in await pages_of(connector)] == [(100, False), (1, True)]


async def test_a_server_that_ignores_the_page_is_refused(xero: Xero, connector: XeroPayrollConnector) -> None:
    xero.answers("/PayRuns", *(pay_runs(json_run("a"), page=1, pageCount=2, itemCount=2) for _ in range(2)))
    with pytest.raises(SourceUnavailable, match="another page of /PayRuns"):
        await pages_of(connector)


async def test_malformed_records_are_problems_and_unknown_words_are_kept(
    xero: Xero, connector: XeroPayrollConnector
) -> None:
    """One bad record costs itself alone; a status or type that is new to us is the source's own word."""
    first, second, third = list(xero.runs)[:3]
    xero.runs[first]["totalPay"] = 1.005
    xero.runs[second].update(payRunStatus="Reverted", payRunType="LaterYearUpdate", calendarType="Lunar")
    xero.runs[third].pop("payRunID")
    (page,) = await pages_of(connector)
    runs = {run.external_id: run for run in page.documents if isinstance(run, PayrollRun)}
    assert len(runs) == 10
    assert runs[second].source_status == "Reverted"
    assert runs[second].raw["payRunType"] == "LaterYearUpdate"
    assert {(problem.subject, problem.code) for problem in page.problems} == {
        (f"pay run {first}", "UNREADABLE_RECORD"),
        ("a pay run without an id", "UNREADABLE_RECORD"),
    }
    assert page.complete


# ---------------------------------------------------------------- payslips


async def test_payslips_are_asked_for_on_demand_and_their_sums_are_the_runs() -> None:
    async with running(page_size=10) as xero:
        connector = xero.connector()
        run = (await runs_of(connector))[0]
        assert "/Payslips" not in xero.asked
        slips = await connector.fetch_payslips(run.external_id)
        assert xero.asked[-3:] == ["/Payslips"] * 3
        assert len(slips) == 25
        assert sum(slip.net for slip in slips) == run.net
        assert all(slip.gross is not None and slip.gross > slip.net - 22_000 and slip.employee_name for slip in slips)
        assert await problems_of(connector) == []
        await connector.close()


async def test_payslips_that_change_while_they_are_read_are_not_answered_in_part() -> None:
    """One that goes moves another over the edge of a page."""
    async with running(page_size=10) as xero:
        run = next(iter(xero.runs))

        async def remove(request: web.Request) -> None:
            if request.query.get("page") == "2":
                del xero.server.company.slips[run][0]

        xero.before = remove
        connector = xero.connector()
        with pytest.raises(SourceUnavailable, match="payslips while they were read"):
            await connector.fetch_payslips(run)
        xero.before = None
        assert len(await connector.fetch_payslips(run)) == 24
        await connector.close()


async def test_what_is_wrong_with_payslips_is_a_problem_of_the_next_pull(
    xero: Xero, connector: XeroPayrollConnector
) -> None:
    """Reported until the slips read right, named by ids alone; nothing personal is logged."""
    run = next(iter(xero.runs))
    wrong, broken, elsewhere, *_ = xero.server.company.slips[run]
    right = wrong["totalPay"]
    wrong["totalPay"] = right + 1
    broken["totalDeductions"] = "none"
    elsewhere["payRunID"] = "another"
    with structlog.testing.capture_logs() as logs:
        assert len(await connector.fetch_payslips(run)) == 23
        problems = await problems_of(connector)
    assert {(problem.subject, problem.code) for problem in problems} == {
        (f"payslip {wrong['paySlipID']} of pay run {run}", "PAYSLIP_DOES_NOT_ADD_UP"),
        (f"payslip {broken['paySlipID']} of pay run {run}", "UNREADABLE_RECORD"),
        (f"payslip {elsewhere['paySlipID']} of pay run {run}", "UNREADABLE_RECORD"),
    }
    told = f"{problems}{logs}"
    assert any(entry["event"] == "payslips_with_problems" for entry in logs)
    assert not any(slip[name] in told for slip in xero.server.company.slips[run] for name in ("firstName", "lastName"))

    wrong["totalPay"], broken["totalDeductions"], elsewhere["payRunID"] = right, None, run
    broken["grossEarnings"] = broken["totalEarnings"] = None
    await connector.fetch_payslips(run)
    assert await problems_of(connector) == []


async def test_problems_of_a_run_that_went_are_forgotten(xero: Xero, connector: XeroPayrollConnector) -> None:
    run = next(iter(xero.runs))
    xero.server.company.slips[run][0]["totalPay"] = 0
    await connector.fetch_payslips(run)
    assert len(await problems_of(connector)) == 1
    del xero.runs[run]
    assert await problems_of(connector) == []


@pytest.mark.parametrize("run", ["00000000-0000-4000-8000-000000000000", "../Employees", ""])
async def test_payslips_of_an_unknown_run(connector: XeroPayrollConnector, run: str) -> None:
    with pytest.raises(SourceUnavailable, match="has no such pay run"):
        await connector.fetch_payslips(run)


# ---------------------------------------------------------------- tokens


async def test_a_token_is_shared_by_all_who_ask_at_once(xero: Xero, connector: XeroPayrollConnector) -> None:
    await asyncio.gather(*(pages_of(connector) for _ in range(5)))
    await pages_of(connector)
    assert xero.asked.count("/connect/token") == 1


async def test_a_token_that_is_revoked_in_the_midst_of_a_pull_is_renewed_once() -> None:
    async with running(page_size=5) as xero:

        async def revoke(_: web.Request) -> None:
            if xero.asked.count("/PayRuns") == 2:
                xero.server.tokens.clear()
                xero.before = None

        xero.before = revoke
        connector = xero.connector()
        assert len(await runs_of(connector)) == 12
        assert xero.asked == ["/connect/token", "/PayRuns", "/PayRuns", "/connect/token", "/PayRuns", "/PayRuns"]
        await connector.close()


async def test_a_token_is_renewed_a_minute_before_it_expires(
    xero: Xero, connector: XeroPayrollConnector, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    clock, gone = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: clock() + gone)
    await pages_of(connector)
    gone = 1735.0
    await pages_of(connector)
    assert xero.asked == ["/connect/token", "/PayRuns", "/PayRuns"]
    gone = 1741.0
    await pages_of(connector)
    assert xero.asked[3:] == ["/connect/token", "/PayRuns"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"client_secret": "wrong"}, "refused client_id or client_secret (400, invalid_client)"),
        ({"client_id": "wrong"}, "refused client_id or client_secret (400, invalid_client)"),
        ({"scopes": "payroll.everything"}, "refused the scopes (400, invalid_scope)"),
        (
            {"tenant_id": "wrong"},
            "does not let this app read /PayRuns (status 403): check tenant_id and the app's scopes",
        ),
        ({"scopes": "payroll.payslip.read"}, "refused our credentials (status 401)"),
    ],
)
async def test_refused_credentials_say_which(xero: Xero, changes: dict[str, str], reason: str) -> None:
    """A refusal is not retried, and the sentence names the setting, never its value or the host."""
    connector = xero.connector(**changes)
    with pytest.raises(SourceUnavailable) as refusal:
        await pages_of(connector)
    assert reason in str(refusal.value)
    assert not any(word in str(refusal.value) for word in ("wrong", "s%cret", "127.0.0.1", "demo-token"))
    assert xero.asked.count("/connect/token") <= 2
    await connector.close()


@pytest.mark.parametrize(
    "body", ["[]", "{}", '{"access_token": ""}', '{"access_token": "a\\nb"}', '{"access_token": 5}']
)
async def test_a_token_endpoint_that_gives_none(xero: Xero, connector: XeroPayrollConnector, body: str) -> None:
    xero.answers("/connect/token", status(200, body=body))
    with pytest.raises(SourceUnavailable, match="gave no usable token: check token_url"):
        await pages_of(connector)


async def test_a_token_endpoint_that_fails_once_is_asked_again(xero: Xero, connector: XeroPayrollConnector) -> None:
    xero.answers("/connect/token", status(503))
    assert len(await runs_of(connector)) == 12


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "tenant_id", "base_url", "token_url"])
def test_a_wrong_setting_is_named(missing: str) -> None:
    settings = {
        "client_id": "a",
        "client_secret": "b",
        "tenant_id": "c",
        "base_url": "https://example.com/p",
        "token_url": "https://example.com/t",
    }
    with pytest.raises(ConfigurationError, match=rf"^sources\.payroll\.{missing} must be"):
        XeroPayrollConnector(name="payroll", **{**settings, missing: "" if missing != "token_url" else "nowhere"})


def test_secrets_are_in_no_representation() -> None:
    connector = XeroPayrollConnector(name="payroll", client_id="a", client_secret="sesame", tenant_id="c")
    assert "sesame" not in f"{connector!r}{connector._api._auth!r}{connector._api._http!r}"


# ---------------------------------------------------------------- limits and failures


async def test_the_rate_limit_is_waited_out_and_announced(xero: Xero, connector: XeroPayrollConnector) -> None:
    """429 with Retry-After is retried; few remaining calls are logged."""
    xero.answers("/PayRuns", status(429, {"Retry-After": "2", "X-Rate-Limit-Problem": "minute"}))
    xero.server.minute_limit = 5
    with structlog.testing.capture_logs() as logs:
        assert len(await runs_of(connector)) == 12
    assert any(entry["event"] == "source_rate_limit_near" for entry in logs)
    assert xero.asked.count("/PayRuns") == 2


async def test_a_rate_limit_that_lasts_is_a_reason(xero: Xero, connector: XeroPayrollConnector) -> None:
    xero.server.minute_limit = 0
    with pytest.raises(SourceUnavailable, match="allows no more requests for now \\(status 429\\) and asks to wait"):
        await pages_of(connector)
    assert xero.asked.count("/PayRuns") == IMPATIENT.attempts


async def test_a_failure_in_the_midst_keeps_what_was_read_incomplete() -> None:
    async with running(page_size=5) as xero:

        async def fail(request: web.Request) -> None:
            if request.query.get("page") == "2":
                raise web.HTTPServiceUnavailable

        xero.before = fail
        connector = xero.connector()
        read: list[Page] = []
        with pytest.raises(SourceUnavailable, match="status 503"):
            await collect(connector, read)
        assert [(len(page.documents), page.complete) for page in read] == [(5, False)]
        xero.before = None
        assert len(await runs_of(connector)) == 12
        await connector.close()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("[", "JSON that cannot be read"),
        ("[]", "its answer to /PayRuns is not an object"),
        ('{"payRuns": {}}', "has no list payRuns"),
        ('{"payRuns": [], "problem": {"title": "BadRequest"}}', "reports a problem \\(BadRequest\\)"),
    ],
)
async def test_answers_that_are_none(xero: Xero, connector: XeroPayrollConnector, body: str, reason: str) -> None:
    xero.answers("/PayRuns", status(200, body=body))
    with pytest.raises(SourceUnavailable, match=reason):
        await pages_of(connector)
