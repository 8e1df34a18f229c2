"""One 16 of a BAI2 file, a transaction, and the amounts of a 03: type codes, signs and funds types.

Rules (BAI, Cash Management Balance Reporting Specifications, version 2, and its appendix of type codes):
- Amounts are whole numbers of the currency's smallest unit; one with a decimal point is read as it stands. Empty is zero.
- The type code of a 16 gives its sign: 100 to 399 money in, 400 to 699 money out; of loans 720 to 759 in, 760 to 799 out; of a
  bank's own codes 920 to 959 in, 960 to 999 out. 890 and codes of status carry no money.
- Funds type S is followed by three amounts, V by date and time, D by a count and as many pairs of days and amounts. 0, 1, 2 and Z
  by nothing.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from sources.connectors.bai2_records import Fields, Record
from sources.connectors.files_values import MAX_TEXT, UnreadableFile, clean, exponent_of, quote, to_signed_minor
from sources.connectors.mt940_entry import full_year
from sources.connectors.statement import EntryIds, RawText, reference_of
from sources.documents import BankTransaction, BankTransactionStatus
from sources.money import MAX_MINOR

_AMOUNT = re.compile(r"([+-]?)([0-9]{0,40})", re.ASCII)
_DECIMAL = re.compile(r"\+?(-?[0-9]{1,40}\.[0-9]{1,40})", re.ASCII)
_DAY = re.compile(r"(?:([0-9]{2})|([0-9]{4}))([0-9]{2})([0-9]{2})", re.ASCII)
_CODE = re.compile(r"[0-9]{3}", re.ASCII)
_NO_MONEY = 890
_MAX_RAW = 65_536


@dataclass(frozen=True, slots=True)
class Entry:
    """A 16 before it has an id. `amount`: signed minor units, money in is positive. `raw`: the whole record; `text`: the text that
    ends it, or where in `raw` it begins, so that a file of a million is not in memory twice while it is read."""

    amount: int
    value_date: date | None
    type_code: str
    bank_reference: str | None
    customer_reference: str | None
    text: str | int
    raw: str

    def transaction(self, ids: EntryIds, currency: str, as_of: date) -> BankTransaction:
        """`as_of`: the day that its group tells of, on which it was booked."""
        references = (self.bank_reference, self.customer_reference)
        text = clean(self.raw[self.text :] if isinstance(self.text, int) else self.text, MAX_TEXT)
        content = (self.type_code, self.amount, self.value_date, *references, text)
        return BankTransaction(
            external_id=ids.next(content, bank_reference=as_of.isoformat(), dated=True),
            status=BankTransactionStatus.BOOKED,
            amount=self.amount,
            currency=currency,
            booked_on=as_of,
            value_date=self.value_date,
            description=text,
            reference=reference_of(self.customer_reference, self.bank_reference),
            raw=RawText("record", self.raw),
        )


@dataclass(frozen=True, slots=True)
class Summary:
    """A balance or total of a 03."""

    type_code: str
    amount: int
    count: int | None


def read_entry(record: Record, currency: str) -> Entry | None:
    """None for one that carries no money. Raises UnreadableFile."""
    fields = Fields(record)
    code = fields.next()
    if not _CODE.fullmatch(code):
        raise UnreadableFile(f"{record.where}: {quote(code)} is not a type code of three digits")
    stated = to_amount(fields.next(), currency, record.where)
    value_date = _skip_funds(fields, fields.next().upper(), record.where)
    references = fields.next(), fields.next()
    text = fields.rest()
    sign = _sign(int(code))
    if sign == 0:
        if stated and int(code) != _NO_MONEY:
            raise UnreadableFile(f"{record.where}: type code {code} does not tell whether money came in or went out")
        return None
    if stated < 0:
        raise UnreadableFile(f"{record.where}: the amount is negative; the type code tells its sign")
    raw, text = _kept(record.whole()), _kept(text)
    return Entry(
        amount=sign * stated,
        value_date=value_date,
        type_code=sys.intern(code),
        bank_reference=clean(references[0]),
        customer_reference=clean(references[1]),
        text=len(raw) - len(text) if raw.endswith(text) else text,
        raw=raw,
    )


def _kept(text: str) -> str:
    return text if len(text) <= _MAX_RAW else f"{text[:_MAX_RAW]}…"


def read_summaries(fields: Fields, currency: str, where: str) -> Iterator[Summary]:
    """What follows account and currency of a 03: type code, amount, count and funds type, again and again. A group that breaks
    off is complete where the next field is a type code at a place for a funds type, or at the start of a continuation."""
    while not fields.ended:
        code = fields.next()
        if code and not _CODE.fullmatch(code):
            raise UnreadableFile(f"{where}: {quote(code)} is not a type code of three digits")
        amount = to_amount(fields.next(), currency, where)
        count = ""
        if not _next_group(fields):
            count = fields.next()
        if not _next_group(fields) and not _CODE.fullmatch(fields.peek()):
            _skip_funds(fields, fields.next().upper(), where)
        if code:
            yield Summary(code, amount, int(count) if re.fullmatch(r"[0-9]{1,18}", count, re.ASCII) else None)


def to_amount(text: str, currency: str, where: str) -> int:
    """Minor units, signed as written. Raises UnreadableFile."""
    if match := _AMOUNT.fullmatch(text):
        exponent_of(currency, where)
        minor = int(match[2] or 0)
        if minor > MAX_MINOR:
            raise UnreadableFile(f"{where}: the amount {quote(text)} is larger than can be kept")
        return -minor if match[1] == "-" else minor
    if match := _DECIMAL.fullmatch(text):
        return to_signed_minor(match[1], currency, where)
    raise UnreadableFile(f"{where}: {quote(text)} is not an amount")


def to_day(text: str, where: str) -> date:
    """YYMMDD; with the century where a bank writes it. Raises UnreadableFile."""
    found = _day(text)
    if found is None:
        raise UnreadableFile(f"{where}: {quote(text)} is not a date (YYMMDD)")
    return found


@lru_cache(maxsize=64)
def _day(text: str) -> date | None:
    match = _DAY.fullmatch(text)
    try:
        return date(full_year(match[1]) if match[1] else int(match[2]), int(match[3]), int(match[4])) if match else None
    except ValueError:
        return None


def _sign(code: int) -> int:
    if 100 <= code <= 399 or 720 <= code <= 759 or 920 <= code <= 959:
        return 1
    if 400 <= code <= 699 or 760 <= code <= 799 or 960 <= code <= 999:
        return -1
    return 0


def _next_group(fields: Fields) -> bool:
    return fields.ended or (fields.begins_part and _CODE.fullmatch(fields.peek()) is not None)


def _skip_funds(fields: Fields, funds: str, where: str) -> date | None:
    """Past what a funds type brings with it; answers with the value date that it states. Raises UnreadableFile."""
    if funds == "V":
        stated = fields.next()
        fields.next()
        return to_day(stated, where) if stated.strip("0") else None
    if funds == "S":
        places = 3
    elif funds == "D":
        stated = fields.next()
        if not re.fullmatch(r"[0-9]{0,4}", stated, re.ASCII):
            raise UnreadableFile(f"{where}: {quote(stated)} is not a number of distributions")
        places = 2 * int(stated or 0)
    elif len(funds) <= 1:
        places = 0
    else:
        raise UnreadableFile(f"{where}: {quote(funds)} is not a funds type")
    while places and not fields.ended:
        fields.next()
        places -= 1
    return None
