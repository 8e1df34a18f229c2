"""What waits is taken in turn by one worker at a time; nothing that came meanwhile is lost, whoever dies when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from sources.mirror.changes import Changes
from sources.pipeline import todo
from sources.pipeline.model import DocumentStatus, Key
from sources.pipeline.todo import Taken

Connection: TypeAlias = "asyncpg.Connection[Any]"
Open = Callable[[], Awaitable[Connection]]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
async def connect(database_url: str) -> AsyncIterator[Open]:
    """Connections of the application that see every ledger, as those of the mirror do."""
    async with AsyncExitStack() as stack:

        async def connected() -> Connection:
            connection = await asyncpg.connect(database_url)
            stack.push_async_callback(connection.close)
            await connection.execute("SET ledgergraph.ledgers = '*'")
            return connection

        yield connected


@pytest.fixture
async def us(owner: Connection, ledgers: Mapping[str, int]) -> int:
    """The ledger acme-us, whose source stripe posts and has been read to its end."""
    await owner.execute(
        "INSERT INTO mirror.source_state (source, kind, route, as_of, post_from) "
        "VALUES ('stripe', 'stripe', '', now(), '2026-01-01')"
    )
    return ledgers["acme-us"]


def invoice(number: int) -> Key:
    return Key("stripe", "invoice", "", f"in_{number:05}")


async def page(connection: Connection, ledger_id: int, *numbers: int, gone: bool = False, now: datetime = NOW) -> None:
    """As a page of the mirror, which changes these invoices."""
    changes = Changes("stripe", now, posts=True)
    changes.add("invoice", [(ledger_id, invoice(number).external_id) for number in numbers], gone=gone)
    async with connection.transaction():
        await changes.record(connection)


async def take(connection: Connection, ledger_id: int, limit: int = 100) -> list[Taken]:
    return await todo.take(connection, ledger_id, ["stripe"], limit)


def numbers(taken: list[Taken]) -> list[int]:
    return [int(each.key.external_id.removeprefix("in_")) for each in taken]


async def test_who_waited_longest_comes_first_and_no_more_than_asked_for(connect: Open, us: int) -> None:
    connection = await connect()
    await page(connection, us, 3, 1, now=NOW + timedelta(seconds=1))
    await page(connection, us, 2)
    async with connection.transaction():
        assert await todo.claim(connection, us)
        assert numbers(await take(connection, us, 2)) == [2, 1]
        assert await todo.take(connection, us, ["other"], 2) == []
    far = datetime.now(UTC) + timedelta(hours=1)
    await page(connection, us, 2, now=far)
    assert numbers(await take(connection, us)) == [1, 3]


async def test_one_worker_at_a_time_looks_after_a_ledger(connect: Open, us: int, ledgers: Mapping[str, int]) -> None:
    first, second = await connect(), await connect()
    transaction = first.transaction()
    await transaction.start()
    assert await todo.claim(first, us)
    async with second.transaction():
        assert not await todo.claim(second, us)
    async with second.transaction():
        assert await todo.claim(second, ledgers["acme-eu"])
    await transaction.rollback()
    async with second.transaction():
        assert await todo.claim(second, us)


async def test_a_worker_that_dies_leaves_everything_to_the_next(connect: Open, us: int, owner: Connection) -> None:
    first, second = await connect(), await connect()
    await page(second, us, 1, 2)
    await first.execute("BEGIN")
    assert await todo.claim(first, us)
    taken = await take(first, us)
    assert await todo.close(first, us, taken) == 2
    await owner.execute("SELECT pg_terminate_backend($1)", first.get_server_pid())
    for _ in range(500):
        async with second.transaction():
            if await todo.claim(second, us):
                assert await take(second, us) == taken
                return
        await asyncio.sleep(0.01)
    pytest.fail("the claim was not released")


async def test_what_changed_since_it_was_taken_stays(connect: Open, us: int) -> None:
    worker, mirror = await connect(), await connect()
    await page(mirror, us, 1, 2, 3)
    async with worker.transaction():
        await todo.claim(worker, us)
        taken = await take(worker, us)
        await page(mirror, us, 2)
        await page(mirror, us, 3)
        later = {taken[2]: datetime.now(UTC) + timedelta(hours=1)}
        assert await todo.close(worker, us, taken[:2], later) == 1
    left = await take(worker, us)
    assert numbers(left) == [2, 3]
    assert [each.attempts for each in left] == [0, 0]


async def test_a_page_waits_for_no_worker_that_is_at_work(connect: Open, us: int) -> None:
    worker, mirror = await connect(), await connect()
    await page(mirror, us, 1)
    await mirror.execute("SET lock_timeout = '5s'")
    async with worker.transaction():
        await todo.claim(worker, us)
        await take(worker, us)
        await page(mirror, us, 1, 2)


async def test_a_change_that_commits_while_its_document_is_closed_is_not_lost(connect: Open, us: int) -> None:
    """The page has written the row first; the worker waits for it, and sees that it is another change."""
    worker, mirror = await connect(), await connect()
    await page(mirror, us, 1)
    changing = mirror.transaction()
    await changing.start()
    async with worker.transaction():
        await todo.claim(worker, us)
        taken = await take(worker, us)
        changes = Changes("stripe", NOW, posts=True)
        changes.add("invoice", [(us, invoice(1).external_id)])
        await changes.record(mirror)
        closing = asyncio.create_task(todo.close(worker, us, taken))
        await asyncio.sleep(0.05)
        assert not closing.done()
        await changing.commit()
        assert await closing == 0
    (left,) = await take(worker, us)
    assert left.change > taken[0].change


async def test_pages_and_workers_that_meet_in_any_order_do_not_block_each_other(connect: Open, us: int) -> None:
    chance = random.Random(7)
    worker, mirror = await connect(), await connect()
    written: set[int] = set()

    async def write() -> None:
        for _ in range(60):
            chosen = chance.sample(range(40), 20)
            written.update(chosen)
            await page(mirror, us, *chosen)

    async def work() -> None:
        for _ in range(60):
            async with worker.transaction():
                assert await todo.claim(worker, us)
                taken = await take(worker, us, 30)
                chance.shuffle(taken)
                later = dict.fromkeys(taken[:5], NOW)
                await todo.close(worker, us, taken[5:], later)

    await asyncio.gather(write(), work())
    while taken := await take(worker, us):
        written -= set(numbers(taken))
        await todo.close(worker, us, taken)
    assert await worker.fetchval("SELECT count(*) FROM pipeline.todo") == 0


async def test_ten_thousand_documents_are_each_taken_once_by_two_workers(connect: Open, us: int) -> None:
    mirror = await connect()
    await page(mirror, us, *range(10_000))
    seen: list[int] = []

    async def work(connection: Connection) -> None:
        while True:
            async with connection.transaction():
                if await todo.claim(connection, us):
                    taken = await take(connection, us, 500)
                    if not taken:
                        return
                    await todo.close(connection, us, taken)
                    seen.extend(numbers(taken))
            await asyncio.sleep(0)

    await asyncio.gather(work(await connect()), work(await connect()))
    assert sorted(seen) == list(range(10_000))


async def test_a_worker_sees_and_closes_nothing_of_another_ledger(
    connect: Open, us: int, ledgers: Mapping[str, int]
) -> None:
    connection, eu = await connect(), ledgers["acme-eu"]
    await page(connection, us, 1)
    async with connection.transaction():
        assert await todo.claim(connection, eu)
        assert await take(connection, us) == []
        assert await todo.close(connection, us, [Taken(invoice(1), 1, NOW, 0)]) == 0
        assert (await todo.waiting(connection, [us], ["stripe"]))[us].documents == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await todo.add(connection, us, [invoice(2)])
    assert numbers(await take(connection, us)) == [1]


async def test_what_is_gone_is_taken_when_its_source_has_been_read_to_the_end(
    connect: Open, us: int, owner: Connection
) -> None:
    connection = await connect()
    await owner.execute("UPDATE mirror.source_state SET as_of = NULL")
    await page(connection, us, 1, 2, gone=True)
    await page(connection, us, 3)
    assert numbers(await take(connection, us)) == [3]
    await page(connection, us, 2)
    assert sorted(numbers(await take(connection, us))) == [2, 3]
    await owner.execute("UPDATE mirror.source_state SET as_of = now()")
    assert sorted(numbers(await take(connection, us))) == [1, 2, 3]


async def test_what_is_put_off_comes_back_in_its_time_with_its_attempts(connect: Open, us: int) -> None:
    connection = await connect()
    await page(connection, us, 1)
    (taken,) = await take(connection, us)
    due = datetime.now(UTC) + timedelta(hours=1)
    assert await todo.close(connection, us, [], {taken: due}) == 0
    assert await take(connection, us) == []
    found = (await todo.waiting(connection, [us], ["stripe"]))[us]
    assert (found.documents, found.oldest, found.next_at) == (1, NOW, due)
    assert await todo.add(connection, us, [invoice(1)]) == 1
    (again,) = await take(connection, us)
    assert (again.key, again.since, again.attempts) == (taken.key, NOW, 0)
    assert again.change > taken.change


async def test_documents_are_looked_at_again_where_their_source_posts(
    connect: Open, us: int, owner: Connection, pull: Any, kit: Any
) -> None:
    await owner.execute("DELETE FROM mirror.source_state")
    settings = kit.stripe(post_from=NOW.date())
    await pull(settings, kit.Script(*kit.pages([kit.invoice("in_00001"), kit.invoice("in_00002")])))
    await owner.execute(
        "DELETE FROM pipeline.todo; UPDATE mirror.invoice SET deleted_at = now() WHERE external_id = 'in_00002'"
    )
    connection = await connect()
    other = Key("other", "invoice", "", "in_00001")
    assert await todo.add(connection, us, [invoice(2), invoice(1), other, invoice(1)]) == 2
    assert {row[0]: row[1] for row in await owner.fetch("DELETE FROM pipeline.todo RETURNING external_id, gone")} == {
        "in_00001": False,
        "in_00002": True,
    }
    await owner.execute(
        "INSERT INTO pipeline.document (ledger_id, source, kind, external_id, status, processed_at) "
        "SELECT $1, 'stripe', 'invoice', id, status, now() FROM "
        "unnest(ARRAY['in_00001', 'in_00002'], ARRAY['ISSUE', 'POSTED']) AS d (id, status)",
        us,
    )
    assert await todo.add_where(connection, us, [DocumentStatus.ISSUE], "other") == 0
    assert await todo.add_where(connection, us, [DocumentStatus.ISSUE, DocumentStatus.DUPLICATE]) == 1
    assert numbers(await take(connection, us)) == [1]
    await owner.execute("UPDATE mirror.source_state SET post_from = NULL; DELETE FROM pipeline.todo")
    assert await todo.add_where(connection, us, [DocumentStatus.ISSUE]) == 0
