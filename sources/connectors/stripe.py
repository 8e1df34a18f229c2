"""Stripe's invoices and credit notes, receivable, over its REST API: https://docs.stripe.com/api.

First pull: every invoice, then every credit note, newest first in pages of 100; it goes on where it stopped. Later pulls:
Stripe cannot list what was updated, so the events since the last pull (https://docs.stripe.com/api/events/list) tell which
objects changed, and each of them is read anew; new invoices are also listed by their creation time. Both look back five minutes
more than needed, because Stripe promises no order of events. Stripe keeps events for 30 days; after 25 days without a pull
everything is listed again. A server without events (Stripe-like test servers, a restricted key) is listed whole at every pull.

What maxAge 0 guarantees. With events: every invoice created, and every change whose event Stripe had recorded, before the request
(Stripe records an event with its change, or seconds after it). Without events: everything as it was while it was listed.

Deletions: Stripe deletes drafts alone; all else is voided, which is a change of status. A deletion is stated by its event, or,
after a whole listing without a draft that was known before, once Stripe says that it has no such invoice.

Another account: the cursor holds the account's id, where the server tells it, and whether the key is one of test mode. With a
key of another account or mode everything is read from the beginning, and what was held before counts no more. A new key of
the same account, or another address, changes nothing.

Names: an invoice holds its customer's name as it was when it was issued. Drafts follow the customer, so after any customer changed
all drafts are read again. Only where a server leaves names out of its invoices are customers read one by one.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import structlog

from sources.connectors.http import HttpOptions, SourceHttp, SourceRefused, bearer
from sources.connectors.stripe_api import Batch, ListPage, Params, StripeApi, both
from sources.connectors.stripe_cursor import COLLECTIONS, Listing, StripeCursor
from sources.connectors.stripe_records import reference, text
from sources.documents import Deletion, Page, Payslip, Problem
from sources.errors import SourceUnavailable

logger = structlog.get_logger(__name__)

OVERLAP_SECONDS = 300
RELIST_AFTER_SECONDS = 25 * 86_400
"""Stripe keeps events for 30 days."""

MAX_RESTARTS = 3
"""How often one pull begins a listing anew because the object that it stood at is gone."""

FORBIDDEN = "FORBIDDEN"
"""Code of the problem that the key lacks a permission."""

_INVOICE_EVENTS = (
    "created updated deleted finalized paid payment_failed payment_succeeded sent voided marked_uncollectible"
)
_EVENT_TYPES = (
    *(f"invoice.{word}" for word in _INVOICE_EVENTS.split()),
    *(f"credit_note.{word}" for word in ("created", "updated", "voided")),
    *(f"customer.{word}" for word in ("updated", "deleted")),
)
_KEY_MODE = re.compile(r"[rs]k_(live|test)_", re.ASCII)
_REFUSES_EVENTS = frozenset({400, 403, 404, 405})


@dataclass(slots=True)
class _Changes:
    """What events tell: ids of changed objects by collection, deleted invoices, whether any customer changed."""

    at: int
    changed: dict[str, set[str]]
    deleted: set[str]
    customers: bool
    seen: set[str]


class StripeConnector:
    """One Stripe account. `api_key` is a secret or restricted key that may read invoices, credit notes, customers and
    events. Constructed without I/O."""

    kind = "stripe"
    restated_problems = (FORBIDDEN,)
    """Codes of problems that every pull names again while they last."""

    def __init__(
        self, *, name: str, api_key: str, base_url: str = "https://api.stripe.com", http: HttpOptions | None = None
    ) -> None:
        self._subject = f"Source {name!r}"
        self._mode = found[1] if (found := _KEY_MODE.match(api_key)) else None
        self._account: str | None = None
        self._identified = False
        self._gives_events = False
        self._http = SourceHttp(
            name=name, base_url=base_url, auth=bearer(api_key, f"sources.{name}.api_key"), options=http
        )
        self._log = logger.bind(source=name)

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Invoices and credit notes that changed since the cursor; see the module for what is guaranteed. A page's cursor
        resumes behind it, also in the midst of a first pull. Raises SourceUnavailable."""
        api = StripeApi(self._http, self._subject)
        if not self._identified:
            self._account = await api.account()
            self._identified = True
        state, afresh = StripeCursor.decode(cursor).read_by(self._account, self._mode)
        async with aclosing(self._pages(api, state)) as pages:
            async for page in pages:
                yield replace(page, afresh=afresh)
                afresh = False

    async def _pages(self, api: StripeApi, state: StripeCursor) -> AsyncGenerator[Page, None]:
        resumed = state.listing is not None
        # Events of that long ago may be gone, also for a listing that was interrupted then.
        outdated = state.since is not None and time.time() - state.since > RELIST_AFTER_SECONDS
        whole = outdated or (not resumed and state.since is None)
        if whole:
            state = state.relisting()
        elif state.owed and not resumed:
            state = replace(state, listing=Listing(collection="credit_notes"), owed=False)
        async for behind, page in self._listing_pages(api, state):
            state = behind
            yield page
        if self._gives_events:
            changes, created = await both(self._changes(api, state), api.list_page("invoices", _created(state)))
        elif changes := await self._changes(api, state):
            created = await api.list_page("invoices", _created(state))
        self._gives_events = changes is not None
        if changes is not None:
            async for page in self._change_pages(api, state, changes, created):
                yield page
            return
        if not whole:
            async for behind, page in self._listing_pages(api, state.relisting()):
                state = behind
                yield page
        yield Page(documents=(), cursor=state.encode(), complete=True)

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: Stripe has no payroll."""
        return None

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.close()

    async def _listing_pages(self, api: StripeApi, state: StripeCursor) -> AsyncIterator[tuple[StripeCursor, Page]]:
        """The pages of a listing under way, each with the state behind it."""
        restarts = 0
        while (listing := state.listing) is not None:
            state, page = await self._list_step(api, state)
            restarts += listing.after is not None and state.listing == replace(listing, after=None)
            if restarts > MAX_RESTARTS:
                message = f"{self._subject} does not go on behind objects that it listed itself: check its base_url."
                raise SourceUnavailable(message)
            yield state, page

    async def _list_step(self, api: StripeApi, state: StripeCursor) -> tuple[StripeCursor, Page]:
        """One page of a whole listing, and the state behind it."""
        listing = state.listing or Listing(collection=COLLECTIONS[0])
        problems: list[Problem] = []
        try:
            found = await api.list_page(listing.collection, [], listing.after)
        except SourceRefused as refused:
            if listing.after is not None and refused.status in (400, 404):
                # The invoice that the page was to start behind is gone: from the beginning.
                restarted = replace(state, listing=replace(listing, after=None))
                return restarted, Page(documents=(), cursor=restarted.encode())
            if listing.collection != "credit_notes" or refused.status not in (403, 404):
                raise
            problems = _unreadable_credit_notes(refused)
            state = replace(state, owed=bool(problems))
            found = ListPage([], None, state.since or int(time.time()))
        batch = await api.read(listing.collection, found.records)
        listing = replace(listing, after=found.after, drafts=listing.drafts | frozenset(batch.drafts()))
        state = replace(state, listing=listing, since=found.at if state.since is None else state.since)
        deletions: Sequence[Deletion] = ()
        if found.after is None:
            state, deletions = await self._finish_collection(api, state, listing, batch)
        problems += batch.problems
        page = Page(documents=batch.documents, deletions=deletions, problems=problems, cursor=state.encode())
        return state, page

    async def _finish_collection(
        self, api: StripeApi, state: StripeCursor, listing: Listing, batch: Batch
    ) -> tuple[StripeCursor, list[Deletion]]:
        """Goes on to the next collection. Drafts that were known and not met again are asked for one by one."""
        position = COLLECTIONS.index(listing.collection) + 1
        following = Listing(collection=COLLECTIONS[position]) if position < len(COLLECTIONS) else None
        if listing.collection != "invoices":
            return replace(state, listing=following), []
        missing = await api.retrieve_all("invoices", sorted(state.drafts - listing.drafts))
        found = await api.read("invoices", [record for record in missing.values() if record is not None])
        batch.documents += found.documents
        batch.problems += found.problems
        state = replace(state, listing=following, drafts=frozenset())
        state = state.with_draft_states([*listing.drafts, *found.drafts()], ())
        return state, [_deletion(object_id) for object_id, record in missing.items() if record is None]

    async def _changes(self, api: StripeApi, state: StripeCursor) -> _Changes | None:
        """The events since the cursor; None: this server gives none."""
        params = [*_created(state), *(("types[]", word) for word in _EVENT_TYPES)]
        changes: _Changes | None = None
        after = None
        while changes is None or after is not None:
            try:
                page = await api.list_page("events", params, after)
            except SourceRefused as refused:
                if changes is not None or refused.status not in _REFUSES_EVENTS:
                    raise
                self._log.info("stripe_without_events", status=refused.status)
                return None
            if changes is None:
                changes = _Changes(at=page.at, changed={}, deleted=set(), customers=False, seen=set())
            for event in page.records:
                _note(changes, event, state.seen)
            after = page.after
        for object_id in changes.deleted:
            changes.changed.get("invoices", set()).discard(object_id)
        return changes

    async def _change_pages(
        self, api: StripeApi, state: StripeCursor, changes: _Changes, created: ListPage
    ) -> AsyncIterator[Page]:
        """Pages of what changed; `created`: the first page of what was created. Only the last one moves `since`: the pages
        before it come newest first."""
        read: set[str] = set()
        async for found in _invoice_pages(api, _created(state), created, drafts=changes.customers):
            batch = await api.read("invoices", found.records)
            state = state.with_draft_states(batch.drafts(), batch.others())
            if batch.documents or batch.problems:
                yield Page(documents=batch.documents, problems=batch.problems, cursor=state.encode())
            if found is not created:  # what it holds may be older than the last event
                read |= {text(record, "id") or "" for record in found.records if isinstance(record, dict)}
        gone = set(changes.deleted)
        if state.owed:
            changes.changed.pop("credit_notes", None)
        for collection, ids in _chunks(changes.changed, read):
            records = await api.retrieve_all(collection, ids)
            batch = await api.read(collection, [record for record in records.values() if record is not None])
            missing = [object_id for object_id, record in records.items() if record is None]
            gone.update(missing if collection == "invoices" else ())
            state = state.with_draft_states(batch.drafts(), batch.others())
            yield Page(documents=batch.documents, problems=batch.problems, cursor=state.encode())
        state = replace(state.with_draft_states((), gone), since=changes.at, seen=frozenset(changes.seen))
        deletions = [_deletion(object_id) for object_id in sorted(gone)]
        yield Page(documents=(), deletions=deletions, cursor=state.encode(), complete=True)


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


def _created(state: StripeCursor) -> Params:
    """What asks a list for objects since the cursor."""
    return [("created[gte]", str((state.since or 0) - OVERLAP_SECONDS))]


def _note(changes: _Changes, event: Any, seen: frozenset[str]) -> None:
    """Adds one event's news. Events without a readable object tell nothing, for example of an upcoming invoice."""
    if not isinstance(event, dict):
        return
    event_id, word = text(event, "id") or "", text(event, "type") or ""
    data = event.get("data")
    object_id = reference(data.get("object")) if isinstance(data, dict) else None
    changes.seen.add(event_id)
    if event_id in seen or object_id is None:
        return
    if word == "invoice.deleted":
        changes.deleted.add(object_id)
    elif word.startswith("customer."):
        changes.customers = True
    elif word.startswith(("invoice.", "credit_note.")):
        collection = "invoices" if word.startswith("invoice.") else "credit_notes"
        changes.changed.setdefault(collection, set()).add(object_id)


def _chunks(changed: dict[str, set[str]], read: set[str]) -> Iterator[tuple[str, list[str]]]:
    for collection, ids in changed.items():
        left = sorted(ids - read)
        for start in range(0, len(left), 100):
            yield collection, left[start : start + 100]


def _deletion(object_id: str) -> Deletion:
    return Deletion(kind="invoice", external_id=object_id)


def _unreadable_credit_notes(refused: SourceRefused) -> list[Problem]:
    """A key without the permission is a problem to solve; a server that knows no credit notes (404) has none."""
    if refused.status == 404:
        return []
    message = "Stripe's credit notes were not read: allow the key to read credit notes and customers."
    return [Problem(subject="credit notes", code=FORBIDDEN, message=message)]
