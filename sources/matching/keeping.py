"""Matches as they are stored: found, withdrawn, and what is then used of documents. Every caller holds the ledger's claim.

A certain or confirmed match has its transaction looked at by the pipeline, which posts what it says; one that is withdrawn has it
looked at again, which reverses that alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.matching import allocating, todo
from sources.matching.model import LIVE, Allocation, ItemKey, Match, Side, Status
from sources.matching.todo import ASKED, columns_of
from sources.pipeline import todo as pipeline_todo
from sources.pipeline.model import Key

if TYPE_CHECKING:
    from sources.database.pool import Connection

BY_PROGRAM: Final = "matching"


async def add(
    connection: Connection, ledger_id: int, found: Sequence[tuple[Match, Status]], *, by: str | None = None
) -> list[int]:
    """New matches; answers with their numbers. What is open of their documents was checked. `by`: the person who decided."""
    if not found:
        return []
    first = 1 + await connection.fetchval(_LAST, ledger_id)
    numbers = list(range(first, first + len(found)))
    undone = await _live_numbers(
        connection, ledger_id, [match.returns for match, _ in found if match.returns is not None]
    )
    undone |= {match.line: number for number, (match, status) in zip(numbers, found, strict=True) if status in LIVE}
    await connection.execute(
        _MATCHES,
        ledger_id,
        *columns_of([match.line for match, _ in found])[1:],
        numbers,
        [status.value for _, status in found],
        [match.score for match, _ in found],
        [_reasons(match) for match, _ in found],
        [match.rule_id for match, _ in found],
        [undone.get(match.returns) if match.returns else None for match, _ in found],
        by,
    )
    parts = [
        (number, position, each)
        for number, (match, _) in zip(numbers, found, strict=True)
        for position, each in enumerate(match.allocations)
    ]
    await connection.execute(_ALLOCATIONS, ledger_id, *_allocation_columns(parts))
    live = [match for match, status in found if status in LIVE]
    await _use(connection, ledger_id, [(match.line, match.allocations) for match in live], 1)
    await _post(connection, ledger_id, [match.line for match in live])
    return numbers


def _reasons(match: Match) -> str:
    return orjson.dumps([reason._asdict() for reason in match.reasons]).decode()


def _allocation_columns(parts: Sequence[tuple[int, int, Allocation]]) -> list[list[Any]]:
    return [
        *columns_of([each.key for _, _, each in parts]),
        [number for number, _, _ in parts],
        [position for _, position, _ in parts],
        [each.side.value for _, _, each in parts],
        [each.currency for _, _, each in parts],
        [each.amount for _, _, each in parts],
        [each.bank_amount for _, _, each in parts],
        [each.booked_on for _, _, each in parts],
        [each.number for _, _, each in parts],
        [each.party_id for _, _, each in parts],
    ]


async def decide(
    connection: Connection, ledger_id: int, numbers: Iterable[int], status: Status, *, by: str
) -> list[tuple[ItemKey, int]]:
    """Matches that become CONFIRMED, REJECTED or WITHDRAWN, with what follows for their documents; answers with their lines and
    numbers. One that was live and is so no more takes those with it that took it back."""
    wanted = sorted(set(numbers))
    before = {row["match_id"]: row for row in await connection.fetch(_OF_NUMBERS, ledger_id, wanted)} if wanted else {}
    if status is not Status.CONFIRMED and before:
        returning = await connection.fetch(_RETURNING, ledger_id, list(before))
        await decide(connection, ledger_id, [row["match_id"] for row in returning], Status.WITHDRAWN, by=by)
    if not before:
        return []
    parts = await allocations_of(connection, ledger_id, list(before))
    await connection.execute(_DECIDE, ledger_id, list(before), status.value, by)
    lines = {number: _line(row) for number, row in before.items()}
    was_live = [number for number, row in before.items() if row["status"] in LIVE]
    if status in (Status.WITHDRAWN, Status.REJECTED) and was_live:
        await _use(connection, ledger_id, [(lines[number], parts[number]) for number in was_live], -1)
        await _post(connection, ledger_id, [lines[number] for number in was_live])
        freed = [each.key for number in was_live for each in parts[number] if each.is_of_document]
        await todo.note(connection, ledger_id, [*(lines[number] for number in was_live), *freed])
    if status is Status.CONFIRMED:
        await _use(connection, ledger_id, [(lines[number], parts[number]) for number in before], 1)
        await _post(connection, ledger_id, list(lines.values()))
    return [(lines[number], number) for number in sorted(before)]


async def _use(
    connection: Connection, ledger_id: int, matches: Iterable[tuple[ItemKey, Sequence[Allocation]]], sign: int
) -> None:
    used: dict[ItemKey, int] = {}
    for line, allocations in matches:
        for each in allocations:
            used[line] = used.get(line, 0) + sign * each.bank_amount
            if each.is_of_document:
                used[each.key] = used.get(each.key, 0) + sign * allocating.uses(each)
    keys = sorted(key for key, amount in used.items() if amount)
    if keys:
        await connection.execute(_USE, ledger_id, *columns_of(keys), [used[key] for key in keys])


async def post_again(connection: Connection, ledger_id: int, keys: Iterable[ItemKey]) -> None:
    """Transactions whose live matches allocate to these documents are to be posted by what the documents say now."""
    await _post(connection, ledger_id, [line for _, line in await touching(connection, ledger_id, keys, LIVE)])


async def _post(connection: Connection, ledger_id: int, lines: Sequence[ItemKey]) -> None:
    keys = [Key(line.source, line.kind, line.account, line.external_id) for line in lines]
    await pipeline_todo.add(connection, ledger_id, keys)


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


def _line(row: Any) -> ItemKey:
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
        found.setdefault(_line(row), {})[row["match_id"]] = parts[row["match_id"]]
    return found


async def _live_numbers(connection: Connection, ledger_id: int, lines: Sequence[ItemKey]) -> dict[ItemKey, int]:
    found = await matches_of(connection, ledger_id, lines, LIVE)
    return {line: next(iter(numbers)) for line, numbers in found.items()}


async def touching(
    connection: Connection, ledger_id: int, keys: Iterable[ItemKey], statuses: Sequence[Status]
) -> list[tuple[int, ItemKey]]:
    """(number, line) of the matches in these states that are of these transactions, or allocate to these documents."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    names = [status.value for status in statuses]
    rows = await connection.fetch(_TOUCHING, ledger_id, *columns_of(wanted), names)
    return [(row["match_id"], _line(row)) for row in rows]


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
_LAST = "SELECT coalesce(max(match_id), 0) FROM matching.match WHERE ledger_id = $1"
_MATCHES = """
INSERT INTO matching.match (ledger_id, source, account, external_id, match_id, status, score, reasons, rule_id, returns, created_at,
    decided_at, decided_by)
SELECT $1, source, account, external_id, match_id, status, score, reasons::jsonb, rule_id, returns, clock_timestamp(),
    CASE WHEN $11::text IS NOT NULL THEN clock_timestamp() END, $11
FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::integer[], $8::text[], $9::bigint[], $10::bigint[])
    AS met (source, account, external_id, match_id, status, score, reasons, rule_id, returns)"""
_ALLOCATIONS = """
INSERT INTO matching.allocation (ledger_id, kind, source, account, external_id, match_id, position, side, currency, amount,
    bank_amount, booked_on, number, party_id)
SELECT $1, met.* FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::text[], $9::text[],
    $10::bigint[], $11::bigint[], $12::date[], $13::text[], $14::text[]) AS met"""
_OF_NUMBERS = """
SELECT match_id, status, source, account, external_id FROM matching.match
WHERE ledger_id = $1 AND match_id = ANY($2::bigint[]) AND status IN ('CERTAIN', 'PROPOSED', 'CONFIRMED')"""
_RETURNING = """
SELECT match_id FROM matching.match
WHERE ledger_id = $1 AND returns = ANY($2::bigint[])
    AND status IN ('CERTAIN', 'PROPOSED', 'CONFIRMED')"""
_DECIDE = """
UPDATE matching.match SET status = $3, decided_at = clock_timestamp(), decided_by = $4
WHERE ledger_id = $1 AND match_id = ANY($2::bigint[])"""
_PARTS = """
SELECT * FROM matching.allocation WHERE ledger_id = $1 AND match_id = ANY($2::bigint[]) ORDER BY match_id, position"""
_USE = f"""
UPDATE matching.item held SET used = held.used + asked.used
FROM (SELECT asked.*, met.used FROM {ASKED} JOIN unnest($6::bigint[]) WITH ORDINALITY AS met (used, n) USING (n)) AS asked
WHERE held.ledger_id = $1 AND held.kind = asked.kind AND held.source = asked.source AND held.account = asked.account
    AND held.external_id = asked.external_id"""
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
