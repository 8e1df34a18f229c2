"""Markdown tables, and numbers as the benchmarks write them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.load import Result
from benchmarks.measuring import Samples


def table(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table, its first columns (`left` of them) to the left and the others to the right; ends with a line break."""
    lines = [header, ["---"] * left + ["---:"] * (len(header) - left), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def rate(samples: Samples) -> str:
    """The median and, in brackets, the lowest and the highest round."""
    return f"{number(samples.median)} ({number(samples.low)}–{number(samples.high)})"


def ratio(samples: Samples) -> str:
    """As `rate`, of ratios."""
    return f"**{samples.median:.1f}×** ({samples.low:.1f}–{samples.high:.1f})"


def times(result: Result) -> str:
    """p50 and p99 in milliseconds."""
    return f"{result.p50 * 1000:.1f}, {result.p99 * 1000:.1f}"


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
