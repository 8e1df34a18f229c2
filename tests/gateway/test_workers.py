"""Several processes on one port: they share the work, are replaced when they die, and end with their parent."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.websocket import PROTOCOL
from sources.database.locks import FileLock
from tests.gateway.processes import PATIENCE, Running, ask, gone, ledgergraph, started, until

LEDGER = """mutation {
  createLedger(input: {code: "w", name: "W", functionalCurrency: "USD"}) { __typename }
  createAccounts(input: {ledger: "w", accounts: [
    {code: "1", name: "Bank", type: ASSET}, {code: "2", name: "Sales", type: REVENUE}]}) { __typename } }"""


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
    config = tmp_path / "settings.toml"
    config.write_text('[mapping]\na = "rules.toml"\n')
    (tmp_path / "rules.toml").write_text("nonsense = 3\n")
    done = ledgergraph(*arguments(data_dir), "--config", config)
    assert done.returncode != 0
    assert "before it could serve" in done.stderr
    assert "nonsense is not known" in done.stderr


async def scraped(address: str) -> dict[str, float]:
    """By name and labels, what /metrics says to a connection of its own."""
    async with aiohttp.ClientSession() as session, session.get(address.replace("/graphql", "/metrics")) as response:
        lines = (await response.text()).splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def answered(found: dict[str, float]) -> float:
    return sum(value for name, value in found.items() if name.startswith("ledgergraph_requests_total"))


async def test_every_worker_tells_of_all(data_dir: Path, token: str) -> None:
    """Whoever answers a scrape; what a worker counted stays when it is killed, what it had open does not."""
    async with started(*arguments(data_dir)) as gateway:
        address = await gateway.address()
        await workers_of(gateway, 2)
        await asyncio.gather(*(ask(address, token, "{ ledgers { code } }") for _ in range(30)))
        assert [answered(await scraped(address)) for _ in range(10)] == [30] * 10
        async with aiohttp.ClientSession() as session, session.ws_connect(address, protocols=[PROTOCOL]):
            async with asyncio.timeout(30):  # the client knows that it is open before its worker counts it
                while (await scraped(address)).get("ledgergraph_open_sockets") != 1:
                    await asyncio.sleep(0.01)
            for child in gateway.children():
                child.kill()
            await gateway.says("another one follows", 2)
        assert await ask(address, token, "{ ledgers { code } }") == {"ledgers": []}
        found = await scraped(address)
        assert (answered(found), found.get("ledgergraph_open_sockets", 0)) == (31, 0)
        assert await gateway.stop() == 0


async def test_postings_survive_a_worker_that_is_killed(data_dir: Path) -> None:
    """Clients that send the same key again until they are answered find each entry posted once, where it was said to be."""
    token = ledgergraph("token", "--data-dir", data_dir, "--subject", "ana", "--scopes", "all").stdout.strip()
    async with started(*arguments(data_dir)) as gateway:
        address = await gateway.address()
        await workers_of(gateway, 2)
        await ask(address, token, LEDGER)
        acknowledged: dict[str, int] = {}
        killed = asyncio.Event()

        async def client(number: int) -> None:
            count = 0
            while not killed.is_set() or count < 10:
                key = f"{number}-{count}"
                acknowledged[key] = await posted(address, token, key)
                count += 1

        clients = [asyncio.create_task(client(number)) for number in range(8)]
        await until(lambda: len(acknowledged) > 50)
        gateway.children()[0].kill()
        await gateway.says("another one follows")
        killed.set()
        await asyncio.gather(*clients)
        again = {key: await posted(address, token, key) for key in acknowledged}
        assert again == acknowledged
        assert sorted(acknowledged.values()) == list(range(1, len(acknowledged) + 1))
        assert await gateway.stop() == 0


async def posted(address: str, token: str, key: str) -> int:
    """The sequence of an entry, once it is answered."""
    post = (
        'mutation ($key: String!) { postEntry(input: {ledger: "w", idempotencyKey: $key, effectiveDate: "2026-01-02", description: "x", '
        'lines: [{account: "1", debit: "1.00"}, {account: "2", credit: "1.00"}]}) '
        "{ ... on EntryPosted { entry { sequence } } } }"
    )
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                answer: Any = await ask(address, token, post, key=key)
                return int(answer["postEntry"]["entry"]["sequence"])
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)  # its worker was killed: another one answers
