"""The page: a summary of what is to be reached, charts, and the chapters that are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import chart
from benchmarks.chapters import CHAPTERS
from benchmarks.figures import Claim
from benchmarks.kept import Kept, kept_in
from benchmarks.tables import number, table

PAGE = "RESULTS.md"
RESULTS = "results"
CHARTS = "charts"


def write(folder: Path) -> str:
    """The page of what is kept in `folder`/results, written beside it with its charts."""
    kept = kept_in(folder / RESULTS)
    charts = folder / CHARTS
    charts.mkdir(parents=True, exist_ok=True)
    for old in charts.glob("*.svg"):
        old.unlink()
    for name, image in _charts(kept):
        (charts / f"{name}.svg").write_text(image)
    text = page(kept)
    (folder / PAGE).write_text(text)
    return text


def page(kept: Sequence[Kept]) -> str:
    shown = {name for name, _ in _charts(kept)}
    measured = [it for it in kept if it.unavailable is None]
    parts = [_introduction(), _summary(kept), *(_chapter(it, shown) for it in measured), _surroundings(measured)]
    return "\n".join(part for part in parts if part)


def _charts(kept: Sequence[Kept]) -> Iterator[tuple[str, str]]:
    """By name of the file. Bars stand in their chapter's, and so do curves."""
    if compared := _ratios(kept):
        yield "ratios", chart.ratios(compared)
    for it in kept:
        if it.bars:
            yield it.name, chart.columns(it.bars)
        if it.curves:
            yield f"{it.name}-curves", chart.lines(it.curves)


def _ratios(kept: Sequence[Kept]) -> list[Claim]:
    """What is to be as many times as fast as something else."""
    claims = [claim for it in kept for claim in it.claims]
    return [it for it in claims if it.unit == "×" and it.peer and not it.at_most and (it.reach or it.aim)]


def _introduction() -> str:
    return """# Benchmarks

Written by `make bench`. Compare the ratios: contestants ran in one run on one machine, on the same PostgreSQL, taking turns.
A rate is the median of the rounds, with the lowest and the highest in brackets; a ratio is the median of the ratios of the
rounds. Gateways, databases, peers and load generators share the machine's cores, so that absolute numbers say little.
"""


def _summary(kept: Sequence[Kept]) -> str:
    rows = [_row(claim) for it in kept for claim in it.claims]
    header = ("", "operation", "beside", "measured", "to reach", "reached", "aim")
    image = f"![Ratios to the peers]({CHARTS}/ratios.svg)\n" if _ratios(kept) else ""
    missing = [f"- {it.name}: skipped: {it.unavailable}\n" for it in kept if it.unavailable is not None]
    missing += [f"- {name}: not measured\n" for name in CHAPTERS if name not in {it.name for it in kept}]
    left_out = f"Left out:\n\n{''.join(missing)}" if missing else ""
    parts = [table(header, rows, left=3) if rows else "", image, left_out]
    return "\n".join(["## What is reached\n", *filter(None, parts)])


def _row(claim: Claim) -> tuple[str, ...]:
    reach = "" if claim.reach is None else f"{'≤' if claim.at_most else '≥'} {_amount(claim.reach, claim.unit)}"
    reached = {True: "yes", False: "**no**", None: ""}[claim.reached]
    spread = f" ({_number(claim.low, claim.unit)}–{_number(claim.high, claim.unit)})" if claim.low < claim.high else ""
    measured = f"**{_amount(claim.median, claim.unit)}**{spread}"
    return claim.name, claim.operation, claim.peer, measured, reach, reached, claim.aim


def _amount(value: float, unit: str) -> str:
    return f"{_number(value, unit)}{unit if unit in ('', '×') else f' {unit}'}"


def _number(value: float, unit: str) -> str:
    """Of a share near the whole what is missing matters: it is never rounded up to the whole."""
    if unit == "%" and 99 <= value < 100:
        return f"{math.floor(value * 100) / 100:.2f}"
    return number(value)


def _chapter(kept: Kept, shown: set[str]) -> str:
    run = kept.run
    images = [f"![{kept.title}]({CHARTS}/{name}.svg)\n" for name in (kept.name, f"{kept.name}-curves") if name in shown]
    said = f"*Measured {run.date} by `{run.command}`: {run.rounds} rounds of {run.seconds:g} s, {run.entries:,} entries, code `{run.surroundings.code}`.*\n"
    return "\n".join([f"## {kept.title}\n", said, kept.body.rstrip() + "\n", *images])


def _surroundings(measured: Sequence[Kept]) -> str:
    """Each surroundings once, with the chapters that were measured in them."""
    if not measured:
        return ""
    by_text: dict[str, list[Kept]] = {}
    for it in measured:
        by_text.setdefault(_where(it), []).append(it)
    parts = [f"{', '.join(it.name for it in chapters)}:\n\n{where}" for where, chapters in by_text.items()]
    loads = "; ".join(f"{it.name} {it.run.load_before:.1f}, {it.run.load_after:.1f}" for it in measured)
    syncs = "; ".join(f"{it.name} {it.run.surroundings.sync * 1000:.2f} ms" for it in measured)
    return "\n".join(
        [
            "## Surroundings\n",
            *parts,
            f"- Load average before and after: {loads}.",
            f"- A durable write of 8 KiB takes (median): {syncs}.",
            "- Code: a hash over gateway, resolvers, sources and benchmarks, unchanged from a chapter's beginning to its end.",
            "- Load generator: a process of its own, bare protocols on uvloop, each client waits for its answer before it asks again.\n",
        ]
    )


def _where(kept: Kept) -> str:
    found = kept.run.surroundings
    versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
    settings = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    return (
        f"- Machine: {found.machine}.\n- Versions: {versions}.\n"
        f"- PostgreSQL embedded, with the product's settings: {settings}.\n"
    )
