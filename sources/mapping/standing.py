"""Which codes of the ledger the names and tables of a rule file stand for, as far as the file itself says it. No I/O.

Rules are run from `sources.mapping.rules`; this is for reports that compare accounts with what feeds them. It expects a text that
`load` has taken.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

from sources.mapping.accounts import MAX_NESTING
from sources.mapping.starter import starter_text

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)


class Standing:
    """The named accounts and tables of a rule file, and of the built-in rules where it extends them: `starter`, as they were when
    the file was stored; None: as they are."""

    def __init__(self, text: str, starter: str | None = None) -> None:
        own = tomllib.loads(text)
        inherited = tomllib.loads(starter or starter_text()) if "extends" in own else {}
        self._accounts: Mapping[str, Any] = {**inherited.get("accounts", {}), **own.get("accounts", {})}
        tables: dict[str, dict[str, Any]] = {}
        for stated in (inherited, own):
            for name, entries in stated.get("tables", {}).items():
                tables.setdefault(name, {}).update(entries)
        self._tables = tables

    def codes(self, name: str) -> tuple[str, ...]:
        """Every code that the named account may stand for, sorted: all of a table where it stands for one. None where it is
        not stated, or computed by an expression."""
        return tuple(sorted(self._codes(name, MAX_NESTING)))

    def table(self, name: str) -> dict[str, str]:
        """Key -> code of a lookup table, `default` among the keys; entries that stand for no one code are left out."""
        found = {key: self._codes(value, MAX_NESTING) for key, value in self._tables.get(name, {}).items()}
        return {key: next(iter(codes)) for key, codes in found.items() if len(codes) == 1}

    def _codes(self, stated: Any, deep: int) -> frozenset[str]:
        if deep == 0:
            return frozenset()
        if isinstance(stated, str):
            if not _NAME.fullmatch(stated):
                return frozenset({stated})
            return self._codes(self._accounts[stated], deep - 1) if stated in self._accounts else frozenset()
        if isinstance(stated, dict) and "code" in stated:
            return frozenset({stated["code"]})
        if isinstance(stated, dict) and "table" in stated:
            entries = self._tables.get(stated["table"], {}).values()
            return frozenset().union(*(self._codes(entry, deep - 1) for entry in entries))
        return frozenset()
