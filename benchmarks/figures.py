"""What chapters give to the summary and to the charts: `Chapter(title, body, figures(claims=[…], bars=[…], curves=[…]))`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.measuring import Samples


@dataclass(frozen=True, slots=True)
class Claim:
    """A row of the summary: what was measured beside what is to be reached.

    `name` as in "Q1 cold"; `peer`: what it is compared with, empty for a number of its own; `unit`: × for a ratio; `reach`: at
    least this (`at_most`: at most), or None where nothing is set; `aim`: what would be better still, as text.
    """

    name: str
    operation: str
    peer: str
    median: float
    low: float
    high: float
    unit: str = "×"
    reach: float | None = None
    at_most: bool = False
    aim: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the median is where it should be; None where nothing is set."""
        if self.reach is None:
            return None
        return self.median <= self.reach if self.at_most else self.median >= self.reach


def claim(name: str, operation: str, peer: str, samples: Samples, **said: Any) -> Claim:
    """A claim with the median and the spread of several rounds."""
    return Claim(name, operation, peer, samples.median, samples.low, samples.high, **said)


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of one bar for each contestant, with a line from the lowest to the highest round; `bars`: name, median, low, high."""

    title: str
    unit: str
    bars: Sequence[tuple[str, float, float, float]]


def bars(title: str, unit: str, contestants: Mapping[str, Samples]) -> Bars:
    return Bars(title, unit, [(name, it.median, it.low, it.high) for name, it in contestants.items()])


@dataclass(frozen=True, slots=True)
class Curves:
    """A chart of lines over logarithmic axes; `lines`: by name the points (x, y), both above zero."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def figures(
    claims: Sequence[Claim] = (), bars: Sequence[Bars] = (), curves: Sequence[Curves] = ()
) -> dict[str, list[dict[str, Any]]]:
    """As a Chapter takes them, and as JSON holds them."""
    return {
        "claims": [asdict(item) for item in claims],
        "bars": [asdict(item) for item in bars],
        "curves": [asdict(item) for item in curves],
    }
