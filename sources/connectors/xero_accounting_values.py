"""Values in records of Xero's accounting API: texts, dates, decimals, amounts. No I/O.

Xero writes dates as `/Date(1518685950940+0000)/`: milliseconds since 1970, of a calendar date at its midnight in UTC, whatever the
organisation's time zone; the same date stands beside it as a text (`DateString`), which goes before.
https://developer.xero.com/documentation/api/accounting/requests-and-responses
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sources.money import EXPONENTS, MAX_MINOR, parse_minor
from sources.texts import clean, plain

Record = Mapping[str, Any]

_ISO_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:[T ]\d{2}:\d{2}[0-9:.+Z-]*)?", re.ASCII)
_MICROSOFT_DATE = re.compile(r"/Date\((-?\d{1,14})(?:[+-]\d{4})?\)/", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

# When it was touched, what opens it to whoever holds it, and what it tells of persons beyond the party's name.
_UNKEPT = frozenset(
    {
        "UpdatedDateUTC", "UpdatedDateUTCString", "Url", "Attachments", "ValidationErrors", "Warnings", "Addresses", "Phones",
        "ContactGroups", "ContactPersons", "InvoiceAddresses", "BankAccountNumber", "BankAccountDetails", "EmailAddress",
        "FirstName", "LastName", "SkypeUserName", "BatchPayments",
    }
)  # fmt: skip


class UnreadableRecord(ValueError):
    """A record cannot be read; the others can. The text says why, for a person; it begins with "its"."""

    def __init__(self, message: str, code: str = "UNREADABLE_RECORD") -> None:
        super().__init__(message)
        self.code = code


def text(record: Record, name: str) -> str | None:
    """None: it has none, or a blank one."""
    value = record.get(name)
    return clean(value).strip() or None if isinstance(value, str) else None


def part(record: Record, name: str) -> Record:
    """A record within the record; {}: there is none."""
    value = record.get(name)
    return value if isinstance(value, dict) else {}


def listed(record: Record, name: str) -> list[Record]:
    """Records that the record lists. Raises UnreadableRecord where it is something else."""
    value = record.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise UnreadableRecord(f"its {name} is no list of records")
    return value


def identity(record: Record, name: str) -> str:
    """An id. Raises UnreadableRecord."""
    value = record.get(name)
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise UnreadableRecord(f"its {name} is no identifier")
    return value


def day(record: Record, name: str) -> date | None:
    """A calendar date; None: it has none. Raises UnreadableRecord."""
    value = record.get(f"{name}String") or record.get(name)
    if value is None:
        return None
    stated = value if isinstance(value, str) else ""
    try:
        if iso := _ISO_DATE.fullmatch(stated):
            return date.fromisoformat(iso[1])
        found = moment(stated)
    except ValueError:
        found = None
    if found is None:
        raise UnreadableRecord(f"its {name} is no date")
    return found.date()


def moment(value: Any) -> datetime | None:
    """A moment in UTC of `/Date(…)/`; None: it is something else, or beyond what a date can be."""
    found = _MICROSOFT_DATE.fullmatch(value) if isinstance(value, str) else None
    try:
        return None if found is None else _EPOCH + timedelta(milliseconds=int(found[1]))
    except OverflowError:
        return None


def decimal(record: Record, name: str) -> Decimal | None:
    """A number, exactly as it was written. Raises UnreadableRecord."""
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise UnreadableRecord(f"its {name} is no number")
    number = Decimal(value)
    if abs(number.adjusted()) > 30:  # before it is written out: 1E+999999 is a short text of a long number
        raise UnreadableRecord(f"its {name} is out of range", "AMOUNT_OUT_OF_RANGE")
    return number


def written(number: Decimal) -> str:
    """Without an exponent and without trailing zeros: 15.0 is 15."""
    shown = format(number, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


class Money:
    """Reads amounts of a currency (ISO 4217) as minor units. Raises UnreadableRecord for one that is not known."""

    def __init__(self, currency: str | None) -> None:
        if currency not in EXPONENTS:
            raise UnreadableRecord(f"its currency {(currency or '')[:10]!r} is not in ISO 4217", "UNKNOWN_CURRENCY")
        self.currency = currency

    def need(self, record: Record, name: str) -> int:
        """Raises UnreadableRecord: there is no amount, or it is no whole number of minor units."""
        amount = self.get(record, name)
        if amount is None:
            raise UnreadableRecord(f"its {name} is missing")
        return amount

    def get(self, record: Record, name: str) -> int | None:
        """None: there is no amount. Raises UnreadableRecord."""
        number = decimal(record, name)
        if number is None:
            return None
        try:
            minor = parse_minor(format(number, "f"), EXPONENTS[self.currency])
        except ValueError as error:
            message = f"its {name} of {written(number)} {self.currency} {error}"
            raise UnreadableRecord(message, "INEXACT_AMOUNT") from None
        if abs(minor) > MAX_MINOR:
            raise UnreadableRecord(f"its {name} is beyond {MAX_MINOR} minor units", "AMOUNT_OUT_OF_RANGE")
        return minor


def kept(record: Record) -> dict[str, Any]:
    """The record as it is stored beside the document. Raises UnreadableRecord."""
    try:
        raw: dict[str, Any] = plain(_kept(record))
    except RecursionError:
        raise UnreadableRecord("it is nested too deeply") from None
    return raw


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _kept(each) for name, each in value.items() if name not in _UNKEPT}
    return [_kept(each) for each in value] if isinstance(value, list) else value
