"""From what a document calls for and what is posted of it to what is to be done. Pure: the same again after a crash.

- An equal outcome posts nothing; neither do other texts, or other rates of the same days. Another one reverses at the original
  date and posts anew. Where somebody asked for the posting anew, texts and rates count too.
- A document that calls for nothing any more reverses as of the day when it ceased, never before the original date.
- On each day the books hold a posting once: what comes back, and was reversed later than it was dated, is dated on the day of that
  reversal, or on its own where that is later.
- In a locked period nothing is possible: each goes to the first open day, and says so.
- A posting dated before its source's cut-over counts as not called for; later ones of the same document do post.
- A proposed posting waits; what it replaces stands until it is approved. Rules that changed change nothing that is posted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from collections.abc import Mapping as Names
from datetime import date

from sources.mapping.model import MappedPosting, Mapping, Policy, Unmapped
from sources.pipeline.drafting import HELD, LOCKED, entry_draft, open_day, reversal_draft
from sources.pipeline.model import (
    DocumentStatus,
    Finding,
    Making,
    Past,
    Plan,
    Posting,
    PostingStatus,
    Terms,
    Undoing,
    Version,
)


def is_settled(version: Version, past: Past, active: int) -> bool:
    """Whether a document is as it was when it was dealt with, so that other rules alone change nothing."""
    if version.digest != past.digest:
        return False
    quiet = (DocumentStatus.NOTHING, DocumentStatus.BEFORE_CUTOVER)
    return past.status is DocumentStatus.POSTED or (past.status in quiet and past.ruleset_version == active)


def is_unchanged(version: Version, past: Past, mapping: Mapping, terms: Terms) -> bool:
    """Whether a mapping calls for just what is posted."""
    if isinstance(mapping, Unmapped) or not past.postings:
        return False
    return is_met(past, past.live(), after_cutover(version, mapping, terms))


def is_met(past: Past, live: Names[str, Posting], wanted: Sequence[MappedPosting]) -> bool:
    """Whether what stands of a document is just what is called for."""
    return {mapped.name for mapped in wanted} == live.keys() and all(
        _stands(past, live[mapped.name], mapped) for mapped in wanted
    )


def _stands(past: Past, posting: Posting, mapped: MappedPosting) -> bool:
    if posting.outcome == mapped.outcome():
        return True
    return past.digest is not None and posting.substance is not None and posting.substance == mapped.substance()


def plan(
    version: Version,
    past: Past,
    mapping: Mapping,
    terms: Terms,
    duplicate: Finding | None = None,
    mismatch: Finding | None = None,
) -> Plan:
    """What is to be done about a document. `mapping`: () for a deleted one. `duplicate`: that another document is the same
    bill; it holds for a document of which nothing is posted yet. `mismatch`: that a bill disagrees with its order; nothing new
    of it is posted, and what is posted stands."""
    if isinstance(mapping, Unmapped):
        if is_early(version, terms) and not past.live():
            return Plan(DocumentStatus.BEFORE_CUTOVER, withdrawn=_pending(past))
        return refused(past, Finding(mapping.code, mapping.message, mapping.hint))
    wanted = after_cutover(version, mapping, terms)
    if duplicate is not None and wanted and not past.live():
        return Plan(DocumentStatus.DUPLICATE, finding=duplicate, withdrawn=_pending(past))
    found = Plan(DocumentStatus.NOTHING, mapping[0].rule if mapping else None, terms.ruleset_version)
    names = {mapped.name for mapped in wanted}
    for mapped in wanted:
        _plan_posting(found, version, past, mapped, terms, names)
    _plan_rest(found, version, past, wanted, ceased=not mapping, terms=terms)
    if mismatch is not None and (found.make or found.propose):
        return refused(past, mismatch)
    found.status = _status(found, past, dropped=len(wanted) < len(mapping))
    return found


def refused(past: Past, finding: Finding) -> Plan:
    """Nothing is done, and what is posted stands, until the finding is dealt with."""
    return Plan(DocumentStatus.ISSUE, past.rule, past.ruleset_version, finding=finding, withdrawn=_pending(past))


def after_cutover(version: Version, mapping: Iterable[MappedPosting], terms: Terms) -> list[MappedPosting]:
    """What of a mapping is dated on or after the source's cut-over."""
    since = terms.post_from[version.key.source]
    return [mapped for mapped in mapping if mapped.effective_date >= since]


def is_early(version: Version, terms: Terms) -> bool:
    """Whether the document itself is dated before its source's cut-over."""
    return version.dated is not None and version.dated < terms.post_from[version.key.source]


def _pending(past: Past) -> list[Posting]:
    """Proposals that nobody decided, or that were approved and did not post."""
    undecided = (PostingStatus.PROPOSED, PostingStatus.APPROVED)
    return [each for each in past.postings.values() if each.status in undecided]


def _plan_posting(
    found: Plan, version: Version, past: Past, mapped: MappedPosting, terms: Terms, names: Collection[str]
) -> None:
    standing = past.live().get(mapped.name)
    waiting = past.waiting(mapped.name)
    if standing is not None and _stands(past, standing, mapped):
        if waiting is not None and waiting.status is not PostingStatus.REJECTED:
            found.withdrawn.append(waiting)
        return
    same = waiting is not None and waiting.outcome == mapped.outcome() and waiting.generation == past.generation
    if waiting is not None and not same and waiting.status is not PostingStatus.REJECTED:
        found.withdrawn.append(waiting)
    if waiting is not None and same and waiting.status is PostingStatus.REJECTED:
        return
    undone = _undoing(version, past, standing, terms, standing.effective_date) if standing else None
    free = free_from(past, mapped, names, undone)
    made = _making(version, past, mapped, terms, waiting if same else None, free)
    if mapped.policy is Policy.PROPOSED and not (same and made.posting.status is PostingStatus.APPROVED):
        found.propose.append(made)
        return
    if undone is not None:
        found.undo.append(undone)
    found.make.append(made)


def free_from(past: Past, mapped: MappedPosting, names: Collection[str], undone: Undoing | None = None) -> date:
    """The first day on which the books hold nothing of the posting's earlier versions, nor of what it took the place of.
    `names`: of all postings that are called for; `undone`: the version that stands, and is reversed now."""
    until = past.held_until(mapped.name, names)
    if undone is not None and undone.draft.effective_date > undone.posting.effective_date:
        return max(until, undone.draft.effective_date)
    return until


def _undoing(version: Version, past: Past, standing: Posting, terms: Terms, day: date) -> Undoing:
    return Undoing(standing, reversal_draft(version.key, past, standing, terms, day))


def _making(
    version: Version, past: Past, mapped: MappedPosting, terms: Terms, waiting: Posting | None, free: date
) -> Making:
    day, why = posting_day(mapped, free, terms)
    posting = waiting or Posting(
        name=mapped.name,
        number=past.next_number(mapped.name),
        generation=past.generation,
        outcome=mapped.outcome(),
        status=PostingStatus.PROPOSED,
        rule=mapped.rule,
        ruleset_version=terms.ruleset_version,
        effective_date=day,
        substance=mapped.substance(),
    )
    draft = entry_draft(version.key, posting, mapped, terms, day, why)
    return Making(posting._replace(effective_date=day), mapped, draft)


def posting_day(mapped: MappedPosting, free: date, terms: Terms) -> tuple[date, str]:
    """The date of a posting's entry, not before `free`, and what to say of it where that is not its own."""
    own = open_day(mapped.effective_date, terms.locked_through)
    day = open_day(max(own, free), terms.locked_through)
    return day, LOCKED if day == own else HELD


def _plan_rest(
    found: Plan, version: Version, past: Past, wanted: Iterable[MappedPosting], *, ceased: bool, terms: Terms
) -> None:
    """What stands or waits, and is not called for any more."""
    names = {mapped.name for mapped in wanted}
    for standing in past.live().values():
        if standing.name not in names:
            day = max(standing.effective_date, version.ceased_on) if ceased else standing.effective_date
            found.undo.append(_undoing(version, past, standing, terms, day))
    found.withdrawn += [each for each in _pending(past) if each.name not in names]


def _status(found: Plan, past: Past, *, dropped: bool) -> DocumentStatus:
    if found.propose:
        return DocumentStatus.PROPOSED
    if found.make or len(past.live()) > len(found.undo):
        return DocumentStatus.POSTED
    return DocumentStatus.BEFORE_CUTOVER if dropped else DocumentStatus.NOTHING
