"""Matches as they are stored, read: of numbers, of transactions, of documents. Every caller holds the ledger's claim."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from sources.matching.model import LIVE, Allocation, ItemKey, Side, Status
from sources.matching.todo import ASKED, columns_of

if TYPE_CHECKING:
    from sources.database.pool import Connection

Matches = dict[int, tuple[ItemKey, Sequence[Allocation]]]
"""By number, transaction and allocations."""


async def allocations_of(connection: Connection, ledger_id: int, numbers: Sequence[int]) -> dict[int, list[Allocation]]:
    """By number of the match, in their order."""
    found: dict[int, list[Allocation]] = {number: [] for number in numbers}
    for row in await connection.fetch(_PARTS, ledger_id, list(numbers)):
        found[row["match_id"]].append(_allocation(row))
    return found


def _allocation(row: Any) -> Allocation:
    return Allocation(
        ItemKey(row["kind"], row["source"], row["account"], row["external_id"]),
        Side(row["side"]),
        row["currency"],
        row["amount"],
        row["bank_amount"],
        row["booked_on"],
        row["number"],
        row["party_id"],
    )


def line_of(row: Any) -> ItemKey:
    return ItemKey("bank_transaction", row["source"], row["account"], row["external_id"])


async def matches_of(
    connection: Connection, ledger_id: int, lines: Iterable[ItemKey], statuses: Sequence[Status]
) -> dict[ItemKey, dict[int, list[Allocation]]]:
    """Matches of these transactions in these states, by line and number. A live one that was taken back is left out."""
    wanted = sorted(set(lines))
    if not wanted:
        return {}
    names = [status.value for status in statuses]
    rows = await connection.fetch(_OF_LINES, ledger_id, *columns_of(wanted), names)
    parts = await allocations_of(connection, ledger_id, [row["match_id"] for row in rows]) if rows else {}
    found: dict[ItemKey, dict[int, list[Allocation]]] = {}
    for row in rows:
        found.setdefault(line_of(row), {})[row["match_id"]] = parts[row["match_id"]]
    return found


async def live_of(connection: Connection, ledger_id: int, numbers: Iterable[int]) -> Matches:
    """Those of these matches that are live."""
    rows = await connection.fetch(OF_NUMBERS, ledger_id, sorted(set(numbers)))
    lines = {row["match_id"]: line_of(row) for row in rows if row["status"] in LIVE}
    parts = await allocations_of(connection, ledger_id, list(lines)) if lines else {}
    return {number: (line, parts[number]) for number, line in lines.items()}


async def returning(connection: Connection, ledger_id: int, numbers: Iterable[int]) -> list[int]:
    """Matches, proposed ones too, that take one of these back."""
    rows = await connection.fetch(_RETURNING, ledger_id, sorted(set(numbers)))
    return [row["match_id"] for row in rows]


async def touching(
    connection: Connection, ledger_id: int, keys: Iterable[ItemKey], statuses: Sequence[Status]
) -> list[tuple[int, ItemKey]]:
    """(number, line) of the matches in these states that are of these transactions, or allocate to these documents."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    names = [status.value for status in statuses]
    rows = await connection.fetch(_TOUCHING, ledger_id, *columns_of(wanted), names)
    return [(row["match_id"], line_of(row)) for row in rows]


async def claims(
    connection: Connection, ledger_id: int, keys: Iterable[ItemKey], but: Collection[ItemKey]
) -> dict[tuple[ItemKey, int], set[ItemKey]]:
    """By document and amount, the transactions that wait for a person, name the document and may be just for it; others than `but`."""
    found: dict[tuple[ItemKey, int], set[ItemKey]] = {}
    wanted = sorted(set(keys))
    rows = await connection.fetch(_CLAIMS, ledger_id, *columns_of(wanted)) if wanted else []
    for row in rows:
        line = ItemKey("bank_transaction", row["by_source"], row["by_account"], row["by_external_id"])
        if line not in but:
            document = ItemKey(row["kind"], row["source"], row["account"], row["external_id"])
            found.setdefault((document, row["amount"]), set()).add(line)
    return found


# Each transaction's by itself: on tables that were never analysed, joins would read partial indexes whole.
OF_NUMBERS = """
SELECT match_id, status, source, account, external_id FROM matching.match
WHERE ledger_id = $1 AND match_id = ANY($2::bigint[]) AND status IN ('CERTAIN', 'PROPOSED', 'CONFIRMED')"""
_RETURNING = """
SELECT match_id FROM matching.match
WHERE ledger_id = $1 AND returns = ANY($2::bigint[])
    AND status IN ('CERTAIN', 'PROPOSED', 'CONFIRMED')"""
_PARTS = """
SELECT * FROM matching.allocation WHERE ledger_id = $1 AND match_id = ANY($2::bigint[]) ORDER BY match_id, position"""
_OF_LINES = f"""
SELECT held.match_id, held.source, held.account, held.external_id FROM {ASKED} CROSS JOIN LATERAL (
    SELECT * FROM matching.match m
    WHERE m.ledger_id = $1 AND m.source = asked.source AND m.account = asked.account AND m.external_id = asked.external_id OFFSET 0
) AS held
WHERE held.status = ANY($6::text[]) AND (held.status = 'PROPOSED' OR NOT EXISTS (
    SELECT FROM matching.match back WHERE back.ledger_id = $1 AND back.returns = held.match_id AND back.status IN ('CERTAIN', 'CONFIRMED')))
ORDER BY held.match_id"""
_CLAIMS = f"""
SELECT asked.kind, asked.source, asked.account, asked.external_id, a.amount, held.source AS by_source, held.account AS by_account,
    held.external_id AS by_external_id
FROM {ASKED} CROSS JOIN LATERAL (
    SELECT a.match_id, a.amount FROM matching.allocation a
    WHERE a.ledger_id = $1 AND a.kind = asked.kind AND a.source = asked.source AND a.account = asked.account
        AND a.external_id = asked.external_id OFFSET 0
) AS a
CROSS JOIN LATERAL (SELECT * FROM matching.match m WHERE m.ledger_id = $1 AND m.match_id = a.match_id LIMIT 1) AS held
WHERE held.status = 'PROPOSED' AND (held.reasons @> '[{{"code": "REFERENCE"}}]' OR held.reasons @> '[{{"code": "REFERENCE_PART"}}]')
    AND NOT EXISTS (SELECT FROM matching.allocation b WHERE b.ledger_id = $1 AND b.match_id = a.match_id AND b.position > 0)"""
_TOUCHING = f"""
SELECT DISTINCT held.match_id, held.source, held.account, held.external_id
FROM {ASKED} CROSS JOIN LATERAL (
    (SELECT m.match_id FROM matching.match m
    WHERE asked.kind = 'bank_transaction' AND m.ledger_id = $1 AND m.source = asked.source AND m.account = asked.account
        AND m.external_id = asked.external_id OFFSET 0)
    UNION ALL
    SELECT a.match_id FROM matching.allocation a
    WHERE a.ledger_id = $1 AND a.kind = asked.kind AND a.source = asked.source AND a.account = asked.account
        AND a.external_id = asked.external_id
) AS touched
CROSS JOIN LATERAL (SELECT * FROM matching.match m WHERE m.ledger_id = $1 AND m.match_id = touched.match_id LIMIT 1) AS held
WHERE held.status = ANY($6::text[])
ORDER BY held.match_id"""
