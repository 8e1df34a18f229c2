"""`ledgergraph sync`: reads a source now, and posts what changed."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.openbooks import Books, books
from gateway.rulefiles import provide_rules, read_rules
from gateway.sourceconfig import connector_for
from sources.errors import NotFound, SourceUnavailable
from sources.mirror.freshness import Pulled
from sources.mirror.refresh import Refresher
from sources.mirror.settings import SourceSettings
from sources.pipeline.overview import documents_read
from sources.pipeline.worker import Counts, Pipeline

_LOOKS = 0.5
"""Seconds between two looks at how far a pull is."""


@click.command(
    "sync",
    short_help="Read a source now, and post what changed.",
    epilog=examples(
        "ledgergraph sync stripe-us --config sources.toml",
        "ledgergraph sync stripe-us --config sources.toml --no-post",
    ),
)
@click.argument("name")
@click.option("--no-post", is_flag=True, help="Read only: leave the documents for a gateway to post.")
@database_options
def command(name: str, no_post: bool, data_dir: Path | None, database_url: str | None, config: Path | None) -> None:
    """Read what has changed in the source NAME since it was read last, and post it by its ledger's rules.

    A first reading may take long; when it is broken off, the next one goes on from there. A gateway may serve meanwhile. Exit
    status: 0 the source was read to its end, 1 it could not be.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config)
    pulled, documents, counts = run(lambda: _sync(settings, name, post=not no_post))
    assert pulled.as_of is not None
    click.echo(f"{name}: {documents} documents stated so far, as of {pulled.as_of:%Y-%m-%d %H:%M:%S} UTC")
    if counts is not None:
        states = (
            ", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.statuses.items())) or "nothing to do"
        )
        click.echo(f"{name}: {counts.entries} entries and {counts.reversals} reversals posted ({states})")
        if counts.busy:
            click.echo(f"{name}: a gateway posts the rest", err=True)


async def _sync(settings: Settings, name: str, *, post: bool) -> tuple[Pulled, int, Counts | None]:
    source = next((each for each in settings.sources if each.name == name), None)
    if source is None:
        known = ", ".join(each.name for each in settings.sources) or "none: see --config"
        raise NotFound(f"There is no source {name}; there are {known}.")
    rules = read_rules(settings.mapping)
    async with books(settings) as opened:
        pulled, documents = await _pull(opened, source)
        if pulled.error is not None or pulled.as_of is None:
            raise SourceUnavailable(f"{name} could not be read: {pulled.error or 'no copy is held.'}")
        if not post or source.post_from is None:
            return pulled, documents, None
        await provide_rules(opened.database, opened.directory, source.ledgers, rules)
        return pulled, documents, await _post(opened, source)


async def _pull(opened: Books, source: SourceSettings) -> tuple[Pulled, int]:
    """How it went, and how many documents there are."""
    refresher = Refresher(opened.database, [(source, connector_for(source))])
    try:
        pulling = asyncio.ensure_future(_read(refresher, source.name))
        while not (await asyncio.wait((pulling,), timeout=_LOOKS))[0]:
            await _tell(opened, source.name)
        return pulling.result(), await _tell(opened, source.name, last=True)
    finally:
        await refresher.close()


async def _read(refresher: Refresher, name: str) -> Pulled:
    pulled = await refresher.sync(name)
    await refresher.payslips_read(name)
    return pulled


async def _tell(opened: Books, name: str, *, last: bool = False) -> int:
    async with opened.database.writer() as connection:
        count = await documents_read(connection, name)
    if sys.stderr.isatty():
        click.echo(f"\r{name}: {count} documents", err=True, nl=last)
    return count


async def _post(opened: Books, source: SourceSettings) -> Counts:
    pipeline, total = Pipeline(opened.database, opened.poster), Counts()
    with click.progressbar(length=1, label="posting", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        for ledger in (await opened.directory.resolve(source.ledgers)).values():
            while (counts := await pipeline.run_once(ledger.ledger_id)).taken:
                total.add(counts)
                bar.label = f"posting {total.taken}"
                bar.update(0)
            total.busy |= counts.busy
        bar.update(1)
    return total
