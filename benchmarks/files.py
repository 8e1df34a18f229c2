"""Files of finance: how many are read a second, and how much memory that takes, from one transaction to files of 100 MB."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import claim, figures
from benchmarks.files_made import FORMATS
from benchmarks.files_reading import Reading, read_in_process
from benchmarks.measuring import Samples
from benchmarks.tables import rate, table

SIZES: Mapping[str, int] = {"1 kB": 1_000, "1 MB": 1_000_000}
FULL_SIZES: Mapping[str, int] = {**SIZES, "100 MB": 100_000_000}
_QUICK_SIZES: Mapping[str, int] = {"1 kB": 1_000}
_AT_MOST = 10.0
_LARGE = 500_000
"""From here on memory tells of the file, and not of Python."""

_BODY = """\
Each file is read by its parser in a process of its own, from bytes to documents, as the connector of a folder does; nothing is stored. The
files are made for this (`benchmarks/files_made.py`): balances and control totals hold, and a file that is read with a warning fails the
chapter. Memory is what the process grew by at its peak, the file itself included, in sizes of the file.

{tables}
"""


async def measure(bench: Bench) -> Chapter:
    """Every format at every size, in turns."""
    sizes = FULL_SIZES if bench.full else _QUICK_SIZES if bench.quick else SIZES
    parts = []
    claims = []
    for label, size in sizes.items():
        found = await _measure_size(bench, label, size)
        parts.append(f"Files of {label}:\n\n{_table(found)}\n")
        if size >= _LARGE:
            claims += [
                claim(
                    "files",
                    f"{name}, {label}: peak memory",
                    "",
                    growth,
                    unit="× the file",
                    reach=_AT_MOST,
                    at_most=True,
                )
                for name, (_, growth, _) in found.items()
            ]
    return Chapter("Files", _BODY.format(tables="\n".join(parts)), figures(claims=claims))


Found = dict[str, tuple[Samples, Samples, Reading]]
"""By format: files a second, peak memory in sizes of the file, and the last reading."""


async def _measure_size(bench: Bench, label: str, size: int) -> Found:
    found: Found = {}
    for name, form in FORMATS.items():
        bench.tell(f"files: {name}, {label}")
        file = bench.directory / f"{name.replace(' ', '-')}-{size}"
        await asyncio.to_thread(form.write, file, size)
        rates, growths = Samples(), Samples()
        for _ in range(1 if size > 10_000_000 else bench.rounds):
            reading = await read_in_process(name, file, bench.seconds if size < 10_000_000 else 0)
            rates.values.append(reading.rate)
            growths.values.append(reading.growth)
        found[name] = (rates, growths, reading)
        file.unlink()
    return found


def _table(found: Found) -> str:
    rows = []
    for name, (rates, growths, reading) in found.items():
        of_entries = Samples([each * reading.entries for each in rates.values])
        memory = f"{growths.median:.1f}×" if reading.size * 1.5 >= _LARGE else "—"
        rows.append((name, f"{reading.entries:,} {FORMATS[name].unit}", rate(rates), rate(of_entries), memory))
    return table(("", "in a file", "files/s", "entries/s", "peak memory"), rows, left=2)
