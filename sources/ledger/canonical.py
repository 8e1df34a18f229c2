"""The canonical form, version 1: the bytes that a posted entry's hashes cover. `docs/canonical-form.md` is its specification.

Nothing in it depends on session settings, on time zones, or on how a caller wrote a number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import orjson

VERSION: Final = 1
"""Stored with every entry as `canonical_version`."""


@dataclass(slots=True, kw_only=True)
class CanonicalLine:
    """A line with everything resolved. Amounts are minor units, debit positive; `functional_amount` always has a value."""

    account: str
    currency: str
    amount: int
    functional_amount: int
    description: str | None = None
    tax_code: str | None = None
    dimensions: Mapping[str, str] = field(default_factory=dict)


def entry_body(
    *,
    effective_date: date | str,
    description: str,
    lines: Sequence[CanonicalLine],
    document_date: date | str | None = None,
    journal: str | None = None,
    reference: str | None = None,
) -> bytes:
    """The canonical body of an entry; dates as such, or as ISO 8601. Raises ValueError when a text is not valid Unicode (a lone surrogate)."""
    body: dict[str, Any] = {
        "version": VERSION,
        "effective_date": effective_date,
        "description": description,
        "lines": [_line(line) for line in lines],
    }
    for name, value in (("document_date", document_date), ("journal", journal), ("reference", reference)):
        if value is not None:
            body[name] = value
    return _encode(body)


def reversal_body(*, reverses: int, effective_date: date | str, description: str) -> bytes:
    """The canonical body of a reversal, whose lines follow from entry `reverses`. Raises ValueError as `entry_body`."""
    return _encode(
        {"version": VERSION, "reverses": reverses, "effective_date": effective_date, "description": description}
    )


def body_hash(body: bytes) -> bytes:
    """SHA-256 of a canonical body: what tells a replay from a conflict."""
    return hashlib.sha256(body).digest()


def genesis_hash(ledger_code: str) -> bytes:
    """The link before a ledger's first entry."""
    return hashlib.sha256(b"ledgergraph genesis 1 " + ledger_code.encode()).digest()


def entry_hash(
    previous: bytes, hash_of_body: bytes, *, sequence: int, posted_micros: int, posted_by: str, origin: str, key: str
) -> bytes:
    """The link of one entry: over the previous link, the body's hash, and what posting added. `posted_micros` counts
    microseconds since 1970-01-01 UTC. `ledger.post_entries` computes the same; this is for verifying it."""
    numbers = sequence.to_bytes(8, "big") + posted_micros.to_bytes(8, "big", signed=True)
    texts = b"".join(len(text).to_bytes(4, "big") + text for text in map(str.encode, (posted_by, origin, key)))
    return hashlib.sha256(previous + hash_of_body + numbers + texts).digest()


def _line(line: CanonicalLine) -> dict[str, Any]:
    stated: dict[str, Any] = {
        "account": line.account,
        "amount": line.amount,
        "currency": line.currency,
        "functional_amount": line.functional_amount,
    }
    if line.description is not None:
        stated["description"] = line.description
    if line.tax_code is not None:
        stated["tax_code"] = line.tax_code
    if line.dimensions:
        stated["dimensions"] = line.dimensions
    return stated


def _encode(body: dict[str, Any]) -> bytes:
    """RFC 8785: keys sorted, no blanks, shortest escapes, UTF-8. (Our keys are ASCII, our numbers integers below 2^53.)"""
    try:
        return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError as refused:
        raise ValueError("a text is not valid Unicode") from refused
