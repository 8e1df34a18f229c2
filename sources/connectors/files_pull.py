"""One pull of a folder of files: which of them are read, what becomes of each, and which may be moved. No I/O but what it is given."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from sources.connectors import files_place
from sources.connectors.files_place import DONE, QUARANTINE, FoundFile, Listing, Load, unreadable, why
from sources.connectors.files_states import Known, Remembered, dump_cursor
from sources.connectors.files_values import UnreadableFile
from sources.documents import BankStatement, Document, Page, Problem, ReadFile

logger = structlog.get_logger(__name__)

Parse = Callable[[bytes, str], Sequence[Document]]
"""From a file's bytes and its name, which is named in warnings, to what it states. Raises UnreadableFile."""

MOVE_SECONDS = 60.0
"""For how long a file has to have stood still before it is moved: what an upload that stalls writes afterwards would go with it."""

_PAGE_FILES = 200
_PAGE_RECORDS = 5_000
_SHOWN_NAMES = 5


@dataclass(frozen=True, slots=True)
class Reading:
    """How files are read. `reader`: see FilesConnector. `settle`: seconds that a file may be half-written; `by_clock`: their
    times are by this machine's clock. `clock`: seconds since the epoch."""

    source: str
    parse: Parse
    reader: int
    settle: float
    by_clock: bool
    clock: Callable[[], float]


def checksum_of(data: bytes) -> str:
    """By which a file is known, whatever its name."""
    return hashlib.sha256(data).hexdigest()[:32]


def parsed(reading: Reading, parse: Parse, data: bytes, name: str) -> Sequence[Document]:
    """What a file states, each document once, as it stands last. Raises UnreadableFile, also where the parser stumbles."""
    try:
        documents = parse(data, name)
    except UnreadableFile:
        raise
    except Exception as error:
        # One file that a parser stumbles over must not keep the others from being read.
        logger.exception("file_failed", source=reading.source, file=name)
        raise UnreadableFile(
            f"reading it failed unexpectedly ({type(error).__name__}); the log has the details"
        ) from error
    return list({(type(each), each.external_id): each for each in documents}.values())


class Pull:
    """A page at a time, so that a large folder neither waits nor fills the memory."""

    def __init__(self, reading: Reading, remembered: Remembered, listing: Listing) -> None:
        self._reading = reading
        self._remembered = remembered
        self._files = listing.files
        self._shown = {found.name: found.shown for found in listing.files}
        self._problems = list(listing.problems)
        # Files that a later page will come to keep their old state in the cursors of the pages before.
        self._states = {name: state for name, state in remembered.files.items() if self._is_there(name, state)}
        if remembered.reader != reading.reader:
            self._states = {name: state for name, state in self._states.items() if state.reason is None}
        self._before = dict(self._states)
        self._reasons = {s.checksum: s.reason for s in self._before.values() if _is_final(s)}
        self._pending = deque(found for found in listing.files if self._is_new(found))
        self._loads: deque[tuple[FoundFile, Load]] = deque()
        self._looked_at: list[ReadFile] = []

    @property
    def has_loads(self) -> bool:
        """Whether files that were fetched wait to be read."""
        return bool(self._loads)

    def batch(self) -> list[FoundFile]:
        """The files that are to be fetched next, about a page of them. Pages grow with what a cursor remembers, which is written
        with each of them."""
        batch: list[FoundFile] = []
        size, most = 0, max(_PAGE_FILES, len(self._states) // 10)
        while self._pending and len(batch) < most and size < files_place.PAGE_BYTES:
            batch.append(self._pending.popleft())
            size += batch[-1].size
        return batch

    def take(self, batch: Sequence[FoundFile], loads: Mapping[str, Load]) -> None:
        """`loads` of the batch; files without one are fetched later."""
        self._loads.extend((found, loads[found.name]) for found in batch if found.name in loads)
        self._pending.extendleft(found for found in reversed(batch) if found.name not in loads)

    def next_page(self) -> Page:
        """What the files that were fetched state, or a part of it."""
        documents: dict[tuple[type, str], Document] = {}
        records = 0
        while self._loads and records < _PAGE_RECORDS:
            for document in self._read(*self._loads.popleft()):
                key = (type(document), document.external_id)
                documents.pop(key, None)
                documents[key] = document
                records += len(document.transactions) if isinstance(document, BankStatement) else 1
        if not self._loads and not self._pending:
            return self.last_page(tuple(documents.values()))
        return Page(documents=tuple(documents.values()), cursor=self._cursor(), files=self._taken())

    def last_page(self, documents: Sequence[Document] = ()) -> Page:
        """With every problem that there is."""
        problems = tuple(self._all_problems())
        return Page(documents=documents, cursor=self._cursor(), problems=problems, complete=True, files=self._taken())

    def forget_done(self) -> None:
        """Files that were moved to DONE are not remembered."""
        for found in self._files:
            if found.is_done:
                self._states.pop(found.name, None)

    def finished(self) -> Iterator[tuple[FoundFile, str]]:
        """The files that can be moved, and where to."""
        now = self._reading.clock()
        for found in self._files:
            state = self._states.get(found.name)
            if state is None or not self._stands_still(state, self._before.get(found.name), now):
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

    def not_moved(self, into: str, reason: str, names: Sequence[str]) -> None:
        """Files that were dealt with and stay where they are: one problem, however many they are."""
        some = ", ".join(names[:_SHOWN_NAMES]) + (", …" if len(names) > _SHOWN_NAMES else "")
        self._problems.append(unreadable(f"{into}/", f"files cannot be moved to this subfolder: {reason} ({some})"))

    def _is_there(self, name: str, state: Known) -> bool:
        """Of a folder that is empty all at once what was read stays known: it may be one whose disk is not there now."""
        return name in self._shown or (not self._files and state.reason is None)

    def _is_new(self, found: FoundFile) -> bool:
        known = self._states.get(found.name)
        return known is None or (known.size, known.modified) != (found.size, found.modified)

    def _stands_still(self, state: Known, before: Known | None, now: float) -> bool:
        """By the file's time, or behind SFTP, whose clock is not ours, by ours and by two pulls."""
        if state.modified == 0:
            return False
        if self._reading.by_clock:
            return abs(now - state.modified / 1e9) >= MOVE_SECONDS
        return state == before and abs(now - state.since) >= MOVE_SECONDS

    def _read(self, found: FoundFile, load: Load) -> Sequence[Document]:
        """What a new or changed file states. Its state is remembered, unless it has to be looked at again."""
        before = self._states.pop(found.name, None)
        try:
            size, modified, data = load()
        except UnreadableFile as error:
            self._keep(found, Known(found.size, found.modified, "", str(error), self._since(before, found.size, "")))
            self._look(found, "", str(error))
            return ()
        except FileNotFoundError:
            return ()  # it went away since the folder was listed
        except OSError as error:
            refused = f"the file cannot be opened: {why(error)}"
            self._problems.append(unreadable(found.shown, refused))
            self._look(found, "", refused)
            return ()
        checksum = checksum_of(data)
        since = self._since(before, size, checksum)
        documents: Sequence[Document] = ()
        reason: str | None
        if checksum in self._reasons:
            reason = self._reasons[checksum]
        else:
            reason, documents = self._parsed(found, data)
        young = (
            abs(self._reading.clock() - (modified / 1e9 if self._reading.by_clock else since)) < self._reading.settle
        )
        # The time of a file here is trusted when it is past; what a server's file states counts until the file changes.
        again = young and (self._reading.by_clock or reason is not None)
        self._keep(found, Known(size, 0 if again else modified, checksum, reason, since))
        self._look(found, checksum, reason, documents)
        return documents

    def _look(self, found: FoundFile, checksum: str, reason: str | None, documents: Sequence[Document] = ()) -> None:
        stated = tuple((type(each), each.external_id) for each in documents)
        self._looked_at.append(ReadFile(found.shown, checksum, stated, reason))

    def _taken(self) -> Sequence[ReadFile]:
        taken, self._looked_at = self._looked_at, []
        return taken

    def _parsed(self, found: FoundFile, data: bytes) -> tuple[str | None, Sequence[Document]]:
        try:
            return None, parsed(self._reading, self._reading.parse, data, found.shown)
        except UnreadableFile as error:
            logger.warning("file_refused", source=self._reading.source, file=found.shown, reason=str(error))
            return str(error), ()

    def _since(self, before: Known | None, size: int, checksum: str) -> int:
        if self._reading.by_clock:
            return 0
        same = before is not None and before.since and (before.size, before.checksum) == (size, checksum)
        return before.since if before and same else int(self._reading.clock())

    def _keep(self, found: FoundFile, state: Known) -> None:
        self._states[found.name] = state
        if state.checksum:
            self._reasons[state.checksum] = state.reason

    def _cursor(self) -> str:
        """What the next pull begins with. What another pull has written is told in the same words."""
        old = self._remembered
        if old.text is not None and (old.files, old.reader) == (self._states, self._reading.reader):
            return old.text
        return dump_cursor(self._states, self._reading.reader)

    def _all_problems(self) -> Iterator[Problem]:
        yield from self._problems
        for name, state in sorted(self._states.items()):
            if state.reason is not None:
                again = "" if state.modified else " (it is new, so it is tried again)"
                yield unreadable(self._shown[name], state.reason + again)


def _is_final(state: Known) -> bool:
    """Whether the same bytes need not be read again: not of one that could not be read when it was new."""
    return bool(state.checksum) and (state.reason is None or state.modified != 0)
