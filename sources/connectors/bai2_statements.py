"""The accounts of one group of a BAI2 file as statements (see `bai2` for the rules)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from sources.connectors.bai2_entry import Entry, Summary
from sources.connectors.bai2_records import Record
from sources.connectors.bai2_totals import Sums
from sources.connectors.files_values import UnreadableFile, quote
from sources.connectors.statement import Balance, EntryIds, bank_account, digest, digest_of_ids, sum_warning
from sources.documents import BankStatement, BankTransaction
from sources.money import EXPONENTS, format_minor

CORRECTION = "3"
_CLOSING, _CURRENT = ("015", "045"), ("030", "060")
_TOTAL_CREDITS, _TOTAL_DEBITS = "100", "400"


@dataclass(slots=True)
class File:
    """A 01. `created`: when, and the file's number."""

    header: Record
    created_on: str
    created: tuple[str, ...]
    sums: Sums


@dataclass(slots=True)
class Group:
    """A 02. `as_of`: the day that it tells of."""

    header: Record
    status: str
    as_of: date
    time: str
    currency: str
    modifier: str
    sums: Sums
    accounts: list[Account] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """A 03 with its 16s. `warnings`: half sentences about its trailer."""

    header: Record
    number: str
    currency: str
    summaries: tuple[Summary, ...]
    sums: Sums
    entries: list[Entry] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def first(self, *codes: str) -> int | None:
        """The balance of the first of these type codes that is stated."""
        stated = {summary.type_code: summary.amount for summary in reversed(self.summaries)}
        return next((stated[code] for code in codes if code in stated), None)


class Statements:
    """The statements of one group."""

    def __init__(self, file: File, group: Group, file_name: str) -> None:
        self._file = file
        self._group = group
        self._file_name = file_name
        self._provisional = self._is_provisional()
        self._ids: dict[tuple[str, str], EntryIds] = {}
        self._taken: Counter[str] = Counter()

    def made(self) -> Iterator[BankStatement]:
        for account in self._group.accounts:
            yield self._statement(account)

    def _is_provisional(self) -> bool:
        group = self._group
        if group.modifier in ("1", "2", "3", "4"):
            return group.modifier in ("1", "3")
        stated = {summary.type_code for account in group.accounts for summary in account.summaries}
        if stated.intersection(_CLOSING) or not stated.intersection(_CURRENT):
            return not stated and self._file.created_on == f"{group.as_of:%y%m%d}"
        return True

    def _statement(self, account: Account) -> BankStatement:
        group = self._group
        label = f"The report of account {quote(account.number)} of {group.as_of} in {self._file_name}"
        opening, closing, available = self._balances(account)
        of = bank_account(account.number, account.currency)
        ids = self._ids.setdefault((of.external_id, of.currency), EntryIds("", provisional=self._provisional))
        details = _without_details(account, label)
        transactions = tuple(self._transactions(account, ids))
        opens = account.first("010")
        if group.status == CORRECTION and (opens is None or self._provisional):
            raise UnreadableFile(
                f"{account.header.where}: it corrects an earlier report (group status 3), and without a final opening balance "
                "(010) nobody knows which; resolve that by hand"
            )
        external_id = self._id(of.external_id, account, opens, transactions)
        warnings = [f"{label}: {warning}." for warning in account.warnings]
        if not self._provisional:
            begin, end = (
                None if amount is None else Balance(amount, account.currency, group.as_of)
                for amount in (opening, closing)
            )
            adds_up = sum_warning(transactions, begin, end, label)
            warnings += filter(None, [details or adds_up])
        return BankStatement(
            external_id=external_id,
            account=of,
            provisional=self._provisional,
            transactions=transactions,
            from_date=group.as_of,
            to_date=group.as_of,
            opening=opening,
            closing=closing,
            closing_available=available,
            warnings=tuple(warnings),
        )

    def _transactions(self, account: Account, ids: EntryIds) -> Iterator[BankTransaction]:
        """Its entries as transactions; taken from it one by one, because a file may hold a million."""
        entries = account.entries
        entries.reverse()
        while entries:
            yield entries.pop().transaction(ids, account.currency, self._group.as_of)

    def _balances(self, account: Account) -> tuple[int | None, int | None, int | None]:
        """What opens, closes and is available."""
        if self._provisional:
            return account.first("010"), account.first("030", "015"), account.first("060", "045")
        opening, closing, available = account.first("010"), account.first("015"), account.first("045")
        opens, moved = account.first("040"), sum(entry.amount for entry in account.entries)
        if opening is None and closing is None and opens is not None and opens + moved == available:
            return opens, available, available
        return opening, closing, available

    def _id(self, of: str, account: Account, opens: int | None, transactions: tuple[BankTransaction, ...]) -> str:
        group = self._group
        moment = (group.time, *self._file.created) if self._provisional else ()
        by_transactions = opens is None or self._provisional
        content = digest_of_ids(each.external_id for each in transactions) if by_transactions else opens
        kind = "bai2-interim" if self._provisional else "bai2"
        found = f"{kind}:{digest(of, account.currency, group.as_of, *moment, content)}"
        self._taken[found] += 1
        return found if self._taken[found] == 1 else f"{found}-{self._taken[found]}"


def _without_details(account: Account, label: str) -> str | None:
    """A sentence when a report gives totals of transactions (100, 400), and none of them."""
    totals = {summary.type_code: summary.amount for summary in account.summaries}
    moved = [(totals.get(code) or 0) for code in (_TOTAL_CREDITS, _TOTAL_DEBITS)]
    if account.entries or not any(moved):
        return None
    money_in, money_out = (format_minor(abs(amount), EXPONENTS[account.currency]) for amount in moved)
    return f"{label} gives credits of {money_in} and debits of {money_out} {account.currency} as totals, without the transactions."
