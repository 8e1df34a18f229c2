"""The processes of one embedded server: whether any lives, which is the first, and how they end."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from sources.database.locks import FileLock
from sources.errors import DatabaseUnavailable

_STOP_SECONDS = 20.0
_END_SECONDS = 60.0
_ORPHAN_SECONDS = 1.0
_POLL_SECONDS = 0.02


class ServerProcesses:
    """The processes that serve the cluster in `cluster` and hold `lock`, which each of them inherited.

    The lock decides whether any of them lives; a pid alone decides nothing. Everything here blocks, and is for the
    holder of `start.lock`, except `postmaster`.
    """

    def __init__(self, cluster: Path, lock: Path) -> None:
        self._cluster = cluster
        self._lock = lock

    def postmaster(self) -> psutil.Process | None:
        """The first process, if it lives. Something else that has got the pid in `postmaster.pid` is not it."""
        try:
            process = psutil.Process(int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0]))
        except (OSError, ValueError, psutil.Error):
            return None
        return process if self._serves(process) else None

    def coming_up(self) -> bool:
        """Whether a server that holds the lock is there, and only its answer is missing."""
        return not self._gone() and self.postmaster() is not None

    def present(self) -> Iterable[psutil.Process]:
        """Every PostgreSQL process that works in the cluster, also of a server that was started by hand."""
        return (process for process in psutil.process_iter() if self._serves(process))

    def lock_if_gone(self) -> FileLock | None:
        """The server's lock, for a new server to inherit; None while any process of the last one lives."""
        return FileLock.attempt(self._lock)

    def stop(self) -> None:
        """Stop the server and wait until its last process is gone: fast at first, harder if that takes long.

        Either way nothing that was committed is lost.
        """
        for how in (signal.SIGINT, signal.SIGQUIT):
            # One that was launched this moment has not written its pid yet.
            self._wait(lambda: self._gone() or self.postmaster() is not None, _ORPHAN_SECONDS)
            postmaster = self.postmaster()
            if postmaster is None:
                break
            with contextlib.suppress(psutil.Error):
                postmaster.send_signal(how)
            if self._wait(self._gone, _STOP_SECONDS):
                return
        self.remove_orphans()

    def remove_orphans(self) -> None:
        """End what a killed server left behind. Its children go by themselves, unless they are busy.

        Raises DatabaseUnavailable when something still holds the lock after a minute.
        """
        for how in (signal.SIGQUIT, signal.SIGKILL):
            if self._wait(self._gone, _ORPHAN_SECONDS) or self.postmaster() is not None:
                return
            for process in self.present():
                with contextlib.suppress(psutil.Error):
                    process.send_signal(how)
        # An initdb whose starter was killed holds the lock too, and ends by itself.
        if not self._wait(self._gone, _END_SECONDS):
            raise DatabaseUnavailable(f"processes of an earlier server in {self._cluster} do not end")

    def _serves(self, process: psutil.Process) -> bool:
        try:
            return bool(process.name() == "postgres" and process.cwd() == str(self._cluster))
        except psutil.Error:
            return False

    def _gone(self) -> bool:
        lock = self.lock_if_gone()
        if lock is not None:
            lock.close()
        return lock is not None

    def _wait(self, fulfilled: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not fulfilled():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True
