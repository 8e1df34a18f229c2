"""Xero's UK payroll API 2.0: pay runs and their payslips, read only. Facts: Xero's OpenAPI document `xero-payroll-uk`.

What a pull does: Xero keeps no time of change of a pay run, a draft changes until it is posted, and a posted run can be
reverted, so every pull lists all pages of /PayRuns again (100 runs a page). A pull that began after a change was saved
therefore shows it, which is what `maxAge: 0` guarantees. Xero pages by position: when a run is created or deleted while
pages are read, another may slip between two pages. So a listing counts as complete when no run came twice and none of
those that it counts is missing, or when a second listing says exactly the same; else the pull fails.

What a run holds: a listing states net pay and total cost alone. Gross pay, taxes, deductions, reimbursements and employer
contributions exist only in payslips, which are personal and cost a request per run. They are asked for by themselves, of runs
that post and on demand, so in the run these stay None. Xero lists a draft as it was while its slips change, so slips of drafts
are asked for again with every newer copy of the runs; those of posted runs are kept. A run's `raw` has neither payslips nor the
message to employees.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from sources.connectors.http import HttpOptions, SourceRefused
from sources.connectors.kinds import ConnectorKind
from sources.connectors.xero_api import XeroApi
from sources.connectors.xero_payroll_records import (
    DRAFT,
    Listing,
    is_identifier,
    parse_listing,
    parse_pay_run,
    parse_payslip,
    unreadable,
)
from sources.connectors.xero_webhooks import verify_webhook
from sources.documents import Page, PayrollRun, Payslip, Problem
from sources.errors import SourceUnavailable

logger = structlog.get_logger(__name__)

BASE_URL = "https://api.xero.com/payroll.xro/2.0"

SCOPES = "payroll.payruns.read payroll.payslip.read"
"""What reading needs; an app that was granted others sets `scopes`."""

_MAX_PAGES = 1_000
_LISTINGS = 3


class XeroPayrollConnector:
    """One Xero organisation's UK payroll. Constructed without I/O. Raises ConfigurationError for a missing setting.

    `token_url`: absent, Xero's own for Xero's API, else /connect/token on the host of `base_url`. `options`: HTTP bounds."""

    lists_everything = True
    """What a complete pull did not mention, the source no longer has."""
    draft_statuses = DRAFT
    """Runs in these states may get other payslips while the runs themselves stay as they are listed."""

    def __init__(
        self,
        *,
        name: str,
        client_id: str,
        client_secret: str,
        tenant_id: str,
        base_url: str = BASE_URL,
        token_url: str | None = None,
        scopes: str = SCOPES,
        options: HttpOptions | None = None,
    ) -> None:
        self._api = XeroApi(
            name=name,
            client_id=client_id,
            client_secret=client_secret,
            tenant_id=tenant_id,
            base_url=base_url,
            token_url=token_url,
            scopes=scopes,
            options=options,
        )
        self._subject = self._api.subject
        self._log = logger.bind(source=name)
        self._slip_problems: dict[str, tuple[Problem, ...]] = {}

    @property
    def is_near_its_limit(self) -> bool:
        """Whether Xero allows few more calls for now, by its newest answer: what can wait is not asked for. On a running loop."""
        return self._api.is_near_its_limit

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Every pay run, whatever the cursor: there is none to keep (see the top of this file). A run comes with the problems
        that were found in its payslips, when they were read last. Raises SourceUnavailable."""
        earlier: _Mentioned | None = None
        for _ in range(_LISTINGS):
            mentioned = _Mentioned()
            async for listing, last in self._listings("/PayRuns", "payRuns", {}):
                runs, problems, unread = _read_runs(listing.records)
                problems.extend(problem for run in runs for problem in self._slip_problems.get(run.external_id, ()))
                mentioned.add(listing)
                complete = last and (mentioned.is_whole() or mentioned == earlier)
                yield Page(documents=runs, problems=problems, unread=unread, cursor=None, complete=complete)
                if complete:
                    self._forget_all_but(mentioned.runs)
                    return
            earlier = mentioned
        raise SourceUnavailable(
            f"{self._subject} kept changing its list of pay runs while it was read; try again later."
        )

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...]:
        """The payslips of one run, all pages, in the order of the source. A slip that cannot be read is left out; that, and
        one that does not add up, is a Problem of the next pull of this process. Raises SourceUnavailable."""
        if not is_identifier(run_external_id):
            raise SourceUnavailable(f"{self._subject} has no such pay run.")
        slips: dict[str, Payslip] = {}
        problems: list[Problem] = []
        left_out = counted = 0
        async for listing, _ in self._listings("/Payslips", "paySlips", {"PayRunID": run_external_id}):
            counted = max(counted, listing.item_count or 0)
            for record in listing.records:
                try:
                    reading = parse_payslip(record, run_external_id)
                except ValueError as error:
                    problems.append(unreadable("payslip", record, "paySlipID", error, of=f"pay run {run_external_id}"))
                    left_out += 1
                    continue
                slips[reading.payslip.external_id] = reading.payslip
                problems.extend(reading.problems)
        if len(slips) + left_out < counted:
            raise SourceUnavailable(
                f"{self._subject} changed a pay run's payslips while they were read; try again later."
            )
        self._slip_problems[run_external_id] = tuple(problems)
        if problems:
            self._log.warning("payslips_with_problems", pay_run=run_external_id, problems=len(problems))
        return tuple(slips.values())

    async def close(self) -> None:
        """Closes the connections."""
        await self._api.close()

    def _forget_all_but(self, runs: Sequence[str]) -> None:
        self._slip_problems = {run: found for run, found in self._slip_problems.items() if run in runs}

    async def _listings(self, path: str, key: str, params: Mapping[str, str]) -> AsyncIterator[tuple[Listing, bool]]:
        """Page after page, each with whether it is the last."""
        for number in range(1, _MAX_PAGES + 1):
            answer = await self._get(path, {**params, "page": str(number)})
            try:
                listing = parse_listing(answer, key)
            except ValueError as error:
                raise SourceUnavailable(f"{self._subject}: its answer to {path} {error}; try again later.") from None
            if listing.page not in (None, number):
                raise SourceUnavailable(f"{self._subject} answered with another page of {path} than was asked for.")
            last = listing.is_last(number)
            yield listing, last
            if last:
                return
        raise SourceUnavailable(f"{self._subject} has more than {_MAX_PAGES} pages of {path}, which are not read.")

    async def _get(self, path: str, params: Mapping[str, str]) -> Any:
        try:
            return await self._api.get(path, params)
        except SourceRefused as error:
            if error.status != 404 or "PayRunID" not in params:
                raise
            message = f"{self._subject} has no such pay run (status 404)."
            raise SourceRefused(message, error.status, error.code) from None


@dataclass(slots=True)
class _Mentioned:
    """What a listing said so far. `runs`: ids in order; `nameless`: records without one; `counted`: runs by its envelopes."""

    runs: list[str] = field(default_factory=list)
    nameless: int = 0
    counted: list[int | None] = field(default_factory=list)

    def add(self, listing: Listing) -> None:
        ids = [record.get("payRunID") if isinstance(record, dict) else None for record in listing.records]
        named = [identifier for identifier in ids if isinstance(identifier, str)]
        self.runs.extend(named)
        self.nameless += len(ids) - len(named)
        self.counted.append(listing.item_count)

    def is_whole(self) -> bool:
        """No run came twice, and none of those that any page counted is missing."""
        counted = max((count for count in self.counted if count is not None), default=0)
        return len(set(self.runs)) == len(self.runs) and len(self.runs) + self.nameless >= counted


def _read_runs(records: Sequence[Any]) -> tuple[list[PayrollRun], list[Problem], list[tuple[str, str]]]:
    """Runs, problems, and what is listed and cannot be read (see Page)."""
    runs: list[PayrollRun] = []
    problems: list[Problem] = []
    unread: list[tuple[str, str]] = []
    for record in records:
        try:
            runs.append(parse_pay_run(record))
        except ValueError as error:
            problems.append(unreadable("pay run", record, "payRunID", error))
            named = record.get("payRunID") if isinstance(record, dict) else None
            unread.append(("payroll_run", str(named) if is_identifier(named) else ""))
    return runs, problems, unread


KIND = ConnectorKind(
    name="xero-payroll",
    connector=XeroPayrollConnector,
    gives=("payroll_run",),
    required=("client_id", "client_secret", "tenant_id"),
    optional=("base_url", "token_url", "scopes"),
    secrets=("client_secret",),
    origin=("tenant_id", "client_id"),
    tenant="tenant_id",
    verify=verify_webhook,
    example={
        "client_id": "my-app",
        "client_secret": "env:XERO_SECRET",
        "tenant_id": "70784a63-d24b-46a9-a4db-0e70a274b056",
    },
)
