"""Charts of what was measured, as SVG that needs nothing to be shown: ratios, bars and curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from benchmarks.figures import Bars, Claim, Curves
from benchmarks.tables import number

WIDTH = 900
_LABELS = 330
_RIGHT = 110
_LEGEND = 34  # characters that fit beside the curves
_ROW = 22
_REACHED, _MISSED, _PLAIN = "#2f855a", "#c05621", "#4a6fa5"
_COLOURS = ("#1f4e79", "#c05621", "#2f855a", "#805ad5", "#b7791f", "#97266d", "#319795", "#4a5568")
_TICKS = (1, 2, 5)

Scale = Callable[[float], float]


class Canvas:
    """Elements of an SVG image that grows downwards: `height` is what the caller has used of it."""

    def __init__(self) -> None:
        self.height = 10.0
        self._elements: list[str] = []

    def text(self, x: float, y: float, said: str, *, anchor: str = "start", size: int = 12, bold: bool = False) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self._elements.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{weight}>{escape(said)}</text>'
        )

    def bar(self, x: float, y: float, width: float, height: float, colour: str) -> None:
        self._elements.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="{height:.1f}" fill="{colour}"/>'
        )

    def line(self, points: Sequence[tuple[float, float]], colour: str, width: float = 1.0) -> None:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._elements.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>')

    def svg(self) -> str:
        height = math.ceil(self.height + 10)
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" fill="#1a202c">'
        return (
            "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>', *self._elements, "</svg>"])
            + "\n"
        )


def ratios(claims: Sequence[Claim]) -> str:
    """A row for each claim that is a ratio: its median from 1 on, its spread, and a mark where it should be."""
    canvas = Canvas()
    canvas.text(
        10,
        24,
        "How many times as fast as the peer. Black marks: what is to be reached (green: it is, orange: it is not)",
        bold=True,
    )
    top, canvas.height = 56.0, 56.0 + _ROW * len(claims)
    values = [1.0, *(value for it in claims for value in (it.low, it.high, it.reach or 1.0))]
    scale = _logarithmic(min(values), max(values), _LABELS, WIDTH - _RIGHT)
    for tick in _ticks(min(values), max(values)):
        canvas.text(scale(tick), top - 8, f"{tick:g}×", anchor="middle", size=11)
        canvas.line([(scale(tick), top), (scale(tick), canvas.height)], "#e2e8f0" if tick != 1 else "#718096")
    for row, it in enumerate(claims):
        y = top + row * _ROW
        colour = {True: _REACHED, False: _MISSED, None: _PLAIN}[it.reached]
        canvas.text(_LABELS - 8, y + 15, f"{it.name}, beside {it.peer}", anchor="end")
        left, right = sorted((scale(1), scale(it.median)))
        canvas.bar(left, y + 4, right - left, 14, colour)
        canvas.line([(scale(it.low), y + 11), (scale(it.high), y + 11)], "#1a202c")
        if it.reach:
            canvas.bar(scale(it.reach) - 1.5, y + 1, 3, 20, "#1a202c")
        canvas.text(WIDTH - _RIGHT + 8, y + 15, f"{it.median:.1f}×")
    return canvas.svg()


def columns(charts: Sequence[Bars]) -> str:
    """One panel below the other, each with its own scale; a contestant has one colour."""
    canvas = Canvas()
    contestants = list(dict.fromkeys(name for chart in charts for name, *_ in chart.bars))
    for chart in charts:
        canvas.text(10, canvas.height + 16, f"{chart.title}: {chart.unit}", bold=True)
        canvas.height += 26
        most = max(high for *_, high in chart.bars)
        room = WIDTH - _RIGHT - _LABELS
        for name, median, low, high in chart.bars:
            y, colour = canvas.height, _COLOURS[contestants.index(name) % len(_COLOURS)]
            canvas.text(_LABELS - 8, y + 15, name, anchor="end")
            canvas.bar(_LABELS, y + 4, room * median / most, 14, colour)
            canvas.line([(_LABELS + room * value / most, y + 11) for value in (low, high)], "#1a202c")
            canvas.text(WIDTH - _RIGHT + 8, y + 15, number(median))
            canvas.height += _ROW
        canvas.height += 10
    return canvas.svg()


def lines(charts: Sequence[Curves]) -> str:
    """One panel below the other; both axes are logarithmic."""
    canvas = Canvas()
    for chart in charts:
        _panel(canvas, chart)
    return canvas.svg()


def _panel(canvas: Canvas, chart: Curves) -> None:
    canvas.text(10, canvas.height + 16, chart.title, bold=True)
    left, right, top = 70, WIDTH - 270, canvas.height + 34
    bottom = top + 260
    points = [point for line in chart.lines.values() for point in line]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    across, up = _logarithmic(min(xs), max(xs), left, right), _logarithmic(min(ys), max(ys), bottom, top)
    for tick in _ticks(min(xs), max(xs)):
        canvas.line([(across(tick), top), (across(tick), bottom)], "#e2e8f0")
        canvas.text(across(tick), bottom + 16, f"{tick:,g}", anchor="middle", size=11)
    for tick in _ticks(min(ys), max(ys)):
        canvas.line([(left, up(tick)), (right, up(tick))], "#e2e8f0")
        canvas.text(left - 6, up(tick) + 4, f"{tick:,g}", anchor="end", size=11)
    canvas.text((left + right) / 2, bottom + 34, chart.x, anchor="middle")
    canvas.text(left, top - 6, chart.y)
    for place, (name, line) in enumerate(chart.lines.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        canvas.line([(across(x), up(y)) for x, y in line], colour, 2)
        canvas.bar(right + 16, top + 20 * place + 3, 14, 4, colour)
        canvas.text(right + 36, top + 20 * place + 10, name if len(name) <= _LEGEND else f"{name[:_LEGEND]}…")
    canvas.height = max(bottom + 50, top + 20 * len(chart.lines) + 20)


def _logarithmic(least: float, most: float, start: float, end: float) -> Scale:
    low = math.log(least)
    span = math.log(most) - low or 1.0
    return lambda value: start + (end - start) * (math.log(value) - low) / span


def _ticks(least: float, most: float) -> list[float]:
    """1, 2, 5, 10 … between the two; powers of ten alone where that would be many; the ends where there is none."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    steps = _TICKS if len(powers) <= 4 else (1,)
    found = [step * 10.0**power for power in powers for step in steps]
    return [tick for tick in found if least <= tick <= most] or [least, most]
