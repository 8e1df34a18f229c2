"""A source of files whose settings changed is not read by halves: files that were read would state documents of other ids, or for another
ledger, beside those that are held, and what they tell of would count twice. It is stopped, with an open issue, until the settings
are put back or all of its files are read again (`sources.mirror.restating`).

What a person then keeps of files that are gone, or that read no more, has the ids of the old settings. A file that tells of the same
days as well is refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sources.connectors.registry import DOCUMENT_KINDS, KINDS
from sources.documents import Problem, ReadFile
from sources.errors import SourceUnavailable
from sources.mirror import issues
from sources.mirror.settings import SourceSettings
from sources.mirror.state import Standing
from sources.mirror.writing import Key, name_of
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

CODE: Final = "SETTINGS_CHANGED"

_SHOWN = 5


async def check(connection: Connection, settings: SourceSettings, home_id: int, found: Standing) -> None:
    """Raises SourceUnavailable when documents are held that the source's files would state otherwise now; opens the issue."""
    changed = _changed(settings, found)
    if not changed:
        if found.held.problems:
            await connection.execute(_CLOSE, settings.name, found.now, CODE)
        return
    if not await connection.fetchval(_HOLDS, settings.name):
        return
    message = (
        f"The settings of {settings.name} changed ({', '.join(changed)}), and its files would now state documents of other ids, or "
        "elsewhere, beside those that they stated before: they would count twice. Put the settings back, restart gateways that still "
        f"have others, or run `ledgergraph sync {settings.name} --again`, which reads all files once more. Until then nothing of the "
        "source is read or taken."
    )
    async with connection.transaction():
        problem = Problem(subject=settings.name, code=CODE, message=message)
        await issues.note(connection, home_id, settings.name, [problem], found.now, set())
        await connection.execute(_FAIL, settings.name, found.now, message)
    raise SourceUnavailable(message)


async def remember(connection: Connection, settings: SourceSettings, found: Standing) -> None:
    """The source's files are read by these settings from now on."""
    if found.layout != settings.layout:
        await connection.execute(_REMEMBER, settings.name, settings.layout)


async def note_files(connection: Connection, source: str, files: Sequence[ReadFile], held: Sequence[Key]) -> None:
    """What these files stated, of `held`."""
    ledgers: dict[tuple[str, str], int] = {(kind, external_id): ledger_id for kind, ledger_id, external_id in held}
    rows: dict[tuple[Any, ...], str] = {}
    for file in files:
        for kind, external_id in ((name_of(kind), clean(each)) for kind, each in file.stated):
            if file.reason is None and (kind, external_id) in ledgers:
                rows[ledgers[kind, external_id], kind, external_id, file.checksum] = clean(file.name)
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute(_NOTE, source, *columns, list(rows.values()))


async def counted_twice(connection: Connection, source: str) -> str | None:
    """Why documents that were kept, whose ids are of other settings, cannot stand beside what files state now: both tell of the same
    days. None: they can."""
    if not await connection.fetchval(_HAS_KEPT, source):
        return None
    rows = [*await connection.fetch(_STATEMENTS_TWICE, source), *await connection.fetch(_RUNS_TWICE, source)]
    if not rows:
        return None
    shown = "; ".join(f"{row['stated']} and {row['held']}: {row['first']} to {row['last']}" for row in rows[:_SHOWN])
    more = "; …" if len(rows) > _SHOWN else ""
    return (
        f"files tell of days that documents tell of too which were kept from before the settings of {source} changed, and whose ids "
        f"are others, so that they would count twice ({shown}{more}). Take those days out of the new files, or run `ledgergraph sync "
        f"{source} --again --rest delete`, which lets go of what was kept"
    )


def differs(settings: SourceSettings, found: Standing) -> bool:
    """Whether files that were read may state documents of other ids, or for other ledgers, than before: not by lying elsewhere."""
    before = json.loads(found.route)[:3] if found.route is not None else None
    return (found.layout, before) != (settings.layout, json.loads(settings.route)[:3])


def _changed(settings: SourceSettings, found: Standing) -> list[str]:
    """Names of the settings that are others than the source was read under."""
    if not KINDS[settings.kind].of_files or found.route is None:
        return []
    before, now = json.loads(found.route), json.loads(settings.route)
    names = [name for name, old, new in zip(("kind", "ledger", "accounts"), before, now, strict=False) if old != new]
    return [
        *names,
        *_differing(_options(found.layout), _options(settings.layout), found.layout),
    ]


def _options(layout: str | None) -> dict[str, Any]:
    return dict(json.loads(layout)) if layout else {}


def _differing(before: dict[str, Any], now: dict[str, Any], known: str | None = "") -> list[str]:
    """`known` None: nothing is known of before."""
    return [] if known is None else sorted(name for name in before | now if before.get(name) != now.get(name))


_HOLDS = f"""
SELECT EXISTS (SELECT FROM ledger.ledger l WHERE {
    " OR ".join(
        f"EXISTS (SELECT FROM mirror.{kind} held WHERE held.ledger_id = l.ledger_id AND held.source = $1 AND held.deleted_at IS NULL)"
        for kind in DOCUMENT_KINDS
    )
})"""
_FAIL = """
UPDATE mirror.source_state SET last_attempt_at = $2, last_error = $3, problems = greatest(problems, 1) WHERE source = $1"""
_CLOSE = "UPDATE mirror.issue SET closed_at = $2 WHERE source = $1 AND code = $3 AND closed_at IS NULL AND kind IS NULL"
_REMEMBER = "UPDATE mirror.source_state SET layout = $2 WHERE source = $1"
_NOTE = """
INSERT INTO mirror.document_file AS held (ledger_id, source, kind, external_id, checksum, name)
SELECT ledger_id, $1, kind, external_id, checksum, name
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[]) AS met (ledger_id, kind, external_id, checksum, name)
ON CONFLICT (ledger_id, source, kind, external_id, checksum) DO UPDATE SET kept = false, name = excluded.name WHERE held.kept"""
_HAS_KEPT = "SELECT EXISTS (SELECT FROM mirror.document_file WHERE source = $1 AND kept)"


def _is_kept(alias: str, kind: str, column: str = "external_id") -> str:
    """Of files that were read under other settings alone; those of which no file is known are not told apart."""
    return f"""(SELECT coalesce(bool_and(f.kept), true) FROM mirror.document_file f WHERE f.ledger_id = {alias}.ledger_id
        AND f.source = {alias}.source AND f.kind = '{kind}' AND f.external_id = {alias}.{column})"""


def _name(alias: str, kind: str) -> str:
    """Of a file that stated it, else its id."""
    return f"""coalesce((SELECT min(nullif(f.name, '')) FROM mirror.document_file f WHERE f.ledger_id = {alias}.ledger_id
        AND f.source = {alias}.source AND f.kind = '{kind}' AND f.external_id = {alias}.external_id), {alias}.external_id)"""


# Where the settings state the account of all files, what was kept of another one may be of the same account, stated wrongly: where both
# have the same amount on a day.
_STATEMENTS_TWICE = f"""
SELECT {_name("kept", "bank_statement")} AS held, {_name("stated", "bank_statement")} AS stated, min(t.dated_on) AS first,
    max(t.dated_on) AS last
FROM (SELECT DISTINCT ledger_id, external_id FROM mirror.document_file
    WHERE source = $1 AND kind = 'bank_statement' AND kept) AS marked
JOIN mirror.bank_statement kept ON kept.ledger_id = marked.ledger_id AND kept.source = $1
    AND kept.external_id = marked.external_id AND kept.deleted_at IS NULL
JOIN mirror.source_state state ON state.source = $1
JOIN mirror.bank_statement stated ON stated.source = $1 AND stated.deleted_at IS NULL
    AND (stated.account = kept.account AND stated.currency = kept.currency OR state.layout::jsonb ? 'account')
    AND (stated.ledger_id, stated.external_id) <> (kept.ledger_id, kept.external_id)
JOIN mirror.bank_transaction t ON t.ledger_id = kept.ledger_id AND t.source = $1 AND t.statement = kept.external_id
    AND t.deleted_at IS NULL AND t.dated_on BETWEEN stated.from_date AND stated.to_date
WHERE (stated.account = kept.account AND stated.currency = kept.currency OR state.layout::jsonb ? 'account' AND EXISTS (
        SELECT FROM mirror.bank_transaction alike WHERE alike.ledger_id = stated.ledger_id AND alike.source = $1
            AND alike.statement = stated.external_id AND alike.deleted_at IS NULL AND alike.dated_on = t.dated_on
            AND alike.amount = t.amount))
    AND {_is_kept("kept", "bank_statement")} AND NOT {_is_kept("stated", "bank_statement")}
    AND NOT EXISTS (SELECT FROM mirror.bank_transaction same WHERE same.ledger_id = t.ledger_id AND same.source = $1
        AND same.account = t.account AND same.external_id = t.external_id AND same.deleted_at IS NULL
        AND NOT {_is_kept("same", "bank_statement", "statement")})
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 20"""
_RUNS_TWICE = f"""
SELECT {_name("kept", "payroll_run")} AS held, {_name("stated", "payroll_run")} AS stated, least(kept.period_start, kept.pay_date) AS first,
    greatest(kept.period_end, kept.pay_date) AS last
FROM (SELECT DISTINCT ledger_id, external_id FROM mirror.document_file
    WHERE source = $1 AND kind = 'payroll_run' AND kept) AS marked
JOIN mirror.payroll_run kept ON kept.ledger_id = marked.ledger_id AND kept.source = $1
    AND kept.external_id = marked.external_id AND kept.deleted_at IS NULL
JOIN mirror.payroll_run stated ON stated.source = $1 AND stated.deleted_at IS NULL
    AND (stated.ledger_id, stated.external_id) <> (kept.ledger_id, kept.external_id)
    AND (stated.pay_date = kept.pay_date OR stated.period_start <= kept.period_end AND stated.period_end >= kept.period_start)
WHERE {_is_kept("kept", "payroll_run")} AND NOT {_is_kept("stated", "payroll_run")}
ORDER BY 1, 2 LIMIT 20"""
