"""Entries of documents that somebody reversed, or brought back, by hand: an issue tells of it, and nothing is undone.

- Who reverses an entry that stands leaves the document without it: REVERSED_BY_HAND.
- Who reverses the pipeline's reversal brings an old entry back, beside what took its place: REINSTATED_BY_HAND.

New entries of the ledger are looked through for reversals of either sort; their documents are looked at again. The issue closes
once the books are right again, or is resolved by a person who meant it so, until something else is reversed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sources.matching import folding
from sources.pipeline import taking, todo
from sources.pipeline.model import Finding, Key, Past, PostingStatus
from sources.pipeline.settling import Standing, last_reversal

if TYPE_CHECKING:
    from sources.database.pool import Connection

REVERSED_CODE: Final = "REVERSED_BY_HAND"
REINSTATED_CODE: Final = "REINSTATED_BY_HAND"
CODES: Final = (REVERSED_CODE, REINSTATED_CODE)
AT_ONCE: Final = 100_000
"""Entries that are looked through in one run."""
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class _Told:
    """What was said of a document before: an issue that is open, or that a person has resolved."""

    code: str
    message: str
    is_open: bool


def finding_of(past: Past, reversals: Table[int, Standing]) -> Finding | None:
    """What of a document was reversed by hand and stays so. `reversals`, and theirs, by what they reverse."""
    gone, back = [], []
    for _, posting in sorted(past.postings.items()):
        if posting.sequence is None:
            continue
        last, is_reversed = last_reversal(posting.sequence, reversals)
        if last is None:
            continue
        if posting.status is PostingStatus.POSTED and is_reversed:
            gone.append(f"{posting.sequence} (by {last.sequence})")
        elif posting.status is PostingStatus.REVERSED and not is_reversed:
            back.append(f"{posting.sequence} (by {last.sequence})")
    if back:
        return Finding(
            REINSTATED_CODE,
            f"Entries that were reversed stand again, as somebody reversed their reversal: {_list(back)}.",
            "Reverse the entry in brackets: what took their place stands beside them. If that is meant, resolve this issue.",
        )
    if gone:
        return Finding(
            REVERSED_CODE,
            f"Somebody reversed entries of it: {_list(gone)}.",
            "repostDocuments posts it anew; to bring the entries back, reverse the one in brackets. If it is meant, resolve this "
            "issue: what is reversed stays so until the document changes.",
        )
    return None


def _list(entries: Sequence[str]) -> str:
    more = len(entries) - _SHOWN
    return ", ".join(entries[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


async def look(connection: Connection, ledger_id: int, pasts: Table[Key, Past]) -> tuple[dict[Key, Finding], set[Key]]:
    """What is to be told of these documents, whose newest versions were dealt with; and those of which what was told is over."""
    known = {key: past for key, past in pasts.items() if past.postings}
    if not known:
        return {}, set()
    sequences = [
        each.sequence for past in known.values() for each in past.postings.values() if each.sequence is not None
    ]
    _, reversals = await taking.read_standings(connection, ledger_id, [], sequences)
    told = await _read_told(connection, ledger_id, known)
    findings: dict[Key, Finding] = {}
    over: set[Key] = set()
    for key, past in known.items():
        finding, before = finding_of(past, reversals), told.get(key, [])
        if finding is None and any(each.is_open for each in before):
            over.add(key)
        elif finding is not None and (finding.code, finding.message) not in [
            (each.code, each.message) for each in before
        ]:
            findings[key] = finding
    return findings, over


async def _read_told(connection: Connection, ledger_id: int, keys: Iterable[Key]) -> dict[Key, list[_Told]]:
    columns = taking.columns_of(keys)
    found: dict[Key, list[_Told]] = {}
    for row in await connection.fetch(_TOLD, ledger_id, *columns, list(CODES)):
        found.setdefault(Key(*row[:4]), []).append(_Told(row["code"], row["message"], row["is_open"]))
    return found


async def watch(connection: Connection, ledger_id: int) -> None:
    """Has documents looked at of which an entry was reversed by hand since it was looked last. In a transaction of its own, as a
    pull may wait for any of their rows."""
    async with connection.transaction():
        await taking.see(connection, ledger_id)
        row = await connection.fetchrow(_NEWS, ledger_id)
        if row is None or row["last"] <= row["seen"]:
            return
        until = min(row["last"], row["seen"] + AT_ONCE)
        keys = [Key(*found) for found in await connection.fetch(_REVERSED, ledger_id, row["seen"], until)]
        await todo.add(connection, ledger_id, keys)
        await folding.note_booked(connection, ledger_id, keys)
        await connection.execute(_SEEN, ledger_id, until)


_TOLD = """
SELECT source, kind, account, external_id, held.code, held.message, held.closed_at IS NULL AS is_open
FROM mirror.issue held
JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS asked (source, kind, account, external_id)
    USING (source, kind, account, external_id)
WHERE held.ledger_id = $1 AND held.code = ANY($6::text[]) AND (held.closed_at IS NULL OR held.resolved_at IS NOT NULL)"""
_NEWS = """
SELECT head.last_sequence AS last, coalesce(watch.sequence, 0) AS seen
FROM ledger.head LEFT JOIN pipeline.watch USING (ledger_id) WHERE head.ledger_id = $1"""
# Entries of documents have an origin; who reverses by hand gives none.
_REVERSED = """
WITH RECURSIVE undone (sequence) AS (
    SELECT reverses FROM ledger.entry
    WHERE ledger_id = $1 AND sequence > $2 AND sequence <= $3 AND reverses IS NOT NULL AND origin = ''
    UNION
    SELECT e.reverses FROM undone JOIN ledger.entry e
        ON e.ledger_id = $1 AND e.sequence = undone.sequence AND e.reverses IS NOT NULL
)
SELECT DISTINCT link.source, link.kind, link.account, link.external_id
FROM undone JOIN mirror.document_entry link ON link.ledger_id = $1 AND link.sequence = undone.sequence"""
_SEEN = """
INSERT INTO pipeline.watch AS held (ledger_id, sequence) VALUES ($1, $2)
ON CONFLICT (ledger_id) DO UPDATE SET sequence = greatest(held.sequence, excluded.sequence)"""
