"""Reading: the same documents by the planned execution and by graphql-core field by field, then through HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from benchmarks.books import LEDGER, PAST_DAY, codes
from benchmarks.contest import Contest
from benchmarks.load import Result
from benchmarks.measuring import Samples, rate, take_turns
from benchmarks.processes import Generator
from resolvers.context import Context

CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Document:
    """`least`: how many times `mark` stands in the answer at least, so that an empty one is noticed."""

    title: str
    query: str
    variables: Mapping[str, Any]
    mark: str
    least: int

    def body(self) -> str:
        return orjson.dumps({"query": self.query, "variables": self.variables}).decode()


def documents(accounts: int, entries: int) -> list[Document]:
    return [
        Document(
            "50 newest entries with lines and accounts",
            """query ($ledger: String!, $first: Int) {
              entries(ledger: $ledger, first: $first, orderBy: SEQUENCE_DESC) {
                nodes { id sequence effectiveDate postedAt description reference total
                        lines { lineNumber debit credit currency description
                                account { id code name type } } }
                pageInfo { hasNextPage endCursor } } }""",
            {"ledger": LEDGER, "first": 50},
            '"lineNumber":1,',
            min(50, entries),
        ),
        Document(
            "one account with balances",
            """query ($ledger: String!, $code: String!, $asOf: Date) {
              account(ledger: $ledger, code: $code) {
                id code name type normalSide active
                balances(asOf: $asOf) { currency debit credit net functionalNet }
                functionalBalance(asOf: $asOf) } }""",
            {"ledger": LEDGER, "code": codes(accounts)[accounts // 2], "asOf": PAST_DAY.isoformat()},
            '"currency":',
            1,
        ),
        Document(
            f"trial balance of {accounts} accounts at a past date",
            """query ($ledger: String!, $to: Date) {
              trialBalance(ledger: $ledger, to: $to) {
                sequence totalDebit totalCredit
                rows { account { id code name type } opening debit credit closing } } }""",
            {"ledger": LEDGER, "to": PAST_DAY.isoformat()},
            '"closing":',
            accounts * 9 // 10,
        ),
        Document(
            "1,000 entries, flat",
            """query ($ledger: String!, $first: Int) {
              entries(ledger: $ledger, first: $first, orderBy: SEQUENCE_DESC) {
                nodes { id sequence effectiveDate postedAt postedBy journal description reference total } } }""",
            {"ledger": LEDGER, "first": 1_000},
            '"sequence":',
            min(1_000, entries),
        ),
    ]


@dataclass(frozen=True, slots=True)
class Reading:
    """One document's results: its answer, and by contestant (planned, kept, other) statements and answers a second."""

    document: Document
    answer: bytes
    statements: dict[str, int]
    rates: dict[str, Samples]


async def equal_answer(contest: Contest, document: Document) -> bytes:
    """The answer, the same bytes by every contestant. Raises RuntimeError when it is not, or misses what it should hold."""
    planned = await contest.planned(document.query, document.variables)
    for other in (contest.field_by_field, contest.kept, contest.kept, contest.kept):
        answer = await other(document.query, document.variables)
        if planned != answer:
            raise RuntimeError(f"{document.title}: the answers differ:\n{planned[:2_000]!r}\n{answer[:2_000]!r}")
    if b'"errors"' in planned or planned.count(document.mark.encode()) < document.least:
        raise RuntimeError(f"{document.title}: not the answer that is to be measured: {planned[:2_000]!r}")
    return planned


async def measure(
    contest: Contest, chosen: Sequence[Document], rounds: int, seconds: float, tell: Callable[[str], None]
) -> list[Reading]:
    """In this process, one answer after the other."""
    found = []
    for document in chosen:
        tell(f"in one process: {document.title}")
        answer = await equal_answer(contest, document)
        works = {
            name: partial(execute, document.query, document.variables)
            for name, execute in (
                ("planned", contest.planned),
                ("kept", contest.kept),
                ("other", contest.field_by_field),
            )
        }
        statements = {name: await statements_of(work) for name, work in works.items()}
        rates = await take_turns({name: partial(rate, work, seconds) for name, work in works.items()}, rounds)
        found.append(Reading(document, answer, statements, rates))
    return found


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


@dataclass(frozen=True, slots=True)
class Served:
    """One document through HTTP, by gateway: answers a second, and the last round's times."""

    document: Document
    rates: dict[str, Samples]
    last: dict[str, Result]


async def measure_http(
    load: Generator,
    ports: Mapping[str, int],
    readings: Sequence[Reading],
    rounds: int,
    seconds: float,
    tell: Callable[[str], None],
) -> list[Served]:
    """CLIENTS at a time at each gateway's port; every answer has to be the one that every contestant gave."""
    found = []
    for reading in readings:
        tell(f"through HTTP: {reading.document.title}")
        last: dict[str, Result] = {}
        turns = {
            name: partial(_turn, load, port, reading, seconds, partial(last.__setitem__, name))
            for name, port in ports.items()
        }
        found.append(Served(reading.document, await take_turns(turns, rounds), last))
    return found


async def _turn(load: Generator, port: int, reading: Reading, seconds: float, note: Callable[[Result], None]) -> float:
    bodies, expected = [reading.document.body()], reading.answer.decode()
    result = await load.run(port, clients=CLIENTS, seconds=seconds, bodies=bodies, expected=expected)
    note(result)
    return result.answers / result.seconds
