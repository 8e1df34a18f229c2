"""The places of statements in the chains of their accounts, brought up to date around those that changed.

A rank is the day that a statement ends on and its place among those of the day, so that what changes moves the others of its day
alone. How a day's statements follow each other, and whether the first of them leaves a gap, depends on the last one before: so the
next day is looked at as well, and the one after it for as long as the last statement of a day becomes another one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from sources.mirror.chain import Link, follow

if TYPE_CHECKING:
    from sources.database.pool import Connection

Touched = tuple[int, str, str]
"""A statement that was written or deleted: its ledger_id, account and external id."""
Chain = tuple[int, str, str]
"""Authoritative statements that follow each other: ledger_id, account and currency."""

PER_DAY = 1 << 24
"""Ranks of one day: its number (day 1 is 1 January of year 1) times this, and the place among its statements, from 1 on."""


class _Placed(NamedTuple):
    ledger_id: int
    link: Link
    rank: int
    gap: str | None

    @property
    def key(self) -> tuple[int, str]:
        return self.ledger_id, self.link.external_id


class _Beside(NamedTuple):
    """What stands beside a day: the last statement before it, by its rank, and the day that follows."""

    rank: int
    link: Link | None
    next_day: int | None


Days = dict[Chain, set[int]]


async def place(
    connection: Connection, source: str, touched: Collection[Touched]
) -> tuple[set[Chain], set[tuple[int, str]]]:
    """Ranks and gaps of these statements, and of those that follow them. Answers with the chains of their accounts, and with the
    accounts (ledger_id, account) of those that are authoritative or were."""
    ids = sorted({(ledger_id, external_id) for ledger_id, _, external_id in touched})
    rows = {(row[0], row[2]): row for row in await connection.fetch(_TOUCHED, source, *_columns(ids))}
    accounts = sorted({(ledger_id, account) for ledger_id, account, _ in touched})
    chains = {(row[0], row[1], row[3]) for row in rows.values()}
    chains |= {tuple(row) for row in await connection.fetch(_CHAINS, source, *_columns(accounts))}
    added: dict[tuple[Chain, int], list[_Placed]] = defaultdict(list)
    days: Days = defaultdict(set)
    for ledger_id, account, external_id in touched:
        _, own, _, currency, counts, ends_on, opening, closing, rank = rows[ledger_id, external_id]
        met = {rank // PER_DAY} if rank else set[int]()
        if counts:
            met.add(_number(ends_on))
        if counts and own == account:
            link = Link(external_id, currency, ends_on, opening, closing)
            added[(ledger_id, account, currency), _number(ends_on)].append(_Placed(ledger_id, link, 0, None))
        for chain in chains if met else ():
            if chain[:2] == (ledger_id, account):
                days[chain] |= met
    if any(row[8] for row in rows.values()):
        await connection.execute(_UNPLACE, source, *_columns(ids))
    firm = {(ledger_id, account) for ledger_id, account, _ in days}
    first = True
    while days:
        days = await _place_days(connection, source, days, added, everything=first)
        added, first = {}, False
    return chains, firm


async def _place_days(
    connection: Connection,
    source: str,
    days: Days,
    added: Mapping[tuple[Chain, int], Sequence[_Placed]],
    *,
    everything: bool,
) -> Days:
    """Places these days' statements, those that are `added` too; answers with the days that are to be looked at next: behind
    `everything`, else behind those whose last statement became another one."""
    asked = [(chain, day) for chain in sorted(days) for day in sorted(days[chain])]
    columns = _columns([(*chain, day * PER_DAY, (day + 1) * PER_DAY) for chain, day in asked])
    held: dict[tuple[Chain, int], list[_Placed]] = defaultdict(list)
    for number, external_id, ends_on, opening, closing, rank, gap in await connection.fetch(_DAYS, source, *columns):
        chain, day = asked[number - 1]
        held[chain, day].append(_Placed(chain[0], Link(external_id, chain[2], ends_on, opening, closing), rank, gap))
    beside = {asked[row[0] - 1]: _beside(row) for row in await connection.fetch(_BESIDE, source, *columns)}
    changed: list[tuple[int, str, int, str | None]] = []
    following: Days = defaultdict(set)
    last: dict[Chain, tuple[int, Link]] = {}
    for chain, day in asked:
        statements = [*held[chain, day], *added.get((chain, day), ())]
        before, found = last.get(chain), beside[chain, day]
        if found.link is not None and (before is None or found.rank // PER_DAY > before[0]):
            before = (found.rank // PER_DAY, found.link)
        places = follow(before[1] if before else None, [each.link for each in statements])
        changed += _changed(day, statements, places)
        if places:
            last[chain] = (day, places[-1][0])
        ended = max(statements, key=lambda each: each.rank, default=None)
        moved = everything or (ended is not None and ended.link != places[-1][0])
        if moved and found.next_day is not None and found.next_day not in days[chain]:
            following[chain].add(found.next_day)
    if changed:
        await connection.execute(_PLACE, source, *_columns(changed))
    return following


def _changed(
    day: int, statements: Iterable[_Placed], places: Iterable[tuple[Link, str | None]]
) -> Iterable[tuple[int, str, int, str | None]]:
    """(ledger_id, external id, rank, gap) of those whose place is another one."""
    held = {each.link.external_id: each for each in statements}
    for number, (link, gap) in enumerate(places, 1):
        was, rank = held[link.external_id], day * PER_DAY + number
        if (was.rank, was.gap) != (rank, gap):
            yield (*was.key, rank, gap)


def _beside(row: Sequence[object]) -> _Beside:
    _, external_id, currency, ends_on, opening, closing, rank, following = row
    next_day = None if following is None else int(following) // PER_DAY  # type: ignore[call-overload]
    if rank is None:
        return _Beside(0, None, next_day)
    return _Beside(int(rank), Link(external_id, currency, ends_on, opening, closing), next_day)  # type: ignore[call-overload, arg-type]


def _number(ends_on: date | None) -> int:
    """Those without a day come first."""
    return (ends_on or date.min).toordinal()


def _columns(rows: Sequence[Sequence[object]]) -> list[list[object]]:
    """Rows (at least one) as one array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


_TOUCHED = """
SELECT ledger_id, account, external_id, currency, NOT provisional AND deleted_at IS NULL, ends_on, opening, closing, rank
FROM mirror.bank_statement
WHERE source = $1 AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
_CHAINS = """
SELECT ledger_id, external_id, unnest(currencies) FROM mirror.bank_account
WHERE source = $1 AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
_UNPLACE = """
UPDATE mirror.bank_statement SET rank = 0, gap = NULL
WHERE source = $1 AND rank <> 0 AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
_ASKED = """
unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
    WITH ORDINALITY AS asked (ledger_id, account, currency, low, high, number)"""
_OF_CHAIN = """
s.source = $1 AND s.ledger_id = asked.ledger_id AND s.account = asked.account AND s.currency = asked.currency"""
_DAYS = f"""
SELECT asked.number, found.* FROM {_ASKED} CROSS JOIN LATERAL (
    SELECT s.external_id, s.ends_on, s.opening, s.closing, s.rank, s.gap FROM mirror.bank_statement s
    WHERE {_OF_CHAIN} AND s.rank >= asked.low AND s.rank < asked.high OFFSET 0
) AS found"""
_BESIDE = f"""
SELECT asked.number, before.*, (
    SELECT s.rank FROM mirror.bank_statement s WHERE {_OF_CHAIN} AND s.rank >= asked.high ORDER BY s.rank LIMIT 1)
FROM {_ASKED} LEFT JOIN LATERAL (
    SELECT s.external_id, s.currency, s.ends_on, s.opening, s.closing, s.rank FROM mirror.bank_statement s
    WHERE {_OF_CHAIN} AND s.rank > 0 AND s.rank < asked.low ORDER BY s.rank DESC LIMIT 1
) AS before ON true"""
_PLACE = """
UPDATE mirror.bank_statement held SET rank = place.rank, gap = place.gap
FROM unnest($2::bigint[], $3::text[], $4::bigint[], $5::text[]) AS place (ledger_id, external_id, rank, gap)
WHERE held.source = $1 AND held.ledger_id = place.ledger_id AND held.external_id = place.external_id"""
