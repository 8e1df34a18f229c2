"""What a run of the pipeline finds: the right to one ledger, what is due, the documents, what was made of them, rates.

All of it in the transaction that has the ledger's claim (`sources.pipeline.todo`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sources.database.pool import Database
from sources.ledger.model import LedgerRef
from sources.mapping import matching_bills
from sources.mapping.rates import WINDOW, Quote, Rates
from sources.pipeline import bank_days, documents, settling, todo
from sources.pipeline.bank_days import BankDay
from sources.pipeline.documents import Document
from sources.pipeline.drafting import document_prefix
from sources.pipeline.model import DocumentStatus, Key, Past, Posting, PostingStatus
from sources.pipeline.settling import Standing
from sources.pipeline.todo import Taken

if TYPE_CHECKING:
    from sources.database.pool import Connection

DUPLICATE_CODE = "POSSIBLE_DUPLICATE"


@dataclass(frozen=True, slots=True)
class Books:
    """A ledger as a run finds it. `rules`: the version of its active ones, None: there are none. `rules_told`: what had an issue
    was called up since they became active. `cutovers`: by source, of those that post. `now`: the database's clock."""

    ledger: LedgerRef
    locked_through: date | None
    rules: int | None
    rules_told: bool
    cutovers: Mapping[str, date]
    now: datetime

    @property
    def today(self) -> date:
        return self.now.astimezone(UTC).date()


@dataclass(slots=True)
class Work:
    """One document to look at. `strays`: its entries of which nothing is recorded; `reversals`: where there are such, of them and of
    what stands on record. `cleared`: codes of what held it up until a person let it pass."""

    taken: Taken
    document: Document
    past: Past
    strays: Sequence[Standing] = ()
    reversals: Mapping[int, Standing] = field(default_factory=dict)
    cleared: frozenset[str] = frozenset()

    @property
    def key(self) -> Key:
        return self.taken.key


@dataclass(slots=True)
class Batch:
    """`claimed`: bill -> the document that has posted it, or is to. `days`: of bank transactions; `days_posted`: such a day -> the
    sources that have posted it, or are to. `reached`: statuses of invoices whose payload rules ask for."""

    work: list[Work]
    rates: Rates = field(default_factory=Rates)
    claimed: dict[bytes, list[Key]] = field(default_factory=dict)
    days: dict[Key, BankDay] = field(default_factory=dict)
    days_posted: dict[BankDay, set[str]] = field(default_factory=dict)
    reached: set[str] = field(default_factory=set)


async def see(connection: Connection, ledger_id: int) -> None:
    """The transaction sees this ledger alone."""
    await connection.execute("SELECT set_config('ledgergraph.ledgers', $1, true)", str(int(ledger_id)))


@asynccontextmanager
async def turn(database: Database, ledger_id: int) -> AsyncIterator[Connection]:
    """A transaction that has the ledger as a worker does (`todo.claim`), once no worker has it: for what changes what is recorded
    of documents. Who waits holds none of the connections that the worker needs to come to its end. Raises DatabaseUnavailable,
    and Unavailable when it waits longer than a statement may."""
    async with database.writer() as connection, connection.transaction():
        await see(connection, ledger_id)
        if await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_TURN})", ledger_id):
            yield connection
            return
    async with database.apart() as connection, connection.transaction():
        await see(connection, ledger_id)
        await connection.execute(f"SELECT pg_advisory_xact_lock({_TURN})", ledger_id)
        yield connection


async def read_books(connection: Connection, ledger_id: int) -> Books | None:
    """None: there is no such ledger."""
    row = await connection.fetchrow(_BOOKS, ledger_id)
    if row is None:
        return None
    cutovers = {each["source"]: each["post_from"] for each in await connection.fetch(_CUTOVERS)}
    ledger = LedgerRef(ledger_id, row["code"], row["functional_currency"])
    return Books(ledger, row["locked_through"], row["version"], bool(row["told"]), cutovers, row["now"])


async def take(connection: Connection, books: Books, limit: int, reached: set[str]) -> Batch:
    """What is due, the longest waiting first. `reached`: see `documents.load`; the run adds to it."""
    ledger_id = books.ledger.ledger_id
    due = await todo.take(connection, ledger_id, list(books.cutovers), limit)
    if not due:
        return Batch([])
    keys = [taken.key for taken in due]
    found = await documents.load(connection, ledger_id, keys, books.cutovers, books.today, reached)
    pasts = await read_pasts(connection, ledger_id, keys)
    await see_reversals(connection, ledger_id, [past for past in pasts.values() if past.digest is None])
    work = [Work(taken, found[taken.key], pasts[taken.key]) for taken in due]
    rates = await read_rates(connection, list(found.values()), books.ledger.functional_currency)
    batch = Batch(work, rates, reached=reached)
    await _read_strays(connection, ledger_id, batch)
    await read_holds(connection, ledger_id, batch)
    return batch


async def read_holds(connection: Connection, ledger_id: int, batch: Batch) -> None:
    """What documents of a batch may have to wait for, and what a person let pass."""
    await _read_duplicates(connection, ledger_id, batch)
    batch.days, batch.days_posted = await bank_days.read(connection, ledger_id, [work.document for work in batch.work])
    await _read_cleared(connection, ledger_id, batch)


async def read_payloads(connection: Connection, books: Books, work: Sequence[Work]) -> set[Key]:
    """Loads these documents whole. Answers with those that have changed since they were taken: they are as they were, and due
    once more."""
    keys = [each.key for each in work]
    found = await documents.load(connection, books.ledger.ledger_id, keys, books.cutovers, books.today)
    changed = set()
    for each in work:
        document = found[each.key]
        if document.version != each.document.version:
            changed.add(each.key)
        else:
            each.document = document
    return changed


async def read_pasts(connection: Connection, ledger_id: int, keys: Sequence[Key]) -> dict[Key, Past]:
    """What is recorded of these documents; a fresh one where nothing is."""
    columns = columns_of(keys)
    pasts = {key: Past() for key in keys}
    known = await connection.fetch(_DOCUMENTS, ledger_id, *columns)
    for row in known:
        pasts[_key(row)] = Past(
            row["generation"],
            row["content_hash"],
            DocumentStatus(row["status"]),
            row["rule"],
            row["ruleset_version"],
        )
    for row in await connection.fetch(_POSTINGS, ledger_id, *columns) if known else []:
        past = pasts[_key(row)]
        past.postings[row["name"], row["number"]] = _posting(row)
    return pasts


async def read_rates(
    connection: Connection,
    found: Sequence[Document],
    functional_currency: str,
    missed: Collection[tuple[str, date]] = (),
) -> Rates:
    """Every rate that documents in other currencies may need: of the dates that they name, and of what rules that compute
    dates asked for in vain (`Rates.missed`)."""
    foreign = documents.foreign_days(found, functional_currency)
    if not foreign and not missed:
        return Rates()
    for currency, day in missed:
        foreign.setdefault(currency, set()).add(day)
    stated = set().union(*foreign.values())
    days = {day - timedelta(days=back) for day in stated for back in range(WINDOW.days + 1) if day > _EARLY}
    rows = await connection.fetch(_RATES, [*foreign, functional_currency], sorted(days))
    return Rates(Quote(row["base"], row["quote"], row["type"], row["on_date"], row["rate"]) for row in rows)


async def _read_strays(connection: Connection, ledger_id: int, batch: Batch) -> None:
    """What a run that did not come to its end left in the books."""
    prefixes = [document_prefix(work.key) for work in batch.work]
    rows = await connection.fetch(_STRAYS, ledger_id, [work.key.source for work in batch.work], prefixes)
    for row in rows:
        work = batch.work[row["n"] - 1]
        recorded = {
            number for each in work.past.postings.values() for number in (each.sequence, each.reversal_sequence)
        }
        if row["sequence"] not in recorded:
            work.strays = [*work.strays, standing(row)]
    strayed = [work for work in batch.work if work.strays]
    sequences = [each.sequence for work in strayed for each in work.past.live().values() if each.sequence is not None]
    sequences += [each.sequence for work in strayed for each in work.strays]
    if sequences:
        _, reversals = await read_standings(connection, ledger_id, [], sequences)
        for work in strayed:
            work.reversals = reversals


async def read_standings(
    connection: Connection, ledger_id: int, sequences: Sequence[int], reversed_ones: Sequence[int]
) -> tuple[dict[int, Standing], dict[int, Standing]]:
    """Entries by their sequence; and reversals, and their reversals, by what they reverse."""
    rows = await connection.fetch(_STANDINGS, ledger_id, sequences, reversed_ones)
    found = [standing(row) for row in rows]
    return {each.sequence: each for each in found}, {each.reverses: each for each in found if each.reverses}


async def see_reversals(connection: Connection, ledger_id: int, pasts: Iterable[Past]) -> None:
    """What of documents that are to be posted again was reversed by hand since it was recorded."""
    wanted = [past for past in pasts if past.live()]
    sequences = [each.sequence for past in wanted for each in past.live().values() if each.sequence is not None]
    if sequences:
        _, reversals = await read_standings(connection, ledger_id, [], sequences)
        for past in wanted:
            settling.see_reversals(past, reversals)


def standing(row: Any) -> Standing:
    return Standing(row["sequence"], row["idempotency_key"], row["effective_date"], row["body_hash"], row["reverses"])


async def _read_duplicates(connection: Connection, ledger_id: int, batch: Batch) -> None:
    bills = {work.document.bill for work in batch.work if work.document.bill is not None}
    if not bills:
        return
    for row in await connection.fetch(_CLAIMED, ledger_id, list(bills)):
        batch.claimed.setdefault(row["bill_key"], []).append(_key(row))


async def _read_cleared(connection: Connection, ledger_id: int, batch: Batch) -> None:
    keys = [
        work.key
        for work in batch.work
        if work.document.bill is not None or work.document.is_of_order or work.key in batch.days
    ]
    if not keys:
        return
    codes: dict[Key, set[str]] = {}
    for row in await connection.fetch(_CLEARED, ledger_id, *columns_of(keys), [DUPLICATE_CODE, matching_bills.CODE]):
        codes.setdefault(_key(row), set()).add(row["code"])
    for work in batch.work:
        work.cleared = frozenset(codes.get(work.key, ()))


def columns_of(keys: Iterable[Key]) -> list[list[str]]:
    """Keys as the columns source, kind, account and external_id, for unnest."""
    return [list(column) for column in zip(*keys, strict=True)] or [[], [], [], []]


def _key(row: Any) -> Key:
    return Key(row["source"], row["kind"], row["account"], row["external_id"])


def _posting(row: Any) -> Posting:
    approved = row["status"] == PostingStatus.PROPOSED and row["decision"] == "APPROVED"
    return Posting(
        row["name"],
        row["number"],
        row["generation"],
        row["outcome"],
        PostingStatus.APPROVED if approved else PostingStatus(row["status"]),
        row["rule"],
        row["ruleset_version"],
        row["effective_date"],
        row["sequence"],
        row["reversal_sequence"],
        row["substance"],
        row["reversed_on"],
    )


_TURN = "hashtextextended('ledgergraph pipeline ' || $1::bigint, 0)"
_EARLY = date(1900, 1, 1)
_BOOKS = """
SELECT code, functional_currency, locked_through, version, told, clock_timestamp() AS now
FROM ledger.ledger
LEFT JOIN mapping.ruleset ON ruleset.ledger_id = ledger.ledger_id AND ruleset.active
WHERE ledger.ledger_id = $1"""
_CUTOVERS = "SELECT source, post_from FROM mirror.source_state WHERE post_from IS NOT NULL"
_ASKED = "unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS asked (source, kind, account, external_id)"
_IS_ASKED = """
held.ledger_id = $1 AND held.source = asked.source AND held.kind = asked.kind AND held.account = asked.account
    AND held.external_id = asked.external_id"""
_DOCUMENTS = f"SELECT held.* FROM {_ASKED} JOIN pipeline.document held ON {_IS_ASKED}"
_POSTINGS = f"""
SELECT held.*, proposal.decision, (
    SELECT effective_date FROM ledger.entry WHERE ledger_id = $1 AND sequence = held.reversal_sequence
) AS reversed_on
FROM {_ASKED} JOIN pipeline.posting held ON {_IS_ASKED}
LEFT JOIN pipeline.proposal ON held.status = 'PROPOSED' AND proposal.ledger_id = $1 AND proposal.source = held.source
    AND proposal.kind = held.kind AND proposal.account = held.account AND proposal.external_id = held.external_id
    AND proposal.name = held.name AND proposal.generation = held.generation AND proposal.number = held.number
ORDER BY held.name, held.number"""
_STRAYS = """
SELECT asked.n::integer AS n, sequence, idempotency_key, effective_date, body_hash, reverses
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS asked (source, prefix, n)
CROSS JOIN LATERAL (
    SELECT sequence, idempotency_key, effective_date, body_hash, reverses FROM ledger.entry
    WHERE ledger_id = $1 AND (origin, idempotency_key) >= (asked.source, asked.prefix)
        AND (origin, idempotency_key) < (asked.source, left(asked.prefix, -1) || ';')
    ORDER BY origin, idempotency_key
) AS held"""
_STANDINGS = """
WITH RECURSIVE chain AS (
    SELECT asked.sequence, NULL COLLATE "C" AS idempotency_key, NULL::date AS effective_date, NULL::bytea AS body_hash, NULL::bigint AS reverses
    FROM unnest($3::bigint[]) AS asked (sequence)
    UNION ALL
    SELECT undoing.* FROM chain CROSS JOIN LATERAL (
        SELECT sequence, idempotency_key, effective_date, body_hash, reverses FROM ledger.entry
        WHERE ledger_id = $1 AND reverses = chain.sequence LIMIT 1
    ) AS undoing
)
SELECT sequence, idempotency_key, effective_date, body_hash, reverses FROM ledger.entry
WHERE ledger_id = $1 AND sequence = ANY($2::bigint[])
UNION ALL
SELECT * FROM chain WHERE reverses IS NOT NULL"""
_RATES = """
SELECT base, quote, lower(type) AS type, on_date, rate FROM ledger.rate
WHERE (base = ANY($1::text[]) OR quote = ANY($1::text[])) AND on_date = ANY($2::date[])"""
_CLAIMED = """
SELECT bill_key, source, kind, account, external_id FROM pipeline.document held
WHERE ledger_id = $1 AND bill_key = ANY($2::bytea[]) AND (status IN ('POSTED', 'PROPOSED') OR EXISTS (
    SELECT FROM pipeline.posting live
    WHERE live.ledger_id = $1 AND live.source = held.source AND live.kind = held.kind AND live.account = held.account
        AND live.external_id = held.external_id AND live.status = 'POSTED'))"""
_CLEARED = f"""
SELECT source, kind, account, external_id, held.code FROM mirror.issue held JOIN {_ASKED} USING (source, kind, account, external_id)
WHERE held.ledger_id = $1 AND held.code = ANY($6::text[]) AND held.resolved_at IS NOT NULL"""
