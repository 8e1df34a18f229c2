"""Connections to PostgreSQL: a pool for reading snapshots, one for writing, and one connection that listens.

Reading connections carry dates, timestamps and numerics as text, so that nothing becomes a Python object on its way
to JSON. A caller's ledgers are a setting of the connection's session that is compared, and where it differs set, whenever a
connection is lent; behind a pooler that lends sessions by transaction they are set inside each transaction.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg

from sources.database.lending import Lender, Loan
from sources.errors import ConfigurationError, DatabaseUnavailable, LedgergraphError, Unavailable

APP_ROLE = "ledgergraph_app"
CONNECT_TIMEOUT = 10.0
LOOKUPS = 2
FOLLOWERS = 4
APART = 4
"""Connections beside the pools that are open at one time."""
Connection: TypeAlias = "asyncpg.Connection[Any] | asyncpg.pool.PoolConnectionProxy[Any]"
LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    OSError,
)
"""What a driver raises when the server is gone, going or coming, or its host cannot be found or reached."""

_CLOSED = ("closed", "closing", "released")
_TEXTS = ("date", "timestamptz", "numeric")
_CLAIM = re.compile(r"[0-9]+(,[0-9]+)*|\*|")


def claim(ledger_ids: Iterable[int] | None) -> str:
    """The value of ledgergraph.ledgers: "*" for every ledger, else ids with commas; "" is none."""
    return "*" if ledger_ids is None else ",".join(str(int(ledger_id)) for ledger_id in ledger_ids)


def _lost(error: BaseException) -> bool:
    # The driver says InternalClientError on a connection whose server said goodbye while it was idle (asyncpg issue 1069).
    if isinstance(error, asyncpg.InternalClientError):
        return True
    closed = isinstance(error, asyncpg.InterfaceError) and any(word in str(error) for word in _CLOSED)
    return isinstance(error, LOST) or closed


DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What a driver raises."""


def explained(error: BaseException) -> LedgergraphError | None:
    """A lost or unreachable server is DatabaseUnavailable; a statement that took too long, or that came behind one that
    failed in the same transaction, is Unavailable. None: it is for the caller to know what it means."""
    if isinstance(error, asyncpg.QueryCanceledError):
        return Unavailable("the ledger store took longer than a request may; ask for less, or later")
    if isinstance(error, asyncpg.InFailedSQLTransactionError):
        return Unavailable("another part of this request failed in the ledger store; ask without it, or later")
    if isinstance(error, DRIVER) and _lost(error):
        return DatabaseUnavailable("the ledger store does not answer; try again in a moment")
    return None


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raises what `explained` says instead of what the driver raised."""
    try:
        yield
    except DRIVER as error:
        known = explained(error)
        if known is None:
            raise
        raise known from error


class Reading:
    """A connection that reads within the ledgers of one claim: inside one snapshot, or for one statement alone."""

    def __init__(self, lender: Lender, loan: Loan) -> None:
        self._lender, self._loan = lender, loan
        self._failed: BaseException | None = None

    @property
    def connection(self) -> Connection:
        return self._loan.connection

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Raises what `explained` says, or what the driver raises."""
        try:
            rows: Sequence[Any] = await self._loan.connection.fetch(sql, *args)
        except BaseException as error:
            self._failed = error
            known = explained(error)
            if known is None:
                raise
            raise known from error
        return rows

    async def end(self, failed: BaseException | None = None) -> None:
        """`failed`: what its user met. Raises DatabaseUnavailable."""
        try:
            await self._lender.end(self._loan, failed or self._failed)
        except DRIVER as error:
            known = explained(error)
            if known is None:
                raise
            raise known from error


class Database:
    """The pools of one process. `dsn` may name any login that is, or may become, the application role; `direct_dsn`
    reaches the server itself where a pooler stands between (LISTEN needs it). `patience`: seconds that a reader waits for a
    connection."""

    def __init__(
        self,
        dsn: str,
        *,
        direct_dsn: str | None = None,
        readers: int = 8,
        writers: int = 4,
        statement_timeout: float = 30.0,
        patience: float = CONNECT_TIMEOUT,
    ) -> None:
        self._dsn = dsn
        self._patience = patience
        self._direct_dsn = direct_dsn or dsn
        self._sizes = (readers, writers)
        self._settings = {
            "role": APP_ROLE,
            "timezone": "UTC",
            "datestyle": "ISO, YMD",
            "statement_timeout": str(int(statement_timeout * 1000)),
            "idle_in_transaction_session_timeout": "60000",
            "application_name": "ledgergraph",
        }
        self._writers: asyncpg.Pool[Any] | None = None
        self._readers: Lender | None = None
        self._lookups: Lender | None = None
        self._followers: Lender | None = None
        self._apart = asyncio.Semaphore(APART)

    async def open(self) -> None:
        """Raises DatabaseUnavailable when the server cannot be reached, ConfigurationError when claims would bind nobody."""
        readers, writers = self._sizes
        try:
            async with translated():
                self._writers = await self._pool(writers, None)
                self._readers = await self._lender(readers)
                self._lookups = await self._lender(LOOKUPS)
                self._followers = await self._lender(FOLLOWERS)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        for pool in (self._writers, self._readers, self._lookups, self._followers):
            if pool is not None:
                await pool.close()

    async def __aenter__(self) -> Database:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @asynccontextmanager
    async def snapshot(self, ledger_ids: Iterable[int] | None) -> AsyncIterator[Connection]:
        """A connection inside one REPEATABLE READ READ ONLY transaction that sees only these ledgers."""
        assert self._readers is not None
        async with self._reading(self._readers, ledger_ids) as reading:
            yield reading.connection

    @asynccontextmanager
    async def lookup(self) -> AsyncIterator[Connection]:
        """As `snapshot` of every ledger, for a moment's question while a snapshot is held: from a pool of its own, since
        holders of one pool's connections that wait for another one of the same would wait for each other."""
        assert self._lookups is not None
        async with self._reading(self._lookups, None) as reading:
            yield reading.connection

    @asynccontextmanager
    async def following(self, ledger_ids: Iterable[int] | None) -> AsyncIterator[Reading]:
        """As `snapshot`, for the feed and the streams: from a pool of its own, so that subscribers do not wait for readers."""
        assert self._followers is not None
        async with self._reading(self._followers, ledger_ids) as reading:
            yield reading

    async def read(self, ledger_ids: Iterable[int] | None, *, alone: bool = False) -> Reading:
        """A snapshot that the caller ends; `alone`: for one statement, which needs no transaction to be one."""
        assert self._readers is not None
        return await self._begin(self._readers, ledger_ids, alone=alone)

    @asynccontextmanager
    async def _reading(self, lender: Lender, ledger_ids: Iterable[int] | None) -> AsyncIterator[Reading]:
        reading = await self._begin(lender, ledger_ids)
        failed: BaseException | None = None
        try:
            async with translated():
                yield reading
        except BaseException as error:
            failed = error.__cause__ or error
            raise
        finally:
            await reading.end(failed)

    async def _begin(self, lender: Lender, ledger_ids: Iterable[int] | None, *, alone: bool = False) -> Reading:
        setting = claim(ledger_ids)
        if not _CLAIM.fullmatch(setting):
            raise ValueError("ledger ids are integers")
        async with translated():
            return Reading(lender, await lender.begin(setting, alone=alone))

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Connection]:
        """A connection for writing, outside a transaction; Python values of the driver's own kinds."""
        assert self._writers is not None
        async with translated(), _borrowed(self._writers) as connection:
            yield connection

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Connection]:
        """As `writer`, on a connection of its own: for who reads for seconds, or waits for what a holder of a writer's connection
        has. From the pool it would keep those waiting who post, and so itself."""
        async with self._apart, translated():
            connection = await asyncpg.connect(self._dsn, server_settings=self._settings, timeout=CONNECT_TIMEOUT)
            try:
                yield connection
            finally:
                await _ended(connection)

    async def connect_direct(self) -> asyncpg.Connection[Any]:
        """A connection of its own to the server itself, for LISTEN; the caller closes it."""
        async with translated():
            return await asyncpg.connect(
                self._direct_dsn, server_settings={**self._settings, "statement_timeout": "0"}, timeout=CONNECT_TIMEOUT
            )

    async def _lender(self, size: int) -> Lender:
        return Lender(await self._pool(size, _reads), size, self._patience)

    async def _pool(self, size: int, init: Any) -> asyncpg.Pool[Any]:
        return await asyncpg.create_pool(
            self._dsn,
            min_size=1,
            max_size=size,
            init=init,
            reset=_end_transaction,
            server_settings=self._settings,
            timeout=CONNECT_TIMEOUT,
            statement_cache_size=500,
            max_cacheable_statement_size=64_000,
        )


@asynccontextmanager
async def _borrowed(pool: asyncpg.Pool[Any]) -> AsyncIterator[Connection]:
    """A pool's connection. One that the driver itself finds confused is ended: the pool would lend it again."""
    async with pool.acquire(timeout=CONNECT_TIMEOUT) as connection:
        try:
            yield connection
        except asyncpg.InternalClientError:
            connection.terminate()
            raise


async def _ended(connection: asyncpg.Connection[Any]) -> None:
    try:
        await connection.close(timeout=CONNECT_TIMEOUT)
    except (*DRIVER, TimeoutError):
        connection.terminate()


async def _reads(connection: asyncpg.Connection[Any]) -> None:
    """Claims are row security, which passes owners and superusers by: behind a pooler that ignores the role that is asked for,
    the login decides."""
    if await connection.fetchval("SELECT row_security_active(to_regclass('ledger.ledger'))") is False:
        raise ConfigurationError(f"the database's login sees every ledger: let it be {APP_ROLE}, or a member of it")
    for name in _TEXTS:
        await connection.set_type_codec(name, schema="pg_catalog", format="text", encoder=str, decoder=str)


async def _end_transaction(connection: Connection) -> None:
    """Nothing outlives a transaction here, so the pool need not spend a round trip on RESET ALL."""
    if not connection.is_closed() and connection.is_in_transaction():
        await connection.execute("ROLLBACK")
