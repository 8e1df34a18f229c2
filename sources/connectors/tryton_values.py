"""Tryton's values: dates, times and decimals that JSON carries as objects, and the parts of records. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sources.money import EXPONENTS, MAX_MINOR, parse_minor

Record = Mapping[str, Any]

_DATE = ("year", "month", "day")
_TIME = ("hour", "minute", "second", "microsecond")


class UnreadableRecord(ValueError):
    """A record cannot be read; the others can. The text says why, for a person; it begins with "its"."""

    def __init__(self, message: str, code: str = "UNREADABLE_RECORD") -> None:
        super().__init__(message)
        self.code = code


def text(record: Record, name: str) -> str | None:
    """None: it has none, or a blank one."""
    value = record.get(name)
    return value.strip() or None if isinstance(value, str) else None


def related(record: Record, name: str) -> Record:
    """The record that a field leads to, as far as it was asked for; {}: none."""
    value = record.get(f"{name}.")
    return value if isinstance(value, dict) else {}


def listed(record: Record, name: str) -> list[Record]:
    """The records that a field lists."""
    value = record.get(f"{name}.")
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def day(record: Record, name: str) -> date | None:
    """A date. Raises UnreadableRecord."""
    value = record.get(name)
    if value is None:
        return None
    try:
        return date(*[value[part] for part in _DATE])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnreadableRecord(f"its {name} is no date") from None


def time(record: Record, name: str) -> datetime | None:
    """A time, without a zone: Tryton's are UTC. Raises UnreadableRecord."""
    value = record.get(name)
    if value is None:
        return None
    try:
        return datetime(*[value[part] for part in (*_DATE, *_TIME)])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UnreadableRecord(f"its {name} is no time") from None


def decimal(record: Record, name: str) -> Decimal | None:
    """A number, exactly as it was written: a decimal, or a float's own digits. Raises UnreadableRecord."""
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, dict):
        value = value.get("decimal")
    try:
        number = Decimal(value) if isinstance(value, (str, int, Decimal)) and not isinstance(value, bool) else None
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number.adjusted()) > 30:
        raise UnreadableRecord(f"its {name} is no number")
    return number


def need_decimal(record: Record, name: str) -> Decimal:
    """Raises UnreadableRecord where there is none."""
    number = decimal(record, name)
    if number is None:
        raise UnreadableRecord(f"its {name} is missing")
    return number


def written(number: Decimal) -> str:
    """Without an exponent and without trailing zeros: 3.0 is 3, 1E+2 is 100."""
    shown = format(number, "f")
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


class Money:
    """Reads amounts of a currency (ISO 4217) as minor units; `negated`: with the other sign."""

    def __init__(self, currency: str | None, *, negated: bool = False) -> None:
        if currency not in EXPONENTS:
            raise UnreadableRecord(f"its currency {(currency or '')[:10]!r} is not in ISO 4217", "UNKNOWN_CURRENCY")
        self.currency = currency
        self._sign = -1 if negated else 1

    def need(self, record: Record, name: str) -> int:
        """Raises UnreadableRecord: there is no amount, or it is no whole number of minor units."""
        number = need_decimal(record, name)
        try:
            minor = parse_minor(format(number, "f"), EXPONENTS[self.currency])
        except ValueError as error:
            raise UnreadableRecord(
                f"its {name} of {written(number)} {self.currency} {error}", "INEXACT_AMOUNT"
            ) from None
        if abs(minor) > MAX_MINOR:
            raise UnreadableRecord(f"its {name} is beyond {MAX_MINOR} minor units", "AMOUNT_OUT_OF_RANGE")
        return self._sign * minor
