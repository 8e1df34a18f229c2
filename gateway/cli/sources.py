"""`ledgergraph sources`: the state of each source that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

import click

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.openbooks import books
from sources.mirror import freshness, state
from sources.pipeline.overview import standings

_COLUMNS = ("SOURCE", "KIND", "LEDGER", "STATE", "AS OF (UTC)", "DOCUMENTS", "POSTED", "TO DO", "PROPOSED", "ISSUES")


@click.command(
    "sources",
    short_help="List the sources and what became of their documents.",
    epilog=examples(
        "ledgergraph sources --config sources.toml",
        "ledgergraph sources --config sources.toml --database-url postgresql://gateway@db.internal/books",
    ),
)
@database_options
def command(data_dir: Path | None, database_url: str | None, config: Path | None) -> None:
    """List the sources, how fresh their copies are, and what became of their documents.

    No source is asked: see `ledgergraph sync`. Exit status: 0 every source is OK or being read, 1 some are not.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config)
    if not settings.sources:
        click.echo("no sources: name them in the file of --config, each under [[sources]]", err=True)
        return
    rows, told, faults = run(lambda: _states(settings))
    widths = [max(len(row[at]) for row in [_COLUMNS, *rows]) for at in range(len(_COLUMNS))]
    for row in [_COLUMNS, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for line in (*told, *faults):
        click.echo(line, err=True)
    if faults:
        raise click.exceptions.Exit(1)


async def _states(settings: Settings) -> tuple[list[Sequence[str]], list[str], list[str]]:
    """A row for each source, what is told of some, and why some are not OK."""
    rows: list[Sequence[str]] = []
    told: list[str] = []
    faults: list[str] = []
    async with books(settings) as opened:
        known = await opened.directory.resolve({code for each in settings.sources for code in each.ledgers})
        async with opened.database.writer() as connection, connection.transaction():
            counts = await standings(connection, [each.name for each in settings.sources])
            _, held = await state.read(connection, settings.sources)
            reading = await state.being_read(connection, [each.name for each in settings.sources])
    for each in settings.sources:
        missing = freshness.missing_ledger(each, known)
        status, why = freshness.status(held[each.name], missing=missing, reading=each.name in reading)
        as_of = held[each.name].as_of
        moment = as_of.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if as_of else "never"
        found = counts[each.name]
        shown = [found.documents, found.posted, found.to_do, found.proposed, found.issues]
        rows.append((each.name, each.kind, each.home, status.value, moment, *map(str, shown)))
        if status is freshness.SourceStatus.SYNCING:
            told.append(f"{each.name} is being read for the first time")
        elif why is not None:
            faults.append(f"{each.name}: {why}")
    return rows, told, faults
