"""Posting: what is stored, what is refused, and what every caller is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import asyncpg
import pytest

from sources.database.embedded import EmbeddedPostgres
from sources.database.pool import Database
from sources.errors import DatabaseUnavailable, Overloaded
from sources.ledger import administration
from sources.ledger.feed import CHANNEL
from sources.ledger.model import Conflict, Posted, Rejected
from sources.ledger.posting import PIECE, Poster
from sources.money import MAX_MINOR, format_minor
from tests.sources.ledger.books import EVERYONE, TODAY, Books, codes, create, credit, debit, entry, reversal, sequences

LARGEST = format_minor(MAX_MINOR, 2)


async def test_an_entry_is_stored_with_its_lines_and_balances(books: Books) -> None:
    lines = (
        debit("6000", "12.50", dimensions=(("team", "ops"), ("city", "Oslo")), tax_code="V25", description="rent"),
        credit("1100", "10", "EUR", "12.50"),
    )
    draft = entry(books.ledger, "rent", *lines, journal="PURCHASES", reference="R-1", document_date=date(2026, 3, 1))
    assert await books.post(draft) == [Posted(books.ledger, 1, False)]
    row = (await books.fetch("SELECT * FROM ledger.entry"))[0]
    assert (row["effective_date"], row["document_date"], row["journal"], row["reference"], row["origin"]) == (
        TODAY, date(2026, 3, 1), "PURCHASES", "R-1", ""
    )  # fmt: skip
    assert (row["line_count"], row["total"], row["reverses"], row["canonical_version"]) == (2, 1250, None, 1)
    stored = await books.fetch("SELECT * FROM ledger.line ORDER BY line_number")
    assert [(line["currency"], line["amount"], line["functional_amount"]) for line in stored] == [
        ("USD", 1250, 1250), ("EUR", -1000, -1250)
    ]  # fmt: skip
    assert [line["dimensions"] for line in stored] == ['{"city": "Oslo", "team": "ops"}', "{}"]
    assert await books.nets() == {("6000", "USD"): (1250, 1250), ("1100", "EUR"): (-1000, -1250)}


async def test_a_key_is_a_replay_for_ever_and_a_conflict_with_another_body(books: Books) -> None:
    """Also after the period was locked and the account closed; a refusal does not use the key up."""
    rent = entry(books.ledger, "rent", debit("6000", "1"), credit("1000", "1"))
    assert codes((await books.post(entry(books.ledger, "rent", debit("9", "1"), credit("1000", "1"))))[0]) == [
        "UNKNOWN_ACCOUNT"
    ]
    assert await books.post(rent) == [Posted(books.ledger, 1, False)]
    await administration.lock_periods(books.database, EVERYONE, ledger="acme-us", through=TODAY)
    await administration.update_account(books.database, EVERYONE, ledger="acme-us", code="6000", active=False)
    again = entry(books.ledger, "rent", debit("6000", "1.00", "USD", "1"), credit("1000", "1"), posted_by="another")
    other = entry(books.ledger, "rent", debit("6000", "2"), credit("1000", "2"))
    unreadable = entry(books.ledger, "rent", debit("6000", "x"), credit("1000", "2"))
    assert await books.post(rent, again, other, unreadable) == [
        Posted(books.ledger, 1, True),
        Posted(books.ledger, 1, True),
        Conflict(books.ledger, "rent", 1),
        Conflict(books.ledger, "rent", 1),
    ]


async def test_keys_of_sources_and_clients_do_not_meet(books: Books) -> None:
    drafts = [entry(books.ledger, "a", origin=origin) for origin in ("", "stripe", "xero", "stripe")]
    assert await books.post(*drafts) == [
        Posted(books.ledger, 1, False),
        Posted(books.ledger, 2, False),
        Posted(books.ledger, 3, False),
        Posted(books.ledger, 2, True),
    ]


async def test_all_reasons_come_at_once_with_their_paths(books: Books) -> None:
    """The rules' reasons and those that only the books can tell."""
    await administration.lock_periods(books.database, EVERYONE, ledger="acme-us", through=date(2026, 3, 31))
    await administration.update_account(books.database, EVERYONE, ledger="acme-us", code="2000", active=False)
    bad = entry(
        books.ledger,
        "bad",
        debit("nowhere", "1.005"),
        credit("2000", "-1"),
        debit("1100", "1", "USD"),
        debit("1000", "1", "EUR"),
        credit("1000", "1", "XXX"),
    )
    outcome = (await books.post(bad))[0]
    assert isinstance(outcome, Rejected)
    assert {(reason.code.value, reason.path) for reason in outcome.reasons} == {
        ("INVALID_AMOUNT", ("lines", "0", "debit")),
        ("INVALID_AMOUNT", ("lines", "1", "credit")),
        ("FUNCTIONAL_AMOUNT_REQUIRED", ("lines", "3", "functionalAmount")),
        ("UNKNOWN_CURRENCY", ("lines", "4", "currency")),
        ("UNKNOWN_ACCOUNT", ("lines", "0", "account")),
        ("INACTIVE_ACCOUNT", ("lines", "1", "account")),
        ("CURRENCY_MISMATCH", ("lines", "2", "currency")),
        ("PERIOD_LOCKED", ("effectiveDate",)),
    }
    assert await books.counts() == (0, 0)


async def test_a_bad_entry_does_not_fail_its_neighbours(books: Books) -> None:
    outcomes = await books.post(*[
        entry(books.ledger, str(number), debit("1000" if number % 3 else "nowhere", "1"), credit("4000", "1"))
        for number in range(30)
    ])  # fmt: skip
    assert [isinstance(outcome, Posted) for outcome in outcomes] == [bool(number % 3) for number in range(30)]
    assert sequences([outcome for outcome in outcomes if isinstance(outcome, Posted)]) == list(range(1, 21))


async def test_a_reversal_is_the_exact_mirror_once(books: Books) -> None:
    """On inactive accounts too; it can be reversed itself; never dated before the original."""
    lines = (
        debit("6000", "3", description="a", tax_code="V", dimensions=(("x", "y"),)),
        credit("1100", "2", "EUR", "3"),
    )
    await books.post(entry(books.ledger, "rent", *lines))
    await administration.update_account(books.database, EVERYONE, ledger="acme-us", code="6000", active=False)
    early = date(2026, 3, 14)
    first, again, second, before, unknown = await books.post(
        reversal(books.ledger, "undo", 1),
        reversal(books.ledger, "undo", 1),
        reversal(books.ledger, "undo twice", 1),
        reversal(books.ledger, "early", 1, early),
        reversal(books.ledger, "none", 7),
    )
    assert (first, again) == (Posted(books.ledger, 2, False), Posted(books.ledger, 2, True))
    assert codes(second) == ["ALREADY_REVERSED"]
    assert codes(before) == ["ALREADY_REVERSED", "INVALID_REVERSAL"]
    assert codes(unknown) == ["UNKNOWN_ENTRY"]
    mirrored = await books.fetch("SELECT * FROM ledger.line ORDER BY sequence, line_number")
    for original, mirror in zip(mirrored[:2], mirrored[2:], strict=True):
        assert (mirror["amount"], mirror["functional_amount"]) == (-original["amount"], -original["functional_amount"])
        same = ("line_number", "account_id", "currency", "description", "tax_code", "dimensions")
        assert [mirror[name] for name in same] == [original[name] for name in same]
    assert await books.nets() == {("6000", "USD"): (0, 0), ("1100", "EUR"): (0, 0)}
    assert await books.post(reversal(books.ledger, "redo", 2)) == [Posted(books.ledger, 3, False)]
    described = await books.fetch("SELECT description, reverses FROM ledger.entry ORDER BY sequence")
    assert [tuple(row) for row in described[1:]] == [("Reversal of entry 1", 1), ("Reversal of entry 2", 2)]


async def test_an_atomic_batch_is_posted_whole_or_not_at_all(books: Books) -> None:
    good, bad = entry(books.ledger, "good"), entry(books.ledger, "bad", debit("nowhere", "1"), credit("1000", "1"))
    outcomes = await books.post(good, bad, atomic=True)
    assert [codes(outcome) for outcome in outcomes] == [["BATCH_REJECTED"], ["UNKNOWN_ACCOUNT"]]
    unbalanced = entry(books.ledger, "bad", debit("1000", "1"), credit("1000", "2"))
    outcomes = await books.post(unbalanced, good, atomic=True)
    assert [codes(outcome) for outcome in outcomes] == [["UNBALANCED"], ["BATCH_REJECTED"]]
    assert await books.counts() == (0, 0)
    assert sequences(await books.post(good, entry(books.ledger, "better"), atomic=True)) == [1, 2]
    outcomes = await books.post(good, entry(books.ledger, "new"), bad, atomic=True)
    assert outcomes[0] == Posted(books.ledger, 1, True)
    assert [codes(outcome) for outcome in outcomes[1:]] == [["BATCH_REJECTED"], ["UNKNOWN_ACCOUNT"]]
    conflict = entry(books.ledger, "good", debit("1000", "5"), credit("4000", "5"))
    outcomes = await books.post(entry(books.ledger, "new"), conflict, atomic=True)
    assert (codes(outcomes[0]), outcomes[1]) == (["BATCH_REJECTED"], Conflict(books.ledger, "good", 1))


async def test_duplicates_within_an_atomic_batch(books: Books) -> None:
    """The same body is one entry; another body under the key, or a second reversal, refuses the batch."""
    one, other = entry(books.ledger, "k"), entry(books.ledger, "k", debit("1000", "7"), credit("4000", "7"))
    outcomes = await books.post(one, other, entry(books.ledger, "l"), atomic=True)
    assert [codes(outcome) for outcome in outcomes] == [["BATCH_REJECTED"], ["INVALID_KEY"], ["BATCH_REJECTED"]]
    assert await books.post(one, one, entry(books.ledger, "l"), one, atomic=True) == [
        Posted(books.ledger, 1, False),
        Posted(books.ledger, 1, True),
        Posted(books.ledger, 2, False),
        Posted(books.ledger, 1, True),
    ]
    outcomes = await books.post(reversal(books.ledger, "r", 1), reversal(books.ledger, "s", 1), atomic=True)
    assert [codes(outcome) for outcome in outcomes] == [["BATCH_REJECTED"], ["ALREADY_REVERSED"]]


async def test_an_atomic_batch_of_two_ledgers_is_a_mistake(books: Books) -> None:
    other = await create(books.database, "acme-eu", "EUR")
    with pytest.raises(ValueError, match="one ledger"):
        await books.post(entry(books.ledger, "a"), entry(other, "a"), atomic=True)


async def test_drafts_of_several_ledgers_keep_their_order_and_their_own_sequences(books: Books) -> None:
    other = await create(books.database, "acme-eu", "EUR")
    drafts = [entry((books.ledger, other)[number % 2], str(number)) for number in range(10)]
    outcomes = await books.post(*drafts)
    assert [(outcome.ledger.code, outcome.sequence) for outcome in outcomes if isinstance(outcome, Posted)] == [
        (draft.ledger.code, number // 2 + 1) for number, draft in enumerate(drafts)
    ]


async def test_concurrent_retries_of_a_key_post_once(books: Books) -> None:
    """20 keys, 20 callers each, all at once: one of each posted it, the others replay it."""
    drafts = [entry(books.ledger, f"key {number % 20}") for number in range(400)]
    outcomes = [outcome for answer in await asyncio.gather(*map(books.post, drafts)) for outcome in answer]
    posted = [outcome for outcome in outcomes if isinstance(outcome, Posted)]
    assert len(posted) == 400
    assert sum(not outcome.replayed for outcome in posted) == 20
    by_key = {(draft.idempotency_key, outcome.sequence) for draft, outcome in zip(drafts, posted, strict=True)}
    assert len(by_key) == 20
    assert await books.counts() == (20, 40)


async def test_sequences_are_dense_over_concurrent_posters(books: Books) -> None:
    """Two posters of two processes' kind, 300 entries: 1..300, times that never decrease, the head at the last hash."""
    rival = Poster(books.database, queue_limit=1000)
    await asyncio.gather(*[
        poster.post([entry(books.ledger, f"{name} {number}")])
        for name, poster in (("a", books.poster), ("b", rival))
        for number in range(150)
    ])  # fmt: skip
    await rival.close()
    rows = await books.fetch(
        "SELECT sequence, posted_at, hash, body_hash, idempotency_key FROM ledger.entry ORDER BY sequence"
    )
    assert [row["sequence"] for row in rows] == list(range(1, 301))
    assert [row["posted_at"] for row in rows] == sorted(row["posted_at"] for row in rows)
    assert len({row["hash"] for row in rows}) == 300
    head = (await books.fetch("SELECT * FROM ledger.head"))[0]
    assert (head["last_sequence"], head["last_hash"]) == (300, rows[-1]["hash"])


async def test_an_entry_of_ten_thousand_lines(books: Books) -> None:
    lines = [debit("1000", "1") for _ in range(5000)] + [credit("4000", "1") for _ in range(5000)]
    assert await books.post(entry(books.ledger, "long", *lines)) == [Posted(books.ledger, 1, False)]
    more = entry(books.ledger, "longer", *lines, debit("1000", "1"))
    assert codes((await books.post(more))[0]) == ["TOO_MANY_LINES"]
    assert await books.nets() == {("1000", "USD"): (500_000, 500_000), ("4000", "USD"): (-500_000, -500_000)}


@pytest.mark.parametrize("period", ["day", "month", "year"])
async def test_a_balance_that_would_overflow_refuses_its_entry_alone(
    books: Books, owner: asyncpg.Connection[Any], period: str
) -> None:
    """Its neighbours in the batch are posted; in an atomic batch nothing is; the replays stay replays."""
    await books.post(entry(books.ledger, "first"))
    await owner.execute(f"UPDATE ledger.balance_{period} SET debit = 9223372036854775000 WHERE debit > 0")
    whale = entry(books.ledger, "whale", debit("1000", LARGEST), credit("4000", LARGEST))
    drafts = [*[entry(books.ledger, f"after {n}", debit("6000", "1"), credit("2000", "1")) for n in range(5)], whale]
    outcomes = await books.post(*drafts, entry(books.ledger, "first"))
    assert sequences(outcomes[:5]) == [2, 3, 4, 5, 6]
    assert codes(outcomes[5]) == ["AMOUNT_OUT_OF_RANGE"]
    assert outcomes[6] == Posted(books.ledger, 1, True)
    outcomes = await books.post(entry(books.ledger, "first"), whale, atomic=True)
    assert (outcomes[0], codes(outcomes[1])) == (Posted(books.ledger, 1, True), ["AMOUNT_OUT_OF_RANGE"])
    assert (await books.counts())[0] == 6
    elsewhere = entry(books.ledger, "next year", *whale.lines, on=date(TODAY.year + 1, 1, 1))
    assert sequences(await books.post(elsewhere)) == [7], "what the reason says to do helps"


async def test_an_unexpected_error_is_raised_for_its_caller_alone(books: Books) -> None:
    """A subject that PostgreSQL cannot store is found by bisection; the others are posted."""
    odd = entry(books.ledger, "odd", posted_by="nul\x00")
    calls = [books.post(entry(books.ledger, str(number))) for number in range(9)]
    results = await asyncio.gather(*calls, books.post(odd), return_exceptions=True)
    assert sorted(sequences([answer[0] for answer in results[:9]])) == list(range(1, 10))  # type: ignore[index]
    assert isinstance(results[9], Exception)
    assert (await books.counts())[0] == 9


async def test_what_a_known_constraint_refuses_is_a_reason(books: Books, owner: asyncpg.Connection[Any]) -> None:
    """If the rules ever let something through, the second proof's word reaches the caller as data."""
    await owner.execute("ALTER TABLE ledger.entry ADD CONSTRAINT entry_date_range_more CHECK (description <> 'odd')")
    await owner.execute("ALTER TABLE ledger.entry DROP CONSTRAINT entry_date_range")
    await owner.execute("ALTER TABLE ledger.entry RENAME CONSTRAINT entry_date_range_more TO entry_date_range")
    outcomes = await books.post(entry(books.ledger, "a"), entry(books.ledger, "b", description="odd"))
    assert outcomes[0] == Posted(books.ledger, 1, False)
    assert codes(outcomes[1]) == ["INVALID_DATE"]


class Interrupted:
    """A database whose backend is terminated, or whose answer is lost, at chosen times."""

    def __init__(self, database: Database, owner: asyncpg.Connection[Any], *, times: int, after_commit: bool) -> None:
        self.database, self.owner, self.times, self.after_commit = database, owner, times, after_commit

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Any]:
        async with self.database.writer() as connection:
            yield _Cut(connection, self) if self.times else connection

    async def cut(self, connection: Any) -> None:
        self.times -= 1
        await self.owner.execute("SELECT pg_terminate_backend($1, 10000)", connection.get_server_pid())


class _Cut:
    def __init__(self, connection: Any, interrupted: Interrupted) -> None:
        self.connection, self.interrupted = connection, interrupted

    async def fetch(self, *args: Any) -> Any:
        if self.interrupted.after_commit:
            await self.connection.fetch(*args)
        await self.interrupted.cut(self.connection)
        return await self.connection.fetch(*args)


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_lost_connection_posts_exactly_once(
    books: Books, owner: asyncpg.Connection[Any], after_commit: bool
) -> None:
    """Whether the server was lost before or after it committed: the same keys are sent once more."""
    poster = Poster(Interrupted(books.database, owner, times=1, after_commit=after_commit), queue_limit=100)
    outcomes = await poster.post([entry(books.ledger, str(number)) for number in range(10)])
    assert sequences(outcomes) == list(range(1, 11))
    assert await books.counts() == (10, 20)
    await poster.close()


async def test_a_connection_lost_twice_is_unavailable_and_a_retry_posts(
    books: Books, owner: asyncpg.Connection[Any]
) -> None:
    poster = Poster(Interrupted(books.database, owner, times=2, after_commit=False), queue_limit=100)
    with pytest.raises(DatabaseUnavailable):
        await poster.post([entry(books.ledger, "a")])
    assert await poster.post([entry(books.ledger, "a")]) == [Posted(books.ledger, 1, False)]
    await poster.close()


async def test_a_backend_killed_in_the_midst_of_a_batch_posts_exactly_once(
    books: Books, owner: asyncpg.Connection[Any], postgres: EmbeddedPostgres, database: str
) -> None:
    """Terminated while it waits for the ledger's head, with the whole batch in its hands."""
    administrator = await asyncpg.connect(postgres.dsn(user="postgres", database=database))
    async with owner.transaction():
        await owner.execute("SELECT FROM ledger.head FOR UPDATE")
        posting = asyncio.create_task(books.post(*[entry(books.ledger, str(number)) for number in range(10)]))
        blocked = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
        async with asyncio.timeout(30):
            while (pid := await administrator.fetchval(blocked, owner.get_server_pid())) is None:
                await asyncio.sleep(0.01)
        assert await administrator.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
    assert sequences(await posting) == list(range(1, 11))
    assert await books.counts() == (10, 20)
    await administrator.close()


class Gated:
    """A database that lends connections when it is told to."""

    def __init__(self, database: Database) -> None:
        self.database, self.gate, self.asked = database, asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Any]:
        self.asked.set()
        await self.gate.wait()
        async with self.database.writer() as connection:
            yield connection


async def test_a_full_queue_is_overloaded_and_takes_nothing(books: Books) -> None:
    gated = Gated(books.database)
    poster = Poster(gated, queue_limit=3)
    waiting = [asyncio.create_task(poster.post([entry(books.ledger, str(number))])) for number in range(3)]
    await gated.asked.wait()
    with pytest.raises(Overloaded):
        await poster.post([entry(books.ledger, "one more")])
    gated.gate.set()
    assert sorted(sequences([outcome for answer in await asyncio.gather(*waiting) for outcome in answer])) == [1, 2, 3]
    assert sequences(await poster.post([entry(books.ledger, "later")])) == [4]
    await poster.close()


async def test_a_caller_that_goes_away_takes_nothing_back_and_close_drains(books: Books) -> None:
    gated = Gated(books.database)
    poster = Poster(gated, queue_limit=100)
    calls = [asyncio.create_task(poster.post([entry(books.ledger, str(number))])) for number in range(3)]
    await gated.asked.wait()
    calls[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    closing = asyncio.create_task(poster.close())
    gated.gate.set()
    await closing
    assert sequences([outcome for call in (calls[0], calls[2]) for outcome in call.result()]) == [1, 3]
    assert await books.counts() == (3, 6)
    with pytest.raises(Overloaded):
        await poster.post([entry(books.ledger, "late")])


async def test_large_calls_leave_places_to_small_ones(books: Books) -> None:
    """A queue that large calls fill still takes a single posting."""
    gated = Gated(books.database)
    poster = Poster(gated, queue_limit=80)
    large = [[entry(books.ledger, f"{call}/{number}") for number in range(20)] for call in range(4)]
    waiting = [asyncio.create_task(poster.post(drafts)) for drafts in large[:3]]
    await gated.asked.wait()
    with pytest.raises(Overloaded, match="nothing was posted"):
        await poster.post(large[3])
    waiting.append(asyncio.create_task(poster.post([entry(books.ledger, "single")])))
    gated.gate.set()
    answers = await asyncio.gather(*waiting)
    assert [len(sequences(outcomes)) for outcomes in answers] == [20, 20, 20, 1]
    await poster.close()


async def test_what_is_not_taken_in_time_is_refused_and_what_was_sent_is_not(books: Books) -> None:
    """The first entry is on its way to the database and stays; the second one waited too long behind it."""
    gated = Gated(books.database)
    poster = Poster(gated, queue_limit=100, wait_seconds=0.02)
    sent = asyncio.create_task(poster.post([entry(books.ledger, "sent")]))
    await gated.asked.wait()
    with pytest.raises(Overloaded, match="nothing was posted"):
        await poster.post([entry(books.ledger, "late")])
    with pytest.raises(Overloaded):
        await poster.post([entry(books.ledger, f"late {number}") for number in range(60)], atomic=True)
    gated.gate.set()
    assert await sent == [Posted(books.ledger, 1, False)]
    assert await poster.post([entry(books.ledger, "late")]) == [Posted(books.ledger, 2, False)]
    await poster.close()
    assert await books.counts() == (2, 4)


async def test_a_call_of_which_a_part_was_sent_is_told_that_it_may_be_posted(books: Books) -> None:
    """The same drafts again are posted once: the part that was sent is replayed."""
    gated = Gated(books.database)
    poster = Poster(gated, queue_limit=2_000, wait_seconds=0.02)
    drafts = [entry(books.ledger, str(number)) for number in range(PIECE + 100)]
    before = asyncio.create_task(poster.post(drafts))
    await gated.asked.wait()
    await asyncio.sleep(0.1)  # the rest is checked, queued and late meanwhile
    gated.gate.set()
    with pytest.raises(DatabaseUnavailable, match="100 of 228 entries waited too long"):
        await before
    again = await Poster(books.database, queue_limit=2_000).post(drafts)
    assert [outcome.replayed for outcome in again if isinstance(outcome, Posted)] == [True] * PIECE + [False] * 100
    await poster.close()


async def test_a_large_call_is_answered_in_its_order(books: Books) -> None:
    """It is checked piece by piece, with refusals and a repeated key among its entries."""
    drafts = [entry(books.ledger, str(number)) for number in range(3 * PIECE)]
    drafts[5] = entry(books.ledger, "bad", debit("1000", "1"), credit("4000", "2"))
    drafts[-1] = entry(books.ledger, "0")
    outcomes = await books.post(*drafts)
    assert codes(outcomes[5]) == ["UNBALANCED"]
    assert outcomes[-1] == Posted(books.ledger, 1, True)
    assert sequences([*outcomes[:5], *outcomes[6:-1]]) == list(range(1, 3 * PIECE - 1))
    atomic = await books.post(*[entry(books.ledger, f"{number}b") for number in range(3 * PIECE)], atomic=True)
    assert sequences(atomic) == list(range(3 * PIECE - 1, 6 * PIECE - 1))


async def test_a_posting_wakes_the_own_process_and_the_others(books: Books, owner: asyncpg.Connection[Any]) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    await owner.add_listener(CHANNEL, lambda *message: heard.put_nowait(message[3]))
    woken: list[int] = []
    poster = Poster(books.database, queue_limit=100, on_posted=woken.append)
    await poster.post([entry(books.ledger, "a")])
    assert woken == [books.ledger.ledger_id]
    assert await asyncio.wait_for(heard.get(), 10) == ""
    assert codes((await poster.post([entry(books.ledger, "b", debit("x", "1"), credit("y", "1"))]))[0])
    assert woken == [books.ledger.ledger_id]
    await poster.close()
