"""Keeps the sample company alive: its systems change by themselves, one of them is down now and then, and the console tells what
becomes of it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from gateway.demo.activity import MOST_ACTS, Activity
from gateway.demo.rulebooks import provide_rates
from gateway.demo.systems import Fuse, Systems
from gateway.openbooks import Books
from sources.errors import LedgergraphError
from sources.mirror import freshness, state
from sources.mirror.settings import SourceSettings
from sources.money import EXPONENTS, format_minor
from sources.pipeline import news

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_LATE = timedelta(minutes=1)
"""An issue that is written within a minute of its moment is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two acts; until Stripe is down first, for how long, and between two such times."""

    act: float = 3.0
    first_outage: float = 90.0
    outage: float = 60.0
    next_outage: float = 600.0


@asynccontextmanager
async def alive(
    opened: Books, systems: Systems, pace: Pace, say: Callable[[str], None], adds_rule: str
) -> AsyncIterator[None]:
    """While the block runs. `say`: prints a line. `adds_rule`: the command that adds the rule that is missing."""
    tasks = [
        _begun("acts", _act(opened, systems.activity, pace.act, say)),
        _begun("outages", _fail(systems.stripe, pace, say)),
        _begun("console", _Console(opened, systems.sources, say, adds_rule).run()),
    ]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _begun(name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.create_task(_told(name, work), name=name)


async def _told(name: str, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:
        log.exception("the demo stands still", part=name)


async def _act(opened: Books, activity: Activity, pause: float, say: Callable[[str], None]) -> None:
    day = None
    while True:
        now = datetime.now(UTC)
        if now.date() != day:
            await provide_rates(opened, now.date())
            day = now.date()
        await asyncio.sleep(pause)
        if not activity.act(int(time.time())):
            say(f"the systems rest: {MOST_ACTS:,} things happened there. Begin anew with --fresh")
            return


async def _fail(fuse: Fuse, pace: Pace, say: Callable[[str], None]) -> None:
    for number in itertools.count():
        await asyncio.sleep(pace.next_outage if number else pace.first_outage)
        fuse.blown = True
        say(f"Stripe is down for {pace.outage:.0f} s. To see it: {{ sources {{ name status lastError }} }}")
        await asyncio.sleep(pace.outage)
        fuse.blown = False
        say("Stripe answers again; it is asked within half a minute, and what happened meanwhile is posted")


class _Console:
    def __init__(
        self, opened: Books, sources: tuple[SourceSettings, ...], say: Callable[[str], None], adds_rule: str
    ) -> None:
        self._opened, self._sources, self._say, self._adds_rule = opened, sources, say, adds_rule
        self._told: dict[int, int] = {}
        self._proposed: dict[int, int] = {}
        self._matched: dict[int, int] = {}
        self._since = datetime.now(UTC)
        self._issues: set[news.IssueNews] = set()
        self._status: dict[str, freshness.SourceStatus] = {}

    async def run(self) -> None:
        async with self._opened.database.writer() as connection, connection.transaction():
            self._told = await news.newest(connection)
        while True:
            with suppress(LedgergraphError):
                await self._look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self) -> None:
        async with self._opened.database.writer() as connection, connection.transaction():
            entries = await news.entries_behind(connection, self._told)
            proposals = await news.proposals_behind(connection, self._proposed)
            matches = await news.matches_behind(connection, self._matched)
            issues = await news.issues_behind(connection, self._since - _LATE)
            _, held = await state.read(connection, self._sources)
        for entry in entries:
            self._told[entry.ledger_id] = entry.sequence
            amount = format_minor(entry.total, EXPONENTS[entry.currency])
            self._say(f"{entry.ledger} {entry.sequence:>6}  {amount:>12} {entry.currency}  {entry.description}")
        for proposal in sorted(proposals):
            self._proposed[proposal.ledger_id] = proposal.proposal_id
            self._say(f"{proposal.ledger} proposal {proposal.proposal_id} waits for approval: {proposal.description}")
        for match in sorted(matches):
            self._matched[match.ledger_id] = match.match_id
            self._say(
                f"{match.ledger} match {match.match_id} waits for a decision: score {match.score}, {match.numbers}"
            )
        self._tell_issues(issues)
        for name, each in held.items():
            self._tell_status(name, each)

    def _tell_issues(self, issues: list[news.IssueNews]) -> None:
        for issue in issues:
            if issue in self._issues or issue.at < self._since:
                continue
            self._issues.add(issue)
            if issue.closed:
                self._say(f"issue closed: {issue.code} {issue.subject}")
                continue
            self._say(f"issue opened: {issue.code} {issue.subject}: {issue.message}")
            if issue.code == "NO_RULE":
                self._say(f"  the rule that it lacks is added by: {self._adds_rule}")

    def _tell_status(self, name: str, held: freshness.Held) -> None:
        found, why = freshness.status(held, missing=None, reading=True)
        before = self._status.get(name, freshness.SourceStatus.OK)
        self._status[name] = found
        if found is not before and found is freshness.SourceStatus.DEGRADED:
            self._say(f"{name} is {found}: {why}")
        elif found is not before and before is freshness.SourceStatus.DEGRADED:
            self._say(f"{name} is {found} again")
