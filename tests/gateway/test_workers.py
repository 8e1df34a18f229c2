"""Several processes on one port: they share the work, are replaced when they die, and end with their parent."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from sources.database.locks import FileLock
from tests.gateway.processes import Running, ask, gone, ledgergraph, started, until


def arguments(data_dir: Path, workers: int = 2) -> tuple[object, ...]:
    return ("serve", "--data-dir", data_dir, "--port", 0, "--workers", workers)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def token(data_dir: Path) -> str:
    return ledgergraph("token", "--data-dir", data_dir, "--subject", "ana").stdout.strip()


async def workers_of(gateway: Running, count: int) -> list[int]:
    """The ids of the workers, once there are so many."""
    await until(lambda: len(gateway.children()) == count)
    return [child.pid for child in gateway.children()]


async def test_all_workers_answer_on_one_port_and_end_together(data_dir: Path, token: str) -> None:
    async with started(*arguments(data_dir)) as gateway:
        address = await gateway.address()
        await workers_of(gateway, 2)
        children = gateway.children()
        answers = await asyncio.gather(*(ask(address, token, "{ ledgers { code } }") for _ in range(20)))
        assert answers == [{"ledgers": []}] * 20
        assert await gateway.stop() == 0
        for child in children:
            await gone(child)


async def test_a_worker_that_is_killed_is_replaced(data_dir: Path, token: str) -> None:
    async with started(*arguments(data_dir)) as gateway:
        address = await gateway.address()
        first, second = await workers_of(gateway, 2)
        victim = next(child for child in gateway.children() if child.pid == first)
        victim.kill()
        event = json.loads(await gateway.says("another one follows"))
        assert event["status"] == -signal.SIGKILL
        replaced = await workers_of(gateway, 2)
        assert second in replaced
        assert first not in replaced
        assert await ask(address, token, "{ ledgers { code } }") == {"ledgers": []}
        assert await gateway.stop() == 0


async def test_workers_end_when_their_parent_is_killed(data_dir: Path) -> None:
    async with started(*arguments(data_dir)) as gateway:
        await gateway.address()
        await workers_of(gateway, 2)
        children = gateway.children()
        await gateway.stop(signal.SIGKILL)
        for child in children:
            await gone(child)
    alone = FileLock.attempt(data_dir / "users.lock")
    assert alone is not None, "a worker still uses the data directory"
    alone.close()


async def test_ctrl_c_of_a_whole_terminal_stops_cleanly(data_dir: Path) -> None:
    async with started(*arguments(data_dir)) as gateway:
        await gateway.address()
        await workers_of(gateway, 2)
        for child in gateway.children():
            child.send_signal(signal.SIGINT)
        assert await gateway.stop(signal.SIGINT) == 0


def test_workers_that_cannot_start_end_the_command(data_dir: Path, tmp_path: Path) -> None:
    config = tmp_path / "sources.toml"
    config.write_text(
        '[[sources]]\nname = "pay"\nkind = "xero-payroll"\nledger = "a"\nclient_id = "x"\ntenant_id = "y"\nclient_secret = "env:S"\n'
    )
    done = ledgergraph(*arguments(data_dir), "--config", config, S="\x07")
    assert done.returncode != 0
    assert "before it could serve" in done.stderr
