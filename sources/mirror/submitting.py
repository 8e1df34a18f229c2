"""Documents that somebody submits, or files that state them: stored as a pull's pages are, under the source's lock, with the outcome
of each. Of a source that is read besides, where its next pull begins and how old its copy is stay as they are.

The same content again changes nothing. A submission with a revision older than the one that is held changes nothing either, nor does
a file again after a newer one of its document, so a request that is late, or repeated after a newer one, does no harm. A statement belongs to one account for good: another one of its id
would take its transactions away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sources.connectors.registry import DOCUMENT_KINDS, KINDS
from sources.documents import BankStatement, Deletion, Document, Page, ReadFile
from sources.mirror import state, store, writing
from sources.mirror.changes import Changes
from sources.mirror.rows import MAX_KEY, Unstorable
from sources.mirror.settings import SourceSettings
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection


_CURSOR = "submitted"


class Outcome(StrEnum):
    """What a submission changed."""

    NEW = "NEW"
    CHANGED = "CHANGED"
    UNCHANGED = "UNCHANGED"
    DELETED = "DELETED"
    STALE = "STALE"


@dataclass(frozen=True, slots=True)
class Submission:
    """A document, or the deletion of one. `revision`: the submitter's own number of this version, None: the last one counts.
    `file`: the name and checksum of the one that states it, None: it is of no file."""

    document: Document | Deletion
    revision: int | None = None
    file: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Its kind and its external id."""
        document = self.document
        kind = document.kind if isinstance(document, Deletion) else writing.kind_of(document)
        return kind, clean(document.external_id)


@dataclass(frozen=True, slots=True)
class Refused:
    """A document that cannot be held, with the reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Held:
    content_hash: str
    gone: bool
    account: str | None


Results = list[Outcome | Refused]


async def submit(
    connection: Connection,
    settings: SourceSettings,
    ledgers: Mapping[str, int],
    groups: Sequence[Sequence[Submission]],
    submitted_by: str,
) -> list[Results]:
    """Stores them in one transaction; answers in their order. Of a group of which one cannot be held, none is. What one request
    states twice counts as stated last. The caller holds the source's lock. Raises SourceUnavailable."""
    found = await state.standing(connection, settings, ledgers[settings.home])
    run = await store.begin(connection, settings, ledgers, found)
    run.submitted = not KINDS[settings.kind].takes_submissions
    submissions = [each for group in groups for each in group]
    async with connection.transaction():
        before = await _held(connection, settings.name, submissions)
        newest = await _revisions(connection, settings.name, ledgers, submissions)
        refused = await asyncio.to_thread(_refusals, settings, groups, before)
        late = await _late(connection, settings.name, ledgers, submissions, before)
        outcomes, counting = _sorted_out(submissions, refused, newest, late)
        taken = [submissions[number] for number in sorted(counting.values())]
        documents = [each.document for each in taken if not isinstance(each.document, Deletion)]
        deletions = [each.document for each in taken if isinstance(each.document, Deletion)]
        page = Page(documents=documents, cursor=_CURSOR, deletions=deletions, complete=True, files=list(_files(taken)))
        await store.store_page(connection, run, page)
        if run.submitted:
            await store.end_submitted(connection, run)
        else:
            await store.end(connection, run, None, everything=False)
        await _remember(connection, settings, ledgers, taken, submitted_by)
        after = await _held(connection, settings.name, taken)
    for key, number in counting.items():
        outcomes[number] = _outcome(before.get(key), after.get(key))
    answered = iter(outcomes)
    return [[next(answered) for _ in group] for group in groups]


_Key = tuple[str, str]


async def _late(
    connection: Connection,
    source: str,
    ledgers: Mapping[str, int],
    submissions: Sequence[Submission],
    before: Mapping[_Key, _Held],
) -> set[tuple[_Key, str]]:
    """Key and checksum of what files state that stated it before another file did."""
    given = {
        (*each.key, each.file[1])
        for each in submissions
        if each.file is not None and (held := before.get(each.key)) is not None and not held.gone
    }
    if not given:
        return set()
    columns = [list(column) for column in zip(*given, strict=True)]
    rows = await connection.fetch(_LATE, list(ledgers.values()), source, *columns)
    return {((row["kind"], row["external_id"]), row["checksum"]) for row in rows}


def _files(taken: Sequence[Submission]) -> Iterator[ReadFile]:
    for each in taken:
        if each.file is not None and not isinstance(each.document, Deletion):
            name, checksum = each.file
            yield ReadFile(name, checksum, ((type(each.document), each.document.external_id),))


def _sorted_out(
    submissions: Sequence[Submission],
    refused: Mapping[int, str],
    newest: dict[_Key, int | None],
    late: Collection[tuple[_Key, str]],
) -> tuple[Results, dict[_Key, int]]:
    """The outcomes of those that change nothing, STALE in the others' places; and the positions of the others by their key.
    `refused`: reasons by position. `newest`: revisions by key, which are brought up to date. `late`: see `_late`."""
    outcomes: Results = [Outcome.STALE] * len(submissions)
    counting: dict[_Key, int] = {}
    for number, submission in enumerate(submissions):
        key = submission.key
        if number in refused:
            outcomes[number] = Refused(refused[number])
        elif submission.file is not None and (key, submission.file[1]) in late:
            continue
        elif not _stale(submission.revision, newest.get(key)):
            counting[key] = number
            newest[key] = submission.revision
    return outcomes, counting


def _refusals(
    settings: SourceSettings, groups: Sequence[Sequence[Submission]], before: Mapping[_Key, _Held]
) -> dict[int, str]:
    """By position."""
    accounts = {key[1]: held.account for key, held in before.items() if held.account is not None and not held.gone}
    found: dict[int, str] = {}
    number = 0
    for group in groups:
        reasons = [_refusal(settings, each, accounts) for each in group]
        if any(reasons):
            found |= {
                number + place: reason or "another document of its file cannot be kept"
                for place, reason in enumerate(reasons)
            }
        number += len(group)
    return found


def _refusal(settings: SourceSettings, submission: Submission, accounts: dict[str, str]) -> str | None:
    """`accounts`: of statements by their ids, to which this one's is added."""
    document, (_, external_id) = submission.document, submission.key
    if isinstance(document, Deletion):
        return None if 0 < len(external_id) <= MAX_KEY else f"its id must have between 1 and {MAX_KEY} characters"
    try:
        writing.Batch(Changes(settings.name, None, posts=False)).add(0, document)  # type: ignore[arg-type]
    except Unstorable as error:
        return str(error)
    if isinstance(document, BankStatement):
        account = clean(document.account.external_id)
        if accounts.setdefault(external_id, account) != account:
            return "its id is that of a statement of another account: make the account part of the id, or delete that one first"
    return None


def _stale(revision: int | None, held: int | None) -> bool:
    return revision is not None and held is not None and revision < held


def _outcome(before: _Held | None, after: _Held | None) -> Outcome:
    if after is None or after.gone:
        return Outcome.DELETED if before is not None and not before.gone else Outcome.UNCHANGED
    if before is None:
        return Outcome.NEW
    return Outcome.UNCHANGED if (before.content_hash, before.gone) == (after.content_hash, False) else Outcome.CHANGED


async def _held(connection: Connection, source: str, submissions: Sequence[Submission]) -> dict[_Key, _Held]:
    found: dict[_Key, _Held] = {}
    for kind in DOCUMENT_KINDS:
        ids = sorted({each.key[1] for each in submissions if each.key[0] == kind})
        for row in await connection.fetch(_HELD[kind], source, ids) if ids else ():
            found[kind, row["external_id"]] = _Held(row["content_hash"], row["gone"], row["account"])
    return found


async def _revisions(
    connection: Connection, source: str, ledgers: Mapping[str, int], submissions: Sequence[Submission]
) -> dict[_Key, int | None]:
    """The revision submitted last of each, also of a deletion of what was never held, and of a statement whose account moved
    to another ledger."""
    keys = {each.key for each in submissions}
    kinds, ids = [kind for kind, _ in keys], [external_id for _, external_id in keys]
    told = await connection.fetch(_REVISIONS, list(ledgers.values()), source, kinds, ids)
    return {(row["kind"], row["external_id"]): row["revision"] for row in told}


async def _remember(
    connection: Connection,
    settings: SourceSettings,
    ledgers: Mapping[str, int],
    taken: Sequence[Submission],
    submitted_by: str,
) -> None:
    rows = [(*each.key, each.revision, ledgers[_ledger(settings, each.document)]) for each in taken]
    if rows:
        kinds, ids, revisions, ledger_ids = (list(column) for column in zip(*rows, strict=True))
        await connection.execute(_REMEMBER, settings.name, submitted_by, ledger_ids, kinds, ids, revisions)


def _ledger(settings: SourceSettings, document: Document | Deletion) -> str:
    return settings.home if isinstance(document, Deletion) else settings.ledger_of(document)


_HELD = {
    kind: f"""
SELECT external_id, encode(content_hash, 'hex') AS content_hash, deleted_at IS NOT NULL AS gone,
    {"account" if kind == "bank_statement" else "NULL"} AS account
FROM mirror.{kind} WHERE source = $1 AND external_id = ANY($2) ORDER BY deleted_at NULLS LAST"""
    for kind in DOCUMENT_KINDS
}
_REVISIONS = """
SELECT DISTINCT ON (kind, external_id) kind, external_id, revision FROM mirror.submission
WHERE ledger_id = ANY($1) AND source = $2 AND (kind, external_id) IN (SELECT * FROM unnest($3::text[], $4::text[]))
ORDER BY kind, external_id, submitted_at DESC"""
_LATE = """
SELECT kind, external_id, checksum FROM mirror.document_file stated
WHERE ledger_id = ANY($1) AND source = $2 AND NOT kept
    AND (kind, external_id, checksum) IN (SELECT * FROM unnest($3::text[], $4::text[], $5::text[]))
    AND EXISTS (SELECT FROM mirror.document_file later WHERE later.ledger_id = stated.ledger_id AND later.source = $2
        AND later.kind = stated.kind AND later.external_id = stated.external_id AND later.place > stated.place AND NOT later.kept)"""
_REMEMBER = """
INSERT INTO mirror.submission (ledger_id, source, kind, external_id, revision, submitted_by, submitted_at)
SELECT ledger_id, $1, kind, external_id, revision, $2, clock_timestamp()
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bigint[]) AS given (ledger_id, kind, external_id, revision)
ON CONFLICT (ledger_id, source, kind, external_id) DO UPDATE
SET revision = excluded.revision, submitted_by = excluded.submitted_by, submitted_at = excluded.submitted_at"""
