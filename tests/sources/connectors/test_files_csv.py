"""Tables in text files: whatever their delimiter, encoding, dates and numbers, and nothing half-read."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.files_csv import MAX_COLUMNS, TableFormat
from sources.connectors.files_values import UnreadableFile
from sources.errors import ConfigurationError

FIELDS = ("a", "b", "c")


def table(columns: Any = None, **form: Any) -> TableFormat:
    return TableFormat.of(
        "s", {"a": "A", "b": "B"} if columns is None else columns, form, known=FIELDS, required=("a",)
    )


def rows(data: str | bytes, columns: Any = None, **form: Any) -> list[tuple[int, dict[str, str]]]:
    found = table(columns, **form).rows(data.encode() if isinstance(data, str) else data)
    return [(row.line, dict(row.values)) for row in found]


def refusal(data: str | bytes, columns: Any = None, **form: Any) -> str:
    with pytest.raises(UnreadableFile) as caught:
        rows(data, columns, **form)
    return str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found_out(delimiter: str, end: str) -> None:
    text = end.join(
        [delimiter.join(row) for row in (("A", "x", " B "), ("1", "", " 2 "), ("", "", ""), ("3", '"4, ;|5"', ""))]
    )
    assert rows(text) == [(2, {"a": "1", "b": "2"}), (4, {"a": "3"})]


def test_a_delimiter_that_is_set_is_taken() -> None:
    assert rows("A~B\n1,5~2\n", delimiter="~") == [(2, {"a": "1,5", "b": "2"})]
    assert rows("sep=;\nA;B\n1;2\n") == [(3, {"a": "1", "b": "2"})]


def test_quoted_texts_hold_anything() -> None:
    assert rows('A,B\n"1\n2","3 ""x"", 4"\n5,6\n') == [(3, {"a": "1\n2", "b": '3 "x", 4'}), (4, {"a": "5", "b": "6"})]


def test_only_line_ends_end_lines() -> None:
    assert rows("A,B\n1\x0b2\x85\u2028,3\x1c4\n") == [(2, {"a": "1\x0b2", "b": "3\x1c4"})]


@pytest.mark.parametrize(
    ("data", "form"),
    [
        ("A,B\né,2\n".encode(), {}), ("A,B\né,2\n".encode("utf-8-sig"), {}), ("A,B\né,2\n".encode("utf-16"), {}),
        ("A,B\né,2\n".encode("utf-8-sig"), {"encoding": "cp1252"}), ("A,B\né,2\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("A,B\né,2\n".encode("cp850"), {"encoding": "cp850"}),
    ],
)  # fmt: skip
def test_encodings(data: bytes, form: dict[str, Any]) -> None:
    assert rows(data, **form) == [(2, {"a": "é", "b": "2"})]


def test_columns_by_heading_or_number_and_lines_before_them() -> None:
    assert rows("Account 1\n\nb,a\n1,2\n", {"a": "A", "b": 1}, skip=2) == [(4, {"a": "2", "b": "1"})]
    assert rows("1,2\n3,4\n", {"a": 2}, headings=False) == [(1, {"a": "2"}), (2, {"a": "4"})]
    assert rows(" Booked  On ,B\n1,2\n", {"a": "booked on"}) == [(2, {"a": "1"})]


@pytest.mark.parametrize(
    ("data", "form", "reason"),
    [
        ("", {}, "it has no line of headings"),
        ("\n \n", {}, "it has no line of headings"),
        ("A,C\n1,2\n", {}, "it has no column 'B'; it has 'A', 'C'"),
        ("A,B,b\n1,2,3\n", {}, "it has several columns 'B'"),
        ("A,B\n1,2\n3\n", {}, "line 3: it has 1 columns, and the 2th is read: was the row cut off?"),
        ("A,B\n1,2,3\n", {}, "line 2: it has more columns than the first row"),
        ('A,B\n1,"2\n', {}, "line 2: unexpected end of data"),
        ('A,B\n"1"x,2\n', {}, "line 2: ',' expected after '\"'"),
        ("A,B\n1,\0\n", {}, "it is not text in utf-8 (it has null characters)"),
        ("A,B\n1," + "2" * 200_000, {}, "line 2: field larger than field limit"),
        ("A,B" + ",x" * MAX_COLUMNS, {}, "line 1: it has more than 500 columns"),
        (b"A,B\n\xe9,1\n", {}, "it is not text in utf-8: set format.encoding"),
        (b"\xff\xfeA", {}, "it is not text in utf-16"),
    ],
)
def test_a_table_is_refused_whole_with_the_line(data: str | bytes, form: dict[str, Any], reason: str) -> None:
    assert reason in refusal(data, **form)


def test_empty_cells_beyond_the_headings_do_not_matter() -> None:
    assert rows("A,B\n1,2,,\n") == [(2, {"a": "1", "b": "2"})]


@pytest.mark.parametrize(
    ("text", "decimal", "plain"),
    [
        ("1234.50", ".", "1234.50"), ("1,234.50", ".", "1234.50"), ("1.234,50", ",", "1234.50"), ("1'234.50", ".", "1234.50"),
        ("1\u2019234.50", ".", "1234.50"), ("1 234,50", ",", "1234.50"), ("1\u202f234,50", ",", "1234.50"), ("-5", ".", "-5"),
        ("+5", ".", "5"), ("5-", ".", "-5"), ("(5)", ".", "-5"), ("\u22125", ".", "-5"), ("5\u2212", ".", "-5"), ("5.", ".", "5"),
        (".5", ".", "0.5"), ("-,5", ",", "-0.5"), ("$1,234.00", ".", "1234.00"), ("-€5", ".", "-5"), ("1,234,567", ".", "1234567"),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, decimal: str, plain: str) -> None:
    assert table(decimal=decimal).to_decimal(text, "line 1") == plain


@pytest.mark.parametrize(
    ("text", "decimal"),
    [("1.234,50", "."), ("1,234.50", ","), ("1,23", "."), ("12,34", "."), ("1234,567", "."), ("", "."), ("-", "."), ("--5", "."),
     ("(-5)", "."), ("-5-", "."), ("1e5", "."), ("5 EUR", "."), ("1.2.3", "."), (",", ","), ("\u0665", "."), ("1,,234", ".")],
)  # fmt: skip
def test_what_may_mean_something_else_is_no_number(text: str, decimal: str) -> None:
    with pytest.raises(UnreadableFile, match="line 7: "):
        table(decimal=decimal).to_decimal(text, "line 7")


def test_dates_are_of_the_form_that_is_set() -> None:
    assert table(dates="%d/%m/%Y").to_date("03/04/2026", "line 1") == date(2026, 4, 3)
    assert table(dates="%d.%m.%y").to_date("3.4.26", "line 1") == date(2026, 4, 3)
    with pytest.raises(UnreadableFile, match=r"line 9: '31\.02\.2026' is not a date of the form %d\.%m\.%Y"):
        table(dates="%d.%m.%Y").to_date("31.02.2026", "line 9")


@pytest.mark.parametrize(
    ("columns", "form", "told"),
    [
        ({}, {}, "sources.s.columns must be a table"), ([], {}, "sources.s.columns must be a table"),
        ({"b": "B"}, {}, "sources.s.columns.a is missing"), ({"a": 1, "z": 2}, {}, "sources.s.columns.z is no field; there are a, b, c"),
        ({"a": True}, {}, "sources.s.columns.a must be"), ({"a": " "}, {}, "sources.s.columns.a must be"),
        ({"a": 501}, {}, "sources.s.columns.a must be"), ({"a": "A"}, {"headings": False}, "must give numbers"),
        ({"a": 1}, {"delimiter": '"'}, "sources.s.format.delimiter cannot be"), ({"a": 1}, {"encoding": "klingon"}, "format.encoding cannot"),
        ({"a": 1}, {"encoding": "base64"}, "format.encoding cannot"), ({"a": 1}, {"skip": -1}, "format.skip cannot"),
        ({"a": 1}, {"skip": True}, "format.skip cannot"), ({"a": 1}, {"headings": "no"}, "format.headings cannot"),
        ({"a": 1}, {"dates": "%d.%m."}, "format.dates cannot"), ({"a": 1}, {"dates": "%"}, "format.dates cannot"),
        ({"a": 1}, {"dates": "dd.mm.yyyy"}, "format.dates cannot be 'dd.mm.yyyy': it has to have %d, %m and %Y"),
        ({"a": 1}, {"decimal": ";"}, "format.decimal cannot"), ({"a": 1}, {"comma": ","}, "sources.s.format.comma is not a setting"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_named(columns: Any, form: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        table(columns, **form)
    assert told in str(caught.value)


def test_other_settings_are_another_version_of_the_parser() -> None:
    assert table().version(1) == table().version(1) != table(decimal=",").version(1)
    assert table().version(1) != table().version(2)


CELLS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(CELLS, CELLS), max_size=8), st.sampled_from(",;\t|"), st.sampled_from(["\n", "\r\n"]))
def test_what_python_writes_is_what_is_read(written: list[tuple[str, str]], delimiter: str, end: str) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerows([("A", "B"), *written])
    known = [{name: cell.strip() for name, cell in zip("ab", row, strict=True) if cell.strip()} for row in written]
    assert [values for _, values in rows(out.getvalue())] == [values for values in known if values]


@given(
    st.binary(max_size=200),
    st.sampled_from([{}, {"skip": 1}, {"delimiter": ";"}, {"encoding": "utf-16"}, {"headings": False}]),
)
def test_any_bytes_are_rows_or_a_refusal(data: bytes, form: dict[str, Any]) -> None:
    for whole in (data, b"A,B\n" + data):
        try:
            found: object = rows(whole, {"a": 1, "b": 2}, **form)
        except UnreadableFile as refused:
            found = str(refused)
        assert isinstance(found, list) or found


def archived(name: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, "content " * 50)
    return target.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (archived("a.csv"), "it is a zip archive: unpack it into the folder"),
        (archived("[Content_Types].xml"), "it is a spreadsheet or document of an office program: export a table in a text file (CSV)"),
        (archived("xl/workbook.xml"), "it is a spreadsheet or document of an office program: export a table in a text file (CSV)"),
        (gzip.compress(b"A;B"), "it is compressed (gzip): unpack it into the folder"),
        (bz2.compress(b"A;B"), "it is compressed (bzip2): unpack it into the folder"),
        (lzma.compress(b"A;B"), "it is compressed (xz): unpack it into the folder"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "it is a spreadsheet or document of an office program: export a table in a text file (CSV)"),
        (b"%PDF-1.7", "it is a PDF: export a table in a text file (CSV)"),
    ],
    ids=["zip", "document", "spreadsheet", "gzip", "bzip2", "xz", "office", "pdf"],
)  # fmt: skip
def test_what_is_no_text_is_named(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_letters_that_archives_begin_with_are_text() -> None:
    assert rows("BZh;B\n1;2\n", {"a": "BZh"}) == [(2, {"a": "1"})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_letter_on_the_border_of_what_is_decoded_at_once_is_read(encoding: str) -> None:
    for before in (65_533, 65_534, 65_535, 65_536):
        text = "A;B\n" + "x" * before + ";é\n"
        assert rows(text.encode(encoding), {"b": 2, "a": 1}, encoding=encoding)[0][1]["b"] == "é"


def test_bytes_that_are_no_text_anywhere_refuse_the_table() -> None:
    assert refusal(b"A;B\n" + b"1;2\n" * 50_000 + b"\xff;2\n") == "it is not text in utf-8: set format.encoding"
    assert refusal(b"A;B\n1;2\n\xc3") == "it is not text in utf-8: set format.encoding"


def test_a_line_without_end_is_refused() -> None:
    assert refusal("A;B\n" + "x;" * 600_000) == "line 2: it has more than 1,000,000 characters"
