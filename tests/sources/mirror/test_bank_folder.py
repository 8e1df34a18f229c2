"""A folder of statement files in the mirror: what was provisional gives way, what could not be read and now can is no issue."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from sources.connectors.bank_statements import BankStatementsConnector

VISIBLE = """
SELECT amount, status FROM mirror.bank_transaction WHERE visible ORDER BY amount"""
OPEN = "SELECT subject FROM mirror.issue WHERE closed_at IS NULL ORDER BY 1"
LONG_AGO = 1_700_000_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "statements"
    path.mkdir()
    return path


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    os.utime(folder / name, (LONG_AGO + len(text), LONG_AGO + len(text)))


def camt(kind: str, root: str, record: str, content: str) -> str:
    return (
        f"<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.{kind}.001.08'><{root}><{record}><Id>1</Id>"
        f"<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>{content}</{record}></{root}></Document>"
    )


def entry(amount: int, day: int, status: str, reference: str) -> str:
    return (
        f"<Ntry><Amt Ccy='EUR'>{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>{status}</Cd></Sts>"
        f"<BookgDt><Dt>2026-03-{day:02}</Dt></BookgDt><AcctSvcrRef>{reference}</AcctSvcrRef></Ntry>"
    )


def closing(amount: int, day: int) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>CLBD</Cd></CdOrPrtry></Tp><Amt Ccy='EUR'>{amount}</Amt><CdtDbtInd>CRDT</CdtDbtInd>"
        f"<Dt><Dt>2026-03-{day:02}</Dt></Dt></Bal>"
    )


async def test_a_report_gives_way_to_the_statement_that_covers_it(
    pull: Any, kit: Any, owner: Any, ledgers: Any, folder: Path
) -> None:
    report = entry(1, 2, "BOOK", "A") + entry(2, 3, "PDNG", "B")
    write(folder, "report.xml", camt("052", "BkToCstmrAcctRpt", "Rpt", report))
    await pull(kit.bank(), BankStatementsConnector(name="bank", path=folder))
    assert [tuple(row) for row in await owner.fetch(VISIBLE)] == [(100, "BOOKED"), (200, "PENDING")]
    write(folder, "statement.xml", camt("053", "BkToCstmrStmt", "Stmt", closing(9, 2) + entry(1, 2, "BOOK", "A")))
    await pull(kit.bank(), BankStatementsConnector(name="bank", path=folder))
    assert [tuple(row) for row in await owner.fetch(VISIBLE)] == [(100, "BOOKED"), (200, "PENDING")]
    later = closing(11, 3) + entry(2, 3, "BOOK", "B")
    write(folder, "statement-2.xml", camt("053", "BkToCstmrStmt", "Stmt", later))
    await pull(kit.bank(), BankStatementsConnector(name="bank", path=folder))
    assert [tuple(row) for row in await owner.fetch(VISIBLE)] == [(100, "BOOKED"), (200, "BOOKED")]


async def test_an_entry_of_a_daily_and_a_monthly_statement_counts_once(
    pull: Any, kit: Any, owner: Any, ledgers: Any, folder: Path
) -> None:
    daily, monthly = entry(1, 2, "BOOK", "A"), entry(1, 2, "BOOK", "A") + entry(2, 9, "BOOK", "B")
    write(folder, "daily.xml", camt("053", "BkToCstmrStmt", "Stmt", closing(9, 2) + daily))
    write(folder, "monthly.xml", camt("053", "BkToCstmrStmt", "Stmt", closing(11, 31) + monthly))
    await pull(kit.bank(), BankStatementsConnector(name="bank", path=folder))
    assert [tuple(row) for row in await owner.fetch(VISIBLE)] == [(100, "BOOKED"), (200, "BOOKED")]


async def test_an_issue_of_a_file_stays_until_the_file_reads_or_goes(
    pull: Any, kit: Any, owner: Any, ledgers: Any, folder: Path
) -> None:
    async def open_issues() -> list[str]:
        await pull(kit.bank(), BankStatementsConnector(name="bank", path=folder))
        return [row[0] for row in await owner.fetch(OPEN)]

    write(folder, "good.xml", camt("053", "BkToCstmrStmt", "Stmt", closing(9, 2)))
    write(folder, "bad.xml", "junk")
    write(folder, "worse.xml", "more junk")
    assert await open_issues() == ["bad.xml", "worse.xml"]
    assert await open_issues() == ["bad.xml", "worse.xml"]
    write(folder, "bad.xml", camt("053", "BkToCstmrStmt", "Stmt", closing(8, 1)))
    assert await open_issues() == ["worse.xml"]
    (folder / "worse.xml").unlink()
    assert await open_issues() == []
