"""A folder on an SFTP server (draft-ietf-secsh-filexfer-02), by asyncssh.

The server's key has to be one that the settings name: without it anybody between could give us statements. Its files are small
in number and come over a slow line, so they are fetched a batch at a time, each batch over a connection of its own.
"""

from __future__ import annotations

import asyncio
import stat as modes
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from posixpath import dirname, join
from urllib.parse import unquote, urlsplit

import asyncssh

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
)
from sources.connectors.files_values import UnreadableFile
from sources.errors import ConfigurationError

CONNECT_SECONDS = 15.0
CALL_SECONDS = 120.0
"""How long a listing, a batch of files or a move may take."""

_MOST_NAMES = 100
_CHUNK = 262_144


@dataclass(frozen=True, slots=True)
class _Address:
    host: str
    port: int
    user: str
    folder: str


class SftpFolder:
    """`url`: sftp://user@host:22/folder, a folder from the root; sftp://user@host/~/folder: from the user's home. `host_key`: the
    server's public key as `ssh-keyscan` prints it, with or without the host's name. `password` or `private_key` (the text of an
    OpenSSH or PEM key without a passphrase). Constructed without I/O. Raises ConfigurationError."""

    setting = "sftp"
    settles_by_clock = False

    def __init__(
        self, *, name: str, url: str, host_key: str, password: str | None = None, private_key: str | None = None
    ) -> None:
        self._address = _address(name, url)
        self._host_keys = [_public_key(name, host_key)]
        self._password = password
        self._keys = [_private_key(name, private_key)] if private_key else None
        if (password is None) == (private_key is None):
            raise ConfigurationError(f"sources.{name} must have one of sftp_password and sftp_private_key")
        self.shown = repr(self._address.folder.rstrip("/").rpartition("/")[2] or "/")

    async def find(self, *, quarantined: bool) -> Listing:
        """See `Place.find`. Symbolic links are left alone."""
        listing = Listing()
        async with self._session("it cannot be listed") as sftp:
            for entry in await _entries(sftp, self._address.folder):
                if _is_file(entry):
                    listing.files.append(_found("", entry))
                elif _is_folder(entry) and quarantined and entry.name == QUARANTINE:
                    await self._add(sftp, listing, f"{entry.name}/", deeper=True)
                elif _is_folder(entry) and not is_finished_folder(entry.name):
                    await self._add(sftp, listing, f"{entry.name}/")
        return sorted_listing(listing)

    async def fetch(self, files: Sequence[FoundFile]) -> Mapping[str, Load]:
        """See `Place.fetch`: all of them at once, so the caller bounds the batch."""
        loads: dict[str, Load] = {}
        async with self._session("its files cannot be fetched") as sftp:
            for file in files:
                try:
                    loads[file.name] = partial(_given, await self._read(sftp, file.name))
                except (UnreadableFile, FileNotFoundError, OSError) as error:
                    loads[file.name] = partial(_failed, error)
        return loads

    async def put_away(self, file: FoundFile, into: str) -> str | None:
        """See `Place.put_away`."""
        target = moved_name(file.name, into)
        async with self._session(f"a file cannot be moved to its subfolder {into}") as sftp:
            folder = self._address.folder
            for part in dirname(target).split("/"):
                folder = join(folder, part)
                if not await sftp.lexists(folder):
                    await sftp.mkdir(folder)
                elif not modes.S_ISDIR((await sftp.lstat(folder)).permissions or 0):
                    raise UnreadableFolder(
                        f"a file cannot be moved to its subfolder {into}: it is no folder, or a link"
                    )
            for number in range(1, _MOST_NAMES):
                free = target if number == 1 else numbered(target, number)
                if await sftp.lexists(join(self._address.folder, free)):
                    continue
                path = join(self._address.folder, file.name)
                try:
                    attributes = await sftp.lstat(path)
                    if (attributes.size or 0, (attributes.mtime or 0) * 10**9) != (file.size, file.modified):
                        return None
                    await sftp.rename(path, join(self._address.folder, free))
                except asyncssh.SFTPNoSuchFile:
                    return None
                return free
        raise UnreadableFolder(f"too many files of one name lie in its subfolder {into}")

    async def close(self) -> None:
        """There is nothing to release: each call has a connection of its own."""

    async def _add(self, sftp: asyncssh.SFTPClient, listing: Listing, prefix: str, *, deeper: bool = False) -> None:
        try:
            entries = await _entries(sftp, join(self._address.folder, prefix))
        except asyncssh.SFTPPermissionDenied:
            listing.problems.append(unreadable(shown(prefix), "the subfolder cannot be read: permission denied"))
            return
        for entry in entries:
            if _is_file(entry):
                listing.files.append(_found(prefix, entry))
            elif deeper and _is_folder(entry):
                await self._add(sftp, listing, f"{prefix}{entry.name}/")

    async def _read(self, sftp: asyncssh.SFTPClient, name: str) -> Loaded:
        most = files_place.MAX_FILE_BYTES
        try:
            async with sftp.open(join(self._address.folder, name), "rb") as file:
                attributes = await file.stat()
                if (attributes.size or 0) > most:
                    raise too_large()
                data = bytearray()
                while isinstance(chunk := await file.read(_CHUNK, len(data)), bytes) and chunk:
                    data += chunk
                    if len(data) > most:
                        raise too_large()
        except asyncssh.SFTPNoSuchFile as error:
            raise FileNotFoundError from error
        except asyncssh.SFTPPermissionDenied as error:
            raise PermissionError(None, "permission denied") from error
        return attributes.size or len(data), (attributes.mtime or 0) * 10**9, bytes(data)

    @asynccontextmanager
    async def _session(self, failed: str) -> AsyncIterator[asyncssh.SFTPClient]:
        """Whatever goes wrong is an UnreadableFolder that names neither host nor path."""
        address = self._address
        try:
            async with asyncio.timeout(CALL_SECONDS):
                async with (
                    asyncssh.connect(
                        address.host,
                        address.port,
                        username=address.user,
                        password=self._password,
                        client_keys=self._keys,
                        known_hosts=(self._host_keys, [], []),
                        agent_path=None,
                        config=None,
                        connect_timeout=CONNECT_SECONDS,
                        preferred_auth="publickey" if self._keys else "password,keyboard-interactive",
                    ) as connection,
                    connection.start_sftp_client(path_errors="surrogateescape") as sftp,
                ):
                    yield sftp
        except asyncssh.HostKeyNotVerifiable as error:
            raise UnreadableFolder("the server's key is not the one of sftp_host_key") from error
        except asyncssh.PermissionDenied as error:
            raise UnreadableFolder("the server refused our credentials") from error
        except asyncssh.SFTPNoSuchFile as error:
            raise UnreadableFolder("it does not exist") from error
        except asyncssh.SFTPError as error:
            raise UnreadableFolder(f"{failed}: the server says {type(error).__name__.removeprefix('SFTP')}") from error
        except TimeoutError as error:
            raise UnreadableFolder("the server did not answer in time") from error
        except (OSError, asyncssh.Error) as error:
            raise UnreadableFolder(f"the server cannot be reached ({type(error).__name__})") from error


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    attributes: asyncssh.SFTPAttrs

    def is_a(self, kind: Callable[[int], bool]) -> bool:
        return self.attributes.permissions is not None and kind(self.attributes.permissions)


async def _entries(sftp: asyncssh.SFTPClient, folder: str) -> list[_Entry]:
    """What a folder holds, but for what is left alone and names that would lead elsewhere."""
    found: list[_Entry] = []
    async for entry in sftp.scandir(folder):
        name = str(entry.filename)
        if "/" in name or "\0" in name or name in ("", ".", "..") or is_left_alone(name):
            continue
        found.append(_Entry(name, entry.attrs))
        if len(found) > files_place.MAX_FILES:
            break
    return found


def _is_file(entry: _Entry) -> bool:
    return entry.is_a(modes.S_ISREG)


def _is_folder(entry: _Entry) -> bool:
    return entry.is_a(modes.S_ISDIR)


def _found(prefix: str, entry: _Entry) -> FoundFile:
    attributes = entry.attributes
    return FoundFile(prefix + entry.name, attributes.size or 0, (attributes.mtime or 0) * 10**9)


def _given(loaded: Loaded) -> Loaded:
    return loaded


def _failed(error: Exception) -> Loaded:
    raise error


def _address(name: str, url: str) -> _Address:
    rule = f"sources.{name}.sftp must be an address such as sftp://user@files.bank.example/outgoing, without a password"
    try:
        parts = urlsplit(url)
        port = parts.port or 22
    except ValueError as error:
        raise ConfigurationError(rule) from error
    if parts.scheme != "sftp" or not parts.hostname or not parts.username or parts.password or parts.query:
        raise ConfigurationError(rule)
    folder = unquote(parts.path) or "/"
    if folder.startswith("/~"):
        folder = folder[2:].lstrip("/") or "."
    return _Address(parts.hostname, port, unquote(parts.username), folder)


def _public_key(name: str, text: str) -> asyncssh.SSHKey:
    words = text.split()
    start = next((place for place, word in enumerate(words) if word.startswith(("ssh-", "ecdsa-", "sk-"))), 0)
    try:
        return asyncssh.import_public_key(" ".join(words[start : start + 2]))
    except (asyncssh.KeyImportError, ValueError) as error:
        raise ConfigurationError(
            f"sources.{name}.sftp_host_key must be the server's public key, as ssh-keyscan prints it: ssh-ed25519 AAAA…"
        ) from error


def _private_key(name: str, text: str) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(text.strip() + "\n")
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
        raise ConfigurationError(
            f"sources.{name}.sftp_private_key must be the text of an OpenSSH or PEM private key without a passphrase"
        ) from error
