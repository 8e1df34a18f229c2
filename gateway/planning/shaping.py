"""The generated functions that turn rows into JSON text.

A leaf's expression says how one row's value is written. Over many rows the same is done column by column where its word has
a form for columns (`gateway.planning.writing.COLUMNS`), and each row's text is put together of its columns' texts.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from gateway.planning.writing import COLUMNS
from sources.packing import columns_of

Shape = Callable[..., list[str]]
"""(rows, *children) -> one JSON text a row; each child is a list of texts aligned with the rows."""


_AT: dict[str, Any] = {"lineno": 1, "col_offset": 0, "end_lineno": 1, "end_col_offset": 0}
"""Where the trees' nodes are said to stand: the compiler asks."""


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
    read: set[int] = set()
    written: list[ast.expr] = []
    for part in parts:
        if part.text:
            pieces.append(ast.Constant(part.text, **_AT))
        if part.child is not None:
            pieces.append(_formatted(_name(f"c{part.child}")))
        if part.expression:
            column, within, values = _analysed(part.expression)
            if column is None:
                pieces += within
                read |= values
            else:
                pieces.append(_formatted(_name(f"t{len(written)}")))
                written.append(column)
    given = {f"c{number}": _name(f"c{number}") for number in range(children)}
    texts = {f"t{number}": column for number, column in enumerate(written)}
    template = ast.parse(f"lambda {', '.join(['rows', 'columns', *given])}: 0", mode="eval")
    joined = _of_all(ast.JoinedStr(pieces, **_AT), {**_stored(read), **texts, **given})
    cast("ast.Lambda", template.body).body = joined
    join: Shape = _compile(template, words)
    if not read and not written:
        return lambda rows, *texts: join(rows, (), *texts)
    return lambda rows, *texts: join(rows, columns_of(rows), *texts) if rows else []


@lru_cache(maxsize=2_000)
def _analysed(expression: str) -> tuple[ast.expr | None, list[ast.expr], set[int]]:
    """What gives all rows' values of a leaf's expression at once; or, without that, the pieces of a row's text and the positions
    of the values that they read. Fields of a type say the same in every document: the trees are shared."""
    tree = ast.parse(expression, mode="eval").body
    column = _column(tree)
    if column is not None:
        return ast.fix_missing_locations(column), [], set()
    read: set[int] = set()
    return None, list(map(ast.fix_missing_locations, _pieces(_Values(read).visit(tree)))), read


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
            return ast.Call(
                _name(COLUMNS[word].__name__), [each for argument in arguments for each in _arguments(argument)], []
            )
        case ast.IfExp(ast.Compare(value), _, ast.Call(ast.Name("quote"), [quoted]) as call):
            return _column(call) if ast.dump(value) == ast.dump(quoted) else None
    return None


def _arguments(argument: ast.expr) -> Iterator[ast.expr]:
    match argument:
        case ast.Subscript(ast.Name(table), key) if table != "r":
            yield _of_rows(key)
            yield _name(table)
        case _:
            yield _of_rows(argument)


def _of_rows(expression: ast.expr) -> ast.expr:
    """The expression's values for all rows."""
    read: set[int] = set()
    value = _Values(read).visit(expression)
    stored = _stored(read)
    match value:
        case ast.Name(name) if name in stored:
            return stored[name]
    return _of_all(value, stored)


class _Values(ast.NodeTransformer):
    """Puts v0, v1 … in the places of r[0], r[1] …; `read`: which ones."""

    def __init__(self, read: set[int]) -> None:
        self._read = read

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        match node:
            case ast.Subscript(ast.Name("r"), ast.Constant(int(position))):
                self._read.add(position)
                return _name(f"v{position}")
        return self.generic_visit(node)


def _stored(read: Iterable[int]) -> dict[str, ast.expr]:
    """The columns that rows give, by the names of their values."""
    return {
        f"v{at}": ast.Subscript(_name("columns"), ast.Constant(at, **_AT), ast.Load(), **_AT) for at in sorted(read)
    }


def _of_all(value: ast.expr, columns: Mapping[str, ast.expr]) -> ast.expr:
    """The value for all items of the columns, each under its name; without any, for all rows."""
    names = "".join(f"{name}, " for name in columns)
    template = ast.parse(f"[0 for {names} in zip()]" if columns else "[0 for _ in rows]", mode="eval")
    every = cast("ast.ListComp", template.body)
    every.elt = value
    if columns:
        cast("ast.Call", every.generators[0].iter).args += columns.values()
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


def _name(name: str) -> ast.expr:
    return ast.Name(name, ast.Load(), **_AT)


def _formatted(value: ast.expr) -> ast.expr:
    return ast.FormattedValue(value, conversion=-1, **_AT)
