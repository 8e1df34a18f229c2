"""The verifier: silent about sound books, and it names what was forged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import pytest

from sources.database.embedded import EmbeddedPostgres
from sources.errors import NotFound
from sources.ledger import verify as verifier
from sources.ledger.verify import Finding, verify
from tests.sources.ledger.books import Books, credit, debit, entry, reversal


async def posted(books: Books) -> None:
    """Six entries: sales, rent in euro, a reversal, a revaluation, one from a source, a reversal of the reversal."""
    await books.post(
        entry(books.ledger, "1"),
        entry(books.ledger, "2", debit("6000", "12", dimensions=(("team", "é"),)), credit("1100", "10", "EUR", "12"),
              journal="J", reference="R", document_date=date(2026, 1, 1)),
    )  # fmt: skip
    await books.post(reversal(books.ledger, "3", 2))
    await books.post(
        entry(books.ledger, "4", debit("1100", "0", "EUR", "3"), credit("7000", "3"), on=date(2026, 12, 31)),
        entry(books.ledger, "5", origin="stripe", posted_by="服务"),
        reversal(books.ledger, "6", 3, date(2026, 4, 30)),
    )


async def found(connection: Any, **how: Any) -> list[Finding]:
    return [finding async for finding in verify(connection, "acme-us", **how)]


@pytest.fixture
async def forger(books: Books, postgres: EmbeddedPostgres, database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """Someone with every right, who switched the proofs off."""
    await posted(books)
    connection = await asyncpg.connect(postgres.dsn(user="postgres", database=database))
    for table in ("entry", "line"):
        await connection.execute(f"ALTER TABLE ledger.{table} DISABLE TRIGGER ALL")
    yield connection
    await connection.close()


async def test_sound_books_have_no_findings(books: Books, owner: asyncpg.Connection[Any]) -> None:
    """As the owner, and through a reading connection of the application, whose dates are texts."""
    assert await found(owner) == []
    await posted(books)
    steps: list[tuple[int, int]] = []
    assert await found(owner, progress=lambda done, total: steps.append((done, total))) == []
    assert steps == [(6, 6)]
    async with books.database.snapshot(None) as connection:
        assert await found(connection) == []


async def test_an_unknown_ledger_is_not_found(owner: asyncpg.Connection[Any]) -> None:
    with pytest.raises(NotFound):
        await found(owner)


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_pages_do_not_change_what_is_found(
    forger: asyncpg.Connection[Any], page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verifier, "PAGE", page)
    monkeypatch.setattr(verifier, "PAGE_LINES", page)
    assert await found(forger) == []
    await forger.execute("UPDATE ledger.entry SET description = 'forged' WHERE sequence = 2")
    assert [finding.sequence for finding in await found(forger)] == [2]


FORGERIES: list[tuple[str, list[int | None]]] = [
    ("UPDATE ledger.entry SET description = 'forged' WHERE sequence = 1", [1]),
    ("UPDATE ledger.entry SET effective_date = '2026-03-16' WHERE sequence = 1", [1, 1, 1]),
    ("UPDATE ledger.entry SET journal = '' WHERE sequence = 1", [1]),
    ("UPDATE ledger.entry SET posted_by = 'me' WHERE sequence = 5", [5]),
    ("UPDATE ledger.entry SET idempotency_key = 'k' WHERE sequence = 5", [5]),
    ("UPDATE ledger.entry SET origin = '' WHERE sequence = 5", [5]),
    ("UPDATE ledger.entry SET posted_at = posted_at + '1us' WHERE sequence = 6", [6]),
    ("UPDATE ledger.entry SET posted_at = posted_at + '1 day' WHERE sequence = 1", [1, 2]),
    ("UPDATE ledger.entry SET total = total + 1 WHERE sequence = 4", [4]),
    ("UPDATE ledger.entry SET hash = sha256('') WHERE sequence = 3", [3, 4]),
    ("UPDATE ledger.entry SET body_hash = sha256('') WHERE sequence = 3", [3, 3]),
    ("UPDATE ledger.entry SET canonical_version = 9 WHERE sequence = 3", [3]),
    ("UPDATE ledger.line SET tax_code = 'V' WHERE sequence = 1 AND line_number = 1", [1]),
    ("UPDATE ledger.line SET dimensions = '{}' WHERE sequence = 2 AND line_number = 1", [2, 3]),
    ("UPDATE ledger.line SET description = 'x' WHERE sequence = 3 AND line_number = 1", [3, 6]),
    ("UPDATE ledger.line SET line_number = 3 WHERE sequence = 1 AND line_number = 2", [1]),
    ("UPDATE ledger.head SET last_sequence = 7", [None]),
    ("UPDATE ledger.head SET last_hash = sha256('')", [None]),
    ("UPDATE ledger.balance_day SET debit = debit + 1 WHERE day = '2026-12-31' AND currency = 'USD'", [None]),
    ("DELETE FROM ledger.balance_month WHERE month = '2026-12-01' AND currency = 'EUR'", [None]),
    ("INSERT INTO ledger.balance_day SELECT 1, min(account_id), 'USD', '2000-01-01', 1, 1, 1, 1 FROM ledger.line", [None]),
    ("UPDATE ledger.balance_year SET functional_credit = functional_credit + 1 WHERE currency = 'EUR'", [None]),
    ("UPDATE ledger.balance_year SET year = '2025-01-01' WHERE currency = 'EUR'", [None, None]),
    ("DELETE FROM ledger.balance_year WHERE account_id = (SELECT account_id FROM ledger.account WHERE code = '6000')", [None]),
]  # fmt: skip
"""What is done, and the entries that are named for it."""


async def test_what_was_forged_is_named(forger: asyncpg.Connection[Any]) -> None:
    for statement, sequences in FORGERIES:
        forgery = forger.transaction()
        await forgery.start()
        await forger.execute(statement)
        assert [finding.sequence for finding in await found(forger)] == sequences, statement
        await forgery.rollback()
    assert await found(forger) == []


async def test_amounts_that_were_moved_are_found(forger: asyncpg.Connection[Any]) -> None:
    """A balanced forgery passes every sum; its hash does not, nor do the balances."""
    await forger.execute(
        "UPDATE ledger.line SET amount = amount * 2, functional_amount = functional_amount * 2 WHERE sequence = 1"
    )
    await forger.execute("UPDATE ledger.entry SET total = total * 2 WHERE sequence = 1")
    findings = await found(forger)
    assert [finding.sequence for finding in findings] == [1, *[None] * 6]
    assert "the hash of its rows differs" in findings[0].message
    assert "day balance of account 1000 in USD of 2026-03-15" in findings[1].message


async def test_a_missing_entry_is_found(forger: asyncpg.Connection[Any]) -> None:
    await forger.execute("DELETE FROM ledger.line WHERE sequence = 5")
    await forger.execute("DELETE FROM ledger.entry WHERE sequence = 5")
    findings = await found(forger)
    assert findings[0] == Finding(6, "entries 5 to 5 are missing before it")
    assert len(findings) == 8
