"""How cost grows with the ledger: the same operations on ledgers with one chart over the same two years, each ten times as
large as the last one; and one reader that pages through a whole ledger. Beside the times stands what PostgreSQL touched.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

import orjson

from benchmarks import touched
from benchmarks.books import LEDGER, PAST_DAY, copied, grown
from benchmarks.chapter import Bench, Chapter
from benchmarks.contest import Contest, contest, token
from benchmarks.figures import Claim, Curves, claim, figures
from benchmarks.growing import (
    ACCOUNTS,
    BATCH,
    PAGE,
    Operation,
    Postings,
    add_years,
    asking,
    operations,
    paged,
    posted_at,
)
from benchmarks.measuring import Samples, rate, take_turns
from benchmarks.processes import gateway, generator, serving
from benchmarks.tables import number, table
from gateway.config import Settings
from gateway.openbooks import Books, books
from sources.ledger.model import LedgerRef

SIZES = (20_000, 200_000)
LARGE = 2_000_000
"""Measured too when all is asked for: growing it takes minutes, and 4 GB."""
QUICK = (300, 1_200)
ORDERS = ("SEQUENCE_ASC", "SEQUENCE_DESC", "EFFECTIVE_DATE_ASC", "EFFECTIVE_DATE_DESC")
YEARS = 20
FLAT = 1.5
"""At most so many times as long on the largest ledger as on the smallest: indexes are deeper there, and memory holds less."""
_NEWEST_POSTED = 200
_HTTP_CLIENTS = 16


@dataclass(frozen=True, slots=True)
class Sized:
    """An opened ledger of a size: a copy, as it is posted to."""

    entries: int
    settings: Settings
    opened: Books
    contest: Contest
    ledger: LedgerRef


@dataclass(frozen=True, slots=True)
class Grown:
    """One operation at each size: milliseconds (a sample each round), and what PostgreSQL touched."""

    name: str
    flat: bool
    times: Mapping[int, Samples]
    touched: Mapping[int, touched.Touched]

    @property
    def growth(self) -> Samples:
        """How many times longer it takes on the largest ledger than on the smallest."""
        return self.times[max(self.times)].over(self.times[min(self.times)])


async def measure(bench: Bench) -> Chapter:
    sizes = QUICK if bench.quick else (*SIZES, LARGE) if bench.full else SIZES
    seconds = bench.seconds / 5
    async with AsyncExitStack() as stack:
        ledgers = [await _open(stack, bench, entries) for entries in sizes]
        read = await _reading(ledgers, bench, seconds)
        http = await _http(stack, ledgers, bench, seconds)
        pages = {order: await _paging(ledgers[min(1, len(ledgers) - 1)], order) for order in ORDERS}
        posted = await _posting(ledgers, bench, seconds)
        months = await _months(ledgers[0], bench, seconds)
    body = [_intro(sizes), _sizes_table("operation", read, sizes), http, _posting_table(posted, sizes)]
    body += [_paging_text(pages), months]
    return Chapter("How cost grows", "\n".join(body), _figures(read, posted, pages))


async def _open(stack: AsyncExitStack, bench: Bench, entries: int) -> Sized:
    bench.tell(f"growth: a ledger of {entries:,} entries")
    place = await copied(await grown(bench, entries, ACCOUNTS), bench.directory / f"growth-{entries}")
    settings = Settings(data_dir=place)
    opened = await stack.enter_async_context(books(settings))
    ledger = (await opened.directory.resolve([LEDGER]))[LEDGER]
    return Sized(entries, settings, opened, contest(opened, settings), ledger)


# ---------------------------------------------------------------- reading


async def _reading(ledgers: Sequence[Sized], bench: Bench, seconds: float) -> list[Grown]:
    asked = {}
    for each in ledgers:
        newest = await posted_at(each.contest, max(1, each.entries - _NEWEST_POSTED))
        asked[each.entries] = operations(each.entries, newest)
    found = []
    for at, operation in enumerate(asked[ledgers[0].entries]):
        bench.tell(f"growth: {operation.name}")
        works = {each.entries: partial(_ask, each.contest, asked[each.entries][at]) for each in ledgers}
        found.append(await _grown(operation.name, operation.flat, works, bench.rounds, seconds))
    return found


async def _ask(contest: Contest, operation: Operation) -> None:
    answer = await contest.planned(operation.query, operation.variables)
    if b'"errors"' in answer:
        raise RuntimeError(f"{operation.name}: {answer[:2_000]!r}")


async def _grown(
    name: str, flat: bool, works: Mapping[int, Callable[[], Awaitable[object]]], rounds: int, seconds: float
) -> Grown:
    seen = {}
    for entries, work in works.items():
        await work()
        with touched.reading() as seen[entries]:
            await work()
    return Grown(name, flat, await _times(works, rounds, seconds), seen)


async def _times(
    works: Mapping[int, Callable[[], Awaitable[object]]], rounds: int, seconds: float
) -> dict[int, Samples]:
    turns = {str(entries): partial(rate, work, seconds) for entries, work in works.items()}
    rates = await take_turns(turns, rounds)
    return {entries: Samples([1_000 / value for value in rates[str(entries)].values]) for entries in works}


async def _http(stack: AsyncExitStack, ledgers: Sequence[Sized], bench: Bench, seconds: float) -> str:
    """The newest page and a backdated balance through HTTP, answers kept as by default."""
    chosen = operations(ledgers[0].entries, "2024-01-01T00:00:00Z")[:2]
    cells: dict[str, list[str]] = {operation.name: [] for operation in chosen}
    for each in ledgers:
        load = await stack.enter_async_context(generator(token(each.settings)))
        async with serving(gateway(each.settings.data_dir), bench.directory / f"growth-{each.entries}.log") as port:
            for operation in chosen:
                bench.tell(f"growth: {operation.name}, {each.entries:,} entries, through HTTP")
                body = orjson.dumps({"query": operation.query, "variables": operation.variables}).decode()
                result = await load.run(
                    port, clients=_HTTP_CLIENTS, seconds=max(seconds, 0.2), bodies=[body], marker='"data"', times=1
                )
                cells[operation.name].append(f"{number(result.answers / result.seconds)}/s")
    header = [f"through HTTP, {_HTTP_CLIENTS} clients, answers kept", *(f"{each.entries:,}" for each in ledgers)]
    return table(header, [[name, *rates] for name, rates in cells.items()])


# ---------------------------------------------------------------- paging


@dataclass(frozen=True, slots=True)
class Paged:
    """A whole ledger by cursor: milliseconds of each page, and the blocks of the first, a middle and the last one."""

    entries: int
    times: Sequence[float]
    blocks: tuple[int, int, int]


async def _paging(ledger: Sized, order: str) -> Paged:
    times: list[float] = []
    blocks: list[int] = []

    async def timed(work: Callable[[], Awaitable[bytes]]) -> bytes:
        begun = time.perf_counter()
        answer = await work()
        times.append((time.perf_counter() - begun) * 1_000)
        return answer

    async def counted(work: Callable[[], Awaitable[bytes]]) -> bytes:
        with touched.reading() as seen:
            answer = await work()
        blocks.append(seen.blocks)
        return answer

    count = await paged(ledger.contest, order, timed)
    if count != await paged(ledger.contest, order, counted) or count < ledger.entries:
        raise RuntimeError(f"{count} entries were paged through of {ledger.entries}")
    whole = blocks[: count // PAGE] or blocks
    return Paged(count, times, (whole[0], whole[len(whole) // 2], whole[-1]))


# ---------------------------------------------------------------- posting


async def _posting(ledgers: Sequence[Sized], bench: Bench, seconds: float) -> list[Grown]:
    found = []
    postings = {each.entries: Postings(each.opened, each.contest, each.ledger) for each in ledgers}
    for size in (1, BATCH):
        for backdated in (False, True):
            name = f"{'postEntries of ' + str(size) if size > 1 else 'one entry'}, {'backdated' if backdated else 'of today'}"
            bench.tell(f"growth: {name}")
            works = {entries: partial(each.post, size, backdated) for entries, each in postings.items()}
            times = await _times(works, bench.rounds, seconds)
            seen = {entries: await each.touched(size, backdated) for entries, each in postings.items()}
            found.append(Grown(name, True, times, seen))
    return found


async def _months(ledger: Sized, bench: Bench, seconds: float) -> str:
    """A trial balance sums the years before its date: how it grows with them."""
    bench.tell(f"growth: a trial balance after {YEARS} more years")
    query = asking("trialBalance", f'to: "{PAST_DAY}"', "rows { account { code } closing }")
    work = partial(ledger.contest.planned, query, {"ledger": LEDGER})
    rows = []
    for years in (0, YEARS):
        if years:
            await add_years(ledger.opened, ledger.ledger, years)
        found = await _grown("", False, {0: work}, bench.rounds, seconds)
        rows.append([f"{years + 2} years", *_cells(found, 0), f"{found.touched[0].rows:,.0f}"])
    said = (
        f"\nA trial balance at a past date of {ledger.entries:,} entries, by years of books: it sums one row for each "
        "account, currency and year, and the months and days between the date and the nearest beginning of a year.\n\n"
    )
    return said + table(["years", "ms", "blocks", "rows"], rows)


# ---------------------------------------------------------------- the page


def _intro(sizes: Sequence[int]) -> str:
    return (
        f"The same {ACCOUNTS} accounts and the same two years with {' and '.join(f'{size:,}' for size in sizes)} entries of four "
        "lines on average, in one process, one operation after the other, nothing kept: milliseconds (median of the rounds), and "
        "in brackets the blocks of 8 KiB that PostgreSQL touched for it. What grows stands at the end, in italics: no index helps "
        "there, or it is read in another order than it was asked for.\n"
    )


def _cells(grown_: Grown, entries: int) -> tuple[str, str]:
    return f"{grown_.times[entries].median:.2f}", f"{grown_.touched[entries].blocks:,}"


def _sizes_table(title: str, found: Sequence[Grown], sizes: Sequence[int]) -> str:
    header = [title, *(f"{size:,}" for size in sizes), "growth"]
    rows = []
    for each in found:
        cells = ["{} ({})".format(*_cells(each, size)) for size in sizes]
        growth = f"{each.growth.median:.2f}× ({each.growth.low:.2f}–{each.growth.high:.2f})"
        rows.append([each.name if each.flat else f"*{each.name}*", *cells, growth])
    return table(header, rows)


def _posting_table(found: Sequence[Grown], sizes: Sequence[int]) -> str:
    logged = [
        [f"log of {each.name}, KiB", *(f"{each.touched[size].wal / 1024:.1f}" for size in sizes), ""] for each in found
    ]
    said = (
        "\nPosting, one mutation after the other, each durable before the next. PostgreSQL logs a block whole when it changes for "
        "the first time since a checkpoint: what is backdated changes more of them the larger the ledger is.\n\n"
    )
    return said + _sizes_table("posted", found, sizes) + "".join(_row(row) for row in logged)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def _paging_text(pages: Mapping[str, Paged]) -> str:
    rows = []
    for order, each in pages.items():
        tenth = max(1, len(each.times) // 10)
        first, last = (
            statistics.median(part) for part in (each.times[:tenth], each.times[-tenth - 1 : -1] or each.times)
        )
        blocks = "{:,} / {:,} / {:,}".format(*each.blocks)
        rows.append([order, str(len(each.times)), f"{first:.2f}", f"{last:.2f}", f"{last / first:.2f}×", blocks])
    entries = next(iter(pages.values())).entries
    said = f"\nPaging through all {entries:,} entries by cursor, {PAGE:,} a page; the blocks of the first, the middle and the last page:\n\n"
    header = ["order", "pages", "first tenth, ms", "last tenth, ms", "last / first", "blocks"]
    return said + table(header, rows)


def _figures(
    read: Sequence[Grown], posted: Sequence[Grown], pages: Mapping[str, Paged]
) -> dict[str, list[dict[str, object]]]:
    claims = [_claim(each) for each in (*read[:4], *posted)]
    chosen = {each.name: each for each in (*read[:4], *posted)}
    curves = [
        Curves(
            "Time by size of the ledger", "entries", "ms",
            {name: [(size, samples.median) for size, samples in each.times.items()] for name, each in chosen.items()},
        ),
        Curves(
            "Paging through a ledger", "page", "ms",
            {order: list(enumerate(_smoothed(each.times), 1)) for order, each in pages.items()},
        ),
    ]  # fmt: skip
    return figures(claims=claims, curves=curves)


def _claim(each: Grown) -> Claim:
    sizes = f"{min(each.times):,} to {max(each.times):,} entries"
    return claim("growth", f"{each.name}: from {sizes}", "", each.growth, reach=FLAT, at_most=True, aim="1×")


def _smoothed(times: Sequence[float], points: int = 50) -> list[float]:
    """Medians of neighbours: a chart of every page would show the machine's noise."""
    step = max(1, len(times) // points)
    return [statistics.median(times[at : at + step]) for at in range(0, len(times), step)]
