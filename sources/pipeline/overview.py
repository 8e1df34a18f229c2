"""How far sources and their documents are: for people who look after them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from sources.connectors.registry import DOCUMENT_KINDS

if TYPE_CHECKING:
    from sources.database.pool import Connection


class Standing(NamedTuple):
    """`documents`: that are held of the source; `to_do`: documents that the pipeline has to look at; `posted`: that have
    entries; `proposed`: that wait for a person; `issues`: that are open, about the source or its documents."""

    documents: int
    to_do: int
    posted: int
    proposed: int
    issues: int


async def standings(connection: Connection, sources: Sequence[str]) -> dict[str, Standing]:
    """Of each of these sources, counted: it reads all that the pipeline has, some 0.2 s for a million documents. From here on the
    transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    rows = await connection.fetch(_STANDINGS, list(sources))
    return {row[0]: Standing(*row[1:]) for row in rows}


class SourceCount(NamedTuple):
    """Of one source, by seconds until now. `age`: since it was last read with success, None: never. `due`: documents that wait to
    be looked at; `oldest`: for how long the first of them has; `put_off`: that are tried again later."""

    source: str
    age: float | None
    due: int
    oldest: float
    put_off: int


class IssueCount(NamedTuple):
    """Open issues of a source with one code; `muted` of them bother nobody."""

    source: str
    code: str
    open: int
    muted: int


async def source_counts(connection: Connection) -> list[SourceCount]:
    """Of every source that is known, on a connection that sees every ledger."""
    return [SourceCount(*row) for row in await connection.fetch(_SOURCE_COUNTS)]


async def issue_counts(connection: Connection) -> list[IssueCount]:
    """Of every source and code, on a connection that sees every ledger. It reads an index of the open ones, and no other."""
    return [IssueCount(*row) for row in await connection.fetch(_ISSUE_COUNTS)]


class NewIssue(NamedTuple):
    """An open issue, for people."""

    code: str
    subject: str
    message: str


class OpenIssue(NamedTuple):
    """An open issue with what to do about it, None: its message says it. `opened`: since when; `retried`: when it is tried again by
    itself, None: it is not."""

    ledger: str
    source: str
    code: str
    subject: str
    message: str
    hint: str | None
    opened: datetime
    retried: datetime | None


async def open_issues(
    connection: Connection, *, ledger: str | None, source: str | None, code: str | None, most: int
) -> tuple[int, list[OpenIssue]]:
    """How many issues are open, not muted and of these (None: any), and the first of them, those of one cause together, the causes
    that were met first before the others. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    rows = await connection.fetch(_OPEN_ISSUES, ledger, source, code, most)
    return (rows[0]["count"] if rows else 0), [OpenIssue(*row[1:]) for row in rows]


async def moment(connection: Connection) -> datetime:
    """The database's clock."""
    now: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return now


async def issues_since(connection: Connection, source: str, since: datetime, most: int) -> tuple[int, list[NewIssue]]:
    """How many issues of the source opened since then, and the first of them. From here on the transaction sees every ledger."""
    await connection.execute("SET LOCAL ledgergraph.ledgers = '*'")
    rows = await connection.fetch(_SINCE, source, since, most)
    return (rows[0]["count"] if rows else 0), [NewIssue(*row[1:]) for row in rows]


async def documents_read(connection: Connection, source: str) -> int:
    """How many documents the source stated so far: it grows while a pull goes on."""
    return int(await connection.fetchval(_READ, source) or 0)


_SOURCE_COUNTS = """
SELECT coalesce(state.source, waiting.source), extract(epoch FROM now() - state.last_success_at)::float8, coalesce(waiting.due, 0),
    coalesce(extract(epoch FROM now() - waiting.oldest), 0)::float8, coalesce(waiting.put_off, 0)
FROM mirror.source_state state FULL JOIN (
    SELECT source, count(*) FILTER (WHERE not_before <= now()) AS due, count(*) FILTER (WHERE not_before > now()) AS put_off,
        min(since) FILTER (WHERE not_before <= now()) AS oldest
    FROM pipeline.todo GROUP BY source
) AS waiting ON waiting.source = state.source
ORDER BY 1"""
_ISSUE_COUNTS = """
SELECT met.source, met.code, met.count, coalesce(muted.count, 0)
FROM (SELECT source, code, count(*) FROM mirror.issue WHERE closed_at IS NULL GROUP BY source, code) AS met
LEFT JOIN (
    SELECT source, code, count(*) FROM mirror.issue WHERE closed_at IS NULL AND muted_until > now() GROUP BY source, code
) AS muted ON muted.source = met.source AND muted.code = met.code
ORDER BY met.source, met.count DESC, met.code"""
_SINCE = """
SELECT count(*) OVER (), code, subject, message FROM mirror.issue
WHERE source = $1 AND closed_at IS NULL AND opened_at >= $2 ORDER BY opened_at, code, subject LIMIT $3"""
_OPEN_ISSUES = """
SELECT count(*) OVER (), ledger.code, i.source, i.code, i.subject, i.message, i.hint, i.opened_at, i.next_attempt_at
FROM mirror.issue i JOIN ledger.ledger USING (ledger_id)
WHERE i.closed_at IS NULL AND (i.muted_until IS NULL OR i.muted_until <= now()) AND ($1::text IS NULL OR ledger.code = $1)
    AND ($2::text IS NULL OR i.source = $2) AND ($3::text IS NULL OR i.code = $3)
ORDER BY min(i.opened_at) OVER (PARTITION BY i.ledger_id, i.source, i.code), ledger.code, i.source, i.code, i.opened_at, i.subject
LIMIT $4"""
_READ = "SELECT documents FROM mirror.source_state WHERE source = $1"
# One reading of each table, however many sources there are.
_OF_KIND = "SELECT source, count(*) AS number FROM mirror.{} WHERE deleted_at IS NULL GROUP BY source"
_STANDINGS = f"""
WITH waiting AS (
    SELECT source, count(*) AS number FROM pipeline.todo GROUP BY source
), known AS (
    SELECT source, count(*) FILTER (WHERE status = 'POSTED') AS posted, count(*) FILTER (WHERE status = 'PROPOSED') AS proposed
    FROM pipeline.document GROUP BY source
), held AS (
    {" UNION ALL ".join(_OF_KIND.format(kind) for kind in DOCUMENT_KINDS)}
), troubled AS (
    SELECT source, count(*) AS number FROM mirror.issue WHERE closed_at IS NULL GROUP BY source
)
SELECT asked.source, coalesce(held.number, 0), coalesce(waiting.number, 0), coalesce(known.posted, 0),
    coalesce(known.proposed, 0), coalesce(troubled.number, 0)
FROM unnest($1::text[]) AS asked (source)
LEFT JOIN (SELECT source, sum(number)::bigint AS number FROM held GROUP BY source) AS held ON held.source = asked.source
LEFT JOIN waiting ON waiting.source = asked.source
LEFT JOIN known ON known.source = asked.source
LEFT JOIN troubled ON troubled.source = asked.source"""
