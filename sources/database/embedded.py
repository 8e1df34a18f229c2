"""PostgreSQL in a data directory, shared by every process that uses it: `EmbeddedPostgres`.

Nobody owns the server. Each process that uses it holds a shared lock on a file of the data directory; one that leaves
and can then take that lock exclusively was the last, and stops the server. A killed process's lock goes with it. If
all of them are killed the server stays, and whoever starts next adopts it. Whether a server lives is told by a second
lock, which the server's own processes inherited and hold until the last of them is gone; never by a pid.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from subprocess import Popen
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import asyncpg

from sources.database.cluster import SUPERUSER, Cluster
from sources.database.locks import FileLock
from sources.database.metadata import APP_ROLE
from sources.database.sockets import PORT, socket_directory
from sources.errors import ConfigurationError, DatabaseUnavailable

T = TypeVar("T")

logger = logging.getLogger(__name__)

OWNER_ROLE = "ledgergraph_owner"
"""Owns the database and runs the migrations; may create databases, and is no superuser."""
DATABASE = "ledgergraph"

_NOT_READY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # starting, recovering or shutting down
    asyncpg.TooManyConnectionsError,
)
_LAUNCHES = 3
_CONNECT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_PROGRESS_SECONDS = 5.0
_WATCH_SECONDS = 0.25
_WATCH_RETRY_SECONDS = 5.0


class EmbeddedPostgres:
    """The server in `data_dir`, running while any process is inside `async with` of it.

    `settings` are PostgreSQL settings on top of the defaults; they count for the process that starts the server.
    `patience` bounds, in seconds, how long a start may take; crash recovery of a big database takes long.
    With `watch`, a task restarts the server within about a second of its death.

    Leaving the context releases the server, so a process has to leave it on SIGTERM too: turn the signal into the
    cancellation of the task that is inside. A process that dies without leaving costs nothing but an idle server,
    if it was the last.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        patience: float = 3600.0,
        watch: bool = False,
    ) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self._cluster = Cluster(self.data_dir, settings or {})
        self._patience = patience
        self._watch = watch
        self._watcher: asyncio.Task[None] | None = None
        self._membership: FileLock | None = None

    async def __aenter__(self) -> Self:
        """Join the running server, or start one.

        Raises ConfigurationError when the directory or this installation cannot serve, DatabaseUnavailable when the
        server does not come up.
        """
        if sys.platform == "win32":
            raise ConfigurationError(
                "the embedded database runs on Linux and macOS: set LEDGERGRAPH_DATABASE_URL to a PostgreSQL server"
            )
        await asyncio.to_thread(self._cluster.prepare)
        starting = await FileLock.exclusive(self._cluster.start_lock, patience=self._patience)
        try:
            self._join()
            await self._bring_up()
        except BaseException:
            await _finished(self._leave())
            raise
        finally:
            starting.close()
        if self._watch:
            self._watcher = asyncio.create_task(self.watch(), name="postgres-watch")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave; the last one stops the server. A cancellation meanwhile is kept for afterwards."""
        await _finished(self._release())

    def dsn(self, *, user: str = APP_ROLE, database: str = DATABASE) -> str:
        """A `postgresql://` URL of the server's socket for `user` and `database`; without a password: none is asked."""
        host = quote(str(socket_directory(self.data_dir)), safe="/")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def postmaster_pid(self) -> int | None:
        """The process id of the running server, or None."""
        process = self._cluster.processes.postmaster()
        return None if process is None else process.pid

    async def ensure_running(self) -> None:
        """Restart the server if it is dead, and return once it answers. Any number of processes may call it at once.

        Raises as `__aenter__` does.
        """
        if self._membership is None:
            raise RuntimeError("ensure_running() is for inside `async with`")
        if await self._answers():
            return
        starting = await FileLock.exclusive(self._cluster.start_lock, patience=self._patience)
        try:
            await self._bring_up()
        finally:
            starting.close()

    async def watch(self) -> None:
        """Restart the server whenever it dies, for ever: for a task that is cancelled at the end."""
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self.postmaster_pid() is not None:
                continue
            try:
                await self.ensure_running()
            except Exception:
                # Whatever the reason: a gateway that stopped watching would never recover by itself.
                logger.exception("the embedded database in %s does not restart", self.data_dir)
                await asyncio.sleep(_WATCH_RETRY_SECONDS)

    def _join(self) -> None:
        self._membership = FileLock.attempt(self._cluster.users_lock, shared=True)
        if self._membership is None:
            raise DatabaseUnavailable(f"another program holds {self._cluster.users_lock}")

    async def _release(self) -> None:
        if self._watcher is not None:
            # Once may not be enough: a cancellation that meets a finishing connection attempt can be lost.
            while not self._watcher.done():
                self._watcher.cancel()
                await asyncio.wait({self._watcher}, timeout=1)
            self._watcher = None
        starting = await FileLock.exclusive(self._cluster.start_lock, patience=self._patience)
        try:
            await self._leave()
        finally:
            starting.close()

    async def _leave(self) -> None:
        """Give up the membership, and stop the server if nobody else has one. Within `start.lock`."""
        if self._membership is not None:
            self._membership.close()
            self._membership = None
        last = FileLock.attempt(self._cluster.users_lock)
        if last is None:
            return
        try:
            await asyncio.to_thread(self._cluster.stop)
        finally:
            last.close()

    async def _bring_up(self) -> None:
        """Start what is missing and wait until the server answers, through recovery. Within `start.lock`."""
        begun = reported = time.monotonic()
        launched: list[Popen[bytes]] = []
        while not await self._answers():
            now = time.monotonic()
            if now - begun > self._patience:
                raise DatabaseUnavailable(f"the embedded database in {self.data_dir} did not start in time")
            if now - reported > _PROGRESS_SECONDS:
                logger.info("waiting for the embedded database in %s to start or recover", self.data_dir)
                reported = now
            if not await self._coming_up(launched):
                await self._relaunch(launched)
            await asyncio.sleep(_POLL_SECONDS)
        if launched:
            logger.info("the embedded database in %s runs", self.data_dir)

    async def _coming_up(self, launched: list[Popen[bytes]]) -> bool:
        if launched and launched[-1].returncode is None:
            return True
        return await asyncio.to_thread(self._cluster.processes.coming_up)

    async def _relaunch(self, launched: list[Popen[bytes]]) -> None:
        if len(launched) == _LAUNCHES:
            said = await asyncio.to_thread(self._cluster.last_words)
            raise DatabaseUnavailable(f"the embedded database in {self.data_dir} does not start: {said}")
        # Not to be left half done: a thread cannot be cancelled, and would launch after this process has left.
        process = await _finished(asyncio.to_thread(self._cluster.launch_if_dead))
        if process is None:
            await _finished(asyncio.to_thread(self._cluster.processes.remove_orphans))
        else:
            launched.append(process)

    async def _answers(self) -> bool:
        """Whether the server takes connections; then it has the roles and the database."""
        try:
            connection = await asyncpg.connect(self.dsn(user=SUPERUSER, database="postgres"), timeout=_CONNECT_SECONDS)
            try:
                await _provide_roles(connection)
            finally:
                await connection.close()
        except _NOT_READY:
            return False
        return True


async def _provide_roles(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    if OWNER_ROLE not in roles:
        await connection.execute(f"CREATE ROLE {OWNER_ROLE} LOGIN CREATEDB")
    if APP_ROLE not in roles:
        await connection.execute(f"CREATE ROLE {APP_ROLE} LOGIN")
        # Migrations check that their role can act as the application's.
        await connection.execute(f"GRANT {APP_ROLE} TO {OWNER_ROLE}")
    if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", DATABASE):
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER_ROLE}")


async def _finished(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end even when this task is cancelled meanwhile; the cancellation follows."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled from task.exception()
    return task.result()
