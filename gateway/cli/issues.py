"""`ledgergraph issues`: what is wrong with sources and documents, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import click
import orjson

from gateway.cli.common import database_options, examples, run, settings_from
from gateway.config import Settings
from gateway.openbooks import books
from sources.pipeline.overview import OpenIssue, open_issues


@click.command(
    "issues",
    short_help="List the open issues and what to do about each.",
    epilog=examples(
        "ledgergraph issues",
        "ledgergraph issues --ledger acme-us --source stripe-us",
        "ledgergraph issues --code UNKNOWN_ACCOUNT_NAME --json",
    ),
)
@click.option("--ledger", metavar="CODE", help="Of this ledger alone.")
@click.option("--source", metavar="NAME", help="Of this source alone.")
@click.option("--code", metavar="CODE", help="With this code alone, such as NO_RULE.")
@click.option(
    "--most",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="So many, those of one cause together.",
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each.")
@database_options
def command(
    ledger: str | None,
    source: str | None,
    code: str | None,
    most: int,
    as_json: bool,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """List the open issues: what cannot be read, mapped or posted, why, and what to do about it.

    Those that are muted are left out. Nothing is read or tried again. Exit status: 0 there are none, 1 there are some.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    count, found = run(lambda: _open(settings, ledger, source, code, most))
    for line in map(_json, found) if as_json else _told(found):
        click.echo(line)
    left = f"; the first {len(found)} are shown" if count > len(found) else ""
    click.echo(f"{count} open {'issue' if count == 1 else 'issues'}{left}", err=True)
    if count:
        raise click.exceptions.Exit(1)


async def _open(
    settings: Settings, ledger: str | None, source: str | None, code: str | None, most: int
) -> tuple[int, list[OpenIssue]]:
    async with books(settings) as opened, opened.database.writer() as connection, connection.transaction():
        return await open_issues(connection, ledger=ledger, source=source, code=code, most=most)


def _told(issues: Sequence[OpenIssue]) -> Iterator[str]:
    """Those of one cause under one heading, and of one hint above it."""
    for (ledger, source, code), group in groupby(issues, lambda each: (each.ledger, each.source, each.code)):
        yield f"{code} of {source} in {ledger}"
        for hint, alike in groupby(group, lambda each: each.hint):
            yield from (f"  {_plain(each.subject)}: {_plain(each.message)}{_when(each)}" for each in alike)
            if hint:
                yield f"    -> {_plain(hint)}"


def _when(issue: OpenIssue) -> str:
    again = f", tried again at {_moment(issue.retried)}" if issue.retried else ""
    return f" (since {_moment(issue.opened)}{again})"


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _plain(text: str) -> str:
    """On one line: the texts are other people's."""
    return "".join(c if c.isprintable() else " " for c in text)


def _json(issue: OpenIssue) -> bytes:
    return orjson.dumps(issue._asdict())
