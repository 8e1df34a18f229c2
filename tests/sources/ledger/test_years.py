"""Balances per year are made of the months that a ledger has, while it is posted to."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

import sources.ledger
from sources.database import migrate
from sources.database.migrate import current_revision, upgrade
from sources.errors import DatabaseUnavailable
from sources.ledger.verify import verify
from tests.sources.ledger.books import Books, credit, debit, entry, sequences

SQL = Path(sources.ledger.__file__).parent / "sql"
BEFORE, YEARS = "0005_reports", "0006_years"


async def as_before(owner: asyncpg.Connection[Any]) -> None:
    """Takes the years out of a database, and gives posting the function back that knew none."""
    script = (SQL / "0004_posting.sql").read_text(encoding="utf-8")
    begin = script.index("FUNCTION ledger.fold_balances(p_ledger")
    await owner.execute("DROP TABLE ledger.balance_year; DROP INDEX ledger.balance_month_by_month")
    await owner.execute(f"CREATE OR REPLACE {script[begin : script.index('$$;', begin)]}$$")
    await owner.execute(f"UPDATE ledger.schema_version SET version_num = '{BEFORE}'")


@pytest.fixture
async def earlier(books: Books, owner: asyncpg.Connection[Any]) -> Books:
    """A ledger of three years, in two currencies, whose database has no years yet."""
    await as_before(owner)
    for month in range(36):
        day = date(2024 + month // 12, 1 + month % 12, 1 + month % 28)
        lines = (debit("6000", "12"), credit("1100", "10", "EUR", "12")) if month % 5 == 0 else ()
        sequences(await books.post(*[entry(books.ledger, f"{month}/{n}", *lines, on=day) for n in range(3)]))
    return books


async def findings(owner: asyncpg.Connection[Any]) -> list[Any]:
    return [finding async for finding in verify(owner, "acme-us")]


async def test_years_are_the_sums_of_what_was_posted_before(
    earlier: Books, owner: asyncpg.Connection[Any], owner_url: str
) -> None:
    await upgrade(owner_url, YEARS)
    assert await current_revision(owner_url) == YEARS
    assert await findings(owner) == []
    years = await earlier.fetch("SELECT DISTINCT year FROM ledger.balance_year ORDER BY year")
    assert [row["year"] for row in years] == [date(2024, 1, 1), date(2025, 1, 1), date(2026, 1, 1)]


async def test_a_wrong_year_is_found(earlier: Books, owner: asyncpg.Connection[Any], owner_url: str) -> None:
    await upgrade(owner_url, YEARS)
    await owner.execute(
        "UPDATE ledger.balance_year SET credit = credit + 1 WHERE year = '2025-01-01' AND currency = 'EUR'"
    )
    assert [finding.message for finding in await findings(owner)] == [
        "the stored year balance of account 1100 in EUR of 2025-01-01 is not the sum of its lines"
    ]


async def test_what_is_posted_meanwhile_is_in_its_year(
    earlier: Books, owner: asyncpg.Connection[Any], owner_url: str
) -> None:
    """Sessions that have posted with the older function go on through the migration, one after the other or waiting for it."""
    migrated = asyncio.Event()
    posted: list[int] = []

    async def client(number: int) -> None:
        more = 0
        while not migrated.is_set() or more < 5:
            day = date(2024, 1, 1) + timedelta(days=37 * more % 1000)
            posted.extend(sequences(await earlier.post(entry(earlier.ledger, f"client {number}/{more}", on=day))))
            more += 1

    clients = [asyncio.create_task(client(number)) for number in range(4)]
    while len(posted) < 20:
        await asyncio.sleep(0)
    await upgrade(owner_url, YEARS)
    migrated.set()
    await asyncio.gather(*clients)
    assert await findings(owner) == []


async def test_an_open_report_is_not_waited_for_without_end(
    earlier: Books, owner: asyncpg.Connection[Any], owner_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds what the upgrade has to change: it gives up with a sentence, and nothing was changed."""
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 1)
    reader = await asyncpg.connect(owner_url)
    try:
        async with reader.transaction():
            await reader.fetch("SELECT count(*) FROM ledger.balance_month")
            with pytest.raises(DatabaseUnavailable, match="nothing was changed"):
                await upgrade(owner_url, YEARS)
            assert await owner.fetchval("SELECT version_num FROM ledger.schema_version") == BEFORE
        await upgrade(owner_url, YEARS)
    finally:
        await reader.close()
    assert await findings(owner) == []
