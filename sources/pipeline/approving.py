"""Proposals decided by a person: what is approved posts with the pipeline's next run, what is rejected never does.

An approval is of the entry as it was proposed. If the document has changed meanwhile, the run proposes its newer version instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sources.database.pool import Database
from sources.pipeline import todo
from sources.pipeline.model import Key
from sources.pipeline.taking import turn


class Decision(StrEnum):
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"


@dataclass(frozen=True, slots=True)
class Decided:
    """A proposal that was decided just now."""

    proposal_id: int
    key: Key
    posting: str
    decision: Decision


async def decide(
    database: Database, ledger_id: int, proposal_ids: Iterable[int], decision: Decision, *, by: str
) -> list[Decided]:
    """Those of the proposals that were waiting, in order of their ids; the others are left as they are. Wake the pipeline
    afterwards. Raises DatabaseUnavailable."""
    async with turn(database, ledger_id) as connection:
        rows = await connection.fetch(_DECIDE, ledger_id, sorted(set(proposal_ids)), decision.value, by)
        found = [
            Decided(
                row["proposal_id"],
                Key(row["source"], row["kind"], row["account"], row["external_id"]),
                row["name"],
                decision,
            )
            for row in rows
        ]
        if decision is Decision.REJECTED and found:
            await connection.execute(_REJECT, ledger_id, [each.proposal_id for each in found])
        await todo.add(connection, ledger_id, [each.key for each in found])
    return sorted(found, key=lambda each: each.proposal_id)


_DECIDE = """
UPDATE pipeline.proposal SET decision = $3, decided_by = $4, decided_at = clock_timestamp()
WHERE ledger_id = $1 AND proposal_id = ANY($2::bigint[]) AND decision IS NULL
RETURNING proposal_id, source, kind, account, external_id, name"""
_REJECT = """
UPDATE pipeline.posting held SET status = 'REJECTED'
FROM pipeline.proposal decided
WHERE decided.ledger_id = $1 AND decided.proposal_id = ANY($2::bigint[]) AND held.ledger_id = $1
    AND held.source = decided.source AND held.kind = decided.kind AND held.account = decided.account
    AND held.external_id = decided.external_id AND held.name = decided.name AND held.generation = decided.generation
    AND held.number = decided.number AND held.status = 'PROPOSED'"""
