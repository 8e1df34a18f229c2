"""The files of a statement folder: which there are, and their bytes. Nothing is ever moved or changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sources.connectors.statement import UnreadableFile, clean
from sources.documents import Problem

MAX_FILE_BYTES = 50_000_000
"""A larger file is refused unread."""

MAX_FILES = 50_000
"""A folder with more files is refused: the cursor names every one."""

UNREADABLE_FILE = "UNREADABLE_FILE"
"""The code of the problem of a file, or of a subfolder, that cannot be read."""

_UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp", "~")
_FINISHED_FOLDERS = frozenset({"done", "archive", "processed", "quarantine", "rejected", "failed", "error"})
_SYSTEM_FILES = frozenset({"desktop.ini", "thumbs.db"})


class UnreadableFolder(Exception):
    """The folder cannot be read; `str()` of it says why, and names no path."""


@dataclass(frozen=True, slots=True)
class StatementFile:
    """A file as the folder lists it. `name`: its path within the folder, with slashes; `modified`: nanoseconds."""

    name: str
    path: Path
    size: int
    modified: int

    @property
    def shown(self) -> str:
        """The name for people and for the database."""
        return shown(self.name)


@dataclass(slots=True)
class Listing:
    """`problems`: files and subfolders that cannot even be looked at."""

    files: list[StatementFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def list_folder(folder: Path) -> Listing:
    """The files of a folder and of its subfolders, one level deep, by name. Raises UnreadableFolder."""
    listing = Listing()
    try:
        root = folder.resolve(strict=True)
        entries = list(_entries(root, root))
    except (OSError, RuntimeError) as error:
        raise UnreadableFolder(why(error)) from error
    for entry in entries:
        if not _is_folder(entry):
            _add(listing, root, entry)
        elif entry.name.lower() not in _FINISHED_FOLDERS:
            _add_subfolder(listing, root, entry)
    if len(listing.files) > MAX_FILES:
        raise UnreadableFolder(
            f"it has more than {MAX_FILES} files: move those that were read to a subfolder named done"
        )
    listing.files.sort(key=lambda found: found.name)
    return listing


def load(path: Path) -> tuple[int, int, bytes]:
    """Size, time and bytes of a file. Size and time are from before the bytes were read: what is written meanwhile shows
    as a change to the next look. Raises OSError, and UnreadableFile when it is too large."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise UnreadableFile(f"it is larger than {MAX_FILE_BYTES // 1_000_000} MB")
    return stat.st_size, stat.st_mtime_ns, data


def shown(name: str) -> str:
    """A file's name for people and for the database: bytes that are no text are escaped."""
    return clean(name.encode("utf-8", "backslashreplace").decode(), 200) or "?"


def unreadable(subject: str, reason: str) -> Problem:
    """The problem of a file that cannot be read."""
    return Problem(subject=subject, code=UNREADABLE_FILE, message=f"{subject}: {reason}.")


def why(error: Exception) -> str:
    """The system's reason without the path, which is nobody's business outside."""
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "its links lead in a circle"


def _entries(folder: Path, root: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, but for hidden and unfinished names and links that leave the root."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name.lower()
            if name.startswith(".") or name.endswith(_UNFINISHED) or name in _SYSTEM_FILES:
                continue
            if not entry.is_symlink() or Path(os.path.realpath(entry.path)).is_relative_to(root):
                yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads in a circle: named as a file that cannot be read


def _add_subfolder(listing: Listing, root: Path, folder: os.DirEntry[str]) -> None:
    try:
        for entry in _entries(Path(folder.path), root):
            if not _is_folder(entry):
                _add(listing, root, entry)
    except OSError as error:
        listing.problems.append(unreadable(shown(folder.name) + "/", f"the subfolder cannot be read: {why(error)}"))


def _add(listing: Listing, root: Path, entry: os.DirEntry[str]) -> None:
    path = Path(entry.path)
    name = path.relative_to(root).as_posix()
    try:
        if entry.is_file():
            stat = entry.stat()
            listing.files.append(StatementFile(name, path, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        listing.problems.append(unreadable(shown(name), f"the file cannot be read: {why(error)}"))
