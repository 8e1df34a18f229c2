"""Posting through HTTP: group commit beside a transaction for each mutation, a ledger that grows from empty under one
process, and single postings beside large ones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from benchmarks import posting_text
from benchmarks.books import HOT_ACCOUNTS, LEDGER, POSTING_DAY, SEED, codes, copied, grown, seed
from benchmarks.chapter import Bench, Chapter
from benchmarks.contest import token
from benchmarks.load import KEY, Result
from benchmarks.measuring import Samples, take_turns
from benchmarks.posting_text import OTHER, OURS
from benchmarks.processes import Generator, baseline, gateway, generator, serving
from gateway.config import Settings
from gateway.openbooks import books

ACCOUNTS = 200
MARK = '"replayed":false'
ANSWER = """__typename ... on EntryPosted { replayed entry { sequence } }
  ... on EntryRejected { reasons { code message path } } ... on IdempotencyConflict { message }"""
SINGLE = f"mutation ($input: PostEntryInput!) {{ postEntry(input: $input) {{ {ANSWER} }} }}"
MANY = f"mutation ($input: PostEntriesInput!) {{ postEntries(input: $input) {{ results {{ {ANSWER} }} }} }}"
TOTALS = """query ($ledger: String!) { trialBalance(ledger: $ledger) { sequence totalDebit totalCredit } }"""

GROWN = 500_000
MARKS = 10
PROBING = 16
LARGE = 1_000
LARGE_CLIENTS = 8
SINGLE_CLIENTS = 4


@dataclass(frozen=True, slots=True)
class Case:
    """So many `clients`, each of whose mutations posts so many `entries`: 1 by postEntry, more by postEntries. `rates`: entries a
    second by (contestant, on two hot accounts or not); `last`: their last rounds."""

    clients: int
    entries: int
    rates: dict[tuple[str, bool], Samples] = field(default_factory=dict)
    last: dict[tuple[str, bool], Result] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mark:
    """What the ledger's next part cost: `rate` in entries a second until it had `entries`, and single postings at that size."""

    entries: int
    rate: float
    single: Result


@dataclass(slots=True)
class Load:
    """The load generator, and how many entries were acknowledged to it."""

    generator: Generator
    acknowledged: int = 0

    async def post(self, port: int, clients: int, entries: int, seconds: float, bodies: Sequence[str]) -> Result:
        result = await self.generator.run(
            port, clients=clients, seconds=seconds, bodies=list(bodies), marker=MARK, times=entries
        )
        self.acknowledged += result.all_answers * entries
        return result


async def measure(bench: Bench) -> Chapter:
    """Raises RuntimeError when a ledger holds another number of entries than were acknowledged, or does not balance."""
    settings = Settings(data_dir=await copied(await grown(bench, bench.entries), bench.directory / "posting"))
    shown = token(settings)
    async with books(settings), generator(shown) as first, generator(shown) as second:
        log = bench.directory
        async with serving(gateway(settings.data_dir), log / "ours.log") as ours:
            load, large = Load(first), Load(second)
            async with serving(baseline(settings.data_dir), log / "other.log") as other:
                cases = [await _contest(case, load, {OURS: ours, OTHER: other}, bench) for case in _cases(bench)]
            beside = await _beside(load, large, ours, bench)
            posted = load.acknowledged + large.acknowledged
            await _check(first, ours, bench.entries + posted)
    marks = await _grow(bench)
    return Chapter("Posting", posting_text.text(cases, marks, beside, posted), posting_text.numbers(cases, marks))


def _cases(bench: Bench) -> list[Case]:
    clients, sizes = ((4,), (1, 10)) if bench.quick else ((16, 64), (1, 100))
    return [Case(many, size) for size in sizes for many in clients]


async def _contest(case: Case, load: Load, ports: Mapping[str, int], bench: Bench) -> Case:
    """Four turns a round: both contestants, on spread and on two hot accounts."""

    async def turn(name: str, hot: bool, bodies: Sequence[str]) -> float:
        result = await load.post(ports[name], case.clients, case.entries, bench.seconds, bodies)
        case.last[name, hot] = result
        return result.answers * case.entries / result.seconds

    bench.tell(f"posting: {posting_text.describe(case)}")
    requests = {hot: bodies_of(case.entries, hot=hot) for hot in (False, True)}
    turns = {f"{name}{hot}": partial(turn, name, hot, requests[hot]) for hot in (False, True) for name in (OURS, OTHER)}
    rates = await take_turns(turns, bench.rounds)
    case.rates.update({(name, hot): rates[f"{name}{hot}"] for name in ports for hot in (False, True)})
    return case


async def _beside(load: Load, large: Load, port: int, bench: Bench) -> tuple[Result, Result]:
    """Single postings alone, and while others post as many entries at once as one mutation may."""
    bench.tell("posting: single ones beside large ones")
    singles, seconds = bodies_of(1), bench.seconds * 2
    alone = await load.post(port, SINGLE_CLIENTS, 1, seconds, singles)
    entries = 20 if bench.quick else LARGE
    others = asyncio.create_task(large.post(port, LARGE_CLIENTS, entries, seconds * 2, bodies_of(entries, count=4)))
    await asyncio.sleep(seconds / 2)  # until the others are at work
    beside = await load.post(port, SINGLE_CLIENTS, 1, seconds, singles)
    await others
    return alone, beside


async def _grow(bench: Bench) -> list[Mark]:
    """A ledger from empty under one process that was started for it."""
    settings = Settings(data_dir=bench.directory / "growing")
    step = 400 if bench.quick else GROWN // MARKS
    entries, clients, seconds = (10, 4, bench.seconds) if bench.quick else (100, 16, 1.0)
    async with books(settings) as opened:
        await seed(opened, ACCOUNTS, 0, lambda _: None)
        log = bench.directory / "growing.log"
        async with generator(token(settings)) as asking, serving(gateway(settings.data_dir), log) as port:
            load, many, singles, marks = Load(asking), bodies_of(entries), bodies_of(1), []
            while load.acknowledged < (1_200 if bench.quick else GROWN):
                results: list[Result] = []
                reach = load.acknowledged + step
                while load.acknowledged < reach:
                    results.append(await load.post(port, clients, entries, seconds, many))
                rate = sum(it.answers for it in results) * entries / sum(it.seconds for it in results)
                single = await load.post(port, PROBING, 1, seconds / 2, singles)
                marks.append(Mark(load.acknowledged, rate, single))
                bench.tell(f"posting: {load.acknowledged:,} entries, {rate:,.0f} a second")
            await _check(asking, port, load.acknowledged)
    return marks


async def _check(load: Generator, port: int, entries: int) -> None:
    answer = await load.ask(port, orjson.dumps({"query": TOTALS, "variables": {"ledger": LEDGER}}).decode())
    found = orjson.loads(answer)["data"]["trialBalance"]
    if found["sequence"] != entries or found["totalDebit"] != found["totalCredit"]:
        raise RuntimeError(f"{entries} entries were acknowledged, and the ledger says {found}")


def bodies_of(entries: int, *, hot: bool = False, count: int = 0) -> list[str]:
    """Different requests, from a seed; KEY in each idempotency key."""
    chance, accounts = random.Random(SEED + hot), codes(ACCOUNTS)[: HOT_ACCOUNTS if hot else None]
    found = []
    for _ in range(count or (512 if entries == 1 else 32)):
        inputs = [
            entry_input(KEY if entries == 1 else f"{KEY}-{number}", chance, accounts) for number in range(entries)
        ]
        variables = {"input": inputs[0] if entries == 1 else {"entries": inputs}}
        found.append(orjson.dumps({"query": SINGLE if entries == 1 else MANY, "variables": variables}).decode())
    return found


def entry_input(key: str, chance: random.Random, accounts: Sequence[str]) -> dict[str, Any]:
    """A PostEntryInput of two to four lines, the last of which balances the others, each with a dimension; one entry in ten is
    in EUR at 1.25 USD."""
    abroad = chance.random() < 0.1
    amounts = [chance.randint(25, 250_000) * 4 for _ in range(chance.randint(1, 3))]
    return {
        "ledger": LEDGER,
        "idempotencyKey": key,
        "effectiveDate": POSTING_DAY.isoformat(),
        "journal": chance.choice(("SALES", "PURCHASES", "BANK")),
        "description": f"Invoice {chance.randint(10_000, 99_999)} of customer {chance.randint(1, 900)}",
        "reference": f"R-{chance.randint(1, 999_999)}",
        "lines": [_line(chance, accounts, minor, abroad) for minor in [*amounts, -sum(amounts)]],
    }


def _line(chance: random.Random, accounts: Sequence[str], minor: int, abroad: bool) -> dict[str, Any]:
    line: dict[str, Any] = {
        "account": chance.choice(accounts),
        "debit" if minor > 0 else "credit": _decimal(abs(minor)),
        "dimensions": [{"name": "department", "value": chance.choice(("north", "south", "online"))}],
    }
    if abroad:
        line |= {"currency": "EUR", "functionalAmount": _decimal(abs(minor) * 5 // 4)}
    return line


def _decimal(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"
