"""One format's file read in a process of its own: `python -m benchmarks.files_reading FORMAT FILE SECONDS`, which prints what it took."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.files_made import FORMATS
from benchmarks.surroundings import ROOT

_KIB = 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """`entries` a file; `rate`: files a second; `memory`: how many bytes the process grew by at its peak, the file itself included."""

    size: int
    entries: int
    rate: float
    memory: int

    @property
    def entry_rate(self) -> float:
        """Entries a second."""
        return self.rate * self.entries

    @property
    def growth(self) -> float:
        """The peak, in sizes of the file."""
        return self.memory / self.size


async def read_in_process(name: str, file: Path, seconds: float) -> Reading:
    """Raises RuntimeError when the file cannot be read, or is read with a warning."""
    command = [sys.executable, "-m", "benchmarks.files_reading", name, str(file), str(seconds)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=PIPE, stderr=PIPE)
    said, complained = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{name}: {complained.decode()[-500:]}")
    return Reading(**json.loads(said))


def _main(name: str, file: Path, seconds: float) -> None:
    before = psutil.Process().memory_info().rss
    data = file.read_bytes()
    entries, warnings = FORMATS[name].read(data)
    if warnings:
        raise RuntimeError("the file is read with warnings")
    peak = _peak()
    count, begun = 0, time.perf_counter()
    while count == 0 or time.perf_counter() - begun < seconds:
        FORMATS[name].read(data)
        count += 1
    rate = count / (time.perf_counter() - begun)
    print(json.dumps({"size": len(data), "entries": entries, "rate": rate, "memory": max(peak - before, len(data))}))


def _peak() -> int:
    """Bytes that this program held at its peak. Not `ru_maxrss`: that is of the process, and whoever started it counts too."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * _KIB


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]))
