"""The generated functions that turn rows into JSON text.

A leaf's expression says how one row's value is written. Over many rows the same is done column by column where its word has
a form for columns (`gateway.planning.writing.COLUMNS`), and each row's text is put together of its columns' texts.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from gateway.planning.writing import COLUMNS

Shape = Callable[..., list[str]]
"""(rows, *children) -> one JSON text a row; each child is a list of texts aligned with the rows."""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of an object's text: a constant, a Python expression of r (the row), or the text of a child, by its number."""

    text: str = ""
    expression: str = ""
    child: int | None = None


def namespace(words: Mapping[str, Any]) -> dict[str, Any]:
    """The globals that every generated function of a planner shares."""
    return {"__builtins__": {}, "zip": zip, **{word.__name__: word for word in COLUMNS.values()}, **words}


def generate(parts: Sequence[Part], children: int, words: dict[str, Any]) -> Shape:
    """A function that joins the parts for every row."""
    pieces: list[ast.expr] = []
    columns: list[ast.expr] = [ast.Name(f"c{number}", ast.Load()) for number in range(children)]
    for part in parts:
        if part.text:
            pieces.append(ast.Constant(part.text))
        if part.child is not None:
            pieces.append(_formatted(ast.Name(f"t{part.child}", ast.Load())))
        if part.expression:
            expression = ast.parse(part.expression, mode="eval").body
            column = _column(expression)
            if column is None:
                pieces += _pieces(expression)
            else:
                pieces.append(_formatted(ast.Name(f"t{len(columns)}", ast.Load())))
                columns.append(column)
    given = "".join(f", c{number}" for number in range(children))
    taken = "".join(f", t{number}" for number in range(len(columns)))
    source = f"lambda rows{given}: [text for r{taken} in {'zip(rows)' if columns else 'rows'}]"
    template = ast.parse(source, mode="eval")
    every = cast("ast.ListComp", cast("ast.Lambda", template.body).body)
    every.elt = ast.JoinedStr(pieces)
    if columns:
        cast("ast.Call", every.generators[0].iter).args += columns
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


# ---------------------------------------------------------------- columns


def _column(expression: ast.expr) -> ast.expr | None:
    """What gives the expression's value for all rows at once: a call of its word's form for columns."""
    match expression:
        case ast.Call(ast.Name(word), arguments) if word in COLUMNS:
            name = ast.Name(COLUMNS[word].__name__, ast.Load())
            return ast.Call(name, [each for argument in arguments for each in _arguments(argument)], [])
        case ast.IfExp(ast.Compare(value), _, ast.Call(ast.Name("quote"), [quoted]) as call):
            return _column(call) if ast.dump(value) == ast.dump(quoted) else None
    return None


def _arguments(argument: ast.expr) -> Iterator[ast.expr]:
    match argument:
        case ast.Subscript(ast.Name(table), key) if table != "r":
            yield _of_rows(key)
            yield ast.Name(table, ast.Load())
        case _:
            yield _of_rows(argument)


def _of_rows(expression: ast.expr) -> ast.expr:
    template = ast.parse("[value for r in rows]", mode="eval")
    every = cast("ast.ListComp", template.body)
    every.elt = expression
    return every


# ---------------------------------------------------------------- rows


def _pieces(expression: ast.expr) -> list[ast.expr]:
    """The expression as pieces of the row's text: what would be joined or made text before is so only once."""
    match expression:
        case ast.Constant(str()):
            return [expression]
        case ast.BinOp(left, ast.Add(), right) if _is_text(left):
            return [*_pieces(left), *_pieces(right)]
        case ast.Call(ast.Name("str"), [value]):
            return [_formatted(value)]
    return [_formatted(expression)]


def _is_text(expression: ast.expr) -> bool:
    match expression:
        case ast.Constant(str()):
            return True
        case ast.BinOp(left, ast.Add()):
            return _is_text(left)
    return False


def _formatted(value: ast.expr) -> ast.expr:
    return ast.FormattedValue(value, conversion=-1)
