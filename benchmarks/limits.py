"""The distance to the limits: an empty ASGI route, pgbench on the same statements, COPY; and what dominates our answers."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from benchmarks import limits_text, profiles
from benchmarks.books import LEDGER, POSTING_DAY, SEED, as_input, codes, copied, entry, grown
from benchmarks.chapter import Bench, Chapter
from benchmarks.contest import contest, token
from benchmarks.copying import Copying
from benchmarks.load import KEY
from benchmarks.measuring import Samples, take_turns
from benchmarks.pgbench import Pgbench, noting
from benchmarks.processes import Generator, gateway, generator, serving
from benchmarks.questions import Question, questions
from gateway.config import Settings
from gateway.openbooks import books
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres

CLIENTS = 16
BATCH = 100
SMALLEST = "query ($ledger: String!) { ledger(code: $ledger) { code name functionalCurrency } }"
_EXECUTING = "[limits]\nreading_group = 1\nanswer_cache_bytes = 0\nfragment_cache_bytes = 0\n"
_POST = """mutation ($input: PostEntriesInput!) { postEntries(input: $input) { results { __typename
  ... on EntryPosted { replayed entry { sequence } } } } }"""
_POSTED = '"replayed":false'

Turn = Callable[[], Awaitable[float]]


@dataclass(frozen=True, slots=True)
class Stage:
    """`connections`: of the gateways to the database, for reading; the last of the grown entries is the copy's."""

    bench: Bench
    settings: Settings
    load: Generator
    kept: int
    executing: int
    connections: int

    async def answers(self, port: int, body: str, expected: str | None) -> float:
        """Answers a second; None expects what the empty route says."""
        said: dict[str, Any] = {"expected": expected} if expected else {"marker": '{"data":', "times": 1}
        result = await self.load.run(port, clients=CLIENTS, seconds=self.bench.seconds, bodies=[body], **said)
        return result.answers / result.seconds

    async def postings(self, port: int, bodies: Sequence[str]) -> float:
        result = await self.load.run(
            port, clients=CLIENTS, seconds=self.bench.seconds, bodies=list(bodies), marker=_POSTED, times=BATCH
        )
        return result.answers * BATCH / result.seconds


async def measure(bench: Bench) -> Chapter:
    """On a copy of the grown ledger. Profiles are left out where py-spy is not installed."""
    asked = questions(bench.entries)
    async with _stage(bench) as stage:
        served = await _beside_an_empty_route(stage, asked)
        read = await _beside_pgbench(stage, asked)
        posted = await _beside_copy(stage)
        profiled = await _profiles(stage, asked)
    return Chapter(
        "Distance to the limits",
        limits_text.text(served, read, posted, profiled, clients=CLIENTS, connections=stage.connections, batch=BATCH),
        limits_text.numbers(served, read, posted),
    )


@asynccontextmanager
async def _stage(bench: Bench) -> AsyncIterator[Stage]:
    settings = Settings(data_dir=await copied(await grown(bench, bench.entries), bench.directory / "limits"))
    plain = bench.directory / "executing.toml"
    plain.write_text(_EXECUTING)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))
        kept, executing = [
            await stack.enter_async_context(serving(gateway(settings.data_dir, file), bench.directory / f"{name}.log"))
            for name, file in (("kept", None), ("executing", plain))
        ]
        load = await stack.enter_async_context(generator(token(settings)))
        writers = max(1, settings.server.pool_size // 3)
        yield Stage(bench, settings, load, kept, executing, settings.server.pool_size - writers)


async def _beside_an_empty_route(stage: Stage, asked: Sequence[Question]) -> Mapping[str, Mapping[str, Samples]]:
    """By what is asked, then by contestant, answers a second; each empty route answers with as many bytes as ours."""
    page = asked[-1]
    found = {}
    for title, query, variables in (
        ("the smallest answer", SMALLEST, {"ledger": LEDGER}),
        (page.title, page.query, page.variables),
    ):
        stage.bench.tell(f"beside an empty route: {title}")
        body = orjson.dumps({"query": query, "variables": variables}).decode()
        answer = (await stage.load.ask(stage.executing, body)).decode()
        empty = ["-m", "benchmarks.bare", str(len(answer.encode()))]
        async with serving([sys.executable, *empty], stage.bench.directory / "bare.log") as bare:
            turns: dict[str, Turn] = {
                limits_text.EMPTY: partial(stage.answers, bare, body, None),
                limits_text.KEPT: partial(stage.answers, stage.kept, body, answer),
                limits_text.EXECUTED: partial(stage.answers, stage.executing, body, answer),
            }
            found[f"{title} ({len(answer.encode()):,} bytes)"] = await take_turns(turns, stage.bench.rounds)
    return found


async def _beside_pgbench(stage: Stage, asked: Sequence[Question]) -> Mapping[str, tuple[int, Mapping[str, Samples]]]:
    """By question: how many statements it takes, and by contestant answers (or runs of the statements) a second."""
    statements = await _statements(stage, asked)
    found = {}
    for question in asked:
        stage.bench.tell(f"beside pgbench: {question.title}")
        body = question.body({})
        answer = (await stage.load.ask(stage.executing, body)).decode()
        mine = statements[question.name]
        script = stage.bench.directory / f"{question.name}.sql"
        pgbench = Pgbench(stage.settings.data_dir, script, mine, stage.connections)
        turns: dict[str, Turn] = {
            limits_text.PGBENCH: partial(pgbench.rate, stage.bench.seconds),
            limits_text.EXECUTED: partial(stage.answers, stage.executing, body, answer),
            limits_text.KEPT: partial(stage.answers, stage.kept, body, answer),
        }
        found[f"{question.name} {question.title}"] = (len(mine), await take_turns(turns, stage.bench.rounds))
    return found


async def _statements(stage: Stage, asked: Sequence[Question]) -> Mapping[str, list[Any]]:
    """Of the third run in this process: what is looked up once and kept has been looked up by then."""
    found = {}
    with noting() as noted:
        async with books(stage.settings) as opened:
            executors = contest(opened, stage.settings)
            for question in asked:
                for _ in range(3):
                    noted.clear()
                    await executors.planned(question.query, question.variables)
                    await asyncio.sleep(0)  # the driver tells of a statement in the loop's next turn
                found[question.name] = list(noted)
    return found


async def _beside_copy(stage: Stage) -> Mapping[str, Samples]:
    """Entries a second."""
    stage.bench.tell("beside COPY")
    bodies = _postings(16 if stage.bench.quick else 64)
    server = EmbeddedPostgres(stage.settings.data_dir)
    connection = await asyncpg.connect(server.dsn(user=OWNER_ROLE))
    try:
        copying = Copying(connection, BATCH)
        await copying.prepare(min(200, stage.bench.entries // BATCH))
        return await take_turns(
            {
                limits_text.COPY: partial(copying.rate, stage.bench.seconds),
                limits_text.POSTED: partial(stage.postings, stage.kept, bodies),
            },
            stage.bench.rounds,
        )
    finally:
        await connection.close()


def _postings(count: int, size: int = BATCH) -> list[str]:
    """Mutations of `size` entries, with what makes their keys unique left to the load generator."""
    chance, chart, ledger = random.Random(SEED), codes(200), Named(LEDGER)
    found = []
    for _ in range(count):
        drafts = [entry(ledger, f"{KEY}-{number}", POSTING_DAY, chance, chart) for number in range(size)]  # type: ignore[arg-type]
        variables = {"input": {"entries": [as_input(draft) for draft in drafts]}}
        found.append(orjson.dumps({"query": _POST, "variables": variables}).decode())
    return found


@dataclass(frozen=True, slots=True)
class Named:
    """All of a ledger that a mutation states."""

    code: str


async def _profiles(stage: Stage, asked: Sequence[Question]) -> Mapping[str, profiles.Profile]:
    """By what keeps the gateway busy; empty without py-spy."""
    py_spy = profiles.program()
    if py_spy is None:
        return {}
    busy: dict[str, tuple[int, list[str], dict[str, Any]]] = {}
    for question in asked:
        body = question.body({})
        told = {"marker": '{"data":', "times": 1}
        busy[f"{question.name} executed"] = (stage.executing, [body], told)
        if question is asked[0]:
            busy[f"{question.name} kept"] = (stage.kept, [body], told)
    single = _postings(512, 1)
    busy["P1 entries posted one by one"] = (stage.kept, single, {"marker": _POSTED, "times": 1})
    found = {}
    for name, (port, bodies, told) in busy.items():
        stage.bench.tell(f"profile: {name}")
        found[name] = await _profile(stage, py_spy, port, bodies, told)
    return found


async def _profile(
    stage: Stage, py_spy: str, port: int, bodies: list[str], told: Mapping[str, Any]
) -> profiles.Profile:
    seconds = 1 if stage.bench.quick else 3
    file = Path(stage.bench.directory) / "profile.txt"
    load = asyncio.ensure_future(stage.load.run(port, clients=CLIENTS, seconds=seconds + 1.0, bodies=bodies, **told))
    try:
        return await profiles.profile(py_spy, profiles.process_at(port), seconds, file)
    finally:
        await load
