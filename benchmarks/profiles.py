"""Where a process spends its time: py-spy's samples of its main thread, by what the code is for."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_RATE = 100
_LINE = re.compile(r":\d+\)$")
_MAIN = "run_until_stopped"
GROUPS: Sequence[tuple[str, Sequence[str]]] = (
    ("authentication", ("gateway/authentication.py", "gateway/jwks.py", "/jwt/")),
    ("logs and metrics", ("gateway/logs.py", "gateway/metrics.py", "structlog/", "prometheus_client/", "_log (")),
    ("shaping", ("gateway/planning/writing.py", "gateway/execution.py", "gateway/kept.py", "<shaper>", "sources/texts.py")),
    ("planning and binding", ("gateway/planning/", "graphql/", "prepare (gateway/engine", "_bind (gateway/engine")),
    ("driver", ("asyncpg/", "sources/database/")),
    ("posting", ("sources/ledger/posting", "sources/ledger/batch", "sources/ledger/queue", "sources/ledger/rules",
                 "sources/ledger/canonical", "sources/ledger/model", "sources/money", "resolvers/posting")),
    ("statements", ("resolvers/", "sources/", "gateway/engine.py")),
    ("HTTP server", ("gateway/protocol.py", "uvicorn/", "httptools/")),
    ("HTTP endpoint", ("gateway/",)),
    ("event loop", ("asyncio/", "uvloop/")),
)  # fmt: skip
"""By name what the path or function of a frame holds. A sample counts for the nearest frame, from the innermost on, that
belongs to a group: what a library does for us belongs to who calls it, as far as it is Python."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Shares of the samples: by group, and of the innermost frames, largest first."""

    samples: int
    groups: Sequence[tuple[str, float]]
    frames: Sequence[tuple[str, float]]


def program() -> str | None:
    """Where py-spy is, if it is."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.exists() else shutil.which("py-spy")


def process_at(port: int) -> int:
    """The id of our child that listens at a port."""
    for child in psutil.Process().children(recursive=True):
        if any(each.laddr.port == port for each in child.net_connections("tcp") if each.status == psutil.CONN_LISTEN):
            return child.pid
    raise RuntimeError(f"no process listens at port {port}")


async def profile(py_spy: str, pid: int, seconds: int, file: Path) -> Profile:
    """Samples of the process while something else keeps it busy. Raises RuntimeError with what py-spy says."""
    options = ["--format", "raw", "--output", str(file), "--rate", str(_RATE), "--duration", str(seconds)]
    process = await asyncio.create_subprocess_exec(
        py_spy, "record", "--pid", str(pid), *options, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE
    )
    _, complained = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"py-spy: {complained.decode()[-500:]}")
    return read(await asyncio.to_thread(file.read_text))


def read(raw: str) -> Profile:
    """Of py-spy's raw form: frames from the outermost, with ; between, and a count."""
    groups: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for line in raw.splitlines():
        text, _, count = line.rpartition(" ")
        if _MAIN in text:
            stack = text.split(";")
            groups[_group(stack)] += int(count)
            frames[_LINE.sub(")", stack[-1])] += int(count)
    total = groups.total()
    return Profile(
        total,
        [(name, count / total) for name, count in groups.most_common()],
        [(name, count / total) for name, count in frames.most_common(5)],
    )


def _group(stack: Sequence[str]) -> str:
    for frame in reversed(stack):
        for name, marks in GROUPS:
            if any(mark in frame for mark in marks):
                return name
    return "other"
