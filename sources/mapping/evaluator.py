"""simpleeval, narrowed to the language of rules: exact numbers, bounded sizes, no attributes, its own functions. No I/O."""

from __future__ import annotations

import ast
import calendar
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from fractions import Fraction
from operator import eq, ge, gt, le, lt, ne
from types import MappingProxyType
from typing import Any, Final

from simpleeval import InvalidExpression, SimpleEval  # type: ignore[import-untyped]

from sources.money import DECIMAL

MAX_BITS: Final = 256
"""Of a whole number, or of either part of a fraction: amounts have at most 50."""
MAX_TEXT: Final = 2_000

Number = int | Fraction


class Unfit(Exception):
    """Values that cannot be computed with; the text says why, and holds none of them."""


class Evaluator(SimpleEval):  # type: ignore[misc]
    """Computes one checked tree in one scope. Paths of fields come as one dotted name."""

    def __init__(self, scope: Mapping[str, Any]) -> None:  # the library's own would make tables anew each time
        self.names = scope

    def __del__(self) -> None:
        """The library breaks a cycle here that this class does not have."""

    def compute(self, tree: ast.expr) -> Any:
        """Raises Unfit."""
        self.expr = ""
        try:
            value = self._eval(tree)
        except ZeroDivisionError:
            raise Unfit("it divides by zero") from None
        except (ArithmeticError, LookupError, TypeError, ValueError, InvalidExpression):
            raise Unfit("the fields do not hold what it needs") from None
        return int(value) if isinstance(value, Fraction) and value.denominator == 1 else value

    def _eval(self, node: ast.AST) -> Any:
        value = _NODES[type(node)](self, node)
        kind = type(value)
        if kind is int:
            if value.bit_length() > MAX_BITS:
                raise Unfit("a number becomes too large")
        elif kind is str:
            if len(value) > MAX_TEXT:
                raise Unfit("a text becomes too long")
        elif kind is Fraction:
            if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
                raise Unfit("a number becomes too large")
        elif kind is float:
            raise Unfit("a field holds a floating-point number, which is not exact")
        return value

    def _eval_constant(self, node: ast.Constant) -> Any:
        return node.value

    def _eval_name(self, node: ast.Name) -> Any:
        first, *rest = node.id.split(".")
        value = self.names[first]
        for part in rest:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    def _eval_list(self, node: ast.List | ast.Tuple) -> tuple[Any, ...]:
        return tuple(self._eval(each) for each in node.elts)


# ---------------------------------------------------------------- operators


def _numbers(*values: Any) -> None:
    for value in values:
        if type(value) is not int and type(value) is not Fraction:
            raise Unfit("a field is empty" if value is None else f"{_shown(value)} is no number")


def _plus(left: Any, right: Any) -> Any:
    if type(left) is str and type(right) is str:
        return left + right
    _numbers(left, right)
    return left + right


def _arithmetic(operator: Callable[[Number, Number], Number]) -> Callable[[Any, Any], Number]:
    def compute(left: Any, right: Any) -> Number:
        _numbers(left, right)
        return operator(left, right)

    return compute


def _ordered(operator: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        if not (type(left) is type(right) and isinstance(left, str | date)):
            _numbers(left, right)
        return operator(left, right)

    return compare


def _within(left: Any, right: Any) -> bool:
    if type(right) is str:
        return _text(left) in right
    if not isinstance(right, tuple | list):
        raise Unfit("`in` needs a list or a text on its right")
    return left in right


def _negative(value: Any) -> Number:
    _numbers(value)
    result: Number = -value
    return result


def _positive(value: Any) -> Number:
    _numbers(value)
    result: Number = value
    return result


Evaluator.operators = {
    ast.Add: _plus,
    ast.Sub: _arithmetic(lambda left, right: left - right),
    ast.Mult: _arithmetic(lambda left, right: left * right),
    ast.Div: _arithmetic(Fraction),
    ast.FloorDiv: _arithmetic(lambda left, right: left // right),
    ast.Mod: _arithmetic(lambda left, right: left % right),
    ast.Eq: eq,
    ast.NotEq: ne,
    ast.Lt: _ordered(lt),
    ast.LtE: _ordered(le),
    ast.Gt: _ordered(gt),
    ast.GtE: _ordered(ge),
    ast.In: _within,
    ast.NotIn: lambda left, right: not _within(left, right),
    ast.Not: lambda value: not value,
    ast.USub: _negative,
    ast.UAdd: _positive,
}


# ---------------------------------------------------------------- functions


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit("a field is empty" if value is None else f"{_shown(value)} is no text")
    return value


def _shown(value: Any) -> str:
    """What kind of value it is, never the value: messages go where a document's texts need not."""
    return {str: "a text", bool: "true or false", list: "a list", dict: "a group of fields", date: "a date"}.get(
        type(value), "a value"
    )


def _absolute(value: Any) -> Number:
    _numbers(value)
    result: Number = abs(value)
    return result


def _round(value: Any) -> int:
    _numbers(value)
    return round(Fraction(value))


def _least(*values: Any) -> Number:
    _numbers(*values)
    result: Number = min(values)
    return result


def _most(*values: Any) -> Number:
    _numbers(*values)
    result: Number = max(values)
    return result


def _number(value: Any) -> Number:
    if type(value) is int or type(value) is Fraction:
        return value
    if not DECIMAL.fullmatch(_text(value)):
        raise Unfit("a text is no decimal number")
    return Fraction(value)


def _date(value: Any) -> date:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(_text(value))
    except ValueError:
        raise Unfit("a text is no date of the form 2026-01-31") from None


def _day(seconds: Any) -> date | None:
    if seconds is None:
        return None
    if type(seconds) is not int or not 0 <= seconds < 253_402_300_800:
        raise Unfit("what should be seconds since 1970 is not")
    return datetime.fromtimestamp(seconds, UTC).date()


def _month_end(value: Any) -> date:
    day = _date(value)
    return day.replace(day=calendar.monthrange(day.year, day.month)[1])


def _lookup(table: Any, key: Any) -> Any:
    if not isinstance(table, dict):
        raise Unfit("what is looked up in is no table of the settings")
    if key is None:
        return table.get("default")
    return table.get(str(key) if type(key) is int else _text(key), table.get("default"))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "abs": _absolute,
        "round": _round,
        "min": _least,
        "max": _most,
        "number": _number,
        "lower": lambda value: _text(value).lower(),
        "upper": lambda value: _text(value).upper(),
        "starts_with": lambda value, start: _text(value).startswith(_text(start)),
        "ends_with": lambda value, end: _text(value).endswith(_text(end)),
        "date": _date,
        "day": _day,
        "month_end": _month_end,
        "lookup": _lookup,
    }
)
"""round: to a whole number, half to even. number: of a decimal text. date: of an ISO text. day: in UTC, of seconds since 1970
(None of None). month_end: the last day of a date's month. lookup: of a table of the settings, its default or None."""

Evaluator.functions = dict(FUNCTIONS)

_NODES: Final[dict[type[ast.AST], Callable[[Any, Any], Any]]] = {
    ast.BoolOp: SimpleEval._eval_boolop,
    ast.UnaryOp: SimpleEval._eval_unaryop,
    ast.BinOp: SimpleEval._eval_binop,
    ast.Compare: SimpleEval._eval_compare,
    ast.IfExp: SimpleEval._eval_ifexp,
    ast.Call: SimpleEval._eval_call,
    ast.Constant: Evaluator._eval_constant,
    ast.Name: Evaluator._eval_name,
    ast.Tuple: Evaluator._eval_list,
    ast.List: Evaluator._eval_list,
}
