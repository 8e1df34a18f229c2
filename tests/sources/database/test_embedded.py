"""One server for the processes of a data directory: shared, killed, restarted, adopted and stopped by the last."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from sources.database.embedded import APP_ROLE, DATABASE, OWNER_ROLE, EmbeddedPostgres

StartMember = Callable[..., Awaitable[Any]]
SETTINGS = {"shared_buffers": "16MB"}


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def server_of(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, settings=SETTINGS)


async def until(fulfilled: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something in another process that gives no event."""
    async with asyncio.timeout(seconds):
        while not fulfilled():
            await asyncio.sleep(0.02)


def kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def fetchval(server: EmbeddedPostgres, query: str, *, user: str = OWNER_ROLE) -> Any:
    connection = await asyncpg.connect(server.dsn(user=user))
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_settings_roles_and_locale(data_dir: Path) -> None:
    """The server is durable, listens on no port, sorts by code point, and neither role is a superuser."""
    async with EmbeddedPostgres(data_dir) as server:
        connection = await asyncpg.connect(server.dsn())
        rows = await connection.fetch("SELECT name, setting FROM pg_settings")
        settings = {row["name"]: row["setting"] for row in rows}
        roles = await connection.fetch("SELECT rolname, rolsuper FROM pg_roles WHERE rolcanlogin")
        owner = await connection.fetchval(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = $1", DATABASE
        )
        locale = await connection.fetchrow(
            "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = $1", DATABASE
        )
        await connection.close()
        process = psutil.Process(server.postmaster_pid())
        assert [one for one in process.net_connections() if one.status == psutil.CONN_LISTEN] == []
        assert (data_dir / "socket").stat().st_mode & 0o777 == 0o700
    expected = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "jit": "off",
                "listen_addresses": "", "max_connections": "200", "TimeZone": "UTC", "server_encoding": "UTF8",
                "data_checksums": "on"}  # fmt: skip
    assert {name: settings[name] for name in expected} == expected
    assert {row["rolname"]: row["rolsuper"] for row in roles} == {"postgres": True, OWNER_ROLE: False, APP_ROLE: False}
    assert owner == OWNER_ROLE
    assert (locale["datlocprovider"], locale["datlocale"]) == (b"b", "C.UTF-8")


async def test_url_serves_sqlalchemy(data_dir: Path) -> None:
    """The same URL, with the driver named, connects SQLAlchemy."""
    async with server_of(data_dir) as server:
        engine = create_async_engine(server.dsn().replace("postgresql:", "postgresql+asyncpg:", 1))
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT current_user::text")) == APP_ROLE
        await engine.dispose()


async def test_last_of_two_processes_stops_the_server(data_dir: Path, start_member: StartMember) -> None:
    first, second = await start_member(data_dir), await start_member(data_dir)
    pid = await first.ready()
    assert await second.ready() == pid
    await first.leave()
    assert server_of(data_dir).postmaster_pid() == pid
    await second.leave()
    assert server_of(data_dir).postmaster_pid() is None


async def test_killed_process_leaves_the_server_to_the_other(data_dir: Path, start_member: StartMember) -> None:
    """The killed one had started it; the other goes on, and stops it at the end."""
    first = await start_member(data_dir)
    pid = await first.ready()
    async with server_of(data_dir) as server:
        await first.kill()
        assert await fetchval(server, "SELECT 1") == 1
        assert server.postmaster_pid() == pid
    assert server.postmaster_pid() is None


async def test_orphan_is_adopted_and_stopped(data_dir: Path, start_member: StartMember) -> None:
    """When all its users were killed the server stays; the next start takes it over as it is."""
    members = [await start_member(data_dir) for _ in range(2)]
    pids = {await member.ready() for member in members}
    for member in members:
        await member.kill()
    async with server_of(data_dir) as server:
        assert {server.postmaster_pid()} == pids
        assert await fetchval(server, "SELECT 1") == 1
    assert server.postmaster_pid() is None


async def test_many_starts_at_once_make_one_server(data_dir: Path, start_member: StartMember) -> None:
    """Four processes begin with no data directory at all."""
    members = await asyncio.gather(*(start_member(data_dir) for _ in range(4)))
    assert len({await member.ready() for member in members}) == 1
    await asyncio.gather(*(member.leave() for member in members))
    assert server_of(data_dir).postmaster_pid() is None


async def test_one_process_may_use_it_twice(data_dir: Path) -> None:
    """Two contexts of one process count as two users."""
    async with server_of(data_dir) as outer:
        async with server_of(data_dir) as inner:
            assert inner.postmaster_pid() == outer.postmaster_pid()
        assert await fetchval(outer, "SELECT 1") == 1
    assert outer.postmaster_pid() is None


async def test_killed_server_is_restarted_and_recovers(data_dir: Path) -> None:
    """What was acknowledged before the kill is there after it, whoever of many asks for the restart."""
    async with server_of(data_dir) as server, server_of(data_dir) as other:
        connection = await asyncpg.connect(server.dsn(user=OWNER_ROLE))
        await connection.execute("CREATE TABLE kept (number int)")
        for number in range(100):
            await connection.execute("INSERT INTO kept VALUES ($1)", number)
        before = server.postmaster_pid()
        kill(before)
        await asyncio.gather(*(one.ensure_running() for one in (server, other) for _ in range(3)))
        assert await fetchval(server, "SELECT count(*) FROM kept") == 100
        assert server.postmaster_pid() not in (None, before)
        await connection.close(timeout=5)


async def test_busy_children_of_a_killed_server_do_not_hold_up_the_next(data_dir: Path) -> None:
    """A backend that computes does not notice its postmaster's death; it is ended, and recovery begins."""
    async with server_of(data_dir) as server:
        connection = await asyncpg.connect(server.dsn())
        backend = psutil.Process(connection.get_server_pid())
        query = asyncio.create_task(connection.execute("SELECT generate_series(1, 10000000000) OFFSET 10000000000"))
        await until(lambda: backend.cpu_times().user > 0.2)
        kill(server.postmaster_pid())
        async with asyncio.timeout(30):
            await server.ensure_running()
        assert await fetchval(server, "SELECT 1") == 1
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await query


async def test_watch_restarts_a_killed_server(data_dir: Path, start_member: StartMember) -> None:
    """A member with a watch needs no call."""
    before = await (await start_member(data_dir)).ready()
    watched = server_of(data_dir)
    kill(before)
    await until(lambda: watched.postmaster_pid() not in (None, before))


async def test_crashed_backend_costs_a_restart(data_dir: Path, start_member: StartMember) -> None:
    """PostgreSQL distrusts its shared memory after a backend was killed; the server ends, and the watch starts it anew."""
    before = await (await start_member(data_dir)).ready()
    watched = server_of(data_dir)
    connection = await asyncpg.connect(watched.dsn())
    kill(connection.get_server_pid())
    await until(lambda: watched.postmaster_pid() not in (None, before))
    async with watched:
        assert await fetchval(watched, "SELECT 1") == 1
    await connection.close(timeout=5)


async def test_interrupt_of_the_terminal_stays_out_of_the_server(data_dir: Path, start_member: StartMember) -> None:
    """Ctrl-C reaches the process group of the one who started the server, not the server."""
    first = await start_member(data_dir)
    pid = await first.ready()
    async with server_of(data_dir) as server:
        connection = await asyncpg.connect(server.dsn())
        await first.interrupt()
        assert await connection.fetchval("SELECT 1") == 1
        assert server.postmaster_pid() == pid
        await connection.close()


async def test_connected_client_does_not_hold_up_the_stop(data_dir: Path) -> None:
    """A fast shutdown ends a running query."""
    async with asyncio.timeout(30), server_of(data_dir) as server:
        connection = await asyncpg.connect(server.dsn())
        query = asyncio.create_task(connection.execute("SELECT pg_sleep(600)"))
        while not await fetchval(
            server, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", user="postgres"
        ):
            assert not query.done()
    assert server.postmaster_pid() is None
    with pytest.raises((asyncpg.PostgresError, OSError)):
        await query


@pytest.mark.parametrize("seconds", [0.01, 0.1, 0.2, 0.4, 0.6, 0.8])
async def test_cancelled_start_leaves_no_server(data_dir: Path, seconds: float) -> None:
    """Whenever Ctrl-C comes during a start, nothing stays behind and the next start succeeds."""
    started = asyncio.Event()

    async def use() -> None:
        async with server_of(data_dir):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(use())
    await asyncio.wait({task, asyncio.create_task(started.wait())}, timeout=seconds, return_when="FIRST_COMPLETED")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server_of(data_dir).postmaster_pid() is None
    async with server_of(data_dir) as server:
        assert await fetchval(server, "SELECT 1") == 1


async def test_leaving_a_dead_server_is_quiet(data_dir: Path) -> None:
    """Who leaves after the server was killed has nothing to stop, and the next start recovers."""
    async with server_of(data_dir) as server:
        kill(server.postmaster_pid())
    async with server_of(data_dir) as server:
        assert await fetchval(server, "SELECT 1") == 1


async def test_stopped_server_is_started_again(data_dir: Path) -> None:
    """An administrator's stop from outside counts as a death."""
    async with server_of(data_dir) as server:
        before = server.postmaster_pid()
        assert before is not None
        os.kill(before, signal.SIGTERM)
        await until(lambda: server.postmaster_pid() is None)
        await server.ensure_running()
        assert await fetchval(server, "SELECT 1") == 1


async def test_ensure_running_is_for_members(data_dir: Path) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await server_of(data_dir).ensure_running()
