"""A folder of files, on this machine or behind SFTP, each of which a pure parser turns into documents.

What is read: regular files in the folder and in its subfolders, one level deep (a folder per bank, say). Left alone are
hidden files and folders, names that uploads in progress have (.part, .tmp …), subfolders for what is finished (done,
archive, processed, quarantine, rejected, failed, error), and symbolic links that leave the folder. Documents are facts: when
a file goes away, what it stated stays.

Once: the cursor remembers size, time and checksum of every file, so an unchanged file is not read again, and the same bytes
under another name state nothing new. A document that comes again in other bytes has the same id and replaces itself.

Quarantine: a file that cannot be read is named as a problem of every pull, with its reason, and not tried again before it
changes (or a newer version of this program reads the folder). While a file that cannot be read is younger than
`settle_seconds`, it may still be being written: it is named, but every pull tries it again.

Moving (`when_read` = "move"): files that were read go to the subfolder done, those that cannot be read to quarantine, where they
stay named until somebody takes them away or puts another version into their place. A file is moved after what it states is
stored, and not before it is known to be whole: on this machine when it is older than `settle_seconds`, behind SFTP, whose clock is
not ours, when the next pull finds it unchanged. Without it files are never moved or changed.

What `maxAge: 0` guarantees: every file that was complete in the folder when the pull began is in the answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from sources.connectors.files_local import LocalFolder
from sources.connectors.files_place import (
    DONE,
    QUARANTINE,
    UNREADABLE_FILE,
    FoundFile,
    Listing,
    Load,
    Place,
    UnreadableFolder,
    unreadable,
    why,
)
from sources.connectors.files_sftp import SftpFolder
from sources.connectors.files_states import Known, dump_cursor, load_cursor
from sources.connectors.files_values import UnreadableFile
from sources.documents import BankStatement, Document, Page, Payslip, Problem
from sources.errors import ConfigurationError, SourceUnavailable

logger = structlog.get_logger(__name__)

Parse = Callable[[bytes, str], Sequence[Document]]
"""From a file's bytes and its name, which is named in warnings, to what it states. Raises UnreadableFile."""

_PAGE_FILES = 200
_PAGE_RECORDS = 5_000
_PAGE_BYTES = 20_000_000

OPTIONS = ("sftp_host_key", "sftp_password", "sftp_private_key", "when_read")
"""The options of every source of files, beside the one of PLACES that says where they are."""
PLACES = ("path", "sftp")
SECRETS = ("sftp_password", "sftp_private_key")


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one file: `known` None means that it has to be looked at again."""

    known: Known | None
    documents: Sequence[Document] = ()
    problem: Problem | None = None


class FilesConnector:
    """One folder of files. Constructed without I/O. Raises ConfigurationError.

    `parse` reads one file; `reader`: its version, raised when it learns to read more, so that quarantined files are tried again.
    `path`: the folder on this machine, or `sftp_…`: the one on a server (see `SftpFolder`). `when_read`: "keep" or "move".
    `settle_seconds`: how long a file may be half-written. `clock`: seconds since the epoch."""

    lists_everything = False
    restated_problems = (UNREADABLE_FILE,)
    """Codes of problems of which every pull names all that there are: one that is not named again is solved."""

    def __init__(
        self,
        *,
        name: str,
        parse: Parse,
        reader: int = 1,
        path: str | Path | None = None,
        sftp: str | None = None,
        sftp_host_key: str | None = None,
        sftp_password: str | None = None,
        sftp_private_key: str | None = None,
        when_read: str = "keep",
        settle_seconds: float = 5.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._parse = parse
        self._reader = reader
        self._settle = settle_seconds
        self._clock = clock
        if when_read not in ("keep", "move"):
            raise ConfigurationError(f'sources.{name}.when_read must be "keep" or "move", not {when_read!r}')
        self._moves = when_read == "move"
        self.waits_for_storing = self._moves
        """Whether a page is to be asked for only when the one before it is stored: then files are moved."""
        if (path is None) == (sftp is None):
            raise ConfigurationError(f"sources.{name} must have one of path and sftp")
        if sftp is None and (sftp_host_key or sftp_password or sftp_private_key):
            raise ConfigurationError(f"sources.{name} has settings of SFTP and no sftp")
        if sftp is not None and not sftp_host_key:
            raise ConfigurationError(f"sources.{name}.sftp_host_key is missing: what ssh-keyscan prints of the server")
        self._place: Place = (
            LocalFolder(path)
            if path is not None
            else SftpFolder(
                name=name,
                url=sftp or "",
                host_key=sftp_host_key or "",
                password=sftp_password,
                private_key=sftp_private_key,
            )
        )

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Documents of new and changed files, in the order of their names. The last page names every file that cannot be
        read, also those of earlier pulls. Raises SourceUnavailable when the folder cannot be read."""
        place = self._place
        try:
            listing = await place.find(quarantined=self._moves)
            pull = _Pull(self, load_cursor(cursor, self._reader), listing)
            while True:
                if not pull.has_loads:
                    batch = pull.batch()
                    pull.take(batch, await place.fetch(batch) if batch else {})
                page = await asyncio.to_thread(pull.next_page)
                yield replace(page, complete=False, problems=()) if self._moves else page
                if page.complete:
                    break
            if self._moves:
                for found, into in pull.finished(self._clock()):
                    await self._put_away(pull, found, into)
                yield pull.last_page()
        except UnreadableFolder as error:
            raise SourceUnavailable(
                f"The folder {place.shown} of source {self._name} (setting: {place.setting}) cannot be read: {error}."
            ) from error

    async def _put_away(self, pull: _Pull, found: FoundFile, into: str) -> None:
        try:
            pull.moved(found, await self._place.put_away(found, into))
        except UnreadableFolder as error:
            pull.problem(found, str(error))

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """None: payslips come with their run."""
        return None

    async def close(self) -> None:
        """Releases what the place holds."""
        await self._place.close()

    def read(self, found: FoundFile, load: Load, reasons: Mapping[str, str | None]) -> _Outcome:
        """Read one new or changed file. `reasons`: by checksum of what was read before, None: read well."""
        try:
            size, modified, data = load()
        except UnreadableFile as error:
            return _Outcome(Known(found.size, found.modified, "", str(error)))
        except FileNotFoundError:
            return _Outcome(None)  # it went away since the folder was listed
        except OSError as error:
            return _Outcome(None, problem=unreadable(found.shown, f"the file cannot be opened: {why(error)}"))
        checksum = hashlib.sha256(data).hexdigest()[:32]
        young = abs(self._clock() - modified / 1e9) < self._settle
        state = Known(size, 0 if young else modified, checksum, None)
        if checksum in reasons:
            return _Outcome(replace(state, reason=reasons[checksum]))
        try:
            return _Outcome(state, self._parse(data, found.shown))
        except UnreadableFile as error:
            reason = str(error)
        except Exception as error:
            # One file that a parser stumbles over must not keep the others from being read.
            logger.exception("file_failed", source=self._name, file=found.shown)
            reason = f"reading it failed unexpectedly ({type(error).__name__}); the log has the details"
        if young:
            return _Outcome(None, problem=unreadable(found.shown, f"{reason} (it is new, so it is tried again)"))
        logger.warning("file_refused", source=self._name, file=found.shown, reason=reason)
        return _Outcome(replace(state, reason=reason))

    def settled(self, state: Known, known_before: Known | None, now: float) -> bool:
        """Whether a file that was read, or could not be, is whole for certain."""
        if not self._place.settles_by_clock:
            return state == known_before
        return state.modified != 0 and abs(now - state.modified / 1e9) >= self._settle

    def cursor(self, states: Mapping[str, Known]) -> str:
        """What the next pull begins with."""
        return dump_cursor(states, self._reader)


class _Pull:
    """One pull: a page at a time, so that a large folder neither waits nor fills the memory."""

    def __init__(self, connector: FilesConnector, known: dict[str, Known], listing: Listing) -> None:
        self._connector = connector
        self._files = listing.files
        self._shown = {found.name: found.shown for found in listing.files}
        self._problems = list(listing.problems)
        self._reasons = {state.checksum: state.reason for state in known.values() if state.checksum}
        # Files that a later page will come to keep their old state in the cursors of the pages before.
        self._states = {name: state for name, state in known.items() if name in self._shown}
        self._before = dict(self._states)
        self._pending = deque(found for found in listing.files if self._is_new(found))
        self._loads: deque[tuple[FoundFile, Load]] = deque()

    @property
    def has_loads(self) -> bool:
        """Whether files that were fetched wait to be read."""
        return bool(self._loads)

    def batch(self) -> list[FoundFile]:
        """The files that are to be fetched next, about a page of them."""
        batch: list[FoundFile] = []
        size = 0
        while self._pending and len(batch) < _PAGE_FILES and size < _PAGE_BYTES:
            batch.append(self._pending.popleft())
            size += batch[-1].size
        return batch

    def take(self, batch: Sequence[FoundFile], loads: Mapping[str, Load]) -> None:
        """`loads` of all of the batch."""
        self._loads.extend((found, loads[found.name]) for found in batch)

    def next_page(self) -> Page:
        documents: dict[tuple[type, str], Document] = {}
        records = 0
        while self._loads and records < _PAGE_RECORDS:
            found, load = self._loads.popleft()
            for document in self._keep(found, self._connector.read(found, load, self._reasons)):
                key = (type(document), document.external_id)
                documents.pop(key, None)
                documents[key] = document
                records += len(document.transactions) if isinstance(document, BankStatement) else 1
        if not self._loads and not self._pending:
            return self.last_page(tuple(documents.values()))
        return Page(documents=tuple(documents.values()), cursor=self._connector.cursor(self._states))

    def last_page(self, documents: Sequence[Document] = ()) -> Page:
        """With every problem that there is."""
        cursor = self._connector.cursor(self._states)
        return Page(documents=documents, cursor=cursor, problems=tuple(self._all_problems()), complete=True)

    def finished(self, now: float) -> Iterator[tuple[FoundFile, str]]:
        """The files that can be moved, and where to."""
        for found in self._files:
            state = self._states.get(found.name)
            if state is None or not self._connector.settled(state, self._before.get(found.name), now):
                continue
            into = DONE if state.reason is None else QUARANTINE
            if not found.name.startswith(f"{into}/"):
                # As it was read: what came into its place since then is not moved unread.
                yield replace(found, size=state.size, modified=state.modified), into

    def moved(self, found: FoundFile, name: str | None) -> None:
        """Where it lies now, None: it went away, or is another one now."""
        state = self._states.pop(found.name)
        if name is not None and state.reason is not None:
            self._states[name] = state
            self._shown[name] = replace(found, name=name).shown

    def problem(self, found: FoundFile, reason: str) -> None:
        """Something about a file besides what it states."""
        self._problems.append(unreadable(found.shown, reason))

    def _is_new(self, found: FoundFile) -> bool:
        known = self._states.get(found.name)
        return known is None or (known.size, known.modified) != (found.size, found.modified)

    def _keep(self, found: FoundFile, outcome: _Outcome) -> Sequence[Document]:
        self._states.pop(found.name, None)
        if outcome.problem:
            self._problems.append(outcome.problem)
        if outcome.known:
            self._states[found.name] = outcome.known
            if outcome.known.checksum:
                self._reasons[outcome.known.checksum] = outcome.known.reason
        return outcome.documents

    def _all_problems(self) -> Iterator[Problem]:
        yield from self._problems
        for name, state in sorted(self._states.items()):
            if state.reason is not None:
                yield unreadable(self._shown[name], state.reason)
