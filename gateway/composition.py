"""The composition root: opens what the settings name, in order, and closes it in reverse."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sources.ledger.directory import Directory

from gateway.app import App, Readiness, create_app
from gateway.authentication import SCOPES, Authenticator, SecretAuthenticator
from gateway.config import Settings
from gateway.databases import DatabaseServer, ready_database
from gateway.engine import Engine
from gateway.jwks import JwksAuthenticator
from gateway.schema import build, core
from gateway.sourcekinds import connector_for
from gateway.tokens import signing_secret, token_rules
from resolvers.context import Services
from sources.caller import Caller
from sources.database.pool import Database
from sources.ledger.feed import Feed
from sources.ledger.posting import Poster
from sources.mirror.refresh import Refresher


@dataclass(frozen=True, slots=True)
class Books:
    """The ledger store of one process: enough to post, without an endpoint."""

    database: Database
    directory: Directory
    feed: Feed
    poster: Poster


@asynccontextmanager
async def books(settings: Settings) -> AsyncIterator[Books]:
    """The ledger store, on a database with this version's schema. Raises ConfigurationError and DatabaseUnavailable."""
    async with ready_database(settings) as server, opened_books(settings, server) as opened:
        yield opened


@asynccontextmanager
async def opened_books(settings: Settings, server: DatabaseServer) -> AsyncIterator[Books]:
    """The ledger store on a server that runs."""
    writers = max(2, settings.server.pool_size // 3)
    database = Database(
        server.dsn,
        direct_dsn=server.direct_dsn,
        readers=max(1, settings.server.pool_size - writers),
        writers=writers,
        statement_timeout=settings.limits.statement_timeout_seconds,
    )
    async with database, Feed(database) as feed:
        poster = Poster(database, queue_limit=settings.limits.posting_queue, on_posted=lambda _: feed.wake())
        try:
            yield Books(database, Directory(database), feed, poster)
        finally:
            await poster.close()


@dataclass(frozen=True, slots=True)
class Gateway:
    """One process's gateway: its ASGI application, over its books."""

    app: App
    books: Books
    settings: Settings


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """The whole gateway. Raises ConfigurationError and DatabaseUnavailable."""
    async with books(settings) as opened, gateway_over(settings, opened) as found:
        yield found


@asynccontextmanager
async def gateway_over(settings: Settings, opened: Books) -> AsyncIterator[Gateway]:
    """The gateway over books that are open."""
    deadline = settings.limits.source_deadline_seconds
    connectors = [(source, connector_for(source)) for source in settings.sources]
    refresher = Refresher(opened.database, connectors, deadline=deadline)
    try:
        await refresher.start()
        services = Services(
            database=opened.database,
            directory=opened.directory,
            poster=opened.poster,
            refresher=refresher,
            page_size=settings.limits.page_size,
            source_deadline=deadline,
        )
        app = create_app(
            Engine(core(build()), services, opened.feed, settings.limits),
            authenticator=_authenticator(settings),
            limits=settings.limits,
            readiness=_readiness(opened.database),
            cors_origins=settings.server.cors_origins,
        )
        yield Gateway(app, opened, settings)
    finally:
        await refresher.close()


def local_caller(subject: str) -> Caller:
    """Who acts on this machine by a command: whoever may read the data directory may do everything."""
    return Caller(subject, SCOPES, None, math.inf)


def _authenticator(settings: Settings) -> Authenticator:
    rules = token_rules(settings)
    if settings.jwt.jwks_url is not None:
        return JwksAuthenticator(settings.jwt.jwks_url, rules)
    return SecretAuthenticator(signing_secret(settings), rules)


def _readiness(database: Database) -> Readiness:
    async def check() -> None:
        async with database.snapshot(()):
            return

    return check
