"""Where a pull of Stripe's objects stands: the cursor that is stored beside the documents. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

PAYMENTS = ("charges", "refunds", "disputes", "balance_transactions", "payouts")
COLLECTIONS = ("invoices", "credit_notes", *PAYMENTS)
"""In the order in which they are listed: what a payout pays out comes before it."""

MAX_DRAFTS = 10_000
"""Ids of drafts that are remembered, so that the deletion of one is noticed without events; the rest are not."""

MAX_SEEN = 4_000
"""Events and balance transactions of the overlap window that are remembered, so that they are not read again; the rest are."""

_VERSION = 2
_BEFORE_PAYMENTS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A listing under way: the objects of `collection` after id `after` come next, then those of the collections in
    `queue`; `drafts`: drafts met so far."""

    collection: str
    queue: tuple[str, ...] = ()
    after: str | None = None
    drafts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCursor:
    """`since`: Stripe's time (seconds) from which changes are still to be read; None: nothing was ever read.
    `drafts`: drafts known after the last whole listing and since. `seen`: events and balance transactions after `since` that
    were handled. `owed`: collections that could not be listed, for want of a permission, or that an earlier version of this
    connector did not read; the next pull asks for them again.
    `account`, `mode`: whose objects these are, as far as known; one account has the same id in test and live mode."""

    since: int | None = None
    listing: Listing | None = None
    drafts: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    owed: frozenset[str] = frozenset()
    account: str | None = None
    mode: str | None = None

    def read_by(self, account: str | None, mode: str | None) -> tuple[StripeCursor, bool]:
        """The state for a key of this account and mode (None: not known), and whether they are others than before: then it
        is one that starts over."""
        before = ((self.account, account), (self.mode, mode))
        another = any(known and found and known != found for known, found in before)
        state = StripeCursor() if another else self
        return replace(state, account=account or state.account, mode=mode or state.mode), another

    def relisting(self) -> StripeCursor:
        """Everything is to be read again; `since` is set by the first answer."""
        whole = Listing(collection=COLLECTIONS[0], queue=COLLECTIONS[1:])
        return replace(self, since=None, listing=whole, seen=frozenset(), owed=frozenset())

    def listing_owed(self) -> StripeCursor:
        """What is owed is to be listed, if anything is."""
        wanted = tuple(collection for collection in COLLECTIONS if collection in self.owed)
        if not wanted:
            return self
        return replace(self, listing=Listing(collection=wanted[0], queue=wanted[1:]), owed=frozenset())

    def with_draft_states(self, drafts: Iterable[str], others: Iterable[str]) -> StripeCursor:
        """After `drafts` were met as drafts and `others` in another state or not at all."""
        return replace(self, drafts=_bounded((self.drafts | frozenset(drafts)) - frozenset(others), MAX_DRAFTS))

    def encode(self) -> str:
        state: dict[str, Any] = {"version": _VERSION, "since": self.since, "drafts": sorted(self.drafts)}
        state |= {"seen": sorted(_bounded(self.seen, MAX_SEEN)), "owed": sorted(self.owed)}
        state |= {"account": self.account, "mode": self.mode}
        if self.listing is not None:
            state["listing"] = {
                "collection": self.listing.collection,
                "queue": self.listing.queue,
                "after": self.listing.after,
                "drafts": sorted(_bounded(self.listing.drafts, MAX_DRAFTS)),
            }
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def decode(cls, cursor: str | None) -> StripeCursor:
        """The stored state; one that starts over where there is none, or it was written by another version."""
        if cursor is None:
            return cls()
        try:
            state = json.loads(cursor)
            if state["version"] == _BEFORE_PAYMENTS:
                state = _with_payments(state)
            if state["version"] != _VERSION:
                return cls()
            listing = state.get("listing")
            return cls(
                since=state["since"],
                drafts=frozenset(state["drafts"]),
                seen=frozenset(state["seen"]),
                owed=frozenset(state["owed"]),
                account=state.get("account"),
                mode=state.get("mode"),
                listing=listing
                and Listing(
                    **{**listing, "queue": tuple(listing["queue"]), "drafts": frozenset(listing["drafts"])},
                ),
            )
        except (ValueError, KeyError, TypeError):
            return cls()


def _with_payments(state: dict[str, Any]) -> dict[str, Any]:
    """A cursor of the version that read invoices and credit notes alone: all else is owed."""
    owed = [*(["credit_notes"] if state["owed"] else []), *PAYMENTS]
    listing = state.get("listing")
    if listing is not None:
        listing = {**listing, "queue": COLLECTIONS[COLLECTIONS.index(listing["collection"]) + 1 :]}
        owed = []
    return {**state, "version": _VERSION, "owed": owed, "listing": listing}


def _bounded(ids: frozenset[str], limit: int) -> frozenset[str]:
    return ids if len(ids) <= limit else frozenset(sorted(ids)[-limit:])
