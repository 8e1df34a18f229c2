"""What the statements of a bank account make of each other: their order, gaps, and which transactions count.

Decided here rather than in SQL: each query below looks rows up by an index or writes them by their key, so that it takes the
same time whatever the database believes about the sizes of its tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sources.mirror.chain import Link, gaps, ordered
from sources.mirror.changes import Changes

if TYPE_CHECKING:
    from sources.database.pool import Connection

Touched = tuple[int, str, str]
"""A statement that was written or deleted: its ledger_id, account and external id."""


@dataclass(frozen=True, slots=True)
class _Statement:
    ledger_id: int
    account: str
    external_id: str
    currency: str
    provisional: bool
    deleted: bool
    ends_on: date | None
    opening: int | None
    closing: int | None
    rank: int
    gap: str | None
    first_seen: datetime

    @property
    def counts(self) -> bool:
        return not self.provisional and not self.deleted


@dataclass(frozen=True, slots=True)
class _Transaction:
    ledger_id: int
    account: str
    external_id: str
    statement: str
    provisional: bool
    deleted: bool
    dated_on: date | None
    visible: bool


async def settle(connection: Connection, touched: Collection[Touched], changes: Changes) -> None:
    """Brings ranks, gaps and visibility up to date in the accounts of these statements; an account without statements is
    deleted. Transactions of authoritative statements that may have changed are added to `changes`."""
    if not touched:
        return
    source = changes.source
    accounts = _columns(sorted({(ledger_id, account) for ledger_id, account, _ in touched}))
    statements = [_Statement(*row) for row in await connection.fetch(_STATEMENTS, source, *accounts)]
    await _update(connection, _PLACE, source, _places(statements))
    # What may change: transactions of these statements, the same ones of other statements, and provisional ones.
    written = _columns([(ledger_id, statement) for ledger_id, _, statement in touched])
    concerned = {tuple(row) for row in await connection.fetch(_OF_STATEMENTS, source, *written)}
    concerned |= {tuple(row) for row in await connection.fetch(_PROVISIONAL, source, *accounts)}
    if concerned:
        rows = await connection.fetch(_TRANSACTIONS, source, *_columns(sorted(concerned)))
        transactions = [_Transaction(*row) for row in rows]
        turned = _turns(transactions, statements)
        await _update(connection, _TURN, source, turned)
        _tell(changes, transactions, {(ledger_id, statement) for ledger_id, _, statement in touched}, set(turned))
    await connection.execute(_SUM_UP, source, *accounts)


def _places(statements: Sequence[_Statement]) -> list[tuple[int, str, int, str | None]]:
    """(ledger_id, external id, rank, gap) of those statements whose place changed."""
    chains: dict[tuple[int, str, str], list[Link]] = defaultdict(list)
    for each in statements:
        if each.counts:
            link = Link(each.external_id, each.currency, each.ends_on, each.opening, each.closing)
            chains[each.ledger_id, each.account, each.currency].append(link)
    placed: dict[tuple[int, str], tuple[int, str | None]] = {}
    for (ledger_id, _, _), links in chains.items():
        chain = ordered(links)
        sentences = gaps(chain)
        for rank, link in enumerate(chain, 1):
            placed[ledger_id, link.external_id] = (rank, sentences.get(link.external_id))
    changed = []
    for each in statements:
        place = placed.get((each.ledger_id, each.external_id), (0, None))
        if place != (each.rank, each.gap):
            changed.append((each.ledger_id, each.external_id, *place))
    return changed


def _turns(transactions: Iterable[_Transaction], statements: Iterable[_Statement]) -> list[tuple[int, str, str, str]]:
    """Keys of those transactions that begin or cease to count. The same one of several statements counts once: the word of
    authoritative ones before that of others, of later ones before that of earlier ones."""
    by_id = {(each.ledger_id, each.external_id): each for each in statements}
    until = _covered(by_id.values())

    def order(transaction: _Transaction) -> tuple[bool, bool, date, datetime, str]:
        of = by_id[transaction.ledger_id, transaction.statement]
        here, firm = not transaction.deleted, not transaction.provisional
        return (here, firm, of.ends_on or date.min, of.first_seen, of.external_id)

    same: dict[tuple[int, str, str], list[_Transaction]] = defaultdict(list)
    for transaction in transactions:
        if (transaction.ledger_id, transaction.statement) in by_id:
            same[transaction.ledger_id, transaction.account, transaction.external_id].append(transaction)
    turned = []
    for (ledger_id, account, external_id), group in same.items():
        best = max(group, key=order)
        end = until.get((ledger_id, account, by_id[ledger_id, best.statement].currency))
        covered = best.provisional and best.dated_on is not None and end is not None and best.dated_on <= end
        counts = not best.deleted and not covered
        turned += [
            (ledger_id, account, external_id, each.statement)
            for each in group
            if each.visible != (counts and each is best)
        ]
    return turned


def _covered(statements: Iterable[_Statement]) -> dict[tuple[int, str, str], date]:
    """The last day that authoritative statements tell of, by ledger_id, account and currency."""
    until: dict[tuple[int, str, str], date] = {}
    for each in statements:
        if each.counts and each.ends_on is not None:
            key = (each.ledger_id, each.account, each.currency)
            until[key] = max(until.get(key, date.min), each.ends_on)
    return until


def _tell(
    changes: Changes,
    transactions: Iterable[_Transaction],
    written: Collection[tuple[int, str]],
    turned: Collection[tuple[int, str, str, str]],
) -> None:
    """Authoritative transactions of the statements that were written, and those that began or ceased to count."""
    told: dict[tuple[int, str, str], bool] = {}
    held: set[tuple[int, str, str]] = set()
    for each in transactions:
        key = (each.ledger_id, each.account, each.external_id)
        if each.provisional and (each.ledger_id, each.statement) not in changes.demoted:
            continue
        if (each.ledger_id, each.statement) in written or (*key, each.statement) in turned:
            told[key] = True
        if not (each.deleted or each.provisional):
            held.add(key)
    changes.add_transactions(told.keys() & held)
    changes.add_transactions(told.keys() - held, gone=True)


async def _update(connection: Connection, sql: str, source: str, rows: Sequence[Sequence[object]]) -> None:
    if rows:
        await connection.execute(sql, source, *_columns(rows))


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows (at least one) as one array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


_OF_ACCOUNTS = "source = $1 AND (ledger_id, account) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"
_STATEMENTS = f"""
SELECT ledger_id, account, external_id, currency, provisional, deleted_at IS NOT NULL, ends_on, opening, closing, rank, gap,
    first_seen
FROM mirror.bank_statement WHERE {_OF_ACCOUNTS}"""
_PLACE = """
UPDATE mirror.bank_statement held SET rank = place.rank, gap = place.gap
FROM unnest($2::bigint[], $3::text[], $4::int[], $5::text[]) AS place (ledger_id, external_id, rank, gap)
WHERE held.source = $1 AND held.ledger_id = place.ledger_id AND held.external_id = place.external_id"""
_OF_STATEMENTS = """
SELECT ledger_id, account, external_id FROM mirror.bank_transaction
WHERE source = $1 AND (ledger_id, statement) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
_PROVISIONAL = f"""
SELECT ledger_id, account, external_id FROM mirror.bank_transaction WHERE {_OF_ACCOUNTS} AND provisional"""
_TRANSACTIONS = """
SELECT ledger_id, account, external_id, statement, provisional, deleted_at IS NOT NULL, dated_on, visible
FROM mirror.bank_transaction
WHERE source = $1 AND (ledger_id, account, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[]))"""
_TURN = """
UPDATE mirror.bank_transaction held SET visible = NOT held.visible
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS turned (ledger_id, account, external_id, statement)
WHERE held.source = $1 AND held.ledger_id = turned.ledger_id AND held.account = turned.account
    AND held.external_id = turned.external_id AND held.statement = turned.statement"""
_SUM_UP = """
WITH found AS (
    SELECT a.ledger_id, a.external_id, ARRAY(
        SELECT s.currency FROM mirror.bank_statement s WHERE s.ledger_id = a.ledger_id AND s.source = a.source
            AND s.account = a.external_id AND s.deleted_at IS NULL
        UNION
        SELECT t.currency FROM mirror.bank_transaction t WHERE t.ledger_id = a.ledger_id AND t.source = a.source
            AND t.account = a.external_id AND t.visible
        ORDER BY 1
    ) AS currencies
    FROM mirror.bank_account a
    WHERE a.source = $1 AND (a.ledger_id, a.external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))
)
UPDATE mirror.bank_account held SET currencies = found.currencies,
    currency = CASE WHEN held.currency = ANY (found.currencies) THEN held.currency
        ELSE coalesce(found.currencies[1], held.currency) END,
    deleted_at = CASE WHEN found.currencies = '{}' THEN coalesce(held.deleted_at, now()) END
FROM found WHERE held.source = $1 AND held.ledger_id = found.ledger_id AND held.external_id = found.external_id
    AND (held.currencies <> found.currencies OR (held.deleted_at IS NULL) = (found.currencies = '{}'))"""
