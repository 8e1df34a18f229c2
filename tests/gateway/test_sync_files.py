"""`ledgergraph sync` and `sources` over a bank's folder, as people meet them: what they say, and their exit status."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from sources.mirror import state
from tests.sources.pipeline.company import opened

SETTINGS = """
[[sources]]
name = "bank"
kind = "bank-csv"
ledger = "acme-us"
path = "exports"
account = "DE89370400440532013000"
currency = "USD"
columns = { date = "Day", amount = "Amount" }
"""
Run = Callable[..., Result]


@pytest.fixture
def command(database_url: str, owner_url: str, tmp_path: Path, background: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    async def found() -> None:
        async with opened(database_url, owner_url):
            pass

    background.run(found())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exports").mkdir()
    (tmp_path / "s.toml").write_text(SETTINGS)

    def run(*arguments: str) -> Result:
        runner = CliRunner(env={"LEDGERGRAPH_DATA_DIR": None, "LEDGERGRAPH_CONFIG": None})
        return runner.invoke(main, [*arguments, "--config", "s.toml", "--database-url", owner_url])

    return run


def write(name: str, *rows: str) -> None:
    path = Path("exports") / name
    path.write_text("\n".join(["Day,Amount,Who", *rows]))
    os.utime(path, (1_700_000_000, 1_700_000_000))


def mend() -> None:
    Path("s.toml").write_text(SETTINGS.replace('"Amount" }', '"Amount", counterparty = "Who" }'))


def test_settings_that_change_stop_the_source_until_its_files_are_read_again(command: Run) -> None:
    write("a.csv", "2026-03-01,10,Ann", "2026-03-02,20,Bob")
    assert "bank: 1 document held, as of" in command("sync", "bank").stdout
    mend()
    stopped = command("sync", "bank")
    assert stopped.exit_code == 1
    assert "settings of bank changed (columns)" in stopped.stderr
    assert stopped.stderr.count("settings of bank changed") == 1
    again = command("sync", "bank", "--again")
    assert (again.exit_code, again.stderr) == (0, "")
    assert (
        "bank: 1 file read again: 1 document, 1 new or changed; 1 let go of, 0 kept that no file states" in again.stdout
    )
    assert "bank: 1 document held, as of" in again.stdout


def test_files_that_are_gone_are_listed(command: Run) -> None:
    write("a.csv", "2026-03-01,10,Ann")
    command("sync", "bank")
    Path("exports/a.csv").unlink()
    refused = command("sync", "bank", "--again")
    assert refused.exit_code == 2
    assert "  a.csv: it is not there (1 document)" in refused.stderr
    assert "--rest keep" in refused.stderr
    assert "1 kept that no file states" in command("sync", "bank", "--again", "--rest", "keep").stdout
    assert "1 let go of" in command("sync", "bank", "--again", "--rest", "delete").stdout


def test_new_issues_are_named_once(command: Run) -> None:
    write("a.csv", "2026-03-01,x,Ann")
    first = command("sync", "bank")
    assert "UNREADABLE_FILE a.csv: a.csv: line 2: 'x' is not a number" in first.stderr
    assert "what to do about each: ledgergraph issues --source bank" in first.stderr
    assert "    -> Mend the file" in command("issues").stdout
    assert command("sync", "bank").stderr == ""


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--rest", "keep"), 2, "--rest goes with --again"),
        (("--again", "--rest", "lose"), 2, "'lose' is not one of"),
        (("--again",), 2, "bank was not read yet"),
    ],
)
def test_what_cannot_work_is_told(command: Run, arguments: tuple[str, ...], status: int, message: str) -> None:
    result = command("sync", "bank", *arguments)
    assert (result.exit_code, message in result.stderr) == (status, True)


def test_a_source_that_is_read_for_the_first_time_is_not_down(command: Run, owner_url: str, background: Any) -> None:
    assert "It was not read yet" in command("sources").stderr

    async def lock() -> asyncpg.Connection[Any]:
        connection = await asyncpg.connect(owner_url)
        await state.lock(connection, "bank")
        return connection

    connection = background.run(lock())
    try:
        result = command("sources")
    finally:
        background.run(connection.close())
    assert (result.exit_code, result.stderr) == (0, "bank is being read for the first time\n")
    assert "SYNCING" in result.stdout


def test_sources_count_what_is_held(command: Run) -> None:
    write("a.csv", "2026-03-01,10,Ann")
    command("sync", "bank")
    write("a.csv", "2026-03-01,10,Ann", "2026-03-02,20,Bob")
    command("sync", "bank")
    command("sync", "bank", "--again")
    row = command("sources").stdout.splitlines()[1].split()
    assert row[6] == "1"
