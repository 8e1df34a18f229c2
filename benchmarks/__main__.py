"""`python -m benchmarks`: measures all, prints the page and writes it to benchmarks/RESULTS.md."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import click
import orjson

from benchmarks.books import LEDGER, seed
from benchmarks.contest import Contest, contest, token
from benchmarks.execution import documents, measure, measure_http
from benchmarks.posting import Bodies, PostingContest, scenarios
from benchmarks.processes import baseline, gateway, generator, serving
from benchmarks.report import Results, page
from benchmarks.surroundings import fingerprint, look
from gateway.config import Settings
from gateway.logs import configure
from gateway.openbooks import Books, books
from gateway.running import Stopped, run_until_stopped
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.ledger.model import LedgerRef

RESULTS = Path(__file__).parent / "RESULTS.md"


@dataclass(frozen=True, slots=True)
class Size:
    """`clients` and `batch`: of the mutations, and how many entries a postEntries takes."""

    accounts: int
    entries: int
    rounds: int
    seconds: float
    clients: tuple[int, ...] = (16, 64)
    batch: int = 100


QUICK = Size(accounts=200, entries=1_000, rounds=1, seconds=0.1, clients=(4, 8), batch=10)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--entries", default=20_000, show_default=True, type=click.IntRange(100), help="Seeded entries.")
@click.option("--accounts", default=200, show_default=True, type=click.IntRange(10, 1_000), help="Accounts.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns of each contestant.")
@click.option("--seconds", default=1.0, show_default=True, type=float, help="How long a turn lasts.")
@click.option(
    "--quick",
    is_flag=True,
    help="Few entries and clients, one short round: shows that it works. Writes no file by itself.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The file to write.")
def main(entries: int, accounts: int, rounds: int, seconds: float, quick: bool, output: Path | None) -> None:
    """Measure reading and posting on an embedded PostgreSQL in a temporary folder.

    Planned execution is measured beside graphql-core field by field, group commit beside a transaction for each mutation,
    in turns, after their answers were found equal. The results are printed and written to benchmarks/RESULTS.md.
    """
    configure("warning")
    size = QUICK if quick else Size(accounts, entries, rounds, seconds)
    directory = Path(tempfile.mkdtemp(prefix="ledgergraph-bench-"))
    try:
        results = run_until_stopped(lambda: _measure(size, directory))
    except Stopped as stopped:
        raise click.exceptions.Exit(128 + stopped.number) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if not quick and fingerprint() != results.surroundings.code:
        raise click.ClickException("the code changed meanwhile, so that processes ran different code: run it again")
    text = page(results)
    click.echo(text)
    if output or not quick:
        (output or RESULTS).write_text(text)


async def _measure(size: Size, directory: Path) -> Results:
    settings, load_before = Settings(data_dir=directory / "data"), os.getloadavg()[0]
    begun = time.perf_counter()
    async with books(settings) as opened:
        ledger = await _prepare(opened, settings, size)
        surroundings = await look(_owner(settings), directory, load_before)
        executors = contest(opened, settings)
        posting = PostingContest(Bodies(ledger, size.accounts), size.rounds, size.seconds, _tell)
        chosen = documents(size.accounts, size.entries)
        readings = await measure(executors, chosen, size.rounds, size.seconds, _tell)
        async with (
            generator(token(settings)) as load,
            serving(gateway(settings.data_dir), directory / "ours.log") as ours,
        ):
            async with serving(
                gateway(settings.data_dir, _keeping_nothing(directory)), directory / "plain.log"
            ) as plain:
                ports = {"planned": plain, "kept": ours}
                served = await measure_http(load, ports, readings, size.rounds, size.seconds, _tell)
            async with serving(baseline(settings.data_dir), directory / "other.log") as other:
                mutations = scenarios(size.clients, (1, size.batch))
                posted = [await posting.http(scenario, load, ours, other) for scenario in mutations]
        local = [await posting.local(scenario, executors) for scenario in scenarios(size.clients, (1,))]
        await _check(executors, size.entries + posting.acknowledged)
    _tell(f"done after {time.perf_counter() - begun:.0f} s")
    return Results(
        _command(), size.accounts, size.entries, size.rounds, size.seconds, os.getloadavg()[0], surroundings,
        readings, served, local, posted, posting.acknowledged,
    )  # fmt: skip


def _keeping_nothing(directory: Path) -> Path:
    """Settings of a gateway that executes every document."""
    file = directory / "plain.toml"
    file.write_text("[limits]\nanswer_cache_bytes = 0\nfragment_cache_bytes = 0\n")
    return file


async def _prepare(opened: Books, settings: Settings, size: Size) -> LedgerRef:
    with click.progressbar(length=size.entries, label="seeding", file=sys.stderr) as bar:
        ledger = await seed(opened, size.accounts, size.entries, bar.update)
    connection = await asyncpg.connect(_owner(settings))
    try:
        await connection.execute("VACUUM (ANALYZE)")
    finally:
        await connection.close()
    return ledger


def _owner(settings: Settings) -> str:
    return EmbeddedPostgres(settings.data_dir).dsn(user=OWNER_ROLE)


async def _check(executors: Contest, entries: int) -> None:
    """Raises RuntimeError when the ledger holds another number of entries than were acknowledged, or does not balance."""
    query = "query ($ledger: String!) { trialBalance(ledger: $ledger) { sequence totalDebit totalCredit } }"
    found = orjson.loads(await executors.planned(query, {"ledger": LEDGER}))["data"]["trialBalance"]
    if found["sequence"] != entries or found["totalDebit"] != found["totalCredit"]:
        raise RuntimeError(f"{entries} entries were acknowledged, and the ledger says {found}")


def _tell(what: str) -> None:
    click.echo(what, err=True)


def _command() -> str:
    return " ".join(["python -m benchmarks", *sys.argv[1:]]) if sys.argv[1:] else "make bench"


if __name__ == "__main__":
    main()
