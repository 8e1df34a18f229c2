"""Texts that are kept for as long as what they tell of stays as it is.

Answers: an operation whose every field depends on nothing but ledgers' postings, chart and names has the same answer until
one of their versions changes. It is kept by the versions that were read before it was made, and told to those whose own
reading of the versions, made after they asked, finds these: either nothing changed in between, or the answer is younger than
that reading. Fragments: a posted entry never changes, so the text of those of its fields that depend on the chart and names
alone stays, whatever is posted. So a kept text is right to the entry. Whether the caller may have it was decided before:
scopes by the plan, ledgers by the reading of the versions.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from typing import Any, AnyStr, Generic

from sources.reading import Key

OVERHEAD = 450
"""Bytes that are taken beside a text: its key, its version and its place. Measured; see the chapter on memory of
benchmarks/RESULTS.md."""


class KeptTexts(Generic[AnyStr]):
    """Texts of one process, by shelf and item; together they name the version that the text tells of. `limit`: bytes, 0 keeps
    none.

    A text lives in the young generation, which holds half of the limit; when that is full it becomes the old one, whose
    texts move back when they are asked for, and the old one is dropped: looking up moves nothing while a text is young.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[Key, dict[Hashable, AnyStr]] = {}
        self._old: dict[Key, dict[Hashable, AnyStr]] = {}
        self._young_bytes = self._old_bytes = 0

    @property
    def on(self) -> bool:
        return self._limit > 0

    @property
    def bytes(self) -> int:
        return self._young_bytes + self._old_bytes

    def get(self, shelf: Key, item: Hashable) -> AnyStr | None:
        text = self._young.get(shelf, _NOTHING).get(item)
        if text is None and shelf in self._old:
            text = self._old[shelf].pop(item, None)
            if text is not None:
                self._old_bytes -= _size(text)
                self.keep(shelf, item, text)
        return text

    def get_all(self, shelf: Key, items: Sequence[Hashable]) -> list[AnyStr | None]:
        found = list(map(self._young.get(shelf, _NOTHING).get, items))
        if shelf in self._old and None in found:
            return [self.get(shelf, item) if text is None else text for item, text in zip(items, found, strict=True)]
        return found

    def keep(self, shelf: Key, item: Hashable, text: AnyStr) -> None:
        """One text for an item; what would take more than half of the limit is not kept."""
        size = _size(text)
        if size > self._limit // 2 or item in self._young.get(shelf, _NOTHING):
            return
        if self._young_bytes + size > self._limit // 2:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        self._young.setdefault(shelf, {})[item] = text
        self._young_bytes += size


_NOTHING: dict[Hashable, Any] = {}


def _size(text: str | bytes) -> int:
    """Bytes. A text with one character beyond Latin-1 takes two or four for each of its characters."""
    return sys.getsizeof(text) + OVERHEAD
