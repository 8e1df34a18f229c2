"""Files of exchange rates -> rates. Pure.

- The European Central Bank's reference rates, as CSV, the same in a ZIP, or XML (eurofxref-hist.csv, eurofxref-hist.zip,
  eurofxref.csv, eurofxref-hist.xml …; https://www.ecb.europa.eu/stats/eurofxref/): one euro in each currency, by day. Currencies that
  no longer exist stand there too and are passed over.
- CSV with the columns date, base, quote, rate and optionally type, in any order: one unit of base is worth rate units of quote.

A file is taken as a whole or refused with all that is wrong with it.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final
from xml.parsers import expat

from sources.errors import InvalidArgument
from sources.ledger.rules import FIRST_DATE, LAST_DATE
from sources.mapping.rates import DEFAULT_TYPE, Quote
from sources.money import DECIMAL, EXPONENTS

MAX_BYTES: Final = 32_000_000
"""Of a file, and of what a ZIP holds. All rates of the ECB since 1999 are some 0.7 MB of CSV and 10 MB of XML."""
MAX_RATES: Final = 500_000
"""Of a file: more than twice what the ECB has published since 1999."""
MAX_TOLD: Final = 20
"""Mistakes that are told of one file."""
LARGEST_RATE: Final = 10**12

_TYPE = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_LONG_DATE = re.compile(r"([0-9]{1,2}) ([A-Z][a-z]+) ([0-9]{4})", re.ASCII)
_MONTHS: Final = dict(
    zip(["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"], range(1, 13), strict=True)
)
_PLAIN = ("date", "base", "quote", "rate")
_NOT_GIVEN = ("", "N/A", "-")


class Faults:
    """What is wrong with a file, gathered so that all is told at once."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told: list[str] = []
        self._more = 0

    def add(self, where: str, rule: str) -> None:
        if len(self._told) < MAX_TOLD:
            self._told.append(f"{self._name}: {where}: {rule}" if where else f"{self._name}: {rule}")
        else:
            self._more += 1

    def raise_all(self) -> None:
        """Raises InvalidArgument when anything was found."""
        if self._told:
            raise InvalidArgument("\n".join([*self._told, *([f"and {self._more} more"] if self._more else [])]))


@dataclass(frozen=True, slots=True)
class RateFile:
    """What a file states. `passed_over`: currencies of the ECB's that are none of ISO 4217 today."""

    quotes: tuple[Quote, ...]
    passed_over: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Reading:
    """`seen`: where each rate stands."""

    name: str
    faults: Faults
    quotes: dict[tuple[str, str, str, date], Quote] = field(default_factory=dict)
    passed_over: set[str] = field(default_factory=set)

    def take(self, where: str, base: str, quote: str, on: str, rate: str, kind: str) -> None:
        try:
            found = checked(base, quote, on, rate, kind)
        except InvalidArgument as fault:
            self.faults.add(where, str(fault))
            return
        if len(self.quotes) == MAX_RATES:
            raise InvalidArgument(f"{self.name}: it must state at most {MAX_RATES:,} rates")
        key = (found.base, found.quote, found.type, found.on)
        if self.quotes.setdefault(key, found).rate != found.rate:
            self.faults.add(where, f"{base} in {quote} ({kind}) of {found.on} stands there twice, with different rates")


def checked(base: str, quote: str, on: str, rate: str, kind: str = DEFAULT_TYPE) -> Quote:
    """A rate as people state it: codes of ISO 4217, a day as YYYY-MM-DD, a decimal above 0. Raises InvalidArgument with all
    that is wrong."""
    faults = [f"{code[:10]!r} is no currency of ISO 4217" for code in (base, quote) if code not in EXPONENTS]
    if base == quote:
        faults.append(f"base and quote are both {base[:10]!r}")
    if not _TYPE.fullmatch(kind):
        faults.append(
            f"type must be of a-z, 0-9, _ and -, begin with a letter and be at most 31 long, not {kind[:40]!r}"
        )
    day = _day(on)
    if day is None or not FIRST_DATE <= day <= LAST_DATE:
        faults.append(f"date must be a day from {FIRST_DATE} to {LAST_DATE}, as 2026-01-31, not {on[:20]!r}")
    if not DECIMAL.fullmatch(rate) or not 0 < Decimal(rate) < LARGEST_RATE:
        faults.append(f"rate must be a decimal number above 0 and below 10^12, as 1.0956, not {rate[:50]!r}")
    if faults or day is None:
        raise InvalidArgument("; ".join(faults))
    return Quote(base, quote, kind, day, Decimal(rate))


def read_rates(data: bytes, name: str) -> RateFile:
    """The rates of a file, whichever form it has. `name` is told in errors. Raises InvalidArgument."""
    faults = Faults(name)
    reading = _Reading(name, faults)
    data = _unpacked(data, faults)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        _read_xml(data, reading)
    else:
        _read_csv(data, reading)
    faults.raise_all()
    if not reading.quotes:
        raise InvalidArgument(f"{name}: no rates stand in it")
    return RateFile(tuple(reading.quotes.values()), frozenset(reading.passed_over))


def _unpacked(data: bytes, faults: Faults) -> bytes:
    if len(data) <= MAX_BYTES and data.startswith(b"PK\x03\x04"):
        data = _unzipped(data, faults)
    if len(data) > MAX_BYTES:
        faults.add("", f"it must be at most {MAX_BYTES:,} bytes long, unpacked too")
    faults.raise_all()
    return data


def _unzipped(data: bytes, faults: Faults) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [info for info in archive.infolist() if not info.is_dir()]
            if len(names) != 1:
                faults.add("", f"a ZIP must hold one file, not {len(names)}")
                return b""
            with archive.open(names[0]) as file:
                return file.read(MAX_BYTES + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, OSError) as error:
        faults.add("", f"the ZIP cannot be unpacked: {error}")
        return b""


def _read_csv(data: bytes, reading: _Reading) -> None:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        reading.faults.add("", "it must be UTF-8 text, XML, or a ZIP of one of them")
        return
    rows = _rows(text, reading.faults)
    _, header = next(rows, (1, []))
    names = [cell.strip() for cell in header]
    lower = [name.lower() for name in names]
    if all(name in lower for name in _PLAIN):
        _read_plain(lower, rows, reading)
    elif lower[:1] == ["date"] and len(names) > 1:
        _read_ecb(names, rows, reading)
    else:
        reading.faults.add(
            "line 1", "the columns must be date, base, quote, rate and optionally type, or those of the ECB's file"
        )


def _rows(text: str, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, with the number of their line."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        faults.add(f"line {reader.line_num}", f"it is not CSV: {error}")


def _read_plain(names: Sequence[str], rows: Iterator[tuple[int, list[str]]], reading: _Reading) -> None:
    unknown = [name for name in names if name not in (*_PLAIN, "type")]
    if unknown or len(set(names)) < len(names):
        reading.faults.add("line 1", "the columns must be date, base, quote, rate and optionally type, each once")
        return
    for number, row in rows:
        if len(row) != len(names):
            reading.faults.add(f"line {number}", f"it must have {len(names)} cells, not {len(row)}")
            continue
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        kind = cells.get("type") or DEFAULT_TYPE
        reading.take(f"line {number}", cells["base"], cells["quote"], cells["date"], cells["rate"], kind)


def _read_ecb(names: Sequence[str], rows: Iterator[tuple[int, list[str]]], reading: _Reading) -> None:
    """Of a day without rates for a currency the cell is N/A or empty; each line ends with a comma."""
    for number, row in rows:
        if len(row) > len(names):
            reading.faults.add(f"line {number}", f"it has {len(row)} cells under {len(names)} columns")
            continue
        day, *cells = (cell.strip() for cell in row)
        for currency, rate in zip(names[1:], cells, strict=False):
            if currency and rate not in _NOT_GIVEN:
                _take_ecb(reading, f"line {number}, {currency[:10]}", currency, day, rate)


def _take_ecb(reading: _Reading, where: str, currency: str, day: str, rate: str) -> None:
    if currency not in EXPONENTS and re.fullmatch("[A-Z]{3}", currency):
        reading.passed_over.add(currency)
    else:
        reading.take(where, "EUR", currency, day, rate, DEFAULT_TYPE)


def _read_xml(data: bytes, reading: _Reading) -> None:
    """Cube elements: one with a time for each day, in it one with currency and rate for each currency. Whatever else stands
    there is passed over; a document type is refused, since it could make much of little."""
    day = ""
    parser = expat.ParserCreate()

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal day
        if name.rpartition(":")[2] != "Cube":
            return
        day = attributes.get("time", day)
        if "currency" in attributes:
            where = f"line {parser.CurrentLineNumber}, {attributes['currency'][:10]}"
            _take_ecb(reading, where, attributes["currency"], day, attributes.get("rate", ""))

    def refuse(*_: object) -> None:
        rule = "it must not have a document type declaration (<!DOCTYPE>), which no file of rates needs"
        raise InvalidArgument(f"{reading.name}: {rule}")

    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        reading.faults.add("", f"it is not well-formed XML: {error}")


def _day(text: str) -> date | None:
    """2026-01-31, or as in the ECB's daily file, 31 January 2026."""
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
        if (match := _LONG_DATE.fullmatch(text)) and match[2][:3] in _MONTHS:
            return date(int(match[3]), _MONTHS[match[2][:3]], int(match[1]))
    except ValueError:
        return None
    return None
