"""What the bank statement formats have in common: exact amounts, accounts, stable ids, and whether a statement adds up.

Ids. Banks number statements, seldom their entries, so an entry's id is made of what identifies it:
- with a reference of the bank's own (camt `AcctSvcrRef`), or dated on a provisional report: of the entry's content, and of
  its place among equal ones of the statement. The same entry in a daily and in a monthly statement, or in two intraday
  reports of one day, is one transaction.
- else: of its statement and of its place in it, so that equal entries of two statements stay two transactions.
Ids of provisional and of authoritative entries never meet. The file's name and the moment of reading play no part.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from sources.connectors.files_values import MAX_NAME, Memory, clean
from sources.documents import BankAccount, BankTransaction, BankTransactionStatus
from sources.money import EXPONENTS, format_minor

_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}")
_NO_REFERENCE = frozenset({"", "NONREF", "NOTPROVIDED", "NOT PROVIDED", "NOREF", "NONE", "N/A"})


ENTRY_MEMORY = 500
_STATEMENT_MEMORY = 1_500


class Bounds:
    """Counts what one file states: short entries take many times their size in memory."""

    def __init__(self, memory: Memory, *, entry: int = ENTRY_MEMORY) -> None:
        """`memory`: of the file. `entry`: bytes that an entry takes while the file is read."""
        self._memory = memory
        self._entry = entry

    def entry(self) -> None:
        """One more. Raises UnreadableFile when there are too many."""
        self._memory.take(self._entry, "transactions")

    def statement(self) -> None:
        """One more. Raises UnreadableFile when there are too many."""
        self._memory.take(_STATEMENT_MEMORY, "statements")


@dataclass(frozen=True, slots=True)
class Balance:
    """A balance as a statement states it: signed minor units of `currency`, at the end (or begin) of `on`."""

    amount: int
    currency: str
    on: date | None


class RawText(Mapping[str, str]):
    """One text by its name, as `raw` of an entry: a tenth of the memory of a dict, which counts in files of a million entries."""

    __slots__ = ("_name", "_text")

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._text = text

    def __getitem__(self, name: str) -> str:
        if name != self._name:
            raise KeyError(name)
        return self._text

    def __iter__(self) -> Iterator[str]:
        yield self._name

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return repr(dict(self))


def reference_of(*candidates: str | None) -> str | None:
    """The first reference that is one: banks write NONREF or NOTPROVIDED where there is none."""
    cleaned = (clean(candidate) for candidate in candidates)
    return next((text for text in cleaned if text and text.upper() not in _NO_REFERENCE), None)


def is_iban(text: str) -> bool:
    """Whether text has the form and the check digits of an IBAN (ISO 13616, mod 97)."""
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1


def bank_account(identification: str, currency: str, *, name: str | None = None, iban: bool = False) -> BankAccount:
    """The account by its IBAN where the file says (`iban`) or the check digits show that it is one, else by the bank's
    own identification. The same account has the same external id in every format."""
    compact = re.sub(r"\s", "", identification).upper()
    if iban or is_iban(compact):
        return BankAccount(external_id=compact[:MAX_NAME], currency=currency, name=name, iban=compact[:MAX_NAME])
    return BankAccount(external_id=clean(identification) or "", currency=currency, name=name)


def digest(*parts: object) -> str:
    """A short stable id of parts: 24 hex digits of SHA-256. Which part is which matters, blanks at its ends do not."""
    text = "\x1f".join("" if part is None else str(part).strip() for part in parts)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:24]


def digest_of_ids(ids: Iterable[str]) -> str:
    """As `digest` of the ids of a whole statement, which may be a million: without a text of all of them."""
    found = hashlib.sha256()
    between = b""
    for each in ids:
        found.update(between + each.strip().encode("utf-8", "backslashreplace"))
        between = b"\x1f"
    return found.hexdigest()[:24]


def named_id(kind: str, text: str) -> str:
    """The id of a transaction by one that its bank gives it: readable where it is short and plain."""
    return f"{kind}:{text}" if len(text) < MAX_NAME and clean(text) == text else f"{kind}:{digest(text)}"


class EntryIds:
    """Gives the entries of one statement their ids, in their order (see the module's first lines)."""

    def __init__(self, statement_id: str, *, provisional: bool) -> None:
        self._statement_id = statement_id
        self._provisional = provisional
        self._position = 0
        self._once: set[str] = set()
        self._again: Counter[str] = Counter()

    def next(self, content: Iterable[object], *, bank_reference: str | None, dated: bool) -> str:
        self._position += 1
        if bank_reference is None and not (self._provisional and dated):
            return digest("entry", self._statement_id, self._position)
        key = digest("provisional" if self._provisional else "booked", bank_reference, *content)
        if key not in self._once:
            self._once.add(key)
            return key
        self._again[key] += 1
        return f"{key}-{self._again[key] + 1}"


def sum_warning(
    transactions: Iterable[BankTransaction], opening: Balance | None, closing: Balance | None, label: str
) -> str | None:
    """A sentence when opening balance + booked movements is not the closing balance; None when it is, or cannot be told."""
    if opening is None or closing is None or opening.currency != closing.currency:
        return None
    booked = [t for t in transactions if t.status is BankTransactionStatus.BOOKED and t.currency == opening.currency]
    moved = sum(t.amount for t in booked)
    if opening.amount + moved == closing.amount:
        return None

    def show(minor: int) -> str:
        return format_minor(minor, EXPONENTS[opening.currency])

    return (
        f"{label} does not add up: opening balance {show(opening.amount)} and movements of {show(moved)} give "
        f"{show(opening.amount + moved)}, but its closing balance is {show(closing.amount)} {opening.currency}."
    )


def foreign_warnings(
    transactions: Iterable[BankTransaction], balances: Iterable[Balance | None], currency: str, label: str
) -> list[str]:
    """Sentences about balances and movements in another currency than the account's, which no balance can count."""
    of_balances = {balance.currency for balance in balances if balance} - {currency}
    of_entries = {transaction.currency for transaction in transactions} - {currency}
    found = []
    if of_balances:
        found.append(
            f"{label} gives a balance in {', '.join(sorted(of_balances))}, but the account is in {currency}: "
            "it is not counted."
        )
    if of_entries:
        found.append(
            f"{label} has movements in {', '.join(sorted(of_entries))}, but the account is in {currency}: "
            "they are not part of its balance."
        )
    return found
