"""Rules of ledgers, read beside the event loop: a file of the greatest size takes seconds."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from sources.errors import Overloaded
from sources.mapping.compiled import RuleSet
from sources.mapping.model import InvalidRules
from sources.mapping.rules import load
from sources.mapping.standing import Standing

if TYPE_CHECKING:
    from sources.database.pool import Connection

_log = logging.getLogger(__name__)
_RULESETS = (
    "SELECT version, name, text, starter FROM mapping.ruleset WHERE ledger_id = $1 AND version = ANY($2::integer[])"
)


MOST_WAITING: Final = 16
"""So many texts wait to be read; one more is refused."""
_KEPT: Final = 4


class RuleLoader:
    """Reads texts that callers give: one at a time and in one thread, whoever asks, and the last few once. Nothing else of the
    process waits for it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rules")
        self._kept: dict[bytes, RuleSet] = {}
        self._waiting = 0

    async def load(self, text: str, name: str = "rules.toml", starter: str | None = None) -> RuleSet:
        """As `sources.mapping.rules.load`. Raises InvalidRules, and Overloaded while MOST_WAITING others wait."""
        digest = hashlib.sha256(f"{name}\0{text}\0{starter}".encode("utf-8", "replace")).digest()
        if digest not in self._kept:
            if self._waiting >= MOST_WAITING:
                raise Overloaded("many rules are being read; try again in a few seconds")
            self._waiting += 1
            try:
                found = await asyncio.get_running_loop().run_in_executor(self._thread, load, text, name, starter)
            finally:
                self._waiting -= 1
            self._kept[digest] = found
            while len(self._kept) > _KEPT:
                del self._kept[next(iter(self._kept))]
            return found
        return self._kept[digest]


class RuleBook:
    """The versions of all ledgers' rules that were needed so far, ready to be run: of one process, used from one event loop. One
    that cannot be read any more (the language has changed since) is passed over, and told of once."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, int], RuleSet | None] = {}
        self._standings: dict[tuple[int, int], Standing] = {}

    async def versions(self, connection: Connection, ledger_id: int, wanted: Iterable[int]) -> Mapping[int, RuleSet]:
        """The rule sets of these versions, as far as there are such."""
        numbers = set(wanted)
        missing = [version for version in numbers if (ledger_id, version) not in self._read]
        for row in await connection.fetch(_RULESETS, ledger_id, missing) if missing else []:
            read = await asyncio.to_thread(_load, ledger_id, row)
            self._read[ledger_id, row["version"]] = read
        found = {version: self._read.get((ledger_id, version)) for version in numbers}
        return {version: rules for version, rules in found.items() if rules is not None}

    async def standing(self, connection: Connection, ledger_id: int, version: int | None) -> Standing | None:
        """Which codes the names of a version stand for; None: there is no such version."""
        key = (ledger_id, version or 0)
        if key not in self._standings:
            for row in await connection.fetch(_RULESETS, ledger_id, [key[1]]):
                self._standings[key] = await asyncio.to_thread(Standing, row["text"], row["starter"])
        return self._standings.get(key)


def _load(ledger_id: int, row: Any) -> RuleSet | None:
    try:
        return load(row["text"], row["name"], row["starter"])
    except InvalidRules as fault:
        _log.warning("version %s of the rules of ledger %s cannot be used: %s", row["version"], ledger_id, fault)
        return None
