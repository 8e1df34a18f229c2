"""Posting what an import file states, through the same path as mutations."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from sources.caller import Caller
from sources.database.pool import Database
from sources.errors import InvalidArgument, NotFound
from sources.ledger import administration
from sources.ledger.csv_import import ImportedAccount, ImportedEntry, Outline, Refusal, outline, read_entries
from sources.ledger.directory import Directory
from sources.ledger.model import (
    AccountDraft,
    ChangeRejected,
    Conflict,
    LedgerRef,
    Outcome,
    Posted,
    Reason,
    RejectionCode,
)
from sources.ledger.posting import Poster
from sources.pipeline import resolving

BATCH_ENTRIES = 500
BATCH_LINES = 5_000
_ACCOUNTS_AT_ONCE = 500


@dataclass(slots=True)
class Summary:
    """What became of a file: entries newly posted, entries that an earlier run had posted, and those that were refused."""

    posted: int = 0
    replayed: int = 0
    refusals: list[Refusal] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A CSV file that was read once, and is read again for its entries: it need not fit into memory. To be closed."""

    path: Path
    outline: Outline
    _file: BinaryIO
    _state: tuple[int, int]

    @property
    def count(self) -> int:
        """How many entries it states."""
        return len(self.outline.ends)

    def entries(self) -> Iterator[ImportedEntry | Refusal]:
        """Each as soon as it is whole. Raises InvalidArgument when the file is another one by now."""
        if _state(self._file) != self._state:
            raise InvalidArgument(f"{self.path}: was changed while it was read; import it again")
        with contextlib.closing(_lines(self._file)) as lines:
            yield from read_entries(lines, self.outline)

    def __enter__(self) -> ImportFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def read_file(path: Path) -> ImportFile:
    """A CSV file in UTF-8, with or without a byte order mark. Raises InvalidArgument naming file and line."""
    try:
        file = _rereadable(path)
    except OSError as fault:
        raise InvalidArgument(f"{path}: cannot be read: {fault.strerror}") from None
    try:
        with contextlib.closing(_lines(file)) as lines:
            return ImportFile(path, outline(lines), file, _state(file))
    except UnicodeDecodeError:
        with file:
            line = _undecodable(file)
        raise InvalidArgument(f"{path}: line {line}: is not UTF-8 text; save the file as UTF-8") from None
    except InvalidArgument as refused:
        file.close()
        raise InvalidArgument(f"{path}: {refused}") from None


def _rereadable(path: Path) -> BinaryIO:
    """The opened file; a copy of what can be read only once, such as a pipe."""
    file = path.open("rb")
    if file.seekable():
        return file
    with file, contextlib.ExitStack() as undone:
        copy = undone.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(file, copy)
        undone.pop_all()
        return cast(BinaryIO, copy)


def _state(file: BinaryIO) -> tuple[int, int]:
    found = os.fstat(file.fileno())
    return found.st_size, found.st_mtime_ns


def _lines(file: BinaryIO) -> Generator[str, None, None]:
    """From the beginning, with their line ends."""
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        for line in text:  # noqa: UP028 - `yield from` would close the file with the generator
            yield line
    finally:
        text.detach()


def _undecodable(file: BinaryIO) -> int:
    """The number of the first line that is not UTF-8."""
    file.seek(0)
    for number, line in enumerate(file, 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return 0


async def provide_ledger(
    database: Database, directory: Directory, caller: Caller, code: str, create_in: str | None
) -> LedgerRef:
    """The ledger; where it is missing and `create_in` names a currency, it is created with its code as name. Raises NotFound,
    or InvalidArgument when it cannot be created so or keeps another currency."""
    found = (await directory.resolve([code])).get(code)
    if found is None and create_in is not None:
        made = await administration.create_ledger(database, caller, code=code, name=code, functional_currency=create_in)
        if isinstance(made, ChangeRejected):
            raise InvalidArgument(f"the ledger {code} cannot be created: {_sentences(made.reasons)}")
        return made
    if found is None:
        raise NotFound(f"there is no ledger {code}; --create-ledger USD would create it")
    if create_in is not None and found.functional_currency != create_in:
        raise InvalidArgument(f"the ledger {code} is kept in {found.functional_currency}, not in {create_in}")
    return found


async def create_missing_accounts(
    database: Database, caller: Caller, ledger: LedgerRef, accounts: Sequence[ImportedAccount]
) -> None:
    """Creates the accounts that the chart lacks and whose type the file states; those that exist stay as they are. Documents that
    waited for one are tried again. Raises InvalidArgument when one cannot be created."""
    stated = [account for account in accounts if account.type is not None]
    for start in range(0, len(stated), _ACCOUNTS_AT_ONCE):
        await _create(database, caller, ledger, stated[start : start + _ACCOUNTS_AT_ONCE])
    await resolving.look_at_accounts_again(database, ledger.ledger_id)


async def _create(database: Database, caller: Caller, ledger: LedgerRef, accounts: Sequence[ImportedAccount]) -> None:
    drafts = [AccountDraft(code=item.code, name=item.name, type=item.type) for item in accounts if item.type]
    outcome = await administration.create_accounts(database, caller, ledger=ledger.code, accounts=drafts)
    if not isinstance(outcome, ChangeRejected):
        return
    taken = {int(reason.path[1]) for reason in outcome.reasons if reason.code is RejectionCode.DUPLICATE_CODE}
    others = [reason for reason in outcome.reasons if reason.code is not RejectionCode.DUPLICATE_CODE]
    if others:
        first = next((accounts[int(reason.path[1])] for reason in others if len(reason.path) > 1), None)
        where = f"line {first.line_number}: account {first.code}" if first else "the accounts"
        raise InvalidArgument(f"{where} cannot be created: {_sentences(others)}")
    missing = [account for index, account in enumerate(accounts) if index not in taken]
    if missing:
        await _create(database, caller, ledger, missing)


async def post_file(
    poster: Poster,
    ledger: LedgerRef,
    file: ImportFile,
    batch: str,
    posted_by: str,
    *,
    atomic: bool,
    progress: Callable[[int], None],
) -> Summary:
    """Posts the file's entries in its order; `progress` is told how many are done each time. With `atomic`, nothing is posted
    unless all can be, and all are held in memory. Raises InvalidArgument when the file changed."""
    summary = Summary()
    readable = _readable(file.entries(), summary, progress)
    if atomic:
        entries = list(readable)
        batches = iter([] if summary.refusals or not entries else [entries])
    else:
        batches = _batches(readable)
    for entries in batches:
        drafts = [entry.draft(ledger, batch, posted_by) for entry in entries]
        outcomes = await poster.post(drafts, atomic=atomic)
        for entry, outcome in zip(entries, outcomes, strict=True):
            _count(summary, entry, outcome)
        progress(len(entries))
    return summary


def _readable(
    found: Iterable[ImportedEntry | Refusal], summary: Summary, progress: Callable[[int], None]
) -> Iterator[ImportedEntry]:
    for entry in found:
        if isinstance(entry, Refusal):
            summary.refusals.append(entry)
            progress(1)
        else:
            yield entry


def _batches(entries: Iterable[ImportedEntry]) -> Iterator[list[ImportedEntry]]:
    batch: list[ImportedEntry] = []
    lines = 0
    for entry in entries:
        if batch and (len(batch) == BATCH_ENTRIES or lines + len(entry.lines) > BATCH_LINES):
            yield batch
            batch, lines = [], 0
        batch.append(entry)
        lines += len(entry.lines)
    if batch:
        yield batch


def _count(summary: Summary, entry: ImportedEntry, outcome: Outcome) -> None:
    if isinstance(outcome, Posted):
        if outcome.replayed:
            summary.replayed += 1
        else:
            summary.posted += 1
        return
    if isinstance(outcome, Conflict):
        reasons = [_conflict(outcome)]
    else:
        reasons = [_reason(entry, reason) for reason in outcome.reasons]
    summary.refusals.append(Refusal(entry.entry, entry.line_numbers, tuple(reasons)))


def _conflict(outcome: Conflict) -> str:
    return (
        f"the key {outcome.idempotency_key} was used before with other content, by entry {outcome.sequence}: "
        "reverse that entry, or import with another --batch"
    )


def _reason(entry: ImportedEntry, reason: Reason) -> str:
    path = reason.path
    if len(path) > 1 and path[0] == "lines" and path[1].isdigit() and int(path[1]) < len(entry.line_numbers):
        return f"line {entry.line_numbers[int(path[1])]}: {reason.message} ({reason.code})"
    return f"{reason.message} ({reason.code})"


def _sentences(reasons: Iterable[Reason]) -> str:
    return "; ".join(f"{reason.message} ({reason.code})" for reason in reasons)


def spans(numbers: Sequence[int]) -> str:
    """Line numbers for people: (2, 3, 4, 9) is "lines 2-4, 9"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    text = ", ".join("-".join(str(number) for number in part) for part in parts)
    return f"line{'s' if len(numbers) > 1 else ''} {text}"
