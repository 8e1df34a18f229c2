"""What the pipeline has to look at: documents that changed, disappeared, or are to be tried again.

One worker at a time looks after a ledger: it holds the ledger's claim in one transaction from taking documents until what became
of them is recorded. Nothing else waits for it: whoever changes a document meanwhile writes the same row once more, and `close`
removes only what has not changed since it was taken. A worker that dies has changed nothing here.

Round trips: claim, take, a load for each kind among what was taken, close.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sources.pipeline.model import DocumentStatus, Key

if TYPE_CHECKING:
    from sources.database.pool import Connection

NEW_FOR_ONE_AGAIN: Final = 4
"""So many documents that changed are taken for one that is tried again, while both wait."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A document to look at. `change` tells one change of it from the next; `since`: when the first one came that nobody has
    looked at; `attempts`: how often this one was tried in vain."""

    key: Key
    change: int
    since: datetime
    attempts: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits in a ledger. `oldest`: since when, None: nothing does; `next_at`: when the next document may be taken."""

    documents: int
    oldest: datetime | None
    next_at: datetime | None


async def claim(connection: Connection, ledger_id: int) -> bool:
    """Makes the transaction the one that looks after the ledger, until it ends; False: another one is. The transaction sees
    this ledger alone. Its plans are made for the tables as they are, not for the empty ones of before a backfill, and follow
    indexes in their order."""
    return bool(await connection.fetchval(_CLAIM, ledger_id, column=3))


async def take(connection: Connection, ledger_id: int, sources: Sequence[str], limit: int) -> list[Taken]:
    """At most `limit` documents of these sources whose time has come, those that have waited longest first. Where more are due,
    one that is tried again comes for every four others, so that neither sort waits for all of the other one. What disappeared
    is taken when its source has been read to the end: it may come back until then. A payroll run whose payslips are being read
    is left for a while: without them it would be an issue, for a moment. Reads as much of a long queue as of a short one: each
    sort has an index in the order of its turn."""
    rows = await connection.fetch(_TAKE, ledger_id, list(sources), limit)
    return [Taken(Key(*row[:4]), *row[4:]) for row in rows]


async def close(
    connection: Connection, ledger_id: int, done: Iterable[Taken], later: Mapping[Taken, datetime] | None = None
) -> int:
    """Removes what was dealt with, and puts off what is tried again `later`; what changed since it was taken stays as it is.
    Answers with the number of those removed. Last in the claim's transaction."""
    put_off = later or {}
    taken = sorted({*done, *put_off}, key=lambda each: each.key)
    if not taken:
        return 0
    columns = [list(column) for column in zip(*(each.key for each in taken), strict=True)]
    changes, moments = [each.change for each in taken], [put_off.get(each) for each in taken]
    return int(await connection.fetchval(_CLOSE, ledger_id, *columns, changes, moments))


async def has_moved(connection: Connection, ledger_id: int, taken: Iterable[Taken]) -> bool:
    """Whether any of these changed again since it was taken."""
    columns = [list(column) for column in zip(*((*each.key, each.change) for each in taken), strict=True)]
    return bool(columns) and bool(await connection.fetchval(_HAS_MOVED, ledger_id, *columns))


async def hasten(connection: Connection, ledger_id: int, statuses: Iterable[DocumentStatus]) -> int:
    """What waits to be tried again and was left in one of these states is due now; of duplicates, those whose bill nobody
    has posted any more. Answers with the number of those."""
    return int(await connection.fetchval(_HASTEN, ledger_id, [str(status) for status in statuses]))


async def due_ledgers(connection: Connection) -> list[int]:
    """Ledgers of which something is due, or disappeared, or which have entries that nobody has looked at for what was done by hand,
    or rules that became active and were not heard of; for a connection that sees them."""
    return [row[0] for row in await connection.fetch(_DUE_LEDGERS)]


async def add(connection: Connection, ledger_id: int, keys: Iterable[Key]) -> int:
    """These documents are to be looked at again, at once; answers with the number of those whose source posts."""
    wanted = sorted(set(keys))
    if not wanted:
        return 0
    columns = [list(column) for column in zip(*wanted, strict=True)]
    return int(await connection.fetchval(_ADD, ledger_id, *columns))


async def add_where(
    connection: Connection, ledger_id: int, statuses: Iterable[DocumentStatus], source: str | None = None
) -> int:
    """As `add`, for all documents that were left in one of these states; `source` None: of every source."""
    states = [str(status) for status in statuses]
    return int(await connection.fetchval(_ADD_WHERE, ledger_id, states, source))


async def waiting(connection: Connection, ledger_ids: Sequence[int], sources: Sequence[str]) -> dict[int, Waiting]:
    """What waits in each of these ledgers, for a connection that sees them."""
    rows = await connection.fetch(_WAITING, list(ledger_ids), list(sources))
    return {row[0]: Waiting(*row[1:]) for row in rows}


_CLAIM = """
SELECT set_config('ledgergraph.ledgers', ($1::bigint)::text, true), set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('enable_bitmapscan', 'off', true),
    pg_try_advisory_xact_lock(hashtextextended('ledgergraph pipeline ' || $1::bigint, 0)) AS claimed"""
_TAKEABLE = """
held.source = ANY ($2::text[]) AND (NOT held.gone OR EXISTS (
    SELECT FROM mirror.source_state state WHERE state.source = held.source AND state.as_of IS NOT NULL))"""
_READS_PAYSLIPS = """
held.kind = 'payroll_run' AND held.since > statement_timestamp() - interval '10 minutes' AND EXISTS (
    SELECT FROM mirror.payroll_run run JOIN mirror.source_state state ON state.source = run.source
    WHERE run.ledger_id = $1 AND run.source = held.source AND run.external_id = held.external_id AND run.payslips_follow
        AND run.payslips_at IS NULL AND run.payslips_error IS NULL AND run.deleted_at IS NULL
        AND greatest(run.period_end, run.pay_date) >= state.post_from)"""
# Not clock_timestamp(), which no index can be searched by.
_LANE = """
SELECT held.source, held.kind, held.account, held.external_id, held.change, held.since, held.attempts, held.not_before
    FROM pipeline.todo held WHERE held.ledger_id = $1 AND held.not_before <= statement_timestamp()"""
# The source is hidden from the planner: on a table that it takes for small it would read all of a source's by their key.
_OF_SOURCES = f"held.source || '' = ANY ($2::text[]) AND NOT ({_READS_PAYSLIPS})"
_FIRST = "ORDER BY held.not_before, held.change LIMIT $3"
_TAKE = f"""
WITH come AS (
    ({_LANE} AND NOT held.gone AND held.attempts = 0 AND {_OF_SOURCES} {_FIRST})
    UNION ALL
    (SELECT held.* FROM mirror.source_state state
    CROSS JOIN LATERAL ({_LANE} AND held.gone AND held.source = state.source {_FIRST}) AS held
    WHERE state.source = ANY ($2::text[]) AND state.as_of IS NOT NULL {_FIRST})
), again AS ({_LANE} AND NOT held.gone AND held.attempts > 0 AND {_OF_SOURCES} {_FIRST}
), chosen AS (
    SELECT *, row_number() OVER (ORDER BY not_before, change) AS place FROM come
    UNION ALL
    SELECT *, {NEW_FOR_ONE_AGAIN} * row_number() OVER (ORDER BY not_before, change) FROM again
    ORDER BY place, attempts LIMIT $3
)
SELECT source, kind, account, external_id, change, since, attempts FROM chosen ORDER BY not_before, change"""
_KEYS = "held.source = {0}.source AND held.kind = {0}.kind AND held.account = {0}.account AND held.external_id = {0}.external_id"
_CLOSE = f"""
WITH locked AS MATERIALIZED (
    SELECT held.source, held.kind, held.account, held.external_id, taken.later
    FROM pipeline.todo held
    JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[])
        AS taken (source, kind, account, external_id, change, later) ON {_KEYS.format("taken")}
    WHERE held.ledger_id = $1 AND held.change = taken.change
    ORDER BY held.source, held.kind, held.account, held.external_id
    FOR UPDATE OF held
), put_off AS (
    UPDATE pipeline.todo held SET not_before = locked.later, attempts = held.attempts + 1 FROM locked
    WHERE held.ledger_id = $1 AND locked.later IS NOT NULL AND {_KEYS.format("locked")}
), removed AS (
    DELETE FROM pipeline.todo held USING locked
    WHERE held.ledger_id = $1 AND locked.later IS NULL AND {_KEYS.format("locked")}
    RETURNING held.change
)
SELECT count(*) FROM removed"""
# By its key, one by one: with no statistics of a table that was empty a moment ago, a join would read all of it.
_HAS_MOVED = f"""
SELECT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[]) AS taken (source, kind, account, external_id, change)
    CROSS JOIN LATERAL (
        SELECT held.change FROM pipeline.todo held WHERE held.ledger_id = $1 AND {_KEYS.format("taken")} LIMIT 1
    ) AS now
    WHERE now.change <> taken.change)"""
# Whether the document is gone, as the mirror has it now.
_GONE = (
    "CASE wanted.kind WHEN 'bank_transaction' THEN NOT EXISTS (SELECT FROM mirror.bank_transaction d WHERE d.ledger_id = $1 "
    "AND d.source = wanted.source AND d.account = wanted.account AND d.external_id = wanted.external_id "
    "AND d.deleted_at IS NULL AND NOT d.provisional) "
    + " ".join(
        f"WHEN '{kind}' THEN NOT EXISTS (SELECT FROM mirror.{kind} d WHERE d.ledger_id = $1 AND d.source = wanted.source "
        "AND d.external_id = wanted.external_id AND d.deleted_at IS NULL)"
        for kind in ("invoice", "payroll_run", "payment")
    )
    + " END"
)
_ADD_FROM = f"""
WITH added AS (
    INSERT INTO pipeline.todo AS held (ledger_id, source, kind, account, external_id, gone, since, not_before)
    SELECT $1, source, kind, account, external_id, {_GONE}, clock_timestamp(), clock_timestamp()
    FROM {{}}
        AND EXISTS (SELECT FROM mirror.source_state s WHERE s.source = wanted.source AND s.post_from IS NOT NULL)
    ORDER BY source COLLATE "C", kind COLLATE "C", account COLLATE "C", external_id COLLATE "C"
    ON CONFLICT (ledger_id, source, kind, account, external_id) DO UPDATE
    SET change = DEFAULT, gone = excluded.gone, attempts = 0, not_before = least(held.not_before, excluded.not_before)
    RETURNING held.change
)
SELECT count(*) FROM added"""
_ADD = _ADD_FROM.format(
    "unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS wanted (source, kind, account, external_id) WHERE true"
)
_ADD_WHERE = _ADD_FROM.format(
    "pipeline.document wanted WHERE ledger_id = $1 AND status = ANY ($2::text[]) AND ($3::text IS NULL OR source = $3)"
)
_WAITING = f"""
SELECT asked.ledger_id, count(held.change), min(held.since), min(held.not_before)
FROM unnest($1::bigint[]) AS asked (ledger_id)
LEFT JOIN pipeline.todo held ON held.ledger_id = asked.ledger_id AND {_TAKEABLE}
GROUP BY asked.ledger_id"""
# The first of each lane by its index, whatever the planner believes of how many are due.
_FIRST_OF = """
(SELECT due.not_before FROM pipeline.todo due WHERE due.ledger_id = ledger.ledger_id AND NOT due.gone AND due.attempts {}
    ORDER BY due.not_before, due.change LIMIT 1)"""
_DUE_LEDGERS = f"""
SELECT ledger_id FROM ledger.ledger
WHERE {_FIRST_OF.format("= 0")} <= statement_timestamp() OR {_FIRST_OF.format("> 0")} <= statement_timestamp()
    OR (SELECT 1 FROM pipeline.todo due WHERE due.ledger_id = ledger.ledger_id AND due.gone
        AND due.not_before <= statement_timestamp() LIMIT 1) IS NOT NULL
    OR (SELECT 1 FROM pipeline.document known WHERE known.ledger_id = ledger.ledger_id LIMIT 1) IS NOT NULL AND EXISTS (
        SELECT FROM ledger.head LEFT JOIN pipeline.watch USING (ledger_id)
        WHERE head.ledger_id = ledger.ledger_id AND head.last_sequence > coalesce(watch.sequence, 0))
    OR EXISTS (SELECT FROM mapping.ruleset WHERE ruleset.ledger_id = ledger.ledger_id AND active AND NOT told)
    OR (SELECT 1 FROM matching.todo due WHERE due.ledger_id = ledger.ledger_id LIMIT 1) IS NOT NULL
    OR (SELECT 1 FROM matching.open_todo due WHERE due.ledger_id = ledger.ledger_id LIMIT 1) IS NOT NULL
ORDER BY code"""
_HASTEN = f"""
WITH locked AS MATERIALIZED (
    SELECT held.source, held.kind, held.account, held.external_id
    FROM pipeline.todo held
    JOIN pipeline.document met ON met.ledger_id = $1 AND {_KEYS.format("met")} AND met.status = ANY ($2::text[])
    WHERE held.ledger_id = $1 AND held.attempts > 0 AND held.not_before > statement_timestamp()
        AND (met.status <> 'DUPLICATE' OR met.bill_key IS NULL OR NOT EXISTS (
            SELECT FROM pipeline.document other WHERE other.ledger_id = $1 AND other.bill_key = met.bill_key
                AND other.source <> met.source AND other.status IN ('POSTED', 'PROPOSED')))
    ORDER BY held.source, held.kind, held.account, held.external_id
    FOR UPDATE OF held
), hastened AS (
    UPDATE pipeline.todo held SET not_before = statement_timestamp() FROM locked
    WHERE held.ledger_id = $1 AND {_KEYS.format("locked")}
    RETURNING held.change
)
SELECT count(*) FROM hastened"""
