"""The expressions of a declared API: JMESPath (https://jmespath.org/specification.html) over decoded JSON, whose fractions are exact
decimals, and a few functions more. No I/O.

More than JMESPath has: `plus(a, b, …)` and `minus(a, b)` of numbers or decimal texts, where what is absent counts as nothing, and
`minus(a)`, which turns the sign; `day(value)`, the date of a moment in seconds or milliseconds since 1970 or of /Date(…)/, and
`day(text, '%d.%m.%Y')`; `upper(text)`. `to_number` gives exact decimals, and so does `sum`.

A moment's date is that of a time zone where one is given, which then holds for ISO 8601 with an offset too; else it is UTC's, and of
ISO 8601 the one that is written.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal, localcontext
from typing import Any

import jmespath
from jmespath import functions
from jmespath.exceptions import JMESPathError

from sources.money import DECIMAL

_MILLISECONDS = 10**11
"""From here on a number is milliseconds: as seconds it would be of the year 5138."""
_DIGITS = 200
"""More than sums of what is taken for an amount need."""
_NET = re.compile(r"/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)/", re.ASCII)
_COUNT = re.compile(r"-?[0-9]{9,15}(?:\.[0-9]{1,9})?", re.ASCII)


class Unworkable(ValueError):
    """An expression that cannot be worked out for a value; what was stated stands not in it."""


class Expression:
    """A compiled one. `zone`: whose days `day` gives. Raises ValueError where the text is none, with a reason for a person."""

    def __init__(self, text: str, zone: tzinfo | None = None) -> None:
        self.text = text
        self._options = jmespath.Options(custom_functions=_Functions(zone))
        try:
            self._parsed = jmespath.compile(text)
        except JMESPathError as error:
            raise ValueError(f"is no JMESPath: {' '.join(str(error).split())[:200]}") from None
        for node in _nodes(self._parsed.parsed):
            if node["type"] == "function_expression":
                _check_call(node)

    def __repr__(self) -> str:
        return f"<Expression {self.text}>"

    @property
    def filters(self) -> bool:
        """Whether it leaves out items of a list by a test."""
        return any(node["type"] == "filter_projection" for node in _nodes(self._parsed.parsed))

    def search(self, value: Any) -> Any:
        """What it finds, None where there is nothing. Raises Unworkable."""
        try:
            return self._parsed.search(value, options=self._options)
        except Unworkable as error:
            raise Unworkable(f"{self.text!r} cannot be worked out: {error}") from None
        except (JMESPathError, TypeError, ValueError, ArithmeticError, KeyError):
            raise Unworkable(f"{self.text!r} cannot be worked out for what it finds") from None

    def is_true(self, value: Any) -> bool:
        """As JMESPath has it: neither null, false nor empty. Raises Unworkable."""
        return self.search(value) not in (None, False, "", [], {})


def moment(value: Any) -> float | None:
    """Seconds since 1970 of a number of seconds or milliseconds, of /Date(…)/ or ISO 8601; a time without an offset is UTC. None: it
    states none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        count = _since_1970(value)
        if count is None:
            found = datetime.fromisoformat(str(value))
            count = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
        datetime.fromtimestamp(count, UTC)
        return count
    except (ValueError, OverflowError, ArithmeticError, OSError):
        return None


def _since_1970(value: Any) -> float | None:
    if isinstance(value, str):
        net, counted = _NET.fullmatch(value.strip()), _COUNT.fullmatch(value.strip())
        if net:
            return int(net[1]) / 1000
        if counted is None:
            return None
        value = Decimal(counted[0])
    if not isinstance(value, (int, Decimal)):
        return None
    count = float(value)
    return count / 1000 if abs(count) >= _MILLISECONDS else count


def _nodes(node: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(node, Mapping):
        yield node
        for child in node.get("children", ()):
            yield from _nodes(child)


def _check_call(node: Mapping[str, Any]) -> None:
    name, given = node["value"], len(node["children"])
    table: Mapping[str, Any] = _Functions.FUNCTION_TABLE
    known = table.get(name)
    if known is None:
        close = difflib.get_close_matches(name, table, n=1)
        hint = f"did you mean {close[0]}()?" if close else f"there are {', '.join(sorted(table))}"
        raise ValueError(f"calls {name}(), which is no function; {hint}")
    signature = known["signature"]
    endless = bool(signature) and bool(signature[-1].get("variadic"))
    least, most = _ARGUMENTS.get(name, (len(signature), None if endless else len(signature)))
    if given < least or (most is not None and given > most):
        raise ValueError(
            f"calls {name}() with {given} values, which takes {least}{'' if most == least else ' or more'}"
        )


_ANY: Any = {"types": [], "variadic": True}
_ARGUMENTS: Mapping[str, tuple[int, int | None]] = {"minus": (1, 2), "day": (1, 2)}


class _Functions(functions.Functions):
    def __init__(self, zone: tzinfo | None) -> None:
        super().__init__()
        self._zone = zone

    @functions.signature(_ANY)
    def _func_plus(self, *values: Any) -> Any:
        numbers = [number for number in map(_number, values) if number is not None]
        return _exact_sum(numbers) if numbers else None

    @functions.signature(_ANY)
    def _func_minus(self, *values: Any) -> Any:
        minuend, subtrahend = map(_number, values if len(values) == 2 else (0, *values))
        if subtrahend is None and (minuend is None or len(values) == 1):
            return None
        return _exact_sum([minuend or 0, -(subtrahend or 0)])

    @functions.signature({"types": ["array"]})
    def _func_sum(self, values: list[Any]) -> Any:
        return _exact_sum([_number(value) or 0 for value in values])

    @functions.signature({"types": []})
    def _func_abs(self, value: Any) -> Any:
        number = _number(value)
        return None if number is None else _exact_sum([-number if number < 0 else number])

    @functions.signature({"types": []})
    def _func_to_number(self, value: Any) -> Any:
        try:
            return _number(value)
        except Unworkable:
            return None

    @functions.signature({"types": []})
    def _func_to_string(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        return format(value, "f") if _is_exact(value) else json.dumps(value, separators=(",", ":"), default=str)

    @functions.signature(_ANY)
    def _func_day(self, value: Any, form: Any = None) -> Any:
        if value is None or value == "":
            return None
        if form is not None:
            return self._day_of(_written_moment(value, form)).isoformat()
        seconds = moment(value) if _since_1970(value) is not None else None
        if seconds is not None:
            return self._day_of(datetime.fromtimestamp(seconds, UTC)).isoformat()
        stated = _stated_moment(value) if self._zone is not None else None
        return value if stated is None else self._day_of(stated).isoformat()

    def _day_of(self, moment: datetime) -> date:
        """As it is written, where no zone is given or the moment has no offset."""
        return (moment if self._zone is None or moment.tzinfo is None else moment.astimezone(self._zone)).date()

    @functions.signature({"types": ["string", "null"]})
    def _func_upper(self, value: Any) -> Any:
        return None if value is None else value.upper()


def _stated_moment(value: Any) -> datetime | None:
    """Of ISO 8601 with an offset. None: it is something else, such as a date."""
    try:
        found = datetime.fromisoformat(value.strip())
    except (ValueError, AttributeError):
        return None
    return found if found.tzinfo is not None else None


def _written_moment(value: Any, form: Any) -> datetime:
    try:
        return datetime.strptime(str(value).strip(), form)
    except (ValueError, TypeError):
        raise Unworkable(f"what it finds is no date of the form {str(form)[:40]}") from None


def _number(value: Any) -> int | Decimal | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float):  # a literal of the expression: what was decoded has none
        value = repr(value)
    if isinstance(value, str) and DECIMAL.fullmatch(value.strip()):
        return Decimal(value.strip())
    if _is_exact(value):
        return Decimal(value)
    raise Unworkable("it takes numbers, and finds something else")


def _is_exact(value: Any) -> bool:
    return isinstance(value, Decimal) and value.is_finite() and -40 <= value.adjusted() <= 40


def _exact_sum(numbers: list[int | Decimal]) -> int | Decimal:
    with localcontext() as context:
        context.prec = _DIGITS
        return sum(numbers)
