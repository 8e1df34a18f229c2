"""From the records of a declared API to documents. No I/O.

Dates are the calendar dates that are stated; one of a moment is `day(…)`, in UTC or the zone that is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sources.connectors.rest_expressions import Expression, Unworkable, moment
from sources.connectors.rest_settings import Declared
from sources.documents import Deletion, Document, Problem
from sources.plain_documents import Fault, InvalidDocument, read_document
from sources.texts import clean, plain

UNREADABLE = "UNREADABLE_RECORD"
_LONGEST_REASON = 1_500
_LONGEST_WORD = 100
_WITHOUT_VALUES: Final[Mapping[str, str]] = {
    "MISSING": "is missing",
    "INVALID_AMOUNT": "is no amount of its currency",
    "AMOUNT_OUT_OF_RANGE": "is larger than can be kept",
    "UNKNOWN_CURRENCY": "is not a currency of ISO 4217",
    "INVALID_DATE": "is not a date, 2026-01-31, or not in its place",
    "INVALID_TEXT": "is not a text that can be kept",
    "INVALID_VALUE": "has a value that cannot stand there",
}
"""What is told of payroll: whoever sees issues may not see what anybody earns."""


@dataclass(slots=True)
class Reading:
    """What one page of a listing held. `newest`: the newest moment that a record stated, in seconds since 1970."""

    documents: list[Document] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    newest: float = 0.0

    def add(self, declared: Declared, record: Any, listed: Any, again: str | None = None) -> None:
        """A record, and what the listing itself said of it. `again`: of its problem."""
        try:
            self._note_moment(declared, record, listed)
            if is_true(declared.skip, record):
                return
            if is_true(declared.deleted, record):
                self._delete(declared, record, again)
                return
            values = _values(declared, record)
        except Unworkable as error:
            self.refuse(declared, record, f"cannot be read: {error}", again)
            return
        try:
            # Names and wages of persons are behind a scope of their own, and what is kept beside a document is not.
            kept = isinstance(record, Mapping) and declared.kind != "payroll_run"
            raw = plain(record) if kept else {}
            self.documents.append(read_document(declared.kind, values, raw=raw, minor_units=declared.minor_units))
        except InvalidDocument as invalid:
            self.refuse(declared, record, f"cannot be read: {_told(declared, invalid.faults)}", again)
        except RecursionError:
            self.refuse(declared, record, "is nested too deeply", again)

    def refuse(self, declared: Declared, record: Any, reason: str, again: str | None = None) -> None:
        """A record that makes no document, which is not gone for that. `reason`: what follows its name."""
        identifier = identify(declared, record)
        subject = f"{declared.kind.replace('_', ' ')} {(identifier or _shown(declared, record))[:80]}"
        message = f"The {subject} {reason[:_LONGEST_REASON]}."
        self.problems.append(Problem(subject=subject, code=UNREADABLE, message=message, again=again))
        self.unread.append((declared.kind, identifier))

    def _delete(self, declared: Declared, record: Any, again: str | None) -> None:
        identifier = identify(declared, record)
        if identifier.strip():
            self.deletions.append(Deletion(kind=declared.kind, external_id=identifier))
        else:
            self.refuse(declared, record, "was deleted, and does not say which it is: external_id is missing", again)

    def _note_moment(self, declared: Declared, record: Any, listed: Any) -> None:
        if declared.changed is not None and declared.changed.field is not None:
            for each in (record, listed):
                self.newest = max(self.newest, moment(declared.changed.field.search(each)) or 0.0)


def is_true(test: Any, record: Any) -> bool:
    """Raises Unworkable."""
    return test is not None and bool(test.is_true(record))


def identify(declared: Declared, record: Any) -> str:
    """The document's external id, "" where it cannot be found."""
    return _identifier(declared.fields["external_id"], record)


def _shown(declared: Declared, record: Any) -> str:
    """What a person may find the record by, where its external id stands in its own answer alone."""
    return (_identifier(declared.item_id, record) if declared.item is not None else "") or "?"


def _identifier(path: Expression, record: Any) -> str:
    try:
        found = path.search(record)
    except Unworkable:
        return ""
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def _values(declared: Declared, record: Any) -> dict[str, Any]:
    """By the fields of the document, as the record states them. Raises Unworkable."""
    found = dict(declared.fixed)
    for name, path in declared.fields.items():
        try:
            value = path.search(record)
        except Unworkable as error:
            raise Unworkable(f"{name}: {error}") from None
        if name in declared.values:
            stated, value = value, declared.values[name].get(_word(value), value)
            if name == "status" and "source_status" not in declared.fields and isinstance(stated, (str, int)):
                found.setdefault("source_status", clean(_word(stated))[:_LONGEST_WORD])
        if value is not None:
            found[name] = value
    return found


def _word(value: Any) -> str:
    """As a TOML key writes it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _told(declared: Declared, faults: Sequence[Fault]) -> str:
    if declared.kind != "payroll_run":
        return str(InvalidDocument(faults))
    return "; ".join(f"{'.'.join(fault.path)} {_WITHOUT_VALUES.get(fault.code, fault.message)}" for fault in faults)
