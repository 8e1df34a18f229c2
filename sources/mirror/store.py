"""Writes what a source states into the mirror: begin a run, store its pages, end it.

Round trips: one to begin a page's transaction, one or two for each table that the page touches, one to end it. A page and the
cursor behind it become visible together, so that a run that dies goes on where its last page ended. Documents whose content
did not change are not rewritten. The caller holds the source's lock (`sources.mirror.state.lock`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sources.documents import Document, Page, Problem
from sources.mirror import deletions, issues, statements, writing
from sources.mirror.rows import Unstorable
from sources.mirror.settings import SourceSettings
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

KEPT_DAYS = 30
"""How long the records of finished runs are kept."""


@dataclass(slots=True)
class Run:
    """One pull of a source while it goes on. `ledgers`: code -> id of every ledger that it may feed. `cursor`: where it began."""

    settings: SourceSettings
    ledgers: Mapping[str, int]
    run_id: int
    started_at: datetime
    cursor: str | None
    pages: int = 0
    documents: int = 0
    changed: int = 0
    deleted: int = 0
    mentioned: set[writing.Key] = field(default_factory=set)
    problems: set[issues.Cause] = field(default_factory=set)

    @property
    def source(self) -> str:
        return self.settings.name

    @property
    def home_id(self) -> int:
        return self.ledgers[self.settings.home]


async def begin(connection: Connection, settings: SourceSettings, ledgers: Mapping[str, int]) -> Run:
    """Records a run and says where it goes on. When the settings send documents elsewhere than before, everything held of
    the source is marked deleted and read anew, from the beginning."""
    async with _transaction(connection) as now:
        route = settings.route
        await connection.execute(_REGISTER, settings.name, settings.kind, route)
        ((cursor, routed),) = await connection.fetch(_STATE, settings.name)
        if routed != route:
            await deletions.forget(connection, settings.name, now)
            cursor = None
            await connection.execute(_REROUTE, settings.name, settings.kind, route)
        await connection.execute(_INTERRUPTED, settings.name, now)
        run_id = await connection.fetchval(_BEGIN_RUN, ledgers[settings.home], settings.name, now)
    return Run(settings, ledgers, run_id, now, cursor)


async def store_page(connection: Connection, run: Run, page: Page) -> None:
    """Stores one page and its cursor in one transaction. A document that cannot be held becomes an issue; the others are
    stored."""
    async with _transaction(connection) as now:
        if page.afresh:
            run.cursor = None
            await deletions.forget(connection, run.source, now)
            await connection.execute(_BEGIN_AFRESH, run.source)
        batch = writing.Batch(run.source, now)
        unstorable = [problem for document in page.documents if (problem := _add(batch, run, document))]
        changed = await batch.write(connection)
        touched = await deletions.delete(connection, run.source, list(run.ledgers.values()), page.deletions, now)
        await statements.settle(connection, run.source, batch.touched | touched)
        problems = [*page.problems, *unstorable]
        await issues.note(connection, run.home_id, run.source, problems, run.started_at, run.problems)
        await issues.close_read(connection, run.home_id, run.source, batch.external_ids, run.problems, now)
        await connection.execute(_ADVANCE, run.source, page.cursor, batch.documents)
    run.pages += 1
    run.documents += batch.documents
    run.changed += changed
    run.deleted += len(page.deletions)
    run.mentioned |= batch.mentioned


async def end(
    connection: Connection, run: Run, error: str | None, *, everything: bool, restated: Sequence[str] = ()
) -> datetime | None:
    """Ends a run. error None: it came to its end; `everything`: what it did not mention is gone, too; `restated`: codes of
    problems of which every run names all that there are. Answers with the moment that the copy now reflects, None when
    there never was a whole one."""
    async with _transaction(connection) as now:
        if error is None and (everything or run.cursor is None or restated):
            codes = None if everything or run.cursor is None else restated
            await issues.close_absent(connection, run.home_id, run.source, run.problems, now, codes)
        if error is None and everything:
            run.deleted += await deletions.compare(
                connection, run.source, run.settings.gives, run.mentioned, run.started_at, now
            )
        counts = (run.pages, run.documents, run.changed, run.deleted, len(run.problems))
        await connection.execute(_END_RUN, run.home_id, run.source, run.run_id, now, error, *counts)
        await connection.execute(_FORGET_RUNS, run.home_id, run.source)
        open_issues = await issues.count_open(connection, run.home_id, run.source)
        if error is None:
            await connection.execute(_SUCCEED, run.source, run.started_at, now, open_issues)
        else:
            await connection.execute(_FAIL, run.source, run.started_at, error, open_issues)
        as_of: datetime | None = await connection.fetchval(_AS_OF, run.source)
        return as_of


def _add(batch: writing.Batch, run: Run, document: Document) -> Problem | None:
    try:
        batch.add(run.ledgers[run.settings.ledger_of(document)], document)
    except Unstorable as error:
        subject = f"{run.settings.gives} {clean(document.external_id)}"
        message = f"The {subject} cannot be kept: {error}."
        return Problem(subject=subject, code="UNREADABLE_RECORD", message=message)
    return None


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[datetime]:
    """A transaction that sees every ledger; gives the database's clock."""
    async with connection.transaction():
        yield await connection.fetchval("SELECT clock_timestamp() FROM set_config('ledgergraph.ledgers', '*', true)")


_REGISTER = """
INSERT INTO mirror.source_state (source, kind, route) VALUES ($1, $2, $3) ON CONFLICT (source) DO NOTHING"""
_STATE = "SELECT cursor, route FROM mirror.source_state WHERE source = $1 FOR UPDATE"
_REROUTE = """
UPDATE mirror.source_state SET kind = $2, route = $3, cursor = NULL, as_of = NULL, documents = 0 WHERE source = $1"""
_BEGIN_AFRESH = "UPDATE mirror.source_state SET as_of = NULL, documents = 0 WHERE source = $1"
_INTERRUPTED = """
UPDATE mirror.sync_run SET finished_at = $2, error = 'The process that ran it ended.'
WHERE source = $1 AND finished_at IS NULL"""
_BEGIN_RUN = """
INSERT INTO mirror.sync_run (ledger_id, source, started_at) VALUES ($1, $2, $3) RETURNING run_id"""
_ADVANCE = "UPDATE mirror.source_state SET cursor = $2, documents = documents + $3 WHERE source = $1"
_END_RUN = """
UPDATE mirror.sync_run SET finished_at = $4, error = $5, pages = $6, documents = $7, changed = $8, deleted = $9, problems = $10
WHERE ledger_id = $1 AND source = $2 AND run_id = $3"""
_FORGET_RUNS = f"""
DELETE FROM mirror.sync_run WHERE ledger_id = $1 AND source = $2 AND started_at < now() - interval '{KEPT_DAYS} days'"""
_SUCCEED = """
UPDATE mirror.source_state SET as_of = $2, last_attempt_at = $2, last_success_at = $3, last_error = NULL, problems = $4
WHERE source = $1"""
_FAIL = """
UPDATE mirror.source_state SET last_attempt_at = $2, last_error = $3, problems = $4 WHERE source = $1"""
_AS_OF = "SELECT as_of FROM mirror.source_state WHERE source = $1"
