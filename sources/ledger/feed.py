"""The feed of posted entries: positions in a ledger's history, and the wake-ups that tell of new ones.

A cursor is the sequence and the first digits of that entry's hash: a restored database, or another ledger, gives
itself away.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from sources.database.pool import Database
from sources.errors import HistoryLost, InvalidCursor
from sources.ledger.filters import entry_conditions
from sources.ledger.model import LedgerRef
from sources.ledger.queries import ENTRY
from sources.reading import Reader, Row, Want

log = structlog.get_logger(__name__)

CHANNEL = "ledgergraph_posted"
PING_SECONDS = 5.0
DIGITS = 8
BEGINNING = "0"
_CURSOR = re.compile(r"([1-9][0-9]{0,17})\.([0-9a-f]{8})", re.ASCII)


def posting_cursor(sequence: int, hash_digits: str) -> str:
    """`hash_digits`: at least the first eight hex digits of the entry's hash."""
    return BEGINNING if sequence == 0 else f"{sequence}.{hash_digits[:DIGITS]}"


@dataclass(frozen=True, slots=True)
class Position:
    """Behind entry `sequence`, whose hash begins with `digits` ("" at the beginning)."""

    sequence: int
    digits: str


async def position_of(reader: Reader, ledger: LedgerRef, cursor: str | None) -> Position:
    """Where a subscriber goes on; None: behind the newest entry. Raises InvalidCursor for what no answer gave out,
    HistoryLost for a cursor of the future, of another ledger, or of history that is gone."""
    if cursor == BEGINNING:
        return Position(0, "")
    if cursor is None:
        newest, _, _ = await _look(reader, ledger, 0, 0)
        _, digits, _ = await _look(reader, ledger, newest, 0)
        return Position(newest, digits)
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidCursor('after must be a cursor of this ledger\'s postings, or "0" for the beginning')
    position = Position(int(match[1]), match[2])
    newest, digits, _ = await _look(reader, ledger, position.sequence, 0)
    _check(ledger, position, newest, digits)
    return position


async def reach(reader: Reader, ledger: LedgerRef, position: Position, limit: int) -> Position:
    """Behind the next `limit` entries, or behind the newest. Raises HistoryLost when the ledger's history no longer holds the
    position."""
    newest, digits, reached_digits = await _look(reader, ledger, position.sequence, limit)
    _check(ledger, position, newest, digits)
    return Position(min(position.sequence + limit, newest), reached_digits)


async def read_postings(
    reader: Reader, ledger: LedgerRef, position: Position, reached: Position, want: Want, filter_: Mapping[str, Any]
) -> list[tuple[Row, Position]]:
    """Entries behind the position, up to and with the reached one, that the filter lets through; each with its own."""
    where = entry_conditions(ledger, filter_)
    where.add("e.sequence > {0}", position.sequence)
    where.add("e.sequence <= {0}", reached.sequence)
    sql = ENTRY.select([*want.columns, "sequence", "digits"], where.sql, "ORDER BY e.sequence")
    rows = await reader.fetch(sql, *where.args)
    return [(row, Position(row[-2], row[-1])) for row in rows]


async def _look(reader: Reader, ledger: LedgerRef, sequence: int, limit: int) -> tuple[int, str, str]:
    """The newest sequence, the digits of the hash at a sequence, and of the one that `limit` further ones reach to."""
    digits = "coalesce((SELECT encode(substring(e.hash, 1, 4), 'hex') FROM ledger.entry e WHERE e.ledger_id = $1 AND e.sequence = {}), '')"
    rows = await reader.fetch(
        f"SELECT h.last_sequence, {digits.format('$2')}, {digits.format('least($2 + $3, h.last_sequence)')} "
        "FROM ledger.head h WHERE h.ledger_id = $1",
        ledger.ledger_id,
        sequence,
        limit,
    )
    newest, at, reached = rows[0] if rows else (0, "", "")
    return newest, at, reached


def _check(ledger: LedgerRef, position: Position, newest: int, digits: str) -> None:
    if position.sequence > newest:
        raise HistoryLost(f"ledger {ledger.code!r} ends at {newest}, before the cursor: read it anew")
    if position.digits != digits:
        raise HistoryLost(f"the cursor does not belong to the history of ledger {ledger.code!r}: read it anew")


class Feed:
    """Tells when ledgers move. One LISTEN connection per process; a look at the heads once a second is the net for a
    process that died between its commit and its NOTIFY, and for a lost connection."""

    def __init__(self, database: Database, *, poll_seconds: float = 1.0) -> None:
        self._database = database
        self._poll = poll_seconds
        self._waiting: dict[
            int, dict[asyncio.Future[None], int]
        ] = {}  # by ledger: who waits, and behind which sequence
        self._look = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Feed:
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def posted(self, ledger_id: int) -> None:
        """This process posted to the ledger: whoever waits for it need not wait for a look at the heads."""
        for waiter in self._waiting.get(ledger_id, ()):
            if not waiter.done():
                waiter.set_result(None)

    async def moved(self, ledger_id: int, sequence: int) -> None:
        """Returns once the ledger's newest entry may be another than this one: later, or earlier where history was lost."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(ledger_id, {})
        waiters[waiter] = sequence
        self._look.set()  # nothing is known of what was posted before someone waited
        try:
            await waiter
        finally:
            del waiters[waiter]
            if not waiters and self._waiting.get(ledger_id) is waiters:
                del self._waiting[ledger_id]

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):  # wait_for loses a cancellation that meets the event
                    await self._look.wait()
            self._look.clear()
            if not self._waiting:
                continue
            try:
                await self._look_at_heads()
            except Exception as error:  # whatever it is: subscribers would wait for ever for a feed that ended
                log.warning("the feed cannot read the ledgers' heads; it tries again", error=repr(error))
                await asyncio.sleep(self._poll)

    async def _look_at_heads(self) -> None:
        watched = list(self._waiting)
        async with self._database.following(watched) as snapshot:
            rows = await snapshot.fetch(
                "SELECT ledger_id, last_sequence FROM ledger.head WHERE ledger_id = ANY($1)", watched
            )
        heads = dict.fromkeys(watched, 0) | dict(rows)
        for ledger_id, newest in heads.items():
            for waiter, sequence in self._waiting.get(ledger_id, {}).items():
                if sequence != newest and not waiter.done():
                    waiter.set_result(None)

    async def _listen(self) -> None:
        while True:
            connection = None
            try:
                connection = await self._database.connect_direct()
                await connection.add_listener(CHANNEL, lambda *_: self._look.set())
                self._look.set()
                while not connection.is_closed():
                    await asyncio.sleep(PING_SECONDS)
                    await connection.execute("SELECT 1", timeout=PING_SECONDS)
            except Exception as error:
                log.warning("the feed cannot listen, or no longer; it connects again", error=repr(error))
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(self._poll)
