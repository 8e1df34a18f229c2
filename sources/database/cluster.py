"""The embedded server's files in one data directory: what is where, initdb, settings, launching.

DATA_DIR/
  users.lock        held shared by every process that uses the server
  start.lock        held while one of them starts, checks or stops it
  server.lock       held by the server's own processes, from the first to the last of them
  postgresql.conf   written at every start
  startup.log       what the server said before it had its log
  cluster/          PostgreSQL's data directory
  socket/           the socket, unless it cannot be there (then `socket.path` names the directory)
  log/              the server's log, one file for each day of the week
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sources.database.binaries import ENVIRONMENT, MAJOR_VERSION, Account, find_programs, server_account
from sources.database.files import fresh_file, last_lines, replace_file, sync_directory
from sources.database.processes import ServerProcesses
from sources.database.sockets import PORT, drop_socket_directory, make_socket_directory
from sources.errors import ConfigurationError, DatabaseUnavailable

SUPERUSER = "postgres"

DEFAULT_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    # A crash of any child ends the server, and who watches starts it anew. Where PostgreSQL 18.4 recovers without
    # ending, a shutdown meanwhile, or the end of the recovering process, leaves it hanging for ever.
    "restart_after_crash": "off",
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


@dataclass(frozen=True, slots=True)
class _Host:
    """Who runs the server and with what: its account, the programs, the data directory as the account sees it, and
    the descriptors that each of its processes inherits."""

    account: Account
    programs: Path
    place: str
    descriptors: tuple[int, ...]


class Cluster:
    """The files of one data directory. `data_dir` is absolute, without symbolic links. Everything here blocks."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str]) -> None:
        self.data_dir = data_dir
        self.users_lock = data_dir / "users.lock"
        self.start_lock = data_dir / "start.lock"
        self.settings = {**DEFAULT_SETTINGS, **settings}
        self._cluster = data_dir / "cluster"
        self._unfinished = data_dir / "cluster.unfinished"
        self._log = data_dir / "log"
        self._startup_log = data_dir / "startup.log"
        self.processes = ServerProcesses(self._cluster, data_dir / "server.lock")

    def prepare(self) -> None:
        """Make the data directory if it is absent. Raises ConfigurationError when it cannot be used."""
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            foreign = (self.data_dir / "PG_VERSION").exists()
        except OSError as error:
            raise ConfigurationError(
                f"the data directory {self.data_dir} cannot be used ({error.strerror}): "
                "choose another one (LEDGERGRAPH_DATA_DIR)"
            ) from error
        if foreign:
            raise ConfigurationError(
                f"{self.data_dir} is the data directory of another PostgreSQL server: choose another one "
                "(LEDGERGRAPH_DATA_DIR), or set LEDGERGRAPH_DATABASE_URL to use that server"
            )

    def launch_if_dead(self) -> subprocess.Popen[bytes] | None:
        """Start the server, first making the cluster if there is none; None while a process of a server is there.

        Returns as soon as the process runs, long before it answers. For the holder of `start.lock`. Raises
        ConfigurationError when this data directory or installation cannot serve, DatabaseUnavailable when the
        system refuses something (a full disk).
        """
        lock = self.processes.lock_if_gone()
        if lock is None:
            return None
        try:
            account = server_account(self._cluster)
            programs = find_programs(account)
            with self._visible_to(account) as (place, descriptors):
                return self._start(_Host(account, programs, place, (*descriptors, lock.descriptor)))
        except OSError as error:
            raise DatabaseUnavailable(f"the database in {self.data_dir} could not be started: {error}") from error
        finally:
            lock.close()

    def stop(self) -> None:
        """Stop the server, and wait until it is gone. For the holder of `start.lock`."""
        self.processes.stop()
        drop_socket_directory(self.data_dir)

    def last_words(self) -> str:
        """The end of what the server logged, to explain why it does not start."""
        logs = sorted(self._log.glob("*.log"), key=lambda path: path.stat().st_mtime)
        lines = [line for path in (self._startup_log, *logs[-1:]) for line in last_lines(path, 4)]
        return "; ".join(lines) or "it said nothing"

    def _start(self, host: _Host) -> subprocess.Popen[bytes]:
        if not self._cluster.exists() or not any(self._cluster.iterdir()):
            self._initialise(host)
        self._check_version()
        self._claim(host.account)
        self._remove_leftovers()
        sockets = make_socket_directory(self.data_dir, host.account)
        self._write_settings(host.place, sockets)
        return self._launch(host)

    @contextlib.contextmanager
    def _visible_to(self, account: Account) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The data directory's name for `account`, and the descriptors that its processes have to inherit for it.

        Where root's data directory is below a directory that the account may not enter (/root, say), the server
        reaches it through an open descriptor: no permission outside of the data directory changes.
        """
        if account.enters(self.data_dir):
            yield str(self.data_dir), ()
            return
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

    def _initialise(self, host: _Host) -> None:
        """initdb beside the final place, then one rename: an interrupted one leaves nothing that looks whole."""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(mode=0o700)
        host.account.own(self._unfinished)
        options = ["--no-sync"] if self.settings["fsync"] == "off" else []
        done = subprocess.run(  # noqa: S603 - the package's own program
            [
                str(host.programs / "initdb"), "-D", f"{host.place}/{self._unfinished.name}", "--username", SUPERUSER,
                "--auth-local=trust", "--auth-host=reject", "--encoding=UTF8", "--locale=C",
                "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions", *options,
            ],
            check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", env=ENVIRONMENT,
            pass_fds=host.descriptors, start_new_session=True, **host.account.process_options(),
        )  # fmt: skip
        if done.returncode != 0:
            said = " ".join(done.stderr.split())
            raise ConfigurationError(f"the database in {self.data_dir} could not be made: {said}")
        self._unfinished.rename(self._cluster)
        sync_directory(self.data_dir)

    def _check_version(self) -> None:
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

    def _claim(self, account: Account) -> None:
        """A cluster that root restored from a backup belongs to root; PostgreSQL insists on its account and 0700."""
        if account.switch and self._cluster.stat().st_uid != account.uid:
            for path in (self._cluster, *self._cluster.rglob("*")):
                account.own(path)
        self._cluster.chmod(0o700)

    def _remove_leftovers(self) -> None:
        """With `server.lock` in hand no server of ours lives, so its pid file is stale, whoever has the pid now.

        PostgreSQL alone would refuse to start while any process of the same user has that pid.
        """
        for process in self.processes.present():
            raise ConfigurationError(
                f"a PostgreSQL that this program did not start (process {process.pid}) uses {self._cluster}: stop it"
            )
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)
        oldest = time.time() - _LOG_SECONDS
        for path in self._log.glob("*.log"):
            state = path.lstat()
            if state.st_size > _LOG_BYTES or state.st_mtime < oldest:
                path.unlink()

    def _write_settings(self, place: str, sockets: Path) -> None:
        seen = f"{place}/{sockets.name}" if sockets.parent == self.data_dir else str(sockets)
        settings = {
            "unix_socket_directories": f'"{seen}"',
            "log_directory": f"{place}/{self._log.name}",
            **self.settings,
        }
        lines = ["# Written by ledgergraph at every start: changes here are lost."]
        lines += [f"{name} = {_quoted(value)}" for name, value in sorted(settings.items())]
        replace_file(self.data_dir / "postgresql.conf", "\n".join(lines) + "\n")

    def _launch(self, host: _Host) -> subprocess.Popen[bytes]:
        with contextlib.suppress(FileExistsError):
            self._log.mkdir(mode=0o700)
            host.account.own(self._log)
        with fresh_file(self._startup_log) as startup_log:
            process = subprocess.Popen(  # noqa: S603 - the package's own program
                [
                    str(host.programs / "postgres"), "-D", f"{host.place}/{self._cluster.name}",
                    "-c", f"config_file={host.place}/postgresql.conf",
                ],
                stdin=subprocess.DEVNULL, stdout=startup_log, stderr=subprocess.STDOUT, cwd="/", env=ENVIRONMENT,
                pass_fds=host.descriptors, start_new_session=True, **host.account.process_options(),
            )  # fmt: skip
        # The server may outlive this process or end before it; either way someone has to take its exit status.
        threading.Thread(target=process.wait, name="postgres-exit", daemon=True).start()
        return process


def _quoted(value: str) -> str:
    if "\n" in value:
        raise ConfigurationError(f"a PostgreSQL setting's value has a line break: {value!r}")
    escaped = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
