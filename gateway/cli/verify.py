"""`ledgergraph verify`: computes a ledger's hashes, sums and balances again."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.openbooks import books
from sources.errors import NotFound
from sources.ledger.verify import Finding, verify


@click.command(
    "verify",
    epilog=examples(
        "ledgergraph verify --ledger acme-us",
        "ledgergraph verify --ledger acme-us --database-url postgresql://gateway@db.internal/books",
    ),
)
@click.option("--ledger", required=True, metavar="CODE", help="The ledger to verify.")
@database_options
def command(ledger: str, data_dir: Path | None, database_url: str | None, config: Path | None) -> None:
    """Compute a ledger's hash chain, sums and balances again, and say what is wrong.

    The ledger may be posted to meanwhile: one snapshot is verified. Exit status: 0 nothing is wrong, 1 something is.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    entries, findings = run(lambda: _verify(settings, ledger))
    for finding in findings:
        click.echo(f"{ledger}: {_place(finding)}{finding.message}")
    if findings:
        click.echo(f"{ledger}: {len(findings)} findings in {entries} entries")
        raise click.exceptions.Exit(1)
    click.echo(f"{ledger}: {entries} entries, nothing is wrong")


async def _verify(settings: Settings, ledger: str) -> tuple[int, list[Finding]]:
    """How many entries there are, and what is wrong with them."""
    entries = 0
    with click.progressbar(length=1, label="verifying", file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            nonlocal entries
            entries = bar.length = total
            bar.update(done - bar.pos)

        async with books(settings) as opened:
            if ledger not in await opened.directory.resolve([ledger]):
                raise NotFound(f"there is no ledger {ledger!r}")
            async with opened.database.snapshot(None) as connection:
                findings = [finding async for finding in verify(connection, ledger, progress=progress)]
                return entries, findings


def _place(finding: Finding) -> str:
    return "" if finding.sequence is None else f"entry {finding.sequence}: "
