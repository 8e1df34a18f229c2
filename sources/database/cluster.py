"""The server's files and processes in one data directory: what is where, initdb, launching, stopping.

    DATA_DIR/
      users.lock        held shared by every process that uses the server
      start.lock        held while one of them starts, checks or stops it
      server.lock       held by the server's own processes, from the first to the last of them
      postgresql.conf   written at every start
      cluster/          PostgreSQL's data directory
      socket/           the socket, unless the path is too long for one (then `socket.path` names the directory)
      log/              the server's log, one file for each day of the week

Everything here blocks for a moment; callers use it off the event loop, and hold `start.lock`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from sources.database.binaries import ENVIRONMENT, MAJOR_VERSION, Account, find_programs, server_account
from sources.database.locks import FileLock
from sources.database.sockets import socket_directory
from sources.errors import ConfigurationError, DatabaseUnavailable

SUPERUSER = "postgres"
PORT = 5432

DEFAULT_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": str(PORT),
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "allow_alter_system": "off",
    # Statements carry amounts and names: an error is logged without them.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] ",
    # One file a day, overwritten a week later: bounded.
    "logging_collector": "on",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}
"""What the embedded server runs with, unless the one who starts it says otherwise."""

_LOG_BYTES = 16 * 1024 * 1024
_LOG_SECONDS = 6 * 24 * 3600
_STOP_SECONDS = 60.0
_ORPHAN_SECONDS = 1.0
_POLL_SECONDS = 0.02


class Cluster:
    """One data directory's server. `data_dir` is absolute, without symbolic links."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.users_lock = data_dir / "users.lock"
        self.start_lock = data_dir / "start.lock"
        self.settings = {**DEFAULT_SETTINGS, **settings}
        self._server_lock = data_dir / "server.lock"
        self._cluster = data_dir / "cluster"
        self._unfinished = data_dir / "cluster.unfinished"
        self._log = data_dir / "log"
        self._first_words = data_dir / "startup.log"

    def prepare(self) -> None:
        """Make the data directory if it is absent. Raises ConfigurationError when it cannot be used."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the data directory {self.data_dir} cannot be made ({error.strerror}): "
                "choose another one (LEDGERGRAPH_DATA_DIR)"
            ) from error
        if (self.data_dir / "PG_VERSION").exists():
            raise ConfigurationError(
                f"{self.data_dir} is the data directory of another PostgreSQL server: choose another one "
                "(LEDGERGRAPH_DATA_DIR), or set LEDGERGRAPH_DATABASE_URL to use that server"
            )

    def socket_dir(self) -> Path:
        """The directory of the socket. The same for all processes that share the data directory, once one started."""
        return socket_directory(self.data_dir)

    def postmaster(self) -> psutil.Process | None:
        """The server's first process, if it lives. A pid in `postmaster.pid` that something else has got is not it."""
        try:
            process = psutil.Process(int((self._cluster / "postmaster.pid").read_text().split("\n", 1)[0]))
        except (OSError, ValueError, psutil.Error):
            return None
        return process if self._serves(process) else None

    def launch_if_dead(self) -> subprocess.Popen[bytes] | None:
        """Start the server unless a process of one is still there; first make the cluster if there is none.

        Returns as soon as the process runs, long before it answers. Raises ConfigurationError when this data
        directory or installation cannot serve.
        """
        lock = FileLock.attempt(self._server_lock)
        if lock is None:
            return None
        try:
            account = server_account(self._cluster)
            programs = find_programs(account)
            with self._visible_to(account) as (place, descriptors):
                self._check_or_initialise(account, programs, place, (*descriptors, lock.descriptor))
                self._remove_leftovers()
                sockets = socket_directory(self.data_dir, account)
                self._write_settings(place, sockets)
                return self._launch(account, programs, place, (*descriptors, lock.descriptor))
        finally:
            lock.close()

    def stop(self) -> None:
        """Stop the server and wait until its last process is gone: fast at first, and harder when that takes long."""
        for how in (signal.SIGINT, signal.SIGQUIT):
            postmaster = self.postmaster()
            if postmaster is None:
                break
            postmaster.send_signal(how)
            if self._wait_until_gone(_STOP_SECONDS):
                return
        self.remove_orphans()

    def remove_orphans(self) -> None:
        """End what a killed server left behind: its children go by themselves unless they are busy."""
        for how in (signal.SIGQUIT, signal.SIGKILL):
            if self._wait_until_gone(_ORPHAN_SECONDS) or self.postmaster() is not None:
                return
            for process in filter(self._serves, psutil.process_iter()):
                with contextlib.suppress(psutil.Error):
                    process.send_signal(how)
        if not self._wait_until_gone(_ORPHAN_SECONDS):
            raise DatabaseUnavailable(f"processes of a server in {self.data_dir} do not end; see {self._log}")

    def last_words(self) -> str:
        """The end of what the server logged, to explain why it does not start."""
        logs = sorted(self._log.glob("*.log"), key=lambda path: path.stat().st_mtime)
        lines = [line for path in (self._first_words, *logs[-1:]) for line in _tail(path)]
        return "; ".join(lines[-6:]) or "it said nothing"

    def _serves(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and process.cwd() == str(self._cluster)
        except psutil.Error:
            return False

    def _wait_until_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while (lock := FileLock.attempt(self._server_lock)) is None:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        lock.close()
        return True

    @contextlib.contextmanager
    def _visible_to(self, account: Account) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The data directory's name for `account`, and the descriptors that its processes have to inherit for it.

        Where root's data directory is below a directory that the account may not enter (/root, say), the server
        reaches it through an open descriptor: no permission outside of the data directory changes.
        """
        if account.switch:
            self.data_dir.chmod(self.data_dir.stat().st_mode & 0o7777 | 0o011)
        if account.enters(self.data_dir):
            yield str(self.data_dir), ()
            return
        if sys.platform != "linux":
            raise ConfigurationError(
                f"the user with id {account.uid}, which runs PostgreSQL for root, may not enter {self.data_dir}: "
                "choose another data directory (LEDGERGRAPH_DATA_DIR), or run as another user"
            )
        descriptor = os.open(self.data_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}", (descriptor,)
        finally:
            os.close(descriptor)

    def _check_or_initialise(self, account: Account, programs: Path, place: str, descriptors: tuple[int, ...]) -> None:
        if not self._cluster.exists():
            self._initialise(account, programs, place, descriptors)
        try:
            version = (self._cluster / "PG_VERSION").read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                f"{self._cluster} is not a whole PostgreSQL cluster (no PG_VERSION): restore it from a backup, "
                "or remove it to begin anew"
            ) from error
        if version != str(MAJOR_VERSION):
            raise ConfigurationError(
                f"{self._cluster} was made by PostgreSQL {version}, and this is {MAJOR_VERSION}: "
                "dump it with that version and restore it here, or choose another data directory"
            )

    def _initialise(self, account: Account, programs: Path, place: str, descriptors: tuple[int, ...]) -> None:
        """initdb beside the final place, then one rename: an interrupted one leaves nothing that looks whole."""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(mode=0o700)
        account.own(self._unfinished)
        options = [] if self.settings["fsync"] == "on" else ["--no-sync"]
        done = subprocess.run(  # noqa: S603 - the package's own program
            [
                str(programs / "initdb"), "-D", f"{place}/{self._unfinished.name}", "--username", SUPERUSER,
                "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions", *options,
            ],
            check=False, capture_output=True, text=True, cwd="/", env=ENVIRONMENT, pass_fds=descriptors,
            start_new_session=True, **account.process_options(),
        )  # fmt: skip
        if done.returncode != 0:
            said = " ".join(done.stderr.split())
            raise ConfigurationError(f"the database in {self.data_dir} could not be made: {said}")
        self._unfinished.rename(self._cluster)
        _sync_directory(self.data_dir)

    def _remove_leftovers(self) -> None:
        """With `server.lock` in hand no server of ours lives, so its pid files are stale, whoever has the pid now.

        PostgreSQL alone would refuse to start while any process of the same user has that pid.
        """
        other = next(filter(self._serves, psutil.process_iter()), None)
        if other is not None:
            raise ConfigurationError(
                f"a PostgreSQL that this program did not start (process {other.pid}) uses {self._cluster}: stop it"
            )
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            for path in self.socket_dir().iterdir():
                path.unlink()
        oldest = time.time() - _LOG_SECONDS
        for path in self._log.glob("*.log"):
            if path.stat().st_size > _LOG_BYTES or path.stat().st_mtime < oldest:
                path.unlink()

    def _write_settings(self, place: str, sockets: Path) -> None:
        seen = f"{place}/{sockets.name}" if sockets.parent == self.data_dir else str(sockets)
        settings = {
            **self.settings,
            "unix_socket_directories": f'"{seen}"',
            "log_directory": f"{place}/{self._log.name}",
        }
        lines = ["# Written by ledgergraph at every start: changes here are lost."]
        lines += [f"{name} = {_quoted(value)}" for name, value in sorted(settings.items())]
        partial = self.data_dir / "postgresql.conf.new"
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
        partial.chmod(0o644)
        partial.replace(self.data_dir / "postgresql.conf")

    def _launch(
        self, account: Account, programs: Path, place: str, descriptors: tuple[int, ...]
    ) -> subprocess.Popen[bytes]:
        self._log.mkdir(mode=0o700, exist_ok=True)
        account.own(self._log)
        with self._first_words.open("wb") as first_words:
            process = subprocess.Popen(  # noqa: S603 - the package's own program
                [
                    str(programs / "postgres"), "-D", f"{place}/{self._cluster.name}",
                    "-c", f"config_file={place}/postgresql.conf",
                ],
                stdin=subprocess.DEVNULL, stdout=first_words, stderr=subprocess.STDOUT, cwd="/", env=ENVIRONMENT,
                pass_fds=descriptors, start_new_session=True, **account.process_options(),
            )  # fmt: skip
        # The server may outlive this process or end before it; either way someone has to take its exit status.
        threading.Thread(target=process.wait, name="postgres-exit", daemon=True).start()
        return process


def _quoted(value: str) -> str:
    if "\n" in value:
        raise ConfigurationError(f"a PostgreSQL setting's value has a line break: {value!r}")
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def _tail(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            return [line.strip() for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return []


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
