"""Where a pull of Stripe's objects stands: the cursor that is stored beside the documents. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

COLLECTIONS = ("invoices", "credit_notes")

MAX_DRAFTS = 10_000
"""Ids of drafts that are remembered, so that the deletion of one is noticed without events; the rest are not."""

MAX_SEEN = 2_000
"""Events of the overlap window that are remembered, so that they are not read again; the rest are."""

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A full listing under way: the objects of `collection` after id `after` come next; `drafts`: drafts met so far."""

    collection: str
    after: str | None = None
    drafts: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class StripeCursor:
    """`since`: Stripe's time (seconds) from which changes are still to be read; None: nothing was ever read.
    `drafts`: drafts known after the last whole listing and since. `seen`: events after `since` that were handled.
    `owed`: credit notes could not be listed, for want of a permission; the next pull asks for them again.
    `account`, `mode`: whose objects these are, as far as known; one account has the same id in test and live mode."""

    since: int | None = None
    listing: Listing | None = None
    drafts: frozenset[str] = frozenset()
    seen: frozenset[str] = frozenset()
    owed: bool = False
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
        return replace(self, since=None, listing=Listing(collection=COLLECTIONS[0]), seen=frozenset(), owed=False)

    def with_draft_states(self, drafts: Iterable[str], others: Iterable[str]) -> StripeCursor:
        """After `drafts` were met as drafts and `others` in another state or not at all."""
        return replace(self, drafts=_bounded((self.drafts | frozenset(drafts)) - frozenset(others), MAX_DRAFTS))

    def encode(self) -> str:
        state: dict[str, Any] = {"version": _VERSION, "since": self.since, "drafts": sorted(self.drafts)}
        state |= {"seen": sorted(_bounded(self.seen, MAX_SEEN)), "owed": self.owed}
        state |= {"account": self.account, "mode": self.mode}
        if self.listing is not None:
            state["listing"] = {
                "collection": self.listing.collection,
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
            if state["version"] != _VERSION:
                return cls()
            listing = state.get("listing")
            return cls(
                since=state["since"],
                drafts=frozenset(state["drafts"]),
                seen=frozenset(state["seen"]),
                owed=state["owed"],
                account=state.get("account"),
                mode=state.get("mode"),
                listing=listing and Listing(**{**listing, "drafts": frozenset(listing["drafts"])}),
            )
        except (ValueError, KeyError, TypeError):
            return cls()


def _bounded(ids: frozenset[str], limit: int) -> frozenset[str]:
    return ids if len(ids) <= limit else frozenset(sorted(ids)[-limit:])
