"""`bank-csv`: a table with a column for the account, so that each number is a statement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sources.connectors.bank_csv import BankCsvConnector
from sources.documents import BankStatement, Connector, Document
from tests.sources.connectors.checklist.subjects import FileSubject

COLUMNS = {"date": "Date", "amount": "Amount", "account": "Account", "counterparty": "Name", "description": "Text"}
HEADINGS = "Date;Account;Amount;Name;Text\n"


def _connector(folder: Path, clock: Callable[[], float]) -> Connector:
    form = {"delimiter": ";"}
    return BankCsvConnector(name="bank", path=folder, clock=clock, columns=COLUMNS, format=form, currency="EUR")


def _file(numbers: Sequence[int]) -> bytes:
    return (HEADINGS + "".join(f"2026-03-02;{9_000 + n};{n}.00;Zoë;Invoice\n" for n in numbers)).encode()


def _big(size: int) -> bytes:
    rows = size // 88
    return (
        HEADINGS
        + "".join(
            f"2026-03-{n % 28 + 1:02};{9_000 + n % 2 * n};7.00;Customer number {n:06};Payment of invoice number {n:06}\n"
            for n in range(rows)
        )
    ).encode()


def _amounts(document: Document) -> list[int]:
    assert isinstance(document, BankStatement)
    return [each.amount for each in document.transactions]


SUBJECT = FileSubject("bank-csv", _connector, _file, _big, _amounts)
