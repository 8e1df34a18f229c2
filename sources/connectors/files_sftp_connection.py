"""One connection to an SFTP server (draft-ietf-secsh-filexfer-02), by asyncssh: opened when it is needed, kept for the whole of a pull.

What a server may cost: a connection is given up when the next answer (of a listing the next name, of a file the next piece) does not
come within SILENT_SECONDS, so a large file may take as long as it needs over a slow line. Nothing that a server says of sizes is believed. Compression is not offered,
because a packet of some kilobytes could stand for any number of bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import asyncssh

from sources.connectors.files_place import UnreadableFolder
from sources.errors import ConfigurationError

CONNECT_SECONDS = 15.0
SILENT_SECONDS = 60.0
"""How long one answer may take."""
KEEPALIVE_SECONDS = 20.0
_CLOSE_SECONDS = 5.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the folder lies. `folder`: from the root, or where it does not begin with a slash, from the user's home."""

    host: str
    port: int
    user: str
    folder: str


class SftpConnection:
    """`host_key`: the server's public key as `ssh-keyscan` prints it; without one that the settings name anybody between could give us
    statements. `password` or `private_key`. `name`: of the source, for errors. Constructed without I/O. Raises ConfigurationError."""

    def __init__(
        self, name: str, address: Address, host_key: str, password: str | None, private_key: str | None
    ) -> None:
        self._address = address
        self._host_keys = [_public_key(name, host_key)]
        self._password = password
        self._keys = [_private_key(name, private_key)] if private_key else None
        self._connection: asyncssh.SSHClientConnection | None = None
        self._sftp: asyncssh.SFTPClient | None = None
        self._answered_at = 0.0
        if (password is None) == (private_key is None):
            raise ConfigurationError(f"sources.{name} must have one of sftp_password and sftp_private_key")

    @asynccontextmanager
    async def session(self, failed: str) -> AsyncIterator[asyncssh.SFTPClient]:
        """Whatever goes wrong is an UnreadableFolder that names neither host nor path, and ends the connection."""
        try:
            yield await self._open()
            return
        except asyncssh.HostKeyNotVerifiable as error:
            failure: tuple[str, Exception] = "the server's key is not the one of sftp_host_key", error
        except asyncssh.PermissionDenied as error:
            failure = "the server refused our credentials", error
        except (asyncssh.SFTPConnectionLost, asyncssh.SFTPNoConnection, asyncssh.ConnectionLost) as error:
            failure = f"{failed}: the connection broke", error
        except asyncssh.SFTPNoSuchFile as error:
            failure = "it does not exist", error
        except asyncssh.SFTPError as error:
            failure = f"{failed}: the server says {said(error)}", error
        except TimeoutError as error:
            failure = "the server did not answer in time", error
        except (OSError, asyncssh.Error) as error:
            failure = f"the server cannot be reached ({type(error).__name__})", error
        await self.end()
        raise UnreadableFolder(failure[0]) from failure[1]

    async def watched(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` with the server gives. It calls `answered` with each answer; when none comes for SILENT_SECONDS, or nobody waits any
        more, the connection is cut, which ends the work: were it cancelled, it would wait to tell the server. Raises TimeoutError."""
        loop = asyncio.get_running_loop()
        self.answered()
        task = loop.create_task(work)
        task.add_done_callback(_looked_at)
        try:
            while not task.done() and (left := self._answered_at + SILENT_SECONDS - loop.time()) > 0:
                await asyncio.wait((task,), timeout=left)
            if not task.done():
                raise TimeoutError
            return task.result()
        finally:
            if not task.done() and self._connection is not None:
                self._connection.abort()

    def answered(self) -> None:
        """The server has answered now."""
        self._answered_at = asyncio.get_running_loop().time()

    async def end(self) -> None:
        """Ends the connection, if there is one; the next session opens another."""
        connection, self._connection, self._sftp = self._connection, None, None
        if connection is None:
            return
        try:
            connection.close()
            async with asyncio.timeout(_CLOSE_SECONDS):
                await connection.wait_closed()
        except TimeoutError:
            connection.abort()

    async def _open(self) -> asyncssh.SFTPClient:
        """The session that there is, else another: servers end those that are silent while pages are stored."""
        if self._sftp is not None and self._connection is not None and not self._connection.is_closed():
            return self._sftp
        await self.end()
        address = self._address
        self._connection = await asyncssh.connect(
            address.host,
            address.port,
            username=address.user,
            password=self._password,
            client_keys=self._keys,
            known_hosts=(self._host_keys, [], []),
            agent_path=None,
            config=None,
            compression_algs=None,
            connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS,
            keepalive_interval=KEEPALIVE_SECONDS,
            preferred_auth="publickey" if self._keys else "password,keyboard-interactive",
        )
        self._sftp = await self.watched(_started(self._connection))
        return self._sftp


async def _started(connection: asyncssh.SSHClientConnection) -> asyncssh.SFTPClient:
    return await connection.start_sftp_client(path_errors="surrogateescape")


def _looked_at(task: asyncio.Task[Any]) -> None:
    """So that nobody is told of the error of work that was given up."""
    if not task.cancelled():
        task.exception()


def said(error: asyncssh.SFTPError) -> str:
    """The kind of a refusal: what the server writes beside it is for its own people."""
    return type(error).__name__.removeprefix("SFTP")


def address_of(name: str, url: str) -> Address:
    """Of sftp://user@host:22/folder. `name`: of the source. Raises ConfigurationError."""
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
    return Address(parts.hostname, port, unquote(parts.username), folder)


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
