"""`ledgergraph map`: what rules would post, and making them the ledger's."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.common import database_options, examples, faults, run, settings_from
from gateway.config import Settings
from gateway.openbooks import books
from gateway.rulefiles import read_text
from sources.database.pool import Connection, Database
from sources.errors import InvalidArgument, NotFound
from sources.ledger.directory import Directory
from sources.ledger.model import EntryDraft, LedgerRef
from sources.mapping.compiled import RuleSet
from sources.mapping.rules import load
from sources.mapping.stated import stated_codes
from sources.pipeline import rulesets
from sources.pipeline.model import Key
from sources.pipeline.preview import Change, Claims, Preview, Verdict, list_keys, posting_sources, preview
from sources.pipeline.taking import see

_STORED_BY = "map"
_AT_ONCE = 200


@click.command(
    "map",
    short_help="Try a ledger's mapping rules, or make them active.",
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
@click.option(
    "--all", "everything", is_flag=True, help="With --dry-run: also documents for which nothing would be done."
)
@click.option("--quiet", is_flag=True, help="With --dry-run: the last line alone.")
@database_options
def command(
    ledger: str,
    path: Path | None,
    dry_run: bool,
    source: str | None,
    everything: bool,
    quiet: bool,
    data_dir: Path | None,
    database_url: str | None,
    config: Path | None,
) -> None:
    """Make the rules of FILE those by which a ledger's documents become entries, or show what they would do.

    With --dry-run each stored document is told with what would become of it, were it posted anew by the rules: POSTS, REPLACES
    or REVERSES what is posted, HELD or ISSUE, with why; + stands before an entry that would be posted, - before one that would
    be reversed. Documents that stay as they are, call for nothing or are from before their source's post_from are counted alone.
    Without --file it is the rules that are active. Without --dry-run the rules are stored under a new version and made active;
    what is posted stays. Accounts that they state and the ledger does not have are told on standard error.

    Exit status: 0 no document has an issue, 1 some have, 2 the rules or options cannot work.
    """
    settings = settings_from(data_dir=data_dir, database_url=database_url, config=config, sources=())
    with faults():
        given = read_text(path) if path is not None else None
        if not dry_run:
            _check_storing(settings, ledger, path, ("--source", source), ("--all", everything), ("--quiet", quiet))
    if path is not None and given is not None and not dry_run:
        click.echo(run(lambda: _store(settings, ledger, path, given)))
        return
    rules = load(given, str(path)) if given is not None else None
    counts = run(lambda: _show(settings, ledger, rules, given, source, everything=everything, quiet=quiet))
    told = ", ".join(
        f"{count} {verdict}{f' ({code})' if code else ''}" for (verdict, code), count in sorted(counts.items())
    )
    click.echo(f"{ledger}: {sum(counts.values())} documents" + (f": {told}" if told else ""))
    if any(verdict is Verdict.ISSUE for verdict, _ in counts):
        raise click.exceptions.Exit(1)


def _check_storing(settings: Settings, code: str, path: Path | None, *of_dry_run: tuple[str, object]) -> None:
    """The settings may name the file of a ledger's rules: then it is no other."""
    if useless := [name for name, given in of_dry_run if given]:
        raise InvalidArgument(f"{', '.join(useless)}: only together with --dry-run")
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
            await _tell_missing(connection, ledger, text)
    return f"{code}: version {saved.version} of the rules is active"


async def _show(
    settings: Settings,
    code: str,
    given: RuleSet | None,
    text: str | None,
    source: str | None,
    *,
    everything: bool,
    quiet: bool,
) -> Counter[tuple[Verdict, str]]:
    """Prints what would become of each document; answers with how many there are of each kind and code. `text`: of the given rules."""
    counts: Counter[tuple[Verdict, str]] = Counter()
    claims: Claims = {}
    async with books(settings) as opened:
        ledger = await _ledger(opened.directory, code)
        rules = given or await _active(opened.database, ledger)
        await _check_source(opened.database, ledger, source)
        if text is not None and not quiet:
            async with opened.database.writer() as connection, connection.transaction():
                await see(connection, ledger.ledger_id)
                await _tell_missing(connection, ledger, text)
        after: Key | None = None
        while keys := await list_keys(opened.database, ledger.ledger_id, source=source, after=after, first=_AT_ONCE):
            for found in await preview(opened.database, ledger.ledger_id, rules, keys, claims):
                counts[found.verdict, found.finding.code if found.finding else ""] += 1
                for line in () if quiet or (found.is_unchanged and not everything) else _lines(found):
                    click.echo(line)
            after = keys[-1]
            _tell(sum(counts.values()))
        _tell(sum(counts.values()), last=True)
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
    return load(stored.text, stored.name, stored.starter)


async def _tell_missing(connection: Connection, ledger: LedgerRef, text: str) -> None:
    """On standard error: accounts that the rules state and the ledger does not have, or not open."""
    stated = stated_codes(text)
    for account in sorted(await rulesets.missing_accounts(connection, ledger.ledger_id, stated)):
        click.echo(
            f"{ledger.code} has no open account {account} ({stated[account]}): create it, or name another", err=True
        )


async def _check_source(database: Database, ledger: LedgerRef, name: str | None) -> None:
    if name is not None and name not in (known := await posting_sources(database, ledger.ledger_id)):
        raise NotFound(f"There is no source {name} that posts; there are {', '.join(known) or 'none'}.")


def _tell(count: int, *, last: bool = False) -> None:
    if sys.stderr.isatty() and not sys.stdout.isatty():
        click.echo(f"\r{count} documents", err=True, nl=last)


def _lines(found: Preview) -> Iterator[str]:
    place = " ".join(
        part for part in (found.key.source, found.key.kind, found.key.account, found.key.external_id) if part
    )
    finding = found.finding
    why = f": {finding.code}: {finding.message.rstrip('.')}. {finding.hint}" if finding else ""
    yield f"{found.verdict.value:<8} {place}{why}"
    for change in found.changes:
        if change.reversed_on is not None and change.posted is not None:
            entry = f"entry {change.posted.sequence} of {change.posted.effective_date} by the rule {change.posted.rule}"
            yield f"  - {change.name} {change.reversed_on}: reverses {entry}"
        if change.draft is not None and not change.is_equal:
            yield from _draft(change, change.draft)


def _draft(change: Change, draft: EntryDraft) -> Iterator[str]:
    rule = f", by the rule {change.mapped.rule}" if change.mapped else ""
    yield f"  + {change.name} {draft.effective_date}{rule}: {draft.description}"
    functional_currency = draft.ledger.functional_currency
    for line in draft.lines:
        side, amount = ("debit", line.debit) if line.debit is not None else ("credit", line.credit)
        functional = f" ({line.functional_amount} {functional_currency})" if line.functional_amount else ""
        yield f"      {line.account:<12} {side:<6} {amount} {line.currency}{functional}"
