"""What the parsers of files have in common: why one is refused, and texts, amounts and dates read exactly."""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache

from sources.money import EXPONENTS, MAX_MINOR, parse_minor

MAX_TEXT = 2_000
"""Characters that are kept of a description; the whole stands in `raw`."""

MAX_NAME = 140
"""Characters that are kept of names, references and identifications (ISO 20022 Max140Text)."""

FREE_MEMORY = 40_000_000
"""Bytes that what is made of a file may take beside those that its size allows, by count; the promise is of 64 MB as measured."""

_MEMORY_BY_BYTE = 8
_CODEC = re.compile(
    "utf_?(7|8|16|32)(_le|_be)?|cp[0-9]+|mac_?[a-z]+|iso8859_[0-9]+|iso2022_[a-z0-9_]+|latin_1|ascii|koi8_[a-z]|gb[0-9k]+|big5|euc_[a-z]+|shift_jis"
)
_LONG_TEXT = 20 * MAX_TEXT
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff]+")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff]+")


_ZIP = b"PK\x03\x04"
_ZIP_HEAD = 4_096
_OFFICE = (b"[Content_Types].xml", b"_rels/.rels", b"mimetypeapplication/vnd.", b"xl/", b"word/")
"""Names of parts that spreadsheets (.xlsx, .ods) and documents have among their first ones, which are zip archives too."""
_SIGNATURES = {
    _ZIP: ("a zip archive", True),
    b"\x1f\x8b": ("compressed (gzip)", True),
    b"BZh91AY&SY": ("compressed (bzip2)", True),
    b"\xfd7zXZ\0": ("compressed (xz)", True),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", True),
    b"Rar!\x1a\x07": ("a RAR archive", True),
    b"%PDF-": ("a PDF", False),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("a spreadsheet or document of an office program", False),
}


class UnreadableFile(Exception):
    """A file that is not read: `str()` of it says why, to the person who put it there. Nothing of the file is used."""


def not_text(data: bytes, instead: str) -> str | None:
    """What a file is that begins as archives, PDFs and documents of offices do, None for any other. `instead`: what to do about one
    that cannot be unpacked."""
    for signature, (what, unpacked) in _SIGNATURES.items():
        if data.startswith(signature):
            office = signature == _ZIP and any(mark in data[:_ZIP_HEAD] for mark in _OFFICE)
            found = "a spreadsheet or document of an office program" if office else what
            return f"it is {found}: {instead if office or not unpacked else 'unpack it into the folder'}"
    return None


def reader_version(reader: int, *settings: object) -> int:
    """Of a parser (`reader`, raised when it learns to read more) with settings that change what a file gives, by their `repr`: files
    that it could not read are tried again when either changes."""
    return reader << 32 | zlib.crc32(repr(settings).encode())


class Memory:
    """What may be made of one file, so that a small one cannot fill the memory: eight times its size and FREE_MEMORY more, counted by
    what things take about. With the file itself, its texts and what nobody counts that is less than ten times its size and 64 MB,
    which is what we promise; tests measure it. One for each file: whatever is made of it is taken from the same one."""

    def __init__(self, size: int) -> None:
        """`size`: of the file, in bytes."""
        self.left = FREE_MEMORY + _MEMORY_BY_BYTE * size
        self.when_short: Callable[[], None] | None = None
        """Gives back what was let go of meanwhile."""

    def take(self, size: int, what: str) -> None:
        """For one of `what` (for the sentence), of about so many bytes. Raises UnreadableFile when that is too much."""
        self.left -= size
        if self.left < 0 and self.when_short is not None:
            self.when_short()
        if self.left < 0:
            raise UnreadableFile(f"it has far more {what} than a business document of its size")

    def give_back(self, size: int) -> None:
        """Of what was let go of."""
        self.left += size


def to_minor(text: str, currency: str, where: str) -> int:
    """'12.50' EUR -> 1250. Raises UnreadableFile for an unknown currency, a malformed or negative amount, one that is not
    exactly representable (zeros beyond the currency's decimals are), or one beyond 10^15 minor units."""
    minor = to_signed_minor(text, currency, where)
    if minor < 0:
        raise UnreadableFile(
            f"{where}: the amount {quote(text)} is negative; the mark for debit or credit tells its sign"
        )
    return minor


def to_signed_minor(text: str, currency: str, where: str) -> int:
    """As `to_minor`, of formats whose amounts carry their sign."""
    exponent = exponent_of(currency, where)
    try:
        minor = parse_minor(text, exponent)
    except ValueError as error:
        raise UnreadableFile(f"{where}: the amount {quote(text)} {currency} {error}") from error
    if abs(minor) > MAX_MINOR:
        raise UnreadableFile(f"{where}: the amount {quote(text)} {currency} is larger than can be kept")
    return minor


def exponent_of(currency: str, where: str) -> int:
    """Decimals of a currency. Raises UnreadableFile when ISO 4217 does not have it."""
    if currency not in EXPONENTS:
        raise UnreadableFile(f"{where}: {quote(currency)} is not a currency in use (ISO 4217)")
    return EXPONENTS[currency]


def to_date(text: str, where: str) -> date:
    """The calendar date that an ISO 8601 date or timestamp states, in its own time zone. Raises UnreadableFile."""
    try:
        return _day(text)
    except ValueError as error:
        raise UnreadableFile(f"{where}: {quote(text)} is not a date") from error


@lru_cache(maxsize=64)
def _day(text: str) -> date:
    match = _ISO_DATE.match(text)
    return date(*map(int, match.groups())) if match else date.fromisoformat(text)


def text_codec(name: str) -> str | None:
    """Python's name of an encoding that a file states, None where it is not known to be one of texts: Python has others (punycode,
    idna) that take time without bounds."""
    try:
        found = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        return None
    return found if _CODEC.fullmatch(found.replace("-", "_")) else None


def clean(text: str | None, limit: int = MAX_NAME) -> str | None:
    """Text on one line, without control characters and repeated blanks; None when nothing is left."""
    if text is None:
        return None
    if len(text) > _LONG_TEXT:
        text = " ".join(_first_words(text, limit))
    return " ".join(_UNPRINTABLE.sub(" ", text).split())[:limit].rstrip() or None


def _first_words(text: str, limit: int) -> Iterator[str]:
    """Words of a long text, as many as `limit` characters hold and one more: all of them take many times its memory."""
    length = 0
    for match in _WORD.finditer(text):
        yield text[match.start() : min(match.end(), match.start() + limit + 1)]
        length += match.end() - match.start() + 1
        if length > limit:
            return


def quote(text: str) -> str:
    """Text of a file within a sentence: short, on one line, in quotes."""
    shown = clean(text, 41) or ""
    return f"'{shown if len(shown) <= 40 else shown[:37] + '...'}'"
