"""Payslips of runs that post: read in rounds behind their source's pulls, as an entry needs them and nobody may ever ask.

A round reads run by run, those first that were tried least, until every run of the source that is final, dated on or after its
cut-over and without its payslips was tried, a few failed, or the connector says that it is near what its source allows
(`is_near_its_limit`): the next pull begins the next round. What is left to do stands in the rows of the runs: a run is put off
for a minute before it is begun, for longer each time, and free again when it changes. So two processes do not read the same one,
unless that takes longer, and then it is stored once; one that dies leaves it to whoever comes after that minute. Payslips that
disagree with their run are read again after some hours: a run does not always show that they were corrected.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

import structlog

from sources.documents import Connector
from sources.errors import DatabaseUnavailable, SourceUnavailable
from sources.mirror.payslips import PayslipDesk, Run, tell
from sources.mirror.settings import SourceSettings

logger = structlog.get_logger(__name__)

FAILURES: Final = 3
"""So many runs fail before a round ends: more of them tell of the source, not of the run."""
LONGEST_PAUSE_MINUTES: Final = 360


class PayslipRounds:
    """One round of each source at a time in this process."""

    def __init__(self, desk: PayslipDesk) -> None:
        self._desk = desk
        self._rounds: dict[str, asyncio.Task[None]] = {}

    def begin(self, settings: SourceSettings, connector: Connector, ledger_id: int) -> None:
        """Begins a round, if the source posts payroll runs and none goes on."""
        name = settings.name
        if settings.post_from is None or "payroll_run" not in settings.gives:
            return
        before = self._rounds.get(name)
        if before is None or before.done():
            going = self._round(name, connector, ledger_id)
            self._rounds[name] = asyncio.create_task(going, name=f"payslips that {name} posts by")

    async def ended(self, source: str) -> None:
        """Waits until the round that goes on, if one does, has come to its end."""
        if source in self._rounds:
            await asyncio.wait((self._rounds[source],))

    async def close(self) -> None:
        for task in self._rounds.values():
            task.cancel()
        await asyncio.gather(*self._rounds.values(), return_exceptions=True)

    async def _round(self, source: str, connector: Connector, ledger_id: int) -> None:
        read = failed = 0
        try:
            while failed < FAILURES and not getattr(connector, "is_near_its_limit", False):
                run = await self._claim(ledger_id, source)
                if run is None:
                    break
                failure = await self._desk.read(run, connector)
                read += failure is None
                if failure is not None:
                    failed += 1
                    await self._note(run, failure)
        except DatabaseUnavailable as fault:
            logger.warning("payslips wait to be read", source=source, reason=str(fault))
        except Exception:
            logger.exception("payslips could not be read", source=source)
        if read or failed:
            logger.info("payslips read", source=source, runs=read, failed=failed)

    async def _claim(self, ledger_id: int, source: str) -> Run | None:
        """The next run to read, put off for whoever else looks for one; None: there is none."""
        async with self._desk.transaction(ledger_id) as connection:
            run_id = await connection.fetchval(_CLAIM, ledger_id, source)
        return None if run_id is None else (ledger_id, source, run_id)

    async def _note(self, run: Run, failure: SourceUnavailable) -> None:
        """Stored with the run, which the pipeline then makes an issue of."""
        async with self._desk.transaction(run[0]) as connection:
            now: datetime | None = await connection.fetchval(_NOTE, *run, str(failure))
            if now is not None:
                await tell(connection, run, now)


_DISAGREES = f"""(held.payslips_at < clock_timestamp() - interval '{LONGEST_PAUSE_MINUTES} minutes' AND EXISTS (
            SELECT FROM mirror.issue found WHERE found.ledger_id = $1 AND found.source = $2 AND found.kind = 'payroll_run'
                AND found.account = '' AND found.external_id = held.external_id AND found.code = 'DISAGREEING_FIGURES'
                AND found.closed_at IS NULL))"""
_CLAIM = f"""
WITH due AS MATERIALIZED (
    SELECT held.external_id, coalesce(held.payslips_attempts, 0) AS attempts
    FROM mirror.payroll_run held JOIN mirror.source_state state ON state.source = held.source
    WHERE held.ledger_id = $1 AND held.source = $2 AND held.payslips_follow
        AND (held.payslips_at IS NULL OR {_DISAGREES})
        AND held.deleted_at IS NULL AND held.missing_since IS NULL
        AND greatest(held.period_end, held.pay_date) >= state.post_from
        AND coalesce(held.payslips_not_before <= clock_timestamp(), true)
    ORDER BY attempts, held.pay_date DESC, held.external_id LIMIT 1 FOR UPDATE OF held SKIP LOCKED
)
UPDATE mirror.payroll_run run SET payslips_at = NULL, payslips_attempts = due.attempts + 1,
    payslips_not_before = clock_timestamp() + interval '1 minute' * least(power(2, least(due.attempts, 16)), {LONGEST_PAUSE_MINUTES})
FROM due
WHERE run.ledger_id = $1 AND run.source = $2 AND run.external_id = due.external_id
RETURNING run.external_id"""
_NOTE = """
UPDATE mirror.payroll_run SET payslips_error = $4
WHERE ledger_id = $1 AND source = $2 AND external_id = $3 AND payslips_at IS NULL RETURNING clock_timestamp()"""
