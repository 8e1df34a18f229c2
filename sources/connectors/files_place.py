"""Where files come from: a folder on this machine or behind SFTP. What there is, the bytes, and moving what was dealt with."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from sources.connectors.files_values import UnreadableFile, clean
from sources.documents import Problem

MAX_FILE_BYTES = 134_217_728
"""A larger file is refused unread."""

MAX_FILES = 50_000
"""A folder with more files is refused: the cursor names every one."""

MOST_NAMES = 400_000
"""A folder that lists more names than this, hidden ones and those of folders among them, is refused."""

PAGE_BYTES = 20_000_000
"""About so many bytes of files are read for one page, or are held of a server's."""

UNREADABLE_FILE = "UNREADABLE_FILE"
"""The code of the problem of a file, or of a subfolder, that cannot be read, or of files that cannot be moved."""

DONE, QUARANTINE = "done", "quarantine"
"""Where files are moved that were read, and that could not be."""

_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")
_FINISHED_FOLDERS = frozenset({DONE, "archive", "processed", QUARANTINE, "rejected", "failed", "error"})
_SYSTEM_FILES = frozenset({"desktop.ini", "thumbs.db"})
FINISHED_LEVELS = 4
"""So deep lie files within a folder for what is finished, at most: people sort them by year and month."""

_NUMBERS = 10
_SHOWN_NAMES = 5


class UnreadableFolder(Exception):
    """The folder cannot be read; `str()` of it says why, and names no path and no host."""


class NotMoved(Exception):
    """A file cannot be moved; `str()` of it says why, and names no path and no host."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as the folder lists it. `name`: its path within the folder, with slashes; `modified`: nanoseconds."""

    name: str
    size: int
    modified: int

    @property
    def shown(self) -> str:
        """The name for people and for the database: the same before and after it is moved to the quarantine."""
        return shown(self.name.removeprefix(f"{QUARANTINE}/"))

    @property
    def is_done(self) -> bool:
        """Whether it was dealt with, so that no cursor names it."""
        return self.name.startswith(f"{DONE}/")


@dataclass(slots=True)
class Listing:
    """`problems`: files and subfolders that cannot even be looked at."""

    files: list[FoundFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    names: int = 0
    _counted: int = 0

    def meet(self) -> None:
        """Counts one name, whatever it is of. Raises UnreadableFolder when there are too many."""
        self.names += 1
        if self.names > MOST_NAMES:
            raise UnreadableFolder(f"it lists more than {MOST_NAMES} names")

    def add(self, file: FoundFile) -> None:
        """Raises UnreadableFolder when there are too many."""
        self._counted += not file.is_done
        if self._counted > MAX_FILES:
            raise UnreadableFolder(
                f"it has more than {MAX_FILES} files: move those that were read to a subfolder named {DONE}"
            )
        self.files.append(file)


Loaded = tuple[int, int, bytes]
"""Size, time and bytes of a file. Size and time are from before the bytes were read: what is written meanwhile shows as a change
to the next look."""

Load = Callable[[], Loaded]
"""Gives a file. Raises OSError, and UnreadableFile when it is too large."""


class Place(Protocol):
    """A folder with files. `shown`: its name for people; `setting`: the one that says where it is. `settles_by_clock`: times of
    files are by this machine's clock. `settle_seconds`: how long a file may be half-written."""

    shown: str
    setting: str
    settles_by_clock: bool
    settle_seconds: float

    async def find(self, finished: Collection[str] = ()) -> Listing:
        """The files of the folder and of its subfolders, one level deep, by name; and of these subfolders for what is finished
        (DONE, QUARANTINE), FINISHED_LEVELS deep. Raises UnreadableFolder."""
        ...

    async def fetch(self, files: Sequence[FoundFile]) -> Mapping[str, Load]:
        """By name: of the first of these files, as many as the memory takes, and of one at least. Raises UnreadableFolder when
        the place cannot be reached."""
        ...

    async def put_away(self, file: FoundFile, into: str) -> str | None:
        """Moves a file into the subfolder (DONE or QUARANTINE), under another name where its own is taken; answers with its
        name there, None: it went away meanwhile, or another one, of another size or time than it was read with, took its
        place. Raises NotMoved, and UnreadableFolder when the place cannot be reached."""
        ...

    async def leave(self) -> None:
        """Releases what one pull holds."""
        ...


def is_left_alone(name: str) -> bool:
    """Whether a file or folder of this name is hidden, unfinished or the system's own."""
    lower = name.lower()
    return lower.startswith(".") or lower.endswith(_UNFINISHED) or lower in _SYSTEM_FILES


def is_finished_folder(name: str) -> bool:
    """Whether what lies in a subfolder of this name was dealt with."""
    return name.lower() in _FINISHED_FOLDERS


def too_large() -> UnreadableFile:
    return UnreadableFile(f"it is larger than {MAX_FILE_BYTES // 1_048_576} MiB")


def shown(name: str) -> str:
    """A file's name for people and for the database: bytes that are no text are escaped."""
    return clean(name.encode("utf-8", "backslashreplace").decode(), 200) or "?"


def unreadable(subject: str, reason: str) -> Problem:
    """The problem of a file that cannot be read."""
    return Problem(subject=subject, code=UNREADABLE_FILE, message=f"{subject}: {reason}.")


def too_deep(folder: str, names: Sequence[str]) -> Problem:
    """The problem of a subfolder with folders within it, of these names (at least one), in which something lies."""
    some = ", ".join(shown(name) for name in sorted(names)[:_SHOWN_NAMES]) + (
        ", …" if len(names) > _SHOWN_NAMES else ""
    )
    reason = (
        f"folders within a subfolder are not read ({some}): move their files one level up, or to a folder named {DONE}"
    )
    return unreadable(shown(folder), reason)


def why(error: Exception) -> str:
    """The system's reason without the path, which is nobody's business outside."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "its links lead in a circle"


def moved_name(name: str, into: str) -> str:
    """Where a file of this name goes: 'bank/a.xml' into done -> 'done/bank/a.xml'; out of the quarantine, without it."""
    inner = name.removeprefix(f"{QUARANTINE}/")
    return f"{into}/{inner}"


def free_names(file: FoundFile, into: str) -> Iterator[str]:
    """Where a file may go, the first that is free: 'bank/a.csv' to 'done/bank/a.csv', 'done/bank/a-2.csv' …, and where a bank sends
    one name every day, 'done/bank/a-20260301T060000Z.csv' by its time, 'done/bank/a-20260301T060000Z-2.csv' …"""
    folder, slash, last = moved_name(file.name, into).rpartition("/")
    stem, dot, _ = last.rpartition(".")
    stem = stem if dot and stem else last
    for base in (stem, f"{stem}-{_stamp(file.modified)}"):
        yield f"{folder}{slash}{base}{last[len(stem) :]}"
        for number in range(2, _NUMBERS):
            yield f"{folder}{slash}{base}-{number}{last[len(stem) :]}"


def _stamp(modified: int) -> str:
    try:
        return f"{datetime.fromtimestamp(modified // 10**9, UTC):%Y%m%dT%H%M%SZ}"
    except (ValueError, OverflowError, OSError):
        return str(modified // 10**9)
