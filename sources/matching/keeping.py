"""Matches as they are stored: found, withdrawn, and what is then used of documents. Every caller holds the ledger's claim.

A certain or confirmed match has its transaction looked at by the pipeline, which posts what it says; one that is withdrawn has it
looked at again, which reverses that alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.matching import falling, kept, todo
from sources.matching.model import LIVE, Allocation, ItemKey, Match, Status
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
    numbers. Where live ones end, those that cannot stand without them are withdrawn: see `falling`."""
    wanted = sorted(set(numbers))
    before = (
        {row["match_id"]: row for row in await connection.fetch(kept.OF_NUMBERS, ledger_id, wanted)} if wanted else {}
    )
    if not before:
        return []
    lines = {number: kept.line_of(row) for number, row in before.items()}
    if status is Status.CONFIRMED:
        await connection.execute(_DECIDE, ledger_id, list(before), status.value, by)
        parts = await kept.allocations_of(connection, ledger_id, list(before))
        await _use(connection, ledger_id, [(lines[number], parts[number]) for number in before], 1)
        await _post(connection, ledger_id, list(lines.values()))
    else:
        await _end(connection, ledger_id, list(before), status, by)
    return [(lines[number], number) for number in sorted(before)]


async def _end(connection: Connection, ledger_id: int, numbers: Sequence[int], status: Status, by: str) -> None:
    ended = await falling.live_with(connection, ledger_id, numbers)
    others = {*ended, *await kept.returning(connection, ledger_id, {*numbers, *ended})} - set(numbers)
    await connection.execute(_DECIDE, ledger_id, list(numbers), status.value, by)
    await connection.execute(_DECIDE, ledger_id, sorted(others), Status.WITHDRAWN.value, by)
    await _use(connection, ledger_id, ended.values(), -1)
    lines = [line for line, _ in ended.values()]
    await _post(connection, ledger_id, lines)
    freed = [each.key for _, parts in ended.values() for each in parts if each.is_of_document]
    await todo.note(connection, ledger_id, [*lines, *freed])


async def _use(
    connection: Connection, ledger_id: int, matches: Iterable[tuple[ItemKey, Sequence[Allocation]]], sign: int
) -> None:
    used = falling.uses(matches)
    keys = sorted(key for key, amount in used.items() if amount)
    if keys:
        await connection.execute(_USE, ledger_id, *columns_of(keys), [sign * used[key] for key in keys])


async def post_again(connection: Connection, ledger_id: int, keys: Iterable[ItemKey]) -> None:
    """Transactions whose live matches allocate to these documents are to be posted by what the documents say now."""
    await _post(connection, ledger_id, [line for _, line in await kept.touching(connection, ledger_id, keys, LIVE)])


async def _post(connection: Connection, ledger_id: int, lines: Sequence[ItemKey]) -> None:
    keys = [Key(line.source, line.kind, line.account, line.external_id) for line in lines]
    await pipeline_todo.add(connection, ledger_id, keys)


async def _live_numbers(connection: Connection, ledger_id: int, lines: Sequence[ItemKey]) -> dict[ItemKey, int]:
    found = await kept.matches_of(connection, ledger_id, lines, LIVE)
    return {line: next(iter(numbers)) for line, numbers in found.items()}


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
_DECIDE = """
UPDATE matching.match SET status = $3, decided_at = clock_timestamp(), decided_by = $4
WHERE ledger_id = $1 AND match_id = ANY($2::bigint[])"""
_USE = f"""
UPDATE matching.item held SET used = held.used + asked.used
FROM (SELECT asked.*, met.used FROM {ASKED} JOIN unnest($6::bigint[]) WITH ORDINALITY AS met (used, n) USING (n)) AS asked
WHERE held.ledger_id = $1 AND held.kind = asked.kind AND held.source = asked.source AND held.account = asked.account
    AND held.external_id = asked.external_id"""
