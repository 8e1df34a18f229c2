"""The sample company's statement files: they read, add up, stay the same, and grow with the days."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.demo.servers.bank_files import EUR_ACCOUNT, GBP_ACCOUNT, USD_ACCOUNT, write_bank_files
from sources.connectors.bank_statements import BankStatementsConnector
from sources.documents import BankStatement, BankTransactionStatus

TODAY = date(2026, 11, 20)


async def read(folder: Path) -> list[BankStatement]:
    found: list[BankStatement] = []
    async for page in BankStatementsConnector(name="bank", path=folder).pull(None):
        assert page.problems == ()
        found += [each for each in page.documents if isinstance(each, BankStatement)]
    return found


async def test_a_year_of_three_accounts_adds_up_but_for_one_statement(tmp_path: Path) -> None:
    write_bank_files(tmp_path, 1, TODAY)
    statements = await read(tmp_path)
    by_account = {
        account: [each for each in statements if each.account.external_id == account and not each.provisional]
        for account in (USD_ACCOUNT, EUR_ACCOUNT, GBP_ACCOUNT)
    }
    assert [len(found) for found in by_account.values()] == [12, 12, 12]
    assert {found[0].account.currency for found in by_account.values()} == {"USD", "EUR", "GBP"}
    warned = [each for each in statements if each.warnings]
    assert [(each.account.external_id, each.to_date) for each in warned] == [(GBP_ACCOUNT, date(2026, 10, 31))]
    for account in (USD_ACCOUNT, EUR_ACCOUNT):
        chain = sorted(by_account[account], key=lambda each: each.to_date or date.min)
        assert [each.closing for each in chain[:-1]] == [each.opening for each in chain[1:]]
        assert all(len(each.transactions) > 20 for each in chain)


async def test_the_intraday_report_has_booked_and_pending_entries_of_this_month(tmp_path: Path) -> None:
    write_bank_files(tmp_path, 1, TODAY)
    (report,) = [each for each in await read(tmp_path) if each.provisional]
    assert (report.account.external_id, report.to_date) == (EUR_ACCOUNT, TODAY)
    assert {each.status for each in report.transactions} == set(BankTransactionStatus)
    assert all(each.booked_on and each.booked_on.month == TODAY.month for each in report.transactions)


async def test_what_was_pending_is_the_same_transaction_when_it_is_booked(tmp_path: Path) -> None:
    write_bank_files(tmp_path / "today", 1, TODAY)
    write_bank_files(tmp_path / "later", 1, TODAY + timedelta(3))
    today, later = [
        {
            each.external_id: each.status
            for found in await read(tmp_path / name)
            if found.provisional
            for each in found.transactions
        }
        for name in ("today", "later")
    ]
    pending = [key for key, status in today.items() if status is BankTransactionStatus.PENDING]
    assert pending
    assert {later[key] for key in pending} == {BankTransactionStatus.BOOKED}


async def test_a_later_start_changes_no_file_of_a_closed_month_but_the_misprinted_one(tmp_path: Path) -> None:
    write_bank_files(tmp_path, 1, TODAY)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_bank_files(tmp_path, 1, TODAY)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    write_bank_files(tmp_path, 1, date(2026, 12, 4))
    changed = [name for name, when in before.items() if (tmp_path / name).stat().st_mtime_ns != when]
    assert changed == ["eu-sterling-2026-10.mt940.sta"]
    assert len([each for each in await read(tmp_path) if each.warnings]) == 1


def test_the_seed_decides(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_bank_files(tmp_path / name, seed, TODAY)
    first, same, other = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "abc")
    assert first == same
    assert first != other


@pytest.mark.parametrize("today", [date(2026, 3, 1), date(2026, 8, 1), date(2024, 2, 29), date(2027, 1, 1)])
async def test_any_day_will_do(tmp_path: Path, today: date) -> None:
    write_bank_files(tmp_path, 1, today)
    assert len([each for each in await read(tmp_path) if not each.provisional]) == 36
