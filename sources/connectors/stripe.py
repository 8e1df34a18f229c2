"""Stripe's invoices, credit notes and movements of money (charges, refunds, disputes, payouts, fees), over its REST API:
https://docs.stripe.com/api.

First pull: every invoice, then every credit note, then the payments, newest first in pages of 100; it goes on where it stopped.
Later pulls: Stripe cannot list what was updated, so the events since the last pull (https://docs.stripe.com/api/events/list)
tell which objects changed, and each of them is read anew; new invoices and balance transactions are also listed by their
creation time: every movement of money has one of those, and fees have nothing else. All look back five minutes
more than needed, because Stripe promises no order of events. Stripe keeps events for 30 days; after 25 days without a pull
everything is listed again. A server without events (Stripe-like test servers, a restricted key) is listed whole at every pull.

A key that may not read one of the lists but that of the invoices costs that list: a problem says so, and each pull asks again.

What maxAge 0 guarantees. With events: every invoice created, and every change whose event Stripe had recorded, before the request
(Stripe records an event with its change, or seconds after it). Without events: everything as it was while it was listed.

Deletions: Stripe deletes drafts alone; all else is voided, which is a change of status. A deletion is stated by its event, or,
after a whole listing without a draft that was known before, once Stripe says that it has no such invoice. Payments are never
deleted: what came to nothing is failed or canceled.

Another account: the cursor holds the account's id, where the server tells it, and whether the key is one of test mode. With a
key of another account or mode everything is read from the beginning, and what was held before counts no more. A new key of
the same account, or another address, changes nothing.

What could not be read is asked for again by its id, as `StripeConnector.read_again` is called; so is an event that does not say
which object changed.

Names: an invoice holds its customer's name as it was when it was issued. Drafts follow the customer, so after any customer changed
all drafts are read again. Only where a server leaves names out of its invoices are customers read one by one.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import structlog

from sources.connectors.http import HttpOptions, SourceHttp, SourceRefused, bearer
from sources.connectors.http_options import check_all, checked_base
from sources.connectors.kinds import ConnectorKind
from sources.connectors.stripe_again import read_again
from sources.connectors.stripe_api import ListPage, Params, StripeApi, both
from sources.connectors.stripe_changes import Changes, changes_since, created_since
from sources.connectors.stripe_cursor import StripeCursor
from sources.connectors.stripe_listing import FORBIDDEN, REFUSED, UNKNOWN, deletions_of, forbidden, listing_pages
from sources.connectors.stripe_reader import MOVEMENTS, StripeReader, ungiven
from sources.connectors.stripe_records import text
from sources.connectors.stripe_webhooks import verify_webhook
from sources.documents import Page, Payslip, Problem
from sources.errors import SourceUnavailable

logger = structlog.get_logger(__name__)

RELIST_AFTER_SECONDS = 25 * 86_400
"""Stripe keeps events for 30 days."""

_KEY_MODE = re.compile(r"[rs]k_(live|test)_", re.ASCII)


class StripeConnector:
    """One Stripe account. `api_key` is a secret or restricted key that may read invoices, credit notes, customers, charges and
    refunds, disputes, payouts, balance transactions and events. Constructed without I/O."""

    kind = "stripe"
    restated_problems = (FORBIDDEN,)
    """Codes of problems that every pull names again while they last."""

    def __init__(
        self, *, name: str, api_key: str, base_url: str = "https://api.stripe.com", http: HttpOptions | None = None
    ) -> None:
        setting = f"sources.{name}.api_key"
        check_all(partial(bearer, api_key, setting), partial(checked_base, name, base_url))
        self._subject = f"Source {name!r}"
        self._mode = found[1] if (found := _KEY_MODE.match(api_key)) else None
        self._account: str | None = None
        self._identified = False
        self._gives_events = False
        self._http = SourceHttp(name=name, base_url=base_url, auth=bearer(api_key, setting), options=http)
        self._log = logger.bind(source=name)

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Documents that changed since the cursor; see the module for what is guaranteed. A page's cursor
        resumes behind it, also in the midst of a first pull. Raises SourceUnavailable."""
        api = StripeApi(self._http, self._subject)
        if not self._identified:
            self._account = await api.account()
            self._identified = True
        state, afresh = StripeCursor.decode(cursor).read_by(self._account, self._mode)
        async with aclosing(self._pages(api, StripeReader(api), state)) as pages:
            async for page in pages:
                yield replace(page, afresh=afresh)
                afresh = False

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        """As `sources.documents.ReadsAgain` says. Raises SourceUnavailable."""
        api = StripeApi(self._http, self._subject)
        return await read_again(api, StripeReader(api), StripeCursor.decode(cursor), problems)

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: Stripe has no payroll."""
        return None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def _pages(self, api: StripeApi, reader: StripeReader, state: StripeCursor) -> AsyncGenerator[Page, None]:
        resumed = state.listing is not None
        # Events of that long ago may be gone, also for a listing that was interrupted then.
        outdated = state.since is not None and time.time() - state.since > RELIST_AFTER_SECONDS
        whole = outdated or (not resumed and state.since is None)
        if whole:
            state = state.relisting()
        elif not resumed:
            state = state.listing_owed()
        async for behind, page in listing_pages(api, reader, state, self._subject):
            state = behind
            yield page
        if self._gives_events:
            changes, created = await both(changes_since(api, state), self._created(api, state))
        elif isinstance(changes := await changes_since(api, state), Changes):
            created = await self._created(api, state)
        self._gives_events = isinstance(changes, Changes)
        if isinstance(changes, Changes):
            async for page in _change_pages(api, reader, state, changes, created):
                yield page
            return
        self._log.info("stripe_without_events", status=changes)
        if not whole:
            async for behind, page in listing_pages(api, reader, state.relisting(), self._subject):
                state = behind
                yield page
        yield Page(documents=(), cursor=state.encode(), complete=True)

    async def _created(self, api: StripeApi, state: StripeCursor) -> tuple[ListPage, ListPage | int]:
        """The first pages of the invoices and the balance transactions that were created; a status: these cannot be read."""
        invoices = api.list_page("invoices", created_since(state))
        if MOVEMENTS in state.owed:
            return await invoices, UNKNOWN
        return await both(invoices, _movements(api, created_since(state)))


async def _movements(api: StripeApi, since: Params) -> ListPage | int:
    try:
        return await api.list_page(MOVEMENTS, since)
    except SourceRefused as refused:
        if refused.status not in (REFUSED, UNKNOWN):
            raise
        return refused.status


async def _change_pages(
    api: StripeApi,
    reader: StripeReader,
    state: StripeCursor,
    changes: Changes,
    created: tuple[ListPage, ListPage | int],
) -> AsyncIterator[Page]:
    """Pages of what changed; `created`: the first pages of what was created. Only the last one moves `since`: the pages
    before it come newest first."""
    read: set[str] = set()
    invoices, movements = created
    if changes.problems:
        yield Page(documents=(), problems=changes.problems, cursor=state.encode())
    async for found in _invoice_pages(api, created_since(state), invoices, drafts=changes.customers):
        batch = await reader.read("invoices", found.records)
        state = state.with_draft_states(batch.drafts(), batch.others())
        if batch.documents or batch.problems:
            yield Page(documents=batch.documents, problems=batch.problems, cursor=state.encode())
        if found is not invoices:  # what it holds may be older than the last event
            read |= {text(record, "id") or "" for record in found.records if isinstance(record, dict)}
    if movements == REFUSED:
        state, page = _owing(state, MOVEMENTS)
        yield page
    while isinstance(movements, ListPage):
        news = [record for record in movements.records if changes.note_movement(record, state.seen)]
        batch = await reader.read(MOVEMENTS, news)
        if batch.documents or batch.problems:
            yield Page(documents=batch.documents, problems=batch.problems, cursor=state.encode())
        after = movements.after
        movements = UNKNOWN if after is None else await api.list_page(MOVEMENTS, created_since(state), after)
    gone = set(changes.deleted)
    for collection, ids in changes.chunks(read, state.owed):
        try:
            found_each = await api.retrieve_each(collection, ids)
        except SourceRefused as refused:
            if refused.status != REFUSED or collection == "invoices":
                raise
            state, page = _owing(state, collection)
            yield page
            continue
        batch = await reader.read(collection, [each for each in found_each.values() if isinstance(each, Mapping)])
        batch.problems += [
            ungiven(collection, object_id)
            for object_id, failure in found_each.items()
            if isinstance(failure, SourceUnavailable)
        ]
        missing = [object_id for object_id, record in found_each.items() if record is None]
        gone.update(missing if collection == "invoices" else ())
        state = state.with_draft_states(batch.drafts(), batch.others())
        yield Page(documents=batch.documents, problems=batch.problems, cursor=state.encode())
    state = replace(state.with_draft_states((), gone), since=changes.at, seen=frozenset(changes.seen))
    yield Page(documents=(), deletions=deletions_of(sorted(gone)), cursor=state.encode(), complete=True)


def _owing(state: StripeCursor, collection: str) -> tuple[StripeCursor, Page]:
    """The key may not read a collection any more: the next pull asks for all of it again."""
    state = replace(state, owed=state.owed | {collection})
    return state, Page(documents=(), problems=[forbidden(collection)], cursor=state.encode())


async def _invoice_pages(api: StripeApi, since: Params, first: ListPage, *, drafts: bool) -> AsyncIterator[ListPage]:
    """The pages of what was created, the first of which is there, and then those of all drafts if these are wanted."""
    page: ListPage | None = first
    for params in (since, [("status", "draft")]) if drafts else (since,):
        page = page or await api.list_page("invoices", params)
        yield page
        while page.after is not None:
            page = await api.list_page("invoices", params, page.after)
            yield page
        page = None


KIND = ConnectorKind(
    name="stripe",
    connector=StripeConnector,
    gives=("invoice", "payment"),
    required=("api_key",),
    optional=("base_url",),
    secrets=("api_key",),
    verify=verify_webhook,
    example={"api_key": "env:STRIPE_KEY"},
)
"""Whose documents it gives is in no option: the connector tells (`Page.afresh`)."""
