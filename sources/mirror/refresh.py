"""Keeps the mirror as fresh as operations ask: each source is pulled once for all who ask at the same time, within a deadline.

In one process a pull is a flight that callers join; across processes a lock of the database lets one of them pull, and the others
take its result. A pull that began before someone asked is not fresh enough for maxAge 0: one more, shared by all who ask
meanwhile, follows it. At the deadline, counted from the pull's start, callers get what is held, and the pull goes on.

Moments within the process are the event loop's clock: who asks for maxAge 0 costs the database nothing but a share of a pull.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from sources.caller import Caller
from sources.connectors.files import FilesConnector
from sources.database.pool import Database, translated
from sources.documents import Connector, Document, Payslip
from sources.errors import InvalidArgument, SourceSyncing, SourceUnavailable
from sources.mirror import freshness, restating, state, submitting
from sources.mirror.freshness import Asking, Freshness, Held, Pulled
from sources.mirror.payslip_rounds import PayslipRounds
from sources.mirror.payslips import PayslipDesk
from sources.mirror.pulling import SourceLock, pull
from sources.mirror.restating import Rest, Restated
from sources.mirror.settings import SourceSettings
from sources.mirror.submitting import Submission

__all__ = ["Asking", "Refresher"]

logger = structlog.get_logger(__name__)

DEADLINE = 2.0
"""Seconds that an operation waits for a source, unless the gateway's limits say otherwise."""

SUBMISSION_SECONDS = 25.0
"""How long a submission waits for a pull that goes on, or for other submissions."""

_STOPPING = Pulled(None, "the gateway is stopping.")


@dataclass(eq=False, slots=True)
class _Flight:
    """One pull and those who wait for it, with moments of the event loop's clock. `required`: a copy as of this moment
    satisfies everyone who waits. `opened`: when it was first asked for. `begun`: when it began, None: not yet."""

    required: float
    opened: float
    begun: float | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)
    pulled: Pulled = _STOPPING

    def begin(self) -> timedelta:
        self.begun = asyncio.get_running_loop().time()
        return timedelta(seconds=self.begun - self.required)

    def answers(self, required: float) -> bool:
        return self.begun is not None and self.begun >= required


class _SourcePulls:
    """One source in this process: the flight under way, the one that follows it, and the last one that ended."""

    def __init__(
        self, database: Database, settings: SourceSettings, connector: Connector, rounds: PayslipRounds
    ) -> None:
        self.settings = settings
        self.connector = connector
        self._rounds = rounds
        self._lock = SourceLock(database, settings.name)
        self._submitting = asyncio.Lock()
        self._submitting_lock = SourceLock(database, settings.name)
        self._landed: _Flight | None = None
        self._current: _Flight | None = None
        self._queued: _Flight | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def reading(self) -> bool:
        return self._current is not None

    def join(self, asked: float, age: float, ledgers: Mapping[str, int]) -> _Flight:
        """The flight whose pull answers someone who asked at this moment for a copy of that age. One that has ended answers
        age 0 alone, for an operation that asks in several places: copies that are held are looked up."""
        required = asked - age
        if age == 0 and self._landed is not None and self._landed.answers(required):
            return self._landed
        for flight in (self._current, self._queued):
            if flight is not None and flight.begun is None:
                flight.required = max(flight.required, required)
                return flight
            if flight is not None and flight.answers(required):
                return flight
        flight = _Flight(required, asyncio.get_running_loop().time())
        if self._current is None:
            self._current = flight
            self._task = asyncio.create_task(self._fly(ledgers), name=f"pull {self.settings.name}")
        else:
            self._queued = flight
        return flight

    async def submit(
        self, groups: Sequence[Sequence[Submission]], submitted_by: str, ledgers: Mapping[str, int]
    ) -> list[submitting.Results]:
        """One at a time in this process; a pull, and other processes, are waited for by the source's lock, for a time."""
        name = self.settings.name
        waiting = asyncio.timeout(SUBMISSION_SECONDS)
        try:
            async with waiting, self._submitting, translated(), self._submitting_lock.held() as connection:
                waiting.reschedule(None)
                return await submitting.submit(connection, self.settings, ledgers, groups, submitted_by)
        except TimeoutError:
            if not waiting.expired():
                raise
            message = f"{name} is being read; nothing of this was taken: send the same again in a moment."
            raise SourceSyncing(message) from None

    async def restate(
        self, rest: Rest | None, tell: Callable[[int, int], None], ledgers: Mapping[str, int]
    ) -> Restated:
        assert isinstance(self.connector, FilesConnector)
        async with self._submitting, translated(), self._submitting_lock.held() as connection:
            return await restating.restate(connection, self.settings, self.connector, ledgers, rest, tell)

    async def close(self) -> None:
        await self._submitting_lock.close()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._lock.close()
        await self.connector.close()

    async def _fly(self, ledgers: Mapping[str, int]) -> None:
        try:
            while (flight := self._current) is not None:
                flight.pulled = await pull(self._lock, self.settings, self.connector, ledgers, flight.begin)
                flight.done.set()
                self._landed, self._current, self._queued = flight, self._queued, None
                if flight.pulled.error is None:
                    self._rounds.begin(self.settings, self.connector, ledgers[self.settings.home])
        finally:
            for left in (self._current, self._queued):
                if left is not None:
                    left.done.set()
            self._current = self._queued = None


class Refresher:
    """The sources of one process. `deadline`: seconds that a caller waits for a source. It owns the connectors."""

    def __init__(
        self, database: Database, sources: Iterable[tuple[SourceSettings, Connector]], *, deadline: float = DEADLINE
    ) -> None:
        self._database = database
        self._slips = PayslipDesk(database, deadline)
        self._rounds = PayslipRounds(self._slips)
        self._sources = {
            settings.name: _SourcePulls(database, settings, connector, self._rounds) for settings, connector in sources
        }
        self._deadline = deadline
        self._ledgers: dict[str, int] = {}

    @property
    def configured(self) -> tuple[SourceSettings, ...]:
        """The settings of every source, in their order."""
        return tuple(pulls.settings for pulls in self._sources.values())

    async def start(self) -> None:
        """Begins to read, in the background, every source of which no copy is held. Raises DatabaseUnavailable."""
        if not self._sources:
            return
        _, held = await self._look(list(self._sources))
        for name, pulls in self._sources.items():
            if held[name].as_of is None and freshness.missing_ledger(pulls.settings, self._ledgers) is None:
                pulls.join(asyncio.get_running_loop().time(), 0, self._ledgers)

    async def close(self) -> None:
        """Cancels pulls that go on (the next start resumes them) and closes the connectors."""
        await self._rounds.close()
        await self._slips.close()
        for pulls in self._sources.values():
            await pulls.close()

    async def ensure(
        self,
        names: Sequence[str],
        max_age: float | None = None,
        wait: float | None = None,
        asking: Asking | None = None,
    ) -> dict[str, Freshness]:
        """How fresh the copies of these sources are, after pulling those older than `max_age` seconds (None: as each source's
        settings say; 0: every one of them). Waits `wait` seconds at most (None: the deadline). `asking`: of an operation that
        asks in several places. Raises DatabaseUnavailable."""
        asking = asking or Asking()
        asking.at = asking.at or asyncio.get_running_loop().time()
        wait = self._deadline if wait is None else min(wait, self._deadline)
        ages = {name: self._sources[name].settings.max_age if max_age is None else max_age for name in names}
        # Who wants a copy as of now takes none that is held.
        looked = [name for name, age in ages.items() if age > 0 or not self._known(name)]
        now, held = await self._look(looked) if looked else (None, {})
        each = [self._ensure(self._sources[name], asking, age, wait, now, held.get(name)) for name, age in ages.items()]
        answers = [await each[0]] if len(each) == 1 else await asyncio.gather(*each)
        return {answer.source: answer for answer in answers}

    async def sync(self, name: str, age: float = 0.0) -> Pulled:
        """Pulls a source unless its copy is at most `age` seconds old, and waits until the pull has come to its end, however long
        that takes. Raises DatabaseUnavailable."""
        pulls, asked = self._sources[name], asyncio.get_running_loop().time()
        if not self._known(name):
            await self._look([name])
        missing = freshness.missing_ledger(pulls.settings, self._ledgers)
        if missing is not None:
            return Pulled(None, missing)
        flight = pulls.join(asked, age, self._ledgers)
        await flight.done.wait()
        return flight.pulled

    async def submit(
        self, name: str, groups: Sequence[Sequence[Submission]], submitted_by: str
    ) -> list[submitting.Results]:
        """Stores documents that somebody submits of a source: see `submitting.submit`. Raises DatabaseUnavailable and
        SourceUnavailable."""
        pulls = self._sources[name]
        if not self._known(name):
            await self._look([name])
        missing = freshness.missing_ledger(pulls.settings, self._ledgers)
        if missing is not None:
            raise SourceUnavailable(missing)
        return await pulls.submit(groups, submitted_by, self._ledgers)

    async def restate(self, name: str, rest: Rest | None, tell: Callable[[int, int], None]) -> Restated:
        """Reads all files of a source once more: see `restating.restate`. Raises InvalidRequest, SourceUnavailable and
        DatabaseUnavailable."""
        if not self.reads_files(name):
            raise InvalidArgument(f"{name} reads no files: leave out --again")
        if not self._known(name):
            await self._look([name])
        missing = freshness.missing_ledger(self._sources[name].settings, self._ledgers)
        if missing is not None:
            raise SourceUnavailable(missing)
        return await self._sources[name].restate(rest, tell, self._ledgers)

    def reads_files(self, name: str) -> bool:
        """Whether a source's documents are in files."""
        return isinstance(self._sources[name].connector, FilesConnector)

    async def read_file(self, name: str, data: bytes, file_name: str) -> Sequence[Document]:
        """What a file states, read as the source reads its own. Raises UnreadableFile."""
        connector = self._sources[name].connector
        assert isinstance(connector, FilesConnector)
        return await connector.read_file(data, file_name)

    async def payslips_read(self, name: str) -> None:
        """Waits until the payslips that entries of the source need were read behind its last pull, as far as they can be now."""
        await self._rounds.ended(name)

    async def _ensure(
        self, pulls: _SourcePulls, asking: Asking, age: float, wait: float, now: datetime | None, held: Held | None
    ) -> Freshness:
        name = pulls.settings.name
        missing = freshness.missing_ledger(pulls.settings, self._ledgers, asking.caller)
        if missing is not None:
            return replace(freshness.unavailable(name, SourceUnavailable(missing)), asked_at=now)
        if now and held and age > 0 and held.as_of is not None and held.as_of >= now - timedelta(seconds=age):
            return replace(freshness.fresh(name, held.as_of), asked_at=now)
        assert asking.at is not None
        flight = pulls.join(asking.at, age, self._ledgers)
        await self._wait(flight, wait)
        if flight.done.is_set() and flight.pulled.error is None:
            return replace(freshness.after_pull(name, flight.pulled), asked_at=now or flight.pulled.as_of)
        later, found = await self._look([name])  # a pull that begins afresh drops what was held
        if not flight.done.is_set():
            answer = freshness.at_deadline(name, found[name].as_of, self._deadline)
        else:
            answer = freshness.after_pull(name, Pulled(found[name].as_of, flight.pulled.error))
        return replace(answer, asked_at=now or later)

    async def _wait(self, flight: _Flight, seconds: float) -> None:
        """For so long at most, and no longer than the deadline behind the flight's opening."""
        if flight.done.is_set():
            return
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout_at(min(loop.time() + seconds, flight.opened + self._deadline)):
                await flight.done.wait()

    async def _look(self, names: Sequence[str]) -> tuple[datetime, dict[str, Held]]:
        """The database's clock, and what is held; learns of ledgers that exist by now."""
        settings = [self._sources[name].settings for name in names]
        async with self._database.writer() as connection:
            if not all(map(self._known, names)):
                codes = {code for each in settings for code in each.ledgers}
                self._ledgers |= await state.ledger_ids(connection, codes)
            return await state.read(connection, settings)

    def _known(self, name: str) -> bool:
        """Whether every ledger that the source feeds is known to exist."""
        return self._sources[name].settings.ledgers <= self._ledgers.keys()

    def status(
        self, name: str, held: Held, known: Container[str], caller: Caller | None = None
    ) -> tuple[freshness.SourceStatus, str | None]:
        """The state of a source and the sentence that explains it to a caller; `known`: codes of the ledgers that exist."""
        pulls = self._sources[name]
        missing = freshness.missing_ledger(pulls.settings, known, caller)
        return freshness.status(held, missing=missing, reading=pulls.reading)

    async def fetch_payslips(
        self, ledger_id: int, source: str, run_ids: Sequence[str], asking: Asking | None = None
    ) -> dict[str, tuple[Payslip, ...] | SourceUnavailable | None]:
        """For each payroll run of the source its payslips, None where the source gives none, or why they could not be read.
        Asks the source for those that are not held yet, once for all who ask, and stores them; `asking`: of the operation,
        which asks for so many and no more (`sources.mirror.payslips`)."""
        return await self._slips.fetch(ledger_id, self._sources[source].connector, source, run_ids, asking or Asking())
