"""`payroll-csv`: a run for each number, with one payslip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sources.connectors.payroll_csv import PayrollCsvConnector
from sources.documents import Connector, Document, PayrollRun
from tests.sources.connectors.checklist.subjects import FileSubject

COLUMNS = {
    "run": "Run",
    "employee_id": "No.",
    "employee_name": "Name",
    "gross": "Gross",
    "net": "Net",
    "pay_date": "Paid",
}
HEADINGS = "Run;No.;Name;Gross;Net;Paid\n"


def _connector(folder: Path, clock: Callable[[], float]) -> Connector:
    form = {"delimiter": ";"}
    return PayrollCsvConnector(name="pay", path=folder, clock=clock, columns=COLUMNS, format=form, currency="EUR")


def _file(numbers: Sequence[int]) -> bytes:
    return (HEADINGS + "".join(f"R{n};1;Zoë A. Smith;{n}.00;{n}.00;2026-03-31\n" for n in numbers)).encode()


def _big(size: int) -> bytes:
    """Half of the rows are runs of their own, the others of some large ones."""
    rows = size // 52
    text = "".join(
        f"R{n if n % 2 else f'all{n // 9_000}'};{n:06};Employee number {n:06};1000.00;7.00;2026-03-31\n"
        for n in range(rows)
    )
    return (HEADINGS + text).encode()


def _amounts(document: Document) -> list[int]:
    assert isinstance(document, PayrollRun)
    return [each.net for each in document.payslips or ()]


SUBJECT = FileSubject("payroll-csv", _connector, _file, _big, _amounts)
