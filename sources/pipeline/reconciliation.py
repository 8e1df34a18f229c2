"""Tie-out of a source's documents: each one's state in the mirror beside what stands of it in the books, at one moment.

- What was dealt with, did not change since and has its entries is taken at its word: the digest of the document is the one that
  was recorded, and its stated amount stands on a line of its entries. That is a lookup in indexes for each document, no mapping.
- Every other document that waits for nothing is mapped anew: by the active rules, or by those that its entries follow as long as
  they call for just these.
- Entries of the source of which no posting is recorded, and postings of which the mirror holds no document, are there without
  cause.

Amounts are minor units. What is called for and what is posted are compared as the sum of debits in each currency.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import orjson

from sources.database.pool import Database
from sources.errors import InvalidArgument, NotFound
from sources.pipeline import documents, taking
from sources.pipeline.by_hand import REINSTATED_CODE
from sources.pipeline.documents import DATED_BY
from sources.pipeline.doubts import load, map_anew
from sources.pipeline.drafting import REVERSED, document_prefix
from sources.pipeline.model import DocumentStatus, Key
from sources.pipeline.reconciliation_sql import GONE, HELD, OPEN_ISSUES, STRAYS, WAITING
from sources.pipeline.rulebook import RuleBook
from sources.pipeline.tied import Report, Tied, TieState

if TYPE_CHECKING:
    from sources.database.pool import Connection

MOST: Final = 250_000
"""Documents of one report."""
MOST_MAPPED: Final = 25_000
"""Documents of one report that are mapped anew: each costs a fraction of a millisecond."""
_CHUNK: Final = 2_000
_SLIM: Final = frozenset({"invoice", "payment"})
_QUIET: Final = (DocumentStatus.NOTHING, DocumentStatus.BEFORE_CUTOVER)


@asynccontextmanager
async def reading(database: Database, ledger_id: int) -> AsyncIterator[Connection]:
    """One snapshot that sees the ledger alone, with dates as dates. Raises DatabaseUnavailable."""
    async with database.apart() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await taking.see(connection, ledger_id)
        yield connection


async def open_report(connection: Connection, ledger_id: int, source: str) -> Report:
    """A report without its documents. Raises NotFound for a source that was never read."""
    books = await taking.read_books(connection, ledger_id)
    state = await connection.fetchrow("SELECT as_of FROM mirror.source_state WHERE source = $1", source)
    if books is None or state is None:
        raise NotFound(f"nothing was read yet of the source {source[:80]}")
    return Report(books, books.cutovers.get(source), state["as_of"])


async def tie_documents(
    connection: Connection, report: Report, book: RuleBook, source: str, first: date, last: date
) -> None:
    """Fills in the documents dated first..last. Raises InvalidArgument for too many."""
    doubtful: list[Tied] = []
    ledger_id = report.books.ledger.ledger_id
    waiting = {Key(*row) for row in await connection.fetch(WAITING, ledger_id, source)}
    issues = {Key(*row[:4]): row["code"] for row in await connection.fetch(OPEN_ISSUES, ledger_id, source)}
    for kind in HELD:
        async for found, rows in _held(connection, report, source, kind, (first, last)):
            for tied, row, digest in zip(
                found, rows, await _digests(connection, report, kind, found, rows), strict=True
            ):
                if not _decide(report, tied, row, digest, _key(tied) in waiting, issues.get(_key(tied))):
                    doubtful.append(tied)
            report.tied += found
            if len(report.tied) > MOST:
                raise InvalidArgument(f"the source has more than {MOST:,} documents in these days; take fewer days")
    if len(doubtful) > MOST_MAPPED:
        raise InvalidArgument(
            f"of these days {len(doubtful):,} documents changed without being looked at, or show no amount of theirs in their "
            f"entries; take fewer days, with at most {MOST_MAPPED:,} of them"
        )
    for start in range(0, len(doubtful), 500):
        await map_anew(connection, report, book, doubtful[start : start + 500])
    await _add_gone(connection, report, source, (first, last), waiting)
    _add_strays(report, await connection.fetch(STRAYS, ledger_id, source, first, last), waiting)
    report.tied.sort(key=lambda each: each.place)


# ---------------------------------------------------------------- what is held


async def _held(
    connection: Connection, report: Report, source: str, kind: str, days: tuple[date, date]
) -> AsyncIterator[tuple[list[Tied], Sequence[Any]]]:
    cursor = await connection.cursor(HELD[kind], report.books.ledger.ledger_id, source, *days)
    while rows := await cursor.fetch(_CHUNK):
        yield [_tied(kind, source, row) for row in rows], rows
        await asyncio.sleep(0)


def _tied(kind: str, source: str, row: Any) -> Tied:
    posted = orjson.loads(row["posted"]) if row["posted"] else {}
    return Tied(
        Key(source, kind, row["account"], row["external_id"]),
        row["dated"],
        row["currency"],
        row["stated"],
        row["direction"],
        posted=posted,
        sequences=tuple(row["sequences"] or ()),
    )


def _key(tied: Tied) -> Key:
    assert tied.key is not None
    return tied.key


async def _digests(
    connection: Connection, report: Report, kind: str, found: Sequence[Tied], rows: Sequence[Any]
) -> list[bytes]:
    """As the pipeline records them: of what may change what a document posts."""
    if kind in _SLIM:
        return [documents.digest_of(_slim(row), report.post_from, row["gone"]) for row in rows]
    keys = [_key(tied) for tied in found]
    loaded = await load(connection, report, keys)
    return [loaded[key].version.digest for key in keys]


def _slim(row: Any) -> dict[str, Any]:
    settles = orjson.loads(row["settles"]) if row["settles"] else None
    if settles:
        settles = {**settles, "issue_date": settles["issue_date"] and date.fromisoformat(settles["issue_date"])}
    stated = {"content_hash": row["content_hash"], "payout_external_id": row["payout_external_id"]}
    return {**stated, "settles": settles, "exchange": orjson.loads(row["exchange"]) if row["exchange"] else None}


# ---------------------------------------------------------------- states


def _decide(report: Report, tied: Tied, row: Any, digest: bytes, waits: bool, issue: str | None) -> bool:
    """Says its state, unless it takes a mapping to know."""
    stands, status = bool(tied.sequences), row["status"]
    if waits or row["proposed"] or (status in ("ISSUE", "DUPLICATE") and issue):
        tied.say(TieState.PENDING, issue or ("WAITING" if waits else "PROPOSED"))
        return True
    if row["reinstated"]:
        tied.say(TieState.EXTRA, REINSTATED_CODE)
        return True
    if row["gone"] or report.post_from is None:
        if stands:
            tied.say(TieState.EXTRA, "GONE" if row["gone"] else "NOT_CALLED_FOR", {})
        return True
    is_early = row["own_date"] is not None and row["own_date"] < report.post_from
    is_same = digest == row["seen"]
    if not stands:
        is_followed = status in _QUIET and row["ruleset_version"] == report.books.rules
        return report.books.rules is None or (is_same and (is_early or is_followed))
    if not is_same or row["undone"] or not row["shown"] or status != DocumentStatus.POSTED:
        return False
    if row["unlinked"]:
        tied.say(TieState.DIFFERING, "NOT_LINKED", tied.posted)
    else:
        tied.say(TieState.MATCHED, None, tied.posted)
    return True


# ---------------------------------------------------------------- what is there without cause


async def _add_gone(
    connection: Connection, report: Report, source: str, days: tuple[date, date], waiting: Collection[Key]
) -> None:
    for kind in DATED_BY:
        for row in await connection.fetch(GONE[kind], report.books.ledger.ledger_id, source, *days):
            tied = _tied(kind, source, row)
            if tied.key in waiting:
                tied.say(TieState.PENDING, "WAITING", {})
            else:
                tied.say(TieState.EXTRA, "GONE", {})
            report.tied.append(tied)


def _add_strays(report: Report, rows: Sequence[Any], waiting: Collection[Key]) -> None:
    """Entries that no posting names; those of documents that wait are the work of a run that goes on."""
    busy = {document_prefix(key) for key in waiting} if rows else set()
    for row in rows:
        prefix = row["idempotency_key"].removesuffix(REVERSED).rsplit(":", 2)[0] + ":"
        if prefix not in busy:
            tied = Tied(None, row["dated"], posted=orjson.loads(row["posted"]), sequences=(row["sequence"],))
            tied.say(TieState.EXTRA, "NOT_RECORDED", {})
            report.tied.append(tied)
