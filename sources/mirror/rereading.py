"""Asks once more for records that could not be read: they may be mended at the source without a new time of change, or a newer
version of their connector reads them. Connectors that read everything each time need no asking.

A record waits as long as an issue of a document that is tried again (`issues`): 2, 4, 8 … minutes, at most six hours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from sources.documents import Connector
from sources.errors import SourceUnavailable
from sources.mirror import issues, store
from sources.mirror.store import Run

if TYPE_CHECKING:
    from sources.database.pool import Connection

logger = structlog.get_logger(__name__)

AT_ONCE = 50
"""Records that one pull asks for again."""
SECONDS = 30.0
"""How long a pull asks for them."""


async def read_again(connection: Connection, run: Run, connector: Connector) -> None:
    """After the last page of a pull: the issues of records that are read now, or that are gone, close. A source that fails at it
    was read all the same: they are tried again later."""
    read = getattr(connector, "read_again", None)
    if read is None or run.remembers or not run.found.held.problems or getattr(connector, "is_near_its_limit", False):
        return
    found = await issues.due(connection, run.home_id, run.source, run.started_at, AT_ONCE)
    wanted = [each for each in found if issues.cause_of(each) not in run.problems]
    if not wanted:
        return
    try:
        async with asyncio.timeout(SECONDS):
            page = await read(run.reached, wanted)
        await store.store_page(connection, run, page)
    except Exception as error:
        if connection.is_closed():
            raise
        if not isinstance(error, (SourceUnavailable, TimeoutError)):
            logger.exception("records could not be read again", source=run.source)
        logger.info("source_not_read_again", source=run.source, records=len(wanted), reason=str(error))
        await issues.put_off(connection, run.home_id, run.source, wanted, run.started_at)
        return
    well = {issues.cause_of(each) for each in wanted} - run.problems
    await issues.close_causes(connection, run.home_id, run.source, well, run.started_at)
    logger.info("source_read_again", source=run.source, records=len(wanted), well=len(well))
