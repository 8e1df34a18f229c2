"""What a document that maps may have to wait for: another one of the same bill, or its order. Pure."""

from __future__ import annotations

from typing import Final

from sources.mapping import matching_bills
from sources.mapping.matching_bills import Tolerance
from sources.pipeline import bank_days
from sources.pipeline.model import Finding
from sources.pipeline.taking import DUPLICATE_CODE, Batch, Work

_DUPLICATE_HINT: Final = "If it is another bill, resolve this issue: then it posts. If it is the same one, void it in its source, or mute this issue."


def mismatch(work: Work, tolerance: Tolerance) -> Finding | None:
    """Of a bill, how it disagrees with what was ordered and received, unless a person let it pass."""
    if matching_bills.CODE in work.cleared or not work.document.is_of_order:
        return None
    found = matching_bills.mismatches(work.document.row or {}, tolerance)
    message = " ".join(each.message for each in found)
    return Finding(matching_bills.CODE, message, matching_bills.HINT) if found else None


def duplicate(work: Work, batch: Batch) -> Finding | None:
    """That a bill, or a day of a bank account, has come from another source too, unless a person let it pass."""
    bill = work.document.bill
    if DUPLICATE_CODE in work.cleared:
        return None
    if bill is None:
        return bank_days.duplicate(work.key, batch.days, batch.days_posted)
    others = [key for key in batch.claimed.get(bill, ()) if key.source != work.key.source]
    if not others:
        return None
    message = (
        f"It has the supplier's tax id, number, total and currency of the bill {others[0].external_id} of "
        f"{others[0].source}, which has posted, or is to."
    )
    return Finding(DUPLICATE_CODE, message, _DUPLICATE_HINT)


def claim(work: Work, batch: Batch) -> None:
    """The document posts, or has posted: others that state the same wait for a person."""
    bill = work.document.bill
    if bill is not None and work.key not in batch.claimed.get(bill, ()):
        batch.claimed.setdefault(bill, []).append(work.key)
    if day := batch.days.get(work.key):
        batch.days_posted.setdefault(day, set()).add(work.key.source)
