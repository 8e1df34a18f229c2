"""Reading the parts of Stripe's records: ids, texts, amounts, days. Lenient on texts, strict on amounts. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sources.money import DECIMAL, EXPONENTS, MAX_MINOR
from sources.texts import clean

Record = Mapping[str, Any]

# https://docs.stripe.com/currencies#zero-decimal and #three-decimal; all others have two. ISK and UGX have none in ISO 4217, yet
# Stripe states them with two (#special-cases); HUF and TWD are special for payouts alone.
_STATED_DECIMALS = {
    code: decimals
    for decimals, codes in (
        (0, "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"),
        (3, "BHD JOD KWD OMR TND"),
    )
    for code in codes.split()
}

_LAST_SECOND = 253_402_300_799


class UnreadableRecord(Exception):
    """One object of an answer cannot be read; the others can. The text says why, for a person."""

    def __init__(self, message: str, code: str = "UNREADABLE_RECORD") -> None:
        super().__init__(message)
        self.code = code


def minor_units(amount: int, currency: str) -> int:
    """Stripe's amount in ISO 4217 minor units: 500 ISK at Stripe are 5 krónur, 5 MGA are 500 minor units. Raises
    UnreadableRecord where that is not a whole number of minor units, or the currency is unknown."""
    if currency not in EXPONENTS:
        raise UnreadableRecord(f"its currency {currency[:10]!r} is not in ISO 4217", "UNKNOWN_CURRENCY")
    scaled, rest = divmod(amount * 10 ** EXPONENTS[currency], 10 ** _STATED_DECIMALS.get(currency, 2))
    if rest:
        raise UnreadableRecord(f"{amount} is no whole number of {currency} minor units", "INEXACT_AMOUNT")
    if abs(scaled) > MAX_MINOR:
        raise UnreadableRecord(f"{amount} {currency} is beyond {MAX_MINOR} minor units", "AMOUNT_OUT_OF_RANGE")
    return int(scaled)


class Money:
    """Reads the amounts of one record in its currency."""

    def __init__(self, record: Record) -> None:
        self.currency = (text(record, "currency") or "").upper()

    def get(self, record: Record, key: str) -> int | None:
        amount = whole(record, key)
        return None if amount is None else minor_units(amount, self.currency)

    def need(self, record: Record, key: str) -> int:
        amount = self.get(record, key)
        if amount is None:
            raise UnreadableRecord(f"it has no {key}")
        return amount

    def sum(self, records: Sequence[Record]) -> int:
        return sum(self.need(record, "amount") for record in records)


def identity(record: Any) -> str:
    """The record's id. Raises UnreadableRecord where there is none."""
    value = text(record, "id") if isinstance(record, dict) else None
    if value is None or len(value) > 255:
        raise UnreadableRecord("it has no id")
    return value


def text(record: Record, key: str) -> str | None:
    """A non-blank text, or None."""
    value = record.get(key)
    return clean(value).strip() or None if isinstance(value, str) else None


def whole(record: Record, key: str) -> int | None:
    """A whole number, or None where there is none. Raises UnreadableRecord for anything else."""
    value = record.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= 2**63:
        raise UnreadableRecord(f"its {key} is not a whole number of 64 bits")
    return value


def reference(value: Any) -> str | None:
    """The id of a related object, whether it is stated as an id or expanded into the object."""
    if isinstance(value, dict):
        return text(value, "id")
    return clean(value) or None if isinstance(value, str) else None


def embedded(record: Record, key: str) -> tuple[list[Any], bool]:
    """The objects of a list inside a record, and whether there are more than it holds."""
    value = record.get(key)
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        return [], False
    return value["data"], bool(value.get("has_more"))


def day(record: Record, key: str) -> date | None:
    seconds = whole(record, key)
    if seconds is None:
        return None
    if not 0 <= seconds <= _LAST_SECOND:
        raise UnreadableRecord(f"its {key} is no time")
    return datetime.fromtimestamp(seconds, UTC).date()


def mapping(record: Record, key: str) -> Record:
    value = record.get(key)
    return value if isinstance(value, dict) else {}


def items(record: Record, *keys: str) -> list[Record] | None:
    """The first of the keys that holds a list, as records. Raises UnreadableRecord where an element is none."""
    found = next((record[key] for key in keys if isinstance(record.get(key), list)), None)
    if found is not None and not all(isinstance(item, dict) for item in found):
        raise UnreadableRecord(f"its {keys[0]} cannot be read")
    return found


def decimal_text(value: Any) -> str | None:
    """A JSON number, or the text of one, as the text of an exact decimal; None for what is none, or has absurdly many
    digits."""
    if isinstance(value, Decimal) and value.is_finite() and -40 <= value.adjusted() <= 40:
        value = f"{value:f}"
    elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        value = str(value)
    return value if isinstance(value, str) and DECIMAL.fullmatch(value) else None
