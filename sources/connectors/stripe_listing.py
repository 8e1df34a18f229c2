"""Whole lists of Stripe's objects, page by page: for a first pull, for what could not be read before, and of servers that do not
tell what changed."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace

from sources.connectors.http import SourceRefused
from sources.connectors.stripe_api import ListPage, StripeApi
from sources.connectors.stripe_cursor import COLLECTIONS, Listing, StripeCursor
from sources.connectors.stripe_reader import Batch, StripeReader
from sources.documents import Deletion, Page, Problem
from sources.errors import SourceUnavailable

MAX_RESTARTS = 3
"""How often one pull begins a listing anew because the object that it stood at is gone."""

FORBIDDEN = "FORBIDDEN"
"""Code of the problem that the key lacks a permission."""

REFUSED, UNKNOWN = 403, 404
"""What Stripe answers where the key lacks a permission, and where there is no such list or object."""


async def listing_pages(
    api: StripeApi, reader: StripeReader, state: StripeCursor, subject: str
) -> AsyncIterator[tuple[StripeCursor, Page]]:
    """The pages of a listing under way, each with the state behind it. Raises SourceUnavailable."""
    restarts = 0
    while (listing := state.listing) is not None:
        state, page = await _step(api, reader, state, listing)
        restarts += listing.after is not None and state.listing == replace(listing, after=None)
        if restarts > MAX_RESTARTS:
            message = f"{subject} does not go on behind objects that it listed itself: check its base_url."
            raise SourceUnavailable(message)
        yield state, page


def deletions_of(invoices: Iterable[str]) -> list[Deletion]:
    return [Deletion(kind="invoice", external_id=each) for each in invoices]


async def _step(
    api: StripeApi, reader: StripeReader, state: StripeCursor, listing: Listing
) -> tuple[StripeCursor, Page]:
    """One page of a listing, and the state behind it."""
    problems: list[Problem] = []
    try:
        found = await api.list_page(listing.collection, [], listing.after)
    except SourceRefused as refused:
        if listing.after is not None and refused.status in (400, UNKNOWN):
            # The object that the page was to start behind is gone: from the beginning.
            restarted = replace(state, listing=replace(listing, after=None))
            return restarted, Page(documents=(), cursor=restarted.encode())
        if listing.collection == COLLECTIONS[0] or refused.status not in (REFUSED, UNKNOWN):
            raise
        # A server that knows no such list (404) has nothing of it, for now: it is asked again.
        state = replace(state, owed=state.owed | {listing.collection})
        problems = [forbidden(listing.collection)] if refused.status == REFUSED else []
        found = ListPage([], None, state.since or int(time.time()))
    batch = await reader.read(listing.collection, found.records)
    listing = replace(listing, after=found.after, drafts=listing.drafts | frozenset(batch.drafts()))
    state = replace(state, listing=listing, since=found.at if state.since is None else state.since)
    deletions: list[Deletion] = []
    if found.after is None:
        state, deletions = await _finish_collection(api, reader, state, listing, batch)
    problems += batch.problems
    return state, Page(documents=batch.documents, deletions=deletions, problems=problems, cursor=state.encode())


async def _finish_collection(
    api: StripeApi, reader: StripeReader, state: StripeCursor, listing: Listing, batch: Batch
) -> tuple[StripeCursor, list[Deletion]]:
    """Goes on to the next collection. Drafts that were known and not met again are asked for one by one."""
    following = Listing(collection=listing.queue[0], queue=listing.queue[1:]) if listing.queue else None
    if listing.collection != "invoices":
        return replace(state, listing=following), []
    missing = await api.retrieve_all("invoices", sorted(state.drafts - listing.drafts))
    found = await reader.read("invoices", [record for record in missing.values() if record is not None])
    batch.documents += found.documents
    batch.problems += found.problems
    state = replace(state, listing=following, drafts=frozenset())
    state = state.with_draft_states([*listing.drafts, *found.drafts()], ())
    return state, deletions_of(object_id for object_id, record in missing.items() if record is None)


def forbidden(collection: str) -> Problem:
    """A key without a permission is a problem to solve."""
    name = collection.replace("_", " ")
    needed = "credit notes and customers" if name == "credit notes" else f"{name}, balance transactions and customers"
    message = f"Stripe's {name} were not read: allow the key to read {needed}."
    return Problem(subject=name, code=FORBIDDEN, message=message)
