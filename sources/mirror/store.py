"""Writes what a source states into the mirror: begin a run, store its pages, end it.

Round trips: one to begin a page's transaction, one or two for each table that the page touches, one to end it. A page and the
cursor behind it become visible together, so that a run that dies goes on where its last page ended. Documents whose content
did not change are not rewritten. A run is recorded with its first page that states something, at the latest at its end; runs
that find nothing are one statement each, and within a minute they share a record. The caller holds the source's lock, on a
connection that sees every ledger (`sources.mirror.state`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sources.documents import Document, Page, Problem
from sources.errors import SourceUnavailable
from sources.mirror import deletions, issues, layouts, moving, statements, writing
from sources.mirror.changes import RENAMED_CODE, Changes, enrol, renamed
from sources.mirror.rows import Unstorable
from sources.mirror.settings import SourceSettings
from sources.mirror.state import Standing
from sources.pieces import in_pieces
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

KEPT_DAYS = 30
"""How long the records of finished runs are kept."""


@dataclass(slots=True)
class Run:
    """One pull of a source while it goes on. `ledgers`: code -> id of every ledger that it may feed. `cursor`: where it began.
    `posts`: whether the pipeline has to know of its documents. `run_id`: of its record, None: there is none yet. `behind`: the
    cursor of a last page that states nothing, not yet stored; `stored`: that of the last page that was. `nameless`: kinds of which it
    lists what does not say which it is.
    `remembers`: all that it mentions, until its end tells what is
    gone; one that does not list everything takes the memory of a page. `together`: takes what all pages change, where they are one
    transaction. `unkept`: types and external ids of documents that cannot be held."""

    settings: SourceSettings
    ledgers: Mapping[str, int]
    found: Standing
    cursor: str | None
    posts: bool
    run_id: int | None = None
    behind: str | None = None
    stored: str | None = None
    remembers: bool = True
    submitted: bool = False
    together: Changes | None = None
    unkept: set[tuple[type, str]] = field(default_factory=set)
    pages: int = 0
    documents: int = 0
    changed: int = 0
    deleted: int = 0
    mentioned: set[writing.Key] = field(default_factory=set)
    problems: set[issues.Cause] = field(default_factory=set)
    nameless: set[str] = field(default_factory=set)

    @property
    def source(self) -> str:
        return self.settings.name

    @property
    def home_id(self) -> int:
        return self.ledgers[self.settings.home]

    @property
    def started_at(self) -> datetime:
        return self.found.now

    @property
    def reached(self) -> str | None:
        """The cursor behind the last page."""
        return next((each for each in (self.behind, self.stored, self.cursor) if each is not None), None)

    @property
    def found_nothing(self) -> bool:
        """It went on from a copy without problems, and no page of it stated anything."""
        return self.run_id is None and self.cursor is not None and not self.found.held.problems


async def begin(connection: Connection, settings: SourceSettings, ledgers: Mapping[str, int], found: Standing) -> Run:
    """A run that goes on where the last one ended. When the settings send documents elsewhere than before, everything that was
    pulled of the source is marked deleted and read anew, from the beginning (what was submitted: `sources.mirror.moving`); when
    their cut-over is another one, all are for the pipeline to look at. A source that may be another one renamed is mirrored only
    (`changes.renamed`). Raises SourceUnavailable when nothing of the source may be read or taken."""
    same_route, same_cutover = found.route == settings.route, found.post_from == settings.post_from
    posts = settings.post_from is not None
    await layouts.check(connection, settings, ledgers[settings.home], found)
    staying = await _staying(connection, settings, ledgers, found)
    if same_route and same_cutover:
        await layouts.remember(connection, settings, found)
        return Run(settings, ledgers, found, found.cursor, posts)
    async with _transaction(connection) as now:
        refusal = None
        if posts and found.post_from is None:
            refusal = await renamed(connection, settings, ledgers.values())
        run = Run(settings, ledgers, found, found.cursor if same_route else None, posts and refusal is None)
        if not same_route:
            await _begin_elsewhere(connection, run, now, staying)
        if refusal is not None:
            await issues.note(connection, run.home_id, run.source, [refusal], run.started_at, run.problems)
        elif not same_cutover:
            await enrol(connection, settings.name, settings.post_from, now)
            await issues.close_absent(connection, run.home_id, run.source, run.problems, now, [RENAMED_CODE])
        await layouts.remember(connection, settings, found)
    return run


async def _staying(
    connection: Connection, settings: SourceSettings, ledgers: Mapping[str, int], found: Standing
) -> Sequence[moving.Place]:
    """Where what was submitted stays, when the settings are others than before."""
    if found.route == settings.route:
        if found.held.problems:
            await moving.put_back(connection, settings, ledgers[settings.home], found.now)
        return ()
    if found.route is None:
        return ()
    async with _transaction(connection) as now:
        well = await moving.places(connection, settings, ledgers, found.route)
        reason = await moving.held_back(connection, settings, found.route, well, now)
    if reason is not None:
        raise SourceUnavailable(reason)
    return well


async def _begin_elsewhere(connection: Connection, run: Run, now: datetime, staying: Sequence[moving.Place]) -> None:
    if run.found.route is not None:
        changes = _changes(run, now)
        await deletions.forget(connection, changes, staying)
        await changes.record(connection)
    await connection.execute(_ROUTE, run.source, run.settings.kind, run.settings.route)
    await connection.execute(_INTERRUPTED, run.source, now)


def _changes(run: Run, now: datetime) -> Changes:
    return run.together or Changes(run.source, now, posts=run.posts)


async def store_page(connection: Connection, run: Run, page: Page) -> None:
    """Stores one page and its cursor in one transaction. A document that cannot be held becomes an issue; the others are
    stored."""
    if page.complete and not (page.documents or page.deletions or page.problems or page.afresh):
        run.behind = page.cursor
        run.pages += 1
        return
    async with _transaction(connection) as now:
        await _record(connection, run, now)
        changes = _changes(run, now)
        if page.afresh:
            run.cursor = None
            await deletions.forget(connection, changes)
            await connection.execute(_BEGIN_AFRESH, run.source)
        batch = writing.Batch(changes)
        added = [_add(batch, run, document) async for document in in_pieces(page.documents)]
        changed = await batch.write(connection)
        await _note_files(connection, run, page, batch)
        touched = await deletions.delete(connection, list(run.ledgers.values()), page.deletions, changes)
        await statements.settle(connection, batch.touched | touched, changes)
        problems = [*page.problems, *(unstorable for unstorable in added if unstorable)]
        await issues.note(connection, run.home_id, run.source, problems, run.started_at, run.problems)
        settled = [*batch.external_ids, *[each.external_id for each in page.deletions]]
        await issues.close_read(connection, run.home_id, run.source, settled, run.problems, now)
        if run.together is None:
            await changes.record(connection)
        cursor = run.cursor if run.submitted else page.cursor
        await connection.execute(_ADVANCE, run.source, cursor, batch.documents)
    run.stored, run.behind = cursor, None
    run.pages += 1
    run.documents += batch.documents
    run.changed += changed
    run.deleted += len(page.deletions)
    if run.remembers:
        run.mentioned |= batch.mentioned
        unread = {(kind, clean(external_id)) for kind, external_id in page.unread}
        run.mentioned |= {(kind, ledger, each) for kind, each in unread for ledger in run.ledgers.values()}
        run.nameless |= {kind for kind, each in unread if not each}


async def end(
    connection: Connection, run: Run, error: str | None, *, everything: bool, restated: Sequence[str] = ()
) -> datetime | None:
    """Ends a run. error None: it came to its end; `everything`: what it did not mention is gone, too; `restated`: codes of
    problems of which every run names all that there are. Answers with the moment that the copy now reflects, None when
    there never was a whole one."""
    if error is None and not everything and run.found_nothing and run.found.ended:
        extended = run.found.run_id if run.found.extends else None
        sql = _END_AS_BEFORE if extended else _END_IDLE
        await connection.execute(
            sql, run.home_id, run.source, run.started_at, run.behind, run.pages, *([extended] if extended else [])
        )
        return run.started_at
    async with _transaction(connection) as now:
        await _record(connection, run, now)
        if run.behind is not None:
            await connection.execute(_ADVANCE, run.source, run.behind, 0)
        if error is None and (everything or run.cursor is None or restated):
            codes = None if everything or run.cursor is None else restated
            await issues.close_absent(connection, run.home_id, run.source, run.problems, now, codes)
        if error is None and everything:
            changes = _changes(run, now)
            for kind in set(run.settings.gives) - run.nameless:
                run.deleted += await deletions.compare(connection, kind, run.mentioned, run.started_at, changes)
            await changes.record(connection)
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


async def end_submitted(connection: Connection, run: Run) -> None:
    """Ends a run whose page was sent to us: it is recorded, and the copy is as old as it was before."""
    if run.run_id is None:
        return
    async with _transaction(connection) as now:
        counts = (run.pages, run.documents, run.changed, run.deleted, len(run.problems))
        await connection.execute(_END_RUN, run.home_id, run.source, run.run_id, now, None, *counts)
        await connection.execute(_FORGET_RUNS, run.home_id, run.source)


async def _record(connection: Connection, run: Run, now: datetime) -> None:
    """Once; a run before it that was broken off is told of as well."""
    if run.run_id is not None:
        return
    if not run.found.ended:
        await connection.execute(_INTERRUPTED, run.source, now)
    run.run_id = await connection.fetchval(_BEGIN_RUN, run.home_id, run.source, run.started_at)


async def _note_files(connection: Connection, run: Run, page: Page, batch: writing.Batch) -> None:
    """Raises SourceUnavailable when what they state would count twice."""
    if not page.files:
        return
    await layouts.note_files(connection, run.source, page.files, list(batch.mentioned))
    if run.together is None:
        twice = await layouts.counted_twice(connection, run.source)
        if twice is not None:
            raise SourceUnavailable(f"{twice}.")


def _add(batch: writing.Batch, run: Run, document: Document) -> Problem | None:
    try:
        batch.add(run.ledgers[run.settings.ledger_of(document)], document)
    except Unstorable as error:
        subject = f"{writing.kind_of(document)} {clean(document.external_id)}"
        message = f"The {subject} cannot be kept: {error}."
        run.unkept.add((type(document), document.external_id))
        return Problem(subject=subject, code="UNREADABLE_RECORD", message=message)
    return None


@asynccontextmanager
async def _transaction(connection: Connection) -> AsyncIterator[datetime]:
    """Gives the database's clock."""
    async with connection.transaction():
        yield await connection.fetchval("SELECT clock_timestamp()")


_ROUTE = """
INSERT INTO mirror.source_state (source, kind, route) VALUES ($1, $2, $3)
ON CONFLICT (source) DO UPDATE SET kind = $2, route = $3, cursor = NULL, as_of = NULL, documents = 0"""
_BEGIN_AFRESH = "UPDATE mirror.source_state SET as_of = NULL, documents = 0 WHERE source = $1"
_INTERRUPTED = """
UPDATE mirror.sync_run SET finished_at = $2, error = 'The process that ran it ended.'
WHERE source = $1 AND finished_at IS NULL"""
_BEGIN_RUN = """
INSERT INTO mirror.sync_run (ledger_id, source, started_at) VALUES ($1, $2, $3) RETURNING run_id"""
# A cursor that is the same is left as it lies: one of a folder of files takes megabytes.
_ADVANCE = """
UPDATE mirror.source_state SET cursor = CASE WHEN cursor = $2 THEN cursor ELSE $2 END, documents = documents + $3 WHERE source = $1"""
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
_SUCCEED_IDLE = """
UPDATE mirror.source_state SET cursor = CASE WHEN cursor = $4 THEN cursor ELSE $4 END, as_of = $3, last_attempt_at = $3,
    last_success_at = clock_timestamp(), last_error = NULL
WHERE source = $2"""
_END_IDLE = f"""
WITH recorded AS (
    INSERT INTO mirror.sync_run (ledger_id, source, started_at, finished_at, pages) VALUES ($1, $2, $3, clock_timestamp(), $5)
), forgotten AS ({_FORGET_RUNS})
{_SUCCEED_IDLE}"""
_END_AS_BEFORE = f"""
WITH recorded AS (
    UPDATE mirror.sync_run SET finished_at = clock_timestamp(), pages = pages + $5
    WHERE ledger_id = $1 AND source = $2 AND run_id = $6
)
{_SUCCEED_IDLE}"""
_AS_OF = "SELECT as_of FROM mirror.source_state WHERE source = $1"
