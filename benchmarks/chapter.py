"""What a chapter of the benchmarks is given and what it gives: each `benchmarks/<name>.py` that is one has `measure`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Bench:
    """`directory`: of this run, removed after it; `cache`: what later runs use again (peers' packages, grown ledgers);
    `seconds`: how long a contestant's turn lasts; `quick`: show that it works, with few entries and clients; `full`: what
    takes long too; `entries`: the size of the ledger that most chapters read."""

    directory: Path
    cache: Path
    rounds: int
    seconds: float
    quick: bool
    tell: Callable[[str], None]
    full: bool = False
    entries: int = 200_000


@dataclass(frozen=True, slots=True)
class Chapter:
    """`body`: Markdown below the title. `figures`: what the summary and the charts take from it, as JSON can hold it."""

    title: str
    body: str
    figures: Mapping[str, Any] = field(default_factory=dict)


class Measure(Protocol):
    """A chapter's `measure`. Raises Unavailable when what it compares with cannot be had here."""

    async def __call__(self, bench: Bench, /) -> Chapter: ...


class Unavailable(Exception):
    """A peer that cannot be installed or started here; says which and why."""
