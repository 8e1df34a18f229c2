"""Documents: invoices from a source through the mirror into the ledger, as `ledgergraph serve` does it by itself, and webhooks."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from benchmarks.chapter import Bench, Chapter
from benchmarks.deliveries import PAUSE, SECRET, Sender, Taken, taken_table
from benchmarks.figures import Curves, claim, figures
from benchmarks.invoices import KEY
from benchmarks.measuring import Samples
from benchmarks.processes import gateway, serving
from benchmarks.profiles import process_at
from benchmarks.tables import rate, table
from gateway.config import Settings
from gateway.openbooks import books, local_caller
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType, ChangeRejected

LEDGER, SOURCE = "documents", "billing"
BACKFILL = 100_000
NOTED = (10_000, 50_000, 100_000)
"""Documents posted, at which memory is looked at."""
RATED = 20_000
DELIVERIES = 2_000
_QUICK = 100
_LOOK_SECONDS = 0.1
_PATIENCE = 900.0
_MIB = 2**20
_ACCOUNTS: Mapping[str, tuple[str, AccountType]] = {
    "receivable": ("1100", AccountType.ASSET),
    "sales_tax": ("1700", AccountType.LIABILITY),
    "revenue": ("4000", AccountType.REVENUE),
    "bad_debt": ("6200", AccountType.EXPENSE),
    "rounding": ("7000", AccountType.EXPENSE),
}
_CONFIG = """
[mapping]
{ledger} = "{rules}"

[[sources]]
name = "{source}"
kind = "stripe"
ledger = "{ledger}"
base_url = "http://127.0.0.1:{port}"
api_key = "env:BILLING_KEY"
post_from = {since}
every = 3600
webhook_secrets = "env:BILLING_SECRET"
"""
_STAND = """
SELECT coalesce((SELECT sum(documents) FROM mirror.source_state), 0)::bigint AS mirrored,
    coalesce((SELECT max(sequence) FROM ledger.entry), 0) AS posted"""
_BODY = """\
A Stripe-shaped source in a process of its own (`benchmarks/invoices.py`) has {count} invoices of two lines and a tax. `ledgergraph serve`
finds it new: it lists all of it, 100 invoices an answer, stores them, maps them by the built-in rules and posts an entry for each. The
source, the gateway and PostgreSQL share the machine; fsync is on. Timed from the moment that the gateway serves to the last entry.

{rates}
Memory of the gateway's process, and of PostgreSQL's, while a first pull of {backfill} invoices goes on:

{memory}
A signed delivery to `POST /webhooks/{{source}}` is verified and stored before it is answered, and wakes a pull, which goes on beside. One
client sends {deliveries} of them a round, one after the other, on one connection; in turns with it a bare connection inserts rows of the
same shape, one committed statement each. Then the same while the first pull of {backfill} invoices goes on in the same process, by turns
one delivery and one INSERT every {pause:.0f} ms.

{webhooks}"""


@dataclass(frozen=True, slots=True)
class Moment:
    """What was reached, so many seconds after the gateway began to serve; memory in bytes."""

    seconds: float
    mirrored: int
    posted: int
    gateway: int
    database: int


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway over a data directory of its own; `begun`: when it began to serve."""

    port: int
    begun: float
    owner_dsn: str
    owner: asyncpg.Connection[Any]
    process: psutil.Process
    server: psutil.Process

    async def look(self) -> Moment:
        """Where it stands now."""
        row = await self.owner.fetchrow(_STAND)
        assert row is not None
        database = [self.server, *self.server.children(recursive=True)]
        held = [_held(each) for each in (self.process, *database)]
        return Moment(time.perf_counter() - self.begun, row["mirrored"], row["posted"], held[0], sum(held[1:]))


def _held(process: psutil.Process) -> int:
    try:
        found = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    return int(getattr(found, "pss", found.rss))


@asynccontextmanager
async def stage(directory: Path, invoices: int) -> AsyncIterator[Stage]:
    """A ledger that is empty, a source that has so many invoices, and the gateway that begins to read it."""
    settings = Settings(data_dir=directory / "data")
    await asyncio.to_thread(directory.mkdir, parents=True)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))
        async with books(settings) as opened:
            caller = local_caller(LEDGER)
            made: list[Any] = [
                await administration.create_ledger(
                    opened.database, caller, code=LEDGER, name="Documents", functional_currency="USD"
                ),
                await administration.create_accounts(opened.database, caller, ledger=LEDGER, accounts=_chart()),
            ]
            if refused := [each for each in made if isinstance(each, ChangeRejected)]:
                raise RuntimeError(f"the benchmark's ledger could not be created: {refused}")
        command = [sys.executable, "-m", "benchmarks.invoices", str(invoices)]
        source = await stack.enter_async_context(serving(command, directory / "source.log"))
        owner = await asyncpg.connect(server.dsn(user=OWNER_ROLE))
        stack.push_async_callback(owner.close)
        await owner.execute("SET ledgergraph.ledgers = '*'")
        serve = gateway(settings.data_dir, _config(directory, source))
        environment = {"BILLING_KEY": KEY, "BILLING_SECRET": SECRET}
        port = await stack.enter_async_context(serving(serve, directory / "gateway.log", environment=environment))
        pid = server.postmaster_pid()
        assert pid is not None
        yield Stage(
            port,
            time.perf_counter(),
            server.dsn(user=OWNER_ROLE),
            owner,
            psutil.Process(process_at(port)),
            psutil.Process(pid),
        )


def _chart() -> list[AccountDraft]:
    return [AccountDraft(code=code, name=name, type=kind) for name, (code, kind) in _ACCOUNTS.items()]


def _config(directory: Path, source: int) -> Path:
    rules, file = directory / "rules.toml", directory / "gateway.toml"
    accounts = "".join(f'{name} = "{code}"\n' for name, (code, _) in _ACCOUNTS.items())
    rules.write_text(f'extends = "starter"\n[accounts]\n{accounts}')
    since = date(2020, 1, 1)
    file.write_text(_CONFIG.format(ledger=LEDGER, source=SOURCE, rules=rules, port=source, since=since))
    return file


async def backfill(found: Stage, invoices: int, noted: Sequence[int]) -> list[Moment]:
    """What was reached when so many were posted, and last when all were. Raises RuntimeError when that takes too long."""
    left, moments = sorted({*(each for each in noted if each < invoices), invoices}), list[Moment]()
    while left:
        moment = await found.look()
        if moment.posted >= left[0]:
            moments.append(moment)
            left = [each for each in left if each > moment.posted]
        if moment.seconds > _PATIENCE:
            raise RuntimeError(f"{moment.posted:,} of {invoices:,} invoices are posted after {moment.seconds:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)
    return moments


# ---------------------------------------------------------------- the chapter


async def measure(bench: Bench) -> Chapter:
    """Its own data directories; each run begins with an empty ledger."""
    share = _QUICK if bench.quick else 1
    rated, whole, sent = RATED // share, BACKFILL // share, DELIVERIES // (40 if bench.quick else 1)
    speeds, quiet, busy = Samples(), Taken(), Taken()
    for round_ in range(bench.rounds):
        bench.tell(f"documents: {rated:,} invoices, round {round_ + 1}")
        async with stage(bench.directory / f"rated-{round_}", rated) as found:
            done = (await backfill(found, rated, ()))[-1]
            speeds.values.append(rated / done.seconds)
            async with _sender(found) as sender:
                await sender.turns(sent, str(round_), quiet)
    bench.tell(f"documents: a first pull of {whole:,} invoices")
    async with stage(bench.directory / "backfill", whole) as found:
        memory = await _busy(found, whole, [each // share for each in NOTED], sent * bench.rounds, busy)
    body = _BODY.format(
        count=f"{rated:,}", backfill=f"{whole:,}", deliveries=f"{sent:,}", pause=1_000 * PAUSE,
        rates=_rates(speeds), memory=_memory(memory), webhooks=taken_table(quiet, busy),
    )  # fmt: skip
    return Chapter("From documents to entries", body, _figures(speeds, memory, quiet, busy))


@asynccontextmanager
async def _sender(found: Stage) -> AsyncIterator[Sender]:
    owner = await asyncpg.connect(found.owner_dsn)
    sender = Sender(SOURCE, owner)
    try:
        await sender.connect(found.port)
        yield sender
        sender.close()
    finally:
        await owner.close()


async def _busy(found: Stage, whole: int, noted: Sequence[int], sent: int, taken: Taken) -> list[Moment]:
    """A first pull, with deliveries beside it."""
    done = asyncio.Event()
    async with _sender(found) as sender, asyncio.TaskGroup() as tasks:
        tasks.create_task(sender.beside(sent, "busy", taken, done))
        moments = [await found.look(), *(await backfill(found, whole, noted))]
        done.set()
    return moments


def _rates(speeds: Samples) -> str:
    return table(("", "invoices/s"), [("mirrored, mapped and posted, end to end", rate(speeds))])


def _memory(moments: Sequence[Moment]) -> str:
    rows = [
        (f"{each.posted:,}", f"{each.mirrored:,}", f"{each.seconds:.1f}", _mib(each.gateway), _mib(each.database))
        for each in moments
    ]
    return table(("posted", "mirrored", "after, s", "gateway, MiB", "PostgreSQL, MiB"), rows)


def _mib(held: int) -> str:
    return f"{held / _MIB:.0f}"


def _figures(speeds: Samples, memory: Sequence[Moment], quiet: Taken, busy: Taken) -> dict[str, Any]:
    growth = Samples([memory[-1].gateway / memory[1].gateway])
    told = f"memory after {memory[-1].posted:,} invoices, to that after {memory[1].posted:,}"
    curve = Curves(
        "Memory of the gateway during a first pull", "invoices posted", "MiB",
        {"gateway": [(each.posted, each.gateway / _MIB) for each in memory if each.posted]},
    )  # fmt: skip
    claims = [
        claim("documents", "invoices mirrored and posted, end to end", "", speeds, unit="/s", aim="2,000/s"),
        claim("documents", told, "", growth, reach=1.25, at_most=True),
        claim("webhooks", "a delivery accepted, p50", "a bare INSERT", quiet.over(0.5), reach=3.0, at_most=True),
        claim("webhooks", "a delivery accepted, p99", "a bare INSERT", quiet.over(0.99), reach=3.0, at_most=True),
        claim("webhooks", "a delivery accepted during a first pull, p99", "a bare INSERT", busy.over(0.99)),
    ]
    return figures(claims=claims, curves=[curve])
