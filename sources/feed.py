"""What streams are read from: logs of a ledger, positions in them, and the wake-ups that tell of something new.

A log numbers what happens in a ledger in the order in which it became visible. A cursor is such a number and a few digits that
belong to the history around it: a restored database, or another ledger, gives itself away.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import structlog

from sources.database.pool import Database
from sources.errors import HistoryLost, InvalidCursor
from sources.ledger.model import LedgerRef
from sources.reading import Reader

log = structlog.get_logger(__name__)

PING_SECONDS = 5.0
DIGITS = 8
BEGINNING = "0"
_CURSOR = re.compile(r"([1-9][0-9]{0,17})\.([0-9a-f]{8})", re.ASCII)


def cursor_of(sequence: int, digits: str) -> str:
    """`digits`: at least the first eight hex digits of the history's mark there."""
    return BEGINNING if sequence == 0 else f"{sequence}.{digits[:DIGITS]}"


@dataclass(frozen=True, slots=True)
class Position:
    """Behind what has the number `sequence`, where the history's mark begins with `digits` ("" at the beginning)."""

    sequence: int
    digits: str


class Look(NamedTuple):
    """The newest number of a log; the digits at the number that was asked for; the number that so many further events reach to,
    and the digits there."""

    newest: int
    digits: str
    reached: int
    reached_digits: str


class Log(Protocol):
    """One sort of history, of which each ledger has its own. Numbers grow, and need not be dense."""

    @property
    def channel(self) -> str:
        """Where PostgreSQL notifies of something new."""
        ...

    async def look(self, reader: Reader, ledger: LedgerRef, sequence: int, limit: int, most: int | None) -> Look:
        """Looks behind `sequence`, at `limit` events at least, if there are so many, none of them beyond the number `most`."""
        ...

    async def heads(self, database: Database, ledger_ids: Sequence[int]) -> Mapping[int, int]:
        """The newest number of each of these ledgers."""
        ...

    async def settle(self, database: Database, ledger_id: int) -> None:
        """Whatever was committed before this call has its number afterwards."""
        ...


async def position_of(log_: Log, reader: Reader, ledger: LedgerRef, cursor: str | None) -> Position:
    """Where a subscriber goes on; None: behind the newest event. Raises InvalidCursor for what no answer gave out,
    HistoryLost for a cursor of the future, of another ledger, or of history that is gone."""
    if cursor == BEGINNING:
        return Position(0, "")
    if cursor is None:
        newest = (await log_.look(reader, ledger, 0, 0, None)).newest
        return Position(newest, (await log_.look(reader, ledger, newest, 0, None)).digits)
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidCursor('after must be a cursor of this ledger\'s stream, or "0" for the beginning')
    position = Position(int(match[1]), match[2])
    _check(ledger, position, await log_.look(reader, ledger, position.sequence, 0, None))
    return position


async def reach(
    log_: Log, reader: Reader, ledger: LedgerRef, position: Position, limit: int, most: int | None = None
) -> Position:
    """Behind the next `limit` events, none of them beyond the number `most`, or behind the newest. Raises HistoryLost when the
    ledger's history no longer holds the position, or `most`."""
    found = await log_.look(reader, ledger, position.sequence, limit, most)
    _check(ledger, position, found)
    if most is not None and found.newest < most:
        raise lost(ledger)
    return Position(found.reached, found.reached_digits)


def lost(ledger: LedgerRef) -> HistoryLost:
    return HistoryLost(f"ledger {ledger.code!r} has lost history: read it anew")


def _check(ledger: LedgerRef, position: Position, found: Look) -> None:
    if position.sequence > found.newest:
        raise HistoryLost(f"ledger {ledger.code!r} ends at {found.newest}, before the cursor: read it anew")
    if position.digits != found.digits:
        raise HistoryLost(f"the cursor does not belong to the history of ledger {ledger.code!r}: read it anew")


@dataclass(eq=False, slots=True)
class _Watch:
    """Who waits for one log: by ledger, and behind which number. `look`: there may be something new."""

    waiting: dict[int, dict[asyncio.Future[None], int]] = field(default_factory=dict)
    look: asyncio.Event = field(default_factory=asyncio.Event)


class Feed:
    """Tells when ledgers move. One LISTEN connection per process, for the logs that anybody waited for; a look at the heads once
    a second is the net for a process that died between its commit and its NOTIFY, and for a lost connection."""

    def __init__(self, database: Database, *, poll_seconds: float = 1.0) -> None:
        self._database = database
        self._poll = poll_seconds
        self._watches: dict[Log, _Watch] = {}
        self._channels = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Feed:
        self._tasks.append(asyncio.create_task(self._listen()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hasten(self, log_: Log, ledger_id: int) -> None:
        """This process wrote to the ledger: whoever waits for it need not wait for a look at the heads."""
        watch = self._watches.get(log_)
        for waiter in watch.waiting.get(ledger_id, ()) if watch else ():
            if not waiter.done():
                waiter.set_result(None)

    async def moved(self, log_: Log, ledger_id: int, sequence: int) -> None:
        """Returns once the newest number of the ledger may be another than this one: later, or earlier where history was lost."""
        watch = self._watch(log_)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = watch.waiting.setdefault(ledger_id, {})
        waiters[waiter] = sequence
        watch.look.set()  # nothing is known of what was written before someone waited
        try:
            await waiter
        finally:
            del waiters[waiter]
            if not waiters and watch.waiting.get(ledger_id) is waiters:
                del watch.waiting[ledger_id]

    def _watch(self, log_: Log) -> _Watch:
        watch = self._watches.get(log_)
        if watch is None:
            watch = self._watches[log_] = _Watch()
            self._tasks.append(asyncio.create_task(self._look_forever(log_, watch)))
            self._channels.set()
        return watch

    async def _look_forever(self, log_: Log, watch: _Watch) -> None:
        while True:
            await _set_within(watch.look, self._poll)
            watch.look.clear()
            if not watch.waiting:
                continue
            try:
                await self._look(log_, watch)
            except Exception as error:  # whatever it is: subscribers would wait for ever for a feed that ended
                log.warning("the feed cannot read the ledgers' heads; it tries again", error=repr(error))
                await asyncio.sleep(self._poll)

    async def _look(self, log_: Log, watch: _Watch) -> None:
        heads = await log_.heads(self._database, list(watch.waiting))
        for ledger_id, newest in heads.items():
            for waiter, sequence in watch.waiting.get(ledger_id, {}).items():
                if sequence != newest and not waiter.done():
                    waiter.set_result(None)

    async def _listen(self) -> None:
        while True:
            connection = None
            heard: set[Log] = set()
            try:
                connection = await self._database.connect_direct()
                while not connection.is_closed():
                    self._channels.clear()
                    for log_, watch in list(self._watches.items()):
                        if log_ not in heard:
                            await connection.add_listener(log_.channel, lambda *_, watch=watch: watch.look.set())
                            heard.add(log_)
                            watch.look.set()
                    await _set_within(self._channels, PING_SECONDS)
                    await connection.execute("SELECT 1", timeout=PING_SECONDS)
            except Exception as error:
                log.warning("the feed cannot listen, or no longer; it connects again", error=repr(error))
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(self._poll)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # wait_for loses a cancellation that meets the event
            await event.wait()
