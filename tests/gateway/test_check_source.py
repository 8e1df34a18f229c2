"""`ledgergraph check-source`: shows what settings make of a source, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.sources.connectors.test_rest import served

SETTINGS = """
[[sources]]
name = "payroll"
kind = "payroll-csv"
ledger = "acme-us"
path = "pay"
currency = "EUR"
when_read = "move"
[sources.columns]
employee_id = "No"
employee_name = "Name"
net = "Net"
pay_date = "Paid"

[[sources]]
name = "export"
kind = "bank-csv"
ledger = "acme-us"
path = "bank"
account = "A-1"
currency = "EUR"
[sources.columns]
date = "Day"
amount = "Amount"
description = "Text"

[[sources]]
name = "inhouse"
kind = "submitted"
ledger = "acme-us"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sources.toml").write_text(SETTINGS)
    for name in ("pay", "bank"):
        (tmp_path / name).mkdir()
    (tmp_path / "pay" / "may.csv").write_text(
        "No,Name,Net,Paid\n1,Ann Smith,4321.17,2026-05-31\n2,Bob,1.00,2026-05-31\n"
    )
    (tmp_path / "bank" / "may.csv").write_text("Day,Amount,Text\n2026-05-02,-12.50,Coffee\x1b[2J\n")
    return tmp_path


def check(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["check-source", *arguments, "--config", str(folder / "sources.toml")])


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_document_is_a_row(folder: Path) -> None:
    result = check(folder, "payroll")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0].split() == ["KIND", "ID", "DATE", "STATUS", "WHOSE", "AMOUNT"]
    assert "4322.17 EUR" in result.stdout
    assert "2 payslips" in result.stdout
    assert "payroll: 1 documents shown, that is all there is; nothing was stored" in result.stderr


def test_nothing_is_moved(folder: Path) -> None:
    before = everything(folder)
    assert check(folder, "payroll").exit_code == 0
    assert everything(folder) == before


def test_pay_is_shown_when_it_is_asked_for(folder: Path) -> None:
    (run,) = map(json.loads, check(folder, "payroll", "--json").stdout.splitlines())
    assert (run["kind"], run["net"], run["payslips"]) == ("payroll_run", "4322.17", 2)
    (run,) = map(json.loads, check(folder, "payroll", "--json", "--people").stdout.splitlines())
    assert [(slip["employee_name"], slip["net"]) for slip in run["payslips"]] == [
        ("Ann Smith", "4321.17"),
        ("Bob", "1.00"),
    ]


def test_what_cannot_be_read_is_told(folder: Path) -> None:
    (folder / "bank" / "june.csv").write_text("Day,Amount,Text\n2026-06-02,much,Tea\n")
    result = check(folder, "export")
    assert result.exit_code == 1
    assert "UNREADABLE_FILE" in result.stderr
    assert "june.csv" in result.stderr
    assert "1 transaction" in result.stdout


def test_a_terminal_gets_no_control_characters(folder: Path) -> None:
    assert "\x1b" not in check(folder, "export").output


def test_so_many_are_shown(folder: Path) -> None:
    (folder / "bank" / "june.csv").write_text("Day,Amount,Text\n2026-06-02,7,Tea\n")
    result = check(folder, "export", "--most", "1", "--json")
    assert len(result.stdout.splitlines()) == 1
    assert "there is more" in result.stderr


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("payrol", 2, "There is no source payrol; there are payroll, export, inhouse."),
        ("inhouse", 2, "inhouse is read by nobody: its documents are submitted."),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(folder: Path, name: str, status: int, said: str) -> None:
    result = check(folder, name)
    assert (result.exit_code, result.output.strip()) == (status, f"Error: {said}")


REST = """
[[sources]]
name = "erp"
kind = "rest"
ledger = "acme-us"
base_url = "{base}/"
[[sources.documents]]
kind = "invoice"
list = "/bills"
paging = {{ style = "page", param = "page" }}
fields = {{ external_id = "id", total = "total" }}
fixed = {{ direction = "PAYABLE", status = "OPEN", currency = "EUR", party = {{ name = "V" }} }}
"""


@pytest.fixture
def erp(folder: Path, background: Any) -> Iterator[dict[int, list[Any]]]:
    """Its listing, by page; asking for one notes it under 0."""
    pages: dict[int, list[Any]] = {0: []}

    async def bills(request: web.Request) -> web.Response:
        pages[0].append(int(request.query["page"]))
        return web.json_response(pages.get(pages[0][-1], []))

    app = web.Application()
    app.router.add_get("/bills", bills)
    stack = AsyncExitStack()
    base = background.run(stack.enter_async_context(served(app)))
    (folder / "sources.toml").write_text(REST.format(base=base))
    yield pages
    background.run(stack.aclose())


def test_a_listing_that_is_read_twice_is_shown_once(folder: Path, erp: dict[int, list[Any]]) -> None:
    erp[1] = [{"id": 1, "total": "7.00"}]
    result = check(folder, "erp")
    assert result.exit_code == 0, result.output
    assert "1 documents shown, that is all there is" in result.stderr
    assert erp[0] == [1, 2, 1, 2]


def test_an_api_is_asked_for_no_more_than_is_shown(folder: Path, erp: dict[int, list[Any]]) -> None:
    """Also where no record makes a document."""
    erp.update({number: [{"id": number, "total": "7.00" if number < 3 else "?"}] for number in range(1, 50)})
    assert len(check(folder, "erp", "--most", "2", "--json").stdout.splitlines()) == 2
    assert max(erp[0]) <= 3
    erp[0].clear()
    result = check(folder, "erp", "--most", "4")
    assert (result.exit_code, max(erp[0])) == (1, 6)
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["ID", "1", "2"]
    assert "2 documents shown, there is more" in result.stderr


def test_a_folder_that_is_not_there(folder: Path) -> None:
    (folder / "bank" / "may.csv").unlink()
    (folder / "bank").rmdir()
    result = check(folder, "export")
    assert result.exit_code == 1
    assert "cannot be read" in result.output
