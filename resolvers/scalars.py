"""The scalars. Inputs keep what was written; an amount never passes through a float.

`Decimal` arrives as its text, `Date` as datetime.date, `DateTime` as a datetime in UTC, `BigInt` as int.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any, NewType

import strawberry
from graphql import GraphQLError, IntValueNode, StringValueNode, ValueNode
from graphql.language import FloatValueNode
from strawberry.types.scalar import ScalarDefinition

from sources.money import DECIMAL

Decimal = NewType("Decimal", str)
Date = NewType("Date", str)
DateTime = NewType("DateTime", str)
BigInt = NewType("BigInt", int)

_SAFE = 2**53


def _decimal(value: Any) -> str:
    if isinstance(value, str) and DECIMAL.fullmatch(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**40:
        return str(value)
    if isinstance(value, float):
        raise GraphQLError('Decimal cannot be a JSON float, whose digits are not exact: write a string, "12.50".')
    raise GraphQLError("Decimal must be a string of the form -?digits[.digits], or an integer.")


def _decimal_literal(node: ValueNode, _variables: Any = None) -> str:
    if isinstance(node, (StringValueNode, IntValueNode, FloatValueNode)):
        return _decimal(node.value)
    raise GraphQLError("Decimal must be a string or number literal of the form -?digits[.digits].", node)


def _date(value: Any) -> date:
    if isinstance(value, str) and len(value) == 10 and value.isascii() and (parsed := _parsed_date(value)):
        return parsed
    raise GraphQLError('Date must be an ISO 8601 date, "2026-11-22".')


@lru_cache(maxsize=1_000)
def _parsed_date(text: str) -> date | None:
    """Few days are spoken of at a time; a batch of postings names one a thousand times."""
    with contextlib.suppress(ValueError):
        parsed = date.fromisoformat(text)
        if parsed.isoformat() == text:  # Python reads weeks too, "2026-W01-1"
            return parsed
    return None


def _date_time(value: Any) -> datetime:
    if isinstance(value, str) and len(value) <= 40 and value.isascii():
        with contextlib.suppress(ValueError, OverflowError):
            parsed = datetime.fromisoformat(value)
            if parsed.tzinfo is not None:
                return parsed.astimezone(UTC)  # PostgreSQL takes offsets of less than 16 hours only
    raise GraphQLError('DateTime must be an ISO 8601 timestamp with offset, "2026-11-22T12:00:00Z".')


def _big_int(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _SAFE:
        return value
    raise GraphQLError("BigInt must be an integer between -2^53 and 2^53.")


def _big_int_literal(node: ValueNode, _variables: Any = None) -> int:
    if isinstance(node, IntValueNode) and len(node.value) <= 17:
        return _big_int(int(node.value))
    raise GraphQLError("BigInt must be an integer literal between -2^53 and 2^53.", node)


def _string_literal(parse: Any) -> Any:
    def parse_literal(node: ValueNode, _variables: Any = None) -> Any:
        return parse(node.value if isinstance(node, StringValueNode) else None)

    return parse_literal


def _as_is(value: Any) -> Any:
    return value


def _scalar(name: str, description: str, parse: Any, literal: Any) -> ScalarDefinition:
    return strawberry.scalar(
        name=name, description=description, serialize=_as_is, parse_value=parse, parse_literal=literal
    )


SCALARS: dict[object, ScalarDefinition] = {
    Decimal: _scalar(
        "Decimal",
        'An exact decimal as a JSON string, "1234.50"; money has exactly the decimals of its currency. Input: a string '
        "or literal of the form -?digits[.digits] in ASCII, or an integer; a JSON float, an exponent, blanks, a plus "
        "sign, NaN and Infinity are refused.",
        _decimal,
        _decimal_literal,
    ),
    Date: _scalar("Date", 'ISO 8601 date, "2026-11-22".', _date, _string_literal(_date)),
    DateTime: _scalar(
        "DateTime", "ISO 8601 timestamp with offset, microseconds.", _date_time, _string_literal(_date_time)
    ),
    BigInt: _scalar("BigInt", "An integer beyond 32 bits, a JSON number up to 2^53.", _big_int, _big_int_literal),
}
