"""From documents that changed to entries: takes what is due of one ledger, maps, plans, posts and records it.

    claim, take -> map -> plan -> Poster -> settle -> record        (one transaction holds the claim and records)
                                            -> related              (what hangs on these is due, whoever dies before they are recorded)

The entries are posted on the poster's own connections, each under a key that the document gives. A worker that dies leaves
nothing but entries of which nothing is recorded; the next one finds them by their keys and goes on from there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import asyncpg

from sources.database.faults import without_values
from sources.database.pool import Database
from sources.errors import Unavailable
from sources.ledger.posting import Poster
from sources.matching import folding
from sources.matching import worker as matching
from sources.pipeline import by_hand, related, rulesets, taking, todo
from sources.pipeline.model import DocumentStatus, Undoing
from sources.pipeline.recording import Done, counted, record
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.running import Run
from sources.pipeline.taking import Books

if TYPE_CHECKING:
    from sources.database.pool import Connection

BATCH: Final = 500
"""Documents that a run takes at once."""
POLL_SECONDS: Final = 1.0
"""How often is looked for what other processes' pulls, and the time, brought."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What a run did. `taken`: documents; `entries` and `reversals`: that are in the books now; `statuses`: documents by what
    became of them. `matched`: documents that matching looked at. `busy`: another worker has the ledger, and nothing was done.
    `folded`: notes of what is open that were dealt with."""

    taken: int = 0
    entries: int = 0
    reversals: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    busy: bool = False
    matched: int = 0
    folded: int = 0

    @property
    def goes_on(self) -> bool:
        """Whether there may be more to do."""
        return bool(self.taken or self.matched or self.folded)

    def add(self, other: Counts) -> None:
        self.taken += other.taken
        self.matched += other.matched
        self.folded += other.folded
        self.entries += other.entries
        self.reversals += other.reversals
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count


class Pipeline:
    """The worker of one process, used from one event loop. It looks after one ledger at a time; workers of several processes
    take turns at a ledger. `book`: the process's rules, None: of its own."""

    def __init__(self, database: Database, poster: Poster, *, batch: int = BATCH, book: RuleBook | None = None) -> None:
        self._database = database
        self._poster = poster
        self._batch = batch
        self._book = book or RuleBook()
        self._turn = asyncio.Lock()
        self._woken = asyncio.Event()
        self._limits: dict[int, int] = {}
        self._reached: dict[int, set[str]] = {}

    def wake(self) -> None:
        """There may be something to do: `run_forever` looks at once."""
        self._woken.set()

    async def run_forever(self) -> None:
        """Until it is cancelled. Faults are logged, and tried again."""
        while True:
            self._woken.clear()
            try:
                await self.run_all()
            except Exception:
                _log.exception("documents could not be looked for")
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def run_all(self) -> Counts:
        """Every ledger, a batch of each in turn, until nothing is due. A ledger whose documents cannot be posted now is logged,
        and holds up no other. Raises DatabaseUnavailable."""
        total = Counts()
        async with self._database.lookup() as connection:
            waiting = await todo.due_ledgers(connection)
        while waiting:
            waiting = [ledger_id for ledger_id in waiting if await self._goes_on(ledger_id, total)]
        return total

    async def _goes_on(self, ledger_id: int, total: Counts) -> bool:
        try:
            counts = await self.run_once(ledger_id)
        except Unavailable as fault:
            _log.warning("documents of ledger %s wait to be posted: %s", ledger_id, fault)
            return False
        except Exception:
            _log.exception("documents of ledger %s could not be posted", ledger_id)
            return False
        total.add(counts)
        return counts.goes_on

    async def run_ledger(self, ledger_id: int) -> Counts:
        """One ledger, until nothing is due or another worker has it."""
        total = Counts()
        while (counts := await self.run_once(ledger_id)).goes_on:
            total.add(counts)
        total.busy = counts.busy
        return total

    async def run_once(self, ledger_id: int) -> Counts:
        """One batch of a ledger. Raises Unavailable: what was posted until then is recorded by the next run."""
        async with self._turn:
            limit = self._limits.get(ledger_id, self._batch)
            folded = await self._fold(ledger_id)
            try:
                counts = await self._run(ledger_id, limit)
            except asyncpg.TransactionRollbackError as fault:
                raise Unavailable("the documents' transaction was rolled back; they are tried again") from fault
            except Unavailable:
                raise
            except Exception as fault:
                await self._narrow(ledger_id, limit, fault)
                raise
            counts.folded = folded
            if counts.taken:
                self._limits[ledger_id] = min(limit * 2, self._batch)
            return counts

    async def _fold(self, ledger_id: int) -> int:
        """What is open is read just as exactly before it: nothing waits for it that fails."""
        try:
            return await folding.fold(self._database, ledger_id)
        except Unavailable:
            raise
        except Exception:
            _log.exception("what is open of ledger %s could not be brought up to date", ledger_id)
            return 0

    async def _narrow(self, ledger_id: int, limit: int, fault: Exception) -> None:
        """A document that cannot be recorded holds up nobody: the next run takes half as many, and one alone is put off."""
        self._limits[ledger_id] = max(limit // 2, 1)
        if limit > 1:
            return
        async with self._database.writer() as connection, connection.transaction():
            if await todo.claim(connection, ledger_id) and (books := await taking.read_books(connection, ledger_id)):
                first = await todo.take(connection, ledger_id, list(books.cutovers), 1)
                _log.error("the %s cannot be recorded: %s", [str(taken.key) for taken in first], without_values(fault))
                await todo.close(connection, ledger_id, (), dict.fromkeys(first, books.now + _PUT_OFF))

    async def _run(self, ledger_id: int, limit: int) -> Counts:
        async with self._database.writer() as connection:
            counts, new_rules, done = Counts(), None, list[Done]()
            await by_hand.watch(connection, ledger_id)
            async with connection.transaction():
                if not await todo.claim(connection, ledger_id):
                    return Counts(busy=True)
                books = await taking.read_books(connection, ledger_id)
                if books is None or books.rules is None:
                    return counts
                if not books.rules_told:
                    new_rules = books.rules
                else:
                    done = await self._work(connection, books, books.rules, limit)
                    if not done:
                        counts.matched = await self._match(connection, books)
            if new_rules is not None:
                await self._hear_of_rules(connection, ledger_id, new_rules)
            if any(each.gives_up_bill for each in done):
                await _hasten(connection, ledger_id, DocumentStatus.DUPLICATE)
        # With its connection given back: a run that holds one waits for the poster's, of the same pool.
        if new_rules is not None:
            return await self._run(ledger_id, limit)
        return _counts(done) if done else counts

    async def _hear_of_rules(self, connection: Connection, ledger_id: int, version: int) -> None:
        """Whoever is the first to hear of them takes what follows from them, in the transaction that says so: others that became
        active meanwhile are heard of after it. Rules that cannot be used say nothing of control accounts."""
        async with connection.transaction():
            await taking.see(connection, ledger_id)
            if await rulesets.tell(connection, ledger_id, version):
                if await self._book.versions(connection, ledger_id, {version}):
                    standing = await self._book.standing(connection, ledger_id, version)
                    await folding.keep_control_accounts(connection, ledger_id, standing)
                await todo.hasten(connection, ledger_id, [DocumentStatus.ISSUE])

    async def _match(self, connection: Connection, books: Books) -> int:
        """What is to be matched, once nothing is to be posted: so that as much as possible is there to be matched with."""
        assert books.rules is not None
        rules = await self._book.versions(connection, books.ledger.ledger_id, {books.rules})
        if books.rules not in rules:
            return 0
        return await matching.step(connection, books.ledger.ledger_id, rules[books.rules])

    async def _work(self, connection: Connection, books: Books, version: int, limit: int) -> list[Done]:
        reached = self._reached.setdefault(books.ledger.ledger_id, set())
        batch = await taking.take(connection, books, limit, reached)
        if not batch.work:
            return []
        done = await Run(self._book, self._poster, connection, books, version, batch).go()
        if done:
            async with self._database.writer() as beside:
                await related.look_again(beside, books.ledger.ledger_id, books.ledger.functional_currency, done)
            await record(connection, books.ledger.ledger_id, done, books.now)
        return done


async def _hasten(connection: Connection, ledger_id: int, status: DocumentStatus) -> None:
    """Documents that were left so are due now: in a transaction of its own, as a pull may wait for any of these rows."""
    async with connection.transaction():
        await taking.see(connection, ledger_id)
        await todo.hasten(connection, ledger_id, [status])


def _counts(done: Sequence[Done]) -> Counts:
    reversals = sum(isinstance(step, Undoing) for each in done for step in each.entries.values())
    entries = sum(len(each.entries) for each in done) - reversals
    return Counts(len(done), entries, reversals, dict(counted(done)))


_PUT_OFF = timedelta(minutes=15)
