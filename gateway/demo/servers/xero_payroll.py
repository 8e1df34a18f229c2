"""A small local server that speaks Xero's UK payroll API 2.0, for the demo: an invented company's last twelve pay runs.

Everything follows from the seed and the day: the same employees, pay runs and amounts every time. The current month's run
is a draft until its payment date. What is spoken: the token endpoint (OAuth 2.0 client credentials), /PayRuns,
/PayRuns/{PayRunID}, /Payslips, /Payslips/{PayslipID}, /PayRunCalendars and /Employees with their envelopes, paging, scopes,
tenant header and rate limit, as Xero's OpenAPI document `xero-payroll-uk` has them. Read only.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from gateway.demo.servers.xero_company import Company, Record, make_company

PREFIX = "/payroll.xro/2.0"
"""Path of the API on its host; the token endpoint is /connect/token."""

_KNOWN_SCOPES = frozenset(
    f"payroll.{area}{right}" for area in ("employees", "payruns", "payslip", "settings") for right in ("", ".read")
)


@dataclass(kw_only=True)
class XeroServer:
    """The server's state, at `app[XERO]`. Tests change it while it runs. `tokens`: Authorization header -> (scopes, expires at)."""

    company: Company
    client_id: str
    client_secret: str
    tenant_id: str
    page_size: int
    token_seconds: float
    minute_limit: int
    tokens: dict[str, tuple[frozenset[str], float]] = field(default_factory=dict)
    tokens_given: int = 0
    window: tuple[int, int] = (0, 0)


XERO: web.AppKey[XeroServer] = web.AppKey("xero", XeroServer)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def xero_payroll_app(
    seed: int,
    today: date,
    client_id: str,
    client_secret: str,
    tenant_id: str,
    *,
    page_size: int = 100,
    token_seconds: float = 1800,
    minute_limit: int = 6_000,
) -> web.Application:
    """The application: give a connector `base_url` http://HOST:PORT/payroll.xro/2.0. `minute_limit`: calls a minute, 60 at
    Xero and more here, so that a demo does not run into it."""
    app = web.Application(middlewares=[_authorised])
    app[XERO] = XeroServer(
        company=make_company(seed, today),
        client_id=client_id,
        client_secret=client_secret,
        tenant_id=tenant_id,
        page_size=page_size,
        token_seconds=token_seconds,
        minute_limit=minute_limit,
    )
    app.router.add_post("/connect/token", _token)
    for path, handler in (
        ("/PayRuns", _pay_runs),
        ("/PayRuns/{id}", _pay_run),
        ("/Payslips", _payslips),
        ("/Payslips/{id}", _payslip),
        ("/PayRunCalendars", _calendars),
        ("/Employees", _employees),
    ):
        app.router.add_get(PREFIX + path, handler)
    return app


async def _token(request: web.Request) -> web.Response:
    """RFC 6749 4.4; refusals as Xero's identity service words them: 400 with `error`."""
    server, form = request.app[XERO], await request.post()
    given = _basic_credentials(request.headers.get("Authorization", ""))
    if (given or (form.get("client_id"), form.get("client_secret"))) != (server.client_id, server.client_secret):
        return web.json_response({"error": "invalid_client"}, status=400)
    if form.get("grant_type") != "client_credentials":
        return web.json_response({"error": "unsupported_grant_type"}, status=400)
    scopes = frozenset(str(form.get("scope", "")).split())
    if not scopes <= _KNOWN_SCOPES:
        return web.json_response({"error": "invalid_scope"}, status=400)
    server.tokens_given += 1
    token = f"demo-token-{server.tokens_given}"
    server.tokens[f"Bearer {token}"] = (scopes, time.monotonic() + server.token_seconds)
    return web.json_response(
        {
            "access_token": token,
            "expires_in": int(server.token_seconds),
            "token_type": "Bearer",
            "scope": " ".join(sorted(scopes)),
        }
    )


def _basic_credentials(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:
        return None
    return unquote_plus(user), unquote_plus(secret)


@web.middleware
async def _authorised(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Token, tenant, scope and rate limit, in Xero's order; each answer says how many calls are left."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    server = request.app[XERO]
    scopes, expires = server.tokens.get(request.headers.get("Authorization", ""), (None, 0.0))
    if scopes is None:
        return _refusal(401, "Unauthorized", "AuthenticationUnsuccessful")
    if time.monotonic() >= expires:
        return _refusal(401, "Unauthorized", "TokenExpired: token expired")
    if request.headers.get("xero-tenant-id") != server.tenant_id:
        return _refusal(403, "Forbidden", "AuthenticationUnsuccessful")
    if not scopes & _scopes_for(request.path):
        return _refusal(401, "Unauthorized", "AuthorizationUnsuccessful")
    left = _calls_left(server)
    if left < 0:
        seconds = 60 - int(time.time()) % 60
        return web.Response(status=429, headers={"Retry-After": str(seconds), "X-Rate-Limit-Problem": "minute"})
    response = await handler(request)
    response.headers.update({"X-MinLimit-Remaining": str(left), "X-DayLimit-Remaining": "4900"})
    return response


def _scopes_for(path: str) -> frozenset[str]:
    names = {"PayRuns": "payruns", "Payslips": "payslip", "PayRunCalendars": "settings", "Employees": "employees"}
    area = names.get(path.removeprefix(PREFIX).split("/")[1], "")
    return frozenset({f"payroll.{area}", f"payroll.{area}.read"})


def _calls_left(server: XeroServer) -> int:
    """Counted in fixed windows of a minute; below zero: refuse."""
    minute = int(time.time()) // 60
    calls = server.window[1] + 1 if server.window[0] == minute else 1
    server.window = (minute, calls)
    return server.minute_limit - calls


async def _pay_runs(request: web.Request) -> web.Response:
    status = request.query.get("status")
    runs = [run for run in request.app[XERO].company.runs.values() if status in (None, run["payRunStatus"])]
    return _page(request, "payRuns", [*reversed(runs)])


async def _pay_run(request: web.Request) -> web.Response:
    company = request.app[XERO].company
    run = company.runs.get(request.match_info["id"])
    if run is None:
        return _refusal(404, "NotFound", "The pay run was not found.")
    slips = [
        {name: value for name, value in slip.items() if name != "payRunID"} for slip in company.slips[run["payRunID"]]
    ]
    return _answer({"payRun": {**run, "paySlips": slips}})


async def _payslips(request: web.Request) -> web.Response:
    run = request.query.get("PayRunID")
    if not run:
        return _refusal(400, "BadRequest", "PayRunID is required.")
    slips = request.app[XERO].company.slips.get(run)
    return (
        _refusal(404, "NotFound", "The pay run was not found.") if slips is None else _page(request, "paySlips", slips)
    )


async def _payslip(request: web.Request) -> web.Response:
    for slips in request.app[XERO].company.slips.values():
        for slip in slips:
            if slip["paySlipID"] == request.match_info["id"]:
                return _answer({"paySlip": slip})
    return _refusal(404, "NotFound", "The payslip was not found.")


async def _calendars(request: web.Request) -> web.Response:
    return _page(request, "payRunCalendars", [request.app[XERO].company.calendar])


async def _employees(request: web.Request) -> web.Response:
    return _page(request, "employees", request.app[XERO].company.employees)


def _page(request: web.Request, key: str, records: Sequence[Record]) -> web.Response:
    number, size = request.query.get("page", "1"), request.app[XERO].page_size
    if not (number.isdecimal() and 0 < int(number) < 1_000_000):
        return _refusal(400, "BadRequest", "page must be a positive number.")
    page = int(number)
    pagination = {
        "page": page,
        "pageSize": size,
        "pageCount": -(-len(records) // size),
        "itemCount": len(records),
    }
    return _answer({key: records[(page - 1) * size : page * size]}, pagination)


def _answer(content: Mapping[str, Any], pagination: Mapping[str, int] | None = None) -> web.Response:
    now = datetime.now(UTC).replace(tzinfo=None).isoformat()
    envelope = {"providerName": "ledgergraph demo", "dateTimeUTC": now, "httpStatusCode": "OK", "problem": None}
    return web.json_response({**envelope, "pagination": pagination, **content})


def _refusal(status: int, title: str, detail: str) -> web.Response:
    return web.json_response({"Type": None, "Title": title, "Status": status, "Detail": detail}, status=status)
