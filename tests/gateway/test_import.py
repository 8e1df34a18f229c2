"""`ledgergraph import`: real books come in whole, once; what is refused is told by line."""

from __future__ import annotations

import csv
import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from gateway.importing import read_file, spans
from sources.errors import InvalidArgument

CORPORA = Path(os.environ.get("CORPORA", Path(__file__).parent.parent.parent.parent / "shared" / "corpora"))
JOURNALS = CORPORA / "journals"
HEADER = "entry,date,description,account,debit,credit,currency,account_type"
COFFEE = """1,2026-01-05,Coffee,6100,4.50,,USD,EXPENSE
1,2026-01-05,Coffee,1000,,4.50,USD,ASSET
"""
RENT = """2,2026-01-06,Rent,6200,900.00,,USD,EXPENSE
2,2026-01-06,Rent,1000,,900.00,USD,ASSET
"""
CREATE = ("--create-ledger", "USD", "--create-accounts")


@pytest.fixture
def books(tmp_path: Path, owner_url: str):
    """Imports text into a database of the test's own: `books("rows…", "--atomic")`."""

    def imported(rows: str, *options: str, header: str = HEADER, name: str = "january") -> Result:
        file = tmp_path / f"{name}.csv"
        file.write_text(f"{header}\n{rows}")
        return run_import(file, owner_url, *options)

    return imported


def run_import(file: Path, url: str, *options: str) -> Result:
    arguments = ["import", str(file), "--ledger", "household", "--database-url", url, *options]
    return CliRunner(env={"LEDGERGRAPH_DATA_DIR": None, "LEDGERGRAPH_CONFIG": None}).invoke(main, arguments)


def rows_of(url: str, background, sql: str) -> Sequence[asyncpg.Record]:
    async def fetch() -> Sequence[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            # The owner's tables force row-level security upon the owner, too.
            await connection.execute("SELECT set_config('ledgergraph.ledgers', '*', false)")
            return await connection.fetch(sql)
        finally:
            await connection.close()

    return background.run(fetch())


def keys(url: str, background) -> list[str]:
    rows = rows_of(url, background, "SELECT idempotency_key FROM ledger.entry ORDER BY sequence")
    return [row["idempotency_key"] for row in rows]


@pytest.mark.skipif(not JOURNALS.exists(), reason=f"the corpora are not at {CORPORA}")
class TestRealBooks:
    def test_all_entries_come_in_once_and_every_account_s_net_is_right(self, owner_url: str, background) -> None:
        first = run_import(JOURNALS / "example.csv", owner_url, *CREATE)
        assert (first.exit_code, first.stdout) == (0, "example.csv -> household: 1140 posted, 0 replayed, 0 refused\n")
        again = run_import(JOURNALS / "example.csv", owner_url, *CREATE)
        assert (again.exit_code, again.stdout) == (0, "example.csv -> household: 0 posted, 1140 replayed, 0 refused\n")
        with (JOURNALS / "example-balances.csv").open(newline="") as file:
            expected = {row["account"]: row["net"] for row in csv.DictReader(file)}
        found = rows_of(
            owner_url,
            background,
            """SELECT code, (sum(debit) - sum(credit))::numeric / 100 AS net
               FROM ledger.balance_day JOIN ledger.account USING (ledger_id, account_id) GROUP BY code""",
        )
        assert {row["code"]: f"{row['net']:.2f}" for row in found if row["net"]} == {
            account: net for account, net in expected.items() if float(net)
        }
        counted = rows_of(owner_url, background, "SELECT count(*), max(sequence) FROM ledger.entry")
        assert tuple(counted[0]) == (1140, 1140)

    def test_the_lines_are_the_file_s(self, owner_url: str, background) -> None:
        """Every amount comes back exact, on its account, in its entry."""
        run_import(JOURNALS / "example.csv", owner_url, *CREATE)
        with (JOURNALS / "example.csv").open(newline="") as file:
            stated = Counter(
                (f"example:{row['entry']}", row["account"], round(float(row["debit"] or f"-{row['credit']}") * 100))
                for row in csv.DictReader(file)
            )
        rows = rows_of(
            owner_url,
            background,
            """SELECT idempotency_key, code, amount FROM ledger.line JOIN ledger.entry USING (ledger_id, sequence)
               JOIN ledger.account USING (ledger_id, account_id)""",
        )
        assert Counter(tuple(row) for row in rows) == stated


def test_a_bad_entry_is_told_with_its_lines_and_the_others_are_posted(books, owner_url: str, background) -> None:
    result = books(
        COFFEE + "2,2026-01-06,Rent,6200,900.00,,USD,EXPENSE\n2,2026-01-06,Rent,1000,,899.99,USD,ASSET\n", *CREATE
    )
    assert result.exit_code == 1
    assert result.stdout == "january.csv -> household: 1 posted, 0 replayed, 1 refused\n"
    assert "january.csv: lines 4-5: entry 2: " in result.stderr
    assert "UNBALANCED" in result.stderr
    assert keys(owner_url, background) == ["january:1"]


def test_a_reason_names_the_line_that_it_is_about(books) -> None:
    result = books(COFFEE.replace("4.50,,USD", "4.505,,USD"), *CREATE)
    assert result.exit_code == 1
    assert "january.csv: lines 2-3: entry 1: line 2: " in result.stderr
    assert "INVALID_AMOUNT" in result.stderr


def test_with_atomic_one_bad_entry_refuses_all(books, owner_url: str, background) -> None:
    result = books(COFFEE + RENT.replace("1000,,900.00", "1000,,900.01"), "--atomic", *CREATE)
    assert result.exit_code == 1
    assert "0 posted, 0 replayed, 2 refused" in result.stdout
    assert "nothing was posted" in result.stderr
    assert keys(owner_url, background) == []


def test_with_atomic_an_unreadable_entry_refuses_all(books, owner_url: str, background) -> None:
    result = books(COFFEE + RENT.replace("2026-01-06", "06.01.2026"), "--atomic", *CREATE)
    assert result.exit_code == 1
    assert keys(owner_url, background) == []


def test_with_atomic_good_entries_are_posted_together(books, owner_url: str, background) -> None:
    assert books(COFFEE + RENT, "--atomic", *CREATE).exit_code == 0
    assert keys(owner_url, background) == ["january:1", "january:2"]


def test_the_batch_name_keeps_keys_apart(books, owner_url: str, background) -> None:
    books(COFFEE, *CREATE)
    assert "1 posted" in books(COFFEE, "--batch", "other").stdout
    assert keys(owner_url, background) == ["january:1", "other:1"]


def test_a_corrected_file_posts_what_is_missing(books, owner_url: str, background) -> None:
    books(COFFEE + RENT.replace("1000,,900.00", "1000,,90.00"), *CREATE)
    result = books(COFFEE + RENT)
    assert (result.exit_code, result.stdout) == (0, "january.csv -> household: 1 posted, 1 replayed, 0 refused\n")
    assert keys(owner_url, background) == ["january:1", "january:2"]


def test_a_posted_entry_with_another_content_is_a_conflict(books) -> None:
    books(COFFEE, *CREATE)
    result = books(COFFEE.replace("4.50", "4.60"))
    assert result.exit_code == 1
    assert "used before with other content, by entry 1" in result.stderr


def test_a_missing_ledger_is_named_with_what_creates_it(books) -> None:
    result = books(COFFEE)
    assert result.exit_code == 2
    assert "there is no ledger household; --create-ledger USD would create it" in result.stderr


def test_missing_accounts_are_reasons_without_create_accounts(books) -> None:
    result = books(COFFEE, "--create-ledger", "USD")
    assert result.exit_code == 1
    assert result.stderr.count("UNKNOWN_ACCOUNT") == 2


def test_create_accounts_leaves_those_that_exist_as_they_are(books, owner_url: str, background) -> None:
    header = f"{HEADER},account_name"
    books("1,2026-01-05,x,a,1,,USD,ASSET,Bank\n1,2026-01-05,x,b,,1,USD,EQUITY,Capital\n", *CREATE, header=header)
    result = books(
        "2,2026-01-05,x,a,1,,USD,ASSET,Other name\n2,2026-01-05,x,c,,1,USD,REVENUE,Sales\n", *CREATE, header=header
    )
    assert result.exit_code == 0
    rows = rows_of(owner_url, background, "SELECT code, name, type FROM ledger.account ORDER BY code")
    assert [tuple(row) for row in rows] == [
        ("a", "Bank", "ASSET"),
        ("b", "Capital", "EQUITY"),
        ("c", "Sales", "REVENUE"),
    ]


def test_a_row_of_an_account_alone_is_part_of_no_entry(books, owner_url: str, background) -> None:
    header = f"{HEADER},account_name"
    chart = ",,,7000,,,,EXPENSE,Travel\n,,,7100,,,,EXPENSE,\n"
    kept = books(COFFEE.replace("\n", ",\n") + chart, "--create-ledger", "USD", header=header)
    assert "january.csv: 2 rows state accounts, which are created with --create-accounts\n" in kept.stderr
    result = books(chart + COFFEE.replace("\n", ",\n"), *CREATE, header=header)
    assert (result.exit_code, result.stdout) == (0, "january.csv -> household: 1 posted, 0 replayed, 0 refused\n")
    rows = rows_of(owner_url, background, "SELECT code, name FROM ledger.account WHERE code > '7' ORDER BY code")
    assert [tuple(row) for row in rows] == [("7000", "Travel"), ("7100", "7100")]
    assert books(chart, *CREATE, header=header).stderr.endswith(
        "january.csv: 2 rows state accounts, which are in the chart\n"
    )


def test_an_account_alone_that_cannot_be_is_told_with_its_line(books) -> None:
    result = books(",,,7000,,,,EXPENSES\n,,,7100,,,,EXPENSE\n,,,7100,,,,ASSET\n,,,,,,,ASSET\n", *CREATE)
    assert result.exit_code == 1
    assert "line 2: account_type must be one of ASSET, LIABILITY" in result.stderr
    assert "line 4: account 7100 is ASSET, but EXPENSE on line 3" in result.stderr
    assert "line 5: must name an account" in result.stderr


def test_foreign_currency_dimensions_and_references_come_through(books, owner_url: str, background) -> None:
    header = f"{HEADER},reference,functional_amount,dimension:department"
    rows = (
        "1,2026-01-05,Hotel,6300,100.00,,EUR,EXPENSE,INV-9,110.00,sales\n"
        "1,2026-01-05,Hotel,2000,,100.00,EUR,LIABILITY,,110.00,\n"
    )
    assert books(rows, *CREATE, header=header).exit_code == 0
    (entry,) = rows_of(owner_url, background, "SELECT reference, total FROM ledger.entry")
    assert tuple(entry) == ("INV-9", 110_00)
    lines = rows_of(
        owner_url,
        background,
        "SELECT currency, amount, functional_amount, dimensions FROM ledger.line ORDER BY line_number",
    )
    assert [tuple(line)[:3] for line in lines] == [("EUR", 100_00, 110_00), ("EUR", -100_00, -110_00)]
    assert lines[0]["dimensions"] == '{"department": "sales"}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf" + f"{HEADER}\n".encode() + b"\xff", "line 2: is not UTF-8 text"),
        (f'{HEADER}\n1,2026-01-05,"x'.encode(), "line 2: is not CSV"),
        (b"a,b\n", "line 1: 'a' is not a column"),
        (HEADER.replace(",", ";").encode(), "line 1: cells have to be separated by commas"),
        (b"", "line 1: must name the columns"),
    ],
)
def test_a_file_that_is_not_of_the_form_is_one_sentence(
    tmp_path: Path, content: bytes, message: str, owner_url: str
) -> None:
    file = tmp_path / "bad.csv"
    file.write_bytes(content)
    result = run_import(file, owner_url, *CREATE)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {file}: {message}")


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path, owner_url: str) -> None:
    file = tmp_path / "excel.csv"
    file.write_bytes(b"\xef\xbb\xbf" + f"{HEADER}\n{COFFEE}".replace("\n", "\r\n").encode())
    assert run_import(file, owner_url, *CREATE).exit_code == 0


def test_a_pipe_is_read_as_a_file_is(tmp_path: Path, owner_url: str) -> None:
    """What can be read only once is copied first."""
    pipe = tmp_path / "january.csv"
    os.mkfifo(pipe)
    writing = threading.Thread(target=pipe.write_text, args=(f"{HEADER}\n{COFFEE}",))
    writing.start()
    result = run_import(pipe, owner_url, *CREATE)
    writing.join()
    assert (result.exit_code, result.stdout) == (0, "january.csv -> household: 1 posted, 0 replayed, 0 refused\n")


def test_a_file_that_changes_while_it_is_imported_is_refused(tmp_path: Path) -> None:
    """Where entries end was found in the file as it was."""
    path = tmp_path / "january.csv"
    path.write_text(f"{HEADER}\n{COFFEE}")
    with read_file(path) as file:
        assert file.count == 1
        path.write_text(f"{HEADER}\n{COFFEE}{RENT}")
        with pytest.raises(InvalidArgument, match="was changed while it was read"):
            list(file.entries())


def test_an_empty_file_of_the_form_posts_nothing(books) -> None:
    assert books("", *CREATE).stdout == "january.csv -> household: 0 posted, 0 replayed, 0 refused\n"


def test_line_numbers_are_told_in_spans() -> None:
    assert spans((2, 3, 4, 9)) == "lines 2-4, 9"
    assert spans((7,)) == "line 7"
