"""Gauges of sources, their issues and the documents that wait, read from the database when they are scraped.

They are of the whole installation, the same from whichever process answers. What a reading takes bounds how often there is one:
scrapes never keep the database busy for more than a twentieth of the time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sources.database.pool import Database
from sources.pipeline.overview import IssueCount, SourceCount, issue_counts, source_counts

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = 5.0
"""How long a reading is told again, at least."""
SHARE: Final = 20
"""A reading is told again for so many times the time that it took."""
WAIT_SECONDS: Final = 2.0
"""How long a scrape waits for a reading; it goes on, and the last one is told."""
MOST_CODES: Final = 50
"""Codes of one source that have a series of their own; the rest are `other`."""
NOT_CONFIGURED: Final = "(not configured)"
"""Stands for all sources that the database knows and the settings do not."""


class SourceGauges(Collector):
    """`sources`: names of those that are configured. Without a database that answers, the gauges are absent."""

    def __init__(self, database: Database, sources: Iterable[str]) -> None:
        self._database = database
        self._names = frozenset(sources)
        self._found: tuple[Sequence[SourceCount], Sequence[IssueCount]] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._until = 0.0

    async def refresh(self) -> None:
        """Reads anew what was told for long enough. Never raises but to be cancelled."""
        if self._reading is None and time.monotonic() >= self._until:
            self._reading = asyncio.create_task(self._read(), name="gauges of sources")
        if self._reading is not None:
            await asyncio.wait((self._reading,), timeout=WAIT_SECONDS)

    async def close(self) -> None:
        """Ends a reading that goes on."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading,))

    async def _read(self) -> None:
        began = time.monotonic()
        try:
            async with self._database.snapshot(None) as connection:
                self._found = await source_counts(connection), await issue_counts(connection)
        except Exception as error:
            log.warning("the gauges of sources cannot be read", error=repr(error))
            self._found = None
        finally:
            ended = time.monotonic()
            self._until = ended + max(KEPT_SECONDS, SHARE * (ended - began))
            self._reading = None

    def collect(self) -> Iterator[Metric]:
        if self._found is None:
            return
        sources, issues = self._found
        yield from self._of_sources(sources)
        yield from self._of_issues(issues)

    def _of_sources(self, counts: Sequence[SourceCount]) -> Iterator[Metric]:
        age = _gauge("source_success_age_seconds", "Seconds since the source was last read with success.", "source")
        due = _gauge("documents_due", "Documents that wait to be looked at.", "source")
        oldest = _gauge("oldest_document_due_seconds", "Seconds for which the first of them has waited.", "source")
        put_off = _gauge("documents_put_off", "Documents with an issue that are tried again later.", "source")
        for each in counts:
            if each.source in self._names:
                if each.age is not None:
                    age.add_metric((each.source,), each.age)
                due.add_metric((each.source,), each.due)
                oldest.add_metric((each.source,), each.oldest)
                put_off.add_metric((each.source,), each.put_off)
        return iter((age, due, oldest, put_off))

    def _of_issues(self, counts: Sequence[IssueCount]) -> Iterator[Metric]:
        open_ = _gauge("open_issues", "Open integration issues that are not muted.", "source", "code")
        muted = _gauge("muted_issues", "Open integration issues that are muted.", "source", "code")
        series: dict[tuple[str, str], tuple[int, int]] = {}
        codes: dict[str, set[str]] = {}
        for each in counts:
            source = each.source if each.source in self._names else NOT_CONFIGURED
            known = codes.setdefault(source, set())
            code = each.code if each.code in known or len(known) < MOST_CODES else "other"
            known.add(code)
            before = series.get((source, code), (0, 0))
            series[source, code] = (before[0] + each.open - each.muted, before[1] + each.muted)
        for labels, (opened, silent) in series.items():
            open_.add_metric(labels, opened)
            muted.add_metric(labels, silent)
        return iter((open_, muted))


def _gauge(name: str, description: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ledgergraph_{name}", description, labels=labels)
