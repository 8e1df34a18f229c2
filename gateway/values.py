"""The small parts of reading settings: secrets that do not show, mistakes that are gathered, values that are checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from sources.errors import ConfigurationError

MISSING: Any = object()
"""Stands for a key that is not there, where None could be a value."""


class Secret(str):
    """A text that `repr` does not show, so that settings can be logged."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class Problems:
    """Mistakes found in the settings, gathered so that all are told at once."""

    def __init__(self) -> None:
        self._found: list[str] = []

    def __len__(self) -> int:
        return len(self._found)

    def add(self, where: str, key: str, rule: str) -> None:
        """`where` is a file, "environment", "command line" or ""; `rule` says what the key must be."""
        self._found.append(": ".join(part for part in (where, key, rule) if part))

    def raise_all(self) -> None:
        """Raises ConfigurationError when anything was found, one line for each."""
        if self._found:
            raise ConfigurationError("\n".join(self._found))


def unknown_keys(table: Iterable[str], known: Sequence[str], where: str, prefix: str, problems: Problems) -> None:
    """Adds a problem for every key that is not known, with the nearest known name."""
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
            problems.add(where, f"{prefix}{key}", f"is not a setting; {hint}")


def take_text(value: Any, where: str, key: str, problems: Problems) -> str | None:
    """The value when it is a text that is not empty, else a problem and None."""
    if isinstance(value, str) and value:
        return value
    problems.add(where, key, f"must be a text that is not empty, not {value!r}")
    return None
