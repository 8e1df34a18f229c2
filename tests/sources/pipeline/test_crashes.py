"""Workers that die, in whatever step, and workers at once: the ledger is what the rules say of the documents' last versions."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from sources.database.pool import Database
from sources.documents import Invoice, InvoiceStatus
from sources.errors import Unavailable
from sources.pipeline.reposting import repost
from sources.pipeline.worker import Counts
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, Company, changed, key, opened, rules
from tests.sources.pipeline.fragile import Fuse, crash, fragile

INVOICE = Kit.invoice("in_1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)
ROOT = Path(__file__).parents[3]
STATUSES = [InvoiceStatus.OPEN, InvoiceStatus.OPEN, InvoiceStatus.PAID, InvoiceStatus.VOID, InvoiceStatus.DRAFT]


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        yield found
        assert await found.findings() == []


class Histories:
    """Documents that change at random: what the source states, and what the rules say of it."""

    def __init__(self, seed: int, count: int) -> None:
        self.chance = random.Random(seed)
        self.names = [f"in_{number}" for number in range(count)]
        self.now: dict[str, Invoice] = {}
        self.before: dict[str, list[Invoice]] = {}
        self.gone: set[str] = set()

    def change(self, share: float) -> tuple[list[Invoice], list[tuple[str, str]]]:
        """What the source states next: new versions, versions of before, the same again; and what is gone."""
        stated, gone = [], []
        for name in self.names:
            roll = self.chance.random()
            if roll > share:
                continue
            if roll < share * 0.15 and name in self.now:
                self.gone.add(name)
                gone.append(("invoice", name))
                continue
            version = self._version(name)
            self.gone.discard(name)
            self.now[name] = version
            self.before.setdefault(name, []).append(version)
            stated.append(version)
        return stated, gone

    def _version(self, name: str) -> Invoice:
        kind = self.chance.randrange(10)
        if kind < 3 and name in self.before:
            return self.chance.choice(self.before[name])
        subtotal, tax = self.chance.choice([100, 200, 300]), self.chance.choice([0, 19])
        status = InvoiceStatus.UNKNOWN if kind == 9 else self.chance.choice(STATUSES)
        day = CUTOVER + timedelta(days=self.chance.randrange(-20, 90))
        return replace(
            INVOICE, external_id=name, issue_date=day, due_date=day + timedelta(days=30), status=status,
            subtotal=subtotal, tax=tax, total=subtotal + tax,
        )  # fmt: skip

    def mend(self) -> list[Invoice]:
        """Documents that no rule takes are corrected."""
        for name, version in self.now.items():
            if version.status is InvoiceStatus.UNKNOWN:
                self.now[name] = replace(version, status=InvoiceStatus.OPEN)
        return [version for name, version in self.now.items() if name not in self.gone]

    def nets(self, revenue: str = "4000") -> dict[str, int]:
        """What the rules say of the last versions."""
        total: Counter[str] = Counter()
        for name, each in self.now.items():
            if name in self.gone or each.status not in (InvoiceStatus.OPEN, InvoiceStatus.PAID):
                continue
            assert each.issue_date is not None
            assert each.due_date is not None
            if each.issue_date >= CUTOVER:
                total.update({"1100": each.total, revenue: -each.subtotal, "1700": -each.tax})
            if each.status is InvoiceStatus.PAID and each.due_date >= CUTOVER:
                total.update({"1000": each.total, "1100": -each.total})
        return {account: net for account, net in total.items() if net}


@pytest.mark.parametrize("seed", range(8))
async def test_ten_thousand_histories_with_crashes_end_as_the_rules_say(seed: int, company: Company) -> None:
    histories = Histories(seed, 1_250)
    locked = CUTOVER - timedelta(days=30)
    for _ in range(6):
        stated, gone = histories.change(0.6)
        await company.state(*stated, gone=gone)
        for _ in range(histories.chance.randrange(4)):
            steps = histories.chance.randrange(2, histories.chance.choice([60, 500, 3_000]))
            await crash(company, Fuse(steps), histories.chance.choice([20, 90, 500]))
        if histories.chance.random() < 0.4:
            locked += timedelta(days=histories.chance.randrange(40))
            await company.lock(locked)
        if histories.chance.random() < 0.5:
            await company.look()
    await company.state(*histories.mend(), gone=[("invoice", name) for name in sorted(histories.gone)])
    await company.look()
    assert await company.nets() == histories.nets()
    assert await company.to_do() == []
    assert not any((await company.issues()).values())
    await company.use_rules(rules(revenue="4100"))
    await repost(company.database, company.ledger.ledger_id, [key(name) for name in histories.names])
    await crash(company, Fuse(histories.chance.randrange(2, 60)), 90)
    await company.look()
    assert await company.nets() == histories.nets("4100")


async def test_a_worker_that_dies_in_any_step_is_followed_by_one_that_goes_on(company: Company) -> None:
    """Every step of a change of three documents, one after the other."""
    steps = 0
    documents = [changed(INVOICE, external_id=name) for name in ("a", "b", "c")]
    while True:
        total = 1200 + steps
        await company.state(*[changed(each, subtotal=total - 190, total=total) for each in documents])
        if not await crash(company, Fuse(steps), 500):
            break
        other = [changed(each, subtotal=500, total=690) for each in documents[:1]]
        await company.state(*other)
        await company.look()
        assert (await company.nets())["1100"] == 690 + 2 * total
        assert await company.findings() == []
        steps += 1
    assert steps > 15


async def test_a_worker_that_lost_its_claim_unawares_posts_nothing_twice(company: Company) -> None:
    """Its connection is cut while it posts; another one takes the ledger, and meets what the first one still sends."""
    await company.state(INVOICE)
    first_sends, second_sends = asyncio.Event(), asyncio.Event()

    async def lose_claim() -> None:
        await company.owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        first_sends.set()
        await second_sends.wait()

    async def let_first_send() -> None:
        second_sends.set()
        await asyncio.wait([first])

    first_worker = fragile(company.database, company.poster, Fuse(), before=lose_claim)
    first = asyncio.create_task(first_worker.run_once(company.ledger.ledger_id))
    await first_sends.wait()
    await company.state(changed(INVOICE, subtotal=500, total=690))
    second = fragile(company.database, company.poster, Fuse(), before=let_first_send)
    await second.run_ledger(company.ledger.ledger_id)
    assert first.exception() is not None
    assert await company.nets() == {"1100": 690, "4000": -500, "1700": -190}
    assert len(await company.entries()) == 3


async def test_a_worker_that_waits_longer_than_a_transaction_may_posts_everything_once(company: Company) -> None:
    """The database ends an idle transaction, and its connection, while the entries wait to be posted."""
    await company.state(INVOICE)

    async def wait() -> None:
        async with asyncio.timeout(30):
            while await company.owner.fetchval(_CLAIMS):
                await asyncio.sleep(0.02)

    hasty: Any = Hasty(company.database)
    worker = fragile(hasty, company.poster, Fuse(), before=wait)
    with pytest.raises(Unavailable):
        await worker.run_once(company.ledger.ledger_id)
    assert len(await company.entries()) == 1
    assert await company.to_do() == ["in_1"]
    assert (await company.look()).taken == 1
    assert (len(await company.entries()), await company.to_do()) == (1, [])
    assert await worker.run_once(company.ledger.ledger_id) == Counts()


class Hasty:
    """A database that ends idle transactions after a moment."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Any]:
        async with self._database.writer() as connection:
            await connection.execute("SET idle_in_transaction_session_timeout = 100")
            yield connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


_CLAIMS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def test_workers_take_turns_at_a_ledger(company: Company) -> None:
    await company.state(INVOICE)
    reached, free = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await free.wait()

    slow = asyncio.create_task(
        fragile(company.database, company.poster, Fuse(), before=hold).run_once(company.ledger.ledger_id)
    )
    await reached.wait()
    assert (await company.look()).busy
    free.set()
    assert (await slow).entries == 1


async def test_processes_that_are_killed_and_come_again_post_everything_once(database_url: str, owner_url: str) -> None:
    """kill -9, two at a time, while the source goes on speaking."""
    async with opened(database_url, owner_url) as company:
        histories = Histories(7, 200)
        workers = [await _start(database_url) for _ in range(2)]
        try:
            for number in range(10):
                stated, gone = histories.change(0.5)
                await company.state(*stated, gone=gone)
                await _moved(company)
                workers[number % 2].kill()
                await workers[number % 2].wait()
                workers[number % 2] = await _start(database_url)
            await company.state(*histories.mend())
            try:
                async with asyncio.timeout(60):
                    while await company.to_do():
                        await asyncio.sleep(0.05)
            except TimeoutError:
                pytest.fail(await _what_waits(company))
        finally:
            for worker in workers:
                worker.kill()
                await worker.wait()
        assert await company.nets() == histories.nets()
        assert await company.findings() == []


async def _what_waits(company: Company) -> str:
    """Documents, issues, and what sessions are at: for whoever looks for the cause."""
    statements = (
        "SELECT external_id, attempts, not_before - now() FROM pipeline.todo",
        "SELECT code, subject, message FROM mirror.issue WHERE closed_at IS NULL",
        "SELECT state, wait_event, now() - xact_start, query FROM pg_stat_activity WHERE datname = current_database()",
    )
    return "\n".join([str([*map(tuple, await company.owner.fetch(statement))]) for statement in statements])


async def _start(url: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.sources.pipeline.worker_process", url, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def _moved(company: Company) -> None:
    """Returns once something was posted since."""
    before = len(await company.entries())
    async with asyncio.timeout(30):
        while len(await company.entries()) == before and await company.to_do():
            await asyncio.sleep(0.01)
