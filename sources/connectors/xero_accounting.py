"""Xero's accounting API 2.0, read only: invoices, bills, credit notes, payments, overpayments and prepayments, with their contacts, tax
rates and accounts. https://developer.xero.com/documentation/api/accounting/overview

What a pull does: each of the five listings is asked for what changed since the last pull (If-Modified-Since), less five minutes,
because a change may show later than the time it bears. Pages are in order of ids, which never change, and a record that changed
never leaves a listing: what moves while pages are read moves backwards, so it may come twice, but none slips through. What is new
or changes on a page that was read already is of the next pull, which asks from the moment, by Xero's clock, at which this listing
began. A listing that counts more records than came is read again. A pull that broke off goes on behind its last page, and then
asks for what changed meanwhile.

What maxAge 0 guarantees: every change that Xero's listings showed when they were asked, also one up to five minutes late.

Deletions: Xero keeps what is voided or deleted, and lists it as changed. Void documents are void here, deleted ones are deleted.

Payments: see `sources.connectors.xero_accounting_payments`. Tax ids of contacts, and their names, are those of when the document was
read last. Tracking categories and the exchange rates by which Xero itself books are in `raw` alone.

A record that could not be read is asked for again by its id: mended at Xero, or readable by a newer version of this connector, it
need not show as changed.

Calls: a pull that finds nothing takes five, so every five minutes takes 1,440 of the 5,000 that Xero allows a day.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Final

from sources.connectors.each import each
from sources.connectors.http import HttpOptions
from sources.connectors.kinds import ConnectorKind
from sources.connectors.xero_accounting_cursor import Progress, XeroCursor
from sources.connectors.xero_accounting_listing import Answer, Listing, XeroLookups, read_one, read_page
from sources.connectors.xero_accounting_payments import contact_of, is_known, parse_advance, parse_payment
from sources.connectors.xero_accounting_records import DELETED, parse_invoice
from sources.connectors.xero_accounting_values import Record, UnreadableRecord, identity, text
from sources.connectors.xero_api import XeroApi
from sources.connectors.xero_webhooks import verify_webhook
from sources.documents import Deletion, Document, Page, Payslip, Problem
from sources.errors import SourceUnavailable

BASE_URL: Final = "https://api.xero.com/api.xro/2.0"

SCOPES: Final = "accounting.transactions.read accounting.contacts.read accounting.settings.read"
"""What reading needs; an app that was granted others sets `scopes`."""

INVOICES: Final = Listing("Invoices", "InvoiceID", "invoice", {"includeArchived": "true"})
CREDIT_NOTES: Final = Listing("CreditNotes", "CreditNoteID", "credit note")
PAYMENTS: Final = Listing("Payments", "PaymentID", "payment")
OVERPAYMENTS: Final = Listing("Overpayments", "OverpaymentID", "overpayment")
PREPAYMENTS: Final = Listing("Prepayments", "PrepaymentID", "prepayment")
LISTINGS: Final = (INVOICES, CREDIT_NOTES, PAYMENTS, OVERPAYMENTS, PREPAYMENTS)

_MAX_PAGES: Final = 100_000
_READINGS: Final = 3


class XeroAccountingConnector:
    """One Xero organisation's receivables and payables. Constructed without I/O. Raises ConfigurationError for a missing setting.

    `token_url`: absent, Xero's own for Xero's API, else /connect/token on the host of `base_url`. `options`: HTTP bounds."""

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

    @property
    def is_near_its_limit(self) -> bool:
        """Whether Xero allows few more calls for now, by its newest answer: what can wait is not asked for. On a running loop."""
        return self._api.is_near_its_limit

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Documents that changed since the cursor; see the module for what is guaranteed. A page's cursor resumes behind it, also
        in the midst of a first pull. Raises SourceUnavailable."""
        state = XeroCursor.decode(cursor)
        lookups = XeroLookups(self._api)
        for listing in self._due(state):
            async for progress, answer in self._answers(listing, state.of(listing.name)):
                state = state.with_(listing.name, progress)
                if answer.records:
                    yield await _page(listing, answer.records, lookups, state)
        yield Page(documents=(), cursor=state.encode(), complete=True)

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        """As `sources.documents.ReadsAgain` says. Raises SourceUnavailable."""
        lookups, state = XeroLookups(self._api), XeroCursor.decode(cursor)
        page = Page(documents=(), cursor=state.encode())
        answers = await each(read_one(self._api, *_wanted(problem)) for problem in problems)
        for problem, answer in zip(problems, answers, strict=True):
            if isinstance(answer, SourceUnavailable):
                page = replace(page, problems=[*page.problems, problem])
                continue
            more = await _page(_wanted(problem)[0], answer, lookups, state)
            page = replace(
                page,
                documents=[*page.documents, *more.documents],
                deletions=[*page.deletions, *more.deletions],
                problems=[*page.problems, *more.problems],
            )
        return page

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: payroll is another source."""
        return None

    async def close(self) -> None:
        """Closes the connections."""
        await self._api.close()

    @staticmethod
    def _due(state: XeroCursor) -> list[Listing]:
        """Listings in their order. One that broke off is ended first, and then asked for what changed since it began."""
        begun = [listing for listing in LISTINGS if state.of(listing.name).page > 1]
        return [*begun, *LISTINGS]

    async def _answers(self, listing: Listing, progress: Progress) -> AsyncIterator[tuple[Progress, Answer]]:
        """Page after page, each with the progress behind it; read again while records are missing."""
        for _ in range(_READINGS):
            counted: int | None = 0 if progress.page > 1 else None  # what was read before it broke off is not counted
            seen: set[str | int] = set()
            is_last = False
            while not is_last:
                answer = await read_page(self._api, listing, progress.page, progress.since)
                progress = progress.started(answer.at)
                counted = (answer.items or 0) if counted is None else counted
                before = len(seen)
                seen.update(_names(listing, answer.records, before))
                is_last = _is_last(answer, progress.page, len(seen) - before)
                if is_last and len(seen) >= counted:
                    yield progress.done(), answer
                    return
                progress = progress.over() if is_last else _behind(self._api, listing, progress)
                yield progress, answer
        raise SourceUnavailable(
            f"{self._api.subject} counts more {listing.noun}s than it lists, however often it is asked; try again later."
        )


def _behind(api: XeroApi, listing: Listing, progress: Progress) -> Progress:
    if progress.page >= _MAX_PAGES:
        raise SourceUnavailable(
            f"{api.subject} has more than {_MAX_PAGES} pages of /{listing.name}, which are not read."
        )
    return Progress(since=progress.since, page=progress.page + 1, began=progress.began)


def _names(listing: Listing, records: Sequence[Any], before: int) -> list[str | int]:
    """Ids of the records; one without an id counts as itself."""
    ids = [record.get(listing.id_name) if isinstance(record, dict) else None for record in records]
    return [found if isinstance(found, str) else before + number for number, found in enumerate(ids)]


def _is_last(answer: Answer, number: int, news: int) -> bool:
    """A listing that does not count its pages goes on until a page brings nothing new; behind an empty one is nothing."""
    return not answer.records or (news == 0 if answer.pages is None else number >= answer.pages)


async def _page(listing: Listing, records: Sequence[Any], lookups: XeroLookups, state: XeroCursor) -> Page:
    documents: list[Document] = []
    deletions: list[Deletion] = []
    problems: list[Problem] = []
    await lookups.tax_ids(contact_of(record) for record in records if isinstance(record, dict))
    for record in records:
        try:
            if not isinstance(record, dict):
                raise UnreadableRecord("it is no record")
            if text(record, "Status") == DELETED:
                deletions.append(Deletion(kind=_kind(listing), external_id=identity(record, listing.id_name)))
                continue
            documents.append(await _document(listing, record, lookups, problems))
        except UnreadableRecord as error:
            problems.append(_problem(listing, record, f"It could not be read: {error}. The others were.", error.code))
    return Page(documents=documents, deletions=deletions, problems=problems, cursor=state.encode())


def _kind(listing: Listing) -> str:
    return "invoice" if listing in (INVOICES, CREDIT_NOTES) else "payment"


async def _document(listing: Listing, record: Record, lookups: XeroLookups, problems: list[Problem]) -> Document:
    """Raises UnreadableRecord."""
    tax_ids = await lookups.tax_ids(())
    if _kind(listing) == "invoice":
        return parse_invoice(record, await lookups.rates(), tax_ids)
    if listing is PAYMENTS:
        payment = parse_payment(record, await lookups.accounts(), await lookups.home(), tax_ids)
    else:
        payment = parse_advance(record, listing.id_name, tax_ids)
    if not is_known(payment):
        message = f"Its Status {payment.source_status[:30]!r} is not known: nothing is posted of it."
        problems.append(_problem(listing, record, message, "UNREADABLE_RECORD"))
    return payment


def _problem(listing: Listing, record: Any, message: str, code: str) -> Problem:
    try:
        subject = f"{listing.noun} {identity(record, listing.id_name)}"
        again = f"{listing.name}/{identity(record, listing.id_name)}"
    except (UnreadableRecord, AttributeError):
        subject, again = f"{listing.noun} without an id", None
    return Problem(subject=subject, code=code, message=message, again=again)


def _wanted(problem: Problem) -> tuple[Listing, str]:
    """The listing and the id of a record that could not be read."""
    name, _, identifier = (problem.again or "").partition("/")
    return next(listing for listing in LISTINGS if listing.name == name), identifier


KIND = ConnectorKind(
    name="xero-accounting",
    connector=XeroAccountingConnector,
    gives=("invoice", "payment"),
    required=("client_id", "client_secret", "tenant_id"),
    optional=("base_url", "token_url", "scopes"),
    secrets=("client_secret",),
    origin=("tenant_id",),
    tenant="tenant_id",
    verify=verify_webhook,
    example={
        "client_id": "my-app",
        "client_secret": "env:XERO_SECRET",
        "tenant_id": "70784a63-d24b-46a9-a4db-0e70a274b056",
    },
)
