"""`ledgergraph import`: entries of a CSV file into a ledger."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.common import database_options, examples, faults, run, settings_from
from gateway.config import Settings
from gateway.importing import ImportFile, Summary, create_missing_accounts, post_file, provide_ledger, read_file, spans
from gateway.openbooks import books, local_caller
from sources.money import EXPONENTS

_POSTED_BY = "import"


@click.command(
    "import",
    epilog=examples(
        "ledgergraph import january.csv --ledger acme-us",
        "ledgergraph import old-books.csv --ledger archive --create-ledger USD --create-accounts",
        "ledgergraph import payroll.csv --ledger acme-us --batch payroll-2026-11 --atomic",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--ledger", required=True, metavar="CODE", help="The ledger to post to.")
@click.option("--batch", metavar="NAME", help="Begins every entry's key (default: the file's name without .csv).")
@click.option(
    "--create-ledger",
    metavar="CURRENCY",
    type=click.Choice(sorted(EXPONENTS)),
    help="Create the ledger with this functional currency if it is missing.",
)
@click.option("--create-accounts", is_flag=True, help="Create missing accounts from account_type and account_name.")
@click.option("--atomic", is_flag=True, help="Post all entries or none.")
@database_options
def command(
    file: Path,
    ledger: str,
    batch: str | None,
    create_ledger: str | None,
    create_accounts: bool,
    atomic: bool,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Post the entries of FILE, a CSV file in UTF-8.

    The first row names the columns: entry,date,description,account,debit,credit,currency and optionally account_type,
    account_name, reference, functional_amount, dimension:<name>. Rows of one `entry` value form one entry, wherever they
    stand. Its key is the batch name and that value: importing a file again posts nothing new. A row of account, account_type
    and account_name alone states an account for --create-accounts: so a chart can be imported.

    An entry that is refused is reported with its lines, and nothing of it is posted. Exit status: 0 all entries are in
    the books, 1 some were refused, 2 the file or the options cannot work.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    with faults(), read_file(file) as found:
        summary = run(
            lambda: _import(settings, found, ledger, batch or file.stem, create_ledger, create_accounts, atomic)
        )
        if found.outline.alone:
            told = "are in the chart" if create_accounts else "are created with --create-accounts"
            click.echo(f"{file.name}: {found.outline.alone} rows state accounts, which {told}", err=True)
    _report(summary, file.name, ledger, atomic)


async def _import(
    settings: Settings,
    file: ImportFile,
    code: str,
    batch: str,
    create_ledger: str | None,
    create_accounts: bool,
    atomic: bool,
) -> Summary:
    caller = local_caller(_POSTED_BY)
    async with books(settings) as opened:
        ledger = await provide_ledger(opened.database, opened.directory, caller, code, create_ledger)
        if create_accounts:
            await create_missing_accounts(opened.database, caller, ledger, file.outline.accounts)
        with click.progressbar(length=file.count, label="posting", file=sys.stderr) as bar:
            return await post_file(opened.poster, ledger, file, batch, _POSTED_BY, atomic=atomic, progress=bar.update)


def _report(summary: Summary, name: str, ledger: str, atomic: bool) -> None:
    for refusal in sorted(summary.refusals, key=lambda refusal: refusal.line_numbers):
        for reason in refusal.reasons:
            click.echo(f"{name}: {spans(refusal.line_numbers)}: entry {refusal.entry}: {reason}", err=True)
    click.echo(
        f"{name} -> {ledger}: {summary.posted} posted, {summary.replayed} replayed, {len(summary.refusals)} refused"
    )
    if summary.refusals:
        if atomic:
            click.echo("nothing was posted: --atomic posts all entries or none", err=True)
        raise click.exceptions.Exit(1)
