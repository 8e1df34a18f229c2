"""One format's file read in a process of its own: `python -m benchmarks.files_reading FORMAT ours|peer FILE SECONDS PATIENCE`, which prints what
it took."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.files_facts import Facts
from benchmarks.files_formats import FORMATS, Format
from benchmarks.surroundings import ROOT
from sources.connectors.files_values import UnreadableFile

OURS, PEER = "ours", "peer"
_KIB = 1024
_SMALL = 1_000
_PEER_MEMORY = 8 * 2**30
"""A peer that takes more than this fails, and the machine does not."""


@dataclass(frozen=True, slots=True)
class Reading:
    """`rate`: files a second of the processor, of all processes that take part: each works on one core, and what else goes on beside
    does not count; `memory`: how many bytes the processes that read it grew by at their peak, the file itself included;
    `refused`: why it is not read, and the other figures mean nothing then but for `size` and `memory`."""

    size: int
    entries: int = 0
    total: int = 0
    rate: float = 0.0
    memory: int = 0
    refused: str | None = None

    @property
    def facts(self) -> Facts:
        """What has to be the same of all who read it."""
        return Facts(self.entries, self.total)

    @property
    def growth(self) -> float:
        """The peak, in sizes of the file."""
        return self.memory / self.size


class NotRead(Exception):
    """A program that failed, or was ended, before it had read the file; `str()` of it says how."""


async def read_in_process(
    form: Format, contestant: str, file: Path, seconds: float, patience: int, packages: Path | None
) -> Reading:
    """`seconds`: for so long the file is read again and again; 0: once. `patience`: seconds of the processor that it may take.
    `packages`: libraries of peers. Raises NotRead."""
    arguments = [form.name, contestant, str(file), str(seconds), str(patience)]
    command = [sys.executable, "-m", "benchmarks.files_reading", *arguments]
    environment = {**os.environ, **({"PYTHONPATH": str(packages)} if packages and contestant == PEER else {})}
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=PIPE, stderr=PIPE)
    try:
        said, complained = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == -signal.SIGXCPU:
        raise NotRead(f"not read after {patience} s")
    if process.returncode:
        lines = complained.decode(errors="replace").strip().splitlines()
        raise NotRead(f"fails: {(lines or [f'exit {process.returncode}'])[-1][:200]}")
    return Reading(**json.loads(said))


def _main(name: str, contestant: str, file: Path, seconds: float, patience: int) -> None:
    form = FORMATS[name]
    resource.setrlimit(resource.RLIMIT_CPU, (patience, patience + 1))
    if contestant == PEER:
        resource.setrlimit(resource.RLIMIT_AS, (_PEER_MEMORY, _PEER_MEMORY))
    read = form.read if contestant == OURS else form.peer.read
    read(b"".join(form.pieces(_SMALL)))
    before = _now()
    data = file.read_bytes()
    try:
        found = _measured(read, data, seconds, before)
    except UnreadableFile as refusal:
        found = Reading(len(data), memory=_peak() - before, refused=str(refusal))
    print(json.dumps(asdict(found)))


def _measured(read: Callable[[bytes], Facts], data: bytes, seconds: float, before: int) -> Reading:
    begun = _taken()
    facts = read(data)
    rate, memory = 1 / (_taken() - begun), max(_peak() - before, len(data))
    count, begun, until = 0, _taken(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        read(data)
        count += 1
    return Reading(len(data), facts.entries, facts.total, count / (_taken() - begun) if count else rate, memory)


def _taken() -> float:
    """Seconds of the processor that this program and those that it started took."""
    beside = (each.cpu_times() for each in psutil.Process().children())
    return time.process_time() + sum(each.user + each.system for each in beside)


def _now() -> int:
    """Bytes that this program and those that it started hold."""
    own = psutil.Process()
    return sum(int(each.memory_info().rss) for each in (own, *own.children()))


def _peak() -> int:
    """As `_now`, at the peak of each. Not `ru_maxrss`: that is of the process, and whoever started it counts too."""
    own = psutil.Process()
    return sum(_peak_of(each.pid) for each in (own, *own.children()))


def _peak_of(pid: int) -> int:
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * _KIB


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
