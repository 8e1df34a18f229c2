"""What goes on by itself in a process that serves: sources are pulled on their schedules, or when a webhook wakes them, and the
documents that changed become entries.

Several processes may do so side by side. A pull asks the database whether another process has pulled meanwhile, and the worker
of the pipeline that has a ledger's claim looks after it alone; the others find nothing to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from gateway.rulefiles import provide_rules
from sources.database.pool import Database
from sources.errors import LedgergraphError
from sources.ledger.directory import Directory
from sources.mirror import webhooks
from sources.mirror.freshness import Pulled
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from sources.pipeline.worker import Pipeline

log = structlog.get_logger(__name__)

RETRY_SECONDS: Final = 30.0
"""After a pull that failed, at most."""
WOKEN_SECONDS: Final = 0.5
"""From the beginning of one pull that a webhook woke to the next: what is delivered meanwhile is one pull."""
RULES_SECONDS: Final = 5.0
"""How often is looked for ledgers that are still without rules."""


class Scheduler:
    """Pulls sources, keeps the pipeline going, and sees to it that each ledger whose sources post has rules. `rules`: texts of
    rule files by ledger (see `gateway.rulefiles`)."""

    def __init__(
        self,
        database: Database,
        directory: Directory,
        refresher: Refresher,
        pipeline: Pipeline,
        rules: Mapping[str, tuple[str, str]],
    ) -> None:
        self._database, self._directory = database, directory
        self._refresher, self._pipeline, self._rules = refresher, pipeline, rules
        self._woken = {each.name: asyncio.Event() for each in refresher.configured}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins, if there are sources."""
        configured = self._refresher.configured
        self._tasks += [_begun(f"keep {each.name}", self._keep(each)) for each in configured]
        if any(each.post_from is not None for each in configured):
            self._tasks.append(_begun("rules", self._provide(_posting_ledgers(configured) | self._rules.keys())))
            self._tasks.append(_begun("pipeline", self._pipeline.run_forever()))

    async def close(self) -> None:
        """Ends what goes on. Documents that were being posted are posted once, whatever was reached."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()

    def wake(self, source: str) -> None:
        """Something happened in the source: it is pulled at once, or again WOKEN_SECONDS after the last such pull began."""
        self._woken[source].set()

    # ---------------------------------------------------------------- sources

    async def _keep(self, settings: SourceSettings) -> None:
        woken, age = self._woken[settings.name], settings.period
        clock, rests = asyncio.get_running_loop().time, 0.0
        await self._wake_waiting(settings.name)
        while True:
            wanted = age
            if woken.is_set():
                await asyncio.sleep(rests - clock())
                wanted, rests = 0.0, clock() + WOKEN_SECONDS
            woken.clear()
            pause, age = await self._pull(settings, wanted)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await woken.wait()

    async def _pull(self, settings: SourceSettings, age: float) -> tuple[float, float]:
        """Seconds until the next pull, and the age of a copy, or of another process's failure, that does then."""
        soon = min(settings.period, RETRY_SECONDS)
        try:
            pulled = await self._refresher.sync(settings.name, age)
            await self._close_deliveries(settings, pulled)
        except LedgergraphError as fault:
            log.warning("a source could not be pulled", source=settings.name, reason=str(fault))
            return soon, soon
        except Exception:
            log.exception("a source could not be pulled", source=settings.name)
            return soon, soon
        self._pipeline.wake()
        if pulled.error is not None or pulled.as_of is None:
            return soon, soon
        passed = (datetime.now(UTC) - pulled.as_of).total_seconds()
        return min(max(settings.period - passed, 1.0), settings.period), settings.period

    async def _close_deliveries(self, settings: SourceSettings, pulled: Pulled) -> None:
        if settings.webhook_secrets and pulled.error is None and pulled.as_of is not None:
            async with self._database.writer() as connection:
                await webhooks.close(connection, settings.name, pulled.as_of)

    async def _wake_waiting(self, source: str) -> None:
        """A delivery that a process acknowledged, and did not live to act on."""
        with suppress(LedgergraphError):
            async with self._database.writer() as connection:
                if await webhooks.waiting(connection, [source]):
                    self.wake(source)

    # ---------------------------------------------------------------- rules

    async def _provide(self, codes: Iterable[str]) -> None:
        """Until each ledger has rules; it may be created at any time."""
        left = set(codes)
        while left:
            try:
                left -= await provide_rules(self._database, self._directory, left, self._rules)
            except LedgergraphError as fault:
                log.warning("rules could not be stored", reason=str(fault))
            except Exception:
                log.exception("rules could not be stored")
            self._pipeline.wake()
            await asyncio.sleep(RULES_SECONDS)


def _posting_ledgers(configured: Iterable[SourceSettings]) -> set[str]:
    return {code for each in configured if each.post_from is not None for code in each.ledgers}


def _begun(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)
