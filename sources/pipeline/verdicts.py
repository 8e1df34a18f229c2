"""What would become of a document under rules, and why, in words that a person can decide by. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from sources.ledger.model import EntryDraft
from sources.mapping.model import MappedPosting, Mapping, Unmapped
from sources.pipeline import planning
from sources.pipeline.drafting import entry_draft
from sources.pipeline.model import DocumentStatus, Finding, Key, Past, Plan, Posting, PostingStatus, Terms, Version


class Verdict(StrEnum):
    """What would become of a document were it posted anew."""

    POSTS = "POSTS"
    UNCHANGED = "UNCHANGED"
    REPLACES = "REPLACES"
    REVERSES = "REVERSES"
    HELD = "HELD"
    NOTHING = "NOTHING"
    ISSUE = "ISSUE"


@dataclass(frozen=True, slots=True)
class Change:
    """One posting of a document: what stands (`posted`, None: nothing), and what the rules call for (`mapped` and `draft`, the
    entry that it would be; None: nothing). `reversed_on`: the day of the reversal of what stands, where it would be reversed."""

    name: str
    posted: Posting | None
    mapped: MappedPosting | None
    draft: EntryDraft | None = None
    reversed_on: date | None = None

    @property
    def is_equal(self) -> bool:
        return self.posted is not None and self.mapped is not None and self.posted.outcome == self.mapped.outcome()

    @property
    def moved_from(self) -> date | None:
        """The day of its own, where the entry would be dated on a later one instead: that lies in a locked period, or the books
        hold an earlier entry of it there, which was reversed later."""
        if self.mapped is None or self.draft is None or self.is_equal:
            return None
        own = self.mapped.effective_date
        return own if own != self.draft.effective_date else None


@dataclass(frozen=True, slots=True)
class Preview:
    """A document under the rules. `finding`: why it is held, calls for nothing or cannot be posted. `changes`: every posting
    that stands or is called for; none where the rules cannot map it: what is posted stands then."""

    key: Key
    verdict: Verdict
    changes: tuple[Change, ...] = ()
    finding: Finding | None = None

    @property
    def is_unchanged(self) -> bool:
        """Nothing would be done, and nothing is in the way."""
        early = self.verdict is Verdict.HELD and self.finding is not None and self.finding.code == EARLY.code
        return early or self.verdict in (Verdict.UNCHANGED, Verdict.NOTHING)


EARLY: Final = Finding(
    "BEFORE_CUTOVER",
    "It is dated before its source's post_from, so it is not posted.",
    "The opening balances cover it; set post_from to an earlier day if they do not.",
)
_PROPOSED: Final = Finding(
    "PROPOSED",
    "Its rule has the policy proposed: it waits until a person approves it.",
    "Approve or reject its proposals; what is posted stands until then.",
)
_REJECTED: Final = Finding(
    "REJECTED",
    "A person rejected its proposal, so it is not posted.",
    "Correct the document or the rules; another outcome is proposed anew.",
)
_DELETED: Final = Finding("DELETED", "It is deleted at its source.", "There is nothing to do.")
_BY_RULE: Final = Finding(
    "NO_POSTINGS", "The rule that takes it calls for no entry of it.", "Change the rule if it is to post."
)


def verdict_of(
    version: Version, past: Past, mapping: Mapping, terms: Terms, duplicate: Finding | None, mismatch: Finding | None
) -> tuple[Preview, Plan]:
    """What `planning.plan` makes of it, told; and the plan."""
    key, plan = version.key, planning.plan(version, past, mapping, terms, duplicate, mismatch)
    if isinstance(mapping, Unmapped):
        if plan.status is DocumentStatus.BEFORE_CUTOVER:
            return Preview(key, Verdict.HELD, (), EARLY), plan
        return Preview(key, Verdict.ISSUE, (), plan.finding), plan
    wanted = planning.after_cutover(version, mapping, terms)
    changes = _changes(version, past, wanted, plan, terms)
    if plan.finding is not None:
        return Preview(key, Verdict.HELD, changes, plan.finding), plan
    verdict, finding = _judged(plan, past, changes)
    if verdict is Verdict.NOTHING:
        dropped = len(wanted) < len(mapping)
        verdict, finding = (Verdict.HELD, EARLY) if dropped else (verdict, _DELETED if version.deleted else _BY_RULE)
    return Preview(key, verdict, changes, finding), plan


def refused(preview: Preview, finding: Finding) -> Preview:
    """The document, were its entries refused."""
    return Preview(preview.key, Verdict.ISSUE, preview.changes, finding)


def _judged(plan: Plan, past: Past, changes: Iterable[Change]) -> tuple[Verdict, Finding | None]:
    if plan.propose:
        return Verdict.HELD, _PROPOSED
    if plan.make:
        return (Verdict.REPLACES if plan.undo else Verdict.POSTS), None
    if plan.undo:
        return Verdict.REVERSES, None
    waiting = [past.waiting(each.name) for each in changes if each.mapped is not None and not each.is_equal]
    if any(each is not None and each.status is PostingStatus.REJECTED for each in waiting):
        return Verdict.HELD, _REJECTED
    return (Verdict.UNCHANGED if past.live() else Verdict.NOTHING), None


def _changes(
    version: Version, past: Past, wanted: Iterable[MappedPosting], plan: Plan, terms: Terms
) -> tuple[Change, ...]:
    live, called = past.live(), {mapped.name: mapped for mapped in wanted}
    undone = {each.posting.name: each for each in plan.undo}
    free = {name: planning.free_from(past, each, called, undone.get(name)) for name, each in called.items()}
    return tuple(
        [
            Change(
                name,
                live.get(name),
                called.get(name),
                _draft(version.key, live.get(name), called[name], free[name], terms) if name in called else None,
                undone[name].draft.effective_date if name in undone else None,
            )
            for name in {**called, **live}
        ]
    )


def _draft(key: Key, standing: Posting | None, mapped: MappedPosting, free: date, terms: Terms) -> EntryDraft:
    """The entry as it would be dated and described; its key is of no account."""
    day, why = planning.posting_day(mapped, free, terms)
    if standing is not None and standing.outcome == mapped.outcome():
        day = standing.effective_date
    status, version = PostingStatus.PROPOSED, terms.ruleset_version
    posting = standing or Posting(mapped.name, 1, 1, b"", status, mapped.rule, version, day)
    return entry_draft(key, posting, mapped, terms, day, why)
