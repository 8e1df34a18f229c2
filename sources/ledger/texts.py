"""What a text of the ledger may hold: Unicode of a bounded length, without control characters but tab and newline."""

from __future__ import annotations

import re
from typing import Final

from sources.ledger.model import Reason, RejectionCode

MAX_CODE: Final = 255
"""Codes, keys, references, names and dimension values, in characters."""

MAX_DESCRIPTION: Final = 1_000

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")


def is_sendable(text: str) -> bool:
    """Whether PostgreSQL can take this text: no NUL, no lone surrogate."""
    return text.isprintable() or not _UNSENDABLE.search(text)


def text_faults(text: str, path: tuple[str, ...], limit: int, *, required: bool = False) -> list[Reason]:
    """What is wrong with one text: its length, its characters, or that it is blank."""
    if len(text) <= limit and text.isprintable() and not (required and not text.strip()):
        return []
    faults = []
    if len(text) > limit:
        faults.append(f"has {len(text):,} characters; shorten it to {limit:,}")
    if not text.isprintable() and (found := _CONTROL.search(text)):
        faults.append(f"holds the character U+{ord(found[0]):04X}; remove control characters and lone surrogates")
    if required and not text.strip():
        faults.append("is blank; state a text")
    return [Reason(RejectionCode.INVALID_TEXT, f"{path[-1]} {fault}", path) for fault in faults]
