"""The processes beside the benchmark's own: gateways that serve, and the load generator."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import Job, Result, answer_of, request_of
from benchmarks.surroundings import ROOT

_STOP_SECONDS = 20.0
_START_SECONDS = 60.0


def gateway(data_dir: Path, config: Path | None = None) -> list[str]:
    """The product as users start it."""
    options = ["--config", str(config)] if config else []
    return [sys.executable, "-m", "gateway.cli", "serve", "--port", "0", "--data-dir", str(data_dir), *options]


def baseline(data_dir: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.baseline", str(data_dir)]


@asynccontextmanager
async def serving(
    command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[int]:
    """The port of a server in a process of its own that ends with the block: its first line says `serving http://…/graphql`.
    Its log goes to a file, as a service's does."""
    with log.open("wb") as file:
        process = await _start(*command, environment=environment, stdin=DEVNULL, stdout=PIPE, stderr=file)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(_START_SECONDS):
            said = (await process.stdout.readline()).decode()
        if "serving http://" not in said:
            said = await asyncio.to_thread(log.read_text)
            raise RuntimeError(f"{' '.join(command)} did not start: {said[-2000:]}")
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

    async def ask(self, port: int, body: str) -> bytes:
        """One answer, to look at. Raises RuntimeError when it is refused."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request_of(port, self._token, body))
            head, answer = await answer_of(reader)
        finally:
            writer.close()
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{head[:40]!r}: {answer[:2_000]!r}")
        return answer


@asynccontextmanager
async def generator(token: str) -> AsyncIterator[Generator]:
    async with beside("benchmarks.load") as process:
        yield Generator(process, token)


@asynccontextmanager
async def beside(module: str) -> AsyncIterator[Process]:
    """A module in a process of its own, with pipes to its stdin and stdout, that ends with the block."""
    process = await _start(sys.executable, "-m", module, stdin=PIPE, stdout=PIPE)
    try:
        yield process
    finally:
        await _stop(process)


async def _start(*command: str, environment: Mapping[str, str] | None = None, **streams: Any) -> Process:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEDGERGRAPH_")}
    variables = {**kept, "PYTHONUNBUFFERED": "1", **(environment or {})}
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=variables, **streams)


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(_STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
