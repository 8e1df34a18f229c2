"""Tie-outs that were computed, kept for the pages that follow the first: all pages are of one moment, and one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from sources.pipeline.control_accounts import BankTie, Subledger
from sources.pipeline.control_totals import Total
from sources.pipeline.tied import Report, Tied

KEPT_SECONDS: Final = 60.0
"""How long a report is kept after it was asked for last."""
MOST_KEPT: Final = 250_000
"""Documents of all reports that one process keeps: some 900 bytes each."""
AT_ONCE: Final = 2
"""Reports that one process computes at one time: each reads for seconds, and holds all of its documents."""


@dataclass(frozen=True, slots=True)
class Finished:
    """`report` without its documents; `chosen`: those of them that were asked for, in order; `totals`: of all. The rest of it as far as it
    was asked for."""

    report: Report
    totals: Sequence[Total]
    chosen: Sequence[Tied]
    subledgers: Sequence[Subledger]
    banks: Sequence[BankTie]


class FinishedReports:
    """Those of one process, used from one event loop. `turn`: held by who computes one."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(AT_ONCE)
        self._kept: dict[Hashable, tuple[Finished, asyncio.TimerHandle]] = {}

    def find(self, key: Hashable) -> Finished | None:
        """What was kept under the key, for another while."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        self.keep(key, kept[0])
        return kept[0]

    def keep(self, key: Hashable, finished: Finished) -> None:
        """In place of one that is kept under the key; those that nobody asked for longest make room."""
        self._drop(key)
        if len(finished.chosen) > MOST_KEPT:
            return
        while self._kept and self.documents + len(finished.chosen) > MOST_KEPT:
            self._drop(next(iter(self._kept)))
        timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, key)
        self._kept[key] = (finished, timer)

    @property
    def documents(self) -> int:
        """How many are kept."""
        return sum(len(finished.chosen) for finished, _ in self._kept.values())

    def _drop(self, key: Hashable) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            kept[1].cancel()
