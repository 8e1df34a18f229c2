"""The text of a BAI2 file as records and fields. No meaning yet.

Rules (BAI, Cash Management Balance Reporting Specifications, version 2): fields stand between commas, a slash ends a record,
an 88 goes on where the record before it stopped, and the text that ends a 16 may hold commas and slashes. Read besides, because
banks write it: records without a slash, several records on one line, blanks around fields, records cut into lines of their own
without an 88, files without line breaks.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sources.connectors.files_values import UnreadableFile, quote

_MAX_WRAPS = 50
_MAX_PARTS = 10_000
_CODES = frozenset({"01", "02", "03", "16", "49", "88", "98", "99"})
_START = re.compile(r"[ \t]*([0-9]{2})[ \t]*,")
_LINE = re.compile(rb"[^\r\n]+")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufeff]")
_RECORD = r"(?=(?:01|02),[^,\n]*,[^,\n]*,|03,[^,\n]+,|16,[0-9]{3},|88,|(?:49|98|99),[+-]?[0-9]*,[0-9]*(?:,[0-9]*)?[ \t]*(?:/|$))"
_NEXT_ON_LINE = re.compile(rf"/[ \t]+{_RECORD}", re.ASCII)
_NEXT_ANYWHERE = re.compile(rf"/[ \t]*{_RECORD}", re.ASCII)
_HEADER = re.compile(r"[ \t\r\n]*01[ \t]*,(?:[^,\r\n]*,){3}|(?:[^\r\n]*[\r\n]){1,40}?[ \t]*01[ \t]*,(?:[^,\r\n]*,){5}")


def is_bai2(head: str) -> bool:
    """Whether the beginning of a text has a file header, at its first line or behind a few lines of a carrier's."""
    return _HEADER.match(head) is not None


@dataclass(slots=True)
class Record:
    """One record with its continuations. `line`: where it begins, counted from 1; `parts`: what follows the record codes, without
    the slashes; `physical`: how many records it is in the count of a trailer; `wraps`: how many lines were joined to its last part."""

    code: str
    line: int
    parts: list[str] = field(default_factory=list)
    physical: int = 1
    wraps: int = 0

    @property
    def where(self) -> str:
        """For sentences."""
        return f"line {self.line} (record {self.code})"

    def whole(self) -> str:
        """As it stands in the file, a line for each part."""
        return f"{self.code}," + "\n".join(self.parts)


class Fields:
    """The fields of a record from the first to the last, across its continuations."""

    __slots__ = ("_at", "_part", "_parts")

    def __init__(self, record: Record) -> None:
        self._parts = [part for part in record.parts if part.strip()]
        self._part = 0
        self._at = 0

    @property
    def ended(self) -> bool:
        """Whether there is no further field."""
        return self._part >= len(self._parts)

    @property
    def begins_part(self) -> bool:
        """Whether the next field is the first one of a continuation."""
        return self._at == 0 and self._part > 0

    def next(self) -> str:
        """The next field without blanks around it; empty behind the last one."""
        if self.ended:
            return ""
        text = self._parts[self._part]
        end = text.find(",", self._at)
        found = text[self._at : end if end >= 0 else None].strip()
        if end < 0:
            self._part, self._at = self._part + 1, 0
        else:
            self._at = end + 1
        return found

    def peek(self) -> str:
        """The next field, which stays the next one."""
        part, at = self._part, self._at
        found = self.next()
        self._part, self._at = part, at
        return found

    def rest(self) -> str:
        """All that is left, commas and all, a line for each part."""
        if self.ended:
            return ""
        left = [self._parts[self._part][self._at :], *self._parts[self._part + 1 :]]
        self._part = len(self._parts)
        return "\n".join(left)


def read_records(data: bytes) -> Iterator[Record]:
    """The records of a file, in their order. What stands before the first file header, or behind a file trailer, is a carrier's.
    Raises UnreadableFile."""
    open_record: Record | None = None
    for line, piece in _pieces(data):
        match = _START.match(piece)
        code = match[1] if match and match[1] in _CODES else None
        if open_record is None and code != "01":
            continue
        if code is None:
            assert open_record is not None
            _wrap(open_record, line, piece)
            continue
        assert match is not None
        content = _content(piece[match.end() :])
        if code == "88" and open_record is not None and open_record.code not in ("49", "98", "99"):
            _add_part(open_record, content)
            open_record.physical += 1
            continue
        if open_record is not None:
            yield open_record
        open_record = Record(code, line, [content])
    if open_record is not None:
        yield open_record


def _wrap(record: Record, line: int, piece: str) -> None:
    """A line that begins no record belongs to the one before it: a part of the text of a 16, elsewhere it goes on where the line
    before it was cut. Raises UnreadableFile."""
    content = _content(piece)
    if record.code == "16":
        _add_part(record, content)
    elif content.strip() and record.code != "99":
        record.wraps += 1
        if record.wraps > _MAX_WRAPS:
            raise UnreadableFile(f"line {line}: {quote(piece)} does not begin with a record code")
        record.parts[-1] += content


def _add_part(record: Record, content: str) -> None:
    record.parts.append(content)
    if len(record.parts) > _MAX_PARTS:
        raise UnreadableFile(f"{record.where}: it goes on for more than {_MAX_PARTS} lines")


def _content(piece: str) -> str:
    return piece.rstrip().removesuffix("/")


def _pieces(data: bytes) -> Iterator[tuple[int, str]]:
    """What may be a record, with the number of its line. Decoded line by line: a file is not in memory a second time."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        data = data.decode("utf-16", "replace").encode()
    following = _NEXT_ON_LINE if re.search(rb"[\r\n]", data.strip()) else _NEXT_ANYWHERE
    end_of_line = b"\n" if b"\n" in data else b"\r"
    number, counted = 1, 0
    for match in _LINE.finditer(data):
        number += data.count(end_of_line, counted, match.start())
        counted = match.start()
        line = _decoded(match[0])
        begin = 0
        for found in following.finditer(line):
            yield number, line[begin : found.start() + 1]
            begin = found.end()
        yield number, line[begin:] if begin else line


def _decoded(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("cp1252", "replace")
    return text if text.isprintable() else _CONTROLS.sub("", text)
