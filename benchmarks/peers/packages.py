"""Peers from PyPI, in a folder of their own beside what the product is installed with: `python/requirements.txt` has exact versions."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.chapter import Bench, Unavailable
from sources.database.locks import FileLock

_REQUIREMENTS = Path(__file__).parent / "python" / "requirements.txt"
_SECONDS = 600.0


async def packages(bench: Bench) -> Path:
    """A folder for PYTHONPATH that holds them, installed in `bench.cache` when it is not yet (a quick bench installs nothing). Raises
    Unavailable."""
    kept = bench.cache / "peers"
    kept.mkdir(parents=True, exist_ok=True)
    version = f"{sys.version_info.major}{sys.version_info.minor}".encode()
    home = kept / f"python-{hashlib.sha256(version + _REQUIREMENTS.read_bytes()).hexdigest()[:12]}"
    lock = await FileLock.exclusive(home.with_suffix(".lock"), patience=_SECONDS)
    try:
        if not home.exists():
            if bench.quick:
                raise Unavailable("the libraries beside are not installed, and a quick run installs nothing")
            bench.tell("installing libraries with pip")
            await asyncio.to_thread(_install, home)
    finally:
        lock.close()
    return home


def versions() -> dict[str, str]:
    """By name of the package."""
    found = (line.partition("==") for line in _REQUIREMENTS.read_text().split())
    return {name: number for name, _, number in found}


def _install(home: Path) -> None:
    """In a folder beside, then one rename."""
    with tempfile.TemporaryDirectory(prefix=f"{home.name}.unfinished-", dir=home.parent) as folder:
        building = Path(folder) / "packages"
        options = ["--quiet", "--disable-pip-version-check", "--target", str(building), "-r", str(_REQUIREMENTS)]
        command = [sys.executable, "-m", "pip", "install", *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"pip did not install the libraries beside within {_SECONDS:.0f} s") from None
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
            raise Unavailable(f"pip could not install the libraries beside ({said[:200]})")
        building.rename(home)
