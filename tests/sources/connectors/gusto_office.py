"""A stateful server in the shape of Gusto's API: one company whose payrolls a test runs, cancels and reverses."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from aiohttp import web

COMPANY, TOKEN = "6bf7807c-a5a0-4f4d-b2e7-3fbb4b2299fb", "company-token-2Vs9"
Record = dict[str, Any]


def money(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"


def paid(employee: str, gross: int, *, taxes: int = 0, employer: int = 0, **more: Any) -> Record:
    """An employee's compensation in cents: also `benefit`, `contribution`, `deduction`, `reimbursement`, `tips`."""
    cents = {name: more.pop(name, 0) for name in ("benefit", "contribution", "deduction", "reimbursement", "tips")}
    net = gross - taxes - cents["benefit"] - cents["deduction"] - cents["tips"]
    return {
        "employee_uuid": employee, "excluded": False, "first_name": "Ada", "last_name": f"Byron-{employee}",
        "gross_pay": money(gross), "net_pay": money(net), "check_amount": money(net + cents["reimbursement"]),
        "payment_method": "Direct Deposit", "memo": None,
        "fixed_compensations": [{"name": "Cash Tips", "amount": money(cents["tips"])}] if cents["tips"] else [],
        "reimbursements": [{"amount": money(cents["reimbursement"]), "description": None}] if cents["reimbursement"] else [],
        "taxes": [
            {"name": "Federal Income Tax", "employer": False, "amount": money(taxes)},
            {"name": "Social Security", "employer": True, "amount": money(employer)},
        ],
        "benefits": [{"name": "401(k)", "employee_deduction": money(cents["benefit"]), "company_contribution": money(cents["contribution"]), "imputed": False}],
        "deductions": [{"name": "Child Support", "amount": money(cents["deduction"])}] if cents["deduction"] else [],
        **more,
    }  # fmt: skip


def cents_of(text: Any) -> int:
    return round(float(text) * 100)


@dataclass
class Office:
    """`fault`: what is answered next instead, in order. `report`: changes what a report says."""

    payrolls: dict[str, Record] = field(default_factory=dict)
    departments: dict[str, list[str]] = field(default_factory=lambda: {"Engineering": ["e-1", "e-2"], "Sales": ["e-3"]})
    per: int = 100
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    fault: list[Callable[[], web.StreamResponse]] = field(default_factory=list)
    between: list[Callable[[], None]] = field(default_factory=list)
    within: list[Callable[[], None]] = field(default_factory=list)
    report: Callable[[Record], None] = lambda _report: None
    report_status: list[str] = field(default_factory=list)
    report_code: int = 202
    report_url: str | None = None
    left: str = "150"
    hanging: bool = False
    token: str = TOKEN

    def run(self, name: str, *compensations: Record, month: int = 3, year: int = 2026, **more: Any) -> Record:
        """A processed payroll of a month, with the totals of these compensations."""
        record = {
            "payroll_uuid": name, "company_uuid": COMPANY, "processed": True, "external": False, "off_cycle": False,
            "check_date": f"{year}-{month:02}-28", "processed_date": f"{year}-{month:02}-26", "off_cycle_reason": None,
            "pay_period": {"start_date": f"{year}-{month:02}-01", "end_date": f"{year}-{month:02}-28", "pay_schedule_uuid": "s"},
            "payroll_status_meta": {"cancellable": False}, "employee_compensations": list(compensations), **more,
        }  # fmt: skip
        record.setdefault("totals", totals(compensations))
        self.payrolls[name] = record
        return record

    def say(self, body: Any, status: int = 200, **headers: str) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.fault.append(
            lambda: web.Response(body=text, status=status, content_type="application/json", headers=headers)
        )

    @web.middleware
    async def gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        self.headers.append(dict(request.headers))
        if self.hanging:
            await asyncio.sleep(3600)
        if request.path.startswith("/files/") or request.path == "/token":
            answer: web.StreamResponse = await handler(request)
            return answer
        if self.fault:
            return self.fault.pop(0)()
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.json_response({"error": "invalid_token"}, status=401)
        answer = await handler(request)
        answer.headers["X-RateLimit-Remaining"] = self.left
        return answer

    async def list(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        days = [date.fromisoformat(query[name]) for name in ("start_date", "end_date")]
        assert days[1] - days[0] <= timedelta(days=366), "at most a year apart"
        assert int(query["per"]) <= 100
        kinds = query["payroll_types"].split(",")
        found = [
            {name: value for name, value in record.items() if name != "employee_compensations"}
            for record in self.payrolls.values()
            if record["processed"] is not False
            and record["pay_period"]["start_date"] >= query["start_date"]
            and record["pay_period"]["end_date"] <= query["end_date"]
            and ("external" if record["external"] else "off_cycle" if record["off_cycle"] else "regular") in kinds
        ]
        size, number = min(int(query["per"]), self.per), int(query["page"])
        headers = {
            "X-Page": str(number),
            "X-Total-Count": str(len(found)),
            "X-Total-Pages": str(max(-(-len(found) // size), 1)),
        }
        answer = web.json_response(found[(number - 1) * size : number * size], headers=headers)
        if number * size < len(found) and self.between:
            self.between.pop(0)()
        return answer

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Since version 2025-06-15 with its compensations in pages, of 25 unless more are asked for."""
        record = self.payrolls.get(request.match_info["id"])
        if record is None:
            return web.json_response({"error": "not found"}, status=404)
        some = record["employee_compensations"]
        if request.headers["X-Gusto-API-Version"] < "2025-06-15":
            return web.json_response(record)
        size, number = min(int(request.query.get("per", 25)), 100, self.per), int(request.query.get("page", 1))
        headers = {
            "X-Page": str(number),
            "X-Total-Count": str(len(some)),
            "X-Total-Pages": str(max(-(-len(some) // size), 1)),
        }
        page = {**record, "employee_compensations": some[(number - 1) * size : number * size]}
        if self.within:
            self.within.pop(0)()
        return web.json_response(page, headers=headers)

    async def people(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response([
            {"uuid": title, "title": title, "employees": [{"uuid": each} for each in employees]}
            for title, employees in self.departments.items()
        ])  # fmt: skip

    async def make(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert body == {"aggregation": "department"}
        return web.json_response({"request_uuid": f"report-{request.match_info['id']}"}, status=self.report_code)

    async def state(self, request: web.Request) -> web.StreamResponse:
        status = self.report_status.pop(0) if self.report_status else "succeeded"
        there = (
            self.report_url
            or f"{request.url.origin()}/files/{request.match_info['id']}.json?signature=a%2Fb%3D&expires=60"
        )
        return web.json_response({"status": status, "report_urls": [there] if status == "succeeded" else []})

    async def file(self, request: web.Request) -> web.StreamResponse:
        assert request.query["signature"] == "a/b="
        assert "Authorization" not in request.headers
        report = ledger_report(
            self.payrolls[request.match_info["name"].removeprefix("report-").removesuffix(".json")], self.departments
        )
        self.report(report)
        return web.json_response(report)

    async def grant(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        return web.json_response({"access_token": self.token, "expires_in": 7200})


def totals(compensations: Any) -> Record:
    def added(*names: str) -> str:
        return money(sum(cents_of(each[name]) for each in compensations for name in names))

    def inner(part: str, name: str, employer: bool | None = None) -> str:
        return money(
            sum(cents_of(item[name]) for each in compensations for item in each[part] if employer is None or item["employer"] is employer)
        )  # fmt: skip

    return {
        "gross_pay": added("gross_pay"), "net_pay": added("net_pay"), "check_amount": added("check_amount"),
        "employee_taxes": inner("taxes", "amount", False), "employer_taxes": inner("taxes", "amount", True),
        "benefits": inner("benefits", "company_contribution"), "employee_benefits_deductions": inner("benefits", "employee_deduction"),
        "other_deductions": inner("deductions", "amount"), "reimbursements": inner("reimbursements", "amount"),
        "employee_cash_tips": inner("fixed_compensations", "amount"), "company_debit": "0.00",
    }  # fmt: skip


def ledger_report(record: Record, departments: dict[str, list[str]]) -> Record:
    """What Gusto's guide shows, by department: wages, benefits, reimbursements and employer taxes are debits."""
    of = {employee: title for title, employees in departments.items() for employee in employees}
    debits: Counter[tuple[str, str]] = Counter()
    for each in record["employee_compensations"]:
        title = of.get(each["employee_uuid"], "")
        tips = sum(cents_of(item["amount"]) for item in each["fixed_compensations"])
        debits["RegularWages", title] += cents_of(each["gross_pay"]) - tips
        debits["Reimbursement", title] += sum(cents_of(item["amount"]) for item in each["reimbursements"])
        debits["EmployerTax", title] += sum(cents_of(item["amount"]) for item in each["taxes"] if item["employer"])
        debits["Benefit", title] += sum(cents_of(item["company_contribution"]) for item in each["benefits"])
    total = money(sum(debits.values()))
    rows: list[list[Any]] = [[kind, f"{kind} ", title, money(cents), None] for (kind, title), cents in debits.items()]
    rows.append(["DebitNetPay", "Debit net pay", "", None, total])
    basic = {
        "headers": ["Account Type", "Account Description", "Department", "Debit", "Credit"], "rows": rows,
        "totals": [None, "Totals", "", total, total], "data_type": "Basic",
    }  # fmt: skip
    detailed = {"headers": ["Account Type", "Account Description", "Debit", "Credit"], "rows": [["RegularWages", "Regular Wages for Ada Byron", "1", None]], "data_type": "Detailed"}  # fmt: skip
    return {"company_name": "Acme", "check_date": record["check_date"], "data": [detailed, basic]}


def app_of(office: Office) -> web.Application:
    app = web.Application(middlewares=[office.gate])
    company = f"/v1/companies/{COMPANY}"
    app.add_routes([
        web.get(f"{company}/payrolls", office.list), web.get(f"{company}/payrolls/{{id}}", office.one),
        web.get(f"{company}/departments", office.people), web.post("/v1/payrolls/{id}/reports/general_ledger", office.make),
        web.get("/v1/reports/{id}", office.state), web.get("/files/{name}", office.file), web.post("/token", office.grant),
    ])  # fmt: skip
    return app


@asynccontextmanager
async def serving(office: Office) -> AsyncIterator[str]:
    """The server's address."""
    runner = web.AppRunner(app_of(office), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
