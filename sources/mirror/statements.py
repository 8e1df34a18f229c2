"""What the statements of a bank account make of each other: their order, gaps, and which transactions count.

Decided here rather than in SQL: each query below looks rows up by an index or writes them by their key, so that it takes the
same time whatever the database believes about the sizes of its tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from sources.mirror.changes import Changes
from sources.mirror.places import Chain, Touched, place

if TYPE_CHECKING:
    from sources.database.pool import Connection

__all__ = ["Touched", "settle"]

Until = Mapping[Chain, date | None]
"""The last day that authoritative statements of a chain tell of; None: they tell of none."""


@dataclass(frozen=True, slots=True)
class _Transaction:
    """`of_…`: what its statement is."""

    ledger_id: int
    account: str
    external_id: str
    statement: str
    currency: str
    provisional: bool
    deleted: bool
    dated_on: date | None
    visible: bool
    of_currency: str
    of_ends_on: date | None
    of_first_seen: datetime


async def settle(connection: Connection, touched: Collection[Touched], changes: Changes) -> None:
    """Brings ranks, gaps and visibility up to date around these statements, in time that grows with what they touch and not with
    what is held of their accounts; an account without statements is deleted. Transactions of authoritative statements that may
    have changed are added to `changes`."""
    if not touched:
        return
    source = changes.source
    chains, firm = await place(connection, source, touched)
    until = await _until(connection, source, chains)
    # What may change: transactions of these statements, the same ones of other statements, and provisional ones of days that
    # authoritative statements tell of now, or tell of no more.
    written = _columns([(ledger_id, statement) for ledger_id, _, statement in touched])
    concerned = {tuple(row) for row in await connection.fetch(_OF_STATEMENTS, source, *written)}
    if firm:
        days = _columns([(*account, *_days(account, until)) for account in sorted(firm)])
        concerned |= {tuple(row) for row in await connection.fetch(_PROVISIONAL, source, *days)}
    currencies = {(ledger_id, account, currency) for ledger_id, account, currency in chains}
    if concerned:
        transactions = await _transactions(connection, source, sorted(concerned))
        currencies |= {(each.ledger_id, each.account, each.currency) for each in transactions}
        turned = _turns(transactions, until)
        if turned:
            await connection.execute(_TURN, source, *_columns(turned))
        _tell(changes, transactions, {(ledger_id, statement) for ledger_id, _, statement in touched}, set(turned))
    await _sum_up(connection, source, touched, currencies)


async def _until(connection: Connection, source: str, chains: Collection[Chain]) -> Until:
    """Of each chain of the accounts."""
    if not chains:
        return {}
    return {tuple(row[:3]): row[3] for row in await connection.fetch(_ENDS, source, *_columns(sorted(chains)))}


def _days(account: tuple[int, str], until: Until) -> tuple[date, date]:
    """The first and the last day that authoritative statements of an account's chains end on."""
    ends = [end or date.min for chain, end in until.items() if chain[:2] == account]
    return min(ends), max(ends)


async def _transactions(
    connection: Connection, source: str, keys: Sequence[tuple[int, str, str]]
) -> list[_Transaction]:
    """As often as statements give them. Two statements by keys: the planner would join in time that grows with the account."""
    rows = await connection.fetch(_TRANSACTIONS, source, *_columns(keys))
    stating = sorted({(row[0], row[3]) for row in rows})
    found = await connection.fetch(_STATING, source, *_columns(stating)) if stating else ()
    of = {(row[0], row[1]): tuple(row[2:]) for row in found}
    return [_Transaction(*row, *of[row[0], row[3]]) for row in rows]


async def _sum_up(
    connection: Connection, source: str, touched: Collection[Touched], currencies: Collection[Chain]
) -> None:
    """The currencies of the accounts, which were of these at most."""
    accounts = sorted({(ledger_id, account) for ledger_id, account, _ in touched})
    asked = _columns(sorted(currencies)) if currencies else [[], [], []]
    await connection.execute(_SUM_UP, source, *_columns(accounts), *asked)


def _turns(transactions: Iterable[_Transaction], until: Until) -> list[tuple[int, str, str, str]]:
    """Keys of those transactions that begin or cease to count. The same one of several statements counts once: the word of
    authoritative ones before that of others, of later ones before that of earlier ones."""

    def order(transaction: _Transaction) -> tuple[bool, bool, date, datetime, str]:
        here, firm = not transaction.deleted, not transaction.provisional
        return (here, firm, transaction.of_ends_on or date.min, transaction.of_first_seen, transaction.statement)

    same: dict[tuple[int, str, str], list[_Transaction]] = defaultdict(list)
    for transaction in transactions:
        same[transaction.ledger_id, transaction.account, transaction.external_id].append(transaction)
    turned = []
    for (ledger_id, account, external_id), group in same.items():
        best = max(group, key=order)
        end = until.get((ledger_id, account, best.of_currency))
        covered = best.provisional and best.dated_on is not None and end is not None and best.dated_on <= end
        counts = not best.deleted and not covered
        turned += [
            (ledger_id, account, external_id, each.statement)
            for each in group
            if each.visible != (counts and each is best)
        ]
    return turned


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


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows (at least one) as one array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


_ENDS = """
SELECT asked.ledger_id, asked.account, asked.currency, (
    SELECT s.ends_on FROM mirror.bank_statement s
    WHERE s.source = $1 AND s.ledger_id = asked.ledger_id AND s.account = asked.account AND s.currency = asked.currency
        AND s.rank > 0
    ORDER BY s.rank DESC LIMIT 1)
FROM unnest($2::bigint[], $3::text[], $4::text[]) AS asked (ledger_id, account, currency)"""
_OF_STATEMENTS = """
SELECT ledger_id, account, external_id FROM mirror.bank_transaction
WHERE source = $1 AND (ledger_id, statement) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
_PROVISIONAL = """
SELECT t.ledger_id, t.account, t.external_id
FROM unnest($2::bigint[], $3::text[], $4::date[], $5::date[]) AS asked (ledger_id, account, first, last) CROSS JOIN LATERAL (
    SELECT * FROM mirror.bank_transaction held WHERE held.ledger_id = asked.ledger_id AND held.source = $1
        AND held.account = asked.account AND held.provisional AND held.visible AND held.dated_on <= asked.last
    UNION ALL
    SELECT * FROM mirror.bank_transaction held WHERE held.ledger_id = asked.ledger_id AND held.source = $1
        AND held.account = asked.account AND held.provisional AND NOT held.visible AND held.dated_on > asked.first
) AS t"""
# Each key by itself: joined, the planner reads the whole account where it knows nothing of its size.
_TRANSACTIONS = """
SELECT t.* FROM unnest($2::bigint[], $3::text[], $4::text[]) AS asked (ledger_id, account, external_id) CROSS JOIN LATERAL (
    SELECT ledger_id, account, external_id, statement, currency, provisional, deleted_at IS NOT NULL, dated_on, visible
    FROM mirror.bank_transaction held WHERE held.ledger_id = asked.ledger_id AND held.source = $1
        AND held.account = asked.account AND held.external_id = asked.external_id
    OFFSET 0
) AS t"""
_STATING = """
SELECT ledger_id, external_id, currency, ends_on, first_seen FROM mirror.bank_statement
WHERE source = $1 AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
# By the places of the rows, each looked up by the primary key: by IN or joined, the planner reads the whole account for every page of
# a backfill where it knows nothing of its size. The blank text keeps it from the index by statement, which gives whole statements.
_TURN = """
UPDATE mirror.bank_transaction SET visible = NOT visible WHERE ctid = ANY (ARRAY(
    SELECT (
        SELECT held.ctid FROM mirror.bank_transaction held
        WHERE held.ledger_id = turned.ledger_id AND held.source = $1 AND held.account = turned.account
            AND held.external_id = turned.external_id AND held.statement || '' = turned.statement)
    FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]) AS turned (ledger_id, account, external_id, statement)))"""
# Scalar subqueries, each by an index: the planner would read whole accounts for an EXISTS.
_SUM_UP = """
WITH found AS (
    SELECT a.ledger_id, a.external_id, ARRAY(
        SELECT asked.currency FROM unnest($4::bigint[], $5::text[], $6::text[]) AS asked (ledger_id, account, currency)
        WHERE asked.ledger_id = a.ledger_id AND asked.account = a.external_id AND coalesce(
            (SELECT true FROM mirror.bank_statement s WHERE s.ledger_id = a.ledger_id AND s.source = a.source
                AND s.account = a.external_id AND s.currency = asked.currency AND s.deleted_at IS NULL
                ORDER BY s.rank DESC LIMIT 1),
            (SELECT true FROM mirror.bank_transaction t WHERE t.ledger_id = a.ledger_id AND t.source = a.source
                AND t.account = a.external_id AND t.visible AND t.currency = asked.currency LIMIT 1),
            false)
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
