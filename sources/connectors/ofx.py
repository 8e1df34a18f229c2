"""OFX (Open Financial Exchange) 1.x in SGML and 2.x in XML: downloads of bank and credit card accounts, .ofx, .qfx and .qbo.

Rules (Open Financial Exchange, versions 1.0.3 to 2.3, chapters 3 and 11):
- Each `STMTRS` and `CCSTMTRS` is a statement; `CURDEF` is its currency, where a bank leaves it empty the one of all its transactions
  (`CURRENCY`). Amounts are signed from the customer's view, of credit cards too:
  what was bought is negative.
- `FITID` is the bank's id of a transaction, so one that stands in two downloads is one. Where one download gives several different
  transactions the same FITID, or none, their day, content and place among equal ones identify them.
- `LEDGERBAL` closes, on the day of its `DTASOF`, which may be long after the download's period; `AVAILBAL` is available. Nothing opens.
- `STMTTRNP` (in `BANKTRANLISTP`) is pending.
- A transaction with `CORRECTACTION` DELETE only says that an earlier one is void, REPLACE takes its place. Within a download that is
  done; what stands in an earlier download is named in a warning.
- A `STATUS` of severity ERROR is the bank's refusal.

An account is its IBAN, else `BANKID`/`ACCTID`, with the kind behind it where it is not a checking account; of a card its `ACCTID`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from sources.connectors.files_values import Memory, UnreadableFile, clean, exponent_of, quote
from sources.connectors.ofx_entry import MAX_RAW, Entry, read_entry, to_amount, to_day
from sources.connectors.ofx_text import VALUES, Begin, Decoder, End, Leaf, plain_bytes, read_elements
from sources.connectors.statement import Bounds, EntryIds, bank_account, digest, foreign_warnings, is_iban, named_id
from sources.documents import BankAccount, BankStatement, BankTransaction

_ENTRY_MEMORY = 700
_STATEMENTS = ("STMTRS", "CCSTMTRS")
_TRANSACTIONS = ("STMTTRN", "STMTTRNP")
_LISTS = {"BANKTRANLIST", "BANKTRANLISTP"}
_ACCOUNTS = ("BANKACCTFROM", "CCACCTFROM")
_WITHIN_TRANSACTION = ("CURRENCY", "PAYEE")
_WITHIN_STATEMENT = (*_ACCOUNTS, "BANKTRANLIST", "LEDGERBAL", "AVAILBAL")


def parse_ofx(data: bytes, file_name: str) -> list[BankStatement]:
    """Every statement of one file, in its order. `file_name` is named in warnings and is no part of any id.

    Raises UnreadableFile for what holds no statement, was cut off, or is not exactly representable."""
    reader = _Reader(plain_bytes(data), file_name, Memory(len(data)))
    return reader.read()


@dataclass(slots=True)
class _Statement:
    """`fields`: by name, those within others as LEDGERBAL.BALAMT."""

    fields: dict[str, str] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    voided: set[str] = field(default_factory=set)
    read: int = 0

    @property
    def label(self) -> str:
        """For sentences."""
        account = self.fields.get("BANKACCTFROM.ACCTID") or self.fields.get("CCACCTFROM.ACCTID")
        return f"the statement of account {quote(account)}" if account else "a statement"


class _Reader:
    """Goes through the elements of one file."""

    def __init__(self, data: bytes, file_name: str, memory: Memory) -> None:
        self._data = data
        self._file_name = file_name
        self._decoder = Decoder(data)
        self._path: list[str] = []
        self._statement: _Statement | None = None
        self._fields: dict[str, str] | None = None
        self._begun_at = 0
        self._bounds = Bounds(memory, entry=_ENTRY_MEMORY)
        self._status: dict[str, str] = {}
        self._found: list[BankStatement] = []
        self._refusals: list[str] = []

    def read(self) -> list[BankStatement]:
        seen = Counter[str]()
        for element in read_elements(self._data, self._decoder):
            if isinstance(element, Leaf):
                self._leaf(element)
            elif isinstance(element, Begin):
                seen[element.name] += element.name in ("OFX", "INVSTMTRS")
                self._begin(element)
            else:
                self._end(element)
        if not self._found:
            raise UnreadableFile(self._nothing(seen))
        if self._refusals:
            said = (
                f"{self._file_name} holds a part of what was asked for; of the rest the bank says: {self._refusals[0]}."
            )
            self._found[0] = replace(self._found[0], warnings=(*self._found[0].warnings, said))
        return self._found

    def _nothing(self, seen: Counter[str]) -> str:
        if self._refusals:
            return f"the bank gave no statement: {self._refusals[0]}"
        if not seen["OFX"]:
            return "it has no <OFX>"
        return (
            "it holds an investment statement, which is not read"
            if seen["INVSTMTRS"]
            else "it holds no bank or credit card statement"
        )

    def _begin(self, element: Begin) -> None:
        self._path.append(element.name)
        if element.name in _STATEMENTS:
            self._bounds.statement()
            self._statement = _Statement()
        elif element.name in _TRANSACTIONS and self._statement is not None:
            self._fields, self._begun_at = {}, element.at
        elif element.name == "STATUS":
            self._status = {}

    def _leaf(self, leaf: Leaf) -> None:
        inner = self._path[-1] if self._path else ""
        if inner == "STATUS":
            self._status[leaf.name] = leaf.value
        elif self._fields is not None:
            if leaf.name not in VALUES:
                return
            if inner in _TRANSACTIONS:
                self._fields.setdefault(leaf.name, leaf.value)
            elif inner in _WITHIN_TRANSACTION:
                self._fields.setdefault(f"{inner}.{leaf.name}", leaf.value)
        elif leaf.name == "TRNAMT" and (self._statement is not None or _LISTS & {*self._path}):
            raise UnreadableFile(
                f"an amount (TRNAMT) of {quote(leaf.value)} stands outside of any transaction or statement"
            )
        elif self._statement is not None and leaf.name in VALUES:
            if inner in _STATEMENTS:
                self._statement.fields.setdefault(leaf.name, leaf.value)
            elif inner in _WITHIN_STATEMENT:
                self._statement.fields.setdefault(f"{inner}.{leaf.name}", leaf.value)

    def _end(self, element: End) -> None:
        self._path.pop()
        if element.name == "STATUS" and self._status.get("SEVERITY", "").upper() == "ERROR":
            said = clean(f"{self._status.get('CODE', '')} {self._status.get('MESSAGE', '')}", 200)
            self._refusals.append(f"status {said or 'ERROR'}")
        elif element.name in _TRANSACTIONS and self._statement is not None and self._fields is not None:
            self._add(self._statement, self._fields, element)
            self._fields = None
        elif element.name in _STATEMENTS and self._statement is not None:
            self._found.append(_made(self._statement, self._file_name))
            self._statement = None

    def _add(self, statement: _Statement, fields: dict[str, str], element: End) -> None:
        self._bounds.entry()
        statement.read += 1
        where = f"transaction {statement.read} of {statement.label}"
        if fields.get("CORRECTFITID"):
            statement.voided.add(fields["CORRECTFITID"])
            if fields.get("CORRECTACTION", "").upper() == "DELETE":
                return
        currency = statement.fields.get("CURDEF") or fields.get("CURRENCY.CURSYM")
        if currency is None:
            raise UnreadableFile(f"{statement.label} gives no currency (CURDEF)")
        end = element.at
        if end - self._begun_at > MAX_RAW:
            end = max(self._data.rfind(b"<", self._begun_at, self._begun_at + MAX_RAW), self._begun_at)
        raw = self._decoder.text(self._data[self._begun_at : end]) + ("…" if end < element.at else "")
        pending = element.name == "STMTTRNP"
        statement.entries.append(read_entry(fields, currency, pending=pending, raw=raw, where=where))


def _made(statement: _Statement, file_name: str) -> BankStatement:
    fields = statement.fields
    currency = (fields.get("CURDEF") or _only_currency(statement.entries)).upper()
    if not currency:
        raise UnreadableFile(f"{statement.label} gives no currency (CURDEF)")
    exponent_of(currency, statement.label)
    account = _account(fields, currency, statement.label)
    label = f"{statement.label[0].upper()}{statement.label[1:]} in {file_name}"
    warnings = [*_void(statement, label)]
    repeated = _repeated(statement.entries)
    if repeated:
        warnings.append(
            f"{label} gives several transactions the same id (FITID), {quote(min(repeated))} for one: they are told apart by their content."
        )
    closing = _balance(fields, "LEDGERBAL", currency, statement.label)
    ids = EntryIds("", provisional=False)
    transactions = tuple(_transactions(statement.entries, repeated, ids))
    first, last = _period(fields, transactions, statement.label)
    warnings += foreign_warnings(transactions, (), currency, label)
    content = digest(*(transaction.external_id for transaction in transactions))
    return BankStatement(
        external_id=f"ofx:{digest(account.external_id, currency, first, last, closing, content)}",
        account=account,
        provisional=False,
        transactions=transactions,
        from_date=first,
        to_date=last,
        closing=closing,
        closing_available=_balance(fields, "AVAILBAL", currency, statement.label),
        warnings=tuple(warnings),
    )


def _only_currency(entries: Sequence[Entry]) -> str:
    found = {entry.currency for entry in entries}
    return found.pop() if len(found) == 1 else ""


def _account(fields: dict[str, str], currency: str, label: str) -> BankAccount:
    card = clean(fields.get("CCACCTFROM.ACCTID"))
    if card:
        return bank_account(card, currency)
    number = clean(fields.get("BANKACCTFROM.ACCTID"))
    if not number:
        raise UnreadableFile(f"{label} names no account (ACCTID)")
    if is_iban(number.replace(" ", "").upper()):
        return bank_account(number, currency)
    kind = fields.get("BANKACCTFROM.ACCTTYPE", "").upper()
    parts = (clean(fields.get("BANKACCTFROM.BANKID")), number, None if kind in ("", "CHECKING") else clean(kind))
    return bank_account("/".join(part for part in parts if part), currency)


def _balance(fields: dict[str, str], name: str, currency: str, label: str) -> int | None:
    text = fields.get(f"{name}.BALAMT")
    return to_amount(text, currency, label) if text else None


def _period(
    fields: dict[str, str], transactions: Sequence[BankTransaction], label: str
) -> tuple[date | None, date | None]:
    """From when to when: the day of the balance ends it, the end of the period stands in; not before the last booking."""

    def stated(name: str) -> date | None:
        text = fields.get(name, "")
        return to_day(text, label) if text.strip("0") else None

    booked = [transaction.booked_on for transaction in transactions if transaction.booked_on]
    end = (stated("LEDGERBAL.DTASOF") if "LEDGERBAL.BALAMT" in fields else None) or stated("BANKTRANLIST.DTEND")
    last = max([*filter(None, [end]), *booked], default=None)
    first = min([*filter(None, [stated("BANKTRANLIST.DTSTART")]), *booked], default=None)
    return (first if first and last and first <= last else last), last


def _void(statement: _Statement, label: str) -> Iterator[str]:
    """Leaves out what a later transaction of the same download corrects; warns of what is not in it."""
    voided = statement.voided
    if not voided:
        return
    here = {entry.fitid for entry in statement.entries}
    statement.entries = [entry for entry in statement.entries if entry.fitid not in voided]
    for fitid in sorted(voided - here):
        yield f"{label} corrects or deletes the transaction {quote(fitid)} of an earlier download: it still counts, reverse it by hand."


def _repeated(entries: Sequence[Entry]) -> set[str]:
    """Ids that stand at several transactions of different content."""
    count = Counter(entry.fitid for entry in entries if entry.fitid)
    several = {fitid for fitid, times in count.items() if times > 1}
    content: dict[str, set[tuple[object, ...]]] = {}
    for entry in entries:
        if entry.fitid in several:
            content.setdefault(entry.fitid, set()).add(entry.content)
    return {fitid for fitid, found in content.items() if len(found) > 1}


def _transactions(entries: list[Entry], repeated: set[str], ids: EntryIds) -> Iterator[BankTransaction]:
    """With their ids; the same one stated twice is one. Taken from the list one by one, because a file may hold a million."""
    stated: set[str] = set()
    entries.reverse()
    while entries:
        entry = entries.pop()
        if entry.fitid and entry.fitid not in repeated and not entry.pending:
            if entry.fitid in stated:
                continue
            stated.add(entry.fitid)
            yield entry.transaction(named_id("fitid", entry.fitid))
        else:
            mark = "pending" if entry.pending else "ofx"
            yield entry.transaction(ids.next((mark, *entry.content), bank_reference=mark, dated=True))
