"""What chapters measured, kept as `results/<name>.json`, so that one can be measured again alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from benchmarks.chapters import CHAPTERS
from benchmarks.figures import Bars, Claim, Curves
from benchmarks.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Run:
    """When and how a chapter was measured. `date`: UTC; `load_before`, `load_after`: the machine's load average."""

    date: str
    command: str
    rounds: int
    seconds: float
    entries: int
    load_before: float
    load_after: float
    surroundings: Surroundings


@dataclass(frozen=True, slots=True)
class Kept:
    """A chapter as it was measured; or, with `unavailable`, why it could not be."""

    name: str
    run: Run
    title: str = ""
    body: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    unavailable: str | None = None

    @property
    def claims(self) -> list[Claim]:
        return [Claim(**item) for item in self.figures.get("claims", ())]

    @property
    def bars(self) -> list[Bars]:
        return [Bars(**item) for item in self.figures.get("bars", ())]

    @property
    def curves(self) -> list[Curves]:
        return [Curves(**item) for item in self.figures.get("curves", ())]


def keep(kept: Kept, results: Path) -> None:
    """In place of what the chapter had measured before."""
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{kept.name}.json").write_bytes(orjson.dumps(asdict(kept), option=orjson.OPT_INDENT_2) + b"\n")


def kept_in(results: Path) -> Sequence[Kept]:
    """The chapters that were measured, in the order of the page."""
    found = [results / f"{name}.json" for name in CHAPTERS]
    return [_read(path) for path in found if path.exists()]


def _read(path: Path) -> Kept:
    said = orjson.loads(path.read_bytes())
    run = said.pop("run")
    surroundings = Surroundings(**run.pop("surroundings"))
    return Kept(run=Run(**run, surroundings=surroundings), **said)
