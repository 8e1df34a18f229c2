"""Ten thousand malformed amounts and unbalanced entries: none stored, by posting or by direct SQL."""

from __future__ import annotations

import random
from typing import Any

import asyncpg
import pytest

from sources.ledger.model import EntryDraft, Rejected
from tests.sources.ledger.books import Books, credit, debit, entry

COUNT = 10_000


def malformed(books: Books, number: int, random: random.Random) -> EntryDraft:
    amount = f"{random.randrange(1, 10**6)}.{random.randrange(100):02}"
    kind = number % 10
    odd = [amount + "1", "-" + amount, amount + "e1", amount.replace(".", ","), "+" + amount, "NaN", "", "1" * 50,
           amount + " ", "10000000000000.01"][random.randrange(10)]  # fmt: skip
    if kind < 4:
        return entry(books.ledger, f"m{number}", debit("1000", odd), credit("4000", odd))
    other = f"{random.randrange(10**6, 10**7)}.00"
    if kind < 7:
        return entry(books.ledger, f"m{number}", debit("1000", amount), credit("4000", other))
    if kind == 7:
        return entry(books.ledger, f"m{number}", debit("1000", amount, "EUR", "5"), credit("4000", other, "EUR", "5"))
    if kind == 8:
        return entry(books.ledger, f"m{number}", debit("1000", amount, "EUR", amount), credit("4000", other))
    return entry(books.ledger, f"m{number}", debit("1000", amount), debit("4000", amount))


async def test_none_of_ten_thousand_is_posted(books: Books) -> None:
    """In batches, each with good neighbours that are posted."""
    chance = random.Random(20260322)
    for first in range(0, COUNT, 500):
        drafts = [malformed(books, first + number, chance) for number in range(500)]
        outcomes = await books.post(*drafts, entry(books.ledger, f"good {first}"))
        assert all(isinstance(outcome, Rejected) and outcome.reasons for outcome in outcomes[:-1])
    assert await books.counts() == (COUNT // 500, COUNT // 250)


FORGED = """
SELECT outcome, count(*) FROM (SELECT set_config('ledgergraph.ledgers', $1::bigint::text, true) AS claim OFFSET 0) AS caller,
LATERAL ledger.post_entries(caller.claim, $1, 1::smallint, ARRAY['f' || $2::int], ARRAY[''], ARRAY[sha256('')], ARRAY[false],
    ARRAY[0], ARRAY['2026-03-15'::date], ARRAY[NULL::date], ARRAY['x'], ARRAY[NULL], ARRAY['x'], ARRAY[NULL],
    ARRAY[NULL::bigint], ARRAY[2], ARRAY[$3::bigint], ARRAY['1000', '4000'], ARRAY['USD', 'USD'], ARRAY[1, 1], ARRAY[1, 2],
    ARRAY[1, 2], ARRAY['USD', 'USD'], ARRAY[$3::bigint, $4::bigint], ARRAY[$5::bigint, $6::bigint], ARRAY[NULL, NULL],
    ARRAY[NULL, NULL], ARRAY[NULL, NULL]) AS answer GROUP BY 1
"""


async def test_none_is_stored_by_direct_sql_as_the_application_role(books: Books, database_url: str) -> None:
    """Statements on the tables are refused by grants; the posting function, fed past the rules, by the proof behind it."""
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url)
    chance = random.Random(3)
    for number in range(1000):
        amounts = [chance.randrange(1, 10**6), -chance.randrange(10**6, 10**7), chance.randrange(10**6), -(10**7)]
        with pytest.raises((asyncpg.CheckViolationError, asyncpg.NumericValueOutOfRangeError)):
            await connection.execute(FORGED, books.ledger.ledger_id, number, *amounts)
    for number in range(100):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "INSERT INTO ledger.line VALUES ($1, 1, $2, 1, now(), 'USD', 5, 5)", books.ledger.ledger_id, number
            )
    await connection.close()
    assert await books.counts() == (0, 0)
