"""Documents that somebody submits: stored as a pull's pages are, under the source's lock, with the outcome of each.

The same content again changes nothing. A submission with a revision older than the one that is held changes nothing either, so a
request that is late, or repeated after a newer one, does no harm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sources.connectors.registry import DOCUMENT_KINDS
from sources.documents import Deletion, Document, Page
from sources.mirror import state, store, writing
from sources.mirror.changes import Changes
from sources.mirror.rows import Unstorable
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
    """A document, or the deletion of one. `revision`: the submitter's own number of this version, None: the last one counts."""

    document: Document | Deletion
    revision: int | None = None

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


async def submit(
    connection: Connection,
    settings: SourceSettings,
    ledgers: Mapping[str, int],
    submissions: Sequence[Submission],
    submitted_by: str,
) -> list[Outcome | Refused]:
    """Stores them in one transaction; answers in their order. What one request states twice counts as stated last. The caller
    holds the source's lock."""
    async with connection.transaction():
        found = await state.standing(connection, settings, ledgers[settings.home])
        run = await store.begin(connection, settings, ledgers, found)
        before = await _held(connection, settings.name, submissions)
        newest = await _revisions(connection, settings.name, ledgers, submissions)
        outcomes, counting = _sorted_out(settings, ledgers, submissions, newest)
        taken = [submissions[number] for number in sorted(counting.values())]
        documents = [each.document for each in taken if not isinstance(each.document, Deletion)]
        deletions = [each.document for each in taken if isinstance(each.document, Deletion)]
        await store.store_page(
            connection, run, Page(documents=documents, cursor=_CURSOR, deletions=deletions, complete=True)
        )
        await store.end(connection, run, None, everything=False)
        await _remember(connection, settings, ledgers, taken, submitted_by)
        after = await _held(connection, settings.name, taken)
    for key, number in counting.items():
        outcomes[number] = _outcome(before.get(key), after.get(key))
    return outcomes


_Key = tuple[str, str]


def _sorted_out(
    settings: SourceSettings,
    ledgers: Mapping[str, int],
    submissions: Sequence[Submission],
    newest: dict[_Key, int | None],
) -> tuple[list[Outcome | Refused], dict[_Key, int]]:
    """The outcomes of those that change nothing, STALE in the others' places; and the positions of the others by their key.
    `newest`: revisions by key, which are brought up to date."""
    outcomes: list[Outcome | Refused] = [Outcome.STALE] * len(submissions)
    counting: dict[_Key, int] = {}
    for number, submission in enumerate(submissions):
        key, reason = submission.key, _refusal(settings, ledgers, submission)
        if reason is not None:
            outcomes[number] = Refused(reason)
        elif not _stale(submission.revision, newest.get(key)):
            counting[key] = number
            newest[key] = submission.revision
    return outcomes, counting


def _refusal(settings: SourceSettings, ledgers: Mapping[str, int], submission: Submission) -> str | None:
    document = submission.document
    if isinstance(document, Deletion):
        return None
    try:
        ledger_id = ledgers[settings.ledger_of(document)]
        writing.Batch(Changes(settings.name, None, posts=False)).add(ledger_id, document)  # type: ignore[arg-type]
    except Unstorable as error:
        return str(error)
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
            found[kind, row["external_id"]] = _Held(row["content_hash"], row["gone"])
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
SELECT external_id, encode(content_hash, 'hex') AS content_hash, deleted_at IS NOT NULL AS gone
FROM mirror.{kind} WHERE source = $1 AND external_id = ANY($2) ORDER BY deleted_at NULLS LAST"""
    for kind in DOCUMENT_KINDS
}
_REVISIONS = """
SELECT DISTINCT ON (kind, external_id) kind, external_id, revision FROM mirror.submission
WHERE ledger_id = ANY($1) AND source = $2 AND (kind, external_id) IN (SELECT * FROM unnest($3::text[], $4::text[]))
ORDER BY kind, external_id, submitted_at DESC"""
_REMEMBER = """
INSERT INTO mirror.submission (ledger_id, source, kind, external_id, revision, submitted_by, submitted_at)
SELECT ledger_id, $1, kind, external_id, revision, $2, clock_timestamp()
FROM unnest($3::bigint[], $4::text[], $5::text[], $6::bigint[]) AS given (ledger_id, kind, external_id, revision)
ON CONFLICT (ledger_id, source, kind, external_id) DO UPDATE
SET revision = excluded.revision, submitted_by = excluded.submitted_by, submitted_at = excluded.submitted_at"""
