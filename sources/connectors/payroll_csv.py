"""Payroll runs from tables with a row for each payslip, whose columns the settings name. A folder of them is read as
`sources.connectors.files` says.

Rows of one run (by the column `run`, else by its dates) are its payslips; the run's amounts are their sums. What a table does not
state is not known: nothing is computed from other columns. Whether the figures agree (net = gross - taxes - deductions +
reimbursements) is for the pipeline to check.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

from sources.connectors import files
from sources.connectors.files_csv import Row, TableFormat
from sources.connectors.files_values import UnreadableFile
from sources.connectors.kinds import ConnectorKind
from sources.documents import PayrollRun
from sources.errors import ConfigurationError
from sources.money import EXPONENTS
from sources.plain_documents import InvalidDocument, read_document

_READER = 1
_DATES: Final = ("pay_date", "period_start", "period_end")
_AMOUNTS: Final = (
    "gross", "employee_taxes", "deductions", "reimbursements", "employer_taxes", "employer_contributions",
)  # fmt: skip
_OF_RUN: Final = ("run", *_DATES, "currency", "status")
_REASONS: Final = {
    "INVALID_AMOUNT": "is no amount of its currency: it has too many decimals or digits",
    "UNKNOWN_CURRENCY": "is not a currency of ISO 4217",
}
"""Without what the row states: whoever sees issues may not see what anybody earns."""
FIELDS: Final = (*_OF_RUN, "employee_id", "employee_name", "department", "net", *_AMOUNTS)


class PayrollCsvConnector(files.FilesConnector):
    """One folder of payroll tables. `columns` and `format`: see `files_csv`; the fields are FIELDS. `currency` and `status`: of tables
    without a column for them; status absent: "Posted". `options`: as of a FilesConnector. Raises ConfigurationError."""

    def __init__(
        self,
        *,
        name: str,
        columns: Any = None,
        format: Any = None,  # noqa: A002  (the setting's name)
        currency: str | None = None,
        status: str = "Posted",
        **options: Any,
    ) -> None:
        needed = ("employee_id", "net", "pay_date")
        table = TableFormat.of(name, columns, format, known=FIELDS, required=needed, personal=True)
        if currency is None and "currency" not in table.columns:
            raise ConfigurationError(f"sources.{name}.currency is missing: the tables have no column for it")
        if currency is not None and currency not in EXPONENTS:
            raise ConfigurationError(f"sources.{name}.currency must be a currency of ISO 4217, not {currency!r}")
        fixed = {"currency": currency or "", "status": status}
        super().__init__(
            name=name,
            parse=lambda data, _file: parse_payroll(data, table, fixed),
            reader=table.version(_READER),
            **options,
        )


def parse_payroll(data: bytes, table: TableFormat, fixed: Mapping[str, str]) -> list[PayrollRun]:
    """Every run of one table. `fixed`: currency and status where no column states them. Raises UnreadableFile, naming the line."""
    runs: dict[tuple[str, ...], list[Row]] = {}
    for row in table.rows(data):
        runs.setdefault(_run_of(row, table, fixed), []).append(row)
    if not runs:
        raise UnreadableFile("it has headings and no rows")
    for external_id, count in Counter(key[0] for key in runs).items():
        if count > 1:
            raise UnreadableFile(f"run {external_id!r} has rows with different dates, currencies or states")
    # Rows are let go of as soon as they are read: there may be a million.
    return [_run(dict(zip(_OF_RUN, key, strict=True)), runs.pop(key), table) for key in list(runs)]


def _run_of(row: Row, table: TableFormat, fixed: Mapping[str, str]) -> tuple[str, ...]:
    pay_date = table.to_date(_needed(row, "pay_date"), row.where)
    days = {"pay_date": pay_date, "period_start": pay_date, "period_end": pay_date}
    for field in ("period_start", "period_end"):
        if field in table.columns:
            days[field] = table.to_date(_needed(row, field), row.where)
    stated: dict[str, str] = {field: sys.intern(day.isoformat()) for field, day in days.items()}
    for field in ("currency", "status"):
        stated[field] = row.values.get(field) or fixed[field]
    stated["run"] = row.values.get("run") or "/".join(stated[field] for field in _DATES)
    return tuple(stated[field] for field in _OF_RUN)


def _run(stated: Mapping[str, str], rows: list[Row], table: TableFormat) -> PayrollRun:
    seen = Counter[str]()
    slips = [_slip(row, table, seen) for row in rows]
    values: dict[str, Any] = {
        "external_id": stated["run"],
        "currency": stated["currency"],
        "source_status": stated["status"],
        **{field: date.fromisoformat(stated[field]) for field in _DATES},
        "payslips": slips,
        "net": 0,
    }
    try:
        run = read_document("payroll_run", values)
    except InvalidDocument as invalid:
        fault = invalid.faults[0]
        at = rows[int(fault.path[1])].where if fault.path[0] == "payslips" and len(fault.path) > 1 else rows[0].where
        raise UnreadableFile(f"{at}: {fault.path[-1]} {_REASONS.get(fault.code, fault.message)}") from invalid
    assert isinstance(run, PayrollRun)
    assert run.payslips is not None
    return _summed(run, table, rows)


def _summed(run: PayrollRun, table: TableFormat, rows: list[Row]) -> PayrollRun:
    """With the sums of its payslips; of a column that the table does not have, nothing."""
    assert run.payslips is not None
    sums: dict[str, Any] = {"net": sum(slip.net for slip in run.payslips)}
    for field in _AMOUNTS:
        if field in table.columns:
            sums[field] = sum(getattr(slip, field, None) or 0 for slip in run.payslips)
    return replace(run, **sums)


def _slip(row: Row, table: TableFormat, seen: Counter[str]) -> dict[str, Any]:
    """Somebody with two contracts has two payslips of a run."""
    employee = _needed(row, "employee_id")
    seen[employee] += 1
    amounts = {
        field: table.to_decimal(row.values[field], row.where) for field in ("net", *_AMOUNTS) if field in row.values
    }
    if "net" not in amounts:
        raise UnreadableFile(f"{row.where}: it has no net")
    return {
        "external_id": employee if seen[employee] == 1 else f"{employee}-{seen[employee]}",
        "employee_id": employee,
        "employee_name": row.values.get("employee_name", employee),
        "department": row.values.get("department"),
        **amounts,
    }


def _needed(row: Row, field: str) -> str:
    if field not in row.values:
        raise UnreadableFile(f"{row.where}: it has no {field}")
    return row.values[field]


KIND = ConnectorKind(
    name="payroll-csv",
    connector=PayrollCsvConnector,
    gives=("payroll_run",),
    one_of=(files.PLACES,),
    optional=("currency", "status", *files.OPTIONS),
    secrets=files.SECRETS,
    tables=("columns", "format"),
    origin=files.PLACES,
    of_files=True,
    layout=("columns", "format", "currency", "status"),
    example={
        "path": "payroll",
        "currency": "EUR",
        "columns": {"employee_id": "Personnel no.", "net": "Net pay", "pay_date": "Paid on"},
    },
)
