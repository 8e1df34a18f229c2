"""Rows of an import file -> entries as stated. Pure: takes lines of text, opens nothing, checks no rule of the ledger.

A file is read twice, so that it need not fit into memory: the first pass finds its form, its accounts and where each entry
ends (`outline`), the second one gives each entry as soon as it is whole (`read_entries`).

The first row names the columns: entry, date, description, account, debit, credit, currency, and optionally account_type,
account_name, reference, functional_amount and dimension:<name>. Rows of one `entry` value form one entry wherever they
stand; entries keep the order in which they first appear, lines the order of their rows. Date and reference stand on the
first row of an entry and may be left empty on its others. A row whose description differs from the first one's keeps it
as the line's description. An empty cell states nothing. Amounts stay the exact texts of the file. A row that fills nothing but
account, account_type and account_name states an account, and is part of no entry.
"""

from __future__ import annotations

import csv
import difflib
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from sources.errors import InvalidArgument
from sources.ledger.model import AccountType, EntryDraft, LedgerRef, LineDraft

REQUIRED = ("entry", "date", "description", "account", "debit", "credit", "currency")
OPTIONAL = ("account_type", "account_name", "reference", "functional_amount")
_OF_ACCOUNT = {"account", "account_type", "account_name"}

_DIMENSION = re.compile(r"dimension:([a-z][a-z0-9_]*)")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an entry cannot be read: `entry` is its value in the file, `line_numbers` count from 1 for the header."""

    entry: str
    line_numbers: tuple[int, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedEntry:
    """One entry as the file states it; `line_numbers[i]` is where `lines[i]` stands."""

    entry: str
    effective_date: date
    description: str
    reference: str | None
    lines: tuple[LineDraft, ...]
    line_numbers: tuple[int, ...]

    def draft(self, ledger: LedgerRef, batch: str, posted_by: str) -> EntryDraft:
        """As a draft whose key is the batch name and the entry value."""
        return EntryDraft(
            ledger=ledger,
            idempotency_key=f"{batch}:{self.entry}",
            effective_date=self.effective_date,
            description=self.description,
            reference=self.reference,
            lines=self.lines,
            posted_by=posted_by,
        )


@dataclass(frozen=True, slots=True)
class ImportedAccount:
    """What the columns account_type and account_name say of an account; `type` None: nothing. `name` is its code where
    the file gives none."""

    code: str
    name: str
    type: AccountType | None
    line_number: int


@dataclass(frozen=True, slots=True)
class Outline:
    """What a first pass finds. `accounts` are those of every row, in order of their codes; `ends`: by entry value the number
    of its last row; `faults`: by number of a row what contradicts other rows; `alone`: rows that state an account and nothing else."""

    accounts: tuple[ImportedAccount, ...]
    ends: Mapping[str, int]
    faults: Mapping[int, tuple[str, ...]]
    alone: int = 0


@dataclass(frozen=True, slots=True)
class _Row:
    number: int
    cells: dict[str, str]
    fault: str | None = None

    @property
    def entry(self) -> str:
        return self.cells.get("entry", "")

    @property
    def is_account(self) -> bool:
        """It states an account, and nothing else."""
        if self.entry or self.fault:
            return False
        return {"account", "account_type"} <= {name for name, text in self.cells.items() if text} <= _OF_ACCOUNT


@dataclass(slots=True)
class _Chart:
    """The accounts seen so far, and where each type was stated."""

    accounts: dict[str, ImportedAccount] = field(default_factory=dict)

    def note(self, row: _Row) -> Iterator[str]:
        code, text = row.cells["account"], row.cells.get("account_type", "")
        if text and text not in AccountType.__members__:
            yield f"line {row.number}: account_type must be one of {', '.join(AccountType)}, not {text!r}"
            return
        stated = AccountType(text) if text else None
        known = self.accounts.get(code)
        if known and known.type and stated and known.type is not stated:
            yield f"line {row.number}: account {code} is {stated}, but {known.type} on line {known.line_number}"
            return
        name = row.cells.get("account_name", "")
        if known is None:
            self.accounts[code] = ImportedAccount(code, name or code, stated, row.number)
        elif (stated and not known.type) or (name and known.name == code):
            number = row.number if stated and not known.type else known.line_number
            self.accounts[code] = ImportedAccount(code, name or known.name, known.type or stated, number)


def outline(lines: Iterable[str]) -> Outline:
    """Of a CSV file's lines (with their line ends). Raises InvalidArgument, naming the line, where the text is not CSV or the
    header lacks a column."""
    chart = _Chart()
    ends: dict[str, int] = {}
    faults: dict[int, tuple[str, ...]] = {}
    alone = 0
    for row in _rows(lines):
        found = () if row.fault else tuple(chart.note(row))
        if found:
            faults[row.number] = found
        if found or not row.is_account:
            ends[row.entry] = row.number
        else:
            alone += 1
    accounts = sorted((account for code, account in chart.accounts.items() if code), key=lambda account: account.code)
    return Outline(tuple(accounts), ends, faults, alone)


def read_entries(lines: Iterable[str], found: Outline) -> Iterator[ImportedEntry | Refusal]:
    """The entries of the same lines, in the order in which they first appear; one that cannot be read is a refusal. Rows are
    held until their entry, and those before it, are whole."""
    waiting: OrderedDict[str, list[_Row]] = OrderedDict()
    for row in _rows(lines):
        if row.is_account and row.number not in found.faults:
            continue
        waiting.setdefault(row.entry, []).append(row)
        while waiting and found.ends.get(next(iter(waiting)), 0) <= row.number:
            yield _entry(*waiting.popitem(last=False), found.faults)


def _rows(lines: Iterable[str]) -> Iterator[_Row]:
    reader = csv.reader(lines, strict=True)
    try:
        columns = _columns(next(reader, []))
        start = reader.line_num + 1
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _row(start, columns, cells)
            start = reader.line_num + 1
    except csv.Error as fault:
        raise InvalidArgument(f"line {reader.line_num}: is not CSV: {fault}") from None


def _row(number: int, columns: list[str], cells: list[str]) -> _Row:
    fault = None
    if len(cells) != len(columns):
        fault = f"line {number}: has {len(cells)} cells where the header names {len(columns)} columns"
    filled = cells + [""] * (len(columns) - len(cells))
    return _Row(number, dict(zip(columns, filled, strict=False)), fault)


def _columns(header: list[str]) -> list[str]:
    columns = [name.strip() for name in header]
    if not any(columns):
        raise InvalidArgument(f"line 1: must name the columns: {','.join(REQUIRED)}")
    known = (*REQUIRED, *OPTIONAL)
    for name in columns:
        if name not in known and not _DIMENSION.fullmatch(name):
            close = difflib.get_close_matches(name, known, n=1)
            if len(columns) == 1 and set(name) & {";", "\t"}:
                raise InvalidArgument("line 1: cells have to be separated by commas")
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}, dimension:<name>"
            raise InvalidArgument(f"line 1: {name!r} is not a column; {hint}")
        if columns.count(name) > 1:
            raise InvalidArgument(f"line 1: the column {name} stands there more than once")
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise InvalidArgument(f"line 1: lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")
    return columns


def _entry(value: str, rows: list[_Row], faults: Mapping[int, tuple[str, ...]]) -> ImportedEntry | Refusal:
    numbers = tuple(row.number for row in rows)
    first = rows[0]
    reasons = [row.fault for row in rows if row.fault]
    if not value and not all(row.is_account for row in rows):
        reasons.append("has no entry value")
    for row in rows:
        if not row.fault:
            reasons += () if row.is_account else _faults(row, first)
            reasons += faults.get(row.number, ())
    effective = _date(first.cells["date"])
    if reasons or effective is None:
        return Refusal(value, numbers, tuple(reasons))
    return ImportedEntry(
        entry=value,
        effective_date=effective,
        description=first.cells["description"],
        reference=first.cells.get("reference") or None,
        lines=tuple(_line(row, first) for row in rows),
        line_numbers=numbers,
    )


def _faults(row: _Row, first: _Row) -> Iterator[str]:
    if row is first and _date(row.cells["date"]) is None:
        yield f"line {row.number}: date must be of the form 2026-11-22, not {row.cells['date']!r}"
    if bool(row.cells["debit"]) == bool(row.cells["credit"]):
        yield f"line {row.number}: must have exactly one of debit and credit"
    if not row.cells["account"]:
        yield f"line {row.number}: must name an account"
    for name in ("date", "reference"):
        here, there = row.cells.get(name, ""), first.cells.get(name, "")
        if here and here != there:
            yield f"line {row.number}: {name} is {here!r}, but {there!r} on line {first.number} of the same entry"


def _date(text: str) -> date | None:
    if not _DATE.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _line(row: _Row, first: _Row) -> LineDraft:
    cells = row.cells
    description = cells["description"]
    return LineDraft(
        account=cells["account"],
        debit=cells["debit"] or None,
        credit=cells["credit"] or None,
        currency=cells["currency"] or None,
        functional_amount=cells.get("functional_amount") or None,
        description=description if description and description != first.cells["description"] else None,
        dimensions=tuple(
            (name.removeprefix("dimension:"), value)
            for name, value in cells.items()
            if name.startswith("dimension:") and value
        ),
    )
