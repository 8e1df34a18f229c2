"""Words for what only the books can tell: each fault that the database finds, as a reason with its path and what to do."""

from __future__ import annotations

from typing import Any

from sources.ledger.model import Draft, EntryDraft, Reason, RejectionCode, ReversalDraft

STOPPED = Reason(
    RejectionCode.BATCH_REJECTED, "another entry of the atomic batch was refused, so nothing of it was posted"
)
OVERFLOW = Reason(
    RejectionCode.AMOUNT_OUT_OF_RANGE,
    "a balance would exceed 9.2 * 10^18 minor units; post to another account or split the amounts over years",
    ("lines",),
)

CONSTRAINTS: dict[str, Reason] = {
    "line_functional_balances": Reason(RejectionCode.UNBALANCED, "the functional amounts do not balance", ("lines",)),
    "line_balances": Reason(RejectionCode.UNBALANCED, "the amounts do not balance", ("lines",)),
    "line_amount_range": Reason(RejectionCode.AMOUNT_OUT_OF_RANGE, "an amount is too large; split it", ("lines",)),
    "line_not_empty": Reason(RejectionCode.INVALID_AMOUNT, "a line's amounts are both zero; leave it out", ("lines",)),
    "entry_line_count_range": Reason(RejectionCode.TOO_MANY_LINES, "an entry takes 2 to 10,000 lines", ("lines",)),
    "entry_key_length": Reason(
        RejectionCode.INVALID_KEY, "idempotencyKey needs 1 to 255 characters", ("idempotencyKey",)
    ),
    "entry_description_length": Reason(
        RejectionCode.INVALID_TEXT, "description needs 1 to 1,000 characters", ("description",)
    ),
    "entry_date_range": Reason(
        RejectionCode.INVALID_DATE, "effectiveDate is outside 1900-01-01 to 2199-12-31", ("effectiveDate",)
    ),
}
"""What a constraint of the second proof means, by its name. The rules refuse all of it before; this is for the day that
they do not."""


def found_by_database(draft: Draft, fault: dict[str, Any]) -> Reason:
    """One fault of `ledger.post_entries`: {code, line (from 1; 0: the entry itself), detail}."""
    code = RejectionCode(fault["code"])
    detail = fault["detail"]
    if isinstance(draft, EntryDraft) and fault["line"]:
        index = fault["line"] - 1
        field = "currency" if code is RejectionCode.CURRENCY_MISMATCH else "account"
        return Reason(code, _about_line(code, draft, index, detail), ("lines", str(index), field))
    field = "sequence" if code in (RejectionCode.UNKNOWN_ENTRY, RejectionCode.ALREADY_REVERSED) else "effectiveDate"
    return Reason(code, _about_entry(code, draft, detail), (field,))


def reversed_twice(sequence: int | None) -> Reason:
    """Two reversals of one entry in one atomic batch."""
    message = f"the batch reverses entry {sequence} twice; reverse it once"
    return Reason(RejectionCode.ALREADY_REVERSED, message, ("sequence",))


def key_used_twice() -> Reason:
    """One key with two bodies in one atomic batch, where neither is in the books."""
    message = "the atomic batch uses this key twice with different bodies; give each entry its own key"
    return Reason(RejectionCode.INVALID_KEY, message, ("idempotencyKey",))


def _about_line(code: RejectionCode, draft: EntryDraft, index: int, detail: str | None) -> str:
    account = draft.lines[index].account
    if code is RejectionCode.UNKNOWN_ACCOUNT:
        return f"there is no account {account!r} in ledger {draft.ledger.code}; create it or name another"
    if code is RejectionCode.INACTIVE_ACCOUNT:
        return f"the account {account!r} is inactive; activate it or name another"
    currency = draft.lines[index].currency or draft.ledger.functional_currency
    return f"the account {account!r} takes {detail} only, not {currency}; name another account"


def _about_entry(code: RejectionCode, draft: Draft, detail: str | None) -> str:
    day = draft.effective_date
    if code is RejectionCode.PERIOD_LOCKED:
        return f"the ledger is locked through {detail}, and effectiveDate is {day}; take a later date"
    sequence = draft.sequence if isinstance(draft, ReversalDraft) else 0
    if code is RejectionCode.UNKNOWN_ENTRY:
        return f"there is no entry {sequence} in ledger {draft.ledger.code}"
    if code is RejectionCode.ALREADY_REVERSED:
        return f"entry {sequence} was reversed before, by entry {detail}"
    return f"entry {sequence} is dated {detail}, and effectiveDate is {day}; date the reversal {detail} or later"
