"""What contestants share: one process's engine and reference executor over the same books, and who asks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from benchmarks.books import LEDGER
from gateway.authentication import issue_token
from gateway.config import Settings
from gateway.engine import Engine
from gateway.limits import Limits
from gateway.openbooks import Books
from gateway.reference import Reference
from gateway.requests import GraphQLRequest
from gateway.schema import build, core
from gateway.tokens import signing_secret, token_rules
from resolvers.context import Services
from sources.caller import Caller
from sources.feed import Feed
from sources.mirror.refresh import Refresher

SCOPES = frozenset({"ledger:read", "ledger:post"})
CALLER = Caller(LEDGER, SCOPES, frozenset({LEDGER}), math.inf)


def token(settings: Settings) -> str:
    """What the load generator shows to a gateway over these settings' data directory: a token for an hour."""
    rules = token_rules(settings)
    return issue_token(signing_secret(settings), subject=LEDGER, scopes=SCOPES, ledgers=[LEDGER], ttl=3600, rules=rules)


@dataclass(frozen=True, slots=True)
class Contest:
    """The planned execution and graphql-core, field by field, over the same services. `executing` keeps no answers, `keeping`
    does, as the product does by default."""

    executing: Engine
    keeping: Engine
    reference: Reference

    async def planned(self, query: str, variables: Mapping[str, Any]) -> bytes:
        return await _run(self.executing, query, variables)

    async def kept(self, query: str, variables: Mapping[str, Any]) -> bytes:
        return await _run(self.keeping, query, variables)

    async def field_by_field(self, query: str, variables: Mapping[str, Any]) -> bytes:
        return orjson.dumps(await self.reference.run(query, CALLER, variables))


async def _run(engine: Engine, query: str, variables: Mapping[str, Any]) -> bytes:
    return await engine.run(engine.prepare(GraphQLRequest(query, None, dict(variables), LEDGER), CALLER))


def contest(opened: Books, settings: Settings) -> Contest:
    """As the composition root wires it, without an endpoint."""
    services = Services(
        database=opened.database,
        directory=opened.directory,
        poster=opened.poster,
        refresher=Refresher(opened.database, (), deadline=settings.limits.source_deadline_seconds),
        page_size=settings.limits.page_size,
    )
    return contest_over(services, opened.feed, settings.limits)


def contest_over(services: Services, feed: Feed, limits: Limits) -> Contest:
    executing = replace(limits, answer_cache_bytes=0, fragment_cache_bytes=0)
    return Contest(
        Engine(core(build()), services, feed, executing),
        Engine(core(build()), services, feed, limits),
        Reference(core(build()), services),
    )
