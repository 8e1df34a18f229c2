"""The real ledger against a model in plain Python: random postings, refusals, replays, reversals, locks and changes."""

from __future__ import annotations

import asyncio
import random
import uuid
from contextlib import AsyncExitStack
from datetime import date, timedelta
from typing import Any

import asyncpg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from sources.database.pool import Database
from sources.ledger import administration
from sources.ledger.model import Conflict, Outcome, Posted, Rejected
from sources.ledger.posting import Poster
from sources.ledger.verify import verify
from tests.sources.ledger.books import CHART, EVERYONE, Books, create
from tests.sources.ledger.model_ledger import Answer, Line, ModelLedger, Wish

START = date(2026, 1, 1)
ACCOUNTS = st.sampled_from([*["1000", "2000", "4000", "6000", "7000"] * 4, "1100", "nowhere"])
DAYS = st.one_of(st.integers(0, 60), st.integers(-400, 800)).map(lambda days: START + timedelta(days=days))
KEYS = [f"key {number}" for number in range(60)]
AMOUNTS = st.one_of(st.integers(1, 500), st.sampled_from([1, 10**15]))


def told(outcome: Outcome) -> Answer:
    """An outcome in the model's words."""
    match outcome:
        case Posted(_, sequence, replayed):
            return ("replayed" if replayed else "posted", sequence)
        case Conflict(_, _, sequence):
            return ("conflict", sequence)
        case Rejected(reasons):
            return ("rejected", frozenset(reason.code.value for reason in reasons))


@st.composite
def entries(draw: st.DrawFn) -> tuple[Line, ...]:
    """Mostly balanced: pairs in one currency, pairs across two, and a revaluation; sometimes spoiled."""
    pairs = []
    for _ in range(draw(st.integers(1, 3))):
        one, other, amount = draw(ACCOUNTS), draw(ACCOUNTS), draw(AMOUNTS)
        kind = draw(st.integers(0, 9))
        if kind <= 4:
            pairs += [Line(one, amount), Line(other, -amount)]
        elif kind == 5:
            pairs += [Line(one, amount, "EUR", amount + 1), Line(other, -amount, "EUR", -amount - 1)]
        elif kind == 6:
            pairs += [Line(one, amount, "JPY", amount), Line(other, -amount)]
        elif kind == 7:
            pairs += [Line(one, 0, "EUR", amount), Line(other, -amount)]
        elif kind == 8:
            pairs += [Line(one, amount), Line(other, -draw(AMOUNTS))]
        else:
            pairs += [Line(one, amount, spoiled=True), Line(other, -amount)]
    return tuple(line for line in pairs if abs(line.functional) <= 10**15)


WISHES = st.one_of(
    st.builds(Wish, st.sampled_from(KEYS), DAYS, entries(), origin=st.sampled_from(["", "", "stripe"])),
    st.builds(Wish, st.sampled_from(KEYS), DAYS, reverses=st.integers(1, 40)),
    st.builds(Wish, st.integers(0, 10**9).map(str), DAYS, entries()),
    st.builds(Wish, st.integers(0, 10**9).map(str), DAYS, entries()),
).filter(lambda wish: wish.reverses is not None or len(wish.lines) >= 2)


def busy_day(seed: int, known: int) -> list[Wish]:
    """Forty wishes as a business has them: most are good, some keys come again, some entries are reversed."""
    chance = random.Random(seed)

    def one() -> Wish:
        key, on = f"day {chance.randrange(400)}", START + timedelta(days=21 + chance.randrange(40))
        if known and chance.random() < 0.1:
            return Wish(f"undo {chance.randrange(100)}", on, reverses=chance.randint(1, known))
        amount, accounts = chance.randrange(1, 10**6), chance.sample(["1000", "2000", "4000", "6000", "7000"], 2)
        if chance.random() < 0.3:
            worth = chance.randrange(1, 10**6)
            return Wish(key, on, (Line("1100", amount, "EUR", worth), Line(accounts[0], -worth)))
        wrong = 1 if chance.random() < 0.05 else 0
        return Wish(key, on, (Line(accounts[0], amount), Line(accounts[1], -amount - wrong)))

    return [one() for _ in range(40)]


class LedgerMachine(RuleBasedStateMachine):
    """One random life of a ledger; `url`, `runner` and `stack` are the test's."""

    url: str
    runner: asyncio.Runner
    database: Database
    posted = 0

    def __init__(self) -> None:
        super().__init__()
        self.model = ModelLedger()
        self.code = f"l{uuid.uuid4().hex}"
        self.ledger = self.run(create(self.database, self.code))
        self.poster = Poster(self.database, queue_limit=10_000)
        self.books = Books(self.database, self.poster, self.ledger)
        self.wishes: list[Wish] = []

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def compare(self, wishes: list[Wish], *, atomic: bool = False) -> None:
        expected = self.model.post_atomic(wishes) if atomic else self.model.post(wishes)
        drafts: list[Any] = [wish.draft(self.ledger) for wish in wishes]
        outcomes = self.run(self.poster.post(drafts, atomic=atomic))
        assert [told(outcome) for outcome in outcomes] == expected
        type(self).posted += sum(kind == "posted" for kind, _ in expected)
        self.wishes += wishes

    @rule(wishes=st.lists(WISHES, min_size=1, max_size=8))
    def post(self, wishes: list[Wish]) -> None:
        self.compare(wishes)

    @rule(seed=st.integers(0, 10**9))
    def post_a_busy_day(self, seed: int) -> None:
        self.compare(busy_day(seed, len(self.model.entries)))

    @rule(
        wishes=st.lists(
            WISHES, min_size=1, max_size=4, unique_by=(lambda w: (w.origin, w.key), lambda w: w.reverses or w)
        )
    )
    def post_atomic(self, wishes: list[Wish]) -> None:
        self.compare(wishes, atomic=True)

    @rule(data=st.data(), count=st.integers(1, 5))
    def replay(self, data: st.DataObject, count: int) -> None:
        if self.wishes:
            self.compare([data.draw(st.sampled_from(self.wishes)) for _ in range(count)])

    @rule(through=st.sampled_from([None, None, START, START + timedelta(days=20)]))
    def lock(self, through: date | None) -> None:
        self.run(administration.lock_periods(self.database, EVERYONE, ledger=self.code, through=through))
        self.model.locked = through

    @rule(account=st.sampled_from(sorted(CHART)), active=st.sampled_from([True, True, False]))
    def change_account(self, account: str, active: bool) -> None:
        changing = administration.update_account(
            self.database, EVERYONE, ledger=self.code, code=account, active=active, name=f"{account} {active}"
        )
        self.run(changing)
        self.model.active[account] = active

    @invariant()
    def balances_agree(self) -> None:
        assert self.run(self.books.nets()) == self.model.nets()

    def teardown(self) -> None:
        assert self.run(self.books.counts()) == (len(self.model.entries), sum(map(len, self.model.lines)))
        assert self.run(self.findings()) == []
        self.run(self.poster.close())

    async def findings(self) -> list[Any]:
        async with self.database.snapshot(None) as connection:
            return [finding async for finding in verify(connection, self.code)]


def test_random_lives_of_ledgers_are_as_the_model_says(database_url: str) -> None:
    """Some thousands of postings; after each step the balances agree, at the end every hash and sum does."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        database = runner.run(stack.enter_async_context(Database(database_url)))
        machine = type("Machine", (LedgerMachine,), {"runner": runner, "database": database})
        chosen = settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        run_state_machine_as_test(machine, settings=chosen)
        runner.run(stack.aclose())
    assert machine.posted > 1000  # type: ignore[attr-defined]


async def test_concurrent_clients_of_two_processes_agree_with_the_model_afterwards(
    books: Books, owner: asyncpg.Connection[Any]
) -> None:
    """40 clients on two posters, few keys, bodies that differ, reversals: each is told the truth about the final books."""
    chance = random.Random(7)
    rival = Poster(books.database, queue_limit=10_000)

    def wish() -> Wish:
        if chance.random() < 0.15:
            return Wish(f"r{chance.randrange(60)}", START + timedelta(days=90), reverses=chance.randrange(1, 120))
        amount = chance.randrange(1, 4)
        pair = (Line(chance.choice(["1000", "2000"]), amount), Line(chance.choice(["4000", "nowhere"]), -amount))
        return Wish(f"k{chance.randrange(250)}", START, pair)

    async def client(poster: Poster) -> list[tuple[Wish, Outcome]]:
        made = [[wish() for _ in range(chance.randrange(1, 4))] for _ in range(20)]
        drafts: list[list[Any]] = [[each.draft(books.ledger) for each in wishes] for wishes in made]
        answers = [await poster.post(each) for each in drafts]
        return [
            pair for wishes, outcomes in zip(made, answers, strict=True) for pair in zip(wishes, outcomes, strict=True)
        ]

    told_to = [
        pair
        for told in await asyncio.gather(*[client((books.poster, rival)[n % 2]) for n in range(40)])
        for pair in told
    ]
    await rival.close()
    posted = {
        outcome.sequence: wish for wish, outcome in told_to if isinstance(outcome, Posted) and not outcome.replayed
    }
    assert sorted(posted) == list(range(1, len(posted) + 1))
    by_key = {wish.key: (wish, sequence) for sequence, wish in posted.items()}
    assert len(by_key) == len(posted)
    for wish, outcome in told_to:
        match outcome:
            case Posted(_, sequence, _):
                assert by_key[wish.key] == (wish, sequence)
            case Conflict(_, key, sequence):
                assert by_key[key][1] == sequence
                assert by_key[key][0] != wish
            case Rejected(reasons):
                words = {reason.code.value for reason in reasons}
                assert words <= {"UNKNOWN_ACCOUNT", "UNKNOWN_ENTRY", "ALREADY_REVERSED"}
    model = ModelLedger()
    assert [model.post([posted[sequence]])[0] for sequence in sorted(posted)] == [("posted", n) for n in sorted(posted)]
    assert await books.nets() == model.nets()
    assert [finding async for finding in verify(owner, "acme-us")] == []
