"""Reading: four questions through HTTP, asked of `ledgergraph serve` in four settings and of PostGraphile over the same database."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import asyncpg
import orjson

from benchmarks.books import LEDGER, copied, grown
from benchmarks.chapter import Bench, Chapter
from benchmarks.contest import contest, token
from benchmarks.execution import statements_of
from benchmarks.load import Result
from benchmarks.measuring import Samples, take_turns
from benchmarks.peers import Peer, installed
from benchmarks.processes import Generator, gateway, generator, serving
from benchmarks.questions import Question, questions
from benchmarks.reading_text import ANSWERS_KEPT, ENTRIES_KEPT, EXECUTED, GATHERED, GUARDED, POSTGRAPHILE, numbers, text
from gateway.config import Settings
from gateway.openbooks import books
from gateway.tokens import signing_secret
from sources.database.cluster import SUPERUSER
from sources.database.embedded import DATABASE, EmbeddedPostgres
from sources.database.sockets import PORT, socket_directory

CLIENTS = 16
OURS: Mapping[str, str] = {
    EXECUTED: "[limits]\nreading_group = 1\nanswer_cache_bytes = 0\nfragment_cache_bytes = 0\n",
    GATHERED: "[limits]\nanswer_cache_bytes = 0\nfragment_cache_bytes = 0\n",
    ENTRIES_KEPT: "[limits]\nreading_group = 1\nanswer_cache_bytes = 0\n",
    ANSWERS_KEPT: "",
}
"""By contestant, the settings file of its gateway."""
PEERS = (POSTGRAPHILE, GUARDED)
_WARMING = 4.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The servers that are asked, by contestant, on one database; `ledger_id` is what PostGraphile knows the ledger by;
    `warming`: for how many seconds Node is asked before its turns, so that its compiler is done; ours: for one turn."""

    ports: Mapping[str, int]
    load: Generator
    settings: Settings
    peer: Peer
    ledger_id: int
    warming: float


@asynccontextmanager
async def stage(bench: Bench, entries: int) -> AsyncIterator[Stage]:
    """All contestants over a copy of the grown ledger, that PostGraphile's functions are added to. Raises Unavailable."""
    peer = await installed(bench, "postgraphile")
    settings = Settings(data_dir=await copied(await grown(bench, entries), bench.directory / "reading"))
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))
        ledger_id = await _prepare(server, peer)
        ports = {}
        for name, limits in OURS.items():
            file = bench.directory / f"{name}.toml"
            file.write_text(limits)
            command = gateway(settings.data_dir, file)
            ports[name] = await stack.enter_async_context(serving(command, file.with_suffix(".log")))
        for name, secret in ((POSTGRAPHILE, None), (GUARDED, signing_secret(settings))):
            log = bench.directory / f"{name}.log"
            ports[name] = await stack.enter_async_context(postgraphile(peer, settings.data_dir, log, secret))
        load = await stack.enter_async_context(generator(token(settings)))
        yield Stage(
            ports, load, settings, peer, ledger_id, bench.seconds if bench.quick else max(_WARMING, bench.seconds)
        )


async def _prepare(server: EmbeddedPostgres, peer: Peer) -> int:
    connection = await asyncpg.connect(server.dsn(user=SUPERUSER))
    try:
        await connection.execute((peer.home / "api.sql").read_text())
        return int(await connection.fetchval("SELECT ledger_id FROM ledger.ledger WHERE code = $1", LEDGER))
    finally:
        await connection.close()


def postgraphile(
    peer: Peer, data_dir: Path, log: Path, secret: bytes | None = None, *, explain: bool = False
) -> AbstractAsyncContextManager[int]:
    """As `serving`. With the `secret` of tokens it is guarded: tokens are verified, and their ledgers are settings of each
    request's transaction, for row-level security. `explain`: its answers tell their statements."""
    where = [
        str(socket_directory(data_dir.resolve())),
        str(PORT),
        DATABASE,
        "bench_guarded" if secret else "bench_peer",
    ]
    environment = {"NODE_ENV": "production", "GRAPHILE_ENV": "production"}
    if secret:
        environment["TOKEN_SECRET"] = b64encode(secret).decode()
    if explain:
        environment["EXPLAIN"] = "1"
    return serving([str(peer.node), str(peer.home / "server.mjs"), *where], log, environment=environment)


async def measure(bench: Bench) -> Chapter:
    """Raises Unavailable without PostGraphile."""
    asked = questions(bench.entries)
    async with stage(bench, bench.entries) as staged:
        statements = await _statements(staged, bench, asked)
        answers = []
        for question in asked:
            bench.tell(f"through HTTP: {question.title}")
            answers.append(await ask_all(staged, question, bench.rounds, bench.seconds))
        versions = {name: staged.peer.version(name) for name in ("postgraphile", "grafserv", "grafast", "pg")}
    return Chapter(
        "Reading through HTTP, beside PostGraphile", text(answers, statements, versions, CLIENTS), numbers(answers)
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """One question's results by contestant: its answer's bytes (the mean), answers a second, the last round's times."""

    question: Question
    sizes: Mapping[str, int]
    rates: Mapping[str, Samples]
    last: Mapping[str, Result]


async def ask_all(stage: Stage, question: Question, rounds: int, seconds: float) -> Answers:
    """First whether all give the same answers (RuntimeError when not), then the turns."""
    contestants = contestants_of(question)
    bodies = {name: bodies_of(stage, question, name) for name in contestants}
    answers = {name: [await stage.load.ask(stage.ports[name], body) for body in bodies[name]] for name in contestants}
    for said in zip(*answers.values(), strict=True):
        _compare(question, dict(zip(contestants, said, strict=True)))
    last: dict[str, Result] = {}

    async def turn(name: str, seconds: float = seconds) -> float:
        expected = [answer.decode() for answer in answers[name]]
        last[name] = await stage.load.run(
            stage.ports[name], clients=CLIENTS, seconds=seconds, bodies=bodies[name], expected=expected
        )
        return last[name].answers / last[name].seconds

    for name in contestants:
        await turn(name, stage.warming if name in PEERS else seconds)
    rates = await take_turns({name: partial(turn, name) for name in contestants}, rounds)
    sizes = {name: round(mean(map(len, said))) for name, said in answers.items()}
    return Answers(question, sizes, rates, last)


def contestants_of(question: Question) -> list[str]:
    """Who is asked it: entries are kept by those who read them, and requests that are all the same are not gathered, they
    would share one answer."""
    means_nothing = set()
    if not question.entries:
        means_nothing.add(ENTRIES_KEPT)
    if len(question.variations) == 1:
        means_nothing.add(GATHERED)
    return [name for name in (*OURS, *PEERS) if name not in means_nothing]


async def _statements(stage: Stage, bench: Bench, asked: Sequence[Question]) -> dict[str, dict[str, int]]:
    """By question: how many statements an answer takes, executed by us and by PostGraphile (which explains them)."""
    async with AsyncExitStack() as stack:
        log = bench.directory / "explained.log"
        port = await stack.enter_async_context(postgraphile(stage.peer, stage.settings.data_dir, log, explain=True))
        opened = await stack.enter_async_context(books(stage.settings))
        ours = contest(opened, stage.settings).planned
        found = {}
        for question in asked:
            answer = orjson.loads(await stage.load.ask(port, bodies_of(stage, question, POSTGRAPHILE)[0]))
            found[question.name] = {
                EXECUTED: await statements_of(partial(ours, question.query, question.variables)),
                POSTGRAPHILE: len(answer["extensions"]["explain"]["operations"]),
            }
    return found


def bodies_of(stage: Stage, question: Question, name: str) -> list[str]:
    """What a contestant is asked, in turn."""
    if name in PEERS:
        return [question.peer_body(stage.ledger_id, variation) for variation in question.variations]
    return [question.body(variation) for variation in question.variations]


def _compare(question: Question, answers: Mapping[str, bytes]) -> None:
    said = {name: _facts(question, name, answer) for name, answer in answers.items()}
    first, *others = said
    if len(said[first]) < question.least:
        raise RuntimeError(f"{question.title}: not the answer that is to be measured: {said[first]}")
    for other in others:
        if said[other] != said[first]:
            raise RuntimeError(
                f"{question.title}: {first} and {other} answer differently: {_difference(said[first], said[other])}"
            )


def _facts(question: Question, name: str, answer: bytes) -> list[Any]:
    found = orjson.loads(answer)
    if "errors" in found:
        raise RuntimeError(f"{question.title}: {name} answers {answer[:2_000]!r}")
    return (question.peer_facts if name in PEERS else question.facts)(found["data"])


def _difference(one: list[Any], other: list[Any]) -> str:
    pairs = [(mine, its) for mine, its in zip(one, other, strict=False) if mine != its]
    return f"{len(one)} and {len(other)} rows, first {pairs[:1]}"
