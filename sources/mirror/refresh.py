"""Keeps the mirror as fresh as operations ask: each source is pulled once for all who ask at the same time, within a deadline.

In one process a pull is a flight that callers join; across processes a lock of the database lets one of them pull, and the others
take its result. A pull that began before someone asked is not fresh enough for maxAge 0: one more, shared by all who ask
meanwhile, follows it. At the deadline, counted from the pull's start, callers get what is held, and the pull goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from sources.caller import Caller
from sources.database.pool import Database
from sources.documents import Connector, Payslip
from sources.errors import SourceUnavailable
from sources.mirror import freshness, state
from sources.mirror.freshness import Asking, Freshness, Held, Pulled
from sources.mirror.payslips import PayslipDesk
from sources.mirror.pulling import pull
from sources.mirror.settings import SourceSettings

__all__ = ["Asking", "Refresher"]

logger = structlog.get_logger(__name__)

DEADLINE = 2.0
"""Seconds that an operation waits for a source, unless the gateway's limits say otherwise."""

_STOPPING = Pulled(None, "the gateway is stopping.")


@dataclass(eq=False, slots=True)
class _Flight:
    """One pull and those who wait for it. `floor`: it begins no earlier than this. `required`: a copy as of this moment
    satisfies everyone who waits. `opened`: when it was first asked for, by the event loop's clock."""

    floor: datetime
    required: datetime
    opened: float
    begun: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)
    pulled: Pulled = _STOPPING

    def begin(self) -> datetime:
        self.begun = True
        return self.required


class _SourcePulls:
    """One source in this process: the flight under way, and the one that follows it."""

    def __init__(self, database: Database, settings: SourceSettings, connector: Connector) -> None:
        self.settings = settings
        self.connector = connector
        self._database = database
        self._current: _Flight | None = None
        self._queued: _Flight | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def reading(self) -> bool:
        return self._current is not None

    def join(self, now: datetime, required: datetime, ledgers: Mapping[str, int]) -> _Flight:
        """The flight whose pull answers someone who asks now and needs a copy as of `required`."""
        for flight in (self._current, self._queued):
            if flight is not None and not flight.begun:
                flight.floor, flight.required = max(flight.floor, now), max(flight.required, required)
                return flight
            if flight is not None and flight.floor >= required:
                return flight
        flight = _Flight(now, required, asyncio.get_running_loop().time())
        if self._current is None:
            self._current = flight
            self._task = asyncio.create_task(self._fly(ledgers), name=f"pull {self.settings.name}")
        else:
            self._queued = flight
        return flight

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self.connector.close()

    async def _fly(self, ledgers: Mapping[str, int]) -> None:
        try:
            while (flight := self._current) is not None:
                flight.pulled = await pull(self._database, self.settings, self.connector, ledgers, flight.begin)
                flight.done.set()
                self._current, self._queued = self._queued, None
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
        self._sources = {settings.name: _SourcePulls(database, settings, connector) for settings, connector in sources}
        self._deadline = deadline
        self._ledgers: dict[str, int] = {}
        self._slips = PayslipDesk(database, deadline)

    @property
    def configured(self) -> tuple[SourceSettings, ...]:
        """The settings of every source, in their order."""
        return tuple(pulls.settings for pulls in self._sources.values())

    async def start(self) -> None:
        """Begins to read, in the background, every source of which no copy is held. Raises DatabaseUnavailable."""
        if not self._sources:
            return
        now, held, known = await self._look(list(self._sources))
        for name, pulls in self._sources.items():
            if held[name].as_of is None and freshness.missing_ledger(pulls.settings, known) is None:
                pulls.join(now, now, known)

    async def close(self) -> None:
        """Cancels pulls that go on (the next start resumes them) and closes the connectors."""
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
        if not names:
            return {}
        now, held, known = await self._look(names)
        asking = asking or Asking()
        now = asking.at = asking.at or now
        wait = self._deadline if wait is None else min(wait, self._deadline)
        answers: list[Freshness] = []
        waiting = []
        for name in dict.fromkeys(names):
            missing = freshness.missing_ledger(self._sources[name].settings, known, asking.caller)
            if missing is not None:
                answers.append(freshness.unavailable(name, SourceUnavailable(missing)))
            else:
                waiting.append(self._ensure(self._sources[name], now, held[name], known, max_age, wait))
        answers += await asyncio.gather(*waiting)
        return {answer.source: replace(answer, asked_at=now) for answer in answers}

    async def _ensure(
        self,
        pulls: _SourcePulls,
        now: datetime,
        held: Held,
        known: Mapping[str, int],
        max_age: float | None,
        wait: float,
    ) -> Freshness:
        name = pulls.settings.name
        required = now - timedelta(seconds=pulls.settings.max_age if max_age is None else max_age)
        if held.as_of is not None and held.as_of >= required:
            return freshness.fresh(name, held.as_of)
        flight = pulls.join(now, required, known)
        left = flight.opened + self._deadline - asyncio.get_running_loop().time()
        with suppress(TimeoutError):
            await asyncio.wait_for(flight.done.wait(), max(0.0, min(wait, left)))
        if flight.done.is_set() and flight.pulled.error is None:
            return freshness.after_pull(name, flight.pulled)
        _, looked, _ = await self._look([name])  # a pull that begins afresh drops what was held
        if not flight.done.is_set():
            return freshness.at_deadline(name, looked[name].as_of, self._deadline)
        return freshness.after_pull(name, Pulled(looked[name].as_of, flight.pulled.error))

    async def _look(self, names: Sequence[str]) -> tuple[datetime, dict[str, Held], Mapping[str, int]]:
        settings = [self._sources[name].settings for name in names]
        codes = {code for each in settings for code in each.ledgers}
        async with self._database.writer() as connection:
            if not codes <= self._ledgers.keys():
                self._ledgers |= await state.ledger_ids(connection, codes)
            now, held = await state.read(connection, settings)
        return now, held, self._ledgers

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
