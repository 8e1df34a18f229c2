"""Subscriptions: each event is read and shaped once for all who selected the same, and the same bytes go to everyone.

A subscriber first reads what lies behind its cursor page by page, then joins its group, which reads what is new the same
way. One that does not keep up leaves the group and reads for itself again: nothing is lost, nobody waits for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import orjson
import structlog

from gateway.errors import describe
from gateway.execution import Bound, Execution
from gateway.planning.plan import FieldPlan
from resolvers.context import Context, Services
from resolvers.fields import Stream
from sources.caller import Caller
from sources.errors import DatabaseUnavailable, TooMuch
from sources.ledger.feed import Feed, Position
from sources.ledger.model import LedgerRef

log = structlog.get_logger(__name__)

BATCH = 500
"""Sequences that one read covers."""
LAG = 1_000
"""Events that may wait for a subscriber before it reads for itself again."""
RETRY_SECONDS = 0.5


@dataclass(slots=True)
class Subscription:
    """What a stream is of: a plan's field, its arguments and the caller whose ledgers it may read."""

    plan: FieldPlan
    bound: Bound
    caller: Caller
    request_id: str

    @property
    def args(self) -> Mapping[str, Any]:
        args: Mapping[str, Any] = self.bound[self.plan]
        return args

    @property
    def stream(self) -> Stream:
        assert isinstance(self.plan.source, Stream)
        return self.plan.source


@dataclass(frozen=True, slots=True)
class Event:
    position: Position
    body: bytes


@dataclass(slots=True, eq=False)
class _Subscriber:
    events: deque[Event] = field(default_factory=deque)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    lagging: bool = False
    ended: BaseException | None = None

    def push(self, events: list[Event]) -> None:
        if self.lagging:
            return
        if len(self.events) + len(events) > LAG:
            self.lagging = True
        else:
            self.events.extend(events)
        self.ready.set()


class _Group:
    """Subscribers of one ledger with the same selection and filter, all at the group's position."""

    def __init__(
        self, key: Any, streams: Streams, subscription: Subscription, ledger: LedgerRef, position: Position
    ) -> None:
        self.key = key
        self.position = position
        self.subscribers: set[_Subscriber] = set()
        self._streams = streams
        self._subscription = subscription
        self._ledger = ledger
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            while True:
                await self._streams.feed.moved(self._ledger.ledger_id, self.position.sequence)
                events, self.position = await self._streams.read(self._subscription, self._ledger, self.position)
                for subscriber in self.subscribers:
                    subscriber.push(events)
        except Exception as error:
            for subscriber in self.subscribers:
                subscriber.ended = error
                subscriber.ready.set()


class Streams:
    """The groups of one process."""

    def __init__(self, services: Services, feed: Feed, answer_bytes: int) -> None:
        self.feed = feed
        self._services = services
        self._answer_bytes = answer_bytes
        self._groups: dict[Any, _Group] = {}

    @property
    def subscribers(self) -> int:
        return sum(len(group.subscribers) for group in self._groups.values())

    async def events(self, subscription: Subscription) -> AsyncGenerator[bytes, None]:
        """Complete execution results, one for each event, for ever. Raises what the arguments are refused with."""
        ledger, position = await self._start(subscription)
        while True:
            group = self._group(subscription, ledger, position)
            if position.sequence < group.position.sequence:
                page, position = await self.read(subscription, ledger, position)
                for event in page:
                    yield event.body
                continue
            subscriber = _Subscriber()
            group.subscribers.add(subscriber)
            try:
                async with aclosing(_live(subscriber, position.sequence)) as events:
                    async for event in events:
                        yield event.body
                        position = event.position
            finally:
                self._leave(group, subscriber)
            if subscriber.ended is not None:
                raise subscriber.ended

    async def read(
        self, subscription: Subscription, ledger: LedgerRef, position: Position
    ) -> tuple[list[Event], Position]:
        """The next page of events, shaped; waits through a database that does not answer, or that was just migrated.
        Entries that are too large for one page come in smaller ones. Raises TooMuch for a single one that is."""
        limit = BATCH
        while True:
            try:
                return await self._read(subscription, ledger, position, limit)
            except TooMuch:
                if limit == 1:
                    raise
                limit = max(1, limit // 8)
            except (DatabaseUnavailable, asyncpg.InvalidCachedStatementError) as error:
                log.warning("a stream waits for the database", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(
        self, subscription: Subscription, ledger: LedgerRef, position: Position, limit: int
    ) -> tuple[list[Event], Position]:
        caller = replace(subscription.caller, ledgers=frozenset((ledger.code,)))
        plan, want = subscription.plan, subscription.plan.want
        async with Context(self._services, caller) as context:
            rows, reached = await subscription.stream.read(context, ledger, position, limit, want, subscription.args)
            execution = Execution(context, subscription.bound, subscription.request_id, self._answer_bytes)
            answers = await execution.events(plan, [row for row, _ in rows]) if rows else []
        events = []
        for (_, behind), (text, errors) in zip(rows, answers, strict=True):
            failed = b',"errors":' + orjson.dumps(errors) if errors else b""
            events.append(Event(behind, f'{{"data":{{"{plan.name}":{text}}}'.encode() + failed + b"}"))
        return events, reached

    async def _start(self, subscription: Subscription) -> tuple[LedgerRef, Position]:
        async with Context(self._services, subscription.caller) as context:
            ledger, position = await subscription.stream.start(context, subscription.args)
            return ledger, position

    def _group(self, subscription: Subscription, ledger: LedgerRef, position: Position) -> _Group:
        args = {name: value for name, value in subscription.args.items() if name != "after"}
        nested = [repr(value) for plan, value in subscription.bound.items() if plan is not subscription.plan]
        key = (subscription.plan, repr(args), tuple(nested), ledger.ledger_id)
        group = self._groups.get(key)
        if group is None or group.task.done():
            group = self._groups[key] = _Group(key, self, subscription, ledger, position)
        return group

    def _leave(self, group: _Group, subscriber: _Subscriber) -> None:
        group.subscribers.discard(subscriber)
        if not group.subscribers:
            group.task.cancel()
            if self._groups.get(group.key) is group:
                del self._groups[group.key]


async def _live(subscriber: _Subscriber, sequence: int) -> AsyncGenerator[Event, None]:
    """Events of the group behind a sequence, until the subscriber lags or the group ends."""
    while True:
        while subscriber.events:
            event = subscriber.events.popleft()
            if event.position.sequence > sequence:
                yield event
        if subscriber.lagging or subscriber.ended is not None:
            return
        subscriber.ready.clear()
        await subscriber.ready.wait()


def error_result(error: BaseException, request_id: str) -> bytes:
    """A stream's last result."""
    return orjson.dumps({"errors": [describe(error, request_id)]})
