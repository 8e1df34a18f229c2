"""The words of a tie-out as values: a document beside what stands of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from sources.pipeline.model import Key
from sources.pipeline.taking import Books


class TieState(StrEnum):
    """How what a document calls for relates to what stands of it."""

    MATCHED = "MATCHED"
    MISSING = "MISSING"
    EXTRA = "EXTRA"
    DIFFERING = "DIFFERING"
    PENDING = "PENDING"


@dataclass(slots=True)
class Tied:
    """One document (`key` None: an entry that is none's). `state` None: it calls for nothing, and nothing stands. `code`: why
    it does not match. `stated`: what the source says, in `currency`, a credit note's negative. `called`: debits by currency that
    the rules call for, None: not known, or nothing; `posted`: those that stand, of the entries `sequences`."""

    key: Key | None
    dated: date
    currency: str | None = None
    stated: int | None = None
    direction: str | None = None
    state: TieState | None = None
    code: str | None = None
    called: dict[str, int] | None = None
    posted: dict[str, int] = field(default_factory=dict)
    sequences: tuple[int, ...] = ()

    def say(self, state: TieState | None, code: str | None = None, called: dict[str, int] | None = None) -> None:
        self.state, self.code, self.called = state, code, called

    @property
    def place(self) -> tuple[str, str, str, str]:
        """Its place in a report."""
        if self.key is None:
            return (self.dated.isoformat(), "", "", f"{self.sequences[0]:020}")
        return (self.dated.isoformat(), self.key.kind, self.key.account, self.key.external_id)


@dataclass(slots=True)
class Report:
    """A source's documents dated within a period, in order of date. `post_from`: None: the source does not post."""

    books: Books
    post_from: date | None
    as_of: datetime | None
    tied: list[Tied] = field(default_factory=list)
