"""Postings as drafts of the ledger: keys that a crash does not change, and days that are not locked. No I/O."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Final

from sources.ledger.model import EntryDraft, LineDraft, ReversalDraft
from sources.ledger.texts import MAX_DESCRIPTION
from sources.mapping.model import MappedLine, MappedPosting
from sources.money import EXPONENTS, format_minor
from sources.pipeline.model import Key, Past, Posting, Terms

POSTED_BY: Final = "pipeline"
REVERSED: Final = ":reversed"
LOCKED: Final = "as that period is locked"
HELD: Final = "as the books held it until then"
_DOCUMENT_ROOM: Final = 120
_NAME_ROOM: Final = 80
_ESCAPES = str.maketrans({"%": "%25", ":": "%3A"})


def document_prefix(key: Key) -> str:
    """What the keys of all entries of a document, and of no other one, begin with."""
    return f"doc:{_short(':'.join([part.translate(_ESCAPES) for part in key]), _DOCUMENT_ROOM)}:"


def entry_key(key: Key, posting: Posting) -> str:
    """doc:{source}:{kind}:{account}:{external_id}:{name}:{generation}.{number}, with % and : in a part escaped, so that no
    two documents share one. The document, or the name, ends in its SHA-256 where it is long: with REVERSED behind, the key
    fits into what the ledger takes."""
    name = _short(posting.name.translate(_ESCAPES), _NAME_ROOM)
    return f"{document_prefix(key)}{name}:{posting.generation}.{posting.number}"


def parse_key(text: str, key: Key) -> tuple[str, int, int, bool]:
    """(name, generation, number, whether it is a reversal's) of a key that begins with the document's prefix. Raises
    ValueError."""
    is_reversal = text.endswith(REVERSED)
    rest = text.removesuffix(REVERSED).removeprefix(document_prefix(key))
    name, counts = rest.rsplit(":", 1)
    generation, number = counts.split(".")
    return name.replace("%3A", ":").replace("%25", "%"), int(generation), int(number), is_reversal


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 65]}~{hashlib.sha256(text.encode()).hexdigest()}"


def entry_draft(
    key: Key, posting: Posting, mapped: MappedPosting, terms: Terms, day: date, why: str = LOCKED
) -> EntryDraft:
    """The entry of a posting, dated `day`: its own date, or a later one, `why` (LOCKED or HELD)."""
    return EntryDraft(
        ledger=terms.ledger,
        idempotency_key=entry_key(key, posting),
        effective_date=day,
        description=_moved(mapped.description, mapped.effective_date, day, why),
        lines=tuple([line_draft(line, terms.ledger.functional_currency) for line in mapped.lines]),
        posted_by=POSTED_BY,
        document_date=mapped.document_date,
        journal=mapped.journal,
        reference=mapped.reference,
        origin=key.source,
    )


def reversal_draft(key: Key, past: Past, posting: Posting, terms: Terms, since: date) -> ReversalDraft:
    """The reversal of a live posting as of `since`, or of the first open day; where its entry was reversed and stands again,
    of what restored it, and not before that."""
    assert posting.sequence is not None
    sequence, earliest = past.restored.get(posting.sequence, (posting.sequence, since))
    since = max(since, earliest)
    day = open_day(since, terms.locked_through)
    described = None if day == since else _moved(f"Reversal of entry {sequence}", since, day, LOCKED)
    return ReversalDraft(
        ledger=terms.ledger,
        idempotency_key=entry_key(key, posting) + REVERSED,
        sequence=sequence,
        effective_date=day,
        posted_by=POSTED_BY,
        description=described,
        origin=key.source,
    )


def open_day(day: date, locked_through: date | None) -> date:
    """The day itself, or the first one after what is locked."""
    return day if locked_through is None or day > locked_through else locked_through + timedelta(days=1)


def line_draft(line: MappedLine, functional_currency: str) -> LineDraft:
    """Minor units as the ledger's decimal strings. The functional amount decides the side where there is no other."""
    is_debit = (line.amount or line.functional or 0) >= 0
    amount = format_minor(abs(line.amount), EXPONENTS[line.currency])
    functional = None
    if line.functional is not None:
        signed = line.functional if is_debit else -line.functional
        functional = format_minor(signed, EXPONENTS[functional_currency])
    return LineDraft(
        account=line.account,
        debit=amount if is_debit else None,
        credit=None if is_debit else amount,
        currency=line.currency,
        functional_amount=functional,
        description=line.description,
        tax_code=line.tax_code,
        dimensions=line.dimensions,
    )


def _moved(description: str, own: date, day: date, why: str) -> str:
    """The description; of an entry that was moved to a later day it says so."""
    if day == own:
        return description
    words = f" (of {own}; dated {day}, {why})"
    return description[: MAX_DESCRIPTION - len(words)] + words
