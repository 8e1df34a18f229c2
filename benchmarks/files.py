"""Files of finance: how many are read a second, and how much memory that takes, from one transaction to files of 100 MB."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.chapter import Bench, Chapter, Unavailable
from benchmarks.figures import Claim, claim, figures
from benchmarks.files_formats import FORMATS, Format
from benchmarks.files_reading import OURS, PEER, NotRead, Reading, read_in_process
from benchmarks.measuring import Samples
from benchmarks.peers.packages import packages, versions
from benchmarks.tables import rate, ratio, table
from sources.connectors.files_place import MAX_FILE_BYTES

SIZES: Mapping[str, int] = {"1 kB": 1_000, "1 MB": 1_000_000}
FULL_SIZES: Mapping[str, int] = {**SIZES, "100 MB": 100_000_000}
_QUICK_SIZES: Mapping[str, int] = {"1 kB": 1_000}
_AT_MOST = 10.0
_LARGE = 500_000
"""From here on memory tells of the file, and not of Python."""
_ONCE = 10_000_000
"""From here on a file is read once."""
_PATIENCE = 300
_PEER_PATIENCE = 20
"""Seconds of the processor for one file."""

_BODY = """\
Each file is read by its parser in a process of its own, from bytes to documents, as the connector of a folder does; nothing is stored. A
file is one statement or one invoice. The files are made for this (`benchmarks/files_made.py`): balances, control totals and sums hold, and
a file that is read with a warning fails the chapter. Memory is what the process grew by at its peak after it had read a small file, the
file itself included, in sizes of the file. Seconds are those of the processor: each works on one core, and others share the machine. Of
PDF files the process that takes the invoice out is counted too, in both.

In turns with it another program reads the same file, and has to find as many entries and the same sum. Those in italics do a part of the
work alone, the least that reading can cost. They take the file as it is, and most of them check nothing. They have {patience} s for a
file, and 8 GiB. Versions: {versions}.

A PDF has its invoice attached, as Factur-X has it: of *scanned pages* the invoice has ten lines and the page is an image, of a *long
invoice* nearly the whole file is the invoice. A folder refuses files over {limit} MiB unread; what is refused for another reason stands in
its row.

{tables}"""


@dataclass(slots=True)
class Side:
    """One contestant's readings of one file; `not_read`: how it failed, if it did."""

    rates: Samples = field(default_factory=Samples)
    growths: Samples = field(default_factory=Samples)
    last: Reading | None = None
    not_read: str | None = None

    @property
    def read(self) -> bool:
        """Whether the figures mean something."""
        return bool(self.rates.values)


@dataclass(slots=True)
class Found:
    """What was measured of a format at a size."""

    form: Format
    sides: dict[str, Side] = field(default_factory=lambda: {OURS: Side(), PEER: Side()})

    @property
    def both(self) -> bool:
        """Whether the two can be compared."""
        return self.sides[OURS].read and self.sides[PEER].read


async def measure(bench: Bench) -> Chapter:
    """Every format at every size, in turns."""
    sizes = FULL_SIZES if bench.full else _QUICK_SIZES if bench.quick else SIZES
    try:
        home, missing = await packages(bench), ""
    except Unavailable as reason:
        home, missing = None, f"Left out: {reason}.\n\n"
    parts, claims = [], list[Claim]()
    for label, size in sizes.items():
        found = [await _measure_size(bench, form, label, size, home) for form in FORMATS.values()]
        parts.append(f"Files of {label}:\n\n{_table(found)}")
        if size >= _LARGE:
            claims += [each for it in found for each in _claims(it, label)]
    tables = missing + "\n".join(parts)
    limit = MAX_FILE_BYTES // 2**20
    body = _BODY.format(versions=_versions(), patience=_PEER_PATIENCE, limit=limit, tables=tables)
    return Chapter("Files", body, figures(claims=claims))


async def _measure_size(bench: Bench, form: Format, label: str, size: int, home: Path | None) -> Found:
    bench.tell(f"files: {form.name}, {label}")
    found = Found(form)
    file = bench.directory / "file"
    await asyncio.to_thread(form.write, file, size)
    try:
        for round_ in range(1 if size >= _ONCE else bench.rounds):
            for contestant in (OURS, PEER) if round_ % 2 == 0 else (PEER, OURS):
                await _turn(found, contestant, file, 0.0 if size >= _ONCE else bench.seconds / 2, home)
    finally:
        file.unlink()
    ours, peer = found.sides[OURS].last, found.sides[PEER].last
    if ours and peer and not ours.refused and ours.facts != peer.facts:
        raise RuntimeError(f"{form.name}, {label}: {ours.facts}, and {form.peer.name} {peer.facts}")
    return found


async def _turn(found: Found, contestant: str, file: Path, seconds: float, home: Path | None) -> None:
    """A failure of ours fails the chapter, one of the peer's is told; what failed once is not tried again."""
    side, package = found.sides[contestant], found.form.peer.package
    if side.not_read or (contestant == PEER and package and home is None):
        return
    patience = _PATIENCE if contestant == OURS else _PEER_PATIENCE
    try:
        side.last = await read_in_process(found.form, contestant, file, seconds, patience, home)
    except NotRead as failure:
        if contestant == OURS:
            raise RuntimeError(f"{found.form.name}: {failure}") from failure
        side.not_read = str(failure)
        return
    if side.last.refused:
        side.not_read = f"refused: {side.last.refused}"
    else:
        side.rates.values.append(side.last.rate)
        side.growths.values.append(side.last.growth)


def _claims(found: Found, label: str) -> Iterator[Claim]:
    ours, name = found.sides[OURS], f"{found.form.name}, {label}"
    if ours.read:
        told = f"{name}: peak memory"
        yield claim("files", told, "", ours.growths, unit="× the file", reach=_AT_MOST, at_most=True)
    if found.both and found.form.peer.whole:
        yield claim("files", f"{name}: files/s", found.form.peer.name, ours.rates.over(found.sides[PEER].rates))


def _table(found: list[Found]) -> str:
    head = ("", "in a file", "files/s", "entries/s", "peak memory", "beside", "its files/s", "ratio", "its peak memory")
    return table(head, [_row(each) for each in found], left=2)


def _row(found: Found) -> tuple[str, ...]:
    form, (ours, peer) = found.form, (found.sides[OURS], found.sides[PEER])
    name = form.peer.name if form.peer.whole else f"*{form.peer.name}*"
    beside = (_rate(peer.rates), ratio(ours.rates.over(peer.rates)) if found.both else "", _memory(peer)) if peer.read else (
        peer.not_read or "—", "", "")  # fmt: skip
    if ours.last is None or not ours.read:
        return form.name, "", ours.not_read or "—", "", "", name, *beside
    entries = ours.last.entries
    of_entries = Samples([each * entries for each in ours.rates.values])
    return form.name, f"{entries:,} {form.unit}", _rate(ours.rates), rate(of_entries), _memory(ours), name, *beside


def _rate(files: Samples) -> str:
    """Of large files fewer than one is read in a second."""
    return rate(files) if files.median >= 1 else f"{files.median:.3f}"


def _memory(side: Side) -> str:
    return f"{side.growths.median:.1f}×" if side.last and side.last.size * 1.5 >= _LARGE else "—"


def _versions() -> str:
    """Of the peers' libraries, by name; those that the product is installed with too."""
    named = versions() | {name: version(name) for name in ("lxml", "mt-940")}
    return ", ".join(f"{name} {number}" for name, number in sorted(named.items()))
