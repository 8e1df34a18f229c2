"""Payloads that are loaded when a rule asks for them, as most rules never do and they are by far the most of a document."""

from __future__ import annotations

from typing import Any, Final

UNREAD: Final = object()
"""Stands in a row for a payload that was not loaded."""


class Unread(Exception):
    """A rule asks for a payload that was not loaded."""


class Scope(dict[str, Any]):
    """Names as rules look them up; one that was left out is Unread."""

    __slots__ = ()

    def __missing__(self, name: str) -> Any:
        raise Unread(name)
