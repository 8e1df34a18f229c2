"""Where the embedded server's socket is: a directory that only its account (and root) can enter."""

from __future__ import annotations

import os
import re
import socket
import stat
import tempfile
from pathlib import Path

from sources.database.binaries import Account
from sources.database.files import replace_file
from sources.errors import ConfigurationError

PORT = 5432
"""Part of the socket's name; the server listens on no TCP port."""

_NAME = f".s.PGSQL.{PORT}"
_LONGEST = 103
"""Bytes of a socket's path: `sun_path` holds 108 on Linux and 104 on macOS, with the final zero."""
_PLAIN = re.compile(r"[\w/.+@ -]+", re.ASCII)
_RECORD = "socket.path"


def socket_directory(data_dir: Path) -> Path:
    """Where the server of `data_dir` has its socket. The same for all processes, once one has started it.

    It is `socket` in the data directory, or the directory that the data directory records, if that still belongs to
    the owner of the cluster.
    """
    recorded = _recorded(data_dir)
    if recorded is not None and _private(recorded, _owner(data_dir / "cluster")):
        return recorded
    return data_dir / "socket"


def make_socket_directory(data_dir: Path, account: Account) -> Path:
    """The directory for a server that starts now, mode 0700 and empty. For the holder of `start.lock`.

    Where the path in the data directory is too long for a socket, or its file system has none, it is a directory of a
    random name under the system's temporary one, which the data directory records. Raises ConfigurationError when
    there is no place.
    """
    direct = data_dir / "socket"
    if _fits(direct) and _made(direct, account) and _binds(direct):
        (data_dir / _RECORD).unlink(missing_ok=True)
        return direct
    recorded = _recorded(data_dir)
    if recorded is None or not (_fits(recorded) and _made(recorded, account) and _binds(recorded)):
        recorded = _new(account)
        replace_file(data_dir / _RECORD, str(recorded))
    return recorded


def drop_socket_directory(data_dir: Path) -> None:
    """After the stop: take away the directory outside of the data directory, if there is one."""
    directory = socket_directory(data_dir)
    if directory.parent != data_dir and directory.exists() and not any(directory.iterdir()):
        directory.rmdir()


def _fits(directory: Path) -> bool:
    """Whether a socket there can be named, to the kernel and in a connection URL."""
    return len(os.fsencode(directory / _NAME)) <= _LONGEST and _PLAIN.fullmatch(str(directory)) is not None


def _recorded(data_dir: Path) -> Path | None:
    try:
        recorded = Path((data_dir / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return recorded if recorded.is_absolute() else None


def _owner(path: Path) -> int | None:
    try:
        return path.stat().st_uid
    except FileNotFoundError:
        return None


def _private(directory: Path, owner: int | None) -> bool:
    try:
        state = directory.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(state.st_mode) and state.st_uid == owner and not state.st_mode & 0o077


def _made(directory: Path, account: Account) -> bool:
    """Make `directory` if it is missing; whether it is there and the account's alone."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return _private(directory, account.uid)
    except OSError:
        return False
    account.own(directory)
    return True


def _binds(directory: Path) -> bool:
    """Whether the file system takes sockets (shared folders of virtual machines do not). Removes an old socket."""
    path = directory / _NAME
    for old in (path, directory / f"{_NAME}.lock"):
        old.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.bind(str(path))
        except OSError:
            return False
    path.unlink()
    return True


def _new(account: Account) -> Path:
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - a directory of a random name, mode 0700
        if _fits(base / "ledgergraph-12345678") and account.enters(base):
            directory = Path(tempfile.mkdtemp(prefix="ledgergraph-", dir=base))
            account.own(directory)
            return directory
    raise ConfigurationError("no directory is short enough for the database's socket: choose a shorter TMPDIR")
