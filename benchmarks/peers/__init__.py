"""Peers from npm. Each folder here is one: a package.json with exact versions, Node among them, and what starts it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.chapter import Bench, Unavailable
from sources.database.locks import FileLock

_FOLDER = Path(__file__).parent
_INSTALL = (
    "install",
    "--ignore-scripts",
    "--no-package-lock",
    "--no-audit",
    "--no-fund",
    "--omit=dev",
    "--loglevel=error",
)
_INSTALL_SECONDS = 600.0
_CODE = re.compile(r"npm (?:error|ERR!) code (\w+)")


@dataclass(frozen=True, slots=True)
class Peer:
    """`node`: the Node of its package.json; `home`: a folder with the files of the peer's folder and with node_modules."""

    node: Path
    home: Path

    def version(self, package: str) -> str:
        return str(orjson.loads((self.home / "node_modules" / package / "package.json").read_bytes())["version"])


async def installed(bench: Bench, name: str) -> Peer:
    """The peer of the folder `name`, installed in `bench.cache` when it is not yet (a quick bench installs nothing). Raises
    Unavailable."""
    kept = bench.cache / "peers"
    kept.mkdir(parents=True, exist_ok=True)
    home = kept / f"{name}-{hashlib.sha256((_FOLDER / name / 'package.json').read_bytes()).hexdigest()[:12]}"
    lock = await FileLock.exclusive(home.with_suffix(".lock"), patience=_INSTALL_SECONDS)
    try:
        if not home.exists():
            if bench.quick:
                raise Unavailable(f"{name} is not installed, and a quick run installs nothing")
            bench.tell(f"installing {name} with npm")
            await asyncio.to_thread(_install, name, home)
        shutil.copytree(_FOLDER / name, home, dirs_exist_ok=True)
    finally:
        lock.close()
    nodes = sorted(home.glob("node_modules/node-*/bin/node"))
    if not nodes:
        raise Unavailable(f"{name}: its package.json names no Node for this platform")
    return Peer(nodes[0], home)


def _install(name: str, home: Path) -> None:
    """In a folder beside, then one rename."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable(f"{name} comes from npm, and there is no npm here")
    with tempfile.TemporaryDirectory(prefix=f"{home.name}.unfinished-", dir=home.parent) as folder:
        building = Path(folder) / name
        shutil.copytree(_FOLDER / name, building)
        try:
            done = subprocess.run(
                [npm, *_INSTALL], cwd=building, capture_output=True, text=True, timeout=_INSTALL_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"npm did not install {name} within {_INSTALL_SECONDS:.0f} s") from None
        if done.returncode != 0:
            code = _CODE.search(done.stderr)
            raise Unavailable(f"npm could not install {name} ({code[1] if code else f'exit {done.returncode}'})")
        building.rename(home)
