"""One pull of one source from its lock to its end. The lock's connection also writes: who loses one, loses both.

Round trips of a pull that finds nothing: lock, standing, end, unlock. Its connection stays open a while for the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from sources.database.pool import Database, translated
from sources.documents import Connector, Page
from sources.errors import LedgergraphError, SourceUnavailable
from sources.mirror import state, store
from sources.mirror.freshness import Pulled
from sources.mirror.rereading import read_again
from sources.mirror.settings import SourceSettings

if TYPE_CHECKING:
    from sources.database.pool import Connection

logger = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0
IDLE_SECONDS = 10.0
"""How long a source's connection stays open when nobody pulls the source."""


async def pull(
    lock: SourceLock,
    settings: SourceSettings,
    connector: Connector,
    ledgers: Mapping[str, int],
    begin: Callable[[], timedelta],
) -> Pulled:
    """Pulls what changed, or takes what another process pulled meanwhile. `begin` is called once the lock is held: from then
    on nobody joins this pull; it answers with the age up to which another's pull would do. Never raises but to be
    cancelled."""
    try:
        async with translated(), lock.held() as connection:
            age = begin()
            found = await state.standing(connection, settings, ledgers[settings.home])
            required, before = found.now - age, found.held
            if before.as_of is not None and before.as_of >= required:
                return Pulled(before.as_of, None)
            if before.last_error and before.last_attempt_at is not None and before.last_attempt_at >= required:
                return Pulled(before.as_of, before.last_error)
            return await _pull(connection, settings, connector, ledgers, found)
    except LedgergraphError as error:
        return Pulled(None, str(error))
    except Exception:
        logger.exception("a pull failed", source=settings.name)
        return Pulled(None, "an internal error, which the log describes.")


async def _pull(
    connection: Connection,
    settings: SourceSettings,
    connector: Connector,
    ledgers: Mapping[str, int],
    found: state.Standing,
) -> Pulled:
    run = await store.begin(connection, settings, ledgers, found)
    complete, error = False, None
    try:
        async with (
            aclosing(_pages(connector, run.cursor, settings.name)) as pages,
            aclosing(pages if getattr(connector, "waits_for_storing", False) else _ahead(pages)) as ahead,
        ):
            async for page in ahead:
                # Some list everything at times: what they say counts from the first page on, and never what they said before.
                run.remembers = getattr(connector, "lists_everything", False)
                await store.store_page(connection, run, page)
                complete = page.complete
        if complete:
            await read_again(connection, run, connector)
        else:
            error = "its listing ended before it was complete."
    except SourceUnavailable as failure:
        error = str(failure)
    except Exception:
        if connection.is_closed():
            raise
        logger.exception("a page could not be stored", source=settings.name)
        error = "what it stated could not be stored; the log says more."
    restated = getattr(connector, "restated_problems", ())
    as_of = await store.end(connection, run, error, everything=run.remembers, restated=restated)
    logger.info(
        "source pulled",
        source=settings.name,
        pages=run.pages,
        documents=run.documents,
        changed=run.changed,
        deleted=run.deleted,
        problems=len(run.problems),
        error=error,
    )
    return Pulled(as_of, error)


async def _ahead(pages: AsyncIterator[Page]) -> AsyncGenerator[Page, None]:
    """The same pages, each of them asked for while the one before it is stored."""

    async def following() -> Page | None:
        return await anext(pages, None)

    task = asyncio.create_task(following())
    try:
        while (page := await task) is not None:
            task = asyncio.create_task(following())
            yield page
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _pages(connector: Connector, cursor: str | None, source: str) -> AsyncGenerator[Page, None]:
    """The connector's pages; whatever it raises is SourceUnavailable."""
    pages = connector.pull(cursor)
    try:
        async for page in pages:
            yield page
    except SourceUnavailable:
        raise
    except Exception as error:
        logger.exception("a connector failed", source=source)
        raise SourceUnavailable("its answer could not be understood; the log says more.") from error
    finally:
        close = getattr(pages, "aclose", None)
        if close is not None:
            await close()


class SourceLock:
    """The right to pull one source, which one process has at a time, and the connection that holds it."""

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self._connection: Connection | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Connection]:
        """The connection, which nobody else pulls with meanwhile. It is closed unless all went well."""
        if self._idle is not None:
            self._idle.cancel()
        try:
            connection = await self._open()
            await state.lock(connection, self._source)
            yield connection
            await state.unlock(connection, self._source)
        except BaseException:
            await self.close()
            raise
        self._idle = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._close_later)

    async def close(self) -> None:
        """Ends the connection, and with it the right."""
        if self._idle is not None:
            self._idle.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._end(connection)

    async def _end(self, connection: Connection) -> None:
        try:
            await connection.close(timeout=CLOSE_SECONDS)
        except Exception:
            logger.warning("a connection did not close in time", source=self._source)
            connection.terminate()

    async def _open(self) -> Connection:
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await self._database.connect_direct()
            await state.prepare(connection)
        return connection

    def _close_later(self) -> None:
        """The connection is taken away at once, so that no pull that begins meanwhile gets it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._closing = asyncio.create_task(self._end(connection), name=f"close {self._source}")
