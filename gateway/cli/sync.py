"""`ledgergraph sync`: reads a source now, and posts what changed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import click

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.openbooks import Books, books
from gateway.rulefiles import provide_rules, read_rules
from gateway.sourceconfig import connector_for
from sources.errors import InvalidArgument, NotFound, SourceUnavailable
from sources.mirror.freshness import Pulled
from sources.mirror.refresh import Refresher
from sources.mirror.restating import Rest, Restated
from sources.mirror.settings import SourceSettings
from sources.pipeline.overview import documents_read, issues_since, moment, standings
from sources.pipeline.worker import Counts, Pipeline

_LOOKS = 0.5
"""Seconds between two looks at how far a pull is."""
_SHOWN: Final = 20
_WIDEST: Final = 300


@click.command(
    "sync",
    short_help="Read a source now, and post what changed.",
    epilog=examples(
        "ledgergraph sync stripe-us --config sources.toml",
        "ledgergraph sync stripe-us --config sources.toml --no-post",
        "ledgergraph sync bank-export --config sources.toml --again",
        "ledgergraph sync bank-export --config sources.toml --again --rest keep",
    ),
)
@click.argument("name")
@click.option("--no-post", is_flag=True, help="Read only: leave the documents for a gateway to post.")
@click.option("--again", is_flag=True, help="Read all files of a folder once more, by the settings as they are now.")
@click.option(
    "--rest",
    type=click.Choice([each.value for each in Rest]),
    help="With --again: what becomes of documents whose files are gone, or read no more.",
)
@database_options
def command(
    name: str,
    no_post: bool,
    again: bool,
    rest: str | None,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Read what has changed in the source NAME since it was read last, and post it by its ledger's rules.

    A first reading may take long; when it is broken off, the next one goes on from there. A gateway may serve meanwhile. Exit
    status: 0 the source was read to its end, 1 it could not be, 2 something has to be stated otherwise.

    --again is for a source of files whose settings were mended: every file, also those in its subfolder done, is read once more, in
    one transaction. What the files gave before and give no more is let go of, and its entries are reversed. When files that
    were read are gone, or read no more, nothing changes until --rest says what becomes of their documents: keep leaves them as
    they are, delete lets go of them.
    """
    if rest and not again:
        raise click.UsageError("--rest goes with --again")
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config)
    chosen = Rest(rest) if rest else None
    run(lambda: _sync(settings, name, again=again, rest=chosen, post=not no_post))


async def _sync(settings: Settings, name: str, *, again: bool, rest: Rest | None, post: bool) -> None:
    source = next((each for each in settings.sources if each.name == name), None)
    if source is None:
        known = ", ".join(each.name for each in settings.sources) or "none: see --config"
        raise NotFound(f"There is no source {name}; there are {known}.")
    rules = read_rules(settings.mapping)
    async with books(settings) as opened:
        began = await _now(opened)
        pulled = await _pull(opened, source, again=again, rest=rest)
        if pulled.error is not None or pulled.as_of is None:
            await _tell_issues(opened, name, began, said=pulled.error)
            raise SourceUnavailable(f"{name} could not be read: {pulled.error or 'no copy is held.'}")
        await _tell_held(opened, name, pulled.as_of)
        if post and source.post_from is not None:
            await provide_rules(opened.database, opened.directory, source.ledgers, rules)
            _tell_posted(name, await _post(opened, source))
        await _tell_issues(opened, name, began)


async def _pull(opened: Books, source: SourceSettings, *, again: bool, rest: Rest | None) -> Pulled:
    refresher = Refresher(opened.database, [(source, connector_for(source))])
    try:
        if again:
            _tell_restated(source.name, await _restate(refresher, source.name, rest))
        pulling = asyncio.ensure_future(_read(refresher, source.name))
        while not (await asyncio.wait((pulling,), timeout=_LOOKS))[0]:
            await _tell(opened, source.name)
        await _tell(opened, source.name, last=True)
        return pulling.result()
    finally:
        await refresher.close()


async def _restate(refresher: Refresher, name: str, rest: Rest | None) -> Restated:
    def tell(files: int, documents: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{name}: {files} files read again, {documents} documents", err=True, nl=False)

    if not refresher.reads_files(name):
        raise InvalidArgument(f"{name} reads no files: leave out --again")
    try:
        return await refresher.restate(name, rest, tell)
    finally:
        if sys.stderr.isatty():
            click.echo(err=True)


def _tell_restated(name: str, restated: Restated) -> None:
    click.echo(
        f"{name}: {_count(restated.files, 'file')} read again: {_count(restated.documents, 'document')}, {restated.changed} new or changed; "
        f"{restated.deleted} let go of, {restated.kept} kept that no file states"
    )
    if restated.matches:
        click.echo(
            f"{name}: {_count(len(restated.matches), 'match', 'matches')} withdrawn ({restated.by_people} that people confirmed), "
            "because what they match is told of under other ids now; what is certain is matched anew, see to the rest:"
        )
        _list(restated.matches)


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _list(lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        click.echo(f"  {_plain(line)}")
    if len(lines) > _SHOWN:
        click.echo(f"  … and {len(lines) - _SHOWN} more")


def _plain(text: str) -> str:
    """Without control characters: the texts are other people's."""
    return "".join(each if each.isprintable() else " " for each in text)[:_WIDEST]


async def _read(refresher: Refresher, name: str) -> Pulled:
    pulled = await refresher.sync(name)
    await refresher.payslips_read(name)
    return pulled


async def _now(opened: Books) -> datetime:
    async with opened.database.writer() as connection:
        return await moment(connection)


async def _tell(opened: Books, name: str, *, last: bool = False) -> None:
    if sys.stderr.isatty():
        async with opened.database.writer() as connection:
            count = await documents_read(connection, name)
        click.echo(f"\r{name}: {count} documents", err=True, nl=last)


async def _tell_held(opened: Books, name: str, as_of: datetime) -> None:
    async with opened.database.writer() as connection, connection.transaction():
        held = (await standings(connection, [name]))[name].documents
    click.echo(f"{name}: {_count(held, 'document')} held, as of {as_of:%Y-%m-%d %H:%M:%S} UTC")


def _tell_posted(name: str, counts: Counts) -> None:
    states = (
        ", ".join(f"{count} {state.lower()}" for state, count in sorted(counts.statuses.items())) or "nothing to do"
    )
    click.echo(f"{name}: {counts.entries} entries and {counts.reversals} reversals posted ({states})")
    if counts.busy:
        click.echo(f"{name}: a gateway posts the rest", err=True)


async def _tell_issues(opened: Books, name: str, since: datetime, said: str | None = None) -> None:
    """Those that opened since then, but for what was `said` already."""
    async with opened.database.writer() as connection, connection.transaction():
        count, issues = await issues_since(connection, name, since, _SHOWN)
    shown = [each for each in issues if each.message != said]
    for each in shown:
        click.echo(f"{each.code} {_plain(each.subject)}: {_plain(each.message)}", err=True)
    if shown:
        more = f"{count - len(issues)} more; " if count > len(issues) else ""
        click.echo(f"{name}: {more}what to do about each: ledgergraph issues --source {name}", err=True)


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
