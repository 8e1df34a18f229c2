"""A ledger that grows from empty in one session: what a batch reads must not grow with it.

Statements inside a function keep the plan that was made when the tables were empty. Rows fetched are counted, never time.
"""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from sources.ledger.batch import Item, post_batch
from sources.ledger.model import Draft, Posted
from tests.sources.ledger.books import Books, credit, debit, entry, reversal

BATCHES = 20
FETCHED = """
SELECT coalesce(sum(seq_scan), 0)::bigint AS seq_scans, coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint AS rows
FROM pg_stat_xact_user_tables WHERE schemaname = 'ledger'
"""


def drafts(books: Books, number: int, size: int) -> list[Draft]:
    """New entries, reversals of the oldest entries (1..5 in the second batch, and on), a replay, and a refusal."""
    sales = [entry(books.ledger, f"{number}/{n}", debit("1000", "1"), credit("4000", "1")) for n in range(size)]
    undone = [reversal(books.ledger, f"undo {number}/{n}", 5 * number + n - 9) for n in range(5)]
    replayed = entry(books.ledger, f"{max(number // 2, 1)}/0", debit("1000", "1"), credit("4000", "1"))
    refused = entry(books.ledger, f"bad {number}", debit("1000", "1"), credit("nowhere", "1"))
    return [*sales, *(undone if number > 1 else []), *([replayed] if number > 2 else []), refused]


async def rows_fetched(connection: asyncpg.Connection[Any], books: Books, number: int, size: int) -> int:
    """Posts one batch and tells how many rows of the ledger's tables the session fetched for it, by no sequential scan."""
    items = [[Item.of(draft)] for draft in drafts(books, number, size)]
    async with connection.transaction():
        before = await connection.fetchrow(FETCHED)  # counts of earlier transactions may still be pending
        outcomes = await post_batch(connection, books.ledger, items)
        after = await connection.fetchrow(FETCHED)
    assert sum(isinstance(outcome, Posted) for outcome in outcomes) == len(items) - 1, outcomes
    assert before is not None
    assert after is not None
    assert after["seq_scans"] == before["seq_scans"]
    rows: int = after["rows"] - before["rows"]
    return rows


@pytest.mark.parametrize("size", [40, 400])
@pytest.mark.parametrize("analyzed", ["never", "when empty", "when small"])
async def test_a_batch_reads_as_much_of_a_grown_ledger_as_of_a_small_one(
    books: Books, owner: asyncpg.Connection[Any], database_url: str, analyzed: str, size: int
) -> None:
    if analyzed == "when small":
        await books.post(*drafts(books, 0, size)[:40])
    if analyzed != "never":
        await owner.execute("ANALYZE")
    connection = await asyncpg.connect(database_url)
    fetched = [await rows_fetched(connection, books, number, size) for number in range(1, BATCHES + 1)]
    await connection.close()
    early, late = max(fetched[3:8]), max(fetched[-5:])
    assert late <= early * 1.2, fetched
    assert late <= 20 * (size + 6), fetched
    await owner.execute("SELECT pg_stat_force_next_flush()")
    read = await owner.fetchval(
        "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes WHERE schemaname = 'ledger'"
    )
    assert read <= 40 * BATCHES * (size + 6)
