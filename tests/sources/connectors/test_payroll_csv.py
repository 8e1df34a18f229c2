"""Payroll tables: whatever their columns are called, each row a payslip and their sums the run."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.files_csv import TableFormat
from sources.connectors.files_values import UnreadableFile
from sources.connectors.payroll_csv import FIELDS, PayrollCsvConnector, parse_payroll
from sources.documents import PayrollRun
from sources.errors import ConfigurationError

COLUMNS = {
    "employee_id": "Personnel no.", "employee_name": "Name", "department": "Dept", "gross": "Gross", "employee_taxes": "Tax",
    "net": "Net pay", "pay_date": "Paid on", "period_start": "From", "period_end": "To",
}  # fmt: skip
HEAD = "Personnel no.;Name;Dept;Gross;Tax;Net pay;Paid on;From;To\n"
ROWS = "7;A. Smith;Sales;1.000,00;200,00;800,00;31.03.2026;01.03.2026;31.03.2026\n8;B. Jones;Ops;2.000,50;400,00;1.600,50;31.03.2026;01.03.2026;31.03.2026\n"
FORM = {"decimal": ",", "dates": "%d.%m.%Y"}


def read(text: str, columns: Any = None, form: Any = None, **fixed: str) -> list[PayrollRun]:
    table = TableFormat.of("pay", columns or COLUMNS, FORM if form is None else form, known=FIELDS, required=())
    return parse_payroll(text.encode(), table, {"currency": "EUR", "status": "Posted", **fixed})


def test_rows_of_one_run_are_its_payslips_and_their_sums_its_amounts() -> None:
    (run,) = read(HEAD + ROWS)
    assert (run.external_id, run.pay_date) == ("2026-03-31/2026-03-01/2026-03-31", date(2026, 3, 31))
    assert (run.gross, run.employee_taxes, run.net, run.deductions) == (300_050, 60_000, 240_050, None)
    assert run.payslips is not None
    assert [
        (slip.employee_id, slip.department, slip.gross, slip.employee_taxes, slip.net) for slip in run.payslips
    ] == [
        ("7", "Sales", 100_000, 20_000, 80_000),
        ("8", "Ops", 200_050, 40_000, 160_050),
    ]


def test_each_pay_date_is_a_run_of_its_own_unless_a_column_says_otherwise() -> None:
    later = ROWS.replace("31.03.2026;01.03", "30.04.2026;01.03")
    assert len(read(HEAD + ROWS + later)) == 2
    text = "no,net,day,run\n1,5.00,2026-03-31,R1\n2,6.00,2026-03-31,R2\n1,7.00,2026-03-31,R1\n"
    columns = {"employee_id": "no", "net": "net", "pay_date": "day", "run": "run"}
    first, second = read(text, columns, {})
    assert (first.external_id, first.net, second.external_id, second.net) == ("R1", 1_200, "R2", 600)
    assert first.payslips is not None
    assert [slip.external_id for slip in first.payslips] == ["1", "1-2"]  # two contracts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it has no line of headings"),
        (HEAD, "it has headings and no rows"),
        (HEAD.replace("Net pay", "Nett"), "it has no column 'Net pay'; it has 'Personnel no.'"),
        (HEAD.replace("Name", "Dept"), "it has no column 'Name'"),
        (HEAD + ROWS.replace("800,00", "800.00"), "line 2: '800.00' is not a number"),
        (HEAD + ROWS.replace("31.03.2026;01.03", "31.02.2026;01.03", 1), "line 2: '31.02.2026' is not a date"),
        (HEAD + ROWS + ";C;;;;1,00;31.03.2026;01.03.2026;31.03.2026\n", "line 4: it has no employee_id"),
        (HEAD + ROWS + "9;C;;;;;31.03.2026;01.03.2026;31.03.2026\n", "line 4: it has no net"),
        (
            HEAD + ROWS.replace("1.600,50", "1.600,505"),
            "line 3: net is no amount of its currency: it has too many decimals",
        ),
        (HEAD + '7;"A', "line 2: unexpected end of data"),
    ],
)
def test_a_table_is_refused_whole_with_the_line(text: str, told: str) -> None:
    with pytest.raises(UnreadableFile) as caught:
        read(text)
    assert told in str(caught.value)


def test_rows_of_one_run_agree_on_its_dates() -> None:
    columns = {"employee_id": "no", "net": "net", "pay_date": "day", "run": "run"}
    with pytest.raises(UnreadableFile, match="rows with different dates"):
        read("no,net,day,run\n1,5.00,2026-03-31,R1\n2,6.00,2026-04-30,R1\n", columns, {})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "sources.pay.columns must be a table"),
        ({"columns": {"employee_id": 1, "net": 2}}, "sources.pay.columns.pay_date is missing"),
        ({"columns": {"employee_id": 1, "net": 2, "pay_date": 3, "wage": 4}}, "sources.pay.columns.wage is no field"),
        ({"columns": {"employee_id": 0, "net": 2, "pay_date": 3}}, "columns.employee_id must be a column's heading"),
        ({"columns": {"employee_id": 1, "net": 2, "pay_date": 3}}, "sources.pay.currency is missing"),
        (
            {"columns": {"employee_id": 1, "net": 2, "pay_date": 3}, "currency": "EURO"},
            "must be a currency of ISO 4217",
        ),
        ({"columns": COLUMNS, "format": {"dates": "%d %B"}}, "sources.pay.format.dates cannot be"),
        ({"columns": COLUMNS, "format": {"encoding": "rot13"}}, "sources.pay.format.encoding cannot be"),
        ({"columns": COLUMNS, "format": {"delimiter": ";;"}}, "sources.pay.format.delimiter cannot be"),
        ({"columns": COLUMNS, "format": {"headings": False}}, "must give numbers of columns"),
    ],
)
def test_settings_that_cannot_work_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PayrollCsvConnector(name="pay", path="x", **options)
    assert told in str(caught.value)


@given(st.binary(max_size=300))
def test_any_bytes_are_runs_or_a_refusal(data: bytes) -> None:
    for start in (b"", HEAD.encode(), (HEAD + ROWS).encode()):
        table = TableFormat.of("pay", COLUMNS, FORM, known=FIELDS, required=())
        try:
            found: Any = parse_payroll(start + data, table, {"currency": "EUR", "status": "Posted"})
        except UnreadableFile as refused:
            found = str(refused)
        assert found


@pytest.mark.parametrize(
    "text",
    [
        ROWS,  # no headings: somebody's row is in their place
        HEAD + "7;A. Smith;Sales;A. Smith;200,00;800,00;31.03.2026;01.03.2026;31.03.2026\n",
        HEAD + "7;A. Smith;Sales;1.000,00;200,00;800,00;A. Smith;01.03.2026;31.03.2026\n",
        HEAD + "7;A. Smith;Sales;1.000,00;200,00;800,001;31.03.2026;01.03.2026;31.03.2026\n",
        HEAD + f"7;A. Smith;Sales;1.000,00;200,00;800{'0' * 15},00;31.03.2026;01.03.2026;31.03.2026\n",
    ],
)
async def test_what_somebody_earns_stands_in_no_message(tmp_path: Path, text: str) -> None:
    """An issue is seen by more people than payslips are."""
    (tmp_path / "run.csv").write_text(text)
    os.utime(tmp_path / "run.csv", (1, 1))
    connector = PayrollCsvConnector(name="pay", path=tmp_path, columns=COLUMNS, format=FORM, currency="EUR")
    (problem,) = [problem async for page in connector.pull(None) for problem in page.problems]
    assert not any(word in problem.message for word in ("Smith", "800", "1.000", "200"))


async def test_headings_are_told_but_not_what_may_be_somebodys_row(tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_text(HEAD.replace("Net pay", "Net") + ROWS)
    (tmp_path / "rows.csv").write_text(ROWS)
    for name in ("run.csv", "rows.csv"):
        os.utime(tmp_path / name, (1, 1))
    connector = PayrollCsvConnector(name="pay", path=tmp_path, columns=COLUMNS, format=FORM, currency="EUR")
    told = [problem.message async for page in connector.pull(None) for problem in page.problems]
    assert any("'Net pay'; it has 'Personnel no.', 'Name', 'Dept', 'Gross', 'Tax', 'Net'," in each for each in told)
    assert any("it has 9 others, of which none is read: is this the line of headings?" in each for each in told)
