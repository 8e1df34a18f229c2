"""The composition root: opens what the settings name, in order, and closes it in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.app import App, Readiness, create_app
from gateway.authentication import Authenticator, SecretAuthenticator
from gateway.config import Settings
from gateway.engine import Engine
from gateway.gauges import SourceGauges
from gateway.jwks import JwksAuthenticator
from gateway.metrics import Metrics
from gateway.openbooks import Books, books
from gateway.rulefiles import read_rules
from gateway.scheduling import Scheduler
from gateway.schema import build, core
from gateway.sourceconfig import connector_for
from gateway.tokens import signing_secret, token_rules
from gateway.webhooks import Webhooks
from resolvers.context import Services
from sources.database.pool import Database
from sources.mirror.refresh import Refresher
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.worker import Pipeline


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
    """The gateway over books that are open, and what goes on by itself in it. Raises ConfigurationError."""
    rules = read_rules(settings.mapping)
    connectors = [(source, connector_for(source)) for source in settings.sources]
    refresher = Refresher(opened.database, connectors, deadline=settings.limits.source_deadline_seconds)
    book = RuleBook()
    pipeline = Pipeline(opened.database, opened.poster, book=book)
    scheduler = Scheduler(opened.database, opened.directory, refresher, pipeline, rules)
    metrics, gauges = Metrics(), SourceGauges(opened.database, [each.name for each in settings.sources])
    metrics.register(gauges, gauges.refresh)
    try:
        await refresher.start()
        scheduler.start()
        services = Services(
            database=opened.database,
            directory=opened.directory,
            poster=opened.poster,
            refresher=refresher,
            page_size=settings.limits.page_size,
            reading_group=settings.limits.reading_group,
            wake_pipeline=pipeline.wake,
            ruled_by_files=frozenset(rules),
            book=book,
        )
        app = create_app(
            Engine(core(build()), services, opened.feed, settings.limits),
            authenticator=_authenticator(settings),
            limits=settings.limits,
            readiness=_readiness(opened.database),
            cors_origins=settings.server.cors_origins,
            compressing=settings.server.compression,
            metrics=metrics,
            webhooks=Webhooks(opened.database, settings.sources, scheduler.wake),
        )
        yield Gateway(app, opened, settings)
    finally:
        await gauges.close()
        await scheduler.close()
        await refresher.close()


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
