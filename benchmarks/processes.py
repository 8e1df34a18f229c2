"""The processes beside the benchmark's own: gateways that serve, and the load generator."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import Job, Result
from benchmarks.surroundings import ROOT

_STOP_SECONDS = 20.0
_START_SECONDS = 60.0


def gateway(data_dir: Path, config: Path | None = None) -> list[str]:
    """The product as users start it."""
    options = ["--config", str(config)] if config else []
    return ["gateway.cli", "serve", "--port", "0", "--data-dir", str(data_dir), *options]


def baseline(data_dir: Path) -> list[str]:
    return ["benchmarks.baseline", str(data_dir)]


@asynccontextmanager
async def serving(command: Sequence[str], log: Path) -> AsyncIterator[int]:
    """The port of a gateway in a process of its own that ends with the block. Its log goes to a file, as a service's does."""
    with log.open("wb") as file:
        process = await _start(*command, stdin=DEVNULL, stdout=PIPE, stderr=file)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            said = (await process.stdout.readline()).decode()
        if "serving http://" not in said:
            said = await asyncio.to_thread(log.read_text)
            raise RuntimeError(f"{command[0]} did not start: {said[-2000:]}")
        yield int(said.strip().removesuffix("/graphql").rpartition(":")[2])
    finally:
        await _stop(process)


class Generator:
    """The load generator's process."""

    def __init__(self, process: Process, token: str) -> None:
        self._process, self._token = process, token
        self._numbers = itertools.count(1)

    async def run(self, port: int, **job: Any) -> Result:
        """Raises RuntimeError when an answer was not the expected one."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        whole = Job(number=next(self._numbers), port=port, token=self._token, **job)
        self._process.stdin.write(orjson.dumps(asdict(whole)) + b"\n")
        await self._process.stdin.drain()
        answer = orjson.loads(await self._process.stdout.readline() or b'{"failed": "it ended"}')
        if "failed" in answer:
            raise RuntimeError(f"the load generator: {answer['failed']}")
        return Result(**answer)


@asynccontextmanager
async def generator(token: str) -> AsyncIterator[Generator]:
    process = await _start("benchmarks.load", stdin=PIPE, stdout=PIPE)
    try:
        yield Generator(process, token)
    finally:
        await _stop(process)


async def _start(*module: str, **streams: Any) -> Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERGRAPH_")}
    environment = {**kept, "PYTHONUNBUFFERED": "1"}
    return await asyncio.create_subprocess_exec(sys.executable, "-m", *module, cwd=ROOT, env=environment, **streams)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
