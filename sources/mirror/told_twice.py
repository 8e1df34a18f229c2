"""A bank account that several sources tell of, such as a folder of camt.053 and another of the same bank's CSV: it counts once.

On a day, in one currency, it counts by the source

1. that posted its newest transaction up to the day: what one source has posted of an account's day, no other posts;
2. where none posted any: that knows its balance, and of those the first by name.

An account is known by its IBAN, else by what its bank calls it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby
from typing import Any, NamedTuple, Protocol


class Fetching(Protocol):
    """A connection, or an operation's view of the database."""

    async def fetch(self, sql: str, *args: Any) -> Sequence[Any]: ...


class Place(NamedTuple):
    """An account as one source calls it, in one currency."""

    ledger_id: int
    source: str
    account: str
    currency: str


def identity(alias: str) -> str:
    """SQL of what an account is known by. People, and formats, write an IBAN in groups of four."""
    return f"upper(regexp_replace(coalesce({alias}.iban, {alias}.external_id), '\\s', '', 'g'))"


async def ranked(reader: Fetching, positions: Sequence[Mapping[str, Any]], day: date) -> list[list[Place]]:
    """Accounts that more than one source tells of: of each how its sources call it, first the one by which it counts on the day.
    `positions`: columns ledger_id, source, account, currency, identity, and closing, None where no balance is known."""
    by_name = sorted(positions, key=_name)
    groups = [list(group) for _, group in groupby(by_name, key=lambda row: _name(row)[:3])]
    told = [row for group in groups if len({row["source"] for row in group}) > 1 for row in group]
    if not told:
        return []
    places = [Place(row["ledger_id"], row["source"], row["account"], row["currency"]) for row in told]
    rows = await reader.fetch(_NEWEST_POSTED, *[list(column) for column in zip(*places, strict=True)], day.isoformat())
    posted = {Place(*row[:4]): row[4] for row in rows}
    order = sorted(
        zip(told, places, strict=True),
        key=lambda each: (*_name(each[0])[:3], -posted[each[1]], each[0]["closing"] is None, each[1]),
    )
    return [[place for _, place in group] for _, group in groupby(order, key=lambda each: _name(each[0])[:3])]


def _name(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["ledger_id"], row["identity"], row["currency"], row["source"]


async def days_of_others(
    reader: Fetching, accounts: Sequence[Sequence[Place]], day: date
) -> list[tuple[str, str, str, date]]:
    """(source, account, currency, day) of which the booked transactions up to the day count by another source: by those that posted
    some of the account's day; where none did, by the first that has any. `accounts`: as `ranked` gives them.
    `reader`: one that gives dates as such."""
    told = [(*place, number, rank) for number, account in enumerate(accounts) for rank, place in enumerate(account)]
    if not told:
        return []
    rows = await reader.fetch(_OF_OTHERS, *[list(column) for column in zip(*told, strict=True)], day.isoformat())
    return [tuple(row) for row in rows]


_POSTED = """(
    SELECT 1 FROM pipeline.posting p
    WHERE p.ledger_id = t.ledger_id AND p.source = t.source AND p.kind = 'bank_transaction' AND p.account = t.account
        AND p.external_id = t.external_id AND p.status = 'POSTED' LIMIT 1) IS NOT NULL"""
_IS_BOOKED = "t.account = told.account AND t.currency = told.currency AND t.visible AND t.status = 'BOOKED'"
# Who has posted nothing of an account is not asked for each of its transactions.
_EVER_POSTED = """(
    SELECT 1 FROM pipeline.posting p
    WHERE p.ledger_id = told.ledger_id AND p.source = told.source AND p.kind = 'bank_transaction' AND p.account = told.account
    LIMIT 1) IS NOT NULL"""
_NEWEST_POSTED = f"""
SELECT told.*, coalesce(CASE WHEN {_EVER_POSTED} THEN (
    SELECT t.dated_on - date '0001-01-01' FROM mirror.bank_transaction t
    WHERE t.ledger_id = told.ledger_id AND t.source = told.source AND {_IS_BOOKED} AND t.dated_on <= $5::text::date AND {_POSTED}
    ORDER BY t.dated_on DESC LIMIT 1) END, -1)
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS told (ledger_id, source, account, currency)"""
_OF_OTHERS = f"""
WITH told AS MATERIALIZED (
    SELECT told.*, {_EVER_POSTED} AS posts
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::integer[])
        AS told (ledger_id, source, account, currency, number, rank)
)
SELECT source, account, currency, dated_on FROM (
    SELECT of_day.*, bool_or(posts) OVER of_day AS posted, min(rank) OVER of_day AS first
    FROM (
        SELECT told.source, told.account, told.currency, told.number, told.rank, t.dated_on,
            bool_or(CASE WHEN told.posts THEN {_POSTED} ELSE false END) AS posts
        FROM told
        JOIN mirror.bank_transaction t ON t.ledger_id = told.ledger_id AND t.source = told.source AND {_IS_BOOKED}
            AND t.dated_on <= $7::text::date
        GROUP BY told.source, told.account, told.currency, told.number, told.rank, t.dated_on
    ) AS of_day
    WINDOW of_day AS (PARTITION BY number, dated_on)
) AS of_days
WHERE NOT posts AND (posted OR rank > first)"""
