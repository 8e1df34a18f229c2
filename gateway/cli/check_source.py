"""`ledgergraph check-source`: what a source's settings make of the system, before anything is stored."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import click
import orjson

from gateway.cli.common import examples, run, settings_from
from gateway.logs import configure
from gateway.sourceconfig import connector_for
from sources.connectors.registry import KINDS
from sources.documents import Document, Page, Problem
from sources.errors import ConfigurationError, NotFound
from sources.mirror.settings import SourceSettings
from sources.mirror.writing import kind_of
from sources.plain_documents import write_document

_COLUMNS = ("KIND", "ID", "DATE", "STATUS", "WHOSE", "AMOUNT", "")
_DATES = ("issue_date", "occurred_on", "pay_date", "to_date")
_WIDEST = 40


@click.command(
    "check-source",
    short_help="Show what a source's settings make of it; store nothing.",
    epilog=examples(
        "ledgergraph check-source erp --config sources.toml",
        "ledgergraph check-source erp --config sources.toml --json --most 3",
    ),
)
@click.argument("name")
@click.option(
    "--most", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Documents, and problems, to show."
)
@click.option("--json", "as_json", is_flag=True, help="A line of JSON for each document, with all of its fields.")
@click.option("--people", is_flag=True, help="With --json: payslips too, which are people's pay.")
@click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The TOML file with the source."
)
def command(name: str, most: int, as_json: bool, people: bool, config: Path | None) -> None:
    """Read the source NAME from its beginning and show the first documents as they would be held.

    Nothing is stored, posted or moved, and no database is needed. What cannot be read is told on standard error. Exit
    status: 0 all that was read makes documents, 1 some does not, or the source could not be read.
    """
    settings = settings_from(config=config, sources=[name])
    if settings.server.log_level in ("info", "warning"):
        configure("error")  # what connectors warn of is told below
    source = next(iter(settings.sources), None)
    found = run(lambda: _read(source or _missing(name, config), most))
    if as_json:
        for document in found.documents:
            click.echo(orjson.dumps(_shown(document, people=people)))
    else:
        _table([_COLUMNS, *map(_row, found.documents)])
    for problem in found.problems:
        click.echo(f"{problem.code} {problem.subject}: {problem.message}", err=True)
    more = "there is more" if found.more else "that is all there is"
    click.echo(f"{name}: {len(found.documents)} documents shown, {more}; nothing was stored", err=True)
    if found.problems:
        raise click.exceptions.Exit(1)


@dataclass(slots=True)
class _Found:
    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    more: bool = False

    def add(self, page: Page) -> None:
        """Some listings are read twice: what comes again is the same, or takes its place."""
        at = {(type(each), each.external_id): number for number, each in enumerate(self.documents)}
        for document in page.documents:
            number = at.setdefault((type(document), document.external_id), len(self.documents))
            self.documents[number : number + 1] = [document]
        self.problems += [each for each in page.problems if each not in self.problems]


def _missing(name: str, config: Path | None) -> NoReturn:
    known = ", ".join(each.name for each in settings_from(config=config).sources) or "none: see --config"
    raise NotFound(f"There is no source {name}; there are {known}.")


async def _read(source: SourceSettings, most: int) -> _Found:
    if KINDS[source.kind].takes_submissions:
        raise ConfigurationError(f"{source.name} is read by nobody: its documents are submitted.")
    if "when_read" in source.options:
        source = replace(source, options={**source.options, "when_read": "keep"})
    connector, found = connector_for(source), _Found()
    try:
        async with aclosing(connector.pull(None)) as pages:  # type: ignore[type-var]
            async for page in pages:
                found.add(page)
                if sys.stderr.isatty():
                    click.echo(f"\r{len(found.documents)} documents", err=True, nl=page.complete)
                if max(len(found.documents), len(found.problems)) >= most:
                    found.more = max(len(found.documents), len(found.problems)) > most or not page.complete
                    break
    finally:
        await connector.close()
    del found.documents[most:], found.problems[most:]
    return found


def _shown(document: Document, *, people: bool) -> dict[str, Any]:
    values = write_document(document)
    if not people and "payslips" in values:
        values["payslips"] = len(values["payslips"])
    return {"kind": kind_of(document), **values}


def _row(document: Document) -> tuple[str, ...]:
    values = write_document(document)
    whose = values.get("party", values.get("account", {}))
    parts = {key: len(values[key]) for key in ("lines", "payslips", "transactions") if key in values}
    return (
        kind_of(document),
        values["external_id"],
        next((values[key] for key in _DATES if key in values), ""),
        values.get("status", values.get("source_status", "")),
        whose.get("name") or whose.get("external_id", ""),
        next((f"{values[key]} {values['currency']}" for key in ("total", "amount", "net") if key in values), ""),
        ", ".join(f"{count} {key if count != 1 else key[:-1]}" for key, count in parts.items()),
    )


def _table(rows: Sequence[Sequence[str]]) -> None:
    """Without control characters: the texts are other people's."""
    cells = [["".join(c if c.isprintable() else " " for c in cell)[:_WIDEST] for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
