"""What a result depends on: machine, versions and settings, as they are found."""

from __future__ import annotations

import hashlib
import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import asyncpg

from benchmarks.measuring import sync_seconds

ROOT = Path(__file__).parent.parent
_MEASURED = ("benchmarks", "gateway", "resolvers", "sources")
_PACKAGES = ("graphql-core", "strawberry-graphql", "asyncpg", "orjson", "uvicorn", "uvloop")
_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "jit", "max_connections")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`code`: `fingerprint()`; `sync`: seconds that a durable write of 8 KiB takes; `load_before`: the machine's load when the run began."""

    code: str
    machine: str
    versions: dict[str, str]
    settings: dict[str, str]
    sync: float
    load_before: float


async def look(owner_dsn: str, directory: Path, load_before: float) -> Surroundings:
    connection = await asyncpg.connect(owner_dsn)
    try:
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in _SETTINGS}
        server = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    versions = {
        "python": platform.python_version(),
        "postgresql": server,
        **{name: version(name) for name in _PACKAGES},
    }
    return Surroundings(fingerprint(), _machine(), versions, settings, sync_seconds(directory), load_before)


def fingerprint() -> str:
    """Digits of a hash over the code that is measured. Gateways are processes that read it when they start, so it has to be
    the same from the beginning of a run to its end."""
    found = hashlib.sha256()
    for package in _MEASURED:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".sql"):
                found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:12]


def _machine() -> str:
    return f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
