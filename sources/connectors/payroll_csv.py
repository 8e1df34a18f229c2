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
from sources.connectors.files_values import Memory, UnreadableFile
from sources.connectors.kinds import ConnectorKind
from sources.documents import PayrollRun, Payslip
from sources.errors import ConfigurationError
from sources.money import EXPONENTS
from sources.plain_documents import MAX_ITEMS, InvalidDocument, read_document

_READER = 2
_AT_ONCE = 1_000
_SLIP_MEMORY = 350
_RUN_MEMORY = 850
_DATES: Final = ("pay_date", "period_start", "period_end")
_AMOUNTS: Final = (
    "gross", "employee_taxes", "deductions", "reimbursements", "employer_taxes", "employer_contributions",
)  # fmt: skip
_OF_RUN: Final = ("run", *_DATES, "currency", "status")
_REASONS: Final = {
    "INVALID_AMOUNT": "is no amount of its currency: it has too many decimals or digits",
    "AMOUNT_OUT_OF_RANGE": "is larger than can be kept",
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
            reader=table.version(_READER, fixed),
            **options,
        )


def parse_payroll(data: bytes, table: TableFormat, fixed: Mapping[str, str]) -> list[PayrollRun]:
    """Every run of one table. `fixed`: currency and status where no column states them. Raises UnreadableFile, naming the line."""
    reader = _Reader(table, Memory(len(data)))
    for row in table.rows(data):
        reader.take(row, _run_of(row, table, fixed))
    return reader.end()


class _Reader:
    """Takes the rows of one table, and makes payslips of some at a time: what a row states takes four times what a payslip does."""

    def __init__(self, table: TableFormat, memory: Memory) -> None:
        self._table = table
        self._memory = memory
        self._runs: dict[tuple[str, ...], _Slips] = {}
        self._waiting: dict[tuple[str, ...], list[tuple[str, dict[str, Any]]]] = {}
        self._rows = 0

    def take(self, row: Row, of: tuple[str, ...]) -> None:
        """A row of the run `of`. Raises UnreadableFile."""
        run = self._runs.get(of)
        if run is None:
            self._memory.take(_RUN_MEMORY, "payroll runs")
            run = self._runs[of] = _Slips(row.where)
        self._memory.take(_SLIP_MEMORY, "payslips")
        employee = _needed(row, "employee_id")
        self._waiting.setdefault(of, []).append((row.where, _slip(row, self._table, run.id_of(employee))))
        self._rows += 1
        if self._rows % _AT_ONCE == 0:
            self._make()

    def end(self) -> list[PayrollRun]:
        """Raises UnreadableFile."""
        if not self._runs:
            raise UnreadableFile("it has headings and no rows")
        self._make()
        for external_id, count in Counter(key[0] for key in self._runs).items():
            if count > 1:
                raise UnreadableFile(f"run {external_id!r} has rows with different dates, currencies or states")
        return [_summed(key, self._runs.pop(key), self._table) for key in list(self._runs)]

    def _make(self) -> None:
        for of, rows in self._waiting.items():
            slips = _run(of, [slip for _, slip in rows], [where for where, _ in rows]).payslips
            self._runs[of].slips.extend(slips or ())
        self._waiting.clear()


class _Slips:
    """The payslips of one run."""

    __slots__ = ("_again", "_ids", "slips", "where")

    def __init__(self, where: str) -> None:
        """`where`: its first row."""
        self.where = where
        self.slips: list[Payslip] = []
        self._ids: set[str] = set()
        self._again: Counter[str] | None = None

    def id_of(self, employee: str) -> str:
        """Somebody with two contracts has two payslips of a run. Raises UnreadableFile."""
        external_id = employee
        if employee in self._ids:
            self._again = self._again or Counter()
            self._again[employee] += 1
            external_id = f"{employee}-{self._again[employee] + 1}"
        if external_id in self._ids:
            raise UnreadableFile(
                "one employee_id is another one that has several payslips of a run, with their number behind it"
            )
        if len(self._ids) == MAX_ITEMS:
            raise UnreadableFile(f"{self.where}: the run that begins here has more than {MAX_ITEMS:,} payslips")
        self._ids.add(external_id)
        return external_id


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


def _run(of: tuple[str, ...], slips: list[dict[str, Any]], places: list[str]) -> PayrollRun:
    """A run of these payslips, without amounts of its own. `places`: where each one stands. Raises UnreadableFile."""
    stated = dict(zip(_OF_RUN, of, strict=True))
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
        at = places[int(fault.path[1]) if fault.path[0] == "payslips" and len(fault.path) > 1 else 0]
        raise UnreadableFile(f"{at}: {fault.path[-1]} {_REASONS.get(fault.code, fault.message)}") from invalid
    assert isinstance(run, PayrollRun)
    return run


def _summed(of: tuple[str, ...], slips: _Slips, table: TableFormat) -> PayrollRun:
    """The run with the sums of its payslips; of a column that the table does not have, nothing."""
    sums: dict[str, Any] = {"net": sum(slip.net for slip in slips.slips)}
    for field in _AMOUNTS:
        if field in table.columns:
            sums[field] = sum(getattr(slip, field, None) or 0 for slip in slips.slips)
    return replace(_run(of, [], [slips.where]), payslips=tuple(slips.slips), **sums)


def _slip(row: Row, table: TableFormat, external_id: str) -> dict[str, Any]:
    amounts = {
        field: table.to_decimal(row.values[field], row.where) for field in ("net", *_AMOUNTS) if field in row.values
    }
    if "net" not in amounts:
        raise UnreadableFile(f"{row.where}: it has no net")
    employee = row.values["employee_id"]
    return {
        "external_id": external_id,
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
