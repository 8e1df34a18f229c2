"""Subscriptions: each event is read and shaped once for all who selected the same, and the same bytes go to everyone.

Every follower stands at a position of its ledger. One task a ledger reads what is new and moves those at the front on;
another one reads for those who are behind it, page by page, until they are at the front: history and what is live are
read alike. A follower whose reader takes no more steps aside, and stands where it was when there is room again: nothing
is lost, nothing is kept for it, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import orjson
import structlog

from gateway.errors import describe
from gateway.execution import Bound, Execution
from gateway.planning.plan import FieldPlan
from gateway.requests import ErrorObject, Results, Sink
from resolvers.context import Context, Services
from resolvers.fields import Stream
from sources.caller import Caller
from sources.errors import DatabaseUnavailable, HistoryLost, TooMuch
from sources.ledger.feed import Feed, Position, position_of, reach
from sources.ledger.model import LedgerRef

log = structlog.get_logger(__name__)

BATCH = 500
"""Sequences that one read covers."""
CHUNK_EVENTS, CHUNK_BYTES = 100, 65_536
"""Of events that go to a reader at once, as far as one event is not more."""
RETRY_SECONDS = 0.5
_LOGGED = 100
_SOMEONE = f"request-{secrets.token_hex(16)}"
"""Stands for each subscriber's request id in the errors of an event; no client knows it."""


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
class Chunk:
    """Events, and the position behind them and behind what the filter left out. `failed`: some have errors."""

    results: Results
    end: Position
    failed: bool

    def results_for(self, request_id: str) -> Results:
        """With the subscriber's own request id in the errors."""
        if not self.failed:
            return self.results
        mine = request_id.encode()
        return Results([body.replace(_SOMEONE.encode(), mine) for body in self.results.bodies])


@dataclass(slots=True, eq=False)
class Follower:
    """One subscription. `aside`: done when its reader takes no more, failed when its stream did."""

    sink: Sink
    request_id: str
    position: Position
    aside: asyncio.Future[None] | None = None

    def take(self, chunks: list[Chunk]) -> bool:
        """Whether its reader took all of them; its position is behind what it took."""
        for chunk in chunks:
            if chunk.results.bodies and not self.sink.offer(chunk.results_for(self.request_id)):
                self.step_aside()
                return False
            self.position = chunk.end
        return True

    def step_aside(self, error: Exception | None = None) -> None:
        if self.aside is not None and not self.aside.done():
            self.aside.set_result(None) if error is None else self.aside.set_exception(error)


@dataclass(slots=True, eq=False)
class Group:
    """Followers of one ledger with the same selection and filter, by where they stand."""

    subscription: Subscription
    standing: dict[Position, set[Follower]] = field(default_factory=dict)

    def stand(self, followers: set[Follower], position: Position) -> None:
        if followers:
            there = self.standing.setdefault(position, followers)
            there |= followers

    def leave(self, follower: Follower) -> None:
        there = self.standing.get(follower.position)
        if there is not None:
            there.discard(follower)
            if not there:
                del self.standing[follower.position]

    def publish(self, position: Position, chunks: list[Chunk]) -> None:
        """What was read behind a position, to all who stand there."""
        followers = self.standing.pop(position, set())
        if any(chunk.failed for chunk in chunks):
            asked = sorted(follower.request_id for follower in followers)
            log.warning("events have errors", logged_as=_SOMEONE, subscribers=asked[:_LOGGED])
        self.stand({follower for follower in followers if follower.take(chunks)}, chunks[-1].end)

    def fail(self, position: Position, error: Exception) -> None:
        for follower in self.standing.pop(position, ()):
            follower.step_aside(error)


class LedgerStreams:
    """The groups of one ledger, and the two tasks that read for them. The front is where the ledger ended when it was last
    read; nobody can be far ahead of it, since whoever begins does so where the ledger ends or before."""

    def __init__(self, streams: Streams, ledger: LedgerRef) -> None:
        self.groups: dict[Any, Group] = {}
        self.followers = 0
        self._streams, self._ledger = streams, ledger
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
                self._front = await position_of(reader, self._ledger, None)
            self._fail(self._lost(), beyond=self._front)
        else:
            await self._streams.feed.moved(self._ledger.ledger_id, front.sequence)
            places: list[tuple[Group | None, Position]] = [(group, front) for group in self.groups.values()]
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

    async def _read(
        self, places: Sequence[tuple[Group | None, Position]], limit: int, most: int | None = None
    ) -> dict[Position, Position]:
        """A page for each place where someone stands, all in one snapshot; where each position's reached to. What fails ends
        the streams of those alone who stand there."""
        reached: dict[Position, Position] = {}
        left = list(places)
        while left:
            async with self._streams.reading(self._ledger) as reader:
                while left:
                    group, position = left.pop()
                    try:
                        if position not in reached:
                            reached[position] = await self._reach(reader, position, limit, most)
                        if group is not None and position in group.standing and position != reached[position]:
                            chunks = await self._streams.page(
                                reader, self._ledger, group.subscription, position, reached[position]
                            )
                            group.publish(position, chunks)
                    except (DatabaseUnavailable, asyncpg.InvalidCachedStatementError):
                        raise
                    except Exception as error:
                        if group is None:
                            raise
                        group.fail(position, error)
                        break  # a statement that failed has ended the snapshot
        return reached

    async def _reach(self, reader: Context, position: Position, limit: int, most: int | None) -> Position:
        limit = limit if most is None else min(limit, most - position.sequence)
        reached = await reach(reader, self._ledger, position, limit)
        if most is not None and reached.sequence < position.sequence + limit:
            raise self._lost()
        return reached

    def _lost(self) -> HistoryLost:
        return HistoryLost(f"ledger {self._ledger.code!r} has lost entries: read it anew")


class Streams:
    """The streams of one process."""

    def __init__(self, services: Services, feed: Feed, answer_bytes: int) -> None:
        self.feed = feed
        self._services = services
        self._answer_bytes = answer_bytes
        self._ledgers: dict[int, LedgerStreams] = {}

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
        key = _key(subscription)
        follower = Follower(sink, subscription.request_id, position)
        streams = self._ledgers.get(ledger.ledger_id)
        if streams is None:
            streams = self._ledgers[ledger.ledger_id] = LedgerStreams(self, ledger)
        streams.followers += 1
        try:
            while True:
                await streams.follow(key, subscription, follower)
                await sink.room()
        finally:
            streams.followers -= 1
            if not streams.followers:
                streams.stop()
                del self._ledgers[ledger.ledger_id]

    async def _start(self, subscription: Subscription) -> tuple[LedgerRef, Position]:
        async with Context(self._services, subscription.caller) as context:
            seen = await context.ledgers([subscription.args["ledger"]])
            async with self._services.database.following([ledger.ledger_id for ledger in seen]) as connection:
                reader = Context(self._services, subscription.caller, connection)
                ledger, position = await subscription.stream.start(reader, subscription.args)
                return ledger, position

    @asynccontextmanager
    async def reading(self, ledger: LedgerRef) -> AsyncIterator[Context]:
        """One snapshot of a ledger."""
        caller = Caller("", frozenset(), frozenset((ledger.code,)), math.inf)
        async with self._services.database.following([ledger.ledger_id]) as connection:
            yield Context(self._services, caller, connection)

    async def page(
        self, reader: Context, ledger: LedgerRef, subscription: Subscription, position: Position, goal: Position
    ) -> list[Chunk]:
        """The events from a position to another one, shaped. Entries that are too large for one page come in a smaller one,
        which ends before. Raises TooMuch for a single one that is."""
        while True:
            try:
                return await self._page(reader, ledger, subscription, position, goal)
            except TooMuch:
                span = goal.sequence - position.sequence
                if span <= 1:
                    raise
                goal = await reach(reader, ledger, position, max(1, span // 8))

    async def _page(
        self, reader: Context, ledger: LedgerRef, subscription: Subscription, position: Position, goal: Position
    ) -> list[Chunk]:
        caller = replace(subscription.caller, ledgers=frozenset((ledger.code,)))
        context = Context(self._services, caller, reader.snapshot)
        plan, args = subscription.plan, subscription.args
        rows = await subscription.stream.read(context, ledger, position, goal, plan.want, args)
        execution = Execution(context, subscription.bound, _SOMEONE, self._answer_bytes)
        answers = await execution.events(plan, [row for row, _ in rows]) if rows else []
        events = [
            (behind, _result(plan.name, text, errors))
            for (_, behind), (text, errors) in zip(rows, answers, strict=True)
        ]
        return _chunks(events, goal, failed=any(errors for _, errors in answers))


def _result(name: str, text: str, errors: list[ErrorObject]) -> bytes:
    failed = b',"errors":' + orjson.dumps(errors) if errors else b""
    return f'{{"data":{{"{name}":{text}}}'.encode() + failed + b"}"


def _chunks(events: list[tuple[Position, bytes]], goal: Position, *, failed: bool) -> list[Chunk]:
    """The events in portions; the last one reaches to the goal, whatever the filter left out before."""
    chunks: list[Chunk] = []
    bodies: list[bytes] = []
    length, last = 0, goal
    for position, body in events:
        if bodies and (len(bodies) >= CHUNK_EVENTS or length + len(body) > CHUNK_BYTES):
            chunks.append(Chunk(Results(bodies), last, failed))
            bodies, length = [], 0
        bodies.append(body)
        length, last = length + len(body), position
    return [*chunks, Chunk(Results(bodies), goal, failed)]


def _key(subscription: Subscription) -> Any:
    """What makes two subscriptions of a ledger the same."""
    args = {name: value for name, value in subscription.args.items() if name != "after"}
    nested = [repr(value) for plan, value in subscription.bound.items() if plan is not subscription.plan]
    return subscription.plan, repr(args), tuple(nested)


def error_result(error: BaseException, request_id: str) -> bytes:
    """A stream's last result."""
    return orjson.dumps({"errors": [describe(error, request_id)]})
