"""Memory of one gateway process, as users start it: what makes it grow, by how much, and which setting bounds that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.asking import Use, Watched, answers, documents, large, page_through, various, watched
from benchmarks.books import copied, grown
from benchmarks.chapter import Bench, Chapter
from benchmarks.crowd import idle_subscribers
from benchmarks.figures import Claim, Curves, figures
from benchmarks.importing import peak_of_import
from benchmarks.tables import table
from gateway.limits import Limits

DOCUMENTS = 10_000
ANSWERS = 10_000
SUBSCRIBERS = 5_000
REQUESTS = 40_000
IMPORT_BYTES = 20_000_000
FULL_REQUESTS = 200_000
FULL_IMPORT_BYTES = 100_000_000
_LARGE_AT_ONCE = 8
_ROUNDS = 3
_SETTLE_SECONDS = 2.0
_KEPT_AT_MOST = 1.25
"""A cache may take so much of its setting: what is counted for each text is an estimate."""
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Grown:
    """What one gateway of its own takes before and after; `bound`: the setting that bounds it, in words."""

    what: str
    before: Use
    after: Use
    bound: str

    @property
    def growth(self) -> float:
        """MiB of the gateway's process."""
        return (self.after.gateway - self.before.gateway) / MIB


Step = tuple[str, Callable[[Watched], Awaitable[object]], str]
"""What is done, how, and what bounds the memory that it takes."""


async def measure(bench: Bench) -> Chapter:
    entries = bench.entries
    data = await copied(await grown(bench, entries), bench.directory / "memory")
    found = [each for group in _groups(bench, entries, data) for each in await _grown(bench, data, group)]
    flat = await _flat(bench, data)
    size = FULL_IMPORT_BYTES if bench.full else IMPORT_BYTES
    bench.tell(f"memory: an import of {size // 1_000_000} MB")
    imported = await peak_of_import(bench.directory, size // 1_000 if bench.quick else size)
    body = [_table(found), _imported(imported), _flat_text(flat)]
    return Chapter("Memory of one process", "\n".join(body), _figures(found, flat))


def _groups(bench: Bench, entries: int, data: Path) -> list[list[Step]]:
    """Each group is one gateway's life."""
    share = 100 if bench.quick else 1
    limits = Limits()
    kept = f"`fragment_cache_bytes`: {limits.fragment_cache_bytes // MIB} MiB"
    many, answered = DOCUMENTS // share, ANSWERS // share
    watching = SUBSCRIBERS // share
    return [
        [(f"{many:,} distinct documents", lambda it: it.send(documents(many)), _plans(limits))],
        [
            (
                f"{answered:,} distinct answers",
                lambda it: it.send(answers(answered)),
                f"`answer_cache_bytes`: {limits.answer_cache_bytes // MIB} MiB",
            )
        ],
        [
            (f"paging through {entries:,} entries, their texts kept", partial(page_through, lines=False), kept),
            ("then again, with their lines", partial(page_through, lines=True), kept),
        ],
        [
            (f"{watching:,} idle subscribers", partial(_subscribe, data=data, count=watching), "open files, 65,536"),
            ("when they have left", lambda _: asyncio.sleep(_SETTLE_SECONDS), ""),
        ],
        [
            (
                f"{_LARGE_AT_ONCE} answers of 10 MB at once",
                lambda it: it.send([large(bench.quick)] * _LARGE_AT_ONCE),
                "`answer_bytes` for each; `pool_size` decides how many are made at once",
            ),
            (
                f"{_LARGE_AT_ONCE * _ROUNDS} more",
                lambda it: it.send([large(bench.quick)] * _LARGE_AT_ONCE * _ROUNDS),
                "the same: it is used again, and not given back",
            ),
        ],
    ]


def _plans(limits: Limits) -> str:
    return f"`plan_cache`: {limits.plan_cache:,} documents, 1 MiB of text; their texts: `fragment_cache_bytes`"


async def _subscribe(found: Watched, *, data: Path, count: int) -> None:
    """Memory is read while they are there."""
    async with idle_subscribers(found.port, data, count):
        await asyncio.sleep(_SETTLE_SECONDS)
        found.note()


async def _grown(bench: Bench, data: Path, steps: Sequence[Step]) -> list[Grown]:
    found = []
    async with watched(data, bench.directory / "memory.log") as gateway:
        before = gateway.use()
        for what, work, bound in steps:
            bench.tell(f"memory: {what}")
            await work(gateway)
            found.append(Grown(what, before, gateway.noted() or gateway.use(), bound))
    return found


async def _flat(bench: Bench, data: Path) -> list[tuple[int, Use]]:
    """Requests of many kinds, and what the process takes after each tenth of them. Its caches are small, and full soon."""
    count = (FULL_REQUESTS if bench.full else REQUESTS) // (100 if bench.quick else 1)
    bench.tell(f"memory: {count:,} requests of many kinds")
    config = bench.directory / "memory.toml"
    config.write_text(f"[limits]\nplan_cache = 100\nanswer_cache_bytes = {MIB}\nfragment_cache_bytes = {MIB}\n")
    found = []
    async with watched(data, bench.directory / "memory.log", config) as gateway:
        for part in range(10):
            await gateway.send(various(part * count // 10, count // 10))
            found.append(((part + 1) * count // 10, gateway.use()))
    return found


# ---------------------------------------------------------------- the page


def _table(found: Sequence[Grown]) -> str:
    idle = found[0].before
    rows = [["idle, after one answer", _mib(idle.gateway), "", _mib(idle.database), ""]]
    rows += [
        [each.what, _mib(each.after.gateway), f"+{each.growth:.0f}", _mib(each.after.database), each.bound]
        for each in found
    ]
    said = (
        "`ledgergraph serve` with its default settings, a new process for each group of rows: MiB in memory after what is "
        "named was done, pages that processes share divided among them. PostgreSQL's processes stand beside it "
        "(`shared_buffers` 256 MB; each connection of `pool_size` keeps up to 500 prepared statements).\n\n"
    )
    return said + table(["", "gateway", "growth", "PostgreSQL", "bounded by"], rows)


def _imported(found: tuple[int, int]) -> str:
    size, peak = found
    return (
        f"\n`ledgergraph import` of a file of {size / 1_000_000:.0f} MB: {_mib(peak)} MiB at its peak, in a process of its own. "
        "The file is read twice and never held.\n"
    )


def _flat_text(found: Sequence[tuple[int, Use]]) -> str:
    rows = [[f"{count:,}", _mib(use.gateway), _mib(use.database)] for count, use in found]
    said = (
        "\nWhether anything leaks: requests of many kinds (queries of each kind, documents that never return, postings, refusals) "
        "to a gateway whose caches are small (1 MiB, 100 plans) and full soon, MiB after so many:\n\n"
    )
    return said + table(["requests", "gateway", "PostgreSQL"], rows)


def _mib(size: int) -> str:
    return f"{size / MIB:,.0f}"


def _figures(found: Sequence[Grown], flat: Sequence[tuple[int, Use]]) -> dict[str, list[dict[str, object]]]:
    idle = found[0].before.gateway / MIB
    kept = next(each for each in found if "texts kept" in each.what)
    limit = Limits().fragment_cache_bytes / MIB * _KEPT_AT_MOST
    claims = [Claim("M", "one gateway process, idle", "", idle, idle, idle, unit=" MiB")]
    claims += [
        Claim("M", f"growth with {each.what}", "", each.growth, each.growth, each.growth, unit=" MiB",
              reach=limit if each is kept else None, at_most=True)
        for each in found if not each.what.startswith(("then", "when"))
    ]  # fmt: skip
    half = flat[len(flat) // 2][1].gateway
    leaked = (flat[-1][1].gateway - half) / MIB
    claims.append(
        Claim("M", f"growth within the last half of {flat[-1][0]:,} requests", "", leaked, leaked, leaked,
              unit=" MiB", reach=idle / 10, at_most=True)
    )  # fmt: skip
    lines = {"gateway": [(float(count), use.gateway / MIB) for count, use in flat]}
    return figures(claims=claims, curves=[Curves("Memory by requests answered", "requests", "MiB", lines)])
