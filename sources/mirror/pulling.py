"""One pull of one source from its lock to its end. The lock's connection also writes: who loses one, loses both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from sources.database.pool import Database, translated
from sources.documents import Connector, Page
from sources.errors import LedgergraphError, SourceUnavailable
from sources.mirror import state, store
from sources.mirror.freshness import Pulled
from sources.mirror.settings import SourceSettings

if TYPE_CHECKING:
    from sources.database.pool import Connection

logger = structlog.get_logger(__name__)

CLOSE_SECONDS = 5.0


async def pull(
    database: Database,
    settings: SourceSettings,
    connector: Connector,
    ledgers: Mapping[str, int],
    begin: Callable[[], datetime],
) -> Pulled:
    """Pulls what changed, or takes what another process pulled meanwhile. `begin` is called once the lock is held: from then
    on nobody joins this pull; it answers with the moment from which on another's pull would do. Never raises but to be
    cancelled."""
    try:
        async with translated(), _locked(database, settings.name) as connection:
            required = begin()
            _, held = await state.read(connection, [settings])
            before = held[settings.name]
            if before.as_of is not None and before.as_of >= required:
                return Pulled(before.as_of, None)
            if before.last_error and before.last_attempt_at is not None and before.last_attempt_at >= required:
                return Pulled(before.as_of, before.last_error)
            return await _pull(connection, settings, connector, ledgers)
    except LedgergraphError as error:
        return Pulled(None, str(error))
    except Exception:
        logger.exception("a pull failed", source=settings.name)
        return Pulled(None, "an internal error, which the log describes.")


async def _pull(
    connection: Connection, settings: SourceSettings, connector: Connector, ledgers: Mapping[str, int]
) -> Pulled:
    run = await store.begin(connection, settings, ledgers)
    complete, error = False, None
    try:
        async with aclosing(_pages(connector, run.cursor, settings.name)) as pages:
            async for page in pages:
                await store.store_page(connection, run, page)
                complete = page.complete
        if not complete:
            error = "its listing ended before it was complete."
    except SourceUnavailable as failure:
        error = str(failure)
    except Exception:
        if connection.is_closed():
            raise
        logger.exception("a page could not be stored", source=settings.name)
        error = "what it stated could not be stored; the log says more."
    everything = getattr(connector, "lists_everything", False)
    restated = getattr(connector, "restated_problems", ())
    as_of = await store.end(connection, run, error, everything=everything, restated=restated)
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


@asynccontextmanager
async def _locked(database: Database, source: str) -> AsyncIterator[Connection]:
    connection = await database.connect_direct()
    try:
        await state.lock(connection, source)
        yield connection
    finally:
        try:
            await connection.close(timeout=CLOSE_SECONDS)
        except Exception:
            logger.warning("a connection did not close in time", source=source)
            connection.terminate()
