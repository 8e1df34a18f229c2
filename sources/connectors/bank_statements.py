"""A folder of bank statement files: camt.052/053/054 and MT940/942, told apart by their content, never by their names.

What is read: regular files in the folder and in its subfolders, one level deep (a folder per bank, say). Left alone are
hidden files and folders, names that uploads in progress have (.part, .tmp …), subfolders for what is finished (done,
archive, processed, quarantine, rejected, failed, error), and symbolic links that leave the folder. Files are never moved
or changed, and statements are facts: when a file goes away, what it stated stays.

Once: the cursor remembers size, time and checksum of every file, so an unchanged file is not read again, and the same bytes
under another name state nothing new. A statement that comes again in other bytes has the same id and replaces itself. Give
each account in one format: the same booking in a camt.053 and in an MT940 cannot be told to be one.

Quarantine: a file that cannot be read is named as a problem of every pull, with its reason, and not tried again before it
changes (or a newer version of this program reads the folder). While a file that cannot be read is younger than
`settle_seconds`, it may still be being written: it is named, but every pull tries it again.

Which provisional transactions count: a transaction of a provisional statement (camt.052, camt.054, MT942) is covered, and
counts no more, when its date is not after the newest `to_date` of the authoritative statements of its account and currency.
Its date is `booked_on`, else `value_date`, else the `to_date` of its report. Banks state periods one after the other, so one
that ends later covers all days before. Authoritative statements (camt.053, MT940) set `to_date` to their closing balance's
date, or to the last booking where that is later; one without any date covers nothing.

What `maxAge: 0` guarantees: every file that was complete in the folder when the pull began is in the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from sources.connectors.camt import parse_camt
from sources.connectors.kinds import ConnectorKind
from sources.connectors.mt940 import parse_mt940
from sources.connectors.mt940_text import decode, is_mt940
from sources.connectors.statement import UnreadableFile
from sources.connectors.statement_folder import (
    UNREADABLE_FILE,
    Listing,
    StatementFile,
    UnreadableFolder,
    list_folder,
    load,
    unreadable,
    why,
)
from sources.documents import BankStatement, Page, Payslip, Problem
from sources.errors import SourceUnavailable

logger = structlog.get_logger(__name__)

_READER = 1  # raised when a parser learns to read more, so that quarantined files are tried again
_PAGE_FILES = 200
_PAGE_TRANSACTIONS = 5_000
_PAGE_BYTES = 20_000_000
_SIGNATURES = {
    b"PK\x03\x04": "it is a zip archive: unpack it into the folder",
    b"\x1f\x8b": "it is compressed (gzip): unpack it into the folder",
    b"%PDF": "it is a PDF: ask the bank for camt.053 or MT940",
    b"\xd0\xcf\x11\xe0": "it is a spreadsheet or document: ask the bank for camt.053 or MT940",
}
_BLANKS = b" \t\r\n"


def parse_statement_file(data: bytes, file_name: str) -> list[BankStatement]:
    """Every statement of one file of any known format. `file_name` is named in warnings. Raises UnreadableFile."""
    if not data.strip(_BLANKS + b"\0"):
        raise UnreadableFile("it is empty")
    for signature, reason in _SIGNATURES.items():
        if data.startswith(signature):
            raise UnreadableFile(reason)
    if data[:1_000].replace(b"\0", b"").lstrip(_BLANKS + b"\xef\xbb\xbf\xff\xfe").startswith(b"<"):
        return parse_camt(data.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS), file_name)
    if not is_mt940(decode(data)):
        raise UnreadableFile("it is neither a camt.052, camt.053 or camt.054 nor an MT940 or MT942 file")
    return parse_mt940(data, file_name)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of a file. `modified` 0: look again, it was too new to trust its time. `reason`: why it is
    quarantined, None when it was read."""

    size: int
    modified: int
    checksum: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file: `known` None means that it has to be looked at again."""

    known: _Known | None
    statements: tuple[BankStatement, ...] = ()
    problem: Problem | None = None


class BankStatementsConnector:
    """One folder of statement files. Constructed without I/O.

    `path`: the folder. `settle_seconds`: how long a file may be half-written. `clock`: seconds since the epoch."""

    lists_everything = False
    restated_problems = (UNREADABLE_FILE,)
    """Codes of problems of which every pull names all that there are: one that is not named again is solved."""

    def __init__(
        self, *, name: str, path: str | Path, settle_seconds: float = 5.0, clock: Callable[[], float] = time.time
    ) -> None:
        self._name = name
        self._folder = Path(path)
        self._settle = settle_seconds
        self._clock = clock

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Statements of new and changed files, in the order of their names. The last page names every file that cannot be
        read, also those of earlier pulls. Raises SourceUnavailable when the folder cannot be read."""
        try:
            listing = await asyncio.to_thread(list_folder, self._folder)
        except UnreadableFolder as error:
            raise SourceUnavailable(
                f"The folder {self._folder.name!r} of source {self._name} (setting: path) cannot be read: {error}."
            ) from error
        pull = _Pull(self, _load_cursor(cursor), listing)
        while (page := await asyncio.to_thread(pull.next_page)) is not None:
            yield page

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: statements hold no payslips."""
        return None

    async def close(self) -> None:
        """There is nothing to release."""

    def read(self, found: StatementFile, reasons: dict[str, str | None]) -> _Outcome:
        """Read one new or changed file. `reasons`: by checksum of what was read before, None: read well."""
        try:
            size, modified, data = load(found.path)
        except UnreadableFile as error:
            return _Outcome(_Known(found.size, found.modified, "", str(error)))
        except FileNotFoundError:
            return _Outcome(None)  # it went away since the folder was listed
        except OSError as error:
            return _Outcome(None, problem=unreadable(found.shown, f"the file cannot be opened: {why(error)}"))
        checksum = hashlib.sha256(data).hexdigest()[:32]
        young = abs(self._clock() - modified / 1e9) < self._settle
        state = _Known(size, 0 if young else modified, checksum, None)
        if checksum in reasons:
            return _Outcome(replace(state, reason=reasons[checksum]))
        try:
            return _Outcome(state, tuple(parse_statement_file(data, found.shown)))
        except UnreadableFile as error:
            reason = str(error)
        except Exception as error:
            # One file that a parser stumbles over must not keep the others from being read.
            logger.exception("bank_file_failed", source=self._name, file=found.shown)
            reason = f"reading it failed unexpectedly ({type(error).__name__}); the log has the details"
        if young:
            return _Outcome(None, problem=unreadable(found.shown, f"{reason} (it is new, so it is tried again)"))
        logger.warning("bank_file_refused", source=self._name, file=found.shown, reason=reason)
        return _Outcome(replace(state, reason=reason))


class _Pull:
    """One pull: a page at a time, so that a large folder neither waits nor fills the memory."""

    def __init__(self, connector: BankStatementsConnector, known: dict[str, _Known], listing: Listing) -> None:
        self._connector = connector
        self._pending = iter(listing.files)
        self._shown = {found.name: found.shown for found in listing.files}
        self._problems = list(listing.problems)
        self._reasons = {state.checksum: state.reason for state in known.values() if state.checksum}
        # Files that a later page will come to keep their old state in the cursors of the pages before.
        self._states = {name: state for name, state in known.items() if name in self._shown}
        self._complete = False

    def next_page(self) -> Page | None:
        if self._complete:
            return None
        statements: dict[str, BankStatement] = {}
        transactions = files = size = 0
        for found in self._pending:
            known = self._states.get(found.name)
            if known and (known.size, known.modified) == (found.size, found.modified):
                continue
            files += 1
            size += found.size
            for statement in self._take(found, self._connector.read(found, self._reasons)):
                statements.pop(statement.external_id, None)
                statements[statement.external_id] = statement
                transactions += len(statement.transactions)
            if files >= _PAGE_FILES or transactions >= _PAGE_TRANSACTIONS or size >= _PAGE_BYTES:
                return Page(documents=tuple(statements.values()), cursor=_dump_cursor(self._states))
        self._complete = True
        return Page(
            documents=tuple(statements.values()),
            cursor=_dump_cursor(self._states),
            problems=tuple(self._all_problems()),
            complete=True,
        )

    def _take(self, found: StatementFile, outcome: _Outcome) -> tuple[BankStatement, ...]:
        self._states.pop(found.name, None)
        if outcome.problem:
            self._problems.append(outcome.problem)
        if outcome.known:
            self._states[found.name] = outcome.known
            if outcome.known.checksum:
                self._reasons[outcome.known.checksum] = outcome.known.reason
        return outcome.statements

    def _all_problems(self) -> Iterator[Problem]:
        yield from self._problems
        for name, state in sorted(self._states.items()):
            if state.reason is not None:
                yield unreadable(self._shown[name], state.reason)


def _dump_cursor(states: dict[str, _Known]) -> str:
    files = {
        name: [state.size, state.modified, state.checksum, *([state.reason] if state.reason is not None else [])]
        for name, state in sorted(states.items())
    }
    return json.dumps({"reader": _READER, "files": files}, separators=(",", ":"))


def _load_cursor(cursor: str | None) -> dict[str, _Known]:
    """What the cursor remembers; nothing when it is not one of ours: everything is read again, which changes nothing."""
    if cursor is None:
        return {}
    try:
        stored = json.loads(cursor)
        states = {
            name: _Known(*(values if len(values) == 4 else [*values, None])) for name, values in stored["files"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("bank_cursor_unreadable", error=str(error))
        return {}
    if stored.get("reader") == _READER:
        return states
    return {name: state for name, state in states.items() if state.reason is None}


KIND = ConnectorKind(
    name="bank-statements",
    connector=BankStatementsConnector,
    gives=("bank_statement",),
    required=("path",),
    origin=("path",),
    example={"path": "statements"},
)
