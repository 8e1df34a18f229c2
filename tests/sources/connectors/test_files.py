"""A source of files, on this machine and behind a real SFTP server: moved when they are known to be whole, and never out of the folder."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from sources.connectors import files_place, files_sftp, files_sftp_connection
from sources.connectors.files import FilesConnector
from sources.connectors.files_values import UnreadableFile
from sources.documents import Document, Page, PayrollRun
from sources.errors import ConfigurationError, SourceUnavailable

NOW = 1_700_000_000.0
OLD = NOW - 1_000


def parse(data: bytes, name: str) -> list[Document]:
    """A file states one payroll run, whose id is its first word and whose net is its second."""
    try:
        external_id, net = data.decode().split()
        day = date(2026, 1, 1)
        return [PayrollRun(external_id=external_id, period_start=day, period_end=day, pay_date=day, source_status="x",
                           currency="EUR", net=int(net))]  # fmt: skip
    except ValueError as error:
        raise UnreadableFile("it is not two words") from error


@dataclass
class Pulled:
    nets: dict[str, int] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)


@dataclass
class Drop:
    """The folder under test, as who puts files there sees it, and the source that reads it."""

    path: Path
    options: dict[str, Any]
    cursor: str | None = None
    now: float = NOW

    def write(self, name: str, text: str, at: float = OLD) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        os.utime(file, (at, at))

    def names(self) -> list[str]:
        return sorted(each.relative_to(self.path).as_posix() for each in self.path.rglob("*") if each.is_file())

    async def pull(self) -> Pulled:
        pulled, last = Pulled(), Page(documents=(), cursor=None)
        connector = FilesConnector(name="drop", parse=parse, clock=lambda: self.now, **self.options)
        async for last in connector.pull(self.cursor):
            pulled.nets |= {each.external_id: each.net for each in last.documents if isinstance(each, PayrollRun)}
            pulled.problems |= {problem.subject: problem.message for problem in last.problems}
            self.cursor = last.cursor
        await connector.close()
        assert last.complete
        return pulled


@asynccontextmanager
async def served(root: Path, host_key: asyncssh.SSHKey, **options: Any) -> AsyncIterator[int]:
    """A real SFTP server of `root` on a port of its own; the user is acme, the password is secret."""

    class Server(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == ("acme", "secret")

    def factory(channel: Any) -> asyncssh.SFTPServer:
        return asyncssh.SFTPServer(channel, chroot=os.fsencode(root))

    server = await asyncssh.create_server(
        Server, "127.0.0.1", 0, server_host_keys=[host_key], sftp_factory=factory, **options
    )
    try:
        yield server.get_port()
    finally:
        server.close()
        await server.wait_closed()


@pytest.fixture
def host_key() -> asyncssh.SSHKey:
    return asyncssh.generate_private_key("ssh-ed25519")


def sftp_options(port: int, host_key: asyncssh.SSHKey, **more: Any) -> dict[str, Any]:
    return {
        "sftp": f"sftp://acme@127.0.0.1:{port}/drop",
        "sftp_host_key": "127.0.0.1 " + host_key.export_public_key().decode(),
        "sftp_password": "secret",
        **more,
    }


@pytest.fixture(params=["local", "sftp"])
async def drop(request: pytest.FixtureRequest, tmp_path: Path, host_key: asyncssh.SSHKey) -> AsyncIterator[Drop]:
    (tmp_path / "drop").mkdir()
    if request.param == "local":
        yield Drop(tmp_path / "drop", {"path": tmp_path / "drop", "when_read": "move"})
        return
    async with served(tmp_path, host_key) as port:
        yield Drop(tmp_path / "drop", sftp_options(port, host_key, when_read="move"))


async def settled(drop: Drop) -> Pulled:
    """Behind SFTP a file is moved by the pull that finds it unchanged after a minute."""
    pulled = await drop.pull()
    for _ in range(2 if "sftp" in drop.options else 0):
        drop.now += 60
        again = await drop.pull()
        pulled = Pulled(pulled.nets | again.nets, again.problems)
    return pulled


async def test_what_was_read_is_moved_to_done_and_what_cannot_be_to_quarantine(drop: Drop) -> None:
    drop.write("a.txt", "run-a 5")
    drop.write("bank/b.txt", "run-b 6")
    drop.write("bad.txt", "nonsense")
    pulled = await settled(drop)
    assert pulled.nets == {"run-a": 5, "run-b": 6}
    assert pulled.problems == {"bad.txt": "bad.txt: it is not two words."}
    assert drop.names() == ["done/a.txt", "done/bank/b.txt", "quarantine/bad.txt"]
    for _ in range(2):  # it stays named, and is not tried again
        again = await drop.pull()
        assert (again.nets, again.problems) == ({}, {"bad.txt": "bad.txt: it is not two words."})


async def test_quarantine_ends_when_the_file_is_mended_there_or_taken_away(drop: Drop) -> None:
    drop.write("bad.txt", "nonsense")
    drop.write("worse.txt", "nonsense of another kind")
    await settled(drop)
    drop.write("quarantine/bad.txt", "run-a 7", at=OLD + 1)
    (drop.path / "quarantine/worse.txt").unlink()
    pulled = await settled(drop)
    assert (pulled.nets, pulled.problems, drop.names()) == ({"run-a": 7}, {}, ["done/bad.txt"])


async def test_a_file_never_takes_the_place_of_another(drop: Drop) -> None:
    for net in (1, 2, 3):
        drop.write("a.txt", f"run-{net} {net}", at=OLD + net)
        await settled(drop)
    assert drop.names() == ["done/a-2.txt", "done/a-3.txt", "done/a.txt"]
    assert (drop.path / "done/a.txt").read_text() == "run-1 1"


async def test_a_file_that_is_being_written_stays_until_it_is_whole(drop: Drop) -> None:
    drop.write("a.txt", "run-a 1", at=NOW - 1)
    drop.write("uploading.txt.part", "run-b 1")
    assert (await drop.pull()).nets == {"run-a": 1}
    drop.write("a.txt", "run-a 12", at=NOW - 0.5 if "path" in drop.options else NOW)
    assert (await drop.pull()).nets == {"run-a": 12}
    assert drop.names() == ["a.txt", "uploading.txt.part"]
    drop.now += 60
    await drop.pull()
    await settled(drop)
    assert drop.names() == ["done/a.txt", "uploading.txt.part"]


async def test_a_pull_that_dies_before_its_page_is_stored_moves_nothing(drop: Drop) -> None:
    drop.write("a.txt", "run-a 1")
    if "sftp" in drop.options:
        await drop.pull()
        drop.now += 60
    connector = FilesConnector(name="drop", parse=parse, clock=lambda: drop.now, **drop.options)
    pages = connector.pull(None)
    assert (await anext(pages)).complete is False
    await pages.aclose()  # type: ignore[attr-defined]
    assert drop.names() == ["a.txt"]
    assert (await settled(drop)).nets == ({"run-a": 1} if "path" in drop.options else {})
    assert drop.names() == ["done/a.txt"]


@pytest.mark.parametrize(("text", "later"), [("run-a 1", "run-a 2"), ("bad", "run-a 2")])
async def test_a_file_that_takes_the_place_of_one_that_was_read_is_not_moved_unread(
    drop: Drop, text: str, later: str
) -> None:
    """Between the reading and the moving lies the storing, which may take minutes."""
    drop.write("a.txt", text)
    for _ in range(("sftp" in drop.options) * (1 if text.startswith("run") else 2)):
        await drop.pull()
        drop.now += 60
    connector = FilesConnector(name="drop", parse=parse, clock=lambda: drop.now, **drop.options)
    assert connector.waits_for_storing
    pages = connector.pull(drop.cursor)
    assert not (page := await anext(pages)).complete
    drop.write("a.txt", later, at=OLD + 10)
    async for page in pages:
        drop.cursor = page.cursor
    assert (page.complete, page.problems, drop.names()) == (True, (), ["a.txt"])
    assert (await settled(drop)).nets == {"run-a": 2}
    assert drop.names() == ["done/a.txt"]


async def test_what_cannot_be_moved_is_told_and_what_it_states_counts(drop: Drop) -> None:
    drop.write("a.txt", "run-a 1")
    (drop.path / "done").write_text("a file where the folder should be")
    os.utime(drop.path / "done", (OLD, OLD))
    pulled = await settled(drop)
    assert pulled.nets == {"run-a": 1}
    assert "a.txt" in drop.names()
    assert pulled.problems["done/"].startswith("done/: files cannot be moved to this subfolder: ")
    assert pulled.problems["done/"].endswith(" (a.txt).")


async def test_links_lead_nobody_out_of_the_folder(drop: Drop, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("run-x 1")
    (drop.path / "link.txt").symlink_to(outside / "secret.txt")
    (drop.path / "deep").symlink_to(outside)
    (drop.path / "done").symlink_to(outside)
    drop.write("a.txt", "run-a 1")
    assert (await settled(drop)).nets == {"run-a": 1}
    assert sorted(each.name for each in outside.iterdir()) == ["secret.txt"]
    shutil.rmtree(outside)


async def test_a_file_too_large_is_refused_unread(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_place, "MAX_FILE_BYTES", 10)
    drop.write("a.txt", "run-a " + "0" * 10 + "1")
    assert next(iter((await drop.pull()).problems.values())).endswith("it is larger than 0 MiB.")


async def test_the_same_bytes_under_another_name_state_nothing_new(drop: Drop) -> None:
    drop.options["when_read"] = "keep"
    drop.write("a.txt", "run-a 1")
    await drop.pull()
    drop.write("b.txt", "run-a 1")
    assert (await drop.pull()).nets == {}
    assert drop.names() == ["a.txt", "b.txt"]


# ---------------------------------------------------------------- what SFTP alone can do


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sftp_password": "wrong"}, "refused our credentials"),
        ({"sftp_host_key": asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()}, "sftp_host_key"),
        ({"sftp": "sftp://acme@127.0.0.1:{port}/nowhere"}, "it does not exist"),
        ({"sftp": "sftp://acme@127.0.0.1:1/drop"}, "cannot be reached"),
    ],
)
async def test_what_is_wrong_with_the_server_is_told_without_its_address(
    tmp_path: Path, host_key: asyncssh.SSHKey, change: dict[str, str], told: str
) -> None:
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        options = sftp_options(port, host_key) | {name: text.format(port=port) for name, text in change.items()}
        with pytest.raises(SourceUnavailable) as caught:
            await Drop(tmp_path / "drop", options).pull()
    assert told in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)


async def test_a_key_serves_as_well_as_a_password(tmp_path: Path, host_key: asyncssh.SSHKey) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    (tmp_path / "keys").write_bytes(key.export_public_key())
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key, authorized_client_keys=str(tmp_path / "keys")) as port:
        options = sftp_options(port, host_key, sftp_private_key=key.export_private_key().decode())
        del options["sftp_password"]
        drop = Drop(tmp_path / "drop", options)
        drop.write("a.txt", "run-a 1")
        assert (await drop.pull()).nets == {"run-a": 1}


async def test_a_server_that_is_silent_is_given_up(
    tmp_path: Path, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_sftp_connection, "SILENT_SECONDS", 0.2)

    class Silent(asyncssh.SFTPServer):
        async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
            await asyncio.sleep(5)
            yield asyncssh.SFTPName(b"never")

    monkeypatch.setattr(asyncssh, "SFTPServer", Silent)
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        with pytest.raises(SourceUnavailable, match="did not answer in time"):
            await Drop(tmp_path / "drop", sftp_options(port, host_key)).pull()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "must have one of path and sftp"),
        ({"path": "x", "sftp": "sftp://a@b/c"}, "must have one of path and sftp"),
        ({"path": "x", "when_read": "delete"}, 'must be "keep" or "move"'),
        ({"path": "x", "sftp_password": "p"}, "has settings of SFTP and no sftp"),
        ({"sftp": "sftp://a@b/c", "sftp_password": "p"}, "sftp_host_key is missing"),
        ({"sftp": "sftp://a@b/c", "sftp_host_key": "KEY", "sftp_password": "p"}, "sftp_host_key must be"),
        ({"sftp": "http://a@b/c", "sftp_password": "p"}, "sftp must be an address"),
        ({"sftp": "sftp://a:p@b/c", "sftp_password": "p"}, "sftp must be an address"),
        ({"sftp": "sftp://a@b:x/c", "sftp_password": "p"}, "sftp must be an address"),
        ({"sftp": "sftp://a@b/c"}, "one of sftp_password and sftp_private_key"),
        ({"sftp": "sftp://a@b/c", "sftp_private_key": "junk"}, "sftp_private_key must be the text"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, str], told: str, host_key: asyncssh.SSHKey) -> None:
    if "sftp" in options and told != "sftp_host_key is missing":
        options = {"sftp_host_key": host_key.export_public_key().decode()} | options
    with pytest.raises(ConfigurationError) as caught:
        FilesConnector(name="drop", parse=parse, **options)  # type: ignore[arg-type]
    assert told in str(caught.value)
    assert not [secret for secret in options.values() if len(secret) > 20 and secret in str(caught.value)]


async def test_a_pull_takes_one_connection_however_many_files_it_reads_and_moves(
    tmp_path: Path, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[asyncssh.SFTPServer] = []

    class Counted(asyncssh.SFTPServer):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            opened.append(self)

    monkeypatch.setattr(asyncssh, "SFTPServer", Counted)
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        drop = Drop(tmp_path / "drop", sftp_options(port, host_key, when_read="move"))
        for number in range(30):
            drop.write(f"{number:02}.txt", f"run-{number} {number}")
        await drop.pull()
        drop.now += 60
        await drop.pull()
        assert len(drop.names()) == len([name for name in drop.names() if name.startswith("done/")]) == 30
    assert len(opened) == 2


async def test_a_stalled_upload_that_can_be_read_is_not_moved_before_it_stood_still_for_a_minute(
    tmp_path: Path, host_key: asyncssh.SSHKey
) -> None:
    """Whatever time the server gives it: its clock is not ours."""
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        drop = Drop(tmp_path / "drop", sftp_options(port, host_key, when_read="move"))
        drop.write("a.txt", "run-a 1")
        for _ in range(3):
            await drop.pull()
            drop.now += 10
        drop.write("a.txt", "run-a 12", at=OLD + 30)
        assert (await drop.pull()).nets == {"run-a": 12}
        drop.now += 59
        await drop.pull()
        assert drop.names() == ["a.txt"]
        drop.now += 1
        await drop.pull()
        assert drop.names() == ["done/a.txt"]


async def test_a_slow_server_may_take_longer_than_it_may_be_silent(
    tmp_path: Path, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_sftp_connection, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(files_sftp, "_CHUNK", 5)

    class Slow(asyncssh.SFTPServer):
        async def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            await asyncio.sleep(0.2)
            return bytes(super().read(file_obj, offset, size))  # type: ignore[arg-type]

    monkeypatch.setattr(asyncssh, "SFTPServer", Slow)
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        drop = Drop(tmp_path / "drop", sftp_options(port, host_key))
        drop.write("a.txt", "run-a " + "0" * 40 + "7")
        assert (await drop.pull()).nets == {"run-a": 7}


async def test_a_server_that_says_ten_bytes_and_sends_without_end_is_read_up_to_the_bound(
    tmp_path: Path, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_place, "MAX_FILE_BYTES", 1_000_000)
    sent = 0

    class Endless(asyncssh.SFTPServer):
        def read(self, file_obj: Any, offset: int, size: int) -> bytes:
            nonlocal sent
            sent += size
            return b"x" * size

    monkeypatch.setattr(asyncssh, "SFTPServer", Endless)
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        drop = Drop(tmp_path / "drop", sftp_options(port, host_key))
        drop.write("a.txt", "run-a 1234")
        assert list((await drop.pull()).problems) == ["a.txt"]
    assert 1_000_000 < sent < 1_200_000


async def test_a_server_that_lists_without_end_is_refused(
    tmp_path: Path, host_key: asyncssh.SSHKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files_place, "MOST_NAMES", 1_000)

    class Endless(asyncssh.SFTPServer):
        async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
            while True:
                yield asyncssh.SFTPName(b".hidden", attrs=asyncssh.SFTPAttrs(permissions=0o100600, size=1))

    monkeypatch.setattr(asyncssh, "SFTPServer", Endless)
    (tmp_path / "drop").mkdir()
    async with served(tmp_path, host_key) as port:
        with pytest.raises(SourceUnavailable, match="more than 1000 names"):
            await Drop(tmp_path / "drop", sftp_options(port, host_key)).pull()


async def test_a_folder_that_is_empty_for_a_while_is_not_read_anew_when_it_is_back(drop: Drop) -> None:
    """As when its disk is not mounted."""
    drop.options["when_read"] = "keep"
    drop.write("a.txt", "run-a 1")
    await drop.pull()
    (drop.path / "a.txt").rename(drop.path.parent / "a.txt")
    assert (await drop.pull()) == Pulled()
    (drop.path.parent / "a.txt").rename(drop.path / "a.txt")
    assert (await drop.pull()).nets == {}


async def test_a_bank_that_sends_one_name_every_day_never_runs_out_of_names(drop: Drop) -> None:
    (drop.path / "done").mkdir()
    for number in range(1, 12):
        (drop.path / "done" / ("a.txt" if number == 1 else f"a-{number}.txt")).write_text("x")
    drop.write("a.txt", "run-a 1")
    await settled(drop)
    assert "done/a-20231114T215640Z.txt" in drop.names()


async def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    (tmp_path / "drop").symlink_to(tmp_path / "mounted")
    drop = Drop(tmp_path / "drop", {"path": tmp_path / "drop", "when_read": "move"})
    drop.write("a.txt", "run-a 1")
    assert await drop.pull() == Pulled({"run-a": 1}, {})
    assert (tmp_path / "mounted/done/a.txt").exists()
