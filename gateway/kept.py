"""Texts that are kept for as long as what they tell of stays as it is.

Answers: a root field whose every field depends on nothing but one ledger's postings, chart and names has the same text
until that ledger's version changes. Fragments: a posted entry never changes, so the text of those of its fields that
depend on the chart and names alone stays, whatever is posted. Versions are read in the request's own snapshot, so a kept
text is right to the entry. Whether the caller may have it was decided before: scopes by the plan, ledgers by the snapshot.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from dataclasses import dataclass

from sources.reading import Key

OVERHEAD = 450
"""Bytes that are taken beside a text: its key, its version and its place. Measured; see the chapter on memory of
benchmarks/RESULTS.md."""


@dataclass(frozen=True, slots=True)
class _Kept:
    version: Key
    text: str

    @property
    def size(self) -> int:
        """Bytes. A text with one character beyond Latin-1 takes two or four for each of its characters."""
        return sys.getsizeof(self.text) + OVERHEAD


class KeptTexts:
    """Texts of one process, the least recently used dropped first. `limit`: bytes, 0 keeps none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.bytes = 0

    @property
    def on(self) -> bool:
        return self._limit > 0

    def get(self, key: Key, version: Key) -> str | None:
        kept = self._kept.get(key)
        if kept is None or kept.version != version:
            return None
        self._kept.move_to_end(key)
        return kept.text

    def keep(self, key: Key, version: Key, text: str) -> None:
        kept = _Kept(version, text)
        if kept.size > self._limit // 4:
            return
        earlier = self._kept.pop(key, None)
        self.bytes += kept.size - (earlier.size if earlier else 0)
        self._kept[key] = kept
        while self.bytes > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= dropped.size
