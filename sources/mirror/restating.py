"""All files of a source read once more, as its settings are now, in one transaction: afterwards what is held of it is what its files state.

    begin -> every page -> what no file states any more: replaced, or of files that are gone -> deleted or kept -> told -> end

A document that was stated by a file which is there and reads is replaced by what that file states now. One whose files are all gone, or
read no more, is a person's to decide about: until then nothing changes. A bank statement of which nothing counts, because others tell
of all its transactions, is let go of. Whoever dies meanwhile leaves everything as it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from sources.connectors.files import FilesConnector
from sources.connectors.registry import DOCUMENT_KINDS
from sources.errors import FilesMissing, InvalidArgument, InvalidRequest
from sources.mirror import deletions, layouts, state, store
from sources.mirror.changes import Changes
from sources.mirror.settings import SourceSettings
from sources.mirror.writing import Key
from sources.money import EXPONENTS, format_minor

if TYPE_CHECKING:
    from sources.database.pool import Connection

_SHOWN: Final = 20
_UNKNOWN: Final = "files that are not known"


class Rest(StrEnum):
    """What becomes of documents whose files are gone, or read no more."""

    KEEP = "keep"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Restated:
    """What came of it. `changed`: documents that are new, changed or back; `deleted`, `kept`: of those that no file states any more;
    `matches`: live matches of documents that are gone, each told by its bank transaction, `by_people` of them confirmed."""

    files: int
    documents: int
    changed: int
    deleted: int
    kept: int
    matches: Sequence[str]
    by_people: int


@dataclass(slots=True)
class _Files:
    """`read`: checksums; `refused`: checksum -> why it does not read; `looked_at`: how many."""

    read: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)
    looked_at: int = 0


@dataclass(frozen=True, slots=True)
class _Absent:
    """A document that no file states any more. `files`: name by checksum of those that stated it; `kept`: a person said that it
    stays, when it was so before."""

    key: Key
    files: Mapping[str, str]
    kept: bool


async def restate(
    connection: Connection,
    settings: SourceSettings,
    connector: FilesConnector,
    ledgers: Mapping[str, int],
    rest: Rest | None,
    tell: Callable[[int, int], None],
) -> Restated:
    """The caller holds the source's lock. `tell` is called with files and documents so far. Raises FilesMissing, InvalidRequest when what
    is to be kept would count twice, and SourceUnavailable; then nothing has changed."""
    found = await state.standing(connection, settings, ledgers[settings.home])
    if found.route is None:
        raise InvalidArgument(f"{settings.name} was not read yet, so there is nothing to read again: leave out --again")
    async with connection.transaction():
        await connection.execute(_UNHURRIED)
        run = await _begin(connection, settings, ledgers, found)
        silent = {("bank_statement", row[0], row[1]) for row in await connection.fetch(_SILENT, run.source)}
        files = await _read(connection, run, connector, tell)
        absent = await _absent(connection, run)
        gone = [each for each in absent if not (each.files.keys() & files.read) and each.key not in silent]
        undecided = [each for each in gone if not each.kept]
        if undecided and rest is None:
            raise FilesMissing(_refusal(run.source, undecided, files))
        kept = {each.key for each in gone if rest is Rest.KEEP or (rest is None and each.kept)}
        await _keep(connection, run, kept)
        run.deleted = await _drop(connection, run, [each.key for each in absent if each.key not in kept])
        if twice := await layouts.counted_twice(connection, run.source):
            raise InvalidRequest(f"Nothing was changed: {twice}.")
        return await _end(connection, run, files, len(kept))


async def _begin(
    connection: Connection, settings: SourceSettings, ledgers: Mapping[str, int], found: state.Standing
) -> store.Run:
    """The next pull sees to a cut-over that is another one."""
    posts = settings.post_from is not None and found.post_from is not None
    run = store.Run(settings, ledgers, found, None, posts)
    run.together = Changes(settings.name, found.now, posts=posts)
    await connection.execute(_ROUTE, settings.name, settings.kind, settings.route, settings.layout)
    return run


async def _read(
    connection: Connection, run: store.Run, connector: FilesConnector, tell: Callable[[int, int], None]
) -> _Files:
    files = _Files()
    async with aclosing(connector.restate()) as pages:
        async for page in pages:
            await store.store_page(connection, run, page)
            for each in page.files:
                files.looked_at += 1
                if each.reason is not None:
                    files.refused[each.checksum] = each.reason
                elif run.unkept.intersection(each.stated):
                    files.refused[each.checksum] = "a document of it cannot be kept"
                else:
                    files.read.add(each.checksum)
            tell(files.looked_at, run.documents)
    return files


async def _absent(connection: Connection, run: store.Run) -> list[_Absent]:
    """What is held and was not stated."""
    found = []
    for kind in DOCUMENT_KINDS:
        stated = [key for key in run.mentioned if key[0] == kind]
        columns = [key[1] for key in stated], [key[2] for key in stated]
        for row in await connection.fetch(_ABSENT[kind], run.source, *columns):
            files = dict(zip(row["checksums"], row["names"], strict=True))
            found.append(_Absent((kind, row["ledger_id"], row["external_id"]), files, row["kept"]))
    return found


async def _keep(connection: Connection, run: store.Run, kept: Collection[Key]) -> None:
    """Where their ids are those of other settings, files that tell of the same days are looked for from now on."""
    if kept and layouts.differs(run.settings, run.found):
        columns = [list(column) for column in zip(*sorted(kept), strict=True)]
        await connection.execute(_KEEP, run.source, *columns)


async def _drop(connection: Connection, run: store.Run, keys: Sequence[Key]) -> int:
    assert run.together is not None
    by_kind: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for kind, ledger_id, external_id in keys:
        by_kind[kind].append((ledger_id, external_id))
    for kind, documents in by_kind.items():
        await deletions.drop(connection, kind, documents, run.together)
        columns = [list(column) for column in zip(*documents, strict=True)]
        await connection.execute(_FORGET_FILES, run.source, kind, *columns)
    return len(keys)


async def _end(connection: Connection, run: store.Run, files: _Files, kept: int) -> Restated:
    assert run.together is not None
    matches: list[tuple[str, str]] = []
    if gone := run.together.gone:
        columns = [list(column) for column in zip(*gone, strict=True)]
        matches = [(_line(row), row["status"]) for row in await connection.fetch(_MATCHES, run.source, *columns)]
    await run.together.record(connection)
    await store.end(connection, run, None, everything=False)
    lines = [line for line, _ in matches]
    by_people = sum(status == "CONFIRMED" for _, status in matches)
    return Restated(files.looked_at, run.documents, run.changed, run.deleted, kept, lines, by_people)


def _line(row: Any) -> str:
    """A bank transaction, for people."""
    amount = format_minor(row["amount"], EXPONENTS[row["currency"]]) if row["currency"] else None
    told = (row["dated_on"], row["account"], amount, row["currency"], row["description"] or row["counterparty"])
    return " ".join(str(each) for each in told if each is not None)


def _refusal(source: str, gone: Sequence[_Absent], files: _Files) -> str:
    counts: dict[str, int] = defaultdict(int)
    for each in gone:
        reasons = [f"{name}: {files.refused.get(checksum, 'it is not there')}" for checksum, name in each.files.items()]
        counts[" / ".join(reasons) or _UNKNOWN] += 1
    lines = [f"  {reason} ({count} document{'s' if count > 1 else ''})" for reason, count in sorted(counts.items())]
    more = [f"  and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    first = f"Nothing was changed: documents of {source} ({len(gone)}) were stated by files that are gone, or that read no more:"
    last = (
        "Put the files back, or say what becomes of these documents: --rest keep leaves them as they are, --rest delete lets go of "
        "them, and their entries are reversed."
    )
    return "\n".join([first, *lines[:_SHOWN], *more, last])


# It waits for files longer than for anything else, and others wait for none of what it has locked.
_UNHURRIED = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"
_ROUTE = (
    "UPDATE mirror.source_state SET kind = $2, route = $3, layout = $4, cursor = NULL, documents = 0 WHERE source = $1"
)
_SILENT = """
SELECT s.ledger_id, s.external_id FROM mirror.bank_statement s
JOIN mirror.bank_transaction t ON t.ledger_id = s.ledger_id AND t.source = s.source AND t.statement = s.external_id
WHERE s.source = $1 AND s.deleted_at IS NULL AND t.deleted_at IS NULL
GROUP BY 1, 2 HAVING NOT bool_or(t.visible)"""
_ABSENT = {
    kind: f"""
SELECT held.ledger_id, held.external_id, coalesce(bool_and(file.kept), false) AS kept,
    coalesce(array_agg(file.checksum) FILTER (WHERE file.checksum <> ''), '{{}}') AS checksums,
    coalesce(array_agg(file.name) FILTER (WHERE file.checksum <> ''), '{{}}') AS names
FROM mirror.{kind} held
LEFT JOIN mirror.document_file file ON file.ledger_id = held.ledger_id AND file.source = held.source AND file.kind = '{kind}'
    AND file.external_id = held.external_id
WHERE held.source = $1 AND held.deleted_at IS NULL AND NOT EXISTS (
    SELECT FROM unnest($2::bigint[], $3::text[]) AS stated (ledger_id, external_id)
    WHERE stated.ledger_id = held.ledger_id AND stated.external_id = held.external_id)
GROUP BY 1, 2"""
    for kind in DOCUMENT_KINDS
}
_KEEP = """
INSERT INTO mirror.document_file AS held (ledger_id, source, kind, external_id, checksum, name, kept)
SELECT key.ledger_id, $1, key.kind, key.external_id, coalesce(file.checksum, ''), coalesce(file.name, ''), true
FROM unnest($2::text[], $3::bigint[], $4::text[]) AS key (kind, ledger_id, external_id)
LEFT JOIN mirror.document_file file ON file.ledger_id = key.ledger_id AND file.source = $1 AND file.kind = key.kind
    AND file.external_id = key.external_id
ON CONFLICT (ledger_id, source, kind, external_id, checksum) DO UPDATE SET kept = true"""
_FORGET_FILES = """
DELETE FROM mirror.document_file WHERE source = $1 AND kind = $2
    AND (ledger_id, external_id) IN (SELECT * FROM unnest($3::bigint[], $4::text[]))"""
_MATCHES = """
WITH gone AS (
    SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS key (ledger_id, kind, account, external_id)
), met AS (
    SELECT m.ledger_id, m.match_id FROM gone JOIN matching.match m ON m.ledger_id = gone.ledger_id AND m.source = $1
        AND m.account = gone.account AND m.external_id = gone.external_id AND gone.kind = 'bank_transaction'
    UNION
    SELECT a.ledger_id, a.match_id FROM gone JOIN matching.allocation a ON a.ledger_id = gone.ledger_id AND a.source = $1
        AND a.kind = gone.kind AND a.account = gone.account AND a.external_id = gone.external_id
)
SELECT m.status, t.dated_on, m.account, t.amount, t.currency, t.description, t.counterparty
FROM met JOIN matching.match m USING (ledger_id, match_id)
LEFT JOIN LATERAL (
    SELECT * FROM mirror.bank_transaction t WHERE t.ledger_id = m.ledger_id AND t.source = m.source AND t.account = m.account
        AND t.external_id = m.external_id LIMIT 1
) AS t ON true
WHERE m.status IN ('CERTAIN', 'CONFIRMED') ORDER BY m.account, t.dated_on, m.match_id"""
