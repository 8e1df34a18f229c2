"""Where the embedded server's socket is: a directory that only its account (and root) can enter."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from pathlib import Path

from sources.database.binaries import Account
from sources.errors import ConfigurationError

_LONGEST = 103
"""Bytes of a socket's path: `sun_path` holds 108 on Linux and 104 on macOS, with the final zero."""

_NAME = ".s.PGSQL.5432"
_RECORD = "socket.path"
_PLAIN = re.compile(r"[\w/.+@ -]+", re.ASCII)


def socket_directory(data_dir: Path, account: Account | None = None) -> Path:
    """The directory of the server's socket, in the data directory if a socket's path can be that long.

    Otherwise it is a directory of a random name under the system's temporary one, and the data directory records
    which. With an `account` (who runs the server; callers hold `start.lock`) the directory is made where it is
    missing, mode 0700; one that is not the account's own is never used.
    """
    direct = data_dir / "socket"
    if _fits(direct):
        if account is not None:
            direct.mkdir(mode=0o700, exist_ok=True)
            account.own(direct)
            direct.chmod(0o700)
        return direct
    recorded = _recorded(data_dir)
    if account is None:
        return recorded or direct
    if recorded is None or not _made(recorded, account):
        recorded = _new(account)
        (data_dir / _RECORD).write_text(str(recorded), encoding="utf-8")
    return recorded


def _fits(directory: Path) -> bool:
    """Whether a socket there can be named, to the kernel and in a connection URL."""
    return len(os.fsencode(directory / _NAME)) <= _LONGEST and _PLAIN.fullmatch(str(directory)) is not None


def _recorded(data_dir: Path) -> Path | None:
    try:
        return Path((data_dir / _RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _made(directory: Path, account: Account) -> bool:
    """Make `directory` again if something cleaned it away; whether it is there and the account's alone."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        state = directory.lstat()
        return stat.S_ISDIR(state.st_mode) and state.st_uid == account.uid and not state.st_mode & 0o077
    except OSError:
        return False
    account.own(directory)
    return True


def _new(account: Account) -> Path:
    for base in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - a directory of a random name, mode 0700
        if _fits(base / "ledgergraph-12345678") and account.enters(base):
            directory = Path(tempfile.mkdtemp(prefix="ledgergraph-", dir=base))
            account.own(directory)
            return directory
    raise ConfigurationError("no directory is short enough for the database's socket: choose a shorter TMPDIR")
