"""Payslips of payroll runs: from the mirror where they are held, else from the source, which is asked once for all.

A source is asked run by run, and allows few requests (Xero: 60 a minute). So one operation asks it for RUNS_AN_OPERATION runs
at most, the others fail; those that were asked for are held then, and asking again goes on. What waits for its turn when the
last who wanted it gives up is not asked for any more.

A listing of runs does not show that a slip changed (its own row may stay the same). Slips of a run that is final are kept until
its row changes. Those of a draft, by the source's word for it (the connector's `draft_statuses`), count as held only while
they are no older than the copy of the runs: whatever maxAge has the runs read anew has the slips of drafts asked for anew.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from sources.database.pool import Database
from sources.documents import Connector, Payslip
from sources.errors import LedgergraphError, SourceUnavailable
from sources.mirror.changes import Changes, posts
from sources.mirror.freshness import Asking
from sources.mirror.rows import Unstorable, payslip_row
from sources.mirror.writing import write_payslips

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sources.database.pool import Connection

logger = structlog.get_logger(__name__)

AT_ONCE = 4
"""Payroll runs that are read from one source at the same time; a source that hangs takes no turns from others."""
RUNS_AN_OPERATION = 20
"""Payroll runs that one operation asks one source for: a third of what Xero allows in a minute."""

Slips = tuple[Payslip, ...] | None
Run = tuple[int, str, str]
"""ledger_id, source and external id of a payroll run."""


@dataclass(eq=False, slots=True)
class _Ask:
    """One question to a source, and how many wait for it. `begun`: it has its turn."""

    task: asyncio.Task[Slips] | None = None
    waiting: int = 0
    begun: bool = False


class PayslipDesk:
    """Single flight per payroll run. `deadline`: seconds that a caller waits."""

    def __init__(self, database: Database, deadline: float) -> None:
        self._database = database
        self._deadline = deadline
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE))
        self._asks: dict[Run, _Ask] = {}

    async def fetch(
        self, ledger_id: int, connector: Connector, source: str, run_ids: Sequence[str], asking: Asking
    ) -> dict[str, Slips | SourceUnavailable]:
        found: dict[str, Slips | SourceUnavailable] = {**await self._held(ledger_id, connector, source, run_ids)}
        wanted = [run_id for run_id in dict.fromkeys(run_ids) if run_id not in found]
        asked = wanted[: max(0, RUNS_AN_OPERATION - asking.payslips[source])]
        asking.payslips[source] += len(asked)
        found |= dict.fromkeys(wanted[len(asked) :], _too_many(source))
        tasks = {run_id: self._join((ledger_id, source, run_id), connector) for run_id in asked}
        try:
            if tasks:
                await asyncio.wait(tasks.values(), timeout=self._deadline)
            return found | {run_id: _outcome(source, task) for run_id, task in tasks.items()}
        finally:
            for run_id in tasks:
                self._leave((ledger_id, source, run_id), tasks[run_id])

    async def read(self, run: Run, connector: Connector) -> SourceUnavailable | None:
        """Reads the payslips of one run, however long that takes, and stores them; together with whoever asks for them meanwhile.
        Answers with why they could not be read, None: they are held."""
        task = self._join(run, connector)
        try:
            await asyncio.wait((task,))
            outcome = _outcome(run[1], task)
        finally:
            self._leave(run, task)
        return outcome if isinstance(outcome, SourceUnavailable) else None

    async def close(self) -> None:
        tasks = [ask.task for ask in self._asks.values() if ask.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _held(
        self, ledger_id: int, connector: Connector, source: str, run_ids: Sequence[str]
    ) -> dict[str, Slips]:
        drafts = list(getattr(connector, "draft_statuses", ()))
        async with self.transaction(ledger_id) as connection:
            runs = await connection.fetch(_RUNS, ledger_id, source, list(run_ids), drafts)
            slips: dict[str, list[Payslip]] = {row["external_id"]: [] for row in runs if row["payslips_given"]}
            for run_id, *values in await connection.fetch(_SLIPS, ledger_id, source, list(slips)):
                slips[run_id].append(Payslip(**dict(zip(_COLUMNS, values, strict=True))))
        none_given: dict[str, Slips] = {row["external_id"]: None for row in runs if not row["payslips_given"]}
        return none_given | {run_id: tuple(each) for run_id, each in slips.items()}

    def _join(self, run: Run, connector: Connector) -> asyncio.Task[Slips]:
        ask = self._asks.setdefault(run, _Ask())
        ask.waiting += 1
        if ask.task is None:
            ask.task = asyncio.create_task(self._ask(ask, run, connector), name=f"payslips of {run[1]}")
            ask.task.add_done_callback(lambda done: self._forget(run, done))
        return ask.task

    def _leave(self, run: Run, task: asyncio.Task[Slips]) -> None:
        ask = self._asks.get(run)
        if ask is None or ask.task is not task:
            return
        ask.waiting -= 1
        if not ask.waiting and not ask.begun:
            del self._asks[run]  # who comes next must not join what is ending
            task.cancel()

    def _forget(self, run: Run, task: asyncio.Task[Slips]) -> None:
        if run in self._asks and self._asks[run].task is task:
            del self._asks[run]
        if not task.cancelled():
            task.exception()  # whoever waits has it too; nobody may be left to

    async def _ask(self, ask: _Ask, run: Run, connector: Connector) -> Slips:
        ledger_id, source, run_id = run
        async with self._turns[source]:
            ask.begun = True
            # Another task or process may have stored them since the caller looked.
            held = await self._held(ledger_id, connector, source, [run_id])
            if run_id in held:
                return held[run_id]
            async with self.transaction(ledger_id) as connection:
                version = await connection.fetchrow(_VERSION, *run)
            try:
                slips = await connector.fetch_payslips(run_id)
                rows = [payslip_row(slip, position) for position, slip in enumerate(slips or ())]
            except LedgergraphError:
                raise
            except Unstorable as error:
                raise SourceUnavailable(f"a payslip of {source} cannot be kept: {error}.") from error
            except Exception as error:
                logger.exception("a connector failed", source=source)
                raise SourceUnavailable("its answer could not be understood; the log says more.") from error
            async with self.transaction(ledger_id) as connection:
                if version and await connection.fetchval(_STORED, *run, *version, slips is not None):
                    await write_payslips(connection, run, rows)
                    await tell(connection, run, version["clock_timestamp"])
            return None if slips is None else tuple([_as_stored(row) for row in rows])

    @asynccontextmanager
    async def transaction(self, ledger_id: int) -> AsyncIterator[Connection]:
        """A transaction that sees this ledger alone."""
        async with self._database.writer() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ledgergraph.ledgers = '{ledger_id:d}'")
            yield connection


async def tell(connection: Connection, run: Run, now: datetime) -> None:
    """The pipeline is to look at the run, which posts by its payslips, too. Last in a transaction."""
    ledger_id, source, run_id = run
    changes = Changes(source, now, posts=await posts(connection, source))
    changes.add("payroll_run", [(ledger_id, run_id)])
    await changes.record(connection)


def _as_stored(row: Mapping[str, Any]) -> Payslip:
    """So that the first answer is the one that later readers get, without characters that no text can hold."""
    return Payslip(**{name: row[name] for name in _COLUMNS})


def _too_many(source: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"{source} is asked for the payslips of {RUNS_AN_OPERATION} payroll runs at a time: ask for smaller pages, or again "
        "for the next ones."
    )


def _outcome(source: str, task: asyncio.Task[Slips]) -> Slips | SourceUnavailable:
    if not task.done():
        return SourceUnavailable(f"{source} did not give the payslips in time; try again in a moment.")
    error = None if task.cancelled() else task.exception()
    if isinstance(error, SourceUnavailable):
        return SourceUnavailable(f"the payslips of {source} could not be read: {error}")
    if task.cancelled():
        return SourceUnavailable("the gateway is stopping; try again in a moment.")
    return task.result()


_COLUMNS = tuple([field.name for field in fields(Payslip)])
_RUNS = """
SELECT external_id, payslips_given FROM mirror.payroll_run JOIN mirror.source_state state USING (source)
WHERE ledger_id = $1 AND source = $2 AND external_id = ANY($3) AND payslips_at IS NOT NULL
    AND (source_status <> ALL($4) OR payslips_at >= state.as_of)"""
_SLIPS = f"""
SELECT run_external_id, {", ".join(_COLUMNS)} FROM mirror.payslip
WHERE ledger_id = $1 AND source = $2 AND run_external_id = ANY($3) ORDER BY run_external_id, position"""
_VERSION = """
SELECT content_hash, clock_timestamp() FROM mirror.payroll_run
WHERE ledger_id = $1 AND source = $2 AND external_id = $3"""
# Not when the run changed meanwhile: its new version is asked for anew.
_STORED = """
UPDATE mirror.payroll_run SET payslips_at = $5, payslips_given = $6, payslips_attempts = NULL, payslips_not_before = NULL,
    payslips_error = NULL
WHERE ledger_id = $1 AND source = $2 AND external_id = $3 AND content_hash = $4 RETURNING true"""
