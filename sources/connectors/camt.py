"""ISO 20022 bank statements: camt.052 (intraday report), camt.053 (statement) and camt.054 (notification), versions 1 to 13.

Rules (ISO 20022 message definitions, "Bank-to-Customer Cash Management"):
- One transaction per `Ntry`, however many `TxDtls` it has. `Amt` is never negative; `CdtDbtInd` gives the direction of the
  booking itself. `RvslInd` = true does not turn it: it says that the entry reverses an earlier one of the other direction
  (CRDT and reversal: the original was a debit), so only the roles of debtor and creditor are those of the original.
- `Sts` is a code (to version 7 as text, from 8 on in `Cd`): BOOK is booked, PDNG and FUTR are pending, INFO is not booked
  and never will be: such an entry is left out, with a warning.
- Balances: OPBD or PRCD opens, CLBD closes, CLAV is available; in reports ITBD and ITAV stand for the last two. Where a
  statement has several of one type, the earliest opens and the latest closes.
- camt.052 and camt.054 are provisional; camt.053 is authoritative.
- The account's currency is `Acct/Ccy`, else that of its booked balances, of its other balances, of its entries.
- A statement without entries, balances and currency states nothing and is left out.
- Dates are the bank's own calendar dates: of a timestamp, its date as written.

One thing in a file that cannot be read exactly refuses the whole file: a part of a statement is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from lxml import etree

from sources.connectors.camt_entry import ENTRY, Entry
from sources.connectors.camt_taken import RECORDS, TakenEntries, declarations, identification, message_kind
from sources.connectors.camt_xml import to_amount
from sources.connectors.files_values import Memory, UnreadableFile, clean, exponent_of, quote, to_date
from sources.connectors.files_xml import find_text, read_xml, read_xml_taking, texts
from sources.connectors.statement import Balance, Bounds, EntryIds, bank_account, digest, foreign_warnings, sum_warning
from sources.documents import BankStatement, BankTransaction

_OPENING = ("OPBD", "PRCD")
_CLOSING = {"052": ("CLBD", "ITBD"), "053": ("CLBD",), "054": ("CLBD", "ITBD")}
_AVAILABLE = {"052": ("CLAV", "ITAV"), "053": ("CLAV",), "054": ("CLAV", "ITAV")}


def parse_camt(data: bytes, file_name: str) -> list[BankStatement]:
    """Every statement of one file, in its order. `file_name` is named in warnings and is no part of any id.

    Raises UnreadableFile for what is not camt.052/053/054, not well-formed, or not exactly representable."""
    root, taken = _read(data)
    found: list[BankStatement] = []
    none = True
    for kind, message in _messages(root):
        none = False
        for record in _records(kind, message):
            statement = _Record(kind, message, record, taken, file_name).statement()
            if statement is not None:
                found.append(statement)
    if none:
        raise UnreadableFile(f"it is XML, but no camt.052, camt.053 or camt.054 message: its root is {quote(root.tag)}")
    return found


def _read(data: bytes) -> tuple[etree._Element, TakenEntries]:
    memory = Memory(len(data))
    taken = TakenEntries(Bounds(memory))
    root = read_xml_taking(data, memory, ENTRY, taken.take)
    if taken.hold():
        return root, taken
    del root, taken  # before the tree is made again
    memory = Memory(len(data))
    return read_xml(data, memory), TakenEntries(Bounds(memory))


def _messages(root: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    """Messages with their kind: the root's child, or further in within a bank's envelope. Version 1 names end in V01."""
    for element in root.iter(etree.Element):
        kind = message_kind(element)
        if kind:
            yield kind, element


def _records(kind: str, message: etree._Element) -> list[etree._Element]:
    records = message.findall(RECORDS[kind])
    if not records:
        raise UnreadableFile(f"it is a camt.{kind} without a statement in it (no {RECORDS[kind]} element)")
    return records


@dataclass(frozen=True, slots=True)
class _Stated:
    code: str
    balance: Balance
    with_credit_line: bool


class _Record:
    """One `Stmt`, `Rpt` or `Ntfctn`."""

    def __init__(
        self, kind: str, message: etree._Element, record: etree._Element, taken: TakenEntries, file_name: str
    ) -> None:
        self._kind = kind
        self._message = message
        self._record = record
        self._taken = taken
        self._where = f"line {record.sourceline}"
        self._id = find_text(record, "Id") or find_text(message, "GrpHdr/MsgId") or ""
        self._label = f"Statement {quote(self._id)} of {file_name}"
        self._balances = [_stated(element) for element in record.findall("Bal")]

    def statement(self) -> BankStatement | None:
        self._taken.bounds.statement()
        account, is_iban = self._identification()
        entries = self._taken.entries(self._record, self._kind, account)
        currency = self._currency(entries)
        if currency is None:
            return None
        opening = self._pick(_OPENING, currency, newest=False)
        closing = self._pick(_CLOSING[self._kind], currency)
        available = self._pick(_AVAILABLE[self._kind], currency)
        statement_id = self._statement_id(account, currency, opening, closing, entries)
        ids = EntryIds(statement_id, provisional=self._provisional)
        warnings = [entry.warning(self._label) for entry in entries if entry.information_only]
        booked = [entry.booked_on for entry in entries if entry.booked and entry.booked_on]
        first, last = self._period(opening, closing, booked)
        name = find_text(self._record, "Acct/Nm") or find_text(self._record, "Acct/Ownr/Nm")

        def in_currency(balance: Balance | None) -> int | None:
            return balance.amount if balance and balance.currency == currency else None

        transactions = tuple(self._transactions(entries, ids))
        if not self._provisional:
            warnings += foreign_warnings(transactions, (opening, closing, available), currency, self._label)
            warnings += filter(None, [sum_warning(transactions, opening, closing, self._label)])
        return BankStatement(
            external_id=statement_id,
            account=bank_account(account, currency, name=clean(name), iban=is_iban),
            provisional=self._provisional,
            transactions=transactions,
            from_date=first,
            to_date=last,
            opening=in_currency(opening),
            closing=in_currency(closing),
            closing_available=in_currency(available),
            warnings=tuple(warnings),
        )

    def _transactions(self, entries: list[Entry], ids: EntryIds) -> Iterator[BankTransaction]:
        """The entries as transactions; taken from the list one by one, because a file may hold hundred thousands."""
        declared = declarations(self._record)
        entries.reverse()
        while entries:
            entry = entries.pop()
            if not entry.information_only:
                yield entry.transaction(ids, declared)

    @property
    def _provisional(self) -> bool:
        return self._kind != "053"

    def _identification(self) -> tuple[str, bool]:
        """The account's identification, and whether the file calls it an IBAN. Raises UnreadableFile."""
        found = identification(self._record)
        if found:
            return found
        raise UnreadableFile(f"{self._where}: the statement {quote(self._id)} names no account (Acct/Id)")

    def _currency(self, entries: list[Entry]) -> str | None:
        stated = find_text(self._record, "Acct/Ccy")
        if stated:
            exponent_of(stated, self._where)
            return stated
        booked = {*_OPENING, *_CLOSING[self._kind]}
        ordered = [stated.balance.currency for stated in self._balances if stated.code in booked]
        ordered += [stated.balance.currency for stated in self._balances]
        ordered += [entry.currency for entry in entries]
        return ordered[0] if ordered else None

    def _pick(self, codes: tuple[str, ...], currency: str, *, newest: bool = True) -> Balance | None:
        """The balance of the first of these types that is stated: the newest (or the oldest) in the account's currency,
        rather without a credit line in it; in another currency when there is no other."""
        for code in codes:
            found = [stated for stated in self._balances if stated.code == code]
            own = [stated for stated in found if stated.balance.currency == currency] or found
            plain = [stated for stated in own if not stated.with_credit_line] or own
            if plain:
                dates = [stated.balance.on or date.min for stated in plain]
                wanted = max(dates) if newest else min(dates)
                return plain[dates.index(wanted)].balance
        return None

    def _statement_id(
        self, identification: str, currency: str, opening: Balance | None, closing: Balance | None, entries: list[Entry]
    ) -> str:
        """Account, id, page and balances identify a statement; where balances do not, its entries do, because some banks
        give every statement the same id."""
        account = bank_account(identification, currency).external_id
        page = find_text(self._record, f"{RECORDS[self._kind]}Pgntn/PgNb")
        identified = opening and closing and not self._provisional
        content = None if identified else [(entry.bank_reference, *entry.content) for entry in entries]
        created = find_text(self._record, "CreDtTm") if self._provisional else None
        return f"camt.{self._kind}:{digest(account, currency, self._id, page, opening, closing, content, created)}"

    def _period(
        self, opening: Balance | None, closing: Balance | None, booked: list[date]
    ) -> tuple[date | None, date | None]:
        """From when to when. The closing balance's date ends an authoritative statement; `FrToDt`, the booked entries and
        other balances stand in. A report that gives no date ends on the day it was made."""
        stated_from, stated_to = self._stated_period()
        others = [stated.balance.on for stated in self._balances if stated.balance.on]
        ends = [closing.on] if closing and closing.on else [stated_to] if stated_to else others
        last = max([day for day in ends if day] + booked, default=None)
        if last is None and self._provisional:
            last = self._created()
        if last is None:
            return stated_from, None
        starts = [stated_from, opening.on if opening else None, *booked]
        return min((day for day in starts if day and day <= last), default=last), last

    def _stated_period(self) -> tuple[date | None, date | None]:
        record = self._record
        first = find_text(record, "FrToDt/FrDtTm") or find_text(record, "FrToDt/FrDt")
        last = find_text(record, "FrToDt/ToDtTm") or find_text(record, "FrToDt/ToDt")
        return (to_date(first, self._where) if first else None, to_date(last, self._where) if last else None)

    def _created(self) -> date | None:
        text = find_text(self._record, "CreDtTm") or find_text(self._message, "GrpHdr/CreDtTm")
        return to_date(text, self._where) if text else None


def _stated(element: etree._Element) -> _Stated:
    where = f"line {element.sourceline}"
    code = next(texts(element, "Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry", "Tp/Cd", "Tp/Prtry"), "")
    amount, currency = to_amount(element, where)
    on = next(texts(element, "Dt/Dt", "Dt/DtTm"), None)
    included = find_text(element, "CdtLine/Incl") in ("true", "1")
    return _Stated(code, Balance(amount, currency, to_date(on, where) if on else None), included)
