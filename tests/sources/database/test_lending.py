"""A lent connection sees its caller's ledgers and nobody else's, and every place comes back, whatever becomes of who had it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest

from sources.database.embedded import EmbeddedPostgres
from sources.database.pool import Database, Reading
from sources.errors import ConfigurationError, DatabaseUnavailable
from tests.sources.database.proxies import pooled

READERS = 3
VISIBLE = "SELECT array_agg(ledger_id ORDER BY ledger_id) FROM ledger.ledger"
SESSION = "SELECT pg_backend_pid()"
STATE = "SELECT state FROM pg_stat_activity WHERE pid = $1"


@pytest.fixture
async def server(postgres: EmbeddedPostgres, database: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A superuser's connection to the test's database, which has ledgers."""
    connection = await asyncpg.connect(postgres.dsn(user="postgres", database=database))
    for number in range(6):
        await connection.execute(
            "INSERT INTO ledger.ledger (code, name, functional_currency) VALUES ($1, $1, 'USD')", f"l{number}"
        )
    yield connection
    await connection.close()


@pytest.fixture
async def ids(server: asyncpg.Connection[Any]) -> list[int]:
    """Of the ledgers."""
    return [row[0] for row in await server.fetch("SELECT ledger_id FROM ledger.ledger ORDER BY ledger_id")]


@pytest.fixture(params=["own sessions", "behind a pooler"])
async def url(request: Any, database_url: str) -> AsyncIterator[str]:
    if request.param == "own sessions":
        yield database_url
    else:
        async with pooled(database_url) as dsn:
            yield dsn


@pytest.fixture
async def readers(url: str) -> AsyncIterator[Database]:
    async with Database(url, readers=READERS, patience=20) as opened:
        yield opened


async def test_everybody_sees_their_own_ledgers(readers: Database, ids: list[int]) -> None:
    """Many tasks with different claims share few connections, in snapshots and alone, and some of their statements fail."""
    seeds = range(24)
    await asyncio.gather(*[ask_repeatedly(readers, ids, random.Random(seed)) for seed in seeds])
    await all_places_work(readers, ids)


async def test_cancelled_readers_leave_every_place_usable(readers: Database, ids: list[int]) -> None:
    """Tasks that end at any await, or wait and give up, take no place with them and leave no claim behind."""
    dice = random.Random(7)
    for _ in range(12):
        tasks = [asyncio.create_task(ask_repeatedly(readers, ids, random.Random(dice.random()))) for _ in range(9)]
        while not all(task.done() for task in tasks):
            await asyncio.sleep(dice.choice([0, 0, 0.0003, 0.002]))
            dice.choice(tasks).cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert outcome is None or isinstance(outcome, asyncio.CancelledError), outcome
    await all_places_work(readers, ids)


async def ask_repeatedly(database: Database, ids: Sequence[int], dice: random.Random) -> None:
    for _ in range(25):
        claimed = dice.choice([None, [], dice.sample(ids, 1), sorted(dice.sample(ids, 3))])
        alone = dice.random() < 0.5
        reading = await database.read(claimed, alone=alone)
        failed: BaseException | None = None
        try:
            for _ in range(1 if alone else 2):
                if dice.random() < 0.1:
                    await reading.fetch("SELECT 1 / (SELECT 0)")
                await sees(reading, ids if claimed is None else claimed)
        except asyncpg.DivisionByZeroError:
            pass
        except BaseException as error:
            failed = error
            raise
        finally:
            await reading.end(failed)


async def sees(reading: Reading, expected: Sequence[int]) -> None:
    assert ((await reading.fetch(VISIBLE))[0][0] or []) == list(expected)


async def all_places_work(database: Database, ids: Sequence[int]) -> None:
    """All of them at once, each within its claim and on a session of its own."""
    async with asyncio.timeout(10), contextlib.AsyncExitStack() as stack:
        sessions = set()
        for number in range(READERS):
            reading = await database.read([ids[number]])
            stack.push_async_callback(reading.end)
            await sees(reading, [ids[number]])
            sessions.add((await reading.fetch(SESSION))[0][0])
        assert len(sessions) == READERS


async def test_a_place_passes_over_who_just_gave_up(database_url: str, ids: list[int]) -> None:
    """A reader is cancelled while it waits, and before it runs again the connection comes back: the next in line has it."""
    async with Database(database_url, readers=1, patience=5) as database:
        first = await database.read(None, alone=True)
        given_up = asyncio.create_task(database.read(ids[:1]))
        patient = asyncio.create_task(database.read(ids[1:2]))
        await asyncio.sleep(0)
        given_up.cancel()
        await first.end()
        reading = await patient
        await sees(reading, ids[1:2])
        await reading.end()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        last = await database.read(None)
        await last.end()


async def test_a_place_that_was_given_to_who_then_gave_up_goes_on(database_url: str, ids: list[int]) -> None:
    """A reader is cancelled after its turn came and before it runs: the next in line has the connection."""
    async with Database(database_url, readers=1, patience=5) as database:
        first = await database.read(None, alone=True)
        given_up = asyncio.create_task(database.read(ids[:1]))
        patient = asyncio.create_task(database.read(ids[1:2]))
        await asyncio.sleep(0)
        await first.end()
        given_up.cancel()
        reading = await patient
        await sees(reading, ids[1:2])
        await reading.end()
        with pytest.raises(asyncio.CancelledError):
            await given_up


async def test_who_waits_too_long_is_told(url: str, ids: list[int]) -> None:
    """Waiting ends in DatabaseUnavailable; the place is there for whoever asks when it is free."""
    async with Database(url, readers=1, patience=0.1) as database:
        first = await database.read(None)
        outcomes = await asyncio.gather(*[database.read(ids[:1]) for _ in range(3)], return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DatabaseUnavailable] * 3
        await first.end()
        reading = await database.read(ids[:1])
        await sees(reading, ids[:1])
        await reading.end()


@pytest.mark.parametrize("alone", [False, True])
async def test_a_lost_session_is_replaced(
    readers: Database, server: asyncpg.Connection[Any], ids: list[int], alone: bool
) -> None:
    """Its server ends while it is idle, while it is lent before a statement and within one, and while others wait."""
    idle = await readers.read(ids[:1], alone=alone)
    session = (await idle.fetch(SESSION))[0][0]
    await idle.end()
    await end_session(server, session)
    await read_with_patience(readers, ids[:1], alone)

    lent = [await readers.read(ids[:1]) for _ in range(READERS)]
    waiting = [asyncio.create_task(read_with_patience(readers, [ledger], alone)) for ledger in ids]
    await asyncio.sleep(0)
    await end_session(server, (await lent[0].fetch(SESSION))[0][0])
    with pytest.raises(DatabaseUnavailable):
        await lent[0].fetch(VISIBLE)
    sleeping = asyncio.create_task(lent[1].fetch("SELECT pg_sleep(60)"))
    await end_session(server, await asleep(server))
    with pytest.raises(DatabaseUnavailable):
        await sleeping
    await end_session(server, (await lent[2].fetch(SESSION))[0][0])
    for reading in lent:
        with contextlib.suppress(DatabaseUnavailable):
            await reading.end()
    await asyncio.gather(*waiting)
    await all_places_work(readers, ids)


async def read_with_patience(database: Database, claimed: Sequence[int], alone: bool) -> None:
    """A session whose end has not been heard of yet fails once."""
    for _ in range(READERS + 1):
        try:
            reading = await database.read(claimed, alone=alone)
        except DatabaseUnavailable:
            continue
        try:
            return await sees(reading, claimed)
        except DatabaseUnavailable:
            continue
        finally:
            await reading.end()
    raise AssertionError("no session was replaced")


async def end_session(server: asyncpg.Connection[Any], session: int) -> None:
    await server.execute("SELECT pg_terminate_backend($1, 10000)", session)


async def asleep(server: asyncpg.Connection[Any]) -> int:
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    while (session := await server.fetchval(asked)) is None:
        await asyncio.sleep(0.01)
    return int(session)


async def test_closing_waits_for_who_reads(url: str, ids: list[int]) -> None:
    """What is lent goes on to its end, who waits is told, and then everything is closed."""
    async with asyncio.timeout(20):
        database = Database(url, readers=2)
        await database.open()
        for reading in [await database.read(ids[:1]) for _ in range(2)]:
            await reading.end()
        lent = [await database.read(None), await database.read(None, alone=True)]
        waiting = asyncio.create_task(database.read(ids[:1]))
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        for reading in lent:
            await sees(reading, ids)
            await reading.end()
        with pytest.raises(DatabaseUnavailable):
            await waiting
        await closing
        with pytest.raises(DatabaseUnavailable):
            await database.read(None)


async def test_no_transaction_stays_open(readers: Database, server: asyncpg.Connection[Any], ids: list[int]) -> None:
    """After a snapshot, after a failed one, and after one whose statement was cancelled."""
    sessions: set[int] = set()
    for sql, expected in [
        (VISIBLE, None),
        ("SELECT 1 / (SELECT 0)", asyncpg.DivisionByZeroError),
        ("SELECT pg_sleep(60)", TimeoutError),
    ]:
        reading = await readers.read(ids)
        sessions.add((await reading.fetch(SESSION))[0][0])
        with pytest.raises(expected) if expected else contextlib.nullcontext():
            async with asyncio.timeout(0.2 if expected is TimeoutError else None):
                await reading.fetch(sql)
        await reading.end()
    for session in sessions:
        assert await server.fetchval(STATE, session) in ("idle", None)


async def test_a_reader_that_met_an_error_of_its_own_leaves_nothing(
    readers: Database, server: asyncpg.Connection[Any], ids: list[int]
) -> None:
    sessions = []

    async def read() -> None:
        async with readers.snapshot(ids[:1]) as connection:
            sessions.append(await connection.fetchval(SESSION))
            raise KeyError

    with pytest.raises(KeyError):
        await read()
    assert await server.fetchval(STATE, sessions[0]) in ("idle", None)
    await all_places_work(readers, ids)


async def test_a_statement_alone_has_no_transaction_around_it(
    database_url: str, server: asyncpg.Connection[Any], ids: list[int]
) -> None:
    """It holds no snapshot back on the server once it is answered, and can write as little as in a snapshot."""
    async with Database(database_url, readers=1) as database:
        reading = await database.read(ids[:1], alone=True)
        session = (await reading.fetch(SESSION))[0][0]
        assert await server.fetchval(STATE, session) == "idle"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reading.fetch("CREATE TABLE anything ()")
        await reading.end()


async def test_a_statement_alone_is_one_snapshot(url: str, server: asyncpg.Connection[Any], ids: list[int]) -> None:
    """What is committed while it runs is not in its second half, which reads the same table after a pause."""
    async with Database(url, readers=1) as database:
        reading = await database.read(None, alone=True)
        twice = """WITH before AS MATERIALIZED (SELECT count(*) AS n FROM ledger.ledger),
            pause AS MATERIALIZED (SELECT n, pg_sleep(0.5) FROM before)
            SELECT p.n, (SELECT count(*) FROM ledger.ledger WHERE p.n IS NOT NULL) FROM pause p"""
        running = asyncio.create_task(reading.fetch(twice))
        await asleep(server)
        await server.execute("INSERT INTO ledger.ledger (code, name, functional_currency) VALUES ('new', 'New', 'USD')")
        assert tuple((await running)[0]) == (len(ids), len(ids))
        await reading.end()


async def test_behind_a_pooler_nothing_is_left_in_a_session(database_url: str, ids: list[int]) -> None:
    """The next client of the session sees no ledger, and settings as they were."""
    asked = "SELECT current_setting('ledgergraph.ledgers', true), current_setting('default_transaction_read_only')"
    async with pooled(database_url) as dsn, Database(dsn, readers=1) as database:
        for alone in (False, True):
            reading = await database.read(None, alone=alone)
            await sees(reading, ids)
            connection = reading.connection
            await connection.execute("COMMIT")
            assert tuple(await connection.fetchrow(asked) or ()) in ((None, "off"), ("", "off"))
            assert await connection.fetchval(VISIBLE) is None
            await reading.end()


@pytest.mark.parametrize("text", ["1'; SET ledgergraph.ledgers = '*", "\0", "*", "1,"])
async def test_a_claim_is_made_of_numbers(database_url: str, text: str) -> None:
    """Nothing else reaches a statement's text, and what is refused takes no place."""
    async with Database(database_url, readers=1, patience=1) as database:
        for _ in range(2):
            with pytest.raises((ValueError, TypeError)):
                await database.read([text])  # type: ignore[list-item]
            await (await database.read([])).end()


async def test_a_login_that_claims_do_not_bind_serves_nobody(owner_url: str, database_url: str, ids: list[int]) -> None:
    """A pooler that ignores the role that is asked for gives the login's own: the owner's is refused, the application's serves."""
    async with pooled(owner_url, "role") as dsn:
        with pytest.raises(ConfigurationError):
            await Database(dsn).open()
    async with pooled(database_url, "role") as dsn, Database(dsn) as database:
        reading = await database.read(ids[:1])
        await sees(reading, ids[:1])
        await reading.end()
