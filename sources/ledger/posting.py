"""Group commit: concurrent postings of one process become batches, one queue and one flusher per ledger.

    post(drafts) -> rules -> queue of the ledger -> flusher takes what is queued -> ledger.post_entries -> outcomes

Database round trips of a batch: one. There is no timer: a flusher takes the next batch the moment the last one returned,
so that an idle ledger answers at once and a busy one fills its batches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

import asyncpg

from sources.errors import DatabaseUnavailable, Overloaded, Unavailable
from sources.ledger.batch import Item, post_batch
from sources.ledger.feed import CHANNEL
from sources.ledger.model import Draft, LedgerRef, Outcome, Posted, Reason
from sources.ledger.queue import Call, Group, atomic_group, take
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

_log = logging.getLogger(__name__)


class WritesDatabase(Protocol):
    """Whatever lends connections for writing, as the application role, outside a transaction. A server that is gone is
    DatabaseUnavailable."""

    def writer(self) -> AbstractAsyncContextManager[Connection]: ...


@dataclass(slots=True)
class _Queue:
    ledger: LedgerRef
    groups: deque[Group] = field(default_factory=deque)


class Poster:
    """Posts drafts for one process. Used from one event loop; `close()` at the end, which waits for what is queued.

    `queue_limit`: how many entries may wait or be under way before `post` raises Overloaded. `on_posted(ledger_id)` is
    called after each commit that posted something.
    """

    def __init__(
        self, database: WritesDatabase, *, queue_limit: int, on_posted: Callable[[int], None] | None = None
    ) -> None:
        self._database = database
        self._queue_limit = queue_limit
        self.on_posted = on_posted
        self._waiting = 0
        self._queues: dict[int, _Queue] = {}
        self._flushers: set[asyncio.Task[None]] = set()
        self._notifier: asyncio.Task[None] | None = None
        self._unannounced = False
        self._statistics = Statistics(database)
        self._closed = False

    async def post(self, drafts: Sequence[Draft], *, atomic: bool = False) -> list[Outcome]:
        """One outcome for each draft, in order. `atomic`: all or none, and all of one ledger (ValueError otherwise).

        Raises Overloaded when the queue is full (nothing was done), DatabaseUnavailable when the outcome is not known:
        the same drafts with the same keys may be posted again. A caller that is cancelled takes nothing back.
        """
        if atomic and len({draft.ledger.ledger_id for draft in drafts}) > 1:
            raise ValueError("the drafts of an atomic batch must be of one ledger")
        if self._closed:
            raise Overloaded("the process is stopping; post to another one, or again in a moment")
        if not drafts:
            return []
        call = Call(asyncio.get_running_loop().create_future(), [None] * len(drafts), len(drafts))
        items = [Item.of(draft) for draft in drafts]
        groups = [atomic_group(call, items)] if atomic else [Group(call, [item], [[n]]) for n, item in enumerate(items)]
        self._enqueue(groups)
        await call.done
        return _unpack(call.outcomes)

    async def close(self) -> None:
        """Takes no more, and returns when all that was queued has its outcome."""
        self._closed = True
        while tasks := [*self._flushers, *([self._notifier] if self._notifier else [])]:
            await asyncio.wait(tasks)
        await self._statistics.close()

    def _enqueue(self, groups: Sequence[Group]) -> None:
        size = sum(group.size for group in groups)
        if self._waiting and self._waiting + size > self._queue_limit:
            raise Overloaded("too many entries are waiting to be posted; nothing was posted: try again in a moment")
        self._waiting += size
        for group in groups:
            ledger = group.items[0].draft.ledger
            queue = self._queues.get(ledger.ledger_id)
            if queue is None:
                queue = self._queues[ledger.ledger_id] = _Queue(ledger)
                flusher = asyncio.create_task(self._flush(queue), name=f"post to {ledger.code}")
                self._flushers.add(flusher)
                flusher.add_done_callback(self._flushers.discard)
            queue.groups.append(group)

    async def _flush(self, queue: _Queue) -> None:
        batch: list[Group] = []
        try:
            while queue.groups:
                batch = take(queue.groups)
                await self._post(queue.ledger, batch)
                self._waiting -= sum(group.size for group in batch)
                batch = []
        finally:
            del self._queues[queue.ledger.ledger_id]
            self._give_up([*batch, *queue.groups])

    def _give_up(self, groups: Iterable[Group]) -> None:
        """The flusher itself was stopped: nobody may wait for ever."""
        for group in groups:
            self._waiting -= group.size
            group.fail(DatabaseUnavailable("the process stopped posting; post again with the same key"))

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
        posted while the last one was under way. They poll too, so a lost one costs a second, not an event."""
        try:
            while self._unannounced:
                self._unannounced = False
                async with self._database.writer() as connection:
                    await connection.execute(f"NOTIFY {CHANNEL}")
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
    decided: list[Outcome] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
        assert outcome is not None
        decided.append(outcome)
    return decided
