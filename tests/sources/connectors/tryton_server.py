"""A real Tryton for tests: programs of its own in an environment of their own, with a company that has nothing in its books.

Tryton is GPL: nothing of it is imported here. The environment and a database with the company, as SQLite, are made once, and
kept; making them takes a minute or two.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

SERIES = "8.2"
PACKAGES = ("trytond", "trytond_account", "trytond_account_invoice", "trytond_purchase", "trytond_stock", "proteus")
CACHE = Path(__file__).parents[3] / ".cache"
CLERK = Path(__file__).with_name("tryton_clerk.py")
DATABASE, USER, PASSWORD = "books", "admin", "a-password-of-tests"
YEAR = datetime.now(UTC).year - 1
"""The company's fiscal year: Tryton warns of invoices in the future."""
ADA, STEEL, NAILS_VAT, ADVICE_VAT, BOLTS = 2, 3, 1, 2, 1
"""Ids: the customer, the supplier, taxes of 20 and 5.5 percent, a product."""

_SETTINGS = """[database]
uri = sqlite://
path = {folder}
[web]
listen = 127.0.0.1:{port}
"""


def day(month: int, number: int) -> date:
    return date(YEAR, month, number)


class Tryton:
    """One running Tryton, and a clerk who works with it (see `tryton_clerk.py` for what it can do)."""

    def __init__(self, url: str, clerk: subprocess.Popen[str]) -> None:
        self.url = url
        self._clerk = clerk

    def do(self, what: str, **arguments: Any) -> Any:
        """The result of one command of the clerk."""
        assert self._clerk.stdin is not None
        assert self._clerk.stdout is not None
        self._clerk.stdin.write(json.dumps({"do": what, **arguments}, default=str) + "\n")
        self._clerk.stdin.flush()
        answer = json.loads(self._clerk.stdout.readline() or '{"error": "the clerk is gone"}')
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def click(self, invoice: int, button: str) -> str:
        state: str = self.do("click", model="account.invoice", record_id=invoice, button=button)
        return state

    def sale(self, on: date, *lines: dict[str, Any], post: bool = True) -> int:
        """An invoice to Ada Retail."""
        return self._invoice("out", ADA, on, lines, None, post)

    def bill(self, on: date, reference: str, *lines: dict[str, Any], post: bool = True) -> int:
        """A bill of Steel Works, of no order."""
        return self._invoice("in", STEEL, on, lines, reference, post)

    def _invoice(
        self, direction: str, party: int, on: date, lines: Sequence[dict[str, Any]], reference: str | None, post: bool
    ) -> int:
        made: int = self.do("invoice", direction=direction, party=party, day=on, lines=list(lines), reference=reference)
        if post:
            assert self.click(made, "post") == "posted"
        return made

    def moved(self, invoice: int, field: str = "move") -> dict[str, int]:
        """Cents that its move, or its cancel_move, puts on each account, debit positive."""
        nets: dict[str, int] = {}
        for code, debit, credit in self.do("move_lines", record_id=invoice, field=field):
            nets[code] = nets.get(code, 0) + round(100 * float(debit)) - round(100 * float(credit))
        return nets


def line(account: str, quantity: str, price: str, text: str, *taxes: int) -> dict[str, Any]:
    return {"account": account, "quantity": quantity, "price": price, "text": text, "taxes": list(taxes)}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Tryton]:
    """A Tryton whose company has nothing in its books. Skips where Tryton cannot be installed."""
    home = _home()
    shutil.copy(_company(home), folder / f"{DATABASE}.sqlite")
    with _served(home, folder) as url, _working(home, url) as clerk:
        yield Tryton(url, clerk)


def _home() -> Path:
    """The environment, made once."""
    home = CACHE / f"tryton-{SERIES}-{sys.version_info.major}.{sys.version_info.minor}"
    if (home / "bin").exists() or (home / "Scripts").exists():
        return home
    making = CACHE / f"making-{uuid4().hex}"
    venv.create(making, with_pip=True)
    wanted = [f"{name}~={SERIES}.0" for name in PACKAGES]
    command = [_program(making, "python"), "-m", "pip", "install", "--quiet", "--retries=1", *wanted]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if installed.returncode:
            pytest.skip(f"Tryton cannot be installed: {(installed.stderr.strip().splitlines() or ['?'])[-1]}")
        # Where another worker was faster, its environment is used.
        with contextlib.suppress(OSError):
            making.rename(home)
    except subprocess.TimeoutExpired:
        pytest.skip("Tryton cannot be installed: no answer from the package index in time")
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return home


def _company(home: Path) -> Path:
    """A database with the company, made once for each year and version of the clerk."""
    mark = hashlib.sha256(CLERK.read_bytes()).hexdigest()[:12]
    kept = home / f"company-{YEAR}-{mark}.sqlite"
    if kept.exists():
        return kept
    folder = home / f"making-{uuid4().hex}"
    folder.mkdir()
    try:
        (folder / f"{DATABASE}.sqlite").touch()
        settings = _settings(folder, 0)
        (folder / "password").write_text(PASSWORD + "\n")
        command = [
            *_script(home, "trytond-admin"),
            *("-c", settings, "-d", DATABASE, "--all", "--email", "clerk@example.com"),
            *("-u", "account_invoice", "purchase", "--activate-dependencies"),
        ]
        environment = {**os.environ, "PYTHONPATH": "", "TRYTONPASSFILE": str(folder / "password")}
        subprocess.run(command, check=True, env=environment, capture_output=True, timeout=240)
        with _served(home, folder) as url, _working(home, url) as clerk:
            made = Tryton(url, clerk).do("setup", year=YEAR)
            assert made == {"customer": ADA, "supplier": STEEL, "taxes": [NAILS_VAT, ADVICE_VAT], "product": BOLTS}
        _settle(home, folder / f"{DATABASE}.sqlite")
        (folder / f"{DATABASE}.sqlite").replace(kept)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return kept


def _settle(home: Path, database: Path) -> None:
    """What is in SQLite's write-ahead log goes into the file."""
    code = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA wal_checkpoint(TRUNCATE)')"
    subprocess.run([_program(home, "python"), "-c", code, database], check=True, timeout=60)


def _settings(folder: Path, port: int) -> Path:
    path = folder / "trytond.conf"
    path.write_text(_SETTINGS.format(folder=folder, port=port))
    return path


@contextlib.contextmanager
def _served(home: Path, folder: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [*_script(home, "trytond"), "-c", _settings(folder, port), "-d", DATABASE]
    with (folder / "trytond.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": ""})
    try:
        _await_port(process, port, folder / "trytond.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)


def _await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Tryton listens once its modules are loaded."""
    ends = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()[-2_000:]
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < ends, "Tryton does not listen"
            time.sleep(0.05)


@contextlib.contextmanager
def _working(home: Path, url: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [_program(home, "python"), CLERK, f"{url}/{DATABASE}/rpc/", USER, PASSWORD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    try:
        yield process
    finally:
        _end(process)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _program(home: Path, name: str) -> Path:
    return home / ("Scripts" if os.name == "nt" else "bin") / name


def _script(home: Path, name: str) -> tuple[Path, Path]:
    """By its interpreter: scripts name the one of the folder in which they were installed, which was renamed since."""
    return _program(home, "python"), _program(home, name)
