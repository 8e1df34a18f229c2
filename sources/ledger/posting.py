"""Group commit: concurrent postings of one process become batches, one queue and one flusher per ledger.

    post(drafts) -> rules -> queue of the ledger -> flusher takes what is queued -> ledger.post_entries -> outcomes

Database round trips of a batch: one. There is no timer: a flusher takes the next batch the moment the last one returned,
so that an idle ledger answers at once and a busy one fills its batches. Who posts much does not hold up who posts little:
large calls are checked piece by piece, and wait in lanes of their own (`sources.ledger.queue`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg

from sources.errors import DatabaseUnavailable, Overloaded, Unavailable
from sources.ledger.batch import Item, post_batch
from sources.ledger.feed import CHANNEL
from sources.ledger.model import Conflict, Draft, LedgerRef, Outcome, Posted, Reason, Rejected
from sources.ledger.queue import Call, Group, Waiting, atomic_group, single_groups, size_of
from sources.ledger.reasons import CONSTRAINTS, OVERFLOW
from sources.ledger.statistics import Statistics

if TYPE_CHECKING:
    from sources.database.pool import Connection

_PASSING: Final = (
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.PostgresConnectionError,
)
"""Faults of the moment, not of a draft: nothing is gained by trying the halves."""

_LATE: Final = (
    "the ledger store did not take the entries in time; nothing was posted: try again in a second, with growing pauses"
)

_log = logging.getLogger(__name__)


class WritesDatabase(Protocol):
    """Whatever lends connections for writing, as the application role, outside a transaction. A server that is gone is
    DatabaseUnavailable."""

    def writer(self) -> AbstractAsyncContextManager[Connection]: ...


PIECE: Final = 128
"""So many drafts are checked at once; the event loop is free for others before the next ones."""

SMALL: Final = 16
"""Calls of more entries leave a quarter of the queue's places to the others."""

_NOTIFY_SECONDS: Final = 0.01
"""A busy process tells the others so often: a notification is a commit of its own."""


@dataclass(slots=True)
class _Queue:
    """`alarm`: looks for what has waited too long, at the earliest moment when there may be such."""

    ledger: LedgerRef
    waiting: Waiting = field(default_factory=Waiting)
    alarm: asyncio.TimerHandle | None = None


class Poster:
    """Posts drafts for one process. Used from one event loop; `close()` at the end, which waits for what is queued.

    `queue_limit`: how many entries may wait or be under way before `post` raises Overloaded. `wait_seconds`: how long an
    entry may wait until it is sent to the database. `on_posted(ledger_id)` is called after each commit that posted something.
    """

    def __init__(
        self,
        database: WritesDatabase,
        *,
        queue_limit: int,
        wait_seconds: float = 10.0,
        on_posted: Callable[[int], None] | None = None,
    ) -> None:
        self._database = database
        self._queue_limit = queue_limit
        self._wait_seconds = wait_seconds
        self.on_posted = on_posted
        self._occupied = 0
        self._queues: dict[int, _Queue] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._large = asyncio.Lock()
        self._notifier: asyncio.Task[None] | None = None
        self._unannounced = False
        self._statistics = Statistics(database)
        self._closed = False

    async def post(self, drafts: Sequence[Draft], *, atomic: bool = False) -> list[Outcome]:
        """One outcome for each draft, in order. `atomic`: all or none, and all of one ledger (ValueError otherwise).

        Raises Overloaded when the queue is full or nothing was sent to the database in time (nothing was posted),
        DatabaseUnavailable when the outcome is not known: the same drafts with the same keys may be posted again. What was
        sent is waited for. A caller that is cancelled takes nothing back.
        """
        if atomic and len({draft.ledger.ledger_id for draft in drafts}) > 1:
            raise ValueError("the drafts of an atomic batch must be of one ledger")
        if self._closed:
            raise Overloaded("the process is stopping; post to another one, or again in a moment")
        if not drafts:
            return []
        self._occupy(drafts)
        call = Call.of(len(drafts), asyncio.get_running_loop().time() + self._wait_seconds)
        if len(drafts) > PIECE:
            self._start(self._check_large(call, drafts, atomic), "check a large call")
        else:
            self._check(call, drafts, atomic)
        await call.done
        return _unpack(call.outcomes)

    async def close(self) -> None:
        """Takes no more, and returns when all that was queued has its outcome."""
        self._closed = True
        while tasks := [*self._tasks, *([self._notifier] if self._notifier else [])]:
            await asyncio.wait(tasks)
        await self._statistics.close()

    def _occupy(self, drafts: Sequence[Draft]) -> None:
        places = size_of(drafts)
        limit = self._queue_limit if len(drafts) <= SMALL else self._queue_limit * 3 // 4
        if self._occupied and self._occupied + places > limit:
            raise Overloaded(
                "too many entries are waiting to be posted; nothing was posted: try again in a second, with growing pauses"
            )
        self._occupied += places

    def _check(self, call: Call, drafts: Sequence[Draft], atomic: bool) -> None:
        try:
            items = [Item.of(draft) for draft in drafts]
        except BaseException:
            self._occupied -= size_of(drafts)
            raise
        self._enqueue([atomic_group(call, items)] if atomic else single_groups(call, items, 0))

    async def _check_large(self, call: Call, drafts: Sequence[Draft], atomic: bool) -> None:
        """Piece by piece, one call at a time; the first entries may be posted while the last are checked."""
        items: list[Item] = []
        try:
            async with self._large:
                for first in range(0, len(drafts), PIECE):
                    piece = [Item.of(draft) for draft in drafts[first : first + PIECE]]
                    if not atomic:
                        self._enqueue(single_groups(call, piece, first))
                    items += piece
                    await asyncio.sleep(0)
            if atomic:
                self._enqueue([atomic_group(call, items)])
        except BaseException as fault:
            unchecked = 0 if atomic else len(items)
            self._occupied -= size_of(drafts[unchecked:])
            for place in range(unchecked, len(drafts)):
                call.settle(place, fault)
            if not isinstance(fault, Exception):
                raise

    def _enqueue(self, groups: Sequence[Group]) -> None:
        for group in groups:
            ledger = group.items[0].draft.ledger
            queue = self._queues.get(ledger.ledger_id)
            if queue is None:
                queue = self._queues[ledger.ledger_id] = _Queue(ledger)
                self._start(self._flush(queue), f"post to {ledger.code}")
            queue.waiting.add(group)
            if queue.alarm is None:
                queue.alarm = asyncio.get_running_loop().call_at(group.call.deadline, self._end_waiting, queue)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush(self, queue: _Queue) -> None:
        batch: list[Group] = []
        try:
            while queue.waiting:
                batch = queue.waiting.take()
                await self._post(queue.ledger, batch)
                self._occupied -= sum(group.size for group in batch)
                batch = []
        finally:
            del self._queues[queue.ledger.ledger_id]
            if queue.alarm is not None:
                queue.alarm.cancel()
            self._give_up(
                [*batch, *queue.waiting.take_all()], "the process stopped posting; post again with the same key"
            )

    def _end_waiting(self, queue: _Queue) -> None:
        """What was not taken in time was not posted. What is under way stays."""
        loop, queue.alarm = asyncio.get_running_loop(), None
        self._give_up(queue.waiting.take_late(loop.time()), None)
        if queue.waiting:
            queue.alarm = loop.call_at(queue.waiting.next_deadline, self._end_waiting, queue)

    def _give_up(self, groups: Sequence[Group], unknown: str | None) -> None:
        """Nobody may wait for ever. `unknown`: why it is not known what became of them; None: they were never sent."""
        self._occupied -= sum(group.size for group in groups)
        for group in groups:
            group.fail(DatabaseUnavailable(unknown) if unknown else Overloaded(_LATE))

    async def _post(self, ledger: LedgerRef, groups: Sequence[Group]) -> None:
        """Posts a batch; on a fault that a draft may have caused, its halves, until the draft's group is alone."""
        try:
            outcomes = await self._send(ledger, groups)
        except (Unavailable, *_PASSING) as fault:
            for group in groups:
                group.fail(_unavailable(fault))
        except Exception as fault:
            if len(groups) > 1:
                middle = len(groups) // 2
                await self._post(ledger, groups[:middle])
                await self._post(ledger, groups[middle:])
            else:
                await self._refuse(ledger, groups[0], fault)
        else:
            answers = iter(outcomes)
            for group in groups:
                group.settle([next(answers) for _ in group.items])
            self._statistics.count(sum(isinstance(outcome, Posted) for outcome in outcomes))
            if any(isinstance(outcome, Posted) for outcome in outcomes):
                self._announce(ledger.ledger_id)  # replays too: they may be the first attempt's, on a lost connection

    async def _refuse(self, ledger: LedgerRef, group: Group, fault: Exception) -> None:
        """A group that fails alone is refused when it is known what that means; its replays and conflicts stay such."""
        reason = _meaning(fault)
        if reason is None:
            group.fail(fault)
            return
        group.refuse(reason)
        try:
            group.settle(await self._send(ledger, [group]))
        except Exception as another:
            group.fail(_unavailable(another) if isinstance(another, (Unavailable, *_PASSING)) else another)

    async def _send(self, ledger: LedgerRef, groups: Sequence[Group]) -> list[Outcome]:
        """A lost connection leaves the outcome open: the same keys once more either post or replay."""
        items = [group.items for group in groups]
        try:
            async with self._database.writer() as connection:
                return await post_batch(connection, ledger, items)
        except (DatabaseUnavailable, asyncpg.TransactionRollbackError):
            async with self._database.writer() as connection:
                return await post_batch(connection, ledger, items)

    def _announce(self, ledger_id: int) -> None:
        if self.on_posted is not None:
            self.on_posted(ledger_id)
        self._unannounced = True
        if self._notifier is None:
            self._notifier = asyncio.create_task(self._notify(), name="announce postings")

    async def _notify(self) -> None:
        """Wakes other processes: outside the posting transaction, where it would serialise commits; one for all that was
        posted since the last one. They poll too, so a lost one costs a second, not an event, and nothing is durable in it."""
        try:
            while self._unannounced:
                self._unannounced = False
                async with self._database.writer() as connection:
                    await connection.execute(f"SET LOCAL synchronous_commit = off; NOTIFY {CHANNEL}")
                await asyncio.sleep(_NOTIFY_SECONDS)
        except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError) as fault:
            _log.warning("postings were not announced to other processes, which poll: %s", fault)
        finally:
            self._notifier = None


def _meaning(fault: Exception) -> Reason | None:
    if isinstance(fault, asyncpg.NumericValueOutOfRangeError):
        return OVERFLOW
    return CONSTRAINTS.get(getattr(fault, "constraint_name", None) or "")


def _unavailable(fault: Exception) -> DatabaseUnavailable:
    """One for each caller: an exception that several tasks raise collects the traces of all."""
    unavailable = DatabaseUnavailable("the ledger store did not answer in time; post again with the same key")
    unavailable.__cause__ = fault
    return unavailable


def _unpack(outcomes: Sequence[Outcome | BaseException | None]) -> list[Outcome]:
    decided = [outcome for outcome in outcomes if isinstance(outcome, (Posted, Rejected, Conflict))]
    if len(decided) == len(outcomes):
        return decided
    faults = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    late = [fault for fault in faults if isinstance(fault, Overloaded)]
    if len(late) < len(faults):
        raise next(fault for fault in faults if not isinstance(fault, Overloaded))
    if not decided:
        raise late[0]
    raise DatabaseUnavailable(
        f"{len(late)} of {len(outcomes)} entries waited too long and were not posted, and the others may be: post all of "
        "them again with the same keys"
    )
