"""The rules of ledgers as they are stored, read once: a version never changes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from sources.mapping.compiled import RuleSet
from sources.mapping.model import InvalidRules
from sources.mapping.rules import load

if TYPE_CHECKING:
    from sources.database.pool import Connection

_log = logging.getLogger(__name__)
_RULESETS = "SELECT version, name, text FROM mapping.ruleset WHERE ledger_id = $1 AND version = ANY($2::integer[])"


class RuleBook:
    """The versions of all ledgers' rules that were needed so far, ready to be run. One that cannot be read any more (the
    language has changed since) is passed over, and told of once."""

    def __init__(self) -> None:
        self._read: dict[tuple[int, int], RuleSet | None] = {}

    async def versions(self, connection: Connection, ledger_id: int, wanted: Iterable[int]) -> Mapping[int, RuleSet]:
        """The rule sets of these versions, as far as there are such."""
        numbers = set(wanted)
        missing = [version for version in numbers if (ledger_id, version) not in self._read]
        for row in await connection.fetch(_RULESETS, ledger_id, missing) if missing else []:
            self._read[ledger_id, row["version"]] = _load(ledger_id, row["version"], row["text"], row["name"])
        found = {version: self._read.get((ledger_id, version)) for version in numbers}
        return {version: rules for version, rules in found.items() if rules is not None}


def _load(ledger_id: int, version: int, text: str, name: str) -> RuleSet | None:
    try:
        return load(text, name)
    except InvalidRules as fault:
        _log.warning("version %s of the rules of ledger %s cannot be used: %s", version, ledger_id, fault)
        return None
