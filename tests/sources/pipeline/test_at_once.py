"""Everything that goes on in a ledger at one time: nobody waits for who waits for them, in the server or in a pool."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sources.database.pool import Database
from sources.documents import InvoiceStatus
from sources.errors import NotFound
from sources.ledger.posting import Poster
from sources.mirror import state, webhooks
from sources.mirror.issues import IssueKey
from sources.pipeline.approving import Decision, decide
from sources.pipeline.reposting import repost
from sources.pipeline.resolving import look_again, mute_issue, resolve_issue
from sources.pipeline.worker import Pipeline
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules
from tests.sources.pipeline.fragile import Fuse, fragile

NAMES = [f"in_{number:02}" for number in range(60)]
DOCUMENTS = [changed(Kit.invoice(name), due_date=Kit.invoice(name).issue_date) for name in NAMES]


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found


async def test_who_waits_for_the_ledger_keeps_no_worker_from_its_end(company: Company) -> None:
    """More people decide at one time than there are connections to write by; the worker that they wait for needs one."""
    await company.state(DOCUMENTS[0])
    sends, decided = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        sends.set()
        await decided.wait()

    worker = fragile(company.database, company.poster, Fuse(), before=hold)
    ledger_id = company.ledger.ledger_id
    running = asyncio.create_task(worker.run_once(ledger_id))
    await sends.wait()
    waiting: list[asyncio.Task[Any]] = [
        asyncio.create_task(decide(company.database, ledger_id, [number], Decision.APPROVED, by="ana"))
        for number in range(8)
    ]
    waiting += [asyncio.create_task(repost(company.database, ledger_id, [key("in_00")])) for _ in range(8)]
    await _until(lambda: _waiting_for_the_ledger(company))
    decided.set()
    async with asyncio.timeout(8):
        assert (await running).entries == 1
        await asyncio.gather(*waiting)


async def test_everything_at_once_ends_without_a_deadlock(company: Company, database_url: str, owner_url: str) -> None:
    """Pulls of two sources, two workers, people who decide, resolve, mute, post anew and change rules, and webhooks: in any
    order, on the same few documents."""
    chance, rounds = random.Random(11), 40
    ledger_id = company.ledger.ledger_id
    await company.use_rules(rules(policy="proposed"))
    versions = [
        rules(policy=policy, revenue=revenue) for policy in ("proposed", "automatic") for revenue in ("4000", "4100")
    ]
    async with AsyncExitStack() as stack:
        others = [await stack.enter_async_context(Database(database_url, readers=2, writers=4)) for _ in range(2)]
        speakers = [await stack.enter_async_context(_speaking(company, each)) for each in others]

        async def pulls(number: int) -> None:
            for _ in range(rounds):
                stated = [changed(each, status=chance.choice(list(InvoiceStatus)), subtotal=1000 + chance.randrange(3))
                    for each in chance.sample(DOCUMENTS, 40)]  # fmt: skip
                stated = [changed(each, total=each.subtotal + each.tax) for each in stated]
                gone = [("invoice", name) for name in chance.sample(NAMES, 5)]
                await speakers[number].state(*stated, source=("billing", "shop")[number], gone=gone)

        async def works(database: Database) -> None:
            poster = Poster(database, queue_limit=20_000)
            worker = Pipeline(database, poster, batch=30)
            for _ in range(rounds):
                await worker.run_once(ledger_id)
                await asyncio.sleep(0)
            await poster.close()

        async def decides() -> None:
            for _ in range(rounds):
                wanted = await _looked_up(company, "SELECT proposal_id FROM pipeline.proposal WHERE decision IS NULL")
                decision = chance.choice(list(Decision))
                await decide(company.database, ledger_id, [each[0] for each in wanted[:20]], decision, by="ana")
                await repost(company.database, ledger_id, [key(name) for name in chance.sample(NAMES, 10)])

        async def minds() -> None:
            until = datetime.now(UTC) + timedelta(hours=1)
            for _ in range(rounds):
                rows = await _looked_up(
                    company, "SELECT source, code, subject FROM mirror.issue WHERE closed_at IS NULL"
                )
                for row in rows[:10]:
                    issue = IssueKey(*row)
                    try:
                        await mute_issue(company.database, ledger_id, issue, until=until, note=None)
                        await resolve_issue(company.database, ledger_id, issue, by="ana", note="x")
                    except NotFound:
                        continue  # the worker closed it first
                await look_again(company.database, [ledger_id])

        async def rules_change() -> None:
            for _ in range(rounds // 3):
                await company.use_rules(chance.choice(versions))
                await asyncio.sleep(0.05)

        async def delivers(database: Database) -> None:
            for number in range(rounds * 4):
                async with database.writer() as connection:
                    await webhooks.receive(connection, f"s{number % 2}", f"evt_{number // 2}", {}, b"{}")
                    await webhooks.close(connection, f"s{chance.randrange(2)}", datetime.now(UTC))

        async with asyncio.timeout(100):
            await asyncio.gather(
                pulls(0), pulls(1), *map(works, others), decides(), minds(), rules_change(), *map(delivers, others)
            )
        await company.use_rules(versions[-1])
        await company.hurry()
        await company.look()
        assert await company.findings() == []
    await company.owner.execute("SELECT pg_stat_force_next_flush()")
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert await company.owner.fetchval(deadlocks) == 0


@asynccontextmanager
async def _speaking(company: Company, database: Database) -> AsyncIterator[Company]:
    """The company, with a connection of its own for pulls."""
    connection = await database.connect_direct()
    await state.prepare(connection)
    yield replace(company, speaking=connection)
    await connection.close()


async def _looked_up(company: Company, sql: str) -> Sequence[Any]:
    async with company.database.lookup() as connection:
        return await connection.fetch(sql)


async def _waiting_for_the_ledger(company: Company) -> bool:
    return bool(
        await company.owner.fetchval(
            "SELECT count(*) >= 3 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    )


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(8):
        while not await condition():
            await asyncio.sleep(0.01)
