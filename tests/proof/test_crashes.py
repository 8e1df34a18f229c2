"""`kill -9` of gateways and of PostgreSQL while entries are posted: nothing acknowledged is lost, nothing is doubled.

The database has the product's own settings: fsync and synchronous_commit are on. Clients send the same keys again until they
are answered; subscribers resume with their last cursor; readers ask for the same, which is answered as kept, all the time.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
import pytest

from sources.database.embedded import EmbeddedPostgres
from tests.gateway.processes import ledgergraph
from tests.proof.processes import PATIENCE, Client, Site, client, sale, site
from tests.proof.readers import reading
from tests.proof.watchers import Watcher, reached, watching

CLIENTS = 8
BETWEEN = 120
"""Entries that are acknowledged between one blow and the next."""

Blow = Callable[[Site], Awaitable[None]]


@dataclass
class Books:
    """What clients were told: (sequence, hash) of each key."""

    acknowledged: dict[str, tuple[int, str]] = field(default_factory=dict)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: bool = False

    async def post(self, talk: Client, where: Site, number: int) -> None:
        """One client: one entry after another, each until it is answered."""
        count = 0
        while not self.stopping:
            key = f"client {number}, entry {count}"
            outcome = await talk.post_until_acknowledged(where, number, sale(key, f"{number + 1}.{count % 100:02}"))
            assert outcome["__typename"] == "EntryPosted", outcome
            self.acknowledged[key] = outcome["entry"]["sequence"], outcome["entry"]["hash"]
            self.moved.set()
            count += 1

    def newest(self) -> int:
        """The highest sequence that anybody was told."""
        return max((sequence for sequence, _ in self.acknowledged.values()), default=0)

    async def grow(self, count: int) -> None:
        """Returns once so many more entries are acknowledged."""
        wanted = len(self.acknowledged) + count
        while len(self.acknowledged) < wanted:
            self.moved.clear()
            await self.moved.wait()


@asynccontextmanager
async def posting(books: Books, talk: Client, where: Site) -> AsyncIterator[None]:
    """Clients that post while the block runs; every key that they began with is answered at its end."""
    async with asyncio.timeout(1.5 * PATIENCE), asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(books.post(talk, where, number))
        yield
        books.stopping = True


async def kill_one(where: Site) -> None:
    """One of the gateways; another takes its place."""
    await where.kill(where.gateways[0])
    await where.start()


async def kill_all(where: Site) -> None:
    """Every gateway at once: the orphaned database is adopted by the next ones."""
    await asyncio.gather(*[where.kill(gateway) for gateway in list(where.gateways)])
    await asyncio.gather(where.start(), where.start())


async def kill_postmaster(where: Site) -> None:
    """The whole database server; the gateways start it again."""
    pid = await _server(where)
    os.kill(pid, signal.SIGKILL)


async def kill_backend(where: Site) -> None:
    """One backend: PostgreSQL ends all others and recovers."""
    server = psutil.Process(await _server(where))
    backends = [child for child in server.children() if "ledgergraph_app" in " ".join(child.cmdline())]
    backends[0].kill()


async def _server(where: Site) -> int:
    async with asyncio.timeout(PATIENCE):
        while (pid := where.server_pid()) is None:
            await asyncio.sleep(0.05)
        return pid


async def survive(data_dir: Path, blows: list[Blow]) -> None:
    """Posts, strikes each blow in the midst of it, and looks at what is in the books."""
    books = Books()
    async with site(data_dir, gateways=2) as where, client(where.token()) as talk:
        await talk.found(where.gateways[0].url)
        await assert_durable(data_dir)
        async with watching(where, talk.token) as watchers:
            async with reading(where, talk, books.newest) as readers, posting(books, talk, where):
                for blow in blows:
                    await books.grow(BETWEEN)
                    await blow(where)
                await books.grow(BETWEEN)
            assert len(books.acknowledged) >= BETWEEN * (len(blows) + 1)
            assert all(reader.answers > len(blows) for reader in readers), readers
            await reached(watchers, len(books.acknowledged))
        await assert_whole(books, watchers, talk, where)
        verified = await asyncio.to_thread(ledgergraph, "verify", "--ledger", "us", "--data-dir", data_dir)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert f"{len(books.acknowledged)} entries" in verified.stdout


async def assert_durable(data_dir: Path) -> None:
    connection = await asyncpg.connect(EmbeddedPostgres(data_dir).dsn())
    settings = [
        await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit", "full_page_writes")
    ]
    await connection.close()
    assert settings == ["on", "on", "on"]


async def assert_whole(books: Books, watchers: list[Watcher], talk: Client, where: Site) -> None:
    """The ledger holds what was acknowledged, each once, densely numbered; subscribers saw the same, each once, in order."""
    stored = [
        (entry["idempotencyKey"], entry["sequence"], entry["hash"])
        for entry in await talk.entries(where.gateways[0].url)
    ]
    assert [sequence for _, sequence, _ in stored] == list(range(1, len(stored) + 1))
    assert {key: (sequence, digest) for key, sequence, digest in stored} == books.acknowledged
    history = [(sequence, digest) for _, sequence, digest in stored]
    for watcher in watchers:
        assert watcher.seen == history, watcher.transport
        assert watcher.keys == [key for key, _, _ in stored]


@pytest.mark.timeout(120)
async def test_gateways_are_killed_in_the_midst_of_posting(tmp_path: Path) -> None:
    """One by one, and then all at once."""
    await survive(tmp_path / "data", [kill_one, kill_all, kill_one])


@pytest.mark.timeout(120)
async def test_postgresql_is_killed_in_the_midst_of_posting(tmp_path: Path) -> None:
    """Its postmaster, and single backends, which makes it recover as well."""
    await survive(tmp_path / "data", [kill_postmaster, kill_backend, kill_postmaster, kill_backend])
