"""What the ledger holds and answers, as what is now known of a document. Pure.

Entries that a crash left in the books unrecorded are found by their keys before anything is planned, and taken over as they
stand: the document, or what is locked, may have changed since. Who meets one later (two workers at once, after one lost its
right unawares) has a conflict, and does the same. What is still to be done is planned from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from sources.ledger.model import Conflict, Outcome, Posted, Reason, Rejected, RejectionCode
from sources.ledger.rules import check
from sources.mapping.model import MappedPosting, Mapping, Unmapped
from sources.pipeline.drafting import HELD, LOCKED, entry_draft, parse_key
from sources.pipeline.model import (
    UNKNOWN_OUTCOME,
    Finding,
    Key,
    Making,
    Past,
    Plan,
    Posting,
    PostingStatus,
    Terms,
    Undoing,
)

Step = Undoing | Making
_PASSING = frozenset({RejectionCode.BATCH_REJECTED, RejectionCode.PERIOD_LOCKED})
_HINTS: Table[RejectionCode, str] = {
    RejectionCode.UNKNOWN_ACCOUNT: "Create the account, or name another one in the rules.",
    RejectionCode.INACTIVE_ACCOUNT: "Activate the account, or name another one in the rules.",
    RejectionCode.CURRENCY_MISMATCH: "Name an account in the rules that takes this currency.",
    RejectionCode.INVALID_DATE: "Correct the date in the source, or take another field for it in the rules.",
    RejectionCode.ALREADY_REVERSED: "Look at the reversals of the document's entries; it is tried again by itself.",
}
_HINT = "Correct the document in its source, or the rules; it is tried again by itself."


class Standing(NamedTuple):
    """An entry of the books."""

    sequence: int
    idempotency_key: str
    effective_date: date
    body_hash: bytes
    reverses: int | None


def last_reversal(sequence: int, reversals: Table[int, Standing]) -> tuple[Standing | None, bool]:
    """The end of the chain of an entry's reversal, that one's reversal and so on, and whether the entry is reversed by it: each
    second of them restores it. `reversals` by what they reverse."""
    last, is_reversed = None, False
    while (found := reversals.get(last.sequence if last else sequence)) is not None:
        last, is_reversed = found, not is_reversed
    return last, is_reversed


def see_reversals(past: Past, reversals: Table[int, Standing]) -> None:
    """Keeps in `past` which of the postings that are known as live were reversed, and which of these stand again."""
    for posting in past.live().values():
        assert posting.sequence is not None
        last, is_reversed = last_reversal(posting.sequence, reversals)
        if last is not None and is_reversed:
            past.keep(_reversed(posting, last))
        elif last is not None:
            past.restored[posting.sequence] = last.sequence, last.effective_date


@dataclass(slots=True)
class Verdict:
    """`again`: what is known has changed, so plan anew. `locked`: the books were locked meanwhile. `finding`: why it cannot be
    posted."""

    again: bool = False
    locked: bool = False
    finding: Finding | None = None
    posted: list[tuple[Step, int]] = field(default_factory=list)


def take_over(
    key: Key,
    past: Past,
    strays: Iterable[Standing],
    reversals: Table[int, Standing],
    mapping: Mapping,
    terms: Terms,
) -> None:
    """Keeps in `past` the entries of the document that nothing was recorded of. `reversals`, and theirs, by what they reverse: what
    a stray replaces may have been reversed by hand."""
    mapped = {} if isinstance(mapping, Unmapped) else {each.name: each for each in mapping}
    for stray in sorted(strays):
        name, generation, number, is_reversal = parse_key(stray.idempotency_key, key)
        known = past.postings.get((name, number))
        if is_reversal:
            if known is not None:
                past.keep(_reversed(known, stray))
            continue
        wanted = mapped.get(name)
        posting = known or Posting(
            name,
            number,
            generation,
            UNKNOWN_OUTCOME,
            PostingStatus.POSTED,
            wanted.rule if wanted else past.rule or "",
            terms.ruleset_version,
            stray.effective_date,
        )
        outcome = _outcome(key, posting, wanted, stray, terms)
        past.keep(
            posting._replace(
                outcome=outcome,
                substance=_substance(outcome, wanted),
                status=PostingStatus.POSTED,
                sequence=stray.sequence,
                effective_date=stray.effective_date,
            )
        )
    _see_replaced(past, reversals)


def _see_replaced(past: Past, reversals: Table[int, Standing]) -> None:
    newest = {name: posting.number for name, posting in past.live().items()}
    for posting in list(past.postings.values()):
        if posting.status is PostingStatus.POSTED and posting.number < newest[posting.name]:
            last, _ = last_reversal(posting.sequence or 0, reversals)
            assert last is not None, "nothing is posted beside what stands"
            past.keep(_reversed(posting, last))


def _reversed(posting: Posting, by: Standing) -> Posting:
    return posting._replace(status=PostingStatus.REVERSED, reversal_sequence=by.sequence, reversed_on=by.effective_date)


def _outcome(key: Key, posting: Posting, mapped: MappedPosting | None, found: Standing, terms: Terms) -> bytes:
    """What is called for, if the entry says just that on its day."""
    if mapped is None:
        return UNKNOWN_OUTCOME
    for why in (LOCKED, HELD):
        checked = check(entry_draft(key, posting, mapped, terms, found.effective_date, why))[0]
        if checked and checked.body_hash == found.body_hash:
            return mapped.outcome()
    return UNKNOWN_OUTCOME


def _substance(outcome: bytes, mapped: MappedPosting | None) -> bytes | None:
    return None if mapped is None or outcome == UNKNOWN_OUTCOME else mapped.substance()


def to_look_up(steps: Iterable[Step], outcomes: Sequence[Outcome]) -> Iterator[tuple[int | None, int | None]]:
    """(the sequence of an entry, None) or (None, the sequence whose reversal it is) of each that `settle` has to know of."""
    for step, outcome in zip(steps, outcomes, strict=True):
        if isinstance(outcome, Conflict):
            yield outcome.sequence, None
        elif isinstance(step, Undoing) and _says(outcome, RejectionCode.ALREADY_REVERSED):
            yield None, step.posting.sequence


def settle(
    key: Key,
    past: Past,
    plan: Plan,
    outcomes: Sequence[Outcome],
    books: Table[int, Standing],
    reversals: Table[int, Standing],
    terms: Terms,
) -> Verdict:
    """Keeps in `past` what the books now hold of a plan's drafts. `books` by sequence; `reversals`, and theirs, by what they
    reverse."""
    verdict = Verdict()
    for step, outcome in zip(plan.steps(), outcomes, strict=True):
        match outcome:
            case Posted(_, sequence, _):
                _keep(past, verdict, step, sequence, step.draft.effective_date)
            case Conflict(_, _, sequence):
                verdict.again = True
                _meet(key, past, verdict, step, books[sequence], terms)
            case Rejected(reasons):
                _refuse(past, verdict, step, reasons, reversals)
    return verdict


def _keep(past: Past, verdict: Verdict, step: Step, sequence: int, day: date) -> None:
    posting = step.posting
    if isinstance(step, Undoing):
        ended = posting._replace(status=PostingStatus.REVERSED, reversal_sequence=sequence, reversed_on=day)
        past.keep(ended)
    else:
        past.keep(posting._replace(status=PostingStatus.POSTED, sequence=sequence))
    verdict.posted.append((step, sequence))


def _meet(key: Key, past: Past, verdict: Verdict, step: Step, found: Standing, terms: Terms) -> None:
    if isinstance(step, Making):
        outcome = _outcome(key, step.posting, step.mapped, found, terms)
        substance = _substance(outcome, step.mapped)
        posting = step.posting._replace(outcome=outcome, substance=substance, effective_date=found.effective_date)
        step = Making(posting, step.mapped, step.draft)
    _keep(past, verdict, step, found.sequence, found.effective_date)


def _refuse(
    past: Past, verdict: Verdict, step: Step, reasons: Sequence[Reason], reversals: Table[int, Standing]
) -> None:
    if isinstance(step, Undoing):
        last, is_reversed = last_reversal(step.posting.sequence or 0, reversals)
        if last is not None and is_reversed:
            verdict.again = True
            _keep(past, verdict, step, last.sequence, last.effective_date)
            return
        if last is not None and step.draft.sequence != last.sequence:
            verdict.again = True
            past.restored[step.posting.sequence or 0] = last.sequence, last.effective_date
            return
    verdict.locked |= any(reason.code is RejectionCode.PERIOD_LOCKED for reason in reasons)
    verdict.finding = verdict.finding or finding_of(reasons)


def finding_of(reasons: Iterable[Reason]) -> Finding | None:
    """Why the ledger refuses an entry, where it is more than what time changes."""
    told = [reason for reason in reasons if reason.code not in _PASSING]
    if not told:
        return None
    message = " ".join(dict.fromkeys(f"{reason.message[:1].upper()}{reason.message[1:]}." for reason in told[:3]))
    return Finding(told[0].code.value, message, _HINTS.get(told[0].code, _HINT))


def _says(outcome: Outcome, code: RejectionCode) -> bool:
    return isinstance(outcome, Rejected) and any(reason.code is code for reason in outcome.reasons)
