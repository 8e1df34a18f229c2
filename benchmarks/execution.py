"""Execution in one process: the same documents by the planned execution and by graphql-core, field by field."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from benchmarks.books import HOT_ACCOUNTS, LEDGER, POSTING_DAY, SEED, as_input, codes, copied, entry, grown
from benchmarks.chapter import Bench, Chapter
from benchmarks.contest import Contest, contest
from benchmarks.measuring import Samples, rate, take_turns
from benchmarks.questions import Question, questions
from benchmarks.tables import rate as rated
from benchmarks.tables import ratio, table
from gateway.config import Settings
from gateway.openbooks import books
from resolvers.context import Context
from sources.ledger.model import LedgerRef

ACCOUNTS = 200
CLIENTS = (16, 64)
POST = """mutation ($input: PostEntryInput!) {
  postEntry(input: $input) { __typename ... on EntryPosted { replayed entry { sequence } } } }"""
Execute = Callable[[str, Mapping[str, Any]], Awaitable[bytes]]
_POSTED = b'"replayed":false'


@dataclass(frozen=True, slots=True)
class Reading:
    """One question's results: its answer, and by contestant (planned, kept, other) statements and answers a second."""

    question: Question
    answer: bytes
    statements: Mapping[str, int]
    rates: Mapping[str, Samples]


@dataclass(frozen=True, slots=True)
class Posting:
    """Entries a second by contestant (planned, other), of so many `clients`, on two accounts (`hot`) or on all."""

    clients: int
    hot: bool
    rates: Mapping[str, Samples]


async def measure(bench: Bench) -> Chapter:
    """Questions and mutations on a copy of the grown ledger."""
    settings = Settings(data_dir=await copied(await grown(bench, bench.entries), bench.directory / "execution"))
    async with books(settings) as opened:
        executors = contest(opened, settings)
        readings = [await _read(executors, question, bench) for question in questions(bench.entries)]
        ledger = (await opened.directory.resolve([LEDGER]))[LEDGER]
        keys = itertools.count()
        cases = [(clients, hot) for clients in ((4,) if bench.quick else CLIENTS) for hot in (False, True)]
        posted = [await _post(executors, ledger, clients, hot, keys, bench) for clients, hot in cases]
    return Chapter("Execution in one process", _reading_text(readings) + _posting_text(posted))


async def _read(contest: Contest, question: Question, bench: Bench) -> Reading:
    bench.tell(f"in one process: {question.title}")
    answer = await equal_answer(contest, question)
    executes = {"planned": contest.planned, "kept": contest.kept, "other": contest.field_by_field}
    works = {name: partial(execute, question.query, question.variables) for name, execute in executes.items()}
    statements = {name: await statements_of(work) for name, work in works.items()}
    rates = await take_turns({name: partial(rate, work, bench.seconds) for name, work in works.items()}, bench.rounds)
    return Reading(question, answer, statements, rates)


async def equal_answer(contest: Contest, question: Question) -> bytes:
    """The answer, the same bytes by every contestant. Raises RuntimeError when it is not, or misses what it should hold."""
    planned = await contest.planned(question.query, question.variables)
    for other in (contest.field_by_field, contest.kept, contest.kept, contest.kept):
        answer = await other(question.query, question.variables)
        if planned != answer:
            raise RuntimeError(f"{question.title}: the answers differ:\n{planned[:2_000]!r}\n{answer[:2_000]!r}")
    said = orjson.loads(planned)
    if "errors" in said or len(question.facts(said["data"])) < question.least:
        raise RuntimeError(f"{question.title}: not the answer that is to be measured: {planned[:2_000]!r}")
    return planned


async def statements_of(work: Callable[[], Awaitable[object]]) -> int:
    """How many statements an answer takes. Raises RuntimeError when a later answer takes fewer: it was not executed."""
    counts = []
    for _ in range(3):
        with _counted() as count:
            await work()
            counts.append(count())
    if len(set(counts)) > 1:
        raise RuntimeError(f"the same answer took {counts} statements: something keeps answers that should not")
    return counts[0]


@contextmanager
def _counted() -> Iterator[Callable[[], int]]:
    """Counts the statements of all operations."""
    original, count = Context.fetch, 0

    async def fetch(self: Context, sql: str, *args: Any) -> Sequence[Any]:
        nonlocal count
        count += 1
        return await original(self, sql, *args)

    Context.fetch = fetch  # type: ignore[method-assign]
    try:
        yield lambda: count
    finally:
        Context.fetch = original  # type: ignore[method-assign]


async def _post(
    contest: Contest, ledger: LedgerRef, clients: int, hot: bool, keys: Iterator[int], bench: Bench
) -> Posting:
    bench.tell(f"in one process: postings of {clients} clients")
    chance, accounts = random.Random(SEED + hot), codes(ACCOUNTS)[: HOT_ACCOUNTS if hot else None]
    inputs = [as_input(entry(ledger, "", POSTING_DAY, chance, accounts)) for _ in range(512)]

    async def client(execute: Execute, until: float) -> int:
        for count in itertools.count(1):
            number = next(keys)
            given = {**inputs[number % len(inputs)], "idempotencyKey": f"local-{number}"}
            answer = await execute(POST, {"input": given})
            if _POSTED not in answer:
                raise RuntimeError(f"not posted: {answer!r}")
            if time.perf_counter() >= until:
                return count
        raise AssertionError

    async def turn(execute: Execute) -> float:
        begun = time.perf_counter()
        counts = await asyncio.gather(*(client(execute, begun + bench.seconds) for _ in range(clients)))
        return sum(counts) / (time.perf_counter() - begun)

    turns = {"planned": partial(turn, contest.planned), "other": partial(turn, contest.field_by_field)}
    return Posting(clients, hot, await take_turns(turns, bench.rounds))


def _reading_text(readings: Sequence[Reading]) -> str:
    rows = [
        (
            item.question.title,
            rated(item.rates["planned"]),
            rated(item.rates["other"]),
            ratio(item.rates["planned"].over(item.rates["other"])),
            rated(item.rates["kept"]),
            " / ".join(str(item.statements[name]) for name in ("planned", "other", "kept")),
            f"{len(item.answer):,}",
        )
        for item in readings
    ]
    header = (
        "document",
        "planned, answers/s",
        "field by field, answers/s",
        "ratio",
        "kept, answers/s",
        "statements",
        "bytes",
    )
    return f"""Planned execution (`Engine.prepare` and `run`: the plan is kept, variables are bound) beside graphql-core, field by field
(`gateway/reference.py`: parsed and executed each time, not validated, each field of each parent asks alone). Same
process, same database, one answer after the other. Before the timing, all gave the same bytes. `planned` executes every
time (`answer_cache_bytes` and `fragment_cache_bytes` 0); `kept` is the same document asked again while the ledger stays as
it is, with the default settings. Statements: planned / field by field / kept.

{table(header, rows)}
The last document has no N+1: its ratio is what the executor itself costs.
"""


def _posting_text(posted: Sequence[Posting]) -> str:
    rows = [
        (
            f"postEntry, {item.clients} clients, {'two hot' if item.hot else 'spread'} accounts",
            rated(item.rates["planned"]),
            rated(item.rates["other"]),
            ratio(item.rates["planned"].over(item.rates["other"])),
        )
        for item in posted
    ]
    header = ("mutation", "planned, entries/s", "field by field, entries/s", "ratio")
    return f"""
Posting: clients are tasks, and both sides post by group commit.

{table(header, rows)}"""
