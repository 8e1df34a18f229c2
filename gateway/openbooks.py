"""The ledger store of one process, opened: enough to post and to verify, without an endpoint."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.authentication import SCOPES
from gateway.config import Settings
from gateway.databases import ready_database
from sources.caller import Caller
from sources.database.pool import Database
from sources.feed import Feed
from sources.ledger.directory import Directory
from sources.ledger.feed import POSTINGS
from sources.ledger.posting import Poster


@dataclass(frozen=True, slots=True)
class Books:
    """What posting and reading need. `feed` tells subscribers of this process what was posted."""

    database: Database
    directory: Directory
    feed: Feed
    poster: Poster


@asynccontextmanager
async def books(settings: Settings) -> AsyncIterator[Books]:
    """The books on a database with this version's schema. Raises ConfigurationError and DatabaseUnavailable."""
    # The pipeline holds one while it waits for the poster's, and whoever decides about documents one while waiting for it.
    writers = max(3, settings.server.pool_size // 3)
    async with ready_database(settings) as server:
        database = Database(
            server.dsn,
            direct_dsn=server.direct_dsn,
            readers=max(1, settings.server.pool_size - writers),
            writers=writers,
            statement_timeout=settings.limits.statement_timeout_seconds,
        )
        async with database, Feed(database) as feed:
            poster = Poster(
                database,
                queue_limit=settings.limits.posting_queue,
                wait_seconds=settings.limits.posting_seconds,
                on_posted=partial(feed.hasten, POSTINGS),
            )
            try:
                yield Books(database, Directory(database), feed, poster)
            finally:
                await poster.close()


def local_caller(subject: str) -> Caller:
    """Who acts by a command on this machine: whoever may read the data directory may do everything."""
    return Caller(subject, SCOPES, None, math.inf)
