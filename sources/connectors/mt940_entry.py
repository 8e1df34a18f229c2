"""One `:61:` with its `:86:`, read by the library `mt-940` under guards.

The library alone would lose money on real files: it cuts amounts at 15 characters, lets an entry without a transaction
type be overwritten by the next, counts an RC as money in, knows no EC and ED, reads 1999 as 2099, and stops at a third
line of :61:. So each entry is handed to it by itself, with a statement line pattern of ours, its newer behaviours on, and
its dates and mark prepared; amounts are read from the text exactly.

Rules: SWIFT MT940 and MT942, field 61. Mark C and RD: money in; D and RC: money out (RC reverses a credit); EC and ED:
expected, so pending. A year from 80 on is of the last century. A date that an entry has not (no entry date) is absent.
The 30th of February, a value date in 30-day months, is the last of February.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import InvalidOperation
from functools import lru_cache
from typing import Any

import mt940

from sources.connectors.files_values import MAX_TEXT, UnreadableFile, clean, quote, to_minor
from sources.connectors.mt940_text import Field
from sources.connectors.statement import EntryIds, reference_of
from sources.documents import BankTransaction, BankTransactionStatus

_AMOUNT = re.compile(r"[0-9]*(?:,[0-9]*)?")
_EXPECTED = {"EC": "C", "ED": "D"}
_MONEY_OUT = ("D", "RC")
_DATES_AND_AMOUNT = re.compile(r"[0-9]{0,10}[A-Z]{0,3}[0-9]{0,15}(?:,[0-9]{0,15})?")
_CODEWORD = re.compile(r"/(NAME|REMI|EREF|CNTP)/(?:/|USTD//|STRD/[A-Z]*/)?(.*?)(?=/[A-Z]{3,4}/|$)", re.DOTALL)
_OPTIONS = mt940.Options.all()


class _StatementLine(mt940.tags.Statement):
    """Field 61 of any length: an amount is never cut, and all lines after the first are supplementary details."""

    pattern = r"""^
    (?P<year>[0-9]{2})(?P<month>[0-9]{2})(?P<day>[0-9]{2})
    (?P<entry_month>[0-9]{2}|[ ]{2})?(?P<entry_day>[0-9]{2}|[ ]{2})?
    (?P<status>[RE]?[CD])(?P<funds_code>[A-Z])?
    [\n ]?
    (?P<amount>[0-9,]+)
    (?P<id>[A-Z][A-Z0-9 ]{3})?
    (?P<customer_reference>(?:(?!//)[^\n])*)
    (?://(?P<bank_reference>[^\n]*))?
    (?:\n(?P<extra_details>[\s\S]*))?
    $"""


_STATEMENT_LINE = _StatementLine()


class RawFields(Mapping[str, str]):
    """The two fields of an entry, as `raw`: a third of the memory of a dict, which counts in files of many entries."""

    __slots__ = ("_information", "_line")

    def __init__(self, line: str, information: str) -> None:
        self._line = line
        self._information = information

    def __getitem__(self, name: str) -> str:
        if name == "61":
            return self._line
        if name == "86":
            return self._information
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        yield from ("61", "86")

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return repr(dict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An entry before it has an id. `booked_on` is None where the file gives no entry date."""

    amount: int
    currency: str
    pending: bool
    booked_on: date | None
    value_date: date
    description: str | None
    counterparty: str | None
    reference: str | None
    raw: RawFields

    @property
    def content(self) -> tuple[object, ...]:
        return (self.raw["61"], self.raw["86"])

    def transaction(self, ids: EntryIds, *, closed_on: date | None) -> BankTransaction:
        """`closed_on`: the closing balance's date. Without an entry date, an entry was booked on its value date (SWIFT:
        the entry date is left out where it is the same), but not after the balance that contains it."""
        booked_on = self.booked_on or (min(self.value_date, closed_on) if closed_on else self.value_date)
        return BankTransaction(
            external_id=ids.next(self.content, bank_reference=None, dated=True),
            status=BankTransactionStatus.PENDING if self.pending else BankTransactionStatus.BOOKED,
            amount=self.amount,
            currency=self.currency,
            booked_on=None if self.pending else booked_on,
            value_date=self.value_date,
            description=self.description,
            counterparty=self.counterparty,
            reference=self.reference,
            raw=self.raw,
        )


def read_entry(line: Field, details: Sequence[Field], currency: str) -> Entry:
    """`details`: the :86: fields that follow the line. Raises UnreadableFile."""
    if not _STATEMENT_LINE.re.match(line.value):
        raise UnreadableFile(
            f"{line.where}: what begins with {_beginning(line)} is not a statement line "
            "(value date, entry date, C or D, amount, type, reference)"
        )
    information = "\n".join(detail.value for detail in details)
    data = _read(line, information)
    minor = _minor(str(data["stated_amount"]), currency, line)
    return Entry(
        amount=-minor if data["stated_status"] in _MONEY_OUT else minor,
        currency=currency,
        pending=bool(data["expected"]),
        booked_on=_plain_date(data.get("entry_date")),
        value_date=_plain_date(data["date"]) or date.min,
        description=_description(data, information),
        counterparty=_counterparty(data, information),
        reference=_reference(data, information),
        raw=RawFields(line.value, information),
    )


def _beginning(line: Field) -> str:
    """As much as dates and amount take: what follows them may be a person's name, which no message holds."""
    match = _DATES_AND_AMOUNT.match(line.value)
    return quote(match[0] if match else "")


def amount_text(text: str, where: str) -> str:
    """SWIFT's decimal comma as a point: '1234,5' -> '1234.5', '9,' -> '9'. Raises UnreadableFile."""
    if not _AMOUNT.fullmatch(text) or not text.strip(","):
        raise UnreadableFile(f"{where}: {quote(text)} is not an amount")
    whole, _, fraction = text.partition(",")
    return f"{whole or '0'}.{fraction}" if fraction else whole


def full_year(short: str) -> int:
    """SWIFT: years 80 to 99 are of the 20th century, 00 to 79 of the 21st."""
    return int(short) + (1900 if int(short) >= 80 else 2000)


def _read(line: Field, information: str) -> dict[str, Any]:
    """What the library reads from one entry."""
    processors = dict(mt940.models.Transactions.DEFAULT_PROCESSORS)
    processors["pre_" + _STATEMENT_LINE.slug] = [_prepare]
    processors["post_" + _STATEMENT_LINE.slug] = []
    reader = mt940.models.Transactions(processors=processors, tags={61: _STATEMENT_LINE}, options=_OPTIONS)
    try:
        # One message with one entry: lines of the text must not look like fields of their own to the library.
        reader.parse(f":61:{_inert(line.value)}\n:86:{_inert(information)}")
    except (ValueError, RuntimeError, InvalidOperation) as error:
        raise UnreadableFile(
            f"{line.where}: what begins with {_beginning(line)} has a date that does not exist"
        ) from error
    data: dict[str, Any] = reader.transactions[0].data
    return data


def _inert(text: str) -> str:
    return re.sub(r"(?m)^:", " :", text)


def _prepare(_transactions: Any, _tag: Any, data: dict[str, Any], *_args: Any) -> dict[str, Any]:
    """The statement line's parts as the library can read them, beside those that it must not lose."""
    status = data["status"].upper()
    data["stated_amount"], data["amount"] = data["amount"], "0"
    data["expected"] = status in _EXPECTED
    data["stated_status"] = data["status"] = _EXPECTED.get(status, status)
    year = full_year(data["year"])
    data["year"] = str(year)
    data["day"] = _within_february(year, data["month"], data["day"])
    entry = (data.get("entry_month") or "").strip(), (data.get("entry_day") or "").strip()
    if not all(entry) or "00" in entry:
        data["entry_month"] = data["entry_day"] = None
    else:
        data["entry_day"] = _within_february(year, *entry)
    return data


def _within_february(year: int, month: str, day: str) -> str:
    if month == "02" and day in ("29", "30"):
        return str(min(int(day), calendar.monthrange(year, 2)[1]))
    return day


def _minor(text: str, currency: str, line: Field) -> int:
    return to_minor(amount_text(text, line.where), currency, line.where)


def _plain_date(value: Any) -> date | None:
    return _day(value.year, value.month, value.day) if value else None


@lru_cache(maxsize=64)
def _day(year: int, month: int, day: int) -> date:
    """One object a day, not one an entry."""
    return date(year, month, day)


def _codewords(information: str) -> dict[str, str]:
    """The parts of an :86: in codewords (/NAME/…/REMI/…/EREF/…), the form of Dutch and SEPA banks."""
    joined = information.replace("\n", "")
    return {match[1]: match[2].strip("/ ") for match in _CODEWORD.finditer(joined)}


def _description(data: dict[str, Any], information: str) -> str | None:
    """The purpose of a structured :86:, else its posting text; of a free one all of it; else the details of :61:."""
    purpose = clean(data.get("purpose"), MAX_TEXT)
    posting = clean(data.get("posting_text"), MAX_TEXT)
    free = clean(_codewords(information).get("REMI"), MAX_TEXT) or clean(information, MAX_TEXT)
    structured = "posting_text" in data
    return purpose or posting or (None if structured else free) or clean(data.get("extra_details"), MAX_TEXT)


def _counterparty(data: dict[str, Any], information: str) -> str | None:
    words = _codewords(information)
    account, _, named = words.get("CNTP", "").partition("/")
    in_cntp = named.split("/")[1] if account and named.count("/") >= 1 else None
    return clean(data.get("applicant_name")) or clean(words.get("NAME")) or clean(in_cntp)


def _reference(data: dict[str, Any], information: str) -> str | None:
    return reference_of(
        data.get("end_to_end_reference"),
        _codewords(information).get("EREF"),
        data.get("customer_reference"),
        data.get("bank_reference"),
    )
