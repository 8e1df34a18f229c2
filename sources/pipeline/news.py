"""What the pipeline did lately: entries of sources, proposals, matches that wait for a person, and issues that opened or closed. For a console that tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sources.database.pool import Connection

AT_ONCE = 100


class NewEntry(NamedTuple):
    """An entry that was made of a document. `total`: its debits, minor units of `currency`, the ledger's."""

    ledger_id: int
    ledger: str
    sequence: int
    source: str
    description: str
    total: int
    currency: str


class NewProposal(NamedTuple):
    """An entry that waits for approval."""

    ledger_id: int
    ledger: str
    proposal_id: int
    description: str


class NewMatch(NamedTuple):
    """What a bank transaction may be about, which waits for a person. `numbers`: of the documents, with commas between."""

    ledger_id: int
    ledger: str
    match_id: int
    score: int
    numbers: str


class IssueNews(NamedTuple):
    """An issue that opened, or closed. `at`: when."""

    ledger: str
    source: str
    code: str
    subject: str
    message: str
    closed: bool
    at: datetime


async def newest(connection: Connection) -> dict[int, int]:
    """The last sequence of every ledger. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    return {row[0]: row[1] for row in await connection.fetch("SELECT ledger_id, last_sequence FROM ledger.head")}


async def entries_behind(connection: Connection, told: Mapping[int, int]) -> list[NewEntry]:
    """Entries of sources behind the sequences that are told by ledger, the first of each."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    found: list[NewEntry] = []
    for ledger_id, sequence in told.items():
        found += [NewEntry(*row) for row in await connection.fetch(_ENTRIES, ledger_id, sequence, AT_ONCE)]
    return found


async def proposals_behind(connection: Connection, told: Mapping[int, int]) -> list[NewProposal]:
    """Proposals that wait behind the numbers that are told by ledger. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    rows = await connection.fetch(_PROPOSALS, AT_ONCE)
    return [found for found in (NewProposal(*row) for row in rows) if found.proposal_id > told.get(found.ledger_id, 0)]


async def matches_behind(connection: Connection, told: Mapping[int, int]) -> list[NewMatch]:
    """Proposed matches behind the numbers that are told by ledger. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    rows = await connection.fetch(_MATCHES, AT_ONCE)
    return [found for found in (NewMatch(*row) for row in rows) if found.match_id > told.get(found.ledger_id, 0)]


async def issues_behind(connection: Connection, at: datetime) -> list[IssueNews]:
    """Issues that opened or closed after a moment, the first of them. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    return [IssueNews(*row) for row in await connection.fetch(_ISSUES, at, AT_ONCE)]


_ENTRIES = """
SELECT e.ledger_id, l.code, e.sequence, e.origin, e.description, e.total, l.functional_currency
FROM ledger.entry e JOIN ledger.ledger l ON l.ledger_id = e.ledger_id
WHERE e.ledger_id = $1 AND e.sequence > $2 AND e.origin <> ''
ORDER BY e.sequence LIMIT $3"""
_PROPOSALS = """
SELECT p.ledger_id, l.code, p.proposal_id, p.draft->>'description'
FROM pipeline.proposal p JOIN ledger.ledger l ON l.ledger_id = p.ledger_id
WHERE p.decision IS NULL ORDER BY p.ledger_id, p.proposal_id DESC LIMIT $1"""
_MATCHES = """
SELECT m.ledger_id, l.code, m.match_id, m.score, (
    SELECT coalesce(string_agg(coalesce(i.number, a.external_id), ', ' ORDER BY a.position), '') FROM matching.allocation a
    LEFT JOIN matching.item i USING (ledger_id, kind, source, account, external_id)
    WHERE a.ledger_id = m.ledger_id AND a.match_id = m.match_id AND a.external_id <> '')
FROM matching.match m JOIN ledger.ledger l ON l.ledger_id = m.ledger_id
WHERE m.status = 'PROPOSED' ORDER BY m.ledger_id, m.match_id DESC LIMIT $1"""
_ISSUES = """
SELECT l.code, i.source, i.code, i.subject, i.message, i.closed_at IS NOT NULL, coalesce(i.closed_at, i.opened_at) AS at
FROM mirror.issue i JOIN ledger.ledger l ON l.ledger_id = i.ledger_id
WHERE coalesce(i.closed_at, i.opened_at) > $1
ORDER BY at LIMIT $2"""
