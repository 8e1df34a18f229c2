"""Other processes that use an embedded server, for tests that end them in every way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from sources.database.embedded import EmbeddedPostgres

async def use() -> None:
    async with EmbeddedPostgres(Path(sys.argv[1]), settings={"shared_buffers": "16MB"}, watch=True) as server:
        print(server.postmaster_pid(), flush=True)
        told = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin, told.set)
        await told.wait()

if len(sys.argv) > 2:
    import encodings.idna, concurrent.futures.thread  # while the interpreter's own directory can be entered
    os.setgroups([])
    os.setresgid(int(sys.argv[3]), int(sys.argv[3]), int(sys.argv[3]))
    os.setresuid(int(sys.argv[2]), int(sys.argv[2]), int(sys.argv[2]))
try:
    asyncio.run(use())
except KeyboardInterrupt:
    pass
"""


class Member:
    """A process that uses the server of a data directory until it is told to leave, or is killed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, data_dir: Path, *account: int, **options: Any) -> Member:
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                PROGRAM,
                str(data_dir),
                *map(str, account),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
                **options,
            )
        )

    async def ready(self) -> int:
        """Wait until the member is in; the pid of the server that it sees."""
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        assert line, "the member ended before it was ready"
        return int(line)

    async def leave(self) -> None:
        await asyncio.wait_for(self.process.communicate(b"leave\n"), 60)
        assert self.process.returncode == 0

    async def interrupt(self) -> None:
        """Ctrl-C: SIGINT for the whole process group."""
        os.killpg(self.process.pid, signal.SIGINT)
        await asyncio.wait_for(self.process.wait(), 60)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await asyncio.wait_for(self.process.communicate(), 60)


@pytest.fixture
async def start_member() -> AsyncIterator[Callable[..., Awaitable[Member]]]:
    """Starts members: `await start_member(data_dir)`, or as another account by its user and group id.

    Those that still run at the test's end leave.
    """
    members: list[Member] = []

    async def start(data_dir: Path, *account: int, **options: Any) -> Member:
        members.append(await Member.start(data_dir, *account, **options))
        return members[-1]

    yield start
    for member in members:
        if member.process.returncode is None:
            await member.leave()
