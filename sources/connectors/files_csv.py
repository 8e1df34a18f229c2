"""Tables in text files, column by column as the settings say: RFC 4180 with any delimiter, read exactly and refused whole.

Settings, the options that are TOML tables of a source: `columns` (field -> the column's heading, or its number from 1 on) and `format`:
delimiter (absent: found out), encoding (utf-8), skip (lines before the headings), headings (true), dates ("%Y-%m-%d", strptime's
directives), decimal ("."). Blanks around values do not matter, empty lines are no rows. A row that lacks
a column that is read, or has more columns than the first row, refuses the table: it was cut off, or has a delimiter within a text,
and a value would come into another column.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import islice
from typing import Any

from sources.connectors.files_values import UnreadableFile, not_text, quote, reader_version
from sources.errors import ConfigurationError

MAX_COLUMNS = 500
_DELIMITERS = (";", ",", "\t", "|")
_FORMAT = ("delimiter", "encoding", "skip", "headings", "dates", "decimal")
_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_BRACKETED = re.compile(r"\((.*)\)")
_ADORNMENT = re.compile(r"[\s'\u2019$€£¥]")
_DELIMITER_LINE = re.compile(r"\"?sep=(.)\"?\s*", re.IGNORECASE)
_LOOKED_AT = 50
_AT_ONCE = 65_536
_LONGEST_LINE = 1_000_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `line`: its last line's number in the file; `values`: by field, those that are not empty; `cells`: all of it."""

    line: int
    values: Mapping[str, str]
    cells: Sequence[str]

    @property
    def where(self) -> str:
        """For sentences."""
        return f"line {self.line}"


@dataclass(frozen=True, slots=True)
class TableFormat:
    """How a source writes its tables. Made by `of`. `personal`: what its cells hold stands in no message."""

    columns: Mapping[str, str | int]
    delimiter: str | None = None
    encoding: str = "utf-8"
    skip: int = 0
    headings: bool = True
    dates: str = "%Y-%m-%d"
    decimal: str = "."
    personal: bool = False

    @staticmethod
    def of(
        name: str, columns: Any, form: Any, *, known: Sequence[str], required: Sequence[str], personal: bool = False
    ) -> TableFormat:
        """`known`: the fields that columns may have, `required`: those that must. Raises ConfigurationError, naming the key."""
        place = f"sources.{name}.columns"
        if not isinstance(columns, Mapping) or not columns:
            raise ConfigurationError(f"{place} must be a table from fields to columns; there are {', '.join(known)}")
        for field, column in columns.items():
            if field not in known:
                raise ConfigurationError(f"{place}.{field} is no field; there are {', '.join(known)}")
            number = isinstance(column, int) and not isinstance(column, bool) and 1 <= column <= MAX_COLUMNS
            if not number and not (isinstance(column, str) and column.strip()):
                raise ConfigurationError(f"{place}.{field} must be a column's heading, or its number from 1 on")
        for field in required:
            if field not in columns:
                raise ConfigurationError(f"{place}.{field} is missing")
        given = _checked(f"sources.{name}.format", {} if form is None else form)
        made = TableFormat(columns=dict(columns), personal=personal, **given)
        if not made.headings and any(isinstance(column, str) for column in columns.values()):
            raise ConfigurationError(f"{place} must give numbers of columns, because format.headings is false")
        return made

    def rows(self, data: bytes) -> Iterator[Row]:
        """Every row of a file. Raises UnreadableFile, naming the line."""
        _check_kind(data)
        encoding = self._encoding_of(data)
        skip, delimiter = self.skip, self.delimiter
        if stated := _DELIMITER_LINE.fullmatch(next(_lines(data, encoding, skip), "")):
            skip, delimiter = skip + 1, delimiter or stated[1]
        delimiter = delimiter or _sniffed(islice(_lines(data, encoding, skip), _LOOKED_AT))
        reader = csv.reader(_lines(data, encoding, skip), delimiter=delimiter, strict=True)
        places: Mapping[str, int] | None = None if self.headings else {f: int(c) - 1 for f, c in self.columns.items()}
        width = 0
        try:
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                where = f"line {skip + reader.line_num}"
                width = width or len(cells)
                if width > MAX_COLUMNS:
                    raise UnreadableFile(f"{where}: it has more than {MAX_COLUMNS} columns")
                if places is None:
                    places = self._places(cells)
                    continue
                _check_width(cells, width, max(places.values()), where)
                values = {field: cells[at].strip() for field, at in places.items()}
                yield Row(skip + reader.line_num, {field: value for field, value in values.items() if value}, cells)
        except csv.Error as error:
            raise UnreadableFile(f"line {skip + reader.line_num}: {error}") from error
        if places is None:
            raise UnreadableFile("it has no line of headings")

    def version(self, reader: int, *settings: object) -> int:
        """Of a parser (`reader`) with these settings, and others that change what a file gives: files that it could not read are
        tried again when one of them changes."""
        return reader_version(reader, self, *settings)

    def to_date(self, text: str, where: str) -> date:
        """Raises UnreadableFile."""
        found = _date(text, self.dates)
        if found is None:
            raise UnreadableFile(f"{where}: {self._shown(text)} is not a date of the form {self.dates}")
        return found

    def to_decimal(self, text: str, where: str) -> str:
        """A number as it is written, "1.234,50-" or "(1,234.50)", in our form: "-1234.50". Raises UnreadableFile."""
        other = "," if self.decimal == "." else "."
        digits = _ADORNMENT.sub("", text).replace("\u2212", "-")
        negative = False
        if (bracketed := _BRACKETED.fullmatch(digits)) is not None:
            digits, negative = bracketed[1], True
        if digits.endswith("-"):
            digits, negative = digits[:-1], True
        if digits.removeprefix("-").startswith(self.decimal) and digits[-1:].isdigit():
            digits = digits.replace(self.decimal, f"0{self.decimal}", 1)
        whole, point, fraction = digits.partition(self.decimal)
        groups = whole.split(other)
        if len(groups) > 1 and not (all(len(g) == 3 for g in groups[1:]) and 1 <= len(groups[0].lstrip("+-")) <= 3):
            raise UnreadableFile(
                f"{where}: {self._shown(text)} is not a number with {self.decimal!r} before its decimals"
            )
        plain = "".join(groups) + ("." + fraction if point and fraction else "")
        if not _PLAIN.fullmatch(plain) or (negative and plain[0] in "+-"):
            raise UnreadableFile(
                f"{where}: {self._shown(text)} is not a number with {self.decimal!r} before its decimals"
            )
        plain = plain.removeprefix("+")
        return f"-{plain}" if negative else plain

    def _shown(self, text: str) -> str:
        return "what it states" if self.personal else quote(text)

    def _encoding_of(self, data: bytes) -> str:
        """Once the whole file is found to be text in it."""
        marked = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
        encoding = next((marked[mark] for mark in marked if data.startswith(mark)), self.encoding)
        decoder = codecs.getincrementaldecoder(encoding)()
        try:
            for begin in range(0, len(data), _AT_ONCE):
                if "\0" in decoder.decode(data[begin : begin + _AT_ONCE]):
                    raise UnreadableFile(f"it is not text in {encoding} (it has null characters): set format.encoding")
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise UnreadableFile(f"it is not text in {encoding}: set format.encoding") from error
        return encoding

    def _places(self, cells: Sequence[str]) -> Mapping[str, int]:
        headings = [" ".join(cell.split()).casefold() for cell in cells]
        found = {}
        for field, column in self.columns.items():
            if isinstance(column, int):
                found[field] = column - 1
                continue
            heading = " ".join(column.split()).casefold()
            if headings.count(heading) != 1:
                much = "no column" if heading not in headings else "several columns"
                raise UnreadableFile(f"it has {much} {quote(column)}; it has {self._told(headings, cells)}")
            found[field] = headings.index(heading)
        return found

    def _told(self, headings: Sequence[str], cells: Sequence[str]) -> str:
        """Which columns there are; of personal tables only where one that is read is among them: else it may be somebody's row."""
        read = {" ".join(column.split()).casefold() for column in self.columns.values() if isinstance(column, str)}
        if self.personal and read.isdisjoint(headings):
            return f"{len(cells)} others, of which none is read: is this the line of headings?"
        return ", ".join(quote(cell) for cell in cells[:30])


def _checked(place: str, form: Any) -> dict[str, Any]:
    if not isinstance(form, Mapping):
        raise ConfigurationError(f"{place} must be a table with some of {', '.join(_FORMAT)}")
    rules: Mapping[str, tuple[Callable[[Any], bool], str]] = {
        "delimiter": (
            lambda value: isinstance(value, str) and len(value) == 1 and value not in '"\r\n',
            "it has to be one character",
        ),
        "encoding": (_is_encoding, 'it has to be the name of one, such as "utf-8" or "cp1252"'),
        "skip": (
            lambda value: type(value) is int and 0 <= value <= 1_000,
            "it has to be a number of lines, from 0 to 1000",
        ),
        "headings": (lambda value: isinstance(value, bool), "it has to be true or false"),
        "dates": (
            lambda value: isinstance(value, str) and _is_date_form(value),
            "it has to have %d, %m and %Y (or %y, a year of two digits), as in '%d.%m.%Y' for 31.01.2026",
        ),
        "decimal": (lambda value: value in (".", ","), 'it has to be "." or ","'),
    }
    for key, value in form.items():
        if key not in rules:
            raise ConfigurationError(f"{place}.{key} is not a setting; there are {', '.join(_FORMAT)}")
        fits, rule = rules[key]
        if not fits(value):
            raise ConfigurationError(f"{place}.{key} cannot be {value!r}: {rule}")
    return dict(form)


def _is_encoding(value: Any) -> bool:
    try:
        return isinstance(value, str) and "a".encode(value).decode(value) == "a"
    except LookupError:
        return False


def _is_date_form(value: str) -> bool:
    """Whether it states a day, and nothing that depends on the machine's language."""
    day = date(2026, 1, 31)
    try:
        return datetime.strptime(day.strftime(value), value).date() == day and not re.search("%[aAbBcpxXZ]", value)
    except ValueError:
        return False


@lru_cache(maxsize=1024)
def _date(text: str, form: str) -> date | None:
    try:
        return datetime.strptime(text, form).date()
    except ValueError:
        return None


def _lines(data: bytes, encoding: str, skip: int) -> Iterator[str]:
    """The lines from `skip` on, one at a time: as text the whole may be four times as large as the file. Raises UnreadableFile."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding, newline="")
    number = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise UnreadableFile(f"line {number}: it has more than {_LONGEST_LINE:,} characters")
        if number > skip:
            yield line


def _check_kind(data: bytes) -> None:
    """Raises UnreadableFile for what is no text at all, and says what it is."""
    if reason := not_text(data, "export a table in a text file (CSV)"):
        raise UnreadableFile(reason)


def _check_width(cells: Sequence[str], width: int, last: int, where: str) -> None:
    if len(cells) <= last:
        raise UnreadableFile(
            f"{where}: it has {len(cells)} columns, and the {last + 1}th is read: was the row cut off?"
        )
    if any(cell.strip() for cell in cells[max(width, last + 1) :]):
        raise UnreadableFile(f"{where}: it has more columns than the first row: is there a delimiter within a text?")


def _sniffed(lines: Iterator[str]) -> str:
    """The delimiter that divides the first line with any of them into most columns."""
    for line in lines:
        counts = {each: len(next(csv.reader([line], delimiter=each), [])) for each in _DELIMITERS}
        best = max(_DELIMITERS, key=lambda each: counts[each])
        if counts[best] > 1:
            return best
    return ","
