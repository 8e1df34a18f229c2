"""Where the reading of a Plaid Item stands: the cursor that is stored beside the documents. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaidCursor:
    """`at`: Plaid's own cursor up to which everything is stored; "": nothing was ever read. `telling`: the one that a pull had
    reached whose documents may be stored in part, because it was broken off.
    `pending`: the pending transactions as of `at`, by id: Plaid tells of them once, and a statement states all of them.
    `newest`: the last day on which anything was booked, by account. `told`: digest of the holdings that were stated last."""

    at: str = ""
    telling: str | None = None
    pending: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    newest: Mapping[str, str] = field(default_factory=dict)
    told: str = ""

    def encode(self) -> str:
        state = {
            "version": _VERSION,
            "at": self.at,
            "telling": self.telling,
            "pending": self.pending,
            "newest": self.newest,
            "told": self.told,
        }
        return json.dumps(state, separators=(",", ":"))

    @classmethod
    def decode(cls, cursor: str | None) -> PlaidCursor:
        """The stored state; one that starts over where there is none, or it was written by another version."""
        if cursor is None:
            return cls()
        try:
            state = json.loads(cursor)
            if state.pop("version") != _VERSION:
                return cls()
            return cls(**state)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()
