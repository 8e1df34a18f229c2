"""BAI2, the cash management reports of American banks: balances and transactions of accounts, by groups of one day.

Rules (BAI, Cash Management Balance Reporting Specifications, version 2):
- 01 and 99 enclose a file, 02 and 98 a group (one originator, one as-of date), 03 and 49 an account. One that does not end was
  cut off; control totals: see `bai2_totals`.
- The currency is that of the 03, else of the 02, else USD. Each 03 is a statement of its group's as-of date, and its transactions
  were booked on it.
- The as-of-date modifier of the 02 tells final reports (2, 4), which are authoritative, from interim ones (1, 3), which are
  provisional. Without it a group is provisional when it states current balances (030, 060) and no closing ones (015, 045), or no
  balance at all on the day that its file was made.
- 010 opens, 015 closes and 045 is available; of a provisional report 030 and 060 stand for the last two. Banks that give neither 010
  nor 015 may mean these by 040 and 045: believed where the transactions lead from one to the other.
- Group status 4 is a test, left out. 3 corrects: it takes the place of the report of the same account, day and opening balance,
  and is refused where it states none. 2 deletes, which nobody can undo for certain: refused.

Ids. Account, as-of date and opening balance identify an authoritative report, where it states none its transactions do; of a
provisional one its moment and its transactions. A transaction's id is made of its day and content and its place among equal ones of the group.
"""

from __future__ import annotations

from dataclasses import replace

from sources.connectors.bai2_entry import read_entry, read_summaries, to_day
from sources.connectors.bai2_records import Fields, Record, read_records
from sources.connectors.bai2_statements import CORRECTION, Account, File, Group, Statements
from sources.connectors.bai2_totals import Sums, check
from sources.connectors.files_values import Memory, UnreadableFile, clean, exponent_of, quote
from sources.connectors.statement import Bounds, digest_of_ids
from sources.documents import BankStatement

_CURRENCY = "USD"
_TEST, _DELETION = "4", "2"


def parse_bai2(data: bytes, file_name: str) -> list[BankStatement]:
    """Every statement of one file, in its order. `file_name` is named in warnings and is no part of any id.

    Raises UnreadableFile for what is not BAI2, was cut off, or is not exactly representable."""
    bounds = Bounds(Memory(len(data)))
    reader = _Reader(file_name, bounds)
    for record in read_records(data):
        reader.take(record)
    return reader.end()


class _Reader:
    """Takes the records of a file one after the other."""

    def __init__(self, file_name: str, bounds: Bounds) -> None:
        self._file_name = file_name
        self._file: File | None = None
        self._group: Group | None = None
        self._account: Account | None = None
        self._statements: list[BankStatement] = []
        self._bounds = bounds
        self._content: dict[str, str] = {}
        self._tests = 0
        self._files = 0

    def take(self, record: Record) -> None:
        match record.code:
            case "01":
                self._begin_file(record)
            case "02":
                self._begin_group(record)
            case "03":
                self._begin_account(record)
            case "16":
                self._add_entry(record)
            case "49":
                self._end_account(record)
            case "98":
                self._end_group(record)
            case "99":
                self._end_file(record)
            case _:
                raise UnreadableFile(f"{record.where}: it continues nothing")

    def end(self) -> list[BankStatement]:
        """Raises UnreadableFile when something is still open."""
        if self._file is not None:
            raise UnreadableFile(
                f"it ends without the trailer (99) of the file that begins on line {self._file.header.line}: it was cut off"
            )
        if not self._files:
            raise UnreadableFile("it has no file header (01)")
        if self._tests and not self._statements:
            raise UnreadableFile("it is a test (group status 4)")
        return self._statements

    def _begin_file(self, record: Record) -> None:
        if self._file is not None:
            raise UnreadableFile(f"{record.where}: a file begins before the one before it ended (no 99)")
        fields = Fields(record)
        _sender, _receiver, created_on, created_at, number, _length, _block, version = (fields.next() for _ in range(8))
        if version not in ("", "2", "3"):
            raise UnreadableFile(f"{record.where}: it is of version {quote(version)}, and version 2 can be read")
        self._file = File(record, created_on, (created_on, created_at, number), Sums(records=record.physical))

    def _begin_group(self, record: Record) -> None:
        if self._file is None or self._group is not None:
            raise UnreadableFile(
                f"{record.where}: a group stands outside of a file, or begins before the one before it ended (no 98)"
            )
        fields = Fields(record)
        _receiver, _originator, status, as_of, time, currency, modifier = (fields.next() for _ in range(7))
        if status == _DELETION:
            raise UnreadableFile(f"{record.where}: it deletes an earlier report (group status 2); resolve that by hand")
        currency = currency.upper() or _CURRENCY
        exponent_of(currency, record.where)
        day = to_day(as_of, record.where)
        self._group = Group(record, status, day, time, currency, modifier, Sums(records=record.physical))

    def _begin_account(self, record: Record) -> None:
        if self._group is None or self._account is not None:
            raise UnreadableFile(
                f"{record.where}: an account stands outside of a group, or begins before the one before it ended (no 49)"
            )
        self._bounds.statement()
        fields = Fields(record)
        number, currency = clean(fields.next()), fields.next().upper() or self._group.currency
        if not number:
            raise UnreadableFile(f"{record.where}: it names no account")
        exponent_of(currency, record.where)
        summaries = tuple(read_summaries(fields, currency, record.where))
        account = Account(record, number, currency, summaries, Sums(records=record.physical))
        for summary in summaries:
            account.sums.add_summary(summary.amount)
        self._account = account

    def _add_entry(self, record: Record) -> None:
        account = self._account
        if account is None:
            raise UnreadableFile(f"{record.where}: a transaction stands outside of an account")
        account.sums.records += record.physical
        entry = read_entry(record, account.currency)
        if entry is not None:
            self._bounds.entry()
            account.sums.add_entry(entry.amount)
            account.entries.append(entry)

    def _end_account(self, record: Record) -> None:
        if self._group is None or self._account is None:
            raise UnreadableFile(f"{record.where}: it ends no account")
        account = self._account
        account.warnings += check(record, account.sums, account.currency, of="account", members=None)
        self._group.sums.add(account.sums)
        self._group.accounts.append(account)
        self._account = None

    def _end_group(self, record: Record) -> None:
        if self._file is None or self._group is None or self._account is not None:
            raise UnreadableFile(f"{record.where}: it ends no group, or an account in it has not ended (no 49)")
        group = self._group
        warnings = check(record, group.sums, group.currency, of="group", members="accounts")
        self._file.sums.add(group.sums)
        self._group = None
        if group.status == _TEST:
            self._tests += 1
            return
        first = len(self._statements)
        for statement in Statements(self._file, group, self._file_name).made():
            self._statements.append(self._told_apart(statement, replaces=group.status == CORRECTION))
        self._warn(first, warnings)

    def _end_file(self, record: Record) -> None:
        if self._file is None or self._group is not None:
            raise UnreadableFile(f"{record.where}: it ends no file, or a group in it has not ended (no 98)")
        warnings = check(record, self._file.sums, _CURRENCY, of="file", members="groups")
        self._warn(0, warnings)
        self._file = None
        self._files += 1

    def _told_apart(self, statement: BankStatement, *, replaces: bool) -> BankStatement:
        """With an id of its own where another group reports other transactions of the same account, day and opening balance."""
        content = digest_of_ids(transaction.external_id for transaction in statement.transactions)
        if replaces or self._content.setdefault(statement.external_id, content) == content:
            return statement
        return replace(statement, external_id=f"{statement.external_id}-{content[:8]}")

    def _warn(self, first: int, warnings: list[str]) -> None:
        """Beside the first statement that they are about."""
        if warnings and first < len(self._statements):
            said = tuple(f"{self._file_name}: {warning}." for warning in warnings)
            self._statements[first] = replace(
                self._statements[first], warnings=(*self._statements[first].warnings, *said)
            )
