"""The words of the pipeline as values: a document as it is now, what was made of it before, what is to be done. No I/O."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple

from sources.ledger.model import Draft, EntryDraft, LedgerRef, ReversalDraft
from sources.mapping.model import MappedPosting


class Key(NamedTuple):
    """A document of a ledger. `account` is "" but for bank transactions."""

    source: str
    kind: str
    account: str
    external_id: str


class DocumentStatus(StrEnum):
    """What became of a document's newest version. Entries of older versions stand until it posts, or calls for nothing."""

    POSTED = "POSTED"
    NOTHING = "NOTHING"
    PROPOSED = "PROPOSED"
    ISSUE = "ISSUE"
    BEFORE_CUTOVER = "BEFORE_CUTOVER"
    DUPLICATE = "DUPLICATE"


class PostingStatus(StrEnum):
    """Of one posting that was ever made of a document. PROPOSED: waits for approval; APPROVED: was approved, and not posted yet
    (stored as PROPOSED: its proposal tells). REJECTED and WITHDRAWN never get an entry: the next version has the next number."""

    PROPOSED = "PROPOSED"
    APPROVED = "APPROVED"
    POSTED = "POSTED"
    REVERSED = "REVERSED"
    REJECTED = "REJECTED"
    WITHDRAWN = "WITHDRAWN"


UNKNOWN_OUTCOME: Final = bytes(32)
"""Of an entry that is known by its key alone: it equals nothing."""


class Posting(NamedTuple):
    """One posting that was made of a document. `number` counts the versions of `name`, over all generations.
    `effective_date` is that of the entry, `reversed_on` that of its reversal. `substance`: see `MappedPosting`; None: not known,
    the outcome alone tells."""

    name: str
    number: int
    generation: int
    outcome: bytes
    status: PostingStatus
    rule: str
    ruleset_version: int
    effective_date: date
    sequence: int | None = None
    reversal_sequence: int | None = None
    substance: bytes | None = None
    reversed_on: date | None = None


@dataclass(slots=True)
class Past:
    """What is recorded of a document. `digest`: of the version that was dealt with last, None: of none, or deal with it anew.
    `ruleset_version`: of the rules that its live postings follow, None: of whichever are active. `generation` counts the
    explicit re-postings, from 1. `postings` by name and number; `touched`: those that are not recorded so yet. `restored`: what
    is to be reversed, and its date, in place of an entry that was reversed and stands again, by its sequence."""

    generation: int = 1
    digest: bytes | None = None
    status: DocumentStatus | None = None
    rule: str | None = None
    ruleset_version: int | None = None
    postings: dict[tuple[str, int], Posting] = field(default_factory=dict)
    touched: set[tuple[str, int]] = field(default_factory=set)
    restored: dict[int, tuple[int, date]] = field(default_factory=dict)

    def live(self) -> dict[str, Posting]:
        """The postings whose entries stand, by name."""
        return {each.name: each for each in self.postings.values() if each.status is PostingStatus.POSTED}

    def waiting(self, name: str) -> Posting | None:
        """The newest version of a posting, where it has no entry and may get one."""
        versions = [each for each in self.postings.values() if each.name == name]
        newest = max(versions, key=lambda each: each.number, default=None)
        settled = (PostingStatus.POSTED, PostingStatus.REVERSED, PostingStatus.WITHDRAWN)
        return None if newest is None or newest.status in settled else newest

    def next_number(self, name: str) -> int:
        return 1 + max((number for each, number in self.postings if each == name), default=0)

    def held_until(self, name: str, others: Collection[str]) -> date:
        """The last day of the reversals of what the books held of a posting for a day at least, the first of all days where there
        is none. Of it: its own entries, and those that it took the place of: they were reversed before its first one, and are
        of none of the `others` that the document calls for."""
        known = self.postings.values()
        first = min((each.sequence for each in known if each.name == name and each.sequence), default=None)
        days = [
            each.reversed_on
            for each in known
            if each.reversed_on and each.reversed_on > each.effective_date
            if each.name == name
            or (each.name not in others and (first is None or (each.reversal_sequence or 0) < first))
        ]
        return max(days, default=date.min)

    def keep(self, posting: Posting) -> None:
        self.postings[posting.name, posting.number] = posting
        self.touched.add((posting.name, posting.number))


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A document as it is now. `digest` covers all that may change what it posts. `dated`: its own date, which cut-over goes
    by. `ceased_on`: the day since when it calls for nothing, should it call for nothing (deleted, void, a draft again)."""

    key: Key
    digest: bytes
    dated: date | None
    ceased_on: date
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all documents of a run. `post_from`: cut-over by source. `locked_through`: None: nothing is locked."""

    ledger: LedgerRef
    ruleset_version: int
    locked_through: date | None
    post_from: Mapping[str, date]


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a document did not post: the reason's code, a sentence, and what to do. No person's name, no secret."""

    code: str
    message: str
    hint: str


class Making(NamedTuple):
    """An entry to post, and the posting that it will be."""

    posting: Posting
    mapped: MappedPosting
    draft: EntryDraft


class Undoing(NamedTuple):
    """A reversal to post, and the posting that it reverses."""

    posting: Posting
    draft: ReversalDraft


@dataclass(slots=True)
class Plan:
    """What is to be done about one document: reversals and entries (all or none), proposals, or an issue. `withdrawn`:
    proposals that no longer stand. `status`: of the document once this is done."""

    status: DocumentStatus
    rule: str | None = None
    ruleset_version: int | None = None
    undo: list[Undoing] = field(default_factory=list)
    make: list[Making] = field(default_factory=list)
    propose: list[Making] = field(default_factory=list)
    withdrawn: list[Posting] = field(default_factory=list)
    finding: Finding | None = None

    def steps(self) -> Iterator[Undoing | Making]:
        """In the order in which they are posted."""
        yield from self.undo
        yield from self.make

    def drafts(self) -> list[Draft]:
        return [step.draft for step in self.steps()]
