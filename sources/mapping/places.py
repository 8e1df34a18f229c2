"""Where in a TOML text each key stands. tomllib reads the values and tells no lines; this reads the lines and no values.

What it answers is of use only for texts that tomllib reads without complaint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

Path = tuple[str | int, ...]
MAX_PARTS: Final = 32
"""Of a dotted key, or of a table's name."""

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"(?:[^"\\]|\\.)*"')
_LITERAL = re.compile(r"'[^']*'")
_LONG_BASIC = re.compile(r'"""(?:[^\\]|\\.)*?"{3,5}', re.DOTALL)
_LONG_LITERAL = re.compile(r"'''.*?'{3,5}", re.DOTALL)
_SCALAR = re.compile(r"[^,\]}\s#]+(?: \d[^,\]}\s#]*)?")
_ESCAPES: Final = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_ESCAPE = re.compile(r"\\(?:([btnfr\"\\])|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))")


class TooManyParts(Exception):
    """A key of more than MAX_PARTS parts, for which TOML readers take time by the square; `line` is its line."""

    def __init__(self, line: int) -> None:
        super().__init__(f"a key has more than {MAX_PARTS} parts")
        self.line = line


def places(text: str) -> Mapping[Path, int]:
    """The line, from 1, of each key, table and array element: ("rules", 0, "postings", 1, "date") -> 12. Raises TooManyParts;
    IndexError, KeyError, RecursionError or ValueError for what is no TOML."""
    return _Scanner(text).scan()


def line_of(found: Mapping[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest thing around it; 1 where nothing is."""
    while path and path not in found:
        path = path[:-1]
    return found.get(path, 1)


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted = 0
        self._found: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}

    def scan(self) -> Mapping[Path, int]:
        table: Path = ()
        self._skip(_SPACE)
        while self._at < len(self._text):
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_SPACE)
        return self._found

    def _header(self) -> Path:
        is_array = self._text.startswith("[[", self._at)
        line = self._here()
        self._at += 2 if is_array else 1
        *before, last = self._keys()
        self._at += 2 if is_array else 1
        path = self._inside((*before, last), last_too=not is_array)
        if is_array:
            self._lengths[path] = self._lengths.get(path, 0) + 1
            path = (*path, self._lengths[path] - 1)
        self._mark(path, line)
        return path

    def _inside(self, keys: tuple[str, ...], *, last_too: bool) -> Path:
        """The path of a header: a name of an array of tables stands for its latest element."""
        path: Path = ()
        for index, key in enumerate(keys):
            path = (*path, key)
            if path in self._lengths and (last_too or index < len(keys) - 1):
                path = (*path, self._lengths[path] - 1)
        return path

    def _pair(self, table: Path) -> None:
        line = self._here()
        path = (*table, *self._keys())
        self._mark(path, line)
        self._at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _keys(self) -> tuple[str, ...]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if self._text[self._at] != ".":
                return tuple(keys)
            if len(keys) == MAX_PARTS:
                raise TooManyParts(self._here())
            self._at += 1

    def _key(self) -> str:
        sign = self._text[self._at]
        if sign == '"':
            return _ESCAPE.sub(_unescaped, self._take(_BASIC)[1:-1])
        return self._take(_LITERAL)[1:-1] if sign == "'" else self._take(_BARE_KEY)

    def _value(self, path: Path) -> None:
        sign = self._text[self._at]
        if sign == "[":
            self._elements(path)
        elif sign == "{":
            self._inline(path)
        elif sign == '"':
            self._take(_LONG_BASIC if self._text.startswith('"""', self._at) else _BASIC)
        elif sign == "'":
            self._take(_LONG_LITERAL if self._text.startswith("'''", self._at) else _LITERAL)
        else:
            self._take(_SCALAR)

    def _elements(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._more("]"):
            self._mark((*path, index), self._here())
            self._value((*path, index))
            index += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while self._more("}"):
            self._pair(path)

    def _more(self, end: str) -> bool:
        """Whether another element follows; else it goes past the end."""
        self._skip(_SPACE)
        if self._text[self._at] == ",":
            self._at += 1
            self._skip(_SPACE)
        if self._text[self._at] != end:
            return True
        self._at += 1
        return False

    def _mark(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self._found.setdefault(path[:length], line)

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return self._line

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"no TOML at character {self._at}")
        self._at = found.end()
        return found[0]

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)


def _unescaped(found: re.Match[str]) -> str:
    return _ESCAPES[found[1]] if found[1] else chr(int(found[2] or found[3], 16))
