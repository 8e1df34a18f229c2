"""A ledger that was just filled is read by plans for its size."""

from __future__ import annotations

import asyncpg

from tests.graph import entry, open_graph


async def test_posting_many_entries_refreshes_the_planners_statistics(database_url, owner_url):
    """After the first hundreds of postings the planner knows how many entries and lines there are."""
    async with open_graph(database_url) as graph:
        await graph.found()
        for batch in range(3):
            await graph.post(*[entry(f"k{batch}-{n}") for n in range(200)])
    owner = await asyncpg.connect(owner_url)
    sizes = dict(
        await owner.fetch(
            "SELECT relname, reltuples FROM pg_class WHERE oid IN ('ledger.entry'::regclass, 'ledger.line'::regclass)"
        )
    )
    await owner.close()
    assert 500 <= sizes["entry"] <= 600
    assert 1_000 <= sizes["line"] <= 1_200  # tables are analysed one after the other, while postings go on
