"""Documents that a source no longer has: it says so, or a listing of everything does not mention them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from sources.connectors.registry import DOCUMENT_KINDS
from sources.documents import Deletion
from sources.mirror import statements
from sources.mirror.changes import Changes
from sources.mirror.moving import Place, columns, stays
from sources.mirror.statements import Touched
from sources.mirror.writing import Key
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection


NEVER: Final = datetime(1, 1, 2, tzinfo=UTC)
"""The moment of deletion of what never was: a person corrected how a source is read, and the source told of nothing that ceased."""


async def delete(
    connection: Connection, ledger_ids: Sequence[int], deletions: Iterable[Deletion], changes: Changes
) -> set[Touched]:
    """Marks what the source says is gone, and adds it to `changes`; answers with the bank statements among it."""
    touched: set[Touched] = set()
    stated = list(deletions)
    for kind in sorted({deletion.kind for deletion in stated} & set(DOCUMENT_KINDS)):
        ids = [clean(deletion.external_id) for deletion in stated if deletion.kind == kind]
        condition = "ledger_id = ANY($3) AND external_id = ANY($4)"
        marked = await connection.fetch(_MARK[kind].format(condition), changes.source, changes.now, ledger_ids, ids)
        touched |= await _with_parts(connection, kind, [(row[0], row[1]) for row in marked], changes)
    return touched


async def drop(connection: Connection, kind: str, keys: Sequence[tuple[int, str]], changes: Changes) -> None:
    """Marks these documents, by ledger_id and external id, as what never was: their entries are reversed on the days that they have."""
    marked = await connection.fetch(_MARK[kind].format(_THESE), changes.source, NEVER, *_columns(keys))
    touched = await _with_parts(connection, kind, [(row[0], row[1]) for row in marked], changes, NEVER)
    await statements.settle(connection, touched, changes)


async def compare(
    connection: Connection, kind: str, mentioned: set[Key], started_at: datetime, changes: Changes
) -> int:
    """After a run that listed everything: marks what it did not mention; answers with their number.

    A document that went missing in the run that also met a new problem is kept while that problem is open: it may be what
    could not be read (a file caught half written)."""
    keys = [key for key in mentioned if key[0] == kind]
    ledger_ids, ids = [key[1] for key in keys], [key[2] for key in keys]
    await connection.execute(_MISS.format(kind), changes.source, started_at, ledger_ids, ids)
    await connection.execute(_MET.format(kind), changes.source, ledger_ids, ids)
    gone = await connection.fetch(_MARK[kind].format(_MISSING), changes.source, changes.now)
    touched = await _with_parts(connection, kind, [(row[0], row[1]) for row in gone], changes)
    await statements.settle(connection, touched, changes)
    return len(gone)


async def forget(connection: Connection, changes: Changes, staying: Sequence[Place] = ()) -> None:
    """Marks everything held of a source as deleted, until it is read again; but for what was submitted and lies in one of these
    places."""
    touched: set[Touched] = set()
    for kind in DOCUMENT_KINDS:
        mark = _MARK[kind].format(f"NOT ({stays(kind, 3)})")
        gone = await connection.fetch(mark, changes.source, changes.now, *columns(staying))
        touched |= await _with_parts(connection, kind, [(row[0], row[1]) for row in gone], changes)
    await statements.settle(connection, touched, changes)


async def _with_parts(
    connection: Connection,
    kind: str,
    gone: Sequence[tuple[int, str]],
    changes: Changes,
    moment: datetime | None = None,
) -> set[Touched]:
    """`moment`: of their deletion, None: now."""
    if kind != "bank_statement":
        changes.add(kind, gone, gone=True)
        return set()
    if not gone:
        return set()
    ledger_ids, ids = [key[0] for key in gone], [key[1] for key in gone]
    await connection.execute(_MARK_TRANSACTIONS, changes.source, moment or changes.now, ledger_ids, ids)
    accounts = await connection.fetch(_ACCOUNTS, changes.source, ledger_ids, ids)
    return {(row["ledger_id"], row["account"], row["external_id"]) for row in accounts}


def _columns(keys: Sequence[tuple[int, str]]) -> tuple[list[int], list[str]]:
    return [key[0] for key in keys], [key[1] for key in keys]


_THESE = "(ledger_id, external_id) IN (SELECT * FROM unnest($3::bigint[], $4::text[]))"
_MARK = {
    kind: f"UPDATE mirror.{kind} held SET deleted_at = $2 "
    "WHERE source = $1 AND deleted_at IS NULL AND ({}) RETURNING ledger_id, external_id"
    for kind in DOCUMENT_KINDS
}
_MISS = """
UPDATE mirror.{} SET missing_since = $2
WHERE source = $1 AND deleted_at IS NULL AND missing_since IS NULL
    AND (ledger_id, external_id) NOT IN (SELECT * FROM unnest($3::bigint[], $4::text[]))"""
# What is listed and cannot be read was not written: it is missing no more.
_MET = """
UPDATE mirror.{} SET missing_since = NULL
WHERE source = $1 AND missing_since IS NOT NULL
    AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
_MISSING = """
missing_since IS NOT NULL AND NOT EXISTS (
    SELECT FROM mirror.issue i WHERE i.source = held.source AND i.kind IS NULL AND i.closed_at IS NULL
        AND i.opened_at = held.missing_since)"""
_MARK_TRANSACTIONS = """
UPDATE mirror.bank_transaction SET deleted_at = $2
WHERE source = $1 AND deleted_at IS NULL
    AND (ledger_id, statement) IN (SELECT * FROM unnest($3::bigint[], $4::text[]))"""
_ACCOUNTS = """
SELECT ledger_id, account, external_id FROM mirror.bank_statement
WHERE source = $1 AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
