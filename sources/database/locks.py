"""File locks between the processes that share a data directory.

`flock` and not POSIX record locks (`lockf`): a `flock` belongs to the open file, so it counts twice when one process
holds it twice, closing another handle of the same file does not drop it, and a handle that is passed on to a child
keeps it for as long as any process has that handle open. A killed process drops its locks at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from sources.errors import ConfigurationError, DatabaseUnavailable

if sys.platform != "win32":
    import fcntl

_POLL_SECONDS = 0.05


class FileLock:
    """A lock that is held from its making until `close()`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    @classmethod
    def attempt(cls, path: Path, *, shared: bool = False) -> FileLock | None:
        """The lock on `path` (made if absent), or None when another holder excludes it.

        Raises ConfigurationError when the file cannot be opened or its file system has no locks.
        """
        descriptor = _open(path)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise ConfigurationError(
                f"the file system of the data directory {path.parent} does not support file locks ({error.strerror}): "
                "choose a local directory (LEDGERGRAPH_DATA_DIR)"
            ) from error
        return cls(descriptor)

    @classmethod
    async def exclusive(cls, path: Path, *, patience: float) -> FileLock:
        """The exclusive lock on `path`, waited for at most `patience` seconds; then DatabaseUnavailable."""
        deadline = time.monotonic() + patience
        while (lock := cls.attempt(path)) is None:
            if time.monotonic() > deadline:
                raise DatabaseUnavailable(f"another process has been busy with {path.parent} for {patience:.0f} s")
            await asyncio.sleep(_POLL_SECONDS)
        return lock

    def close(self) -> None:
        """Let go. Closing and not unlocking: handles that children were given go on holding the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"the data directory {path.parent} cannot be used by this account ({error.strerror}): "
            "run as its owner, or choose another directory (LEDGERGRAPH_DATA_DIR)"
        ) from error
    owner = path.parent.stat()
    if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor
