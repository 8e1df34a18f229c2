"""A folder on an SFTP server. Nothing that a server says of sizes is believed, and what it sends is bounded: names, files, and the
bytes that are held at once."""

from __future__ import annotations

import stat as modes
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from posixpath import join
from typing import TypeVar

import asyncssh

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
)
from sources.connectors.files_sftp_connection import SftpConnection, address_of, said
from sources.connectors.files_values import UnreadableFile

LONGEST_NAME = 1_024
"""Bytes of a file's name: no file system has longer ones."""

_CHUNK = 65_536
T = TypeVar("T")
_LOST = (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection)


class SftpFolder:
    """`url`: sftp://user@host:22/folder, a folder from the root; sftp://user@host/~/folder: from the user's home. `host_key`: the
    server's public key as `ssh-keyscan` prints it, with or without the host's name. `password` or `private_key` (the text of an
    OpenSSH or PEM key without a passphrase). Constructed without I/O. Raises ConfigurationError."""

    setting = "sftp"
    settles_by_clock = False
    settle_seconds = 60.0

    def __init__(
        self, *, name: str, url: str, host_key: str, password: str | None = None, private_key: str | None = None
    ) -> None:
        address = address_of(name, url)
        self._connection = SftpConnection(name, address, host_key, password, private_key)
        self._folder = address.folder
        self._made: set[str] = set()
        self.shown = repr(address.folder.rstrip("/").rpartition("/")[2] or "/")

    async def find(self, finished: Collection[str] = ()) -> Listing:
        """See `Place.find`. Symbolic links are left alone."""
        listing = Listing()
        async with self._connection.session("it cannot be listed") as sftp:
            await self._connection.watched(self._list(sftp, listing, finished))
        listing.files.sort(key=lambda found: found.name)
        return listing

    async def fetch(self, files: Sequence[FoundFile]) -> Mapping[str, Load]:
        """See `Place.fetch`."""
        loads: dict[str, Load] = {}
        held = 0
        async with self._connection.session("its files cannot be fetched") as sftp:
            for file in files:
                try:
                    loaded = await self._connection.watched(self._read(sftp, file.name))
                    held += len(loaded[2])
                    loads[file.name] = partial(_given, loaded)
                except (UnreadableFile, FileNotFoundError, PermissionError) as error:
                    loads[file.name] = partial(_failed, error)
                if held >= files_place.PAGE_BYTES:
                    break
        return loads

    async def put_away(self, file: FoundFile, into: str) -> str | None:
        """See `Place.put_away`."""
        async with self._connection.session("its files cannot be moved") as sftp:
            try:
                return await self._connection.watched(self._move(sftp, file, into))
            except _LOST:
                raise
            except asyncssh.SFTPNoSuchFile:
                return None
            except asyncssh.SFTPError as error:
                raise NotMoved(f"the server says {said(error)}") from error

    async def leave(self) -> None:
        """Ends the connection."""
        self._made.clear()
        await self._connection.end()

    async def _told(self, answer: Awaitable[T]) -> T:
        told = await answer
        self._connection.answered()
        return told

    async def _list(self, sftp: asyncssh.SFTPClient, listing: Listing, finished: Collection[str]) -> None:
        for entry in await self._entries(sftp, listing, self._folder):
            if entry.is_a(modes.S_ISREG):
                listing.add(entry.found(""))
            elif entry.is_a(modes.S_ISDIR) and entry.name in finished:
                await self._add(sftp, listing, f"{entry.name}/", FINISHED_LEVELS)
            elif entry.is_a(modes.S_ISDIR) and not is_finished_folder(entry.name):
                await self._add(sftp, listing, f"{entry.name}/")

    async def _move(self, sftp: asyncssh.SFTPClient, file: FoundFile, into: str) -> str | None:
        await self._make(sftp, moved_name(file.name, into).split("/")[:-1])
        path = join(self._folder, file.name)
        for free in free_names(file, into):
            target = join(self._folder, free)
            if await self._told(sftp.lexists(target)):
                continue
            attributes = await self._told(sftp.lstat(path))
            if _form(attributes) != (file.size, file.modified):
                return None
            try:
                await self._told(sftp.rename(path, target))
            except (asyncssh.SFTPFailure, asyncssh.SFTPFileAlreadyExists):
                # Servers say no more than that when another file took the name meanwhile.
                if not await self._told(sftp.lexists(target)):
                    raise
                continue
            return free
        raise NotMoved("too many files of one name lie there")

    async def _make(self, sftp: asyncssh.SFTPClient, parts: Sequence[str]) -> None:
        folder = self._folder
        for part in parts:
            folder = join(folder, part)
            if folder in self._made:
                continue
            if not await self._told(sftp.lexists(folder)):
                await self._told(sftp.mkdir(folder))
            elif not modes.S_ISDIR((await self._told(sftp.lstat(folder))).permissions or 0):
                raise NotMoved("it is no folder, or a link")
            self._made.add(folder)

    async def _add(self, sftp: asyncssh.SFTPClient, listing: Listing, prefix: str, levels: int = 1) -> None:
        try:
            entries = await self._entries(sftp, listing, join(self._folder, prefix))
        except asyncssh.SFTPPermissionDenied:
            listing.problems.append(unreadable(shown(prefix), "the subfolder cannot be read: permission denied"))
            return
        except asyncssh.SFTPNoSuchFile:
            return  # it went away since its folder was listed
        unread: list[str] = []
        for entry in entries:
            if entry.is_a(modes.S_ISREG):
                listing.add(entry.found(prefix))
            elif levels > 1 and entry.is_a(modes.S_ISDIR):
                await self._add(sftp, listing, f"{prefix}{entry.name}/", levels - 1)
            elif entry.is_a(modes.S_ISDIR) and not is_finished_folder(entry.name):
                unread.append(entry.name)
        if unread := [name for name in unread if await self._holds_something(sftp, listing, prefix + name)]:
            listing.problems.append(too_deep(prefix, unread))

    async def _holds_something(self, sftp: asyncssh.SFTPClient, listing: Listing, folder: str) -> bool:
        try:
            return bool(await self._entries(sftp, listing, join(self._folder, folder)))
        except asyncssh.SFTPPermissionDenied:
            return True
        except asyncssh.SFTPNoSuchFile:
            return False

    async def _entries(self, sftp: asyncssh.SFTPClient, listing: Listing, folder: str) -> list[_Entry]:
        """What a folder holds, but for what is left alone and names that would lead elsewhere."""
        found: list[_Entry] = []
        async for entry in sftp.scandir(folder):
            self._connection.answered()
            listing.meet()
            name = str(entry.filename)
            if len(name) > LONGEST_NAME:
                raise UnreadableFolder(f"it lists a name of {len(name)} characters")
            if not ("/" in name or "\0" in name or name in ("", ".", "..") or is_left_alone(name)):
                found.append(_Entry(name, entry.attrs.permissions, *_form(entry.attrs)))
        return found

    async def _read(self, sftp: asyncssh.SFTPClient, name: str) -> Loaded:
        most = files_place.MAX_FILE_BYTES
        try:
            async with sftp.open(join(self._folder, name), "rb") as file:
                size, modified = _form(await self._told(file.stat()))
                if size > most:
                    raise too_large()
                data = bytearray()
                while isinstance(chunk := await self._told(file.read(_CHUNK, len(data))), bytes) and chunk:
                    data += chunk
                    if len(data) > most:
                        raise too_large()
        except asyncssh.SFTPNoSuchFile as error:
            raise FileNotFoundError from error
        except asyncssh.SFTPPermissionDenied as error:
            raise PermissionError(None, "permission denied") from error
        return size, modified, bytes(data)


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    permissions: int | None
    size: int
    modified: int

    def is_a(self, kind: Callable[[int], bool]) -> bool:
        return self.permissions is not None and kind(self.permissions)

    def found(self, prefix: str) -> FoundFile:
        return FoundFile(prefix + self.name, self.size, self.modified)


def _form(attributes: asyncssh.SFTPAttrs) -> tuple[int, int]:
    """Size, and time in nanoseconds."""
    return attributes.size or 0, (attributes.mtime or 0) * 10**9


def _given(loaded: Loaded) -> Loaded:
    return loaded


def _failed(error: Exception) -> Loaded:
    raise error
