"""Where an embedded server may live: odd directories, other accounts, remains of interrupted starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from sources.database import binaries
from sources.database.binaries import Account, _copied, installed_programs, server_account
from sources.database.embedded import EmbeddedPostgres
from sources.database.sockets import socket_directory
from sources.errors import ConfigurationError, DatabaseUnavailable

StartMember = Callable[..., Awaitable[Any]]
SETTINGS = {"shared_buffers": "16MB", "fsync": "off"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another account")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A short directory that every account may enter."""
    directory = Path(tempfile.mkdtemp(prefix="lg-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def server_of(data_dir: Path, **settings: str) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, settings={**SETTINGS, **settings})


async def answers(data_dir: Path) -> bool:
    """Whether a server starts there, answers, and is gone afterwards."""
    async with server_of(data_dir) as server:
        connection = await asyncpg.connect(server.dsn())
        one = await connection.fetchval("SELECT 1")
        await connection.close()
    return one == 1 and server.postmaster_pid() is None


async def refusal(data_dir: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        await server_of(data_dir).__aenter__()
    return str(refused.value)


async def test_empty_directories_are_filled(data_dir: Path) -> None:
    """An empty data directory, and an empty cluster in it, are as good as none."""
    (data_dir / "cluster").mkdir(parents=True)
    assert await answers(data_dir)


async def test_interrupted_first_start_is_recovered(data_dir: Path, start_member: StartMember) -> None:
    """A start that was killed during initdb, with initdb still at work, is no obstacle to the next."""
    member = await start_member(data_dir)
    while not (data_dir / "cluster.unfinished" / "PG_VERSION").exists():
        assert member.process.returncode is None
    await member.kill()
    assert not (data_dir / "cluster").exists()
    assert await answers(data_dir)
    assert not (data_dir / "cluster.unfinished").exists()


async def test_damaged_cluster_is_refused(data_dir: Path) -> None:
    """Files without PG_VERSION may be somebody's books: nothing is initialised over them."""
    (data_dir / "cluster" / "base").mkdir(parents=True)
    assert "no PG_VERSION" in await refusal(data_dir)
    assert (data_dir / "cluster" / "base").exists()


async def test_other_major_version_is_refused(data_dir: Path) -> None:
    (data_dir / "cluster").mkdir(parents=True)
    (data_dir / "cluster" / "PG_VERSION").write_text("16\n")
    assert "PostgreSQL 16" in await refusal(data_dir)


async def test_directory_of_another_server_is_refused(data_dir: Path) -> None:
    data_dir.mkdir()
    (data_dir / "PG_VERSION").write_text("18\n")
    assert "LEDGERGRAPH_DATABASE_URL" in await refusal(data_dir)


async def test_file_as_data_directory_is_refused(data_dir: Path) -> None:
    data_dir.write_text("")
    assert "LEDGERGRAPH_DATA_DIR" in await refusal(data_dir)


async def test_setting_that_the_server_refuses_is_told(data_dir: Path) -> None:
    """A server that does not come up is not launched for ever, and its own words are the reason."""
    with pytest.raises(DatabaseUnavailable, match="work_mem"):
        await server_of(data_dir, work_mem="plenty").__aenter__()
    assert await answers(data_dir)


async def test_reused_pid_does_not_count_as_alive(data_dir: Path) -> None:
    """PostgreSQL itself refuses to start while any process of its user has the pid in a stale pid file."""
    assert await answers(data_dir)
    account = server_account(data_dir / "cluster")
    with subprocess.Popen(["sleep", "600"], cwd="/", **account.process_options()) as stranger:
        stale = f"{stranger.pid}\n{data_dir}/cluster\n1\n5432\n{data_dir}/socket\n\n  1  1\nready\n"
        for path in (data_dir / "cluster" / "postmaster.pid", data_dir / "socket" / ".s.PGSQL.5432.lock"):
            path.write_text(stale)
            account.own(path)
        (data_dir / "socket" / ".s.PGSQL.5432").touch()
        assert server_of(data_dir).postmaster_pid() is None
        assert await answers(data_dir)
        assert stranger.poll() is None
        stranger.kill()


async def test_server_started_by_hand_is_not_doubled(open_dir: Path) -> None:
    """A PostgreSQL that someone started on the cluster is named, and neither stopped nor joined."""
    data_dir = open_dir / "data"
    assert await answers(data_dir)
    account = server_account(data_dir / "cluster")
    with subprocess.Popen(
        [
            installed_programs() / "postgres",
            "-D",
            data_dir / "cluster",
            "-k",
            data_dir / "socket",
            "-h",
            "",
            "-p",
            "5433",
        ],
        cwd=open_dir,
        stderr=subprocess.PIPE,
        **account.process_options(),
    ) as other:
        assert other.stderr is not None
        while b"ready to accept connections" not in other.stderr.readline():
            assert other.poll() is None
        assert str(other.pid) in await refusal(data_dir)
        assert other.poll() is None
        other.terminate()
        other.communicate()


async def test_long_path_has_its_socket_elsewhere(tmp_path: Path, start_member: StartMember) -> None:
    """All processes find the same private directory, and it is taken away with the server."""
    data_dir = tmp_path / ("long, with a comma " * 6)
    member = await start_member(data_dir)
    await member.ready()
    sockets = socket_directory(data_dir)
    assert len(str(sockets)) < 80
    assert sockets.stat().st_mode & 0o777 == 0o700
    assert owner_of(sockets) == owner_of(data_dir / "cluster")
    async with server_of(data_dir) as server:
        assert str(sockets) in server.dsn()
        connection = await asyncpg.connect(server.dsn())
        await connection.close()
    await member.leave()
    assert not sockets.exists()


def owner_of(path: Path) -> int:
    return path.stat().st_uid


async def test_strangers_socket_directory_is_not_used(tmp_path: Path, open_dir: Path) -> None:
    """When the recorded directory was cleaned away and someone else took its name, another is made."""
    data_dir = tmp_path / ("long" * 20)
    assert await answers(data_dir)
    taken = open_dir / "taken"
    taken.mkdir()
    taken.chmod(0o777)
    (data_dir / "socket.path").write_text(str(taken))
    async with server_of(data_dir) as server:
        assert str(taken) not in server.dsn()
    assert list(taken.iterdir()) == []


@as_root
async def test_root_below_a_closed_directory(open_dir: Path) -> None:
    """The server's account may not enter the parents; it works, and their permissions stay as they are."""
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    data_dir = closed / "data"
    assert await answers(data_dir)
    async with server_of(data_dir) as server:
        process = psutil.Process(server.postmaster_pid())
        assert process.uids().effective == (data_dir / "cluster").stat().st_uid != 0
        assert process.gids().effective != 0
    assert closed.stat().st_mode & 0o777 == 0o700


@as_root
async def test_root_with_programs_in_a_closed_directory(
    tmp_path: Path, data_dir: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that the account cannot reach are copied once to where only root can change them."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    programs = _copied(installed_programs(), closed)
    monkeypatch.setattr(binaries, "installed_programs", lambda: programs)
    monkeypatch.setattr(tempfile, "tempdir", str(open_dir))
    assert await answers(data_dir)
    copies = sorted(open_dir.iterdir())
    assert [(copy.stat().st_uid, copy.stat().st_mode & 0o022) for copy in copies] == [(0, 0)]
    next(copies[0].rglob("postgres.bki")).unlink()
    assert await answers(data_dir.with_name("other"))
    assert sorted(open_dir.iterdir()) == copies


@as_root
def test_copied_programs_that_others_could_write_are_not_run(open_dir: Path) -> None:
    """The copy's name was taken, or somebody opened it: it is left alone."""
    copy = _copied(installed_programs(), open_dir)
    assert copy is not None
    assert copy.is_relative_to(open_dir)
    next(open_dir.iterdir()).chmod(0o777)
    assert _copied(installed_programs(), open_dir) is None


@as_root
async def test_cluster_restored_by_root_is_given_back(data_dir: Path) -> None:
    """A copy that root made belongs to root, and has root's modes; PostgreSQL would refuse both."""
    assert await answers(data_dir)
    owner = (data_dir / "cluster").stat().st_uid
    for path in (data_dir / "cluster", *(data_dir / "cluster").rglob("*")):
        os.chown(path, 0, 0)
    (data_dir / "cluster").chmod(0o755)
    assert await answers(data_dir)
    assert (data_dir / "cluster").stat().st_uid == owner


@as_root
async def test_an_ordinary_account_and_root_share(open_dir: Path, start_member: StartMember) -> None:
    """An ordinary user's directory is served as that user, whoever starts the server; not for a third account."""
    user = Account(65534, 65534, switch=True)
    data_dir = open_dir / "data"
    data_dir.mkdir(mode=0o755)
    user.own(data_dir)
    for account in ((user.uid, user.gid), (), (user.uid, user.gid)):
        member = await start_member(data_dir, *account)
        pid = await member.ready()
        assert psutil.Process(pid).uids().effective == user.uid
        async with server_of(data_dir) as server:
            assert server.postmaster_pid() == pid
        await member.leave()
    stranger = await start_member(data_dir, 1, 1, stderr=subprocess.PIPE)
    _, said = await stranger.process.communicate()
    assert b"run as its owner" in said


async def test_windows_is_told_what_to_set(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "LEDGERGRAPH_DATABASE_URL" in await refusal(data_dir)
