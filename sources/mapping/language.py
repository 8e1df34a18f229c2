"""The language of rules: field paths, expressions and templates, read once and checked against the names there are.

A path is `party.external_id`; what is missing on the way is None. An expression computes with whole numbers, exact decimals,
texts, dates, true and false; a division is exact, and nothing is ever a floating-point number. A template is text with
expressions in braces: `Invoice {number or external_id}`; what is None is left out, `{{` and `}}` are braces.

The library simpleeval evaluates. Before it sees anything, what the language does not have is refused: attributes of
values, subscripts, keywords, comprehensions, powers, bits. Texts, depth and sizes of numbers are bounded.
"""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from difflib import get_close_matches
from fractions import Fraction
from keyword import iskeyword
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from sources.mapping.evaluator import FUNCTIONS, Evaluator, Unfit
from sources.money import DECIMAL

MAX_LENGTH: Final = 500
"""Characters of an expression."""
MAX_NODES: Final = 200
MAX_DEPTH: Final = 50
MAX_TEMPLATE: Final = 1_000

Scope = Mapping[str, Any]
Getter = Callable[[Scope], Any]

_LONGEST_COMPARED: Final = 100
_MOST_COMPARED: Final = 300

_PATH = re.compile(r"[a-z_][a-z0-9_]*(\.[a-zA-Z_][a-zA-Z0-9_]*)*", re.ASCII)
_PATHS = re.compile(rf"\[\s*{_PATH.pattern}(\s*,\s*{_PATH.pattern})+\s*\]", re.ASCII)
_PIECES = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|([{}])")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ALLOWED: Final = (
    *(ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd),
    *(ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod),
    *(ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn),
    *(ast.IfExp, ast.Call, ast.Name, ast.Attribute, ast.Constant, ast.Tuple, ast.List, ast.Load),
)


class BadExpression(ValueError):
    """An expression or template that cannot be used; the text says why, for a person."""


class ExpressionFailed(Exception):
    """An expression met values that it cannot be computed with; the text says why, for a person."""


class Vocabulary:
    """The names that an expression may use: `names` of the document, `item` names where there is an item (else None), and the
    names within a name, of those `groups` that have only some."""

    def __init__(
        self,
        names: Collection[str],
        item: Collection[str] | None = None,
        groups: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        self._names = names
        self._item = item
        self._groups = groups

    def check(self, path: list[str]) -> None:
        """Raises BadExpression."""
        first = path[0]
        if first == "item":
            if self._item is None:
                raise BadExpression("there is no item here: only a line with `each` has one")
        elif first not in self._names:
            raise BadExpression(unknown(first, self._names))
        within = self._item if first == "item" else self._groups.get(first)
        if within is not None and len(path) > 1 and path[1] not in within:
            raise BadExpression(unknown(".".join(path[:2]), [f"{first}.{name}" for name in within]))


def expression(text: str, vocabulary: Vocabulary) -> Getter:
    """What computes the expression in a scope; it raises ExpressionFailed. Raises BadExpression."""
    stripped = text.strip()
    if _PATH.fullmatch(stripped) and not iskeyword(stripped):
        path = stripped.split(".")
        vocabulary.check(path)
        return _path(path)
    if _PATHS.fullmatch(stripped):
        getters = [expression(path, vocabulary) for path in stripped[1:-1].split(",")]
        return lambda scope: tuple([getter(scope) for getter in getters])
    tree = _parse(stripped)
    _check(tree, vocabulary)
    body = _Exact(stripped).visit(tree)

    def compute(scope: Scope) -> Any:
        try:
            return Evaluator(scope).compute(body)
        except Unfit as error:
            raise ExpressionFailed(f"{stripped} cannot be computed: {error}") from None

    return compute


def template(text: str, vocabulary: Vocabulary) -> Getter:
    """What fills in the template in a scope: one line of text without control characters, maybe empty. It raises
    ExpressionFailed. Raises BadExpression."""
    if len(text) > MAX_TEMPLATE:
        raise BadExpression(f"has {len(text):,} characters; at most {MAX_TEMPLATE:,} are taken")
    pieces = _pieces(text, vocabulary)
    if len(pieces) == 1:
        only = pieces[0]
        if isinstance(only, str):
            fixed = one_line(only)
            return lambda scope: fixed
        return lambda scope: one_line(shown(only(scope)))
    return lambda scope: one_line("".join([each if isinstance(each, str) else shown(each(scope)) for each in pieces]))


def shown(value: Any) -> str:
    """A value as text: "" for None, dates as ISO 8601. Raises ExpressionFailed for what is no text, whole number or date."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool | float) or not isinstance(value, int | date):
        raise ExpressionFailed(f"a {_kind(value)} cannot be written as text")
    return str(value)


def as_date(value: Any) -> date | None:
    """A date from a date or its ISO text. Raises ExpressionFailed."""
    if type(value) is date or value is None:
        return value
    if isinstance(value, datetime):
        return value.date()
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ExpressionFailed(f"a {_kind(value)} is no date") from None


def one_line(text: str) -> str:
    """The text with runs of white space as one blank, and without control characters and lone surrogates."""
    text = " ".join(text.split())
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def unknown(name: str, known: Collection[str]) -> str:
    """A sentence about a name that is not known, with the one that was probably meant."""
    return f"{name} is not known{meant(name, known)}"


def meant(name: str, known: Collection[str]) -> str:
    """ ": is … meant?", or nothing; also where comparing it would take long."""
    if len(name) > _LONGEST_COMPARED or len(known) > _MOST_COMPARED:
        return ""
    close = get_close_matches(name, list(known), n=1)
    return f": is {close[0]} meant?" if close else ""


# ---------------------------------------------------------------- paths


def _path(path: list[str]) -> Getter:
    if len(path) == 1:
        return itemgetter(path[0])
    first, *rest = path
    if len(rest) == 1:
        only = rest[0]

        def short(scope: Scope) -> Any:
            value = scope[first]
            return value.get(only) if isinstance(value, dict) else None

        return short

    def long(scope: Scope) -> Any:
        value = scope[first]
        for part in rest:
            value = value.get(part) if isinstance(value, dict) else None
        return value

    return long


# ---------------------------------------------------------------- expressions


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"has {len(text):,} characters; an expression takes at most {MAX_LENGTH}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        raise BadExpression(f"is no expression: {error.msg} at character {error.offset or 1}") from None
    except (MemoryError, RecursionError, ValueError, Warning):
        raise BadExpression("is no expression") from None


def _check(tree: ast.expr, vocabulary: Vocabulary) -> None:
    """Raises BadExpression where the tree has more than the language."""
    left, waiting = MAX_NODES, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        left -= 1
        if left < 0 or depth > MAX_DEPTH:
            raise BadExpression("is too long or too deeply nested: use several lines or a table")
        if not isinstance(node, _ALLOWED):
            raise BadExpression(f"has a {type(node).__name__}, which the language of rules does not have")
        children = ast.iter_child_nodes(node)
        if isinstance(node, ast.Attribute | ast.Name):
            vocabulary.check(_dotted(node))
            continue
        if isinstance(node, ast.Call):
            children = iter(_arguments(node))
        elif isinstance(node, ast.Constant) and not isinstance(node.value, int | float | str | None):
            raise BadExpression(f"has a {type(node.value).__name__} value, which the language of rules does not have")
        waiting += [(child, depth + 1) for child in children]  # type: ignore[misc]


def _arguments(node: ast.Call) -> list[ast.expr]:
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in FUNCTIONS:
        raise BadExpression(unknown(name, FUNCTIONS) if name else "calls what is no function of the language")
    try:
        inspect.signature(FUNCTIONS[name]).bind(*node.args)
    except TypeError as error:
        raise BadExpression(f"{name}: {error}") from None
    if node.keywords:
        raise BadExpression(f"{name} takes its arguments without names")
    return node.args


def _dotted(node: ast.expr) -> list[str]:
    """Raises BadExpression: attributes are names of fields in fields, never of values."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise BadExpression("has a dot after a value; dots join names of fields")
    if not _PATH.fullmatch(".".join([node.id, *reversed(parts)])):
        raise BadExpression(f"{node.id} is no name of a field")
    return [node.id, *reversed(parts)]


class _Exact(ast.NodeTransformer):
    """Makes decimals exact, by the digits that are written, and paths of fields one name."""

    def __init__(self, text: str) -> None:
        self._text = text

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        if isinstance(node.value, float):
            written = ast.get_source_segment(self._text, node) or ""
            if not DECIMAL.fullmatch(written):
                raise BadExpression(f"has the number {written[:50]}: write it with digits on both sides of the point")
            node.value = Fraction(written)  # type: ignore[assignment]
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.Name:
        return ast.Name(id=".".join(_dotted(node)), ctx=ast.Load())


# ---------------------------------------------------------------- templates


def _pieces(text: str, vocabulary: Vocabulary) -> list[str | Getter]:
    pieces: list[str | Getter] = []
    end = 0
    for found in _PIECES.finditer(text):
        pieces.append(text[end : found.start()])
        end = found.end()
        if found[2]:
            raise BadExpression(
                f"has a lone {found[2]} at character {found.start() + 1}: write {found[2] * 2} for a brace"
            )
        pieces.append(found[0][0] if found[1] is None else expression(found[1], vocabulary))
    pieces.append(text[end:])
    return [piece for piece in pieces if piece != ""] or [""]


def _kind(value: Any) -> str:
    names = {list: "list", dict: "group of fields", float: "floating-point number", bool: "true or false"}
    return names.get(type(value), type(value).__name__)
