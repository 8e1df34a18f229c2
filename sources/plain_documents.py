"""Documents from plain values: texts, numbers and lists by the names of a document's fields, as inputs of the graph, columns of a
file and declared APIs state them. What `sources.documents` says of a field holds here.

Amounts are decimals of the document's currency ("12.50", 12.5 as a Decimal, 12), or minor units where the caller says so; a float is
refused. Dates are ISO 8601, timestamps count by their date. An empty text is as good as none. Every mistake is told at once, with
where it stands.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from functools import cache
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from sources.documents import (
    BankAccount,
    BankStatement,
    BankTransaction,
    Document,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    Party,
    Payment,
    PayrollRun,
    Payslip,
    TaxAmount,
)
from sources.money import DECIMAL, EXPONENTS, MAX_MINOR, format_minor, parse_minor

FaultCode = Literal[
    "MISSING",
    "UNKNOWN_FIELD",
    "INVALID_AMOUNT",
    "AMOUNT_OUT_OF_RANGE",
    "UNKNOWN_CURRENCY",
    "INVALID_DATE",
    "INVALID_TEXT",
    "INVALID_VALUE",
]

KINDS: Final[Mapping[str, type]] = {
    "invoice": Invoice,
    "payment": Payment,
    "payroll_run": PayrollRun,
    "bank_statement": BankStatement,
}
"""By the name of the kind."""

MAX_TEXT = 4_000
"""Characters of a text; of an external id and a name see the mirror."""
MAX_ITEMS = 10_000
"""Lines, taxes, payslips or transactions of one document."""

_EXACT = {"quantity", "rate"}  # texts that are decimals
_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?:[01][0-9]|2[0-4])(?::?[0-5][0-9](?::?[0-6][0-9](?:[.,][0-9]{1,12})?)?)? ?(?:[Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?",
    re.ASCII,
)
_LONGEST_DATE = 60
_ONCE = {Payslip: "external_id", BankTransaction: "external_id"}
"""Of lists whose items are known by a field: it stands in one item."""
_PERIODS = {
    InvoiceLine: ("service_from", "service_to"),
    PayrollRun: ("period_start", "period_end"),
    BankStatement: ("from_date", "to_date"),
}
"""The first and the last day of a time."""
_NESTED = (BankAccount, BankTransaction, InvoiceLine, Party, Payslip, TaxAmount)
_LEFT_OUT = {"raw", "warnings"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake. `path`: names and positions from the document's top."""

    code: FaultCode
    message: str
    path: tuple[str, ...]


class InvalidDocument(ValueError):
    """Values that make no document: every reason, at least one."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{'.'.join(fault.path)} {fault.message}" for fault in faults))
        self.faults = tuple(faults)


def read_document(
    kind: str, given: Mapping[str, Any], *, raw: Mapping[str, Any] | None = None, minor_units: bool = False
) -> Document:
    """A document of a kind (see KINDS). `minor_units`: whole amounts are minor units. `raw`: what is kept beside it.

    Left out: `source_status` is the status; an invoice's `subtotal` is total - tax - rounding, its `amount_due` its total while it is
    open and 0 when it is paid, its kind INVOICE; a bank transaction's `currency` is its account's and its status BOOKED.
    Raises InvalidDocument."""
    reader = _Reader(minor_units)
    cls = KINDS[kind]
    stated = {name: value for name, value in given.items() if not _is_empty(value)}
    completed = _COMPLETE[cls](dict(stated))
    values = reader.values(cls, completed, (), _currency(completed))
    if reader.faults:
        raise InvalidDocument(_own_faults(reader.faults, _FOLLOWING.get(cls, frozenset()) - stated.keys()))
    return cls(**values, raw=dict(raw or {})) if cls is not BankStatement else cls(**values)


def write_document(document: Document) -> dict[str, Any]:
    """The values that `read_document` makes the document of: amounts as decimal texts, without what is not stated, `raw` and warnings."""
    return _written(document, document.account.currency if isinstance(document, BankStatement) else document.currency)


def _written(value: Any, currency: str) -> dict[str, Any]:
    own, cls = getattr(value, "currency", currency), value.__class__
    found: dict[str, Any] = {}
    for field in _fields_of(cls):
        stated = getattr(value, field.name)
        if stated is None or (field.many and not stated):
            continue
        of = value.presented_currency if field.name == "presented_amount" else own
        found[field.name] = [_plain(each, of) for each in stated] if field.many else _plain(stated, of)
    return found


def _plain(value: Any, currency: str) -> Any:
    if isinstance(value, _NESTED):
        return _written(value, currency)
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return format_minor(value, EXPONENTS[currency])
    return value.isoformat() if isinstance(value, date) else str(value)


def _own_faults(faults: Sequence[Fault], following: Set[str]) -> Sequence[Fault]:
    """Without those of fields that follow from others, which have faults of their own."""
    return [each for each in faults if each.path[0] not in following] or faults


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    required: bool
    many: bool
    type: Any


@cache
def _fields_of(cls: type) -> tuple[_Field, ...]:
    hints = get_type_hints(cls)
    found = []
    for each in fields(cls):
        if each.name in _LEFT_OUT:
            continue
        inner = hints[each.name]
        if get_origin(inner) in (Union, types.UnionType):
            (inner,) = (arm for arm in get_args(inner) if arm is not type(None))
        many = get_origin(inner) is tuple
        required = each.default is MISSING and each.default_factory is MISSING and not many
        found.append(_Field(each.name, required, many, get_args(inner)[0] if many else inner))
    return tuple(found)


class _Reader:
    def __init__(self, minor_units: bool) -> None:
        self.faults: list[Fault] = []
        self._minor_units = minor_units

    def values(
        self, cls: type, given: Mapping[str, Any], path: tuple[str, ...], currency: str | None
    ) -> dict[str, Any]:
        """The arguments of a dataclass."""
        known = _fields_of(cls)
        for name in sorted({*given} - {field.name for field in known}):
            self._fault("UNKNOWN_FIELD", "is no field of it", (*path, str(name)))
        found: dict[str, Any] = {}
        for field in known:
            value, place = given.get(field.name), (*path, field.name)
            if _is_empty(value):
                if field.required:
                    self._fault("MISSING", "is missing", place)
            elif field.many:
                found[field.name] = self._items(field, value, place, currency)
            else:
                found[field.name] = self._one(field, value, place, currency, given)
        if cls is Payment and not self.faults:
            self._check_net(found, path)
        first, last = (found.get(name) for name in _PERIODS.get(cls, ("", "")))
        if first is not None and last is not None and first > last:
            self._fault("INVALID_DATE", f"is before {_PERIODS[cls][0]}", (*path, _PERIODS[cls][1]))
        return found

    def _check_net(self, found: Mapping[str, Any], path: tuple[str, ...]) -> None:
        fee, net = found.get("fee"), found.get("net")
        if fee is not None and net is not None and net != found["amount"] - fee:
            self._fault("INVALID_AMOUNT", "is not amount - fee", (*path, "net"))

    def _items(self, field: _Field, value: Any, path: tuple[str, ...], currency: str | None) -> tuple[Any, ...]:
        if not isinstance(value, (list, tuple)):
            self._fault("INVALID_VALUE", "has to be a list", path)
            return ()
        if len(value) > MAX_ITEMS:
            self._fault("INVALID_VALUE", f"has {len(value)} items, at most {MAX_ITEMS} are taken", path)
            return ()
        items = tuple([self._one(field, each, (*path, str(number)), currency, {}) for number, each in enumerate(value)])
        if field.type in _ONCE:
            self._check_once(_ONCE[field.type], items, path)
        return items

    def _check_once(self, name: str, items: Sequence[Any], path: tuple[str, ...]) -> None:
        seen: dict[Any, int] = {}
        for number, item in enumerate(items):
            first = seen.setdefault(getattr(item, name, number), number)
            if first != number:
                self._fault("INVALID_VALUE", f"is that of number {first} too", (*path, str(number), name))

    def _one(
        self, field: _Field, value: Any, path: tuple[str, ...], currency: str | None, beside: Mapping[str, Any]
    ) -> Any:
        wanted = field.type
        if wanted in _NESTED:
            if not isinstance(value, Mapping):
                self._fault("INVALID_VALUE", "has to be an object", path)
                return None
            inner = dict(value)
            if wanted is BankTransaction:
                inner.setdefault("currency", currency)
                inner.setdefault("status", "BOOKED")
            own = _text(inner.get("currency")) if "currency" in inner else currency
            values = self.values(wanted, inner, path, own)
            return None if self.faults else wanted(**values)
        if wanted is int:
            other = _text(beside.get("presented_currency")) if field.name == "presented_amount" else currency
            return self._amount(value, path, other)
        if wanted is date:
            return self._date(value, path)
        if wanted is bool:
            if not isinstance(value, bool):
                self._fault("INVALID_VALUE", "has to be true or false", path)
            return value
        if isinstance(wanted, type) and issubclass(wanted, StrEnum):
            return self._choice(wanted, value, path)
        return self._currency(value, path) if field.name.endswith("currency") else self._text(field.name, value, path)

    def _amount(self, value: Any, path: tuple[str, ...], currency: str | None) -> int:
        if currency not in EXPONENTS:
            return 0  # told of the currency
        text = _number(value)
        try:
            if text is None:
                raise ValueError("must be a decimal, and no float")
            found = parse_minor(text, 0 if self._minor_units else EXPONENTS[currency])
        except ValueError as error:
            self._fault("INVALID_AMOUNT", f"{_shown(value)} {error} ({currency})", path)
            return 0
        if abs(found) > MAX_MINOR:
            largest = format_minor(MAX_MINOR, EXPONENTS[currency])
            self._fault(
                "AMOUNT_OUT_OF_RANGE", f"{_shown(value)} is beyond {largest} {currency}, the largest amount", path
            )
        return found

    def _date(self, value: Any, path: tuple[str, ...]) -> date | None:
        if isinstance(value, datetime):
            return value.date()
        if isinstance(value, date):
            return value
        written = _DATE.fullmatch(value.strip()) if isinstance(value, str) and len(value) < _LONGEST_DATE else None
        with suppress(ValueError):
            if written:
                return date.fromisoformat(written[1])
        self._fault("INVALID_DATE", f"{_shown(value)} is not a date, 2026-01-31", path)
        return None

    def _choice(self, wanted: type[StrEnum], value: Any, path: tuple[str, ...]) -> StrEnum | None:
        text = str(_value(value))
        if text in wanted.__members__:
            return wanted[text]
        self._fault("INVALID_VALUE", f"{_shown(text)} is none of {', '.join(wanted.__members__)}", path)
        return None

    def _currency(self, value: Any, path: tuple[str, ...]) -> str:
        text = _text(value) or ""
        if text not in EXPONENTS:
            self._fault("UNKNOWN_CURRENCY", f"{_shown(value)} is not a currency of ISO 4217", path)
        return text

    def _text(self, name: str, value: Any, path: tuple[str, ...]) -> str:
        text = _number(value) if name in _EXACT else _text(value)
        if text is None or not text.strip():
            self._fault("INVALID_TEXT", "has to be a text that is not blank", path)
            return ""
        if len(text) > MAX_TEXT:
            self._fault("INVALID_TEXT", f"has {len(text)} characters, at most {MAX_TEXT} are taken", path)
        if name in _EXACT and not DECIMAL.fullmatch(text):
            self._fault("INVALID_VALUE", f"{_shown(text)} is not a decimal", path)
        return text

    def _fault(self, code: FaultCode, message: str, path: tuple[str, ...]) -> None:
        self.faults.append(Fault(code, message, path))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value)


def _text(value: Any) -> str | None:
    """Whole numbers are texts too: ids often are."""
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40 else None


def _number(value: Any) -> str | None:
    """Digits are counted before they are written out: 1E+999999999 is a short text of a long number."""
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() and abs(value.adjusted()) <= 40 else None
    return _text(value)


def _value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _shown(value: Any) -> str:
    return repr(str(value)[:40])


def _currency(given: Mapping[str, Any]) -> str | None:
    account = given.get("account")
    return _text(account.get("currency")) if isinstance(account, Mapping) else _text(given.get("currency"))


def _invoice(given: dict[str, Any]) -> dict[str, Any]:
    given.setdefault("kind", "INVOICE")
    _stated_status(given)
    given.setdefault("tax", 0)
    numbers = {name: _decimal(given.get(name, 0)) for name in ("total", "tax", "rounding", "subtotal")}
    total, tax, rounding = numbers["total"], numbers["tax"], numbers["rounding"]
    if given.get("subtotal") is None and total is not None and tax is not None and rounding is not None:
        given["subtotal"] = total - tax - rounding
    if given.get("amount_due") is None:
        given["amount_due"] = 0 if str(_value(given.get("status"))) in _NOTHING_DUE else given.get("total")
    return given


_FOLLOWING: Final[Mapping[type, Set[str]]] = {
    Invoice: frozenset({"subtotal", "amount_due", "source_status"}),
    Payment: frozenset({"source_status"}),
}
"""Fields that follow from others where they are not stated."""
_NOTHING_DUE = {InvoiceStatus.PAID.value, InvoiceStatus.VOID.value}


def _stated_status(given: dict[str, Any]) -> dict[str, Any]:
    given.setdefault("source_status", _value(given.get("status")))
    return given


def _as_given(given: dict[str, Any]) -> dict[str, Any]:
    return given


def _statement(given: dict[str, Any]) -> dict[str, Any]:
    given.setdefault("provisional", False)
    return given


_COMPLETE: Final[Mapping[type, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    Invoice: _invoice,
    Payment: _stated_status,
    PayrollRun: _as_given,
    BankStatement: _statement,
}


def _decimal(value: Any) -> Decimal | None:
    text = _number(value)
    return Decimal(text) if text is not None and DECIMAL.fullmatch(text) else None
