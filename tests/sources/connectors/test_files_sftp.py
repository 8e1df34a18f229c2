"""SFTP servers that break off, refuse, and have other names and hands in the folder: nothing is lost, nothing is read by halves."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from sources.connectors import files_sftp
from sources.errors import SourceUnavailable
from tests.sources.connectors.test_files import OLD, Drop, drop, host_key, served, settled, sftp_options

__all__ = ["drop", "host_key"]


@pytest.fixture
async def remote(tmp_path: Path, host_key: asyncssh.SSHKey) -> AsyncIterator[Drop]:
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        yield Drop(tmp_path / "drop", sftp_options(port, host_key, when_read="move"))


class Breaking(asyncssh.SFTPServer):
    """Cuts the connection at the `at`-th call, of all connections, of one kind."""

    kind = ""
    at = 0
    calls = 0

    def __init__(self, channel: Any, *args: Any, **options: Any) -> None:
        super().__init__(channel, *args, **options)
        self._asked = channel

    def count(self, kind: str) -> None:
        if kind != Breaking.kind:
            return
        Breaking.calls += 1
        if Breaking.calls == Breaking.at:
            self._asked.get_connection().abort()

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        async for name in super().scandir(path):
            self.count("scandir")
            yield name

    def read(self, file_obj: Any, offset: int, size: int) -> bytes:
        self.count("read")
        return bytes(super().read(file_obj, offset, size))  # type: ignore[arg-type]

    def rename(self, oldpath: bytes, newpath: bytes) -> None:
        self.count("rename")
        super().rename(oldpath, newpath)

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        self.count("rename")
        super().posix_rename(oldpath, newpath)


@pytest.mark.parametrize(("kind", "at"), [("scandir", 4), ("read", 1), ("read", 3), ("rename", 1), ("rename", 2)])
async def test_a_connection_that_drops_loses_nothing(
    remote: Drop, monkeypatch: pytest.MonkeyPatch, kind: str, at: int
) -> None:
    monkeypatch.setattr(asyncssh, "SFTPServer", Breaking)
    monkeypatch.setattr(files_sftp, "_CHUNK", 4)
    monkeypatch.setattr(Breaking, "kind", kind)
    monkeypatch.setattr(Breaking, "at", at)
    monkeypatch.setattr(Breaking, "calls", 0)
    for number in range(4):
        remote.write(f"{number}.txt", f"run-{number} {number}")
    nets: dict[str, int] = {}
    errors: list[str] = []
    for _ in range(4):
        try:
            nets |= (await remote.pull()).nets
        except SourceUnavailable as error:
            errors.append(str(error))
        remote.now += 60
    assert ["the connection broke" in error for error in errors] == [True]
    if kind in ("scandir", "read"):
        assert nets == {f"run-{number}": number for number in range(4)}
    assert remote.names() == [f"done/{number}.txt" for number in range(4)]


async def test_a_name_that_somebody_takes_while_a_file_is_moved_is_left_alone(
    remote: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Racing(asyncssh.SFTPServer):
        def rename(self, oldpath: bytes, newpath: bytes) -> None:
            target = Path(os.fsdecode(self.map_path(newpath)))
            if target.name == "a.txt":
                target.write_text("another's")
            super().rename(oldpath, newpath)

    monkeypatch.setattr(asyncssh, "SFTPServer", Racing)
    remote.write("a.txt", "run-a 1")
    assert (await settled(remote)).problems == {}
    assert remote.names() == ["done/a-2.txt", "done/a.txt"]
    assert (remote.path / "done/a.txt").read_text() == "another's"


async def test_a_move_that_is_denied_is_told_and_tried_again(remote: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    denied = True

    class Denying(asyncssh.SFTPServer):
        def rename(self, oldpath: bytes, newpath: bytes) -> None:
            if denied:
                raise asyncssh.SFTPPermissionDenied("/home/acme is read-only")
            super().rename(oldpath, newpath)

    monkeypatch.setattr(asyncssh, "SFTPServer", Denying)
    remote.write("a.txt", "run-a 1")
    remote.write("b.txt", "run-b 2")
    pulled = await settled(remote)
    assert pulled.nets == {"run-a": 1, "run-b": 2}
    told = "files cannot be moved to this subfolder: the server says PermissionDenied (a.txt, b.txt)"
    assert pulled.problems == {"done/": f"done/: {told}."}
    denied = False
    again = await remote.pull()
    assert (again.nets, again.problems, remote.names()) == ({}, {}, ["done/a.txt", "done/b.txt"])


async def test_a_file_whose_reading_is_denied_is_told_and_the_others_are_read(
    remote: Drop, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Denying(asyncssh.SFTPServer):
        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
            if path.endswith(b"a.txt"):
                raise asyncssh.SFTPPermissionDenied("no")
            return super().open(path, pflags, attrs)

        def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> Any:
            if path.endswith(b"a.txt"):
                raise asyncssh.SFTPPermissionDenied("no")
            return super().open56(path, desired_access, flags, attrs)

    monkeypatch.setattr(asyncssh, "SFTPServer", Denying)
    remote.write("a.txt", "run-a 1")
    remote.write("b.txt", "run-b 2")
    pulled = await remote.pull()
    assert (pulled.nets, list(pulled.problems)) == ({"run-b": 2}, ["a.txt"])


async def test_names_as_long_as_a_file_system_takes_are_read_and_moved(drop: Drop) -> None:
    name = "a" * 251 + ".txt"
    drop.write(name, "run-a 1")
    assert (await settled(drop)).nets == {"run-a": 1}
    assert drop.names() == [f"done/{name}"]
    drop.write(name, "run-b 2", at=OLD + 10)
    pulled = await settled(drop)
    assert pulled.nets == {"run-b": 2}
    assert name in drop.names(), "there is no room for a number behind its name, so it stays"
    assert list(pulled.problems) == ["done/"]


async def test_a_server_that_lists_a_name_without_end_is_refused(remote: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Long(asyncssh.SFTPServer):
        async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
            yield asyncssh.SFTPName(b"x" * 2_000, attrs=asyncssh.SFTPAttrs(permissions=0o100600, size=1))

    monkeypatch.setattr(asyncssh, "SFTPServer", Long)
    with pytest.raises(SourceUnavailable, match="a name of 2000 characters"):
        await remote.pull()


async def test_files_two_levels_deep_are_told_of(drop: Drop) -> None:
    drop.write("bank/a.txt", "run-a 1")
    drop.write("bank/2026/b.txt", "run-b 2")
    drop.write("bank/2025/march/c.txt", "run-c 3")
    drop.write("bank/done/d.txt", "run-d 4")
    (drop.path / "bank/empty").mkdir()
    pulled = await settled(drop)
    assert pulled.nets == {"run-a": 1}
    told = (
        "folders within a subfolder are not read (2025, 2026): move their files one level up, or to a folder named done"
    )
    assert pulled.problems == {"bank/": f"bank/: {told}."}
    move_up(drop)
    pulled = await settled(drop)
    assert (pulled.nets, pulled.problems) == ({"run-b": 2, "run-c": 3}, {})


def move_up(drop: Drop) -> None:
    for name in ("2026/b.txt", "2025/march/c.txt"):
        (drop.path / "bank" / name).rename(drop.path / "bank" / Path(name).name)
    (drop.path / "bank/2025/march").rmdir()
