"""What is open, brought up to date: beside writers, within a ledger, and without looking at years that are settled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import asyncpg
import orjson
import pytest

from sources.matching import open_sql
from sources.matching.folding import fold
from tests.sources.matching.open_days import day, noted, open_on
from tests.sources.matching.trade import Trade, invoice, money, trading


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        yield found


# ---------------------------------------------------------------- while others write


async def test_what_changes_while_it_is_folded_stays_noted(trade: Trade, database_url: str) -> None:
    """Readers see it as it is before, amid and after; a fold takes off no note of what it did not see."""
    await trade.invoiced(invoice("INV-1", 100))
    ledger_id, on = trade.company.ledger.ledger_id, day(30)
    await trade.company.owner.execute("UPDATE mirror.invoice SET amount_due = 70")
    folder = await asyncpg.connect(database_url)
    await folder.execute("SELECT set_config('ledgergraph.ledgers', $1, false)", str(ledger_id))
    async with folder.transaction():
        assert await folder.fetchval(_FOLD, ledger_id) == 1
        assert await open_on(trade, on) == {"inv-1": 70}
        await trade.company.owner.execute("UPDATE mirror.invoice SET amount_due = 40")
        assert await open_on(trade, on) == {"inv-1": 40}
        assert await trade.company.owner.fetchval(_FOLD, ledger_id) == 0
    assert await open_on(trade, on) == {"inv-1": 40}
    assert await noted(trade) == 1
    writer = trade.company.owner.transaction()
    await writer.start()
    await trade.company.owner.execute("UPDATE mirror.invoice SET amount_due = 10")
    assert await folder.fetchval(_FOLD, ledger_id) == 1
    assert await open_on(trade, on) == {"inv-1": 40}
    await writer.commit()
    assert await open_on(trade, on) == {"inv-1": 10}
    assert await fold(trade.company.database, ledger_id) == 1
    assert await open_on(trade, on) == {"inv-1": 10}
    await folder.close()


async def test_nobody_computes_or_folds_another_ledgers(trade: Trade, database_url: str) -> None:
    await trade.company.state(invoice("INV-1", 100), source="sales")
    ledger_id = trade.company.ledger.ledger_id
    stranger = await asyncpg.connect(database_url)
    await stranger.execute("SELECT set_config('ledgergraph.ledgers', $1, false)", str(ledger_id + 1))
    assert (
        await stranger.fetch("SELECT * FROM matching.open_spans($1, '{invoice}', '{sales}', '{inv-1}')", ledger_id)
        == []
    )
    assert await stranger.fetchval(_FOLD, ledger_id) == 0
    for table in ("open_item", "open_todo", "control_account"):
        assert await stranger.fetchval(f"SELECT count(*) FROM matching.{table}") == 0
    await stranger.close()
    assert await noted(trade) == 1


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("on", [date(2026, 6, 1), date(2024, 6, 1), date(2025, 3, 9)])
async def test_years_of_settled_invoices_are_not_looked_at(trade: Trade, on: date) -> None:
    """Of 20,000 rows over three years, a page looks at those that were open on the day, or a few times as many."""
    ledger_id, owner = trade.company.ledger.ledger_id, trade.company.owner
    await owner.execute(_SETTLED, ledger_id)
    await owner.execute("ANALYZE matching.open_item")
    counted = len(await open_on(trade, on))
    assert 300 < counted < 1_500
    statement = open_sql.on_day(str(ledger_id), "'RECEIVABLE'", f"date '{on}'")
    rows = await trade.company.speaking.fetch(
        f"EXPLAIN (ANALYZE, FORMAT JSON) SELECT * FROM ({statement}) o ORDER BY due_on LIMIT 50"
    )
    assert _looked_at(orjson.loads(rows[0][0])[0]["Plan"]) < 6 * counted


def _looked_at(plan: dict[str, Any]) -> float:
    """Rows that scans of open items gave or threw away."""
    own = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    here = own * plan["Actual Loops"] if plan.get("Relation Name") == "open_item" else 0
    return float(here) + sum(_looked_at(each) for each in plan.get("Plans", ()))


_FOLD = "SELECT matching.fold_open_items($1, 100)"
_SETTLED = """
INSERT INTO matching.open_item (ledger_id, source, external_id, direction, party_id, party_name, currency, due_on, open, from_day, until_day)
SELECT $1, 'sales', 'n' || n, 'RECEIVABLE', 'p' || n % 99, 'P', 'EUR', day + 30, 100, day,
    CASE WHEN n % 50 <> 0 THEN day + 1 + n * 7 % 60 END
FROM (SELECT n, date '2023-06-01' + n * 1095 / 20000 AS day FROM generate_series(1, 20000) n) AS made"""


async def test_a_fold_takes_as_much_in_tables_that_nobody_has_analysed(trade: Trade) -> None:
    """As those of a first pull: 200 notes touch about as many blocks among 9,000 invoices as among 900; and what is open of 200
    invoices that are matched, among 9,000 matches of one bank account."""
    owner, ledger_id = trade.company.owner, trade.company.ledger.ledger_id
    for table in (*_COPIED, "matching.open_item"):
        await owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    await trade.invoiced(invoice("INV-10001", 100))
    await trade.moved(money("t1", 40, "INV-10001 part"))
    await fold(trade.company.database, ledger_id)
    folded, computed = [], []
    for first, last in ((1, 900), (901, 9_000)):
        await _copy(owner, "mirror.invoice", first, last)
        folded.append(await _blocks(owner, f"SELECT matching.fold_open_items({ledger_id}, 200)"))
        for table in ("matching.item", "matching.match", "matching.allocation"):
            await _copy(owner, table, first, last)
        ids = f"ARRAY(SELECT 'copy-' || n FROM generate_series({first}, {first + 199}) AS n)"
        kinds, sources = (f"array_fill('{each}'::text, '{{200}}')" for each in ("invoice", "sales"))
        spans = f"SELECT * FROM matching.open_spans({ledger_id}, {kinds}, {sources}, {ids})"
        computed.append(await _blocks(owner, spans))
        while await owner.fetchval("SELECT matching.fold_open_items($1, 2000)", ledger_id):
            pass
        await owner.execute("VACUUM matching.open_todo")
    assert folded[1] < 2 * folded[0]
    assert computed[1] < 2 * computed[0]
    assert await open_on(trade, day(60)) == {"inv-10001": 60} | {f"copy-{n}": 60 for n in range(1, 9_001)}


async def _copy(owner: asyncpg.Connection[Any], table: str, first: int, last: int) -> None:
    original, changed = _COPIED[table]
    columns = await owner.fetchval(_COLUMNS, table)
    copy = f"jsonb_populate_record(NULL::{table}, to_jsonb(held) || {changed})"
    copies = f"SELECT ({copy}).* FROM {table} held CROSS JOIN generate_series({first}, {last}) AS n WHERE {original}"
    await owner.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM ({copies}) AS copies")


async def _blocks(owner: asyncpg.Connection[Any], statement: str) -> int:
    plan = orjson.loads(await owner.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"))
    return int(plan[0]["Plan"]["Shared Hit Blocks"])


_COLUMNS = """
SELECT string_agg(column_name, ', ') FROM information_schema.columns
WHERE table_schema || '.' || table_name = $1 AND is_generated = 'NEVER'"""
_COPIED = {
    "mirror.invoice": ("external_id = 'inv-10001'", "jsonb_build_object('external_id', 'copy-' || n)"),
    "matching.item": (
        "kind = 'bank_transaction' AND external_id = 't1'",
        "jsonb_build_object('external_id', 'moved-' || n)",
    ),
    "matching.match": (
        "external_id = 't1' AND status = 'CERTAIN'",
        "jsonb_build_object('match_id', 1000 + n, 'external_id', 'moved-' || n)",
    ),
    "matching.allocation": (
        "kind = 'invoice' AND external_id = 'inv-10001'",
        "jsonb_build_object('match_id', 1000 + n, 'external_id', 'copy-' || n)",
    ),
}
