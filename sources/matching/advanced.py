"""Transactions with money on account whose party has open documents: read, and found when such a document comes. On account is rare,
so it is looked through by a partial index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sources.matching import advances, candidates, items, kept, taught
from sources.matching.deciding import MOST_PROPOSED
from sources.matching.evidence import LEAST_SCORE
from sources.matching.model import LIVE, Allocation, Item, ItemKey, Line, Match, Rules

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def proposals(connection: Connection, ledger_id: int, lines: Iterable[ItemKey]) -> dict[ItemKey, list[Match]]:
    """Of these transactions those whose match leaves money on account, each with what it may be used for, the best first."""
    live = await kept.matches_of(connection, ledger_id, lines, LIVE)
    standing = {line: next(iter(numbers.values())) for line, numbers in live.items()}
    standing = {line: parts for line, parts in standing.items() if any(_is_on_account(part) for part in parts)}
    if not standing:
        return {}
    parties = sorted({part.party_id for parts in standing.values() for part in parts if part.party_id})
    rows = await connection.fetch(_OF_PARTIES, ledger_id, parties)
    keys = [ItemKey("invoice", row["source"], "", row["external_id"]) for row in rows]
    held = await items.held(connection, ledger_id, keys)
    found = await candidates.whole_lines(connection, ledger_id, list(standing))
    rules = await taught.read(connection, ledger_id, found)
    return {line.key: _best(line, standing, list(held.values()), rules) for line in found}


def _is_on_account(part: Allocation) -> bool:
    return part.key.kind == "on_account" and bool(part.party_id)


def _best(
    line: Line, standing: Mapping[ItemKey, Sequence[Allocation]], held: Sequence[Item], rules: Rules
) -> list[Match]:
    never = rules.never.get(line.key, frozenset())
    options = [each for each in advances.proposals(line, standing[line.key], held) if each.score >= LEAST_SCORE]
    wanted = [each for each in options if each.subjects not in never]
    return sorted(wanted, key=lambda each: (-each.score, each.targets))[:MOST_PROPOSED]


async def waiting_for(connection: Connection, ledger_id: int, found: Sequence[Item]) -> list[ItemKey]:
    """Transactions with money on account of the parties of these documents."""
    parties = sorted({item.party_id for item in found if item.key.kind == "invoice" and item.party_id})
    if not parties:
        return []
    rows = await connection.fetch(_ON_ACCOUNT, ledger_id, parties)
    return [ItemKey("bank_transaction", row["source"], row["account"], row["external_id"]) for row in rows]


_MOST: Final = 500
_OF_PARTIES: Final = f"""
SELECT i.source, i.external_id FROM matching.item i
WHERE i.ledger_id = $1 AND i.kind = 'invoice' AND i.ready AND i.used <> i.amount AND i.party_id = ANY($2::text[])
ORDER BY i.dated DESC, i.source, i.external_id LIMIT {_MOST}"""
_ON_ACCOUNT: Final = f"""
SELECT live.source, live.account, live.external_id FROM matching.allocation a
CROSS JOIN LATERAL (
    SELECT m.source, m.account, m.external_id FROM matching.match m
    WHERE m.ledger_id = $1 AND m.match_id = a.match_id AND m.status || '' IN ('CERTAIN', 'CONFIRMED') LIMIT 1
) AS live
WHERE a.ledger_id = $1 AND a.kind = 'on_account' AND a.party_id = ANY($2::text[])
ORDER BY a.match_id DESC LIMIT {_MOST}"""
