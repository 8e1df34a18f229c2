"""What the parsers of files have in common: why one is refused, and texts, amounts and dates read exactly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from sources.money import EXPONENTS, MAX_MINOR, parse_minor

MAX_TEXT = 2_000
"""Characters that are kept of a description; the whole stands in `raw`."""

MAX_NAME = 140
"""Characters that are kept of names, references and identifications (ISO 20022 Max140Text)."""

FREE_MEMORY = 64_000_000
"""Bytes that what is read of a file may take beside those that its size allows."""

_MEMORY_BY_BYTE = 8
_LONG_TEXT = 20 * MAX_TEXT
_ISO_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})(?![0-9])")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff]+")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff]+")


class UnreadableFile(Exception):
    """A file that is not read: `str()` of it says why, to the person who put it there. Nothing of the file is used."""


class Memory:
    """What may be made of one file, so that a small one cannot fill the memory: eight times its size and FREE_MEMORY more, counted by
    what things take about. With the file itself that is nine times its size."""

    def __init__(self, size: int) -> None:
        self._left = FREE_MEMORY + _MEMORY_BY_BYTE * size

    def take(self, size: int, what: str) -> None:
        """For one of `what` (for the sentence), of about so many bytes. Raises UnreadableFile when that is too much."""
        self._left -= size
        if self._left < 0:
            raise UnreadableFile(f"it has far more {what} than a business document of its size")


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
