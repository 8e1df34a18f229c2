"""`ledgergraph map`: what rules would post, and making them the ledger's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.common import database_options, examples, faults, run, settings_from
from gateway.config import Settings
from gateway.openbooks import books
from sources.database.pool import Database
from sources.errors import InvalidArgument, NotFound
from sources.ledger.directory import Directory
from sources.ledger.model import LedgerRef
from sources.mapping.compiled import RuleSet
from sources.mapping.model import MappedPosting
from sources.mapping.rules import load
from sources.pipeline import rulesets
from sources.pipeline.drafting import line_draft
from sources.pipeline.model import Key, Posting
from sources.pipeline.preview import Change, Preview, list_keys, preview
from sources.pipeline.taking import see

_STORED_BY = "map"
_AT_ONCE = 200


@click.command(
    "map",
    epilog=examples(
        "ledgergraph map --dry-run --ledger acme-us --file rules/us.toml",
        "ledgergraph map --dry-run --ledger acme-us --source stripe-us",
        "ledgergraph map --ledger acme-us --file rules/us.toml",
    ),
)
@click.option("--ledger", required=True, metavar="CODE", help="The ledger that the rules are for.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Rules, TOML.")
@click.option("--dry-run", is_flag=True, help="Show what the rules would post beside what is posted; change nothing.")
@click.option("--source", metavar="NAME", help="With --dry-run: documents of this source alone.")
@click.option("--quiet", is_flag=True, help="With --dry-run: the last line alone.")
@database_options
def command(
    ledger: str,
    path: Path | None,
    dry_run: bool,
    source: str | None,
    quiet: bool,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Make the rules of FILE those by which a ledger's documents become entries, or show what they would do.

    With --dry-run every stored document is mapped: + stands before an entry that is not posted, - before one that the rules do
    not call for, ! before a document that they cannot map. Without --file it is the rules that are active. Without --dry-run the
    rules are stored under a new version and made active; what is posted stays.

    Exit status: 0 every document maps, 1 some do not, 2 the rules or options cannot work.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config)
    with faults():
        given = _read(path) if path is not None else None
        if not dry_run:
            _check_place(settings, ledger, path)
    if path is not None and given is not None and not dry_run:
        click.echo(run(lambda: _store(settings, ledger, path, given)))
        return
    rules = load(given, str(path)) if given is not None else None
    counts = run(lambda: _show(settings, ledger, rules, source, quiet=quiet))
    told = ", ".join(f"{counts[word]} {word}" for word in ("as posted", "new", "changed", "gone"))
    click.echo(f"{ledger}: {counts['documents']} documents: {told}, {counts['issues']} issues")
    if counts["issues"]:
        raise click.exceptions.Exit(1)


def _read(path: Path) -> str:
    """A text that can be read as rules."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as fault:
        raise InvalidArgument(f"{path}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path}: must be UTF-8 text") from None
    load(text, str(path))
    return text


def _check_place(settings: Settings, code: str, path: Path | None) -> None:
    """The settings may name the file of a ledger's rules: then it is no other."""
    if path is None:
        raise InvalidArgument("--file: name the rules that are to be stored, or give --dry-run")
    own = settings.mapping.get(code)
    if own is not None and own != path.absolute():
        raise InvalidArgument(f"--file: the rules of {code} are those of {own}, as the settings say")


async def _store(settings: Settings, code: str, path: Path, text: str) -> str:
    async with books(settings) as opened:
        ledger = await _ledger(opened.directory, code)
        async with opened.database.writer() as connection, connection.transaction():
            await see(connection, ledger.ledger_id)
            name = path.name[-rulesets.LONGEST_NAME :]
            saved = await rulesets.save(connection, ledger.ledger_id, text=text, name=name, created_by=_STORED_BY)
            await rulesets.activate(connection, ledger.ledger_id, saved.version)
    return f"{code}: version {saved.version} of the rules is active"


async def _show(
    settings: Settings, code: str, given: RuleSet | None, source: str | None, *, quiet: bool
) -> Counter[str]:
    """Prints what would change; answers with how many of which kind there are."""
    counts: Counter[str] = Counter()
    async with books(settings) as opened:
        ledger = await _ledger(opened.directory, code)
        rules = given or await _active(opened.database, ledger)
        after: Key | None = None
        while keys := await list_keys(opened.database, ledger.ledger_id, source=source, after=after, first=_AT_ONCE):
            for found in await preview(opened.database, ledger.ledger_id, rules, keys):
                _count(counts, found)
                for line in () if quiet else _lines(found, ledger):
                    click.echo(line)
            after = keys[-1]
    return counts


async def _ledger(directory: Directory, code: str) -> LedgerRef:
    found = await directory.resolve([code])
    if code not in found:
        raise NotFound(f"There is no ledger {code}.")
    return found[code]


async def _active(database: Database, ledger: LedgerRef) -> RuleSet:
    async with database.writer() as connection, connection.transaction():
        await see(connection, ledger.ledger_id)
        stored = await rulesets.active(connection, ledger.ledger_id)
    if stored is None:
        raise NotFound(f"The ledger {ledger.code} has no rules yet: name some by --file.")
    return load(stored.text, stored.name)


def _count(counts: Counter[str], found: Preview) -> None:
    counts["documents"] += 1
    counts["issues"] += found.finding is not None
    for change in found.changes:
        counts[_kind(change)] += 1


def _kind(change: Change) -> str:
    if change.is_equal:
        return "as posted"
    return "new" if change.posted is None else "gone" if change.mapped is None else "changed"


def _lines(found: Preview, ledger: LedgerRef) -> Iterator[str]:
    key = found.key
    place = " ".join(part for part in (key.source, key.kind, key.account, key.external_id) if part)
    if found.finding is not None:
        yield f"! {place}: {found.finding.code}: {found.finding.message.rstrip('.')}. {found.finding.hint}"
    for change in found.changes:
        if change.posted is not None and not change.is_equal:
            yield _posted(place, change.posted)
        if change.mapped is not None and not change.is_equal:
            yield from _mapped(place, change.mapped, ledger)


def _posted(place: str, posting: Posting) -> str:
    return f"- {place}: {posting.name} {posting.effective_date}, entry {posting.sequence} by the rule {posting.rule}"


def _mapped(place: str, mapped: MappedPosting, ledger: LedgerRef) -> Iterator[str]:
    yield f"+ {place}: {mapped.name} {mapped.effective_date}, by the rule {mapped.rule}: {mapped.description}"
    for line in (line_draft(each, ledger.functional_currency) for each in mapped.lines):
        side, amount = ("debit", line.debit) if line.debit is not None else ("credit", line.credit)
        functional = f" ({line.functional_amount} {ledger.functional_currency})" if line.functional_amount else ""
        yield f"    {line.account:<12} {side:<6} {amount} {line.currency}{functional}"
