"""What changed at Stripe since a cursor: its events, and the balance transactions created since."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sources.connectors.http import SourceRefused
from sources.connectors.stripe_api import ListPage, Params, StripeApi, together
from sources.connectors.stripe_cursor import COLLECTIONS, StripeCursor
from sources.connectors.stripe_objects import problem
from sources.connectors.stripe_payments import COVERED, category_of
from sources.connectors.stripe_records import UnreadableRecord, reference, text
from sources.documents import Problem

OVERLAP_SECONDS = 300
EVENTS = "events"

MAX_TYPES = 20
"""How many types one request for events may name: https://docs.stripe.com/api/events/list#list_events-types."""

_WORDS = {
    "invoice": "created updated deleted finalized paid payment_failed payment_succeeded sent voided marked_uncollectible",
    "credit_note": "created updated voided",
    "customer": "updated deleted",
    "charge": "succeeded captured failed pending expired refunded updated",
    "charge.dispute": "created updated closed funds_withdrawn funds_reinstated",
    "refund": "created updated failed",
    "payout": "created updated paid failed canceled reconciliation_completed",
}
_EVENT_TYPES = tuple(f"{subject}.{word}" for subject, words in _WORDS.items() for word in words.split())
_COLLECTIONS = {
    "invoice.": "invoices",
    "credit_note.": "credit_notes",
    "charge.dispute.": "disputes",
    "charge.refund.": "refunds",
    "charge.": "charges",
    "refund.": "refunds",
    "payout.": "payouts",
}
"""Beginning of an event's type -> the collection of the object that it is about; the first that fits."""

_REFUSES_EVENTS = frozenset({400, 403, 404, 405})


@dataclass(slots=True)
class Changes:
    """Ids of changed objects by collection, deleted invoices, events that do not say what changed, whether any customer did, and
    balance transactions that are still to be looked at. `at`: Stripe's time (seconds) of the oldest answer; `seen`: what need not be read again."""

    at: int
    changed: dict[str, set[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)
    customers: bool = False
    seen: set[str] = field(default_factory=set)

    def add(self, collection: str, object_id: str) -> None:
        self.changed.setdefault(collection, set()).add(object_id)

    def note_event(self, event: Any, seen: frozenset[str]) -> None:
        """Adds one event's news. Those of types that nobody asked for tell nothing, for example of an upcoming invoice."""
        event = event if isinstance(event, dict) else {}
        event_id, word = text(event, "id") or "", text(event, "type") or ""
        data = event.get("data")
        object_id = reference(data.get("object")) if isinstance(data, dict) else None
        self.seen.add(event_id)
        if event_id in seen:
            return
        if word.startswith("customer."):
            self.customers = True
        elif object_id is None:
            if not word or word in _EVENT_TYPES:
                self.problems.append(_mute(event_id))
        elif word == "invoice.deleted":
            self.deleted.add(object_id)
        elif collection := next((each for start, each in _COLLECTIONS.items() if word.startswith(start)), None):
            self.add(collection, object_id)

    def note_movement(self, record: Any, seen: frozenset[str]) -> bool:
        """Adds what a balance transaction tells; answers whether it is itself to be read."""
        movement_id = text(record, "id") if isinstance(record, dict) else None
        if movement_id is None:
            return True
        self.seen.add(movement_id)
        if movement_id in seen:
            return False
        try:
            collection = COVERED.get(category_of(record))
        except UnreadableRecord:
            return True
        source = reference(record.get("source"))
        if collection is not None and source is not None:
            self.add(collection, source)
        return True

    def chunks(self, read: set[str], owed: frozenset[str]) -> Iterator[tuple[str, list[str]]]:
        """Ids of what is to be read anew, but for what was `read`, at most 100 at a time; payouts last: they say of others
        that they were paid out. Nothing of collections that are `owed`, which the next pull lists whole."""
        for collection in (each for each in COLLECTIONS if each in self.changed and each not in owed):
            ids = self.changed[collection]
            left = sorted(ids - self.deleted - read if collection == "invoices" else ids - read)
            for start in range(0, len(left), 100):
                yield collection, left[start : start + 100]


def _mute(event_id: str) -> Problem:
    """Of an event that does not say what it is about: it is asked for once more."""
    subject, again = (f"event {event_id}", f"{EVENTS}/{event_id}") if event_id else ("event without an id", None)
    return problem(subject, UnreadableRecord("it does not say which object changed"), again)


def created_since(state: StripeCursor) -> Params:
    """What asks a list for objects since the cursor."""
    return [("created[gte]", str((state.since or 0) - OVERLAP_SECONDS))]


async def changes_since(api: StripeApi, state: StripeCursor) -> Changes | int:
    """The events since the cursor; where this server gives none, the status that it refuses them with."""
    groups = [_EVENT_TYPES[start : start + MAX_TYPES] for start in range(0, len(_EVENT_TYPES), MAX_TYPES)]
    params = [[*created_since(state), *(("types[]", word) for word in group)] for group in groups]
    try:
        firsts = await together(api.list_page("events", each) for each in params)
    except SourceRefused as refused:
        if refused.status not in _REFUSES_EVENTS:
            raise
        return refused.status
    changes = Changes(at=min(page.at for page in firsts))
    for asked, page in zip(params, firsts, strict=True):
        following: ListPage | None = page
        while following is not None:
            for event in following.records:
                changes.note_event(event, state.seen)
            after = following.after
            following = None if after is None else await api.list_page("events", asked, after)
    return changes
