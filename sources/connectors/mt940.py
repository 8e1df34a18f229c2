"""SWIFT MT940 (statement, authoritative) and MT942 (interim report, provisional).

Rules (SWIFT Standards MT, category 9):
- One transaction per :61:. An :86: right after a :61: belongs to it; one after the balances to the statement.
- :60F: and :60M: open, :62F: and :62M: close, :64: is available. Pages of one statement (same number, the first closing
  with :62M:, the next opening with :60M:) are one statement.
- A message without balances that has a floor limit (:34F:), sums (:90C:, :90D:) or a time (:13D:) is an MT942.
- The currency is that of the balances, of the floor limit, of the sums, or the one that :25: ends with.
- :25: with a currency behind the account (…EUR, …/HUF) or a BIC before an IBAN names the account alone.

Refused whole, because a part of a statement is worse than none: a message that names no account, entries without any
currency, a date or an amount that cannot be read exactly, an opening balance without a closing one (a file cut off).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from itertools import takewhile

from sources.connectors.files_values import Memory, UnreadableFile, clean, exponent_of, quote, to_minor
from sources.connectors.mt940_entry import Entry, amount_text, full_year, read_entry
from sources.connectors.mt940_text import FIELD_MEMORY, Field, Message, decode, split_messages
from sources.connectors.statement import (
    Balance,
    Bounds,
    EntryIds,
    bank_account,
    digest,
    foreign_warnings,
    is_iban,
    sum_warning,
)
from sources.documents import BankStatement, BankTransaction
from sources.money import EXPONENTS

_BALANCE = re.compile(r"([CD])([0-9]{2})([0-9]{2})([0-9]{2})([A-Z]{3})([0-9,]+)")
_FLOOR = re.compile(r"([A-Z]{3})[CD ]?[0-9,]*")
_SUM = re.compile(r"[0-9]*([A-Z]{3})[0-9,]+")
_OPENING = ("60F", "60M", "60")
_CLOSING = ("62F", "62M", "62")
_INTERIM_FIELDS = ("34F", "34", "90C", "90D", "90", "13D", "13")


def parse_mt940(data: bytes, file_name: str) -> list[BankStatement]:
    """Every statement of one file, in its order. `file_name` is named in warnings and is no part of any id.

    Raises UnreadableFile for what is not MT940 or MT942, or not exactly representable."""
    memory = Memory(len(data))
    bounds = Bounds(memory)
    text = decode(data)
    memory.take(sys.getsizeof(text), "text")

    def pages() -> Iterator[_Page]:
        for message in split_messages(text, memory):
            yield _read_message(message, bounds, memory)
            memory.give_back(message.weight)

    return [page.statement(file_name) for page in _joined(pages())]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """One message, or several that are pages of one statement."""

    account: str
    currency: str
    number: str
    sequence: int
    provisional: bool
    continues: bool
    continued: bool
    opening: Balance | None
    closing: Balance | None
    available: Balance | None
    reported_on: date | None
    counts_only: bool
    entries: list[Entry]
    text: list[str]

    def statement(self, file_name: str) -> BankStatement:
        ids = EntryIds(self._id, provisional=self.provisional)
        closed_on = self.closing.on if self.closing else None
        transactions = tuple(self._transactions(ids, closed_on))
        label = f"Statement {self.number or 'without a number'} of {file_name}"
        first, last = self._period([day for t in transactions if (day := t.booked_on)])
        warnings: list[str] = []
        if not self.provisional:
            balances = (self.opening, self.closing, self.available)
            warnings += foreign_warnings(transactions, balances, self.currency, label)
            does_not_add_up = sum_warning(transactions, self.opening, self.closing, label)
            warnings += [does_not_add_up] if does_not_add_up and not self.counts_only else []
        return BankStatement(
            external_id=self._id,
            account=bank_account(self.account, self.currency),
            provisional=self.provisional,
            transactions=transactions,
            from_date=first,
            to_date=last,
            opening=self._own(self.opening),
            closing=self._own(self.closing),
            closing_available=self._own(self.available),
            warnings=tuple(warnings),
        )

    def _transactions(self, ids: EntryIds, closed_on: date | None) -> Iterator[BankTransaction]:
        """Its entries as transactions; taken from it one by one, because a file may hold hundred thousands."""
        self.entries.reverse()
        while self.entries:
            yield self.entries.pop().transaction(ids, closed_on=closed_on)

    @property
    def _id(self) -> str:
        """Number and opening balance identify a statement; where a bank numbers none (0) or gives no balance, its text up
        to the closing balance does. A file that was caught while its last line was written states the same statement."""
        text = None if _identifies(self.number, self.opening) else "\n".join(self.text)
        account = bank_account(self.account, self.currency).external_id
        kind = "mt942" if self.provisional else "mt940"
        return f"{kind}:{digest(account, self.currency, self.number, self.sequence, self.opening, text)}"

    def _own(self, balance: Balance | None) -> int | None:
        return balance.amount if balance and balance.currency == self.currency else None

    def _period(self, booked: list[date]) -> tuple[date | None, date | None]:
        ends = [day for day in (self.closing.on if self.closing else None, self.reported_on) if day]
        last = max(ends + booked, default=None)
        starts = [day for day in (self.opening.on if self.opening else None, *booked) if day and last and day <= last]
        return min(starts, default=last), last


def _joined(pages: Iterable[_Page]) -> Iterator[_Page]:
    """Pages of one statement as one."""
    before: _Page | None = None
    for page in pages:
        if before and _continues(before, page):
            before.entries.extend(page.entries)
            before.text.extend(page.text)
            before = replace(before, continued=page.continued, closing=page.closing, available=page.available)
            continue
        if before:
            yield before
        before = page
    if before:
        yield before


def _continues(before: _Page, page: _Page) -> bool:
    same = (before.account, before.currency, before.number) == (page.account, page.currency, page.number)
    return same and before.continued and page.continues and before.closing == page.opening


def _read_message(message: Message, bounds: Bounds, memory: Memory) -> _Page:
    account, currency_of_account = _account(message)
    opening, closing = (_only_balance(message, tags) for tags in (_OPENING, _CLOSING))
    if opening and not closing:
        raise UnreadableFile(
            f"line {message.line}: the statement of account {quote(account)} has an opening balance, but no closing "
            "balance (:62F:): the file seems to be cut off"
        )
    available = _first(message, "64")
    currency = _currency(message, opening or closing or available, currency_of_account)
    if currency is None:
        raise UnreadableFile(
            f"line {message.line}: the statement of account {quote(account)} gives no currency: it has neither a balance "
            "(:60F:, :62F:) nor a floor limit (:34F:), and :25: does not end with one"
        )
    interim = message.first(*_INTERIM_FIELDS) is not None
    number, sequence = _number(message)
    continues = message.first("60M") is not None
    text = [] if _identifies(number, opening) and not continues else [_text(message)]
    bounds.statement()
    entries = []
    for stated, details in message.take_entries():
        fields = FIELD_MEMORY * (1 + len(details))
        message.weight -= fields
        memory.give_back(fields)
        bounds.entry()
        entries.append(read_entry(stated, details, currency))
    return _Page(
        account=account,
        currency=currency,
        number=number,
        sequence=sequence,
        provisional=message.type == "942" or (message.type is None and interim and not (opening or closing)),
        continues=continues,
        continued=message.first("62M") is not None,
        opening=opening,
        closing=closing,
        available=available,
        reported_on=_reported_on(message),
        counts_only=not entries and message.first("90C", "90D") is not None,
        entries=entries,
        text=text,
    )


def _account(message: Message) -> tuple[str, str | None]:
    """The account's identification, and the currency that :25: ends with."""
    stated = message.first("25", "25P")
    text = clean(stated.value.split("\n")[0]) if stated else None
    text = (text or "").strip("/ ")
    if not text:
        raise UnreadableFile(_nameless(message))
    compact = text.replace(" ", "").upper()
    if is_iban(compact):
        return compact, None
    suffix = re.fullmatch(r"(.*[0-9])[ ]?([A-Z]{3})|(.+)[/ ]([A-Z]{3})", text)
    currency = (suffix[2] or suffix[4]) if suffix else None
    if suffix and currency in EXPONENTS:
        text = (suffix[1] or suffix[3]).strip("/ ")
    else:
        currency = None
    after_bic = text.rpartition("/")[2].replace(" ", "").upper()
    return (after_bic if is_iban(after_bic) else text), currency


def _nameless(message: Message) -> str:
    first = message.fields[0].tag
    if first == "20":
        return f"line {message.line}: the statement names no account (no :25:)"
    return (
        f"line {message.line}: a field :{first}: stands outside of any statement, so it belongs to no account (no :25:)"
    )


def _number(message: Message) -> tuple[str, int]:
    """Statement number and page: :28C:00035/002 -> ("35", 2)."""
    stated = message.first("28C", "28")
    number, _, page = (stated.value.split("\n")[0] if stated else "").partition("/")
    return (clean(number) or "").lstrip("0"), int(page) if re.fullmatch(r"[0-9]{1,9}", page, re.ASCII) else 0


def _only_balance(message: Message, tags: tuple[str, ...]) -> Balance | None:
    found = message.all(*tags)
    balance = _first(message, *tags)
    if len(found) > 1:
        raise UnreadableFile(f"{found[1].where}: a second balance of this kind in one statement, no :20: between them")
    return balance


def _first(message: Message, *tags: str) -> Balance | None:
    """The first balance of these tags. Raises UnreadableFile, also for one behind it that is none."""
    first: Balance | None = None
    for found in message.all(*tags):
        balance = _balance(found)
        first = first or balance
    return first


def _balance(stated: Field) -> Balance:
    """Sign, date, currency, amount. A date of zeros (a new account) is no date."""
    text = stated.value.split("\n")[0].strip()
    match = _BALANCE.fullmatch(text)
    if not match:
        raise UnreadableFile(f"{stated.where}: {quote(text)} is not a balance (C or D, date, currency, amount)")
    sign, year, month, day, currency, amount = match.groups()
    minor = to_minor(amount_text(amount, stated.where), currency, stated.where)
    return Balance(-minor if sign == "D" else minor, currency, _date(year, month, day, stated.where))


def _date(year: str, month: str, day: str, where: str) -> date | None:
    if month == day == "00":
        return None
    try:
        return date(full_year(year), int(month), int(day))
    except ValueError as error:
        raise UnreadableFile(f"{where}: {year}{month}{day} is not a date (YYMMDD)") from error


def _currency(message: Message, balance: Balance | None, of_account: str | None) -> str | None:
    if balance:
        return balance.currency
    patterns = ((_FLOOR, ("34F", "34")), (_SUM, ("90C", "90D", "90")))
    stated = ((found, pattern.match(found.value)) for pattern, tags in patterns for found in message.all(*tags))
    for found, match in stated:
        if match:
            exponent_of(match[1], found.where)
            return match[1]
    return of_account


def _identifies(number: str, opening: Balance | None) -> bool:
    return bool(number.strip("0/") and opening)


def _text(message: Message) -> str:
    """The fields before the closing balance, without blanks and the message's own reference, which a copy may not share."""
    parts = takewhile(lambda found: found.tag not in _CLOSING, message.fields)
    return "".join("".join(f"{found.tag}:{found.value}".split()) for found in parts if found.tag != "20")


def _reported_on(message: Message) -> date | None:
    stated = message.first("13D", "13")
    match = re.match(r"([0-9]{2})([0-9]{2})([0-9]{2})", stated.value) if stated else None
    return _date(match[1], match[2], match[3], stated.where) if stated and match else None
