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
from collections.abc import Sequence
from typing import AnyStr, Generic

from sources.reading import Key

OVERHEAD = 450
"""Bytes that are taken beside a text: its key, its version and its place. Measured; see the chapter on memory of
benchmarks/RESULTS.md."""


class KeptTexts(Generic[AnyStr]):
    """Texts of one process, by keys that name the version that they tell of. `limit`: bytes, 0 keeps none.

    A text lives in the young generation, which holds half of the limit; when that is full it becomes the old one, whose
    texts move back when they are asked for, and the old one is dropped: looking up moves nothing while a text is young.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._young: dict[Key, AnyStr] = {}
        self._old: dict[Key, AnyStr] = {}
        self._young_bytes = self._old_bytes = 0

    @property
    def on(self) -> bool:
        return self._limit > 0

    @property
    def bytes(self) -> int:
        return self._young_bytes + self._old_bytes

    def get(self, key: Key) -> AnyStr | None:
        text = self._young.get(key)
        if text is None and self._old:
            text = self._old.pop(key, None)
            if text is not None:
                self._old_bytes -= _size(text)
                self.keep(key, text)
        return text

    def get_all(self, keys: Sequence[Key]) -> list[AnyStr | None]:
        found = list(map(self._young.get, keys))
        if self._old and None in found:
            return [self.get(key) if text is None else text for key, text in zip(keys, found, strict=True)]
        return found

    def keep(self, key: Key, text: AnyStr) -> None:
        """One text for a key; what would take more than half of the limit is not kept."""
        size = _size(text)
        if size > self._limit // 2 or key in self._young:
            return
        if self._young_bytes + size > self._limit // 2:
            self._old, self._old_bytes = self._young, self._young_bytes
            self._young, self._young_bytes = {}, 0
        self._young[key] = text
        self._young_bytes += size


def _size(text: str | bytes) -> int:
    """Bytes. A text with one character beyond Latin-1 takes two or four for each of its characters."""
    return sys.getsizeof(text) + OVERHEAD
