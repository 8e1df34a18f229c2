"""Where a pull of Tryton's invoices stands: the cursor that is stored beside the documents. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

OVERLAP: timedelta = timedelta(minutes=15)
"""A change carries the time at which its transaction began, and is seen once that is committed: so long one may take."""

MAX_OPEN = 50_000
"""Ids of invoices without a number that are remembered; the deletion of one beyond that is not noticed."""

MAX_SEEN = 4_000
"""Invoices of the overlap that are remembered with what was seen of them, so that they are not read again; the rest are."""

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TrytonCursor:
    """`company`: whose invoices these are. `since`: the newest change that was read, by Tryton's clock; None: none was.
    `after`: everything is being listed by id, and this one was the last; None: it has been. `open`: invoices without a number,
    the only ones that Tryton deletes. `seen`: marks of what was seen of invoices in the overlap, by id. `purchases`: bills of
    orders were met, so that there are orders to follow."""

    company: int | None = None
    since: datetime | None = None
    after: int | None = 0
    open: frozenset[int] = frozenset()
    seen: Mapping[int, str] = field(default_factory=dict)
    purchases: bool = False

    def read_for(self, company: int) -> tuple[TrytonCursor, bool]:
        """The state for this company, and whether it is another one than before: then it starts over."""
        another = self.company not in (None, company)
        return replace(TrytonCursor() if another else self, company=company), another

    @property
    def floor(self) -> datetime:
        """Changes from this moment on are read again."""
        return datetime(1970, 1, 1) if self.since is None else self.since - OVERLAP

    def later(self, *moments: datetime | None) -> TrytonCursor:
        """`since` moved on to the newest of these."""
        known = [each for each in (self.since, *moments) if each is not None]
        return replace(self, since=max(known, default=None))

    def encode(self) -> str:
        return json.dumps(
            [
                _VERSION,
                self.company,
                None if self.since is None else self.since.isoformat(),
                self.after,
                sorted(self.open)[-MAX_OPEN:],
                sorted(self.seen.items())[-MAX_SEEN:],
                self.purchases,
            ],
            separators=(",", ":"),
        )

    @classmethod
    def decode(cls, cursor: str | None) -> TrytonCursor:
        """None, and what another version of this connector wrote, start over."""
        try:
            match json.loads(cursor or "null"):
                case [int(version), company, since, after, list(found), list(seen), purchases] if version == _VERSION:
                    return cls(
                        company=company,
                        since=None if since is None else datetime.fromisoformat(since),
                        after=after,
                        open=frozenset(found),
                        seen=dict(seen),
                        purchases=bool(purchases),
                    )
        except (ValueError, TypeError):
            pass  # of another version, or spoilt: everything is read anew
        return cls()
