"""The words of leaf expressions: each writes one value as JSON text, those that pages are made of a whole column too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from sources.feed import cursor_of
from sources.money import EXPONENTS


def quote(text: str) -> str:
    return orjson.dumps(text).decode()


def dumps(value: Any) -> str:
    return orjson.dumps(value).decode()


_CENTS = [f'.{cents:02}"' for cents in range(100)]


def money(minor: int, exponent: int) -> str:
    """123450 minor units with exponent 2 -> '"1234.50"'."""
    if exponent == 2 and minor >= 0:
        whole, cents = divmod(minor, 100)
        return f'"{whole}{_CENTS[cents]}'
    if exponent == 0:
        return f'"{minor}"'
    digits = str(minor)
    sign = ""
    if minor < 0:
        sign, digits = "-", digits[1:]
    if len(digits) <= exponent:
        digits = digits.rjust(exponent + 1, "0")
    return f'"{sign}{digits[:-exponent]}.{digits[-exponent:]}"'


_ZEROS = [money(0, exponent) for exponent in range(20)]


def debit(amount: int, exponent: int) -> str:
    """The amount when it is one, else zero."""
    return money(amount, exponent) if amount > 0 else _ZEROS[exponent]


def credit(amount: int, exponent: int) -> str:
    """The amount's opposite when it is below zero, else zero."""
    return money(-amount, exponent) if amount < 0 else _ZEROS[exponent]


def timestamp(text: str) -> str:
    """PostgreSQL's '2026-11-22 21:00:00.5+00' -> '"2026-11-22T21:00:00.500000+00:00"'."""
    if len(text) == 29:
        return f'"{text[:10]}T{text[11:26]}+00:00"'
    seconds, _, fraction = text[:-3].partition(".")
    return f'"{seconds.replace(" ", "T")}.{fraction:0<6}+00:00"'


# ---------------------------------------------------------------- columns


def quote_column(texts: Sequence[str | None]) -> list[str]:
    """As `quote`, of each; null for None."""
    # Indented, each stands on a line of its own: no JSON text holds a line feed, whatever it is the text of.
    return orjson.dumps(texts, option=orjson.OPT_INDENT_2)[4:-2].decode().split(",\n  ") if texts else []


def money_column(amounts: Sequence[int], keys: Sequence[Any], exponents: Mapping[Any, int]) -> list[str]:
    """As `money`, of each with the exponent that its key has."""
    if not _cents(keys, exponents):
        return [money(amount, exponents[key]) for amount, key in zip(amounts, keys, strict=True)]
    return [
        f'"{amount // 100}{_CENTS[amount % 100]}' if amount >= 0 else f'"-{-amount // 100}{_CENTS[-amount % 100]}'
        for amount in amounts
    ]


def debit_column(amounts: Sequence[int], keys: Sequence[Any], exponents: Mapping[Any, int]) -> list[str]:
    """As `debit`, of each with the exponent that its key has."""
    if not _cents(keys, exponents):
        return [debit(amount, exponents[key]) for amount, key in zip(amounts, keys, strict=True)]
    return [f'"{amount // 100}{_CENTS[amount % 100]}' if amount > 0 else '"0.00"' for amount in amounts]


def credit_column(amounts: Sequence[int], keys: Sequence[Any], exponents: Mapping[Any, int]) -> list[str]:
    """As `credit`, of each with the exponent that its key has."""
    if not _cents(keys, exponents):
        return [credit(amount, exponents[key]) for amount, key in zip(amounts, keys, strict=True)]
    return [f'"{-amount // 100}{_CENTS[-amount % 100]}' if amount < 0 else '"0.00"' for amount in amounts]


_TWO = {2}


def _cents(keys: Sequence[Any], exponents: Mapping[Any, int]) -> bool:
    return set(map(exponents.__getitem__, set(keys))) == _TWO


def timestamp_column(texts: Sequence[str]) -> list[str]:
    """As `timestamp`, of each."""
    return [f'"{text[:10]}T{text[11:26]}+00:00"' if len(text) == 29 else timestamp(text) for text in texts]


COLUMNS: dict[str, Any] = {
    "quote": quote_column,
    "timestamp": timestamp_column,
    "money": money_column,
    "debit": debit_column,
    "credit": credit_column,
}
"""What writes a whole column at once, by the word that writes one value. A table's item as an argument (the exponent of an
amount) comes as the column of its keys and the table."""

WORDS: dict[str, Any] = {
    "quote": quote,
    "dumps": dumps,
    "money": money,
    "debit": debit,
    "credit": credit,
    "timestamp": timestamp,
    "cursor_of": cursor_of,
    "exponents": EXPONENTS,
    "str": str,
}
"""What leaf expressions may name; `codes` and `functional` (by ledger id) join them when a planner is made."""
