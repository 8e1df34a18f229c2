"""Rules that people taught (`teaching`), as they concern some transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sources.matching import kept
from sources.matching.model import ItemKey, Line, Rules
from sources.matching.todo import ASKED, columns_of

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def read(connection: Connection, ledger_id: int, lines: Sequence[Line]) -> Rules:
    """Those that may concern these lines."""
    payers = sorted({line.payer for line in lines if line.payer})
    names = sorted({line.party for line in lines if line.party})
    rows = await connection.fetch(_RULES, ledger_id, payers, names)
    never = await _never(connection, ledger_id, [line.key for line in lines])
    return Rules(
        _of_one_party(rows, "payer_account"),
        _of_one_party(rows, "payer_name"),
        tuple(
            (row["rule_id"], frozenset(row["pattern"].split()), row["money_in"], row["ledger_account"])
            for row in rows
            if row["type"] == "ACCOUNT"
        ),
        never,
    )


def _of_one_party(rows: Sequence[Any], name: str) -> dict[str, tuple[int, str]]:
    """By payer; one who pays for several parties is passed over."""
    found: dict[str, dict[str, int]] = {}
    for row in rows:
        if row[name] is not None:
            found.setdefault(row[name], {})[row["party"]] = row["rule_id"]
    return {payer: (rule_id, party) for payer, of in found.items() if len(of) == 1 for party, rule_id in of.items()}


async def _never(
    connection: Connection, ledger_id: int, keys: Sequence[ItemKey]
) -> dict[ItemKey, frozenset[frozenset[ItemKey]]]:
    rows = await connection.fetch(_NEVER, ledger_id, *columns_of(keys))
    parts = await kept.allocations_of(connection, ledger_id, [row["match_id"] for row in rows]) if rows else {}
    found: dict[ItemKey, set[frozenset[ItemKey]]] = {}
    for row in rows:
        line = ItemKey(row["kind"], row["source"], row["account"], row["external_id"])
        found.setdefault(line, set()).add(frozenset(each.key for each in parts[row["match_id"]]))
    return {line: frozenset(subjects) for line, subjects in found.items()}


_RULES = """
SELECT * FROM matching.rule
WHERE ledger_id = $1 AND removed_at IS NULL AND (type = 'ACCOUNT' OR type = 'PAYER'
    AND (payer_account = ANY($2::text[]) OR payer_name = ANY($3::text[])))
ORDER BY rule_id"""
_NEVER = f"""
SELECT asked.kind, asked.source, asked.account, asked.external_id, held.match_id FROM {ASKED} JOIN matching.rule held ON held.ledger_id = $1 AND held.type = 'NEVER' AND held.removed_at IS NULL
    AND held.transaction_source = asked.source AND held.transaction_account = asked.account
    AND held.transaction_external_id = asked.external_id"""
