"""Documents: invoices from a source through the mirror into the ledger, as `ledgergraph serve` does it by itself, and webhooks."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import psutil

from benchmarks.chapter import Bench, Chapter
from benchmarks.figures import Curves, claim, figures
from benchmarks.invoices import KEY
from benchmarks.load import answer_of
from benchmarks.measuring import Samples, percentile
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
DELIVERIES = 500
_QUICK = 100
_LOOK_SECONDS = 0.1
_PATIENCE = 900.0
_SECRET = "whsec_benchmark"
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
_INSERT = """
INSERT INTO mirror.webhook (source, delivery_id, received_at, headers, body)
VALUES ($1, $2, clock_timestamp(), $3::jsonb, $4) ON CONFLICT DO NOTHING RETURNING true"""

_BODY = """\
A Stripe-shaped source in a process of its own (`benchmarks/invoices.py`) has {count} invoices of two lines and a tax. `ledgergraph serve`
finds it new: it lists all of it, 100 invoices an answer, stores them, maps them by the built-in rules and posts an entry for each. The
source, the gateway and PostgreSQL share the machine; fsync is on. Timed from the moment that the gateway serves to the last entry.

{rates}
Memory of the gateway's process, and of PostgreSQL's, while a first pull of {backfill} invoices goes on:

{memory}
A signed delivery to `POST /webhooks/{{source}}` is verified and stored before it is answered, and wakes a pull, which goes on beside. One
client sends {deliveries} of them, one after the other, on one connection; in turns with it a bare connection inserts rows of the same
shape, one committed statement each.

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
        environment = {"BILLING_KEY": KEY, "BILLING_SECRET": _SECRET}
        port = await stack.enter_async_context(serving(serve, directory / "gateway.log", environment=environment))
        pid = server.postmaster_pid()
        assert pid is not None
        yield Stage(port, time.perf_counter(), owner, psutil.Process(process_at(port)), psutil.Process(pid))


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


# ---------------------------------------------------------------- webhooks


async def deliveries(found: Stage, count: int, turn: int) -> list[float]:
    """Seconds from each delivery to its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", found.port)
    taken = []
    try:
        for number_ in range(count):
            request = _delivery(f"evt_{turn}_{number_:020}")
            begun = time.perf_counter()
            writer.write(request)
            head, _ = await answer_of(reader)
            taken.append(time.perf_counter() - begun)
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"a delivery was refused: {head[:40]!r}")
    finally:
        writer.close()
    return taken


def _event(event_id: str) -> bytes:
    data = {"object": {"id": "in_1", "object": "invoice", "padding": "x" * 2_000}}
    return orjson.dumps({"id": event_id, "object": "event", "type": "invoice.paid", "created": 1, "data": data})


def _delivery(event_id: str) -> bytes:
    body, moment = _event(event_id), b"%d" % time.time()
    signature = hmac.new(_SECRET.encode(), b"%s.%s" % (moment, body), hashlib.sha256).hexdigest().encode()
    head = b"POST /webhooks/%s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n" % SOURCE.encode()
    return head + b"stripe-signature: t=%s,v1=%s\r\ncontent-length: %d\r\n\r\n%s" % (moment, signature, len(body), body)


async def inserts(found: Stage, count: int, turn: int) -> list[float]:
    """Seconds that each committed statement takes on a bare connection."""
    statement, taken = await found.owner.prepare(_INSERT), []
    for number_ in range(count):
        body = _event(f"bare_{turn}_{number_:019}")
        begun = time.perf_counter()
        await statement.fetchval("bare", f"bare_{turn}_{number_:019}", '{"content-type": "application/json"}', body)
        taken.append(time.perf_counter() - begun)
    return taken


# ---------------------------------------------------------------- the chapter


async def measure(bench: Bench) -> Chapter:
    """Its own data directories; each run begins with an empty ledger."""
    share = _QUICK if bench.quick else 1
    rated, whole, sent = RATED // share, BACKFILL // share, DELIVERIES // (10 if bench.quick else 1)
    noted = [each // share for each in NOTED]
    speeds, memory = Samples(), list[Moment]()
    delivered, bare = list[list[float]](), list[list[float]]()
    for round_ in range(bench.rounds):
        bench.tell(f"documents: {rated:,} invoices, round {round_ + 1}")
        async with stage(bench.directory / f"rated-{round_}", rated) as found:
            done = (await backfill(found, rated, ()))[-1]
            speeds.values.append(rated / done.seconds)
            delivered.append(await deliveries(found, sent, round_))
            bare.append(await inserts(found, sent, round_))
    bench.tell(f"documents: a first pull of {whole:,} invoices")
    async with stage(bench.directory / "backfill", whole) as found:
        memory = [await found.look(), *(await backfill(found, whole, noted))]
    body = _BODY.format(
        count=f"{rated:,}", backfill=f"{whole:,}", deliveries=f"{sent:,}",
        rates=_rates(speeds), memory=_memory(memory), webhooks=_webhooks(delivered, bare),
    )  # fmt: skip
    return Chapter("From documents to entries", body, _figures(speeds, memory, delivered, bare))


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


def _webhooks(delivered: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]) -> str:
    rows = [
        (name, *(_milliseconds(runs, share) for share in (0.5, 0.99)))
        for name, runs in (("a delivery, accepted", delivered), ("a bare INSERT, committed", bare))
    ]
    return table(("", "p50, ms", "p99, ms"), rows)


def _milliseconds(runs: Sequence[Sequence[float]], share: float) -> str:
    return f"{1000 * Samples([percentile(run, share) for run in runs]).median:.2f}"


def _figures(
    speeds: Samples, memory: Sequence[Moment], delivered: Sequence[Sequence[float]], bare: Sequence[Sequence[float]]
) -> dict[str, Any]:
    over = Samples(
        [percentile(one, 0.99) / percentile(other, 0.99) for one, other in zip(delivered, bare, strict=True)]
    )
    growth = Samples([memory[-1].gateway / memory[1].gateway])
    told = f"memory after {memory[-1].posted:,} invoices, to that after {memory[1].posted:,}"
    curve = Curves(
        "Memory of the gateway during a first pull", "invoices posted", "MiB",
        {"gateway": [(each.posted, each.gateway / _MIB) for each in memory if each.posted]},
    )  # fmt: skip
    claims = [
        claim("documents", "invoices mirrored and posted, end to end", "", speeds, unit="/s", aim="2,000/s"),
        claim("documents", told, "", growth, reach=1.25, at_most=True),
        claim("webhooks", "a delivery accepted, p99", "a bare INSERT", over, reach=3.0, at_most=True),
    ]
    return figures(claims=claims, curves=[curve])
