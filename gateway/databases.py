"""The database that the settings name: the embedded one, started and migrated, or one of the user's own, checked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.config import Settings
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.database.migrate import check_known, current_revision, head_revision, upgrade
from sources.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """Where the database is: for the gateway's pools, for LISTEN (None: the same), and for migrations."""

    dsn: str
    direct_dsn: str | None
    owner_dsn: str


@asynccontextmanager
async def database_server(settings: Settings) -> AsyncIterator[DatabaseServer]:
    """The server, running; the embedded one stops with the last process that uses it, and is started again when it dies.
    Nothing is migrated. Raises ConfigurationError and DatabaseUnavailable."""
    if settings.database_url is not None:
        yield DatabaseServer(settings.database_url, settings.database_direct_url, settings.database_url)
        return
    async with EmbeddedPostgres(settings.data_dir, watch=True) as server:
        yield DatabaseServer(server.dsn(), None, server.dsn(user=OWNER_ROLE))


@asynccontextmanager
async def ready_database(settings: Settings) -> AsyncIterator[DatabaseServer]:
    """The server with this version's schema: the embedded one is migrated, another one that is behind is refused with
    ConfigurationError."""
    async with database_server(settings) as server:
        current, needed = await current_revision(server.owner_dsn), head_revision()
        if current != needed:
            check_known(current)
            if settings.database_url is not None:
                raise ConfigurationError(
                    f"The database is at revision {current or 'none'}, and this version needs {needed}: "
                    "run `ledgergraph migrate` as the database's owner, or the version that fits the database."
                )
            await upgrade(server.owner_dsn)
        yield server
