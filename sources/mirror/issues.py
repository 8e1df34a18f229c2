"""Integration problems that wait to be resolved: one row per cause and subject, open until the subject reads well again.

A source's own issues (a file, a record that cannot be read) close with a pull that meets them no more. Issues of documents that
are stored (they cannot be mapped, or posted) close when the document is dealt with: no pull touches them. A person may resolve an
issue of either sort, or mute it for a time; whatever is met again opens again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sources.documents import Problem
from sources.errors import NotFound
from sources.mirror.hints import HINTS
from sources.mirror.rows import MAX_MESSAGE
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

Cause = tuple[str, str]
"""Code and subject of an issue."""
MAX_SUBJECT = 500
LONGEST_PAUSE_MINUTES = 360

Document = tuple[str, str, str, str]
"""source, kind, account ("" but for bank transactions) and external id of a stored document."""


class DocumentIssue(NamedTuple):
    """Why a stored document could not be dealt with. `hint`: what to do; `excerpt`: what helps to find the document, without
    secrets and names of people; `retried`: trying again may help without anybody doing anything."""

    document: Document
    code: str
    message: str
    hint: str | None = None
    excerpt: str | None = None
    retried: bool = False


class IssueKey(NamedTuple):
    """Names an issue within its ledger."""

    source: str
    code: str
    subject: str


async def note(
    connection: Connection,
    ledger_id: int,
    source: str,
    problems: Iterable[Problem],
    started_at: datetime,
    noted: set[Cause],
) -> None:
    """Opens issues, or counts them once more for the run that began at `started_at`. `noted`: the run's causes so far."""
    stated = {cause_of(each): each for each in problems}
    fresh = {cause: problem for cause, problem in stated.items() if cause not in noted}
    noted.update(stated)
    if fresh:
        codes, subjects = [code for code, _ in fresh], [subject for _, subject in fresh]
        messages = [clean(each.message)[:MAX_MESSAGE] for each in fresh.values()]
        again = [each.again and clean(each.again) for each in fresh.values()]
        hints = [HINTS.get(code) for code in codes]
        await connection.execute(_NOTE, ledger_id, source, started_at, codes, subjects, messages, again, hints)


def cause_of(problem: Problem) -> Cause:
    return clean(problem.code), clean(problem.subject)[:MAX_SUBJECT]


async def due(connection: Connection, ledger_id: int, source: str, now: datetime, most: int) -> Sequence[Problem]:
    """Records that could not be read and are to be asked for again by now, those that wait longest first."""
    rows = await connection.fetch(_DUE, ledger_id, source, now, most)
    return [Problem(code=code, subject=subject, message=message, again=again) for code, subject, message, again in rows]


async def put_off(
    connection: Connection, ledger_id: int, source: str, problems: Iterable[Problem], now: datetime
) -> None:
    """They could not be asked for: they are tried again later."""
    await _of_causes(connection, _PUT_OFF, ledger_id, source, map(cause_of, problems), now)


async def close_causes(
    connection: Connection, ledger_id: int, source: str, causes: Iterable[Cause], now: datetime
) -> None:
    await _of_causes(connection, _CLOSE_CAUSES, ledger_id, source, causes, now)


async def close_read(
    connection: Connection, ledger_id: int, source: str, external_ids: Sequence[str], kept: set[Cause], now: datetime
) -> None:
    """Closes the issues whose subject names one of these documents, which were read well; not those of the run itself."""
    await _close(connection, _CLOSE_READ, ledger_id, source, kept, now, external_ids)


async def close_absent(
    connection: Connection,
    ledger_id: int,
    source: str,
    kept: set[Cause],
    now: datetime,
    codes: Sequence[str] | None = None,
) -> None:
    """Closes what a run did not meet: of every code when it read everything, of `codes` when it names all of those."""
    await _close(connection, _CLOSE_ABSENT, ledger_id, source, kept, now, codes)


async def count_open(connection: Connection, ledger_id: int, source: str) -> int:
    return int(await connection.fetchval(_COUNT, ledger_id, source))


async def note_documents(
    connection: Connection, ledger_id: int, issues: Iterable[DocumentIssue], now: datetime
) -> Mapping[Document, datetime | None]:
    """Opens these issues, or counts them once more, and closes what else is open of their documents (at most one issue of each,
    the last one counts). Answers with the moment at which each document is tried again, None: not by itself."""
    stated = {each.document: each for each in issues}
    if not stated:
        return {}
    columns = [list(column) for column in zip(*sorted(stated), strict=True)]
    met = [stated[document] for document in sorted(stated)]
    rows = await connection.fetch(
        _NOTE_DOCUMENTS,
        ledger_id,
        now,
        *columns,
        [clean(each.code) for each in met],
        [subject_of(each.document) for each in met],
        [clean(each.message)[:MAX_MESSAGE] for each in met],
        [each.hint and clean(each.hint)[:MAX_MESSAGE] for each in met],
        [each.excerpt and clean(each.excerpt)[:MAX_MESSAGE] for each in met],
        [each.retried for each in met],
    )
    return {tuple(row[:4]): row[4] for row in rows}


async def close_documents(connection: Connection, ledger_id: int, documents: Iterable[Document], now: datetime) -> int:
    """Closes what is open of these documents, which were dealt with; answers with the number of those issues."""
    wanted = sorted(set(documents))
    if not wanted:
        return 0
    columns = [list(column) for column in zip(*wanted, strict=True)]
    return len(await connection.fetch(_CLOSE_DOCUMENTS, ledger_id, now, *columns))


async def resolve(
    connection: Connection, ledger_id: int, issue: IssueKey, by: str, remark: str | None, now: datetime
) -> Document | None:
    """Closes an open issue in the name of a person, who may leave a note. Answers with its document, which the caller has looked
    at again (None: it is the source's own issue). Raises NotFound."""
    note_text = remark and clean(remark)[:MAX_MESSAGE]
    row = await connection.fetchrow(_RESOLVE, ledger_id, *issue, now, clean(by), note_text)
    return _document_of(row, f"there is no open issue {issue.code} of {issue.source} about {issue.subject}")


async def mute(
    connection: Connection, ledger_id: int, issue: IssueKey, until: datetime | None, remark: str | None
) -> None:
    """Has an issue that is open, or opens again, bother nobody until then; None: from now on it does. A remark of None leaves
    the note as it is. Raises NotFound."""
    note_text = remark and clean(remark)[:MAX_MESSAGE]
    row = await connection.fetchrow(_MUTE, ledger_id, *issue, until, note_text)
    _document_of(row, f"there is no issue {issue.code} of {issue.source} about {issue.subject}")


def subject_of(document: Document) -> str:
    """The subject of a document's issues: its kind and ids. A longer one than a subject may be ends in its SHA-256."""
    _, kind, account, external_id = document
    text = " ".join(part for part in (kind, account, external_id) if part)
    if len(text) <= MAX_SUBJECT:
        return text
    return f"{text[: MAX_SUBJECT - 65]}~{hashlib.sha256(text.encode()).hexdigest()}"


async def _of_causes(
    connection: Connection, sql: str, ledger_id: int, source: str, causes: Iterable[Cause], now: datetime
) -> None:
    wanted = list(causes)
    if wanted:
        codes, subjects = zip(*wanted, strict=True)
        await connection.execute(sql, ledger_id, source, now, codes, subjects)


def _document_of(row: Sequence[str] | None, otherwise: str) -> Document | None:
    if row is None:
        raise NotFound(otherwise)
    source, kind, account, external_id = row
    return (source, kind, account, external_id) if kind is not None else None


async def _close(
    connection: Connection,
    sql: str,
    ledger_id: int,
    source: str,
    kept: set[Cause],
    now: datetime,
    *more: Sequence[str] | None,
) -> None:
    codes, subjects = [code for code, _ in kept], [subject for _, subject in kept]
    await connection.execute(sql, ledger_id, source, now, codes, subjects, *more)


_REOPEN = """
times = held.times + 1, closed_at = NULL, resolved_at = NULL, resolved_by = NULL,
    opened_at = CASE WHEN held.closed_at IS NULL THEN held.opened_at ELSE excluded.opened_at END"""


def _pause(attempts: str) -> str:
    """The time until the next attempt, after so many in vain: 2, 4, 8 … minutes."""
    return f"interval '1 minute' * least(power(2, least({attempts}, 16)), {LONGEST_PAUSE_MINUTES})"


_ATTEMPTS = "CASE WHEN held.closed_at IS NULL THEN held.attempts ELSE 0 END + 1"
_NOTE = f"""
INSERT INTO mirror.issue AS held (ledger_id, source, code, subject, message, hint, again, attempts, next_attempt_at, first_seen, opened_at,
    last_seen)
SELECT $1, $2, code, subject, message, hint, again, (again IS NOT NULL)::int, CASE WHEN again IS NOT NULL
    THEN $3::timestamptz + {_pause("1")} END, $3, $3, $3
FROM unnest($4::text[], $5::text[], $6::text[], $7::text[], $8::text[]) AS met (code, subject, message, again, hint)
ON CONFLICT (ledger_id, source, code, subject) DO UPDATE SET message = excluded.message, hint = excluded.hint,
    last_seen = excluded.last_seen, again = excluded.again, attempts = CASE WHEN excluded.again IS NULL THEN 0 ELSE {_ATTEMPTS} END,
    next_attempt_at = CASE WHEN excluded.again IS NOT NULL THEN $3::timestamptz + {_pause(_ATTEMPTS)} END,
    {_REOPEN}"""
_DUE = """
SELECT code, subject, message, again FROM mirror.issue
WHERE ledger_id = $1 AND source = $2 AND kind IS NULL AND closed_at IS NULL AND again IS NOT NULL AND next_attempt_at <= $3
ORDER BY next_attempt_at LIMIT $4"""
_OF_CAUSES = """
WHERE ledger_id = $1 AND source = $2 AND closed_at IS NULL AND kind IS NULL
    AND (code, subject) IN (SELECT * FROM unnest($4::text[], $5::text[]))"""
_PUT_OFF = f"""
UPDATE mirror.issue SET attempts = attempts + 1, next_attempt_at = $3::timestamptz + {_pause("attempts + 1")} {_OF_CAUSES}"""
_CLOSE_CAUSES = f"UPDATE mirror.issue SET closed_at = $3, next_attempt_at = NULL {_OF_CAUSES}"
_OPEN = """
UPDATE mirror.issue SET closed_at = $3, next_attempt_at = NULL
WHERE ledger_id = $1 AND source = $2 AND closed_at IS NULL AND kind IS NULL
    AND (code, subject) NOT IN (SELECT * FROM unnest($4::text[], $5::text[]))"""
_CLOSE_READ = f"{_OPEN} AND regexp_split_to_array(subject, '\\s+') && $6::text[]"
_CLOSE_ABSENT = f"{_OPEN} AND ($6::text[] IS NULL OR code = ANY($6::text[]))"
_COUNT = """
SELECT count(*) FROM mirror.issue WHERE ledger_id = $1 AND source = $2 AND closed_at IS NULL AND kind IS NULL"""


_ASKED = "unnest($3::text[], $4::text[], $5::text[], $6::text[]"
_IS_MET = "held.source = met.source AND held.kind = met.kind AND held.account = met.account AND held.external_id = met.external_id"
_NOTE_DOCUMENTS = f"""
WITH met AS (
    SELECT * FROM {_ASKED}, $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[])
        AS met (source, kind, account, external_id, code, subject, message, hint, excerpt, retried)
), others AS (
    UPDATE mirror.issue held SET closed_at = $2, next_attempt_at = NULL FROM met
    WHERE held.ledger_id = $1 AND {_IS_MET} AND held.code <> met.code AND held.closed_at IS NULL
)
INSERT INTO mirror.issue AS held (ledger_id, source, kind, account, external_id, code, subject, message, hint, excerpt, attempts,
    next_attempt_at, first_seen, opened_at, last_seen)
SELECT $1, source, kind, account, external_id, code, subject, message, hint, excerpt, 1,
    CASE WHEN retried THEN $2::timestamptz + {_pause("1")} END, $2, $2, $2
FROM met
ON CONFLICT (ledger_id, source, code, subject) DO UPDATE
SET kind = excluded.kind, account = excluded.account, external_id = excluded.external_id, message = excluded.message,
    hint = excluded.hint, excerpt = excluded.excerpt, last_seen = excluded.last_seen,
    attempts = {_ATTEMPTS},
    next_attempt_at = CASE WHEN excluded.next_attempt_at IS NOT NULL THEN $2::timestamptz + {_pause(_ATTEMPTS)} END,
    {_REOPEN}
RETURNING held.source, held.kind, held.account, held.external_id, held.next_attempt_at"""
_CLOSE_DOCUMENTS = f"""
UPDATE mirror.issue held SET closed_at = $2, next_attempt_at = NULL
FROM {_ASKED}) AS met (source, kind, account, external_id)
WHERE held.ledger_id = $1 AND held.closed_at IS NULL AND {_IS_MET}
RETURNING held.code"""
_THIS = "ledger_id = $1 AND source = $2 AND code = $3 AND subject = $4"
_RESOLVE = f"""
UPDATE mirror.issue SET closed_at = $5, resolved_at = $5, resolved_by = $6, note = coalesce($7, note), next_attempt_at = NULL
WHERE {_THIS} AND closed_at IS NULL RETURNING source, kind, account, external_id"""
_MUTE = f"""
UPDATE mirror.issue SET muted_until = $5, note = coalesce($6, note)
WHERE {_THIS} RETURNING source, kind, account, external_id"""
