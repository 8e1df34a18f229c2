"""Fields of the graph in books of two sizes, and SQL that computes the same beside them."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import orjson

from benchmarks import touched
from benchmarks.chapter import Bench
from benchmarks.figures import Claim, claim
from benchmarks.matching_company import KINDS, LEDGER
from benchmarks.measuring import Samples, rate, take_turns
from benchmarks.tables import ratio, table
from gateway.authentication import SCOPES
from gateway.config import Settings
from gateway.engine import Engine
from gateway.openbooks import books
from gateway.requests import GraphQLRequest
from gateway.schema import build, core
from resolvers.context import Services
from sources.caller import Caller
from sources.connectors.submitted import SubmittedConnector
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings

FLAT = 1.5
"""At most so many times as long in the larger books: indexes are deeper there, and memory holds less."""
_OLD_ENOUGH = 10 * 365 * 86_400.0
_CALLER = Caller("benchmark", SCOPES, frozenset({LEDGER}), math.inf)


@dataclass(frozen=True, slots=True)
class Plain:
    """The same asked in SQL: what both have to agree on, of the field's value and of the rows."""

    sql: str
    arguments: Sequence[str]
    of_answer: Callable[[Any], list[Any]]
    of_rows: Callable[[Sequence[Any]], list[Any]]


@dataclass(frozen=True, slots=True)
class Asked:
    """`flat`: it is to cost the same in larger books, and not with what is open or held in them."""

    name: str
    query: str
    plain: Plain | None = None
    flat: bool = False


@dataclass(frozen=True, slots=True)
class Sized:
    """Opened books of a size, their sources fresh; `owner` sees all of them."""

    size: int
    engine: Engine
    owner: asyncpg.Connection[Any]

    async def ask(self, query: str) -> bytes:
        """Raises RuntimeError where the answer has errors."""
        answer = await self.engine.run(self.engine.prepare(GraphQLRequest(f"{{ {query} }}", None, {}, LEDGER), _CALLER))
        if b'"errors"' in answer:
            raise RuntimeError(f"{query}: {answer[:1_000]!r}")
        return answer


@asynccontextmanager
async def opened(size: int, data_dir: Path) -> AsyncIterator[Sized]:
    """Books that a `matching_company` left there; nothing is kept of answers."""
    settings = Settings(data_dir=data_dir)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedPostgres(data_dir))
        found = await stack.enter_async_context(books(settings))
        sources = [
            SourceSettings(name=name, kind=kind, ledger=LEDGER, max_age=_OLD_ENOUGH) for name, kind in KINDS.items()
        ]
        refresher = Refresher(found.database, [(each, SubmittedConnector(name=each.name)) for each in sources])
        stack.push_async_callback(refresher.close)
        services = Services(found.database, found.directory, found.poster, refresher)
        limits = replace(settings.limits, answer_cache_bytes=0, fragment_cache_bytes=0)
        owner = await asyncpg.connect(server.dsn(user=OWNER_ROLE))
        stack.push_async_callback(owner.close)
        await owner.execute("SET ledgergraph.ledgers = '*'")
        yield Sized(size, Engine(core(build()), services, found.feed, limits), owner)


@dataclass(frozen=True, slots=True)
class Found:
    """Milliseconds of the field and of plain SQL, by size, and the blocks that the field touched."""

    asked: Asked
    times: Mapping[int, Samples]
    plain: Mapping[int, Samples] = field(default_factory=dict)
    blocks: Mapping[int, int] = field(default_factory=dict)

    @property
    def growth(self) -> Samples:
        """How many times longer in the larger books."""
        return grown_times(self.times)

    @property
    def ratio(self) -> Samples:
        """How many times longer plain SQL takes in the larger books."""
        large = max(self.times)
        return self.plain[large].over(self.times[large])


def grown_times(times: Mapping[int, Samples]) -> Samples:
    """How many times longer at the larger size."""
    return times[max(times)].over(times[min(times)])


async def measured(bench: Bench, chapter: str, sizes: Sequence[Sized], each: Asked) -> Found:
    """In turns. Raises RuntimeError where the field and plain SQL differ."""
    bench.tell(f"{chapter}: {each.name}")
    works: dict[str, Callable[[], Awaitable[float]]] = {}
    blocks, seconds = {}, bench.seconds / 4
    for sized in sizes:
        with touched.reading() as seen:
            answer = await sized.ask(each.query)
        blocks[sized.size] = seen.blocks
        works[f"field {sized.size}"] = partial(rate, partial(sized.ask, each.query), seconds)
        if each.plain:
            statement = await sized.owner.prepare(each.plain.sql)
            _compare(each.name, each.plain, answer, await statement.fetch(*each.plain.arguments))
            works[f"plain {sized.size}"] = partial(rate, partial(statement.fetch, *each.plain.arguments), seconds)
    rates = await take_turns(works, bench.rounds)
    times = {name: Samples([1_000 / value for value in samples.values]) for name, samples in rates.items()}

    def of(kind: str) -> dict[int, Samples]:
        return {it.size: times[f"{kind} {it.size}"] for it in sizes if f"{kind} {it.size}" in times}

    return Found(each, of("field"), of("plain"), blocks)


def _compare(name: str, plain: Plain, answer: bytes, rows: Sequence[Any]) -> None:
    (value,) = orjson.loads(answer)["data"].values()
    ours, its = plain.of_answer(value), plain.of_rows(rows)
    if ours != its or not ours:
        other = next(((one, two) for one, two in zip(ours, its, strict=False) if one != two), (len(ours), len(its)))
        raise RuntimeError(f"{name}: the field and plain SQL differ: {other}")


# ---------------------------------------------------------------- the page


def found_table(found: Sequence[Found], sizes: Sequence[int]) -> str:
    """A row for each field; those that are not flat in italics."""
    small, large = sizes
    head = (
        "",
        f"{small:,}",
        f"{large:,}",
        "growth",
        f"SQL, {small:,}",
        f"SQL, {large:,}",
        "its growth",
        f"ratio, {large:,}",
    )
    return table(head, [_row(each, small, large) for each in found])


def _row(each: Found, small: int, large: int) -> tuple[str, ...]:
    name = each.asked.name if each.asked.flat else f"*{each.asked.name}*"
    cells = [f"{each.times[size].median:.2f} ({each.blocks[size]:,})" for size in (small, large)]
    if not each.plain:
        return name, *cells, as_times(each.growth), "", "", "", ""
    beside = [f"{each.plain[size].median:.2f}" for size in (small, large)]
    return name, *cells, as_times(each.growth), *beside, as_times(grown_times(each.plain)), ratio(each.ratio)


def as_times(growth: Samples) -> str:
    """With two decimals, and the spread."""
    return f"{growth.median:.2f}× ({growth.low:.2f}–{growth.high:.2f})"


def found_claims(name: str, found: Sequence[Found]) -> list[Claim]:
    """Growth of what is to be flat, and the ratios to plain SQL."""
    flat = [each for each in found if each.asked.flat]
    claims = [
        claim(name, f"{it.asked.name}: in ten times the books", "", it.growth, reach=FLAT, at_most=True, aim="1×")
        for it in flat
    ]
    return claims + [claim(name, each.asked.name, "plain SQL", each.ratio) for each in found if each.plain]
