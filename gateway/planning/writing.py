"""The words of leaf expressions, and the generated functions that turn rows into JSON text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import orjson

from sources.ledger.feed import posting_cursor
from sources.money import EXPONENTS

Shape = Callable[..., list[str]]
"""(rows, *children) -> one JSON text a row; each child is a list of texts aligned with the rows."""


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


ZEROS = [money(0, exponent) for exponent in range(20)]


def debit(amount: int, exponent: int) -> str:
    """The amount when it is one, else zero."""
    return money(amount, exponent) if amount > 0 else ZEROS[exponent]


def credit(amount: int, exponent: int) -> str:
    """The amount's opposite when it is below zero, else zero."""
    return money(-amount, exponent) if amount < 0 else ZEROS[exponent]


def timestamp(text: str) -> str:
    """PostgreSQL's '2026-11-22 21:00:00.5+00' -> '"2026-11-22T21:00:00.500000+00:00"'."""
    if len(text) == 29:
        return f'"{text[:10]}T{text[11:26]}+00:00"'
    seconds, _, fraction = text[:-3].partition(".")
    return f'"{seconds.replace(" ", "T")}.{fraction:0<6}+00:00"'


WORDS: dict[str, Any] = {
    "quote": quote,
    "dumps": dumps,
    "money": money,
    "debit": debit,
    "credit": credit,
    "timestamp": timestamp,
    "posting_cursor": posting_cursor,
    "exponents": EXPONENTS,
    "str": str,
}
"""What leaf expressions may name; `codes` and `functional` (by ledger id) join them when a planner is made."""


class Part:
    """A piece of an object's text: a constant, or a Python expression of r (the row) and i (its number)."""

    __slots__ = ("expression", "text")

    def __init__(self, *, text: str = "", expression: str = "") -> None:
        self.text = text
        self.expression = expression


def namespace(words: Mapping[str, Any]) -> dict[str, Any]:
    """The globals that every generated function of a planner shares."""
    return {"__builtins__": {}, "enumerate": enumerate, **words}


def generate(parts: Sequence[Part], children: int, words: dict[str, Any]) -> Shape:
    """A function that joins the parts for every row."""
    pieces: list[ast.expr] = []
    for part in parts:
        if part.text:
            pieces.append(ast.Constant(part.text))
        if part.expression:
            pieces.append(ast.FormattedValue(ast.parse(part.expression, mode="eval").body, conversion=-1))
    names = "".join(f", c{n}" for n in range(children))
    template = ast.parse(f"lambda rows{names}: [text for i, r in enumerate(rows)]", mode="eval")
    rows = cast("ast.ListComp", cast("ast.Lambda", template.body).body)
    rows.elt = ast.JoinedStr(pieces)
    shape: Shape = _compile(ast.fix_missing_locations(template), words)
    return shape


def leaf(expression: str, words: dict[str, Any]) -> Callable[[Any], str]:
    """A function from a row to one field's text."""
    write: Callable[[Any], str] = _compile(f"lambda r: {expression}", words)
    return write


def _compile(source: str | ast.Expression, words: dict[str, Any]) -> Any:
    # The source is made of declarations of this product and positions; nothing of a request is in it but response
    # names, which GraphQL limits to [_A-Za-z0-9] and which are constants of the syntax tree.
    return eval(compile(source, "<shaper>", "eval"), words)  # noqa: S307
