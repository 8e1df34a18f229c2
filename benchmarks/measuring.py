"""Rates of contestants that take turns, and what several rounds of them amount to."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Samples:
    """One number a round: a rate, a ratio or a time."""

    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def over(self, other: Samples) -> Samples:
        """The ratios of the same rounds."""
        return Samples([mine / its for mine, its in zip(self.values, other.values, strict=True)])


Contestants = Mapping[str, Callable[[], Awaitable[float]]]
"""By name: measures once, and gives a rate."""


async def take_turns(contestants: Contestants, rounds: int) -> dict[str, Samples]:
    """Each contestant once a round; who is first changes from round to round."""
    found = {name: Samples() for name in contestants}
    for number in range(rounds):
        names = list(contestants)
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].values.append(await contestants[name]())
    return found


async def rate(work: Callable[[], Awaitable[object]], seconds: float) -> float:
    """How often a second the work is done, one after the other, for at least so long and at least once."""
    count, begun = 0, time.perf_counter()
    while True:
        await work()
        count += 1
        elapsed = time.perf_counter() - begun
        if elapsed >= seconds:
            return count / elapsed


def percentile(times: Sequence[float], share: float) -> float:
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def sync_seconds(directory: Path, times: int = 50) -> float:
    """The median time of writing 8 KiB and waiting until it is durable: what every commit costs at least."""
    taken = []
    path = directory / "sync.probe"
    with path.open("wb") as file:
        for _ in range(times):
            begun = time.perf_counter()
            file.write(bytes(8_192))
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begun)
    path.unlink()
    return statistics.median(taken)
