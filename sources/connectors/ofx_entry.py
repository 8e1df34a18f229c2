"""One transaction of an OFX statement (`STMTTRN`, `STMTTRNP`): amount, dates, and what it says about the other side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from sources.connectors.files_values import (
    MAX_TEXT,
    UnreadableFile,
    clean,
    exponent_of,
    quote,
    to_signed_minor,
)
from sources.connectors.statement import RawText, reference_of
from sources.documents import BankTransaction, BankTransactionStatus

_DAY = re.compile(r"([0-9]{4})-?([0-9]{2})-?([0-9]{2})", re.ASCII)
_AMOUNT = re.compile(r"([+-]?)([0-9]*)(?:[.,]([0-9]*))?", re.ASCII)
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:(?:,[0-9]{3})+\.[0-9]+|(?:\.[0-9]{3})+,[0-9]+)", re.ASCII)
_NO_ID = re.compile(r"[0 -]*|N/?A|NONE|NULL", re.IGNORECASE)
MAX_RAW = 65_536
"""Characters that are kept of a transaction as it stands in the file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A transaction before it has its id. `fitid`: the bank's id of it, None where it gives none."""

    fitid: str | None
    pending: bool
    amount: int
    currency: str
    booked_on: date | None
    value_date: date | None
    description: str | None
    counterparty: str | None
    reference: str | None
    raw: RawText

    @property
    def content(self) -> tuple[object, ...]:
        own = (self.booked_on or self.value_date, self.amount, self.currency, self.description, self.counterparty)
        return (*own, self.reference, self.fitid)

    def transaction(self, external_id: str) -> BankTransaction:
        return BankTransaction(
            external_id=external_id,
            status=BankTransactionStatus.PENDING if self.pending else BankTransactionStatus.BOOKED,
            amount=self.amount,
            currency=self.currency,
            booked_on=self.booked_on,
            value_date=self.value_date,
            description=self.description,
            counterparty=self.counterparty,
            reference=self.reference,
            raw=self.raw,
        )


def read_entry(fields: Mapping[str, str], currency: str, *, pending: bool, raw: str, where: str) -> Entry:
    """`fields`: by name, those of `CURRENCY` and `PAYEE` as CURRENCY.CURSYM, PAYEE.NAME; `currency`: the statement's. Raises
    UnreadableFile.

    Amounts are in the statement's currency, and in another one where `CURRENCY` says so; `ORIGCURRENCY` says what they were
    before the bank converted them (OFX 5.2)."""
    currency = fields.get("CURRENCY.CURSYM", currency).upper()
    exponent_of(currency, where)
    posted = _needed(fields, "DTTRAN" if pending and "DTPOSTED" not in fields else "DTPOSTED", where)
    day = to_day(posted, where)
    available = fields.get("DTAVAIL", "").strip("0")
    name = fields.get("EXTDNAME") or fields.get("NAME") or fields.get("PAYEE.NAME")
    fitid = fields.get("FITID", "")
    return Entry(
        fitid=None if _NO_ID.fullmatch(fitid) else fitid,
        pending=pending,
        amount=to_amount(_needed(fields, "TRNAMT", where), currency, where),
        currency=currency,
        booked_on=None if pending else day,
        value_date=to_day(fields["DTAVAIL"], where) if available else (day if pending else None),
        description=clean(fields.get("MEMO") or name, MAX_TEXT),
        counterparty=clean(name),
        reference=reference_of(fields.get("REFNUM"), fields.get("CHECKNUM")),
        raw=RawText("ofx", raw),
    )


def to_amount(text: str, currency: str, where: str) -> int:
    """Signed minor units. A comma or a point stands before the decimals (OFX 3.2.9.1); groups of thousands, which it forbids, are read
    where the other sign shows which is which. Raises UnreadableFile."""
    compact = text.replace(" ", "")
    if _GROUPED.fullmatch(compact):
        compact = compact.replace("," if compact.rindex(".") > compact.rindex(",") else ".", "")
    match = _AMOUNT.fullmatch(compact)
    if not match or not (match[2] or match[3]):
        raise UnreadableFile(f"{where}: {quote(text)} is not an amount")
    sign, whole, fraction = match[1].replace("+", ""), match[2] or "0", match[3]
    return to_signed_minor(f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}", currency, where)


def to_day(text: str, where: str) -> date:
    """The calendar date that YYYYMMDDHHMMSS.XXX[offset:zone] states, in its own zone. Raises UnreadableFile."""
    found = _day(text[:10])
    if found is None:
        raise UnreadableFile(f"{where}: {quote(text)} is not a date (YYYYMMDD)")
    return found


@lru_cache(maxsize=256)
def _day(text: str) -> date | None:
    match = _DAY.match(text)
    try:
        return date(*map(int, match.groups())) if match else None
    except ValueError:
        return None


def _needed(fields: Mapping[str, str], name: str, where: str) -> str:
    if name not in fields:
        raise UnreadableFile(f"{where}: it has no {name}")
    return fields[name]
