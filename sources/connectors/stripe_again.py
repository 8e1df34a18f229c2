"""Stripe's objects that could not be read, asked for once more: by collection and id, which their problems hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sources.connectors.each import each, outcomes
from sources.connectors.stripe_api import StripeApi
from sources.connectors.stripe_changes import EVENTS, Changes
from sources.connectors.stripe_cursor import COLLECTIONS, StripeCursor
from sources.connectors.stripe_listing import deletions_of
from sources.connectors.stripe_reader import MOVEMENTS, Batch, StripeReader, ungiven
from sources.connectors.stripe_records import Record
from sources.documents import Page, Problem
from sources.errors import SourceUnavailable

_Key = tuple[str, str]
"""Collection and id of an object."""
_Records = Mapping[_Key, Record | SourceUnavailable | None]
"""None: Stripe has no such object."""


async def read_again(api: StripeApi, reader: StripeReader, state: StripeCursor, problems: Sequence[Problem]) -> Page:
    """The objects of these problems, and those that the events and balance transactions among them are about. One that Stripe does
    not give stays a problem. Raises SourceUnavailable where it gives none of them."""
    told = {_key(each.again or ""): each for each in problems}
    found: _Records = dict(zip(told, await each(_retrieved(api, key) for key in told), strict=True))
    changes = Changes(at=0)
    for (collection, _), record in found.items():
        if isinstance(record, Mapping) and collection == EVENTS:
            changes.note_event(record, frozenset())
        elif isinstance(record, Mapping) and collection == MOVEMENTS:
            changes.note_movement(record, frozenset())
    news = {(collection, each) for collection, ids in changes.changed.items() for each in ids}
    if changes.customers:
        news |= {("invoices", draft) for draft in state.drafts}
    more = sorted(news - found.keys())
    found = {**found, **dict(zip(more, await outcomes(_retrieved(api, key) for key in more), strict=True))}
    batch = await _read(reader, found)
    batch.problems += [*changes.problems, *[told.get(key) or ungiven(*key) for key in _failed(found)]]
    gone = sorted(
        changes.deleted | {key[1] for key, record in found.items() if record is None and key[0] == "invoices"}
    )
    state = state.with_draft_states(batch.drafts(), [*batch.others(), *gone])
    return Page(documents=batch.documents, deletions=deletions_of(gone), problems=batch.problems, cursor=state.encode())


async def _read(reader: StripeReader, found: _Records) -> Batch:
    """In the order of the collections: payouts last, which say of others that they were paid out."""
    batch = Batch()
    for collection in COLLECTIONS:
        records = [each for key, each in found.items() if key[0] == collection and isinstance(each, Mapping)]
        some = await reader.read(collection, records)
        batch.documents += some.documents
        batch.problems += some.problems
    return batch


def _key(again: str) -> _Key:
    collection, _, object_id = again.partition("/")
    return collection, object_id


async def _retrieved(api: StripeApi, key: _Key) -> Record | None:
    return await api.retrieve(*key)


def _failed(found: _Records) -> list[_Key]:
    return [key for key, record in found.items() if isinstance(record, SourceUnavailable)]
