"""An account that grows in one process, while the database knows nothing of sizes: what a page costs does not grow with what is held."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import asyncpg

from sources.database.pool import Database
from sources.documents import Page
from sources.mirror import state, store
from tests.sources.mirror.kit import Kit

PAGES, SIZE = 10, 200


async def test_a_page_of_a_backfill_reads_as_much_as_the_one_before(
    db: Database, owner: asyncpg.Connection[Any], ledgers: Mapping[str, int]
) -> None:
    """Blocks of the tables of statements and their indexes: a statement is looked up by its key for each of its transactions."""
    connection = await db.connect_direct()
    await state.prepare(connection)
    settings, read = Kit.bank(), [0]
    run = await store.begin(
        connection, settings, ledgers, await state.standing(connection, settings, ledgers["acme-eu"])
    )
    for page in range(PAGES):
        first = date(2024, 1, 1) + timedelta(days=page * 20)
        moved = [Kit.moved(f"t{page}-{n}", n, first + timedelta(days=n // 10)) for n in range(SIZE)]
        statements = [Kit.statement(each.external_id, each) for each in moved]
        await store.store_page(connection, run, Page(documents=statements, cursor=str(page)))
        await connection.fetchval("SELECT pg_stat_force_next_flush()")
        read.append(await owner.fetchval(_READ))
    await connection.close()
    costs = [after - before for before, after in pairwise(read)]
    assert min(costs) > SIZE  # it is counted
    assert costs[-1] < 1.25 * costs[2], costs


_READ = """
SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint FROM pg_statio_user_tables
WHERE relname IN ('bank_statement', 'bank_transaction')"""
