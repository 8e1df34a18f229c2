"""What a document that maps may have to wait for: another one of the same bill, or its order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sources.mapping import matching_bills
from sources.mapping.matching_bills import Tolerance
from sources.pipeline.documents import Document
from sources.pipeline.model import Finding, Key
from sources.pipeline.taking import DUPLICATE_CODE

_DUPLICATE_HINT: Final = "If it is another bill, resolve this issue: then it posts. If it is the same one, void it in its source, or mute this issue."


def mismatch(document: Document, cleared: Collection[str], tolerance: Tolerance = Tolerance()) -> Finding | None:
    """Of a bill, how it disagrees with what was ordered and received, unless a person let it pass. `cleared`: codes of what a
    person let pass."""
    if matching_bills.CODE in cleared or not document.is_of_order:
        return None
    found = matching_bills.mismatches(document.row or {}, tolerance)
    return (
        Finding(matching_bills.CODE, " ".join(each.message for each in found), matching_bills.HINT) if found else None
    )


def duplicate(document: Document, cleared: Collection[str], claimed: Mapping[bytes, Sequence[Key]]) -> Finding | None:
    """That a bill has come from another system, unless a person let it pass. `claimed`: bill -> the documents that have
    posted it, or are to."""
    if document.bill is None or DUPLICATE_CODE in cleared:
        return None
    own = document.version.key.source
    others = [key for key in claimed.get(document.bill, ()) if key.source != own]
    if not others:
        return None
    message = (
        f"It has the supplier's tax id, number, total and currency of the bill {others[0].external_id} of "
        f"{others[0].source}, which has posted, or is to."
    )
    return Finding(DUPLICATE_CODE, message, _DUPLICATE_HINT)
