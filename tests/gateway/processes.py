"""Starts `ledgergraph` as users do, in processes of its own, and waits for what they say."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

PATIENCE = 60.0
COMMAND = (sys.executable, "-m", "gateway.cli")
ROOT = Path(__file__).parent.parent.parent


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of the product."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LEDGERGRAPH_", "COV_"))}
    return {**kept, "PYTHONUNBUFFERED": "1", **more}


def ledgergraph(*arguments: object, timeout: float = PATIENCE, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment(**variables),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        check=False,
    )


@dataclass
class Running:
    """A command that goes on. `said` holds every line so far, of both streams."""

    process: asyncio.subprocess.Process
    said: list[str] = field(default_factory=list)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def pid(self) -> int:
        return self.process.pid

    async def read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            async with self.moved:
                self.said.append(line.decode().rstrip())
                self.moved.notify_all()
        async with self.moved:
            self.moved.notify_all()

    async def says(self, text: str, count: int = 1) -> str:
        """The `count`th line with the text, once it is said."""
        async with asyncio.timeout(PATIENCE), self.moved:
            while len(found := [line for line in self.said if text in line]) < count:
                if self.process.returncode is not None:
                    raise AssertionError(f"it ended with {self.process.returncode}:\n" + "\n".join(self.said))
                await self.moved.wait()
            return found[count - 1]

    async def address(self) -> str:
        """Where it serves, once it does."""
        line = await self.says("/graphql")
        return next(word for word in line.split() if word.endswith("/graphql"))

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE):
            return await self.process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return await self.ended()

    def children(self) -> list[psutil.Process]:
        """Its processes that serve: not PostgreSQL's, not the one that multiprocessing keeps for itself."""
        found = psutil.Process(self.pid).children()
        return [child for child in found if "spawn_main" in " ".join(child.cmdline())]


@asynccontextmanager
async def started(*arguments: object, **variables: str) -> AsyncIterator[Running]:
    """A command that runs while the block does; killed at its end if it has not stopped."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(**variables),
        cwd=ROOT,
        limit=1_000_000,
    )
    running = Running(process)
    assert process.stdout is not None
    assert process.stderr is not None
    readers = [asyncio.create_task(running.read(stream)) for stream in (process.stdout, process.stderr)]
    try:
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await asyncio.gather(*readers)


async def ask(address: str, token: str, query: str, **variables: object) -> dict[str, object]:
    """The answer's data. Errors fail the test."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        body = {"query": query, "variables": variables}
        async with session.post(address, json=body, headers={"Authorization": f"Bearer {token}"}) as response:
            answer = await response.json(content_type=None)
    assert "errors" not in answer, answer
    data: dict[str, object] = answer["data"]
    return data


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Returns once the condition holds: for what another process does and nobody tells."""
    async with asyncio.timeout(PATIENCE):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.03)


async def gone(process: psutil.Process) -> None:
    """Returns once the process has ended."""
    await asyncio.to_thread(process.wait, PATIENCE)
