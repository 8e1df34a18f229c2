"""What the ledger answered, as what is now known of a document. Pure.

A key that a crash left in the books unrecorded is met again as a replay, or as a conflict when the document, or what is locked,
changed meanwhile: either way the entry is taken over as it stands, and what is still to be done is planned anew from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from sources.ledger.model import Conflict, Outcome, Posted, Reason, Rejected, RejectionCode
from sources.ledger.rules import check
from sources.pipeline.drafting import entry_draft
from sources.pipeline.model import (
    UNKNOWN_OUTCOME,
    Finding,
    Key,
    Making,
    Past,
    Plan,
    PostingStatus,
    Terms,
    Undoing,
)

Step = Undoing | Making
_PASSING = frozenset({RejectionCode.BATCH_REJECTED, RejectionCode.PERIOD_LOCKED, RejectionCode.ALREADY_REVERSED})
_HINTS: Mapping[RejectionCode, str] = {
    RejectionCode.UNKNOWN_ACCOUNT: "Create the account, or name another one in the rules.",
    RejectionCode.INACTIVE_ACCOUNT: "Activate the account, or name another one in the rules.",
    RejectionCode.CURRENCY_MISMATCH: "Name an account in the rules that takes this currency.",
    RejectionCode.INVALID_DATE: "Correct the date in the source, or take another field for it in the rules.",
}
_HINT = "Correct the document in its source, or the rules; it is tried again by itself."


class Standing(NamedTuple):
    """An entry of the books: what a conflict or a reversal by another hand leads to."""

    sequence: int
    effective_date: date
    body_hash: bytes
    reverses: int | None


@dataclass(slots=True)
class Verdict:
    """`again`: what is known has changed, so plan anew. `locked`: the books were locked meanwhile. `finding`: why it cannot be
    posted."""

    again: bool = False
    locked: bool = False
    finding: Finding | None = None
    posted: list[tuple[Step, int]] = field(default_factory=list)


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
    books: Mapping[int, Standing],
    reversals: Mapping[int, Standing],
    terms: Terms,
) -> Verdict:
    """Keeps in `past` what the books now hold of a plan's drafts. `books` by sequence, `reversals` by what they reverse."""
    verdict = Verdict()
    for step, outcome in zip(plan.steps(), outcomes, strict=True):
        match outcome:
            case Posted(_, sequence, _):
                _keep(past, verdict, step, sequence)
            case Conflict(_, _, sequence):
                verdict.again = True
                _take_over(key, past, verdict, step, books[sequence], terms)
            case Rejected(reasons):
                _refuse(past, verdict, step, reasons, reversals)
    return verdict


def _keep(past: Past, verdict: Verdict, step: Step, sequence: int) -> None:
    posting = step.posting
    if isinstance(step, Undoing):
        past.keep(posting._replace(status=PostingStatus.REVERSED, reversal_sequence=sequence))
    else:
        past.keep(posting._replace(status=PostingStatus.POSTED, sequence=sequence))
    verdict.posted.append((step, sequence))


def _take_over(key: Key, past: Past, verdict: Verdict, step: Step, found: Standing, terms: Terms) -> None:
    if isinstance(step, Making):
        same = check(entry_draft(key, step.posting, step.mapped, terms, found.effective_date))[0]
        outcome = step.posting.outcome if same and same.body_hash == found.body_hash else UNKNOWN_OUTCOME
        posting = step.posting._replace(outcome=outcome, effective_date=found.effective_date)
        step = Making(posting, step.mapped, step.draft)
    _keep(past, verdict, step, found.sequence)


def _refuse(
    past: Past, verdict: Verdict, step: Step, reasons: Sequence[Reason], reversals: Mapping[int, Standing]
) -> None:
    if isinstance(step, Undoing) and (found := reversals.get(step.posting.sequence or 0)):
        verdict.again = True
        _keep(past, verdict, step, found.sequence)
        return
    verdict.locked |= any(reason.code is RejectionCode.PERIOD_LOCKED for reason in reasons)
    told = [reason for reason in reasons if reason.code not in _PASSING]
    if told and verdict.finding is None:
        message = " ".join(dict.fromkeys(f"{reason.message[:1].upper()}{reason.message[1:]}." for reason in told[:3]))
        verdict.finding = Finding(told[0].code.value, message, _HINTS.get(told[0].code, _HINT))


def _says(outcome: Outcome, code: RejectionCode) -> bool:
    return isinstance(outcome, Rejected) and any(reason.code is code for reason in outcome.reasons)
