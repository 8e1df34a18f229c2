"""Where a pull of Xero's accounting stands: the cursor that is stored beside the documents. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

OVERLAP: timedelta = timedelta(minutes=5)
"""A change may show that much later than the time that it bears."""

_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a listing is read. `since`: what changed from then on is asked for (UTC); None: everything. `page`: the next page
    of that. `began`: when page 1 was answered, by Xero's clock; None: none of it was read."""

    since: datetime | None = None
    page: int = 1
    began: datetime | None = None

    def started(self, at: datetime | None) -> Progress:
        """`at`: what Xero's clock showed with page 1. A listing that is read over again began the first time."""
        return self if self.began is not None else replace(self, began=at)

    def over(self) -> Progress:
        """From its first page again."""
        return replace(self, page=1)

    def done(self) -> Progress:
        """The whole of it was read. Without a clock everything is read the next time, too."""
        return Progress(since=self.since if self.began is None else self.began - OVERLAP)


@dataclass(frozen=True, slots=True)
class XeroCursor:
    """Progress by name of the listing; one that is not in it was never read."""

    listings: Mapping[str, Progress] = field(default_factory=dict)

    def of(self, name: str) -> Progress:
        return self.listings.get(name, Progress())

    def with_(self, name: str, progress: Progress) -> XeroCursor:
        return XeroCursor({**self.listings, name: progress})

    def encode(self) -> str:
        stated = {name: [_written(each.since), each.page, _written(each.began)] for name, each in self.listings.items()}
        return json.dumps([_VERSION, stated], separators=(",", ":"))

    @classmethod
    def decode(cls, cursor: str | None) -> XeroCursor:
        """None, and what another version of this connector wrote, start over."""
        try:
            match json.loads(cursor or "null"):
                case [int(version), dict(stated)] if version == _VERSION:
                    return cls({name: _progress(*each) for name, each in stated.items()})
        except (ValueError, TypeError):
            pass  # of another version, or spoilt: everything is read anew
        return cls()


def _progress(since: str | None, page: int, began: str | None) -> Progress:
    if type(page) is not int or page < 1:
        raise ValueError(page)
    return Progress(since=_read(since), page=page, began=_read(began))


def _written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _read(stated: str | None) -> datetime | None:
    return None if stated is None else datetime.fromisoformat(stated).astimezone(UTC)
