"""A long queue, many issues: what a batch or a page reads must not grow with them. Rows are counted, never time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from sources.documents import InvoiceStatus, Problem
from sources.mirror import issues
from sources.pipeline import todo
from sources.pipeline.model import DocumentStatus, Key
from sources.pipeline.worker import Pipeline
from tests.sources.mirror.kit import Kit, Script
from tests.sources.pipeline.company import Company, changed, opened, rules

READ = """
SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_user_tables
WHERE schemaname IN ('pipeline', 'mirror') AND relname <> 'source_state'"""
QUEUE = """
INSERT INTO pipeline.todo (ledger_id, source, kind, external_id, gone, attempts, since, not_before)
SELECT $1, $2, 'invoice', $3 || n, $4, $5, now(), now() + $6 * interval '1 hour' + n * interval '1 microsecond'
FROM generate_series(1, $7::integer) n"""
SOURCES = ["billing", "unread"]


@pytest.fixture
async def us(owner: asyncpg.Connection[Any], ledgers: Mapping[str, int]) -> int:
    """The ledger acme-us; both of its sources post, and `unread` has not been read to its end."""
    await owner.execute(
        "INSERT INTO mirror.source_state (source, kind, route, as_of, post_from) VALUES "
        "('billing', 'stripe', '', now(), '2026-01-01'), ('unread', 'stripe', '', NULL, '2026-01-01')"
    )
    return ledgers["acme-us"]


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(database_url)
    await connection.execute("SET ledgergraph.ledgers = '*'")
    yield connection
    await connection.close()


async def rows_read(connection: asyncpg.Connection[Any]) -> int:
    """So far in this transaction, of the pipeline's and the mirror's tables."""
    return int(await connection.fetchval(READ))


async def fill(owner: asyncpg.Connection[Any], us: int, count: int) -> None:
    """So many of each sort: new, to be tried again, put off, and gone from a source that is still being read (the oldest)."""
    for name, source, gone, attempts, hours in (
        ("new", "billing", False, 0, -1),
        ("again", "billing", False, 1, -2),
        ("later", "billing", False, 1, 1),
        ("gone", "unread", True, 0, -3),
    ):
        await owner.execute(QUEUE, us, source, f"{name}-{count}-", gone, attempts, hours, count)


@pytest.mark.parametrize("analyzed", ["never", "when empty", "when small", "when long"])
async def test_a_batch_reads_as_much_of_a_long_queue_as_of_a_short_one(
    app: asyncpg.Connection[Any], owner: asyncpg.Connection[Any], us: int, analyzed: str
) -> None:
    read = []
    for count in (500, 20_000):
        if analyzed == ("when empty" if count == 500 else "when small"):
            await owner.execute("ANALYZE")
        await fill(owner, us, count)
        if analyzed == "when long":
            await owner.execute("ANALYZE")
        async with app.transaction():
            assert await todo.claim(app, us)
            before = await rows_read(app)
            assert len(await todo.take(app, us, SOURCES, 200)) == 200
            read.append(await rows_read(app) - before)
        await owner.execute("UPDATE mirror.source_state SET post_from = post_from")
    assert read[1] <= read[0] <= 2 * 200, read


async def test_new_documents_and_those_tried_again_take_turns(
    app: asyncpg.Connection[Any], owner: asyncpg.Connection[Any], us: int
) -> None:
    """Ten thousand that are due again hold up no new one for more than its share of a batch, nor the other way round."""

    async def taken(limit: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in await todo.take(app, us, SOURCES, limit):
            sort = each.key.external_id.split("-")[0]
            found[sort] = found.get(sort, 0) + 1
        return found

    await owner.execute(QUEUE, us, "billing", "again-", False, 1, -2, 10_000)
    assert await taken(100) == {"again": 100}
    await owner.execute(QUEUE, us, "billing", "new-", False, 0, -1, 30)
    assert await taken(100) == {"again": 70, "new": 30}
    await owner.execute(QUEUE, us, "billing", "more-", False, 0, -1, 10_000)
    found = await taken(100)
    assert found["again"] == 20
    await owner.execute("DELETE FROM pipeline.todo WHERE attempts > 0")
    assert sum((await taken(100)).values()) == 100


@pytest.mark.parametrize("analyzed", [False, True])
async def test_looking_for_something_due_reads_no_queue(
    app: asyncpg.Connection[Any], owner: asyncpg.Connection[Any], us: int, analyzed: bool
) -> None:
    for sort in (0, 1):
        await owner.execute(QUEUE, us, "billing", f"later-{sort}-", False, sort, 1, 10_000)
    if analyzed:
        await owner.execute("ANALYZE")
    async with app.transaction():
        assert await todo.due_ledgers(app) == []
        assert await rows_read(app) <= 10
    await owner.execute("UPDATE pipeline.todo SET not_before = now() WHERE external_id = 'later-1-1'")
    assert await todo.due_ledgers(app) == [us]


async def test_a_page_reads_no_issues_of_documents(
    app: asyncpg.Connection[Any], owner: asyncpg.Connection[Any], us: int
) -> None:
    """Nor those of other sources."""
    await owner.execute(
        "INSERT INTO mirror.issue (ledger_id, source, code, subject, message, first_seen, opened_at, last_seen, kind, account, "
        "external_id) SELECT $1, 'billing', 'NO_RULE', 'invoice ' || n, '', now(), now(), now(), 'invoice', '', n::text "
        "FROM generate_series(1, 5000) n",
        us,
    )
    now = datetime.now(UTC)
    async with app.transaction():
        await issues.note(app, us, "billing", [Problem(subject="invoice in_1", code="X", message="")], now, set())
        before = await rows_read(app)
        await issues.close_read(app, us, "billing", ["in_1"], set(), now)
        await issues.close_absent(app, us, "billing", set(), now)
        assert await issues.count_open(app, us, "billing") == 0
        assert await rows_read(app) - before <= 10


async def test_what_a_source_mentions_is_remembered_only_where_it_lists_everything(
    pull: Any, monkeypatch: pytest.MonkeyPatch, ledgers: Mapping[str, int]
) -> None:
    """A first reading of a million documents takes the memory of a page."""
    from sources.mirror import store

    kept: dict[str, int] = {}
    end = store.end

    async def ended(connection: Any, run: store.Run, *rest: Any, **more: Any) -> Any:
        kept[run.source] = len(run.mentioned)
        return await end(connection, run, *rest, **more)

    monkeypatch.setattr(store, "end", ended)
    for name, everything in (("streaming", False), ("listing", True)):
        pages = Kit.pages([Kit.invoice("in_1")], [Kit.invoice("in_2")])
        await pull(Kit.stripe(name=name), Script(*pages, lists_everything=everything))
    assert kept == {"streaming": 0, "listing": 2}


# ---------------------------------------------------------------- calling up what had an issue


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found


async def test_rules_call_up_issues_once_for_all_processes(company: Company) -> None:
    """Not with each process that starts."""
    unruled = changed(Kit.invoice("in_1"), status=InvoiceStatus.UNKNOWN)
    await company.state(unruled)
    await company.look()
    assert await company.statuses() == {"in_1": "ISSUE"}

    async def started() -> int:
        """Documents that a process which starts now looks at."""
        worker = Pipeline(company.database, company.poster)
        return (await worker.run_ledger(company.ledger.ledger_id)).taken

    assert await started() == 0
    await company.use_rules(rules(revenue="4100"))
    assert await started() == 1
    assert await started() == 0


async def test_a_bill_that_is_given_up_calls_up_its_own_duplicates(company: Company, owner_url: str) -> None:
    connection, ledger_id = company.speaking, company.ledger.ledger_id
    await connection.execute(
        "INSERT INTO pipeline.document (ledger_id, source, kind, external_id, status, bill_key, processed_at) VALUES "
        "($1, 'a', 'invoice', 'one', 'POSTED', '\\x01', now()), ($1, 'b', 'invoice', 'one', 'DUPLICATE', '\\x01', now()), "
        "($1, 'b', 'invoice', 'two', 'DUPLICATE', '\\x02', now())",
        ledger_id,
    )
    later = datetime.now(UTC) + timedelta(hours=1)
    await connection.execute(
        "INSERT INTO pipeline.todo (ledger_id, source, kind, external_id, attempts, since, not_before) "
        "SELECT $1, 'b', 'invoice', name, 1, $2, $2 FROM unnest(ARRAY['one', 'two']) name",
        ledger_id,
        later,
    )
    assert await todo.hasten(connection, ledger_id, [DocumentStatus.DUPLICATE]) == 1
    assert [each.key for each in await todo.take(connection, ledger_id, ["b"], 9)] == [Key("b", "invoice", "", "two")]
