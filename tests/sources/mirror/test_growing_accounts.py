"""An account that grows in one process, while the database knows nothing of sizes: what a page costs does not grow with what is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import asyncpg

from sources.database.pool import Database
from sources.documents import BankStatement, Page
from sources.mirror import state, store
from tests.sources.mirror.kit import Kit

PAGES, SIZE = 10, 200


async def test_a_page_of_a_backfill_reads_as_much_as_the_one_before(
    db: Database, owner: asyncpg.Connection[Any], ledgers: Mapping[str, int]
) -> None:
    """Blocks of the tables of statements and their indexes: a statement is looked up by its key for each of its transactions."""

    def page(number: int) -> list[BankStatement]:
        first = date(2024, 1, 1) + timedelta(days=number * 20)
        moved = [Kit.moved(f"t{number}-{n}", n, first + timedelta(days=n // 10)) for n in range(SIZE)]
        return [Kit.statement(each.external_id, each) for each in moved]

    costs = await _costs(db, owner, ledgers, [page(number) for number in range(PAGES)], _BLOCKS)
    assert min(costs) > SIZE  # it is counted
    assert costs[-1] < 1.25 * costs[2], costs


async def test_years_of_intraday_reports_cost_a_page_nothing(
    db: Database, owner: asyncpg.Connection[Any], ledgers: Mapping[str, int]
) -> None:
    """Rows of transactions: a report of each day, then the day's statement, which says what counts."""

    def day(number: int) -> list[BankStatement]:
        on = date(2024, 1, 1) + timedelta(days=number)
        report = [Kit.moved(f"r{number}-{n}", n, on) for n in range(SIZE)]
        stated = [Kit.moved(f"t{number}-{n}", n, on) for n in range(SIZE)]
        return [
            Kit.statement(f"report-{number}", *report, provisional=True, to_date=on),
            Kit.statement(f"statement-{number}", *stated, to_date=on),
        ]

    pages = [[each] for number in range(PAGES) for each in day(number)]
    costs = await _costs(db, owner, ledgers, pages, _ROWS)
    counting = "SELECT count(*) FILTER (WHERE provisional), count(*) FROM mirror.bank_transaction WHERE visible"
    assert tuple(await owner.fetchrow(counting)) == (0, PAGES * SIZE)
    assert min(costs) >= SIZE  # they are counted
    assert costs[-1] <= costs[3] < 10 * SIZE, costs
    assert costs[-2] <= costs[4] < 10 * SIZE, costs


async def _costs(
    db: Database,
    owner: asyncpg.Connection[Any],
    ledgers: Mapping[str, int],
    pages: Sequence[Sequence[BankStatement]],
    counted: str,
) -> list[int]:
    """What each page read."""
    connection = await db.connect_direct()
    await state.prepare(connection)
    await connection.execute("SET enable_seqscan = off")  # which is cheap for tables as small as these
    settings, read = Kit.bank(), [0]
    run = await store.begin(
        connection, settings, ledgers, await state.standing(connection, settings, ledgers["acme-eu"])
    )
    for number, statements in enumerate(pages):
        await store.store_page(connection, run, Page(documents=statements, cursor=str(number)))
        await connection.fetchval("SELECT pg_stat_force_next_flush()")
        read.append(await owner.fetchval(counted))
    await connection.close()
    return [after - before for before, after in pairwise(read)]


_ROWS = """
SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables WHERE relname = 'bank_transaction'"""
_BLOCKS = """
SELECT sum(heap_blks_hit + heap_blks_read + idx_blks_hit + idx_blks_read)::bigint FROM pg_statio_user_tables
WHERE relname IN ('bank_statement', 'bank_transaction')"""
