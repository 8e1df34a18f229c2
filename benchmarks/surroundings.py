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
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres

ROOT = Path(__file__).parent.parent
_MEASURED = ("benchmarks", "gateway", "resolvers", "sources")
_PACKAGES = ("graphql-core", "strawberry-graphql", "asyncpg", "orjson", "uvicorn", "uvloop")
_SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "jit", "max_connections")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """`code`: `fingerprint()`; `settings`: the embedded PostgreSQL's; `sync`: seconds that a durable write of 8 KiB takes."""

    code: str
    machine: str
    versions: dict[str, str]
    settings: dict[str, str]
    sync: float


async def look(directory: Path) -> Surroundings:
    """By a database of its own in `directory`."""
    async with EmbeddedPostgres(directory / "surroundings") as embedded:
        settings, server = await _ask(embedded.dsn(user=OWNER_ROLE))
    versions = {
        "python": platform.python_version(),
        "postgresql": server,
        **{name: version(name) for name in _PACKAGES},
    }
    return Surroundings(fingerprint(), _machine(), versions, settings, sync_seconds(directory))


async def _ask(dsn: str) -> tuple[dict[str, str], str]:
    """The settings that matter, and the version."""
    connection = await asyncpg.connect(dsn)
    try:
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in _SETTINGS}
        return settings, str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()


def fingerprint() -> str:
    """Digits of a hash over the code that is measured. Gateways are processes that read it when they start, so it has to be
    the same from the beginning of a run to its end."""
    found = hashlib.sha256()
    for package in _MEASURED:
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".sql", ".mjs"):
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
