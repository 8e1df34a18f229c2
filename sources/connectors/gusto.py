"""Gusto's payroll: processed payrolls and their payslips by department, read only. Facts:
https://docs.gusto.com/app-integrations/reference/get-v1-companies-company_id-payrolls (payrolls),
https://docs.gusto.com/embedded-payroll/docs/retrieve-a-general-ledger-report (the report that they are checked against).

What a pull does: Gusto keeps no time of change of a payroll. A processed one stays as it is, but can be cancelled until its
deadline, and is corrected by off-cycle payrolls and reversals, which are payrolls of their own with negative amounts. So every
pull lists all processed ones again, regular, off-cycle and external, from the first that there is; what a whole listing does not
mention is gone. That is what `maxAge: 0` guarantees: all payrolls as they were listed now. The API gives a year at a time, and up to
three months ahead: payrolls whose period is after the first day and before the last one. So the years overlap, for periods across
their borders. A listing is whole when it has as many payrolls as it counts, else it is read once more.

What a run holds: its totals. Payslips are personal and cost requests of their own; they are asked for by themselves, of runs that
post and on demand. Once they are read, Gusto's general-ledger report by department is asked for, and a run whose payslips differ from it
is an issue that names the departments. It takes departments as they were; payslips, as they are now.

Payrolls that were run outside of Gusto have the status External: no built-in rule posts them, for they may be in the books.

Credentials: access tokens of Gusto end after two hours, and a refresh token is good for one use, so it cannot stand in settings. Either `token`
is one that lasts, or the service that holds the refresh token gives access tokens by client credentials (RFC 6749 4.4) at `token_url`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from time import time
from typing import Any

import structlog
from yarl import URL

from sources.connectors.client_credentials import ClientCredentials, checked_token_url
from sources.connectors.gusto_records import (
    DRAFT,
    by_department,
    disagreement,
    is_identifier,
    parse_departments,
    parse_report,
    parse_run,
    parse_slips,
    run_id,
    unreadable,
)
from sources.connectors.http import Auth, Headers, HttpOptions, SourceHttp, SourceRefused, bearer
from sources.connectors.http_options import check_all, checked_base, must
from sources.connectors.kinds import ConnectorKind
from sources.documents import Page, PayrollRun, Payslip, Problem
from sources.errors import SourceUnavailable

logger = structlog.get_logger(__name__)

BASE_URL = "https://api.gusto.com"
API_VERSION = "2026-06-15"
"""The version that is asked for; `api_version` asks for another one. Gusto serves a version for at least a year after the next one:
https://docs.gusto.com/embedded-payroll/docs/api-versioning. Shapes are read of those from 2024-04-01 on."""

_VERSIONED = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_FIRST_DAY = date(2011, 1, 1)
"""Gusto was founded in that year."""
_WINDOW, _OVERLAP, _AHEAD = timedelta(days=365), timedelta(days=100), timedelta(days=85)
"""A year at most and three months ahead at most, which are 89 days on 31 January."""
_PER_PAGE = 100
_MAX_PAGES = 200
_LISTINGS = 3
_KEPT_FREE = 40
"""Of the 200 requests a minute: so many are left to pulls and to people's queries."""
_MINUTE = 60.0
_POLLS = 10


class GustoConnector:
    """One company at Gusto. Constructed without I/O. Raises ConfigurationError for a missing setting.

    Either `token`, or `client_id`, `client_secret` and `token_url`. `pause`: seconds between two looks at a report that is made.
    `clock`: seconds since 1970."""

    lists_everything = True
    """What a complete pull did not mention, the source no longer has."""
    draft_statuses = (DRAFT,)

    def __init__(
        self,
        *,
        name: str,
        company_id: str,
        token: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
        token_url: str | None = None,
        scopes: str = "",
        base_url: str = BASE_URL,
        api_version: str = API_VERSION,
        http: HttpOptions | None = None,
        clock: Callable[[], float] = time,
        pause: float = 2.0,
    ) -> None:
        granted = client_id and client_secret and token_url
        check_all(
            must(is_identifier(company_id), f"sources.{name}.company_id must be the company's UUID at Gusto"),
            must(_VERSIONED.fullmatch(api_version), f"sources.{name}.api_version must be a date such as {API_VERSION}"),
            must(
                token is not None or granted, f"sources.{name} needs token, or client_id, client_secret and token_url"
            ),
            partial(checked_base, name, base_url),
            *([partial(checked_token_url, f"sources.{name}", token_url)] if token_url else []),
            *([partial(bearer, token, f"sources.{name}.token")] if token is not None else []),
        )
        self._name = name
        self._subject = f"Source {name!r}"
        self._company, self._version = f"/v1/companies/{company_id}", api_version
        self._granting: ClientCredentials | None = None
        if token is None:
            self._granting = ClientCredentials(
                name=name,
                token_url=token_url or "",
                client_id=client_id or "",
                client_secret=client_secret or "",
                scope=scopes,
                options=http,
            )
        auth = self._granting or bearer(token or "", f"sources.{name}.token")
        self._http = SourceHttp(name=name, base_url=base_url, auth=_versioned(auth, api_version), options=http)
        self._host, self._options = URL(base_url).host, http
        self._clock, self._pause = clock, pause
        self._slip_problems: dict[str, tuple[Problem, ...]] = {}
        self._left, self._left_at = _KEPT_FREE + 1, -_MINUTE
        self._log = logger.bind(source=name)

    @property
    def is_near_its_limit(self) -> bool:
        """Whether Gusto allows few more requests for now, by its newest answer. On a running loop."""
        return asyncio.get_running_loop().time() - self._left_at < _MINUTE and self._left <= _KEPT_FREE

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Every processed payroll. The cursor holds the first day from which there are any, and the problems that were found in
        payslips when they were read last, by whichever process: a run comes with them. Raises SourceUnavailable."""
        mentioned: set[str] = set()
        begun, known = _decoded(cursor)
        news = dict(self._slip_problems)
        known |= news
        begins = [begun] if begun else []
        since = max(begun - _OVERLAP, _FIRST_DAY) if begun else _FIRST_DAY
        windows = _windows(since, datetime.fromtimestamp(self._clock(), UTC).date() + _AHEAD)
        for number, (first, last) in enumerate(windows, 1):
            records = await self._listing(first, last)
            fresh = [each for each in records if run_id(each) not in mentioned]
            mentioned.update(found for each in fresh if (found := run_id(each)))
            runs, problems, unread = _read(fresh)
            begins.extend(run.period_start for run in runs)
            if unread and begun is None:
                begins.append(_FIRST_DAY)  # one that cannot be read may be the first
            problems.extend(found for run in runs for found in known.get(run.external_id, ()))
            complete = number == len(windows)
            behind = _encoded(begins, {run: found for run, found in known.items() if found and run in mentioned})
            yield Page(
                documents=runs,
                problems=problems,
                unread=unread,
                cursor=behind if complete else cursor,
                complete=complete,
            )
        for told, problems_of in news.items():  # they are in the cursor now, unless payslips were read again meanwhile
            if self._slip_problems.get(told) is problems_of:
                del self._slip_problems[told]

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...]:
        """The payslips of one run. One that cannot be read is left out; that, one that does not add up, and a disagreement with
        Gusto's own report is a Problem of the next pull of this process. Raises SourceUnavailable."""
        if not is_identifier(run_external_id):
            raise SourceUnavailable(f"{self._subject} has no such payroll.")
        detail = await self._detail(run_external_id)
        departments = await self._get(f"{self._company}/departments", {})
        try:
            slips = parse_slips(detail, parse_departments(departments))
        except ValueError as error:
            raise SourceUnavailable(f"{self._subject}: its answer about a payroll {error}; try again later.") from None
        problems = [*slips.problems, *await self._check(run_external_id, slips.payslips)]
        self._slip_problems[run_external_id] = tuple(problems)
        if problems:
            self._log.warning("payslips_with_problems", payroll=run_external_id, problems=len(problems))
        return slips.payslips

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()
        if self._granting is not None:
            await self._granting.close()

    async def _detail(self, run: str) -> dict[str, Any]:
        """A payroll with all of its compensations. Since version 2025-06-15 they come in pages; a version before that gives all at
        once, whatever page is asked for, so that a page without counts which brings nobody new is the last one."""
        wanted = {"include": "taxes,benefits,deductions", "per": str(_PER_PAGE)}
        found: dict[str, Any] = {}
        some: list[Any] = []
        counted = 0
        for number in range(1, _MAX_PAGES + 1):
            answer, headers = await self._answer(f"{self._company}/payrolls/{run}", {**wanted, "page": str(number)})
            if run_id(answer) != run:
                raise SourceUnavailable(f"{self._subject} answered with another payroll than was asked for.")
            page = answer.get("employee_compensations")
            news = [each for each in page if each not in some] if isinstance(page, list) else []
            some += news
            found = {**answer, "employee_compensations": some if isinstance(page, list) else page}
            pages, total = (_count(headers.get(name)) for name in ("X-Total-Pages", "X-Total-Count"))
            counted = max(counted, total or 0)
            if number >= pages if pages is not None else len(news) < _PER_PAGE:
                if len(some) < counted:
                    raise SourceUnavailable(f"{self._subject} changed a payroll while it was read; try again later.")
                return found
        raise SourceUnavailable(f"{self._subject} has more than {_MAX_PAGES} pages of one payroll, which are not read.")

    async def _check(self, run: str, slips: Sequence[Payslip]) -> Sequence[Problem]:
        """What Gusto's report by department says otherwise, or why it could not be asked for."""
        try:
            report = parse_report(await self._report(run))
        except (SourceUnavailable, ValueError) as error:
            message = f"Its payslips could not be checked against Gusto's general-ledger report: {error}"
            return [Problem(subject=f"payroll {run}", code="PAYROLL_NOT_CHECKED", message=message)]
        found = disagreement(run, by_department(slips), report)
        return [found] if found else []

    async def _report(self, run: str) -> Any:
        """Has the report made, waits for it, and reads it where Gusto put it."""
        # A lost answer costs a second report, so it is safe to ask for it again.
        made, _ = await self._http.post_json(
            f"/v1/payrolls/{run}/reports/general_ledger", {"aggregation": "department"}, idempotent=True
        )
        request = made.get("request_uuid") if isinstance(made, dict) else None
        if not is_identifier(request):
            raise ValueError("the request for it has no request_uuid")
        for _ in range(_POLLS):
            state = await self._get(f"/v1/reports/{request}", {})
            status = str(state.get("status")).lower() if isinstance(state, dict) else ""
            urls = state.get("report_urls") if status == "succeeded" else None
            if isinstance(urls, list) and urls and isinstance(urls[0], str):
                return await self._download(urls[0])
            if status != "pending":
                raise ValueError("it could not be made")
            await asyncio.sleep(self._pause)
        raise ValueError("it was not made in time")

    async def _download(self, address: str) -> Any:
        """Reports lie at another host than the API, at an address that is the permission to read them: no token goes there."""
        try:
            url = URL(address)
        except ValueError:
            url = URL("")
        if url.scheme != "https" and (not url.host or url.host != self._host):
            raise ValueError("it is at an address without https")
        place = SourceHttp(name=self._name, base_url=str(url.origin()), options=self._options)
        try:
            answer, _ = await place.get_json(url.path, params=list(url.query.items()))
        finally:
            await place.close()
        return answer

    async def _listing(self, first: date, last: date) -> list[Any]:
        """All processed payrolls between two days, read until they are as many as the listing counts."""
        records: list[Any] = []
        for _ in range(_LISTINGS):
            records, counted = [], 0
            async for page, of_all in self._pages(first, last):
                records.extend(page)
                counted = max(counted, of_all)
            named = [found for each in records if (found := run_id(each))]
            if len(set(named)) == len(named) and len(records) >= counted:
                return records
        raise SourceUnavailable(
            f"{self._subject} kept changing its list of payrolls while it was read; try again later."
        )

    async def _pages(self, first: date, last: date) -> AsyncIterator[tuple[list[Any], int]]:
        """Page after page, each with how many payrolls Gusto counts in all. An answer that does not count them is none of its own:
        an empty list from something in between must not delete what is held."""
        wanted = {
            "processing_statuses": "processed",
            "payroll_types": "regular,off_cycle,external",
            "include": "totals,payroll_status_meta",
            "start_date": first.isoformat(),
            "end_date": last.isoformat(),
            "per": str(_PER_PAGE),
        }
        for number in range(1, _MAX_PAGES + 1):
            answer, headers = await self._answer(f"{self._company}/payrolls", {**wanted, "page": str(number)})
            pages, total = (_count(headers.get(name)) for name in ("X-Total-Pages", "X-Total-Count"))
            if not isinstance(answer, list) or pages is None or total is None:
                raise SourceUnavailable(
                    f"{self._subject}: its list of payrolls is not a list, or does not say how many there are; try again later."
                )
            yield answer, total
            if number >= pages:
                return
        raise SourceUnavailable(f"{self._subject} has more than {_MAX_PAGES} pages of payrolls, which are not read.")

    async def _get(self, path: str, params: Mapping[str, str]) -> Any:
        answer, _ = await self._answer(path, params)
        return answer

    async def _answer(self, path: str, params: Mapping[str, str]) -> tuple[Any, Headers]:
        try:
            answer, headers = await self._http.get_json(path, params=params)
        except SourceRefused as refused:
            reasons = {
                403: "does not let this token read payrolls (status 403): check company_id and the token's scopes.",
                404: "has no such company or payroll (status 404): check company_id.",
                406: f"does not serve version {self._version} of its API any more (status 406): set api_version to a newer one.",
            }
            if refused.status not in reasons:
                raise
            raise SourceRefused(f"{self._subject} {reasons[refused.status]}", refused.status, refused.code) from None
        left = _count(headers.get("X-RateLimit-Remaining"))
        if left is not None:
            self._left, self._left_at = left, asyncio.get_running_loop().time()
        return answer, headers


def _encoded(begins: Sequence[date], problems: Mapping[str, Sequence[Problem]]) -> str:
    told = {run: [[each.subject, each.code, each.message] for each in found] for run, found in sorted(problems.items())}
    return json.dumps([min(begins).isoformat() if begins else None, told], separators=(",", ":"))


def _decoded(cursor: str | None) -> tuple[date | None, dict[str, tuple[Problem, ...]]]:
    """The first day that has a payroll, and problems by run; None and nothing where the cursor is none of these."""
    try:
        begun, told = json.loads(cursor or "")
        problems = {
            run: tuple(Problem(subject=subject, code=code, message=message) for subject, code, message in found)
            for run, found in told.items()
        }
        return date.fromisoformat(begun) if begun else None, problems
    except (ValueError, TypeError, AttributeError):
        return None, {}


def _read(records: Sequence[Any]) -> tuple[list[PayrollRun], list[Problem], list[tuple[str, str]]]:
    """Runs, problems, and what is listed and cannot be read (see Page)."""
    runs: list[PayrollRun] = []
    problems: list[Problem] = []
    unread: list[tuple[str, str]] = []
    for record in records:
        try:
            runs.append(parse_run(record))
        except ValueError as error:
            problems.append(unreadable("payroll", run_id(record), error))
            unread.append(("payroll_run", run_id(record) or ""))
    return runs, problems, unread


def _windows(since: date, until: date) -> list[tuple[date, date]]:
    """At most a year each, the last one to `until`."""
    found = [(since, min(since + _WINDOW, until))]
    while found[-1][1] < until:
        first = found[-1][1] - _OVERLAP
        found.append((first, min(first + _WINDOW, until)))
    return found


def _count(value: str | None) -> int | None:
    return int(value) if value is not None and value.isascii() and value.isdecimal() and len(value) < 10 else None


def _versioned(auth: Auth, version: str) -> Auth:
    """Credentials and the version of the API, which every request states."""

    async def give(refused: Headers | None) -> Headers:
        own = {"X-Gusto-API-Version": version}
        before = refused and {name: value for name, value in refused.items() if name not in own}
        return {**await auth(before), **own}

    return give


KIND = ConnectorKind(
    name="gusto",
    connector=GustoConnector,
    gives=("payroll_run",),
    required=("company_id",),
    one_of=(("token", "client_secret"),),
    optional=("client_id", "token_url", "scopes", "base_url", "api_version"),
    secrets=("token", "client_secret"),
    origin=("company_id",),
    example={"company_id": "6bf7807c-a5a0-4f4d-b2e7-3fbb4b2299fb", "token": "env:GUSTO_TOKEN"},
)
