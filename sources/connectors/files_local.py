"""A folder on this machine."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from sources.connectors import files_place
from sources.connectors.files_place import (
    QUARANTINE,
    FoundFile,
    Listing,
    Load,
    Loaded,
    UnreadableFolder,
    is_finished_folder,
    is_left_alone,
    moved_name,
    numbered,
    shown,
    sorted_listing,
    too_large,
    unreadable,
    why,
)

_MOST_NAMES = 1_000


class LocalFolder:
    """A folder on this machine. Left alone are hidden and unfinished names, folders for what is finished, and symbolic links that
    leave the folder."""

    setting = "path"
    settles_by_clock = True

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.shown = repr(self._folder.name)

    async def find(self, *, quarantined: bool) -> Listing:
        """See `Place.find`."""
        return await asyncio.to_thread(_find, self._folder, quarantined)

    async def fetch(self, files: Sequence[FoundFile]) -> Mapping[str, Load]:
        """See `Place.fetch`: each is read when it is asked for."""
        return {file.name: partial(_load, self._folder / file.name) for file in files}

    async def put_away(self, file: FoundFile, into: str) -> str | None:
        """See `Place.put_away`."""
        try:
            return await asyncio.to_thread(_move, self._folder.resolve(), file, into)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnreadableFolder(f"a file cannot be moved to its subfolder {into}: {why(error)}") from error

    async def close(self) -> None:
        """There is nothing to release."""


def _find(folder: Path, quarantined: bool) -> Listing:
    listing = Listing()
    try:
        root = folder.resolve(strict=True)
        entries = list(_entries(root, root))
    except (OSError, RuntimeError) as error:
        raise UnreadableFolder(why(error)) from error
    for entry in entries:
        if not _is_folder(entry):
            _add(listing, root, entry)
        elif quarantined and entry.name == QUARANTINE:
            _add_subfolder(listing, root, entry, deeper=True)
        elif not is_finished_folder(entry.name):
            _add_subfolder(listing, root, entry)
    return sorted_listing(listing)


def _entries(folder: Path, root: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, but for what is left alone and links that leave the root."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_left_alone(entry.name):
                continue
            if not entry.is_symlink() or Path(os.path.realpath(entry.path)).is_relative_to(root):
                yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads in a circle: named as a file that cannot be read


def _add_subfolder(listing: Listing, root: Path, folder: os.DirEntry[str], *, deeper: bool = False) -> None:
    try:
        for entry in _entries(Path(folder.path), root):
            if not _is_folder(entry):
                _add(listing, root, entry)
            elif deeper:
                _add_subfolder(listing, root, entry)
    except OSError as error:
        listing.problems.append(unreadable(shown(folder.name) + "/", f"the subfolder cannot be read: {why(error)}"))


def _add(listing: Listing, root: Path, entry: os.DirEntry[str]) -> None:
    name = Path(entry.path).relative_to(root).as_posix()
    try:
        if entry.is_file():
            stat = entry.stat()
            listing.files.append(FoundFile(name, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        listing.problems.append(unreadable(shown(name), f"the file cannot be read: {why(error)}"))


def _load(path: Path) -> Loaded:
    most = files_place.MAX_FILE_BYTES
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        if stat.st_size > most:
            raise too_large()
        data = file.read(most + 1)
    if len(data) > most:
        raise too_large()
    return stat.st_size, stat.st_mtime_ns, data


def _move(root: Path, file: FoundFile, into: str) -> str | None:
    target = moved_name(file.name, into)
    folder = (root / target).parent
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.resolve().is_relative_to(root):
        raise OSError(None, "the subfolder is a link that leaves the folder")
    for number in range(1, _MOST_NAMES):
        free = target if number == 1 else numbered(target, number)
        if not os.path.lexists(root / free):
            stat = os.stat(root / file.name)
            if (stat.st_size, stat.st_mtime_ns) != (file.size, file.modified):
                return None
            os.rename(root / file.name, root / free)
            return free
    raise OSError(None, "too many files of one name lie there")
