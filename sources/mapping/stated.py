"""Which codes of the ledger a rule file states, and where: so that one that is not there is told before a document needs it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from sources.mapping.accounts import NAME


def stated_codes(text: str) -> dict[str, str]:
    """Codes under [accounts] and [tables] of rules that could be read -> the first place of each, such as `accounts.revenue`."""
    root = tomllib.loads(text)
    found: dict[str, str] = {}
    tables = {f"tables.{name}": table for name, table in root.get("tables", {}).items()}
    for place, table in {"accounts": root.get("accounts", {}), **tables}.items():
        for key, value in table.items():
            for code in _codes(value):
                found.setdefault(code, f"{place}.{key}")
    return found


def _codes(value: Any) -> Iterator[str]:
    match value:
        case str() if not NAME.fullmatch(value):
            yield value
        case {"code": str(code)}:
            yield code
