"""Subscriptions: each event is read and shaped once for all who selected the same, and the same bytes go to everyone.

Every follower stands at a position of its ledger. One task a ledger reads what is new and moves those at the front on;
another one reads for those who are behind it, page by page, until they are at the front: history and what is live are
read alike. A follower whose reader takes no more steps aside, and stands where it was when there is room again: nothing
is lost, nothing is kept for it, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
import structlog

from gateway.errors import describe
from gateway.followers import Follower, Group
from gateway.pages import Pages, Subscription
from gateway.requests import Sink
from resolvers.context import Context, Services
from sources.caller import Caller
from sources.errors import DatabaseUnavailable
from sources.feed import Feed, Log, Position, lost, position_of, reach
from sources.ledger.model import LedgerRef

log = structlog.get_logger(__name__)

Place = tuple[Group | None, Position]
"""Where someone may stand; without a group, a position of which only is asked where it reaches to."""
BATCH = 500
"""Events that one read covers."""
RETRY_SECONDS = 0.5


class LedgerStreams:
    """The groups of one log of a ledger, and the two tasks that read for them. The front is where the ledger ended when it was last
    read; nobody can be far ahead of it, since whoever begins does so where the ledger ends or before."""

    def __init__(self, streams: Streams, log_: Log, ledger: LedgerRef) -> None:
        self.groups: dict[Any, Group] = {}
        self.followers = 0
        self._streams, self._log, self._ledger = streams, log_, ledger
        self._front: Position | None = None
        self._behind = asyncio.Event()
        self._tasks = [asyncio.create_task(self._forever(step)) for step in (self._lead, self._catch_up)]

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def follow(self, key: Any, subscription: Subscription, follower: Follower) -> None:
        """Returns when the follower's reader takes no more. Raises what its stream failed with."""
        group = self.groups.get(key)
        if group is None:
            group = self.groups[key] = Group(subscription)
        follower.aside = asyncio.get_running_loop().create_future()
        group.stand({follower}, follower.position)
        if follower.position != self._front:
            self._behind.set()
        try:
            await follower.aside
        finally:
            group.leave(follower)
            if not group.standing and self.groups.get(key) is group:
                del self.groups[key]

    async def _forever(self, step: Callable[[], Awaitable[None]]) -> None:
        """Through a database that does not answer, or that was just migrated; anything else ends the streams, and their
        subscribers are told."""
        while True:
            try:
                await step()
            except (DatabaseUnavailable, asyncpg.InvalidCachedStatementError) as error:
                log.warning("streams wait for the database", ledger=self._ledger.code, error=str(error))
                self._front = None  # the database that comes back may be a restored one
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:
                self._front = None
                self._fail(error)
                await asyncio.sleep(RETRY_SECONDS)

    def _fail(self, error: Exception, *, beyond: Position | None = None) -> None:
        """Ends the streams of all, or of those alone who stand where the ledger no longer is."""
        for group in list(self.groups.values()):
            for position in list(group.standing):
                if beyond is None or (position.sequence >= beyond.sequence and position != beyond):
                    group.fail(position, error)

    async def _lead(self) -> None:
        """Moves those at the front on when the ledger moved."""
        front = self._front
        if front is None:
            async with self._streams.reading(self._ledger) as reader:
                self._front = await position_of(self._log, reader, self._ledger, None)
            self._fail(lost(self._ledger), beyond=self._front)
        else:
            await self._streams.feed.moved(self._log, self._ledger.ledger_id, front.sequence)
            places: list[Place] = [(group, front) for group in self.groups.values()]
            reached = await self._read([*places, (None, front)], BATCH)
            if self._front is front:
                self._front = reached[front]
        self._behind.set()

    async def _catch_up(self) -> None:
        """Moves those behind the front on by a page, never beyond it."""
        await self._behind.wait()
        front = self._front
        sequence = front.sequence if front is not None else 0
        behind = [
            (group, position)
            for group in self.groups.values()
            for position in group.standing
            if position.sequence < sequence
        ]
        if behind:
            await self._read(behind, BATCH, most=sequence)
        else:
            self._behind.clear()

    async def _read(self, places: Sequence[Place], limit: int, most: int | None = None) -> dict[Position, Position]:
        """A page for each place where someone stands, all in one snapshot; where each position's reached to. What fails ends
        the streams of those alone who stand there."""
        reached: dict[Position, Position] = {}
        left = list(places)
        while left:
            async with self._streams.reading(self._ledger) as reader:
                wanted = [(group.subscription, position) for group, position in left if group is not None]
                pages = Pages(reader, self._ledger, self._streams.answer_bytes, wanted)
                while left:
                    group, position = left.pop()
                    try:
                        if position not in reached:
                            reached[position] = await reach(self._log, reader, self._ledger, position, limit, most)
                        if group is not None and position in group.standing and position != reached[position]:
                            chunks = await pages.page(group.subscription, position, reached[position])
                            group.publish(position, chunks)
                            if chunks[-1].failed:
                                break  # a field's statement that failed has ended the snapshot
                    except (DatabaseUnavailable, asyncpg.InvalidCachedStatementError):
                        raise
                    except Exception as error:
                        if group is None:
                            raise
                        group.fail(position, error)
                        left = _failed(left, pages.unread, error)
                        break
        return reached


def _failed(places: list[Place], unread: tuple[Position, Any] | None, error: Exception) -> list[Place]:
    """The places that are left when what could not be read has failed for all who wanted it."""
    left = []
    for group, position in places:
        if group is not None and (position, group.subscription.reads) == unread:
            group.fail(position, error)
        else:
            left.append((group, position))
    return left


class Streams:
    """The streams of one process."""

    def __init__(self, services: Services, feed: Feed, answer_bytes: int) -> None:
        self.feed = feed
        self._services = services
        self.answer_bytes = answer_bytes
        self._ledgers: dict[tuple[Log, int], LedgerStreams] = {}

    @property
    def subscribers(self) -> int:
        return sum(ledger.followers for ledger in self._ledgers.values())

    @property
    def groups(self) -> int:
        """How many different streams are read."""
        return sum(len(ledger.groups) for ledger in self._ledgers.values())

    async def run(self, subscription: Subscription, sink: Sink) -> None:
        """Gives complete execution results to the sink, one for each event, for ever. Raises what the arguments are refused
        with, and what the stream fails with."""
        ledger, position = await self._start(subscription)
        sink.begin()
        key = subscription.key
        follower = Follower(sink, subscription.request_id, position)
        place = subscription.stream.log, ledger.ledger_id
        streams = self._ledgers.get(place)
        if streams is None:
            streams = self._ledgers[place] = LedgerStreams(self, place[0], ledger)
        streams.followers += 1
        try:
            while True:
                await streams.follow(key, subscription, follower)
                await sink.room()
        finally:
            streams.followers -= 1
            if not streams.followers:
                streams.stop()
                del self._ledgers[place]

    async def _start(self, subscription: Subscription) -> tuple[LedgerRef, Position]:
        async with Context(self._services, subscription.caller) as context:
            seen = await context.ledgers([subscription.args["ledger"]])
            if subscription.args.get("after") is None:
                for ledger in seen:
                    await subscription.stream.log.settle(self._services.database, ledger.ledger_id)
            async with self._services.database.following([ledger.ledger_id for ledger in seen]) as snapshot:
                reader = Context(self._services, subscription.caller, snapshot)
                ledger, position = await subscription.stream.start(reader, subscription.args)
                return ledger, position

    @asynccontextmanager
    async def reading(self, ledger: LedgerRef) -> AsyncIterator[Context]:
        """One snapshot of a ledger."""
        caller = Caller("", frozenset(), frozenset((ledger.code,)), math.inf)
        async with self._services.database.following([ledger.ledger_id]) as snapshot:
            yield Context(self._services, caller, snapshot)


def error_result(error: BaseException, request_id: str) -> bytes:
    """A stream's last result."""
    return orjson.dumps({"errors": [describe(error, request_id)]})
