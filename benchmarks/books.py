"""The seeded books that every contestant works on: a chart, some years of entries, and entries to post.

Big ones are grown once and kept for later runs: `grown` gives one to read, `copied` one to write to.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import click

from benchmarks.chapter import Bench
from benchmarks.surroundings import ROOT
from gateway.config import Settings
from gateway.openbooks import Books, books, local_caller
from sources.database.cluster import Cluster
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.database.locks import FileLock
from sources.ledger import administration
from sources.ledger.model import (
    AccountDraft,
    AccountType,
    ChangeRejected,
    EntryDraft,
    LedgerRef,
    LineDraft,
    Outcome,
    Posted,
)

LEDGER = "bench"
SEED = 20_261_122
FIRST_DAY = date(2024, 1, 1)
DAYS = 730
PAST_DAY = date(2025, 8, 20)
"""In the midst of a month, so that a balance at it needs month rows and day rows."""
POSTING_DAY = date(2026, 1, 15)
HOT_ACCOUNTS = 2
_BATCH = 512
_AHEAD = 3
_PATIENCE = 3600.0
_HURRY: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_wal_size": "4GB",
    "autovacuum": "off",
}
"""For growing alone: nothing of it has to survive a crash. What is measured runs with the product's settings."""


def codes(accounts: int) -> list[str]:
    return [str(1000 + number) for number in range(accounts)]


def entry(ledger: LedgerRef, key: str, day: date, chance: random.Random, accounts: Sequence[str]) -> EntryDraft:
    """Two to six lines, the last of which balances the others; one entry in ten is in EUR at 1.25 USD."""
    abroad = chance.random() < 0.1
    amounts = [chance.randint(25, 250_000) * 4 for _ in range(chance.randint(1, 5))]
    lines = [_line(chance, accounts, amount, abroad) for amount in [*amounts, -sum(amounts)]]
    return EntryDraft(
        ledger=ledger,
        idempotency_key=key,
        effective_date=day,
        journal=chance.choice(("SALES", "PURCHASES", "BANK")),
        description=f"Invoice {chance.randint(10_000, 99_999)} of customer {chance.randint(1, 900)}",
        reference=f"R-{chance.randint(1, 999_999)}",
        lines=tuple(lines),
        posted_by=LEDGER,
    )


def _line(chance: random.Random, accounts: Sequence[str], minor: int, abroad: bool) -> LineDraft:
    amount = _decimal(abs(minor))
    return LineDraft(
        account=chance.choice(accounts),
        debit=amount if minor > 0 else None,
        credit=amount if minor < 0 else None,
        currency="EUR" if abroad else None,
        functional_amount=_decimal(abs(minor) * 5 // 4) if abroad else None,
        dimensions=(("department", chance.choice(("north", "south", "online"))),),
    )


def _decimal(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def as_input(draft: EntryDraft) -> dict[str, Any]:
    """The entry as a client states it: a PostEntryInput."""
    return {
        "ledger": draft.ledger.code,
        "idempotencyKey": draft.idempotency_key,
        "effectiveDate": draft.effective_date.isoformat(),
        "journal": draft.journal,
        "description": draft.description,
        "reference": draft.reference,
        "lines": [
            {
                "account": line.account,
                "debit": line.debit,
                "credit": line.credit,
                "currency": line.currency,
                "functionalAmount": line.functional_amount,
                "dimensions": [{"name": name, "value": value} for name, value in line.dimensions],
            }
            for line in draft.lines
        ],
    }


async def seed(opened: Books, accounts: int, entries: int, progress: Callable[[int], None]) -> LedgerRef:
    """Creates the ledger with its chart and posts the entries; `progress` is told how many were posted each time."""
    ledger = await _create(opened, accounts)
    ahead: deque[asyncio.Task[list[Outcome]]] = deque()
    for batch in _batches(ledger, accounts, entries):
        ahead.append(asyncio.create_task(opened.poster.post(batch)))
        await asyncio.sleep(0)  # it is checked and queued, in order, while the database posts the ones before
        if len(ahead) >= _AHEAD:
            progress(_posted(await ahead.popleft()))
    for batch_posted in ahead:
        progress(_posted(await batch_posted))
    return ledger


def _posted(outcomes: Sequence[Outcome]) -> int:
    refused = [outcome for outcome in outcomes if not isinstance(outcome, Posted)]
    if refused:
        raise RuntimeError(f"a seeded entry was refused: {refused[0]}")
    return len(outcomes)


async def _create(opened: Books, accounts: int) -> LedgerRef:
    caller, kinds = local_caller(LEDGER), list(AccountType)
    ledger = await administration.create_ledger(
        opened.database, caller, code=LEDGER, name="Benchmark", functional_currency="USD"
    )
    chart = [
        AccountDraft(code=code, name=f"Account {code}", type=kinds[number * len(kinds) // accounts])
        for number, code in enumerate(codes(accounts))
    ]
    saved = await administration.create_accounts(opened.database, caller, ledger=LEDGER, accounts=chart)
    if isinstance(ledger, ChangeRejected) or isinstance(saved, ChangeRejected):
        raise RuntimeError(f"the benchmark's ledger could not be created: {ledger}, {saved}")
    return ledger


def _batches(ledger: LedgerRef, accounts: int, entries: int) -> Iterator[list[EntryDraft]]:
    chance, chart = random.Random(SEED), codes(accounts)
    for start in range(0, entries, _BATCH):
        yield [
            entry(ledger, f"seed-{number}", FIRST_DAY + timedelta(days=number * DAYS // entries), chance, chart)
            for number in range(start, min(start + _BATCH, entries))
        ]


async def grown(bench: Bench, entries: int, accounts: int = 200) -> Path:
    """A data directory whose ledger `LEDGER` has so many entries, of four lines on average; vacuumed and analysed.

    It is kept in `bench.cache`, by its size and by the code that made it, and several processes may ask at once. Read it,
    or write to a copy (`copied`).
    """
    return await kept(
        bench, f"{entries}-{accounts}", [Path(__file__)], partial(_grow, entries=entries, accounts=accounts)
    )


async def kept(
    bench: Bench, name: str, makers: Iterable[Path], grow: Callable[[EmbeddedPostgres, Path], Awaitable[None]]
) -> Path:
    """A data directory in `bench.cache` that `grow` fills when there is none that these files and the schema of today made; it may
    forget all in a crash while it is filled."""
    folder = bench.cache / "books"
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / f"{name}-{_fingerprint(makers)}"
    lock = await FileLock.exclusive(place.with_suffix(".lock"), patience=_PATIENCE)
    try:
        if not place.exists():
            await _build(place, grow)
    finally:
        lock.close()
    return place


async def copied(original: Path, place: Path) -> Path:
    """A copy of a data directory at `place`, owners and permissions kept, sharing blocks where the file system can.

    Waits until nobody uses the original: its server has to be stopped.
    """
    async with _stopped(original):
        await asyncio.to_thread(_copy, original, place)
    return place


@asynccontextmanager
async def _stopped(data_dir: Path) -> AsyncIterator[None]:
    cluster = Cluster(data_dir, {})
    locks: list[FileLock] = []
    try:
        for path in (cluster.users_lock, cluster.start_lock):
            locks.append(await FileLock.exclusive(path, patience=_PATIENCE))
        await asyncio.to_thread(cluster.stop)
        yield
    finally:
        for lock in locks:
            lock.close()


def _copy(original: Path, place: Path) -> None:
    if sys.platform == "linux":
        subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", str(original), str(place)], check=True)
    else:
        subprocess.run(["cp", "-Rpc" if sys.platform == "darwin" else "-Rp", str(original), str(place)], check=True)


async def _build(place: Path, grow: Callable[[EmbeddedPostgres, Path], Awaitable[None]]) -> None:
    """In a directory beside, then one rename: an interrupted one leaves nothing that looks whole."""
    for unfinished in place.parent.glob(f"{place.name}.unfinished-*"):
        await asyncio.to_thread(shutil.rmtree, unfinished)
    building = Path(tempfile.mkdtemp(prefix=f"{place.name}.unfinished-", dir=place.parent))
    async with EmbeddedPostgres(building, settings=_HURRY) as server:
        await grow(server, building)
        await _vacuum(server.dsn(user=OWNER_ROLE))
    await asyncio.to_thread(_keep, building, place)


async def _grow(_server: EmbeddedPostgres, building: Path, *, entries: int, accounts: int) -> None:
    async with books(Settings(data_dir=building)) as opened:
        with click.progressbar(length=entries, label=f"growing {entries:,} entries", file=sys.stderr) as bar:
            await seed(opened, accounts, entries, bar.update)


def _keep(building: Path, place: Path) -> None:
    """The grown ledger gets its name, in place of those of its size that other code made and nobody uses."""
    os.sync()
    building.rename(place)
    for old in place.parent.glob(f"{place.name.rpartition('-')[0]}-*/users.lock"):
        unused = FileLock.attempt(old) if old.parent != place else None
        if unused is not None:
            shutil.rmtree(old.parent)
            unused.close()


async def _vacuum(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()


def _fingerprint(makers: Iterable[Path]) -> str:
    """Digits of a hash over what makes a grown ledger: these files and the schema."""
    made_by = [*makers, *(ROOT / "sources").rglob("*.sql")]
    made_by += (ROOT / "sources" / "database" / "migrations" / "versions").glob("*.py")
    found = hashlib.sha256()
    for path in sorted(made_by):
        found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:12]
