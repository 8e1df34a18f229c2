"""A folder on this machine."""

from __future__ import annotations

import asyncio
import os
import stat as modes
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from sources.connectors import files_place
from sources.connectors.files_place import (
    FINISHED_LEVELS,
    FoundFile,
    Listing,
    Load,
    Loaded,
    NotMoved,
    UnreadableFolder,
    free_names,
    is_finished_folder,
    is_left_alone,
    moved_name,
    shown,
    too_deep,
    too_large,
    unreadable,
    why,
)

_READ_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class LocalFolder:
    """A folder on this machine. Left alone are hidden and unfinished names, folders for what is finished, and symbolic links that
    leave the folder."""

    setting = "path"
    settles_by_clock = True
    settle_seconds = 5.0

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self.shown = repr(self._folder.name)

    async def find(self, finished: Collection[str] = ()) -> Listing:
        """See `Place.find`."""
        return await asyncio.to_thread(_find, self._folder, finished)

    async def fetch(self, files: Sequence[FoundFile]) -> Mapping[str, Load]:
        """See `Place.fetch`: each is read when it is asked for."""
        root = await asyncio.to_thread(os.path.realpath, self._folder)
        return {file.name: partial(_load, root, file.name) for file in files}

    async def put_away(self, file: FoundFile, into: str) -> str | None:
        """See `Place.put_away`."""
        try:
            return await asyncio.to_thread(_move, self._folder.resolve(), file, into)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotMoved(why(error)) from error

    async def leave(self) -> None:
        """There is nothing to release."""


def _find(folder: Path, finished: Collection[str]) -> Listing:
    listing = Listing()
    try:
        root = os.path.realpath(folder, strict=True)
        entries = list(_entries(listing, root, root))
    except (OSError, RuntimeError) as error:
        raise UnreadableFolder(why(error)) from error
    for entry in entries:
        if not _is_folder(entry):
            _add(listing, "", entry)
        elif entry.name in finished:
            _add_subfolder(listing, root, "", entry, FINISHED_LEVELS)
        elif not is_finished_folder(entry.name):
            _add_subfolder(listing, root, "", entry)
    listing.files.sort(key=lambda found: found.name)
    return listing


def _entries(listing: Listing, folder: str, root: str) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, but for what is left alone and links that leave the root."""
    with os.scandir(folder) as entries:
        for entry in entries:
            listing.meet()
            if is_left_alone(entry.name):
                continue
            if not entry.is_symlink() or _is_within(os.path.realpath(entry.path), root):
                yield entry


def _is_within(path: str, root: str) -> bool:
    return Path(path).is_relative_to(root)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link that leads in a circle: named as a file that cannot be read


def _add_subfolder(listing: Listing, root: str, prefix: str, folder: os.DirEntry[str], levels: int = 1) -> None:
    within = f"{prefix}{folder.name}/"
    unread: list[str] = []
    try:
        for entry in _entries(listing, folder.path, root):
            if not _is_folder(entry):
                _add(listing, within, entry)
            elif levels > 1:
                _add_subfolder(listing, root, within, entry, levels - 1)
            elif not is_finished_folder(entry.name) and next(_entries(listing, entry.path, root), None):
                unread.append(entry.name)
    except OSError as error:
        listing.problems.append(unreadable(shown(within), f"the subfolder cannot be read: {why(error)}"))
    if unread:
        listing.problems.append(too_deep(within, unread))


def _add(listing: Listing, prefix: str, entry: os.DirEntry[str]) -> None:
    name = prefix + entry.name
    try:
        if entry.is_file():
            stat = entry.stat()
            listing.add(FoundFile(name, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        listing.problems.append(unreadable(shown(name), f"the file cannot be read: {why(error)}"))


def _load(root: str, name: str) -> Loaded:
    """What a link leads to is looked at once more, and no device or pipe is waited for: what was listed may be another by now."""
    most = files_place.MAX_FILE_BYTES
    path = os.path.realpath(os.path.join(root, name))
    if not _is_within(path, root):
        raise PermissionError(None, "it is a link that leaves the folder")
    with os.fdopen(os.open(path, _READ_FLAGS), "rb") as file:
        stat = os.fstat(file.fileno())
        if not modes.S_ISREG(stat.st_mode):
            raise PermissionError(None, "it is no file any more")
        if stat.st_size > most:
            raise too_large()
        data = file.read(stat.st_size + 1)
        if len(data) > stat.st_size:
            data += file.read(most + 1 - len(data))
    if len(data) > most:
        raise too_large()
    return stat.st_size, stat.st_mtime_ns, data


def _move(root: Path, file: FoundFile, into: str) -> str | None:
    folder = root
    for part in moved_name(file.name, into).split("/")[:-1]:
        folder /= part
        if os.path.lexists(folder) and not folder.resolve().is_relative_to(root):
            raise OSError(None, "it is a link that leaves the folder")
        folder.mkdir(exist_ok=True)
    for free in free_names(file, into):
        if not os.path.lexists(root / free):
            stat = os.stat(root / file.name)
            if (stat.st_size, stat.st_mtime_ns) != (file.size, file.modified):
                return None
            os.rename(root / file.name, root / free)
            return free
    raise OSError(None, "too many files of one name lie there")
