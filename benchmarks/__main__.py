"""`python -m benchmarks`: measures chapters, keeps what they found in benchmarks/results, and writes benchmarks/RESULTS.md."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import report
from benchmarks.chapter import Bench, Unavailable
from benchmarks.chapters import CHAPTERS, measure_of
from benchmarks.kept import Kept, Run, keep
from benchmarks.surroundings import ROOT, fingerprint, look
from gateway.logs import configure
from gateway.running import Stopped, run_until_stopped

CACHE = ROOT / ".bench"
QUICK_ENTRIES = 1_000


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[str]:
    wanted = [name.strip() for name in value.split(",")] if value else list(CHAPTERS)
    if unknown := [name for name in wanted if name not in CHAPTERS]:
        raise click.BadParameter(f"there is no chapter {unknown[0]!r}: the chapters are {', '.join(CHAPTERS)}")
    return [name for name in CHAPTERS if name in wanted]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"Chapters: {', '.join(CHAPTERS)}.",
)
@click.option(
    "--only", "names", callback=_names, help="Chapters, with commas between; the others stay as they are kept."
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1), help="Turns of each contestant.")
@click.option("--seconds", default=2.0, show_default=True, type=float, help="How long a turn lasts.")
@click.option("--entries", default=200_000, show_default=True, type=click.IntRange(100), help="Entries of the ledger.")
@click.option("--full", is_flag=True, help="What takes long too.")
@click.option(
    "--quick", is_flag=True, help="Few entries and clients, one short round, nothing installed: shows that it works."
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for RESULTS.md, results and charts; default: benchmarks, and with --quick none.",
)
@click.option(
    "--cache",
    default=CACHE,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for peers and grown ledgers that later runs use again.",
)
def main(
    names: list[str],
    rounds: int,
    seconds: float,
    entries: int,
    full: bool,
    quick: bool,
    output: Path | None,
    cache: Path,
) -> None:
    """Measure the product beside its peers, in turns, after their answers were found equal.

    What a chapter finds is kept in benchmarks/results as soon as it is measured, and benchmarks/RESULTS.md is written from all
    that is kept. A peer that cannot be had is skipped by name.
    """
    configure("warning")
    directory = Path(tempfile.mkdtemp(prefix="ledgergraph-bench-"))
    bench = Bench(directory, cache.resolve(), rounds, seconds, quick, _tell, full, entries)
    if quick:
        bench = replace(bench, rounds=1, seconds=0.1, entries=QUICK_ENTRIES)
    folder = output or (directory / "page" if quick else Path(__file__).parent)
    try:
        failed = [name for name in names if not _measured(name, bench, folder / report.RESULTS)]
        click.echo(report.write(folder))
    except Stopped as stopped:
        raise click.exceptions.Exit(128 + stopped.number) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if failed:
        raise click.ClickException(f"not measured: {', '.join(failed)} (above is why)")


def _measured(name: str, bench: Bench, results: Path) -> bool:
    """Measures a chapter and keeps it; False when it failed, after telling why. What it had been before stays then."""
    own = replace(bench, directory=bench.directory / name)
    own.directory.mkdir()
    begun = time.perf_counter()
    try:
        kept = run_until_stopped(lambda: _measure(name, own))
        if not bench.quick and fingerprint() != kept.run.surroundings.code:
            raise RuntimeError("the code changed meanwhile, so that processes ran different code: run it again")
        keep(kept, results)
    except Stopped:
        raise
    except Exception:
        _tell(f"{name} failed:\n{traceback.format_exc()}")
        return False
    finally:
        shutil.rmtree(own.directory, ignore_errors=True)
    _tell(f"{name}: {kept.unavailable or f'done after {time.perf_counter() - begun:.0f} s'}")
    return True


async def _measure(name: str, bench: Bench) -> Kept:
    run = Run(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=" ".join(["python -m benchmarks", *sys.argv[1:]]) if sys.argv[1:] else "make bench",
        rounds=bench.rounds,
        seconds=bench.seconds,
        entries=bench.entries,
        load_before=os.getloadavg()[0],
        load_after=0.0,
        surroundings=await look(bench.directory),
    )
    try:
        chapter = await measure_of(name)(bench)
    except Unavailable as reason:
        return Kept(name, run, unavailable=str(reason))
    return Kept(name, replace(run, load_after=os.getloadavg()[0]), chapter.title, chapter.body, chapter.figures)


def _tell(what: str) -> None:
    click.echo(what, err=True)


if __name__ == "__main__":
    main()
