"""`ledgergraph rates`: exchange rates."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.openbooks import books
from sources.errors import InvalidArgument
from sources.pipeline.rate_files import MAX_BYTES
from sources.pipeline.rates import Stored, load_file
from sources.pipeline.resolving import look_again

_EXAMPLES = examples(
    "ledgergraph rates import eurofxref-hist.zip",
    "ledgergraph rates import rates.csv --database-url postgresql://gateway@db.internal/books",
)


@click.group("rates", epilog=_EXAMPLES)
def command() -> None:
    """Exchange rates, which hold for every ledger."""


@command.command("import", epilog=_EXAMPLES)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@database_options
def import_rates(file: Path, data_dir: Path | None, database_url: str | None, config: Path | None) -> None:
    """Store the rates of FILE: all of them, or none.

    FILE is one of the European Central Bank's (CSV, XML, or a ZIP of one), or CSV in UTF-8 with the columns
    date,base,quote,rate and optionally type: one unit of base is worth rate units of quote. A rate replaces another one of its
    day, pair and type. Documents that waited for a rate are tried again.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    stored = run(lambda: _import(settings, file))
    passed_over = f", currencies passed over: {', '.join(sorted(stored.passed_over))}" if stored.passed_over else ""
    click.echo(f"{file.name}: {stored.stated} rates, {stored.written} of them new or changed{passed_over}")


async def _import(settings: Settings, file: Path) -> Stored:
    try:
        with file.open("rb") as opened_file:
            data = opened_file.read(MAX_BYTES + 1)
    except OSError as fault:
        raise InvalidArgument(f"{file}: cannot be read: {fault.strerror}") from None
    async with books(settings) as opened:
        async with opened.database.writer() as connection:
            stored = await load_file(connection, data, file.name)
        await look_again(opened.database, [ledger.ledger_id for ledger in await opened.directory.all()])
    return stored
