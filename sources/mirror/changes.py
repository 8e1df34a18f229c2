"""Documents that changed, told to the pipeline in the transaction that changed them: what it then has to look at.

Only sources that post have theirs told (`post_from` of their settings). One statement for each transaction of the mirror, rows
in the order of their key: who takes them away locks them in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from sources.documents import Problem
from sources.mirror.settings import SourceSettings

if TYPE_CHECKING:
    from sources.database.pool import Connection

RENAMED_CODE: Final = "SOURCE_RENAMED"

_Key = tuple[int, str, str, str]
"""ledger_id, kind, account ("" but for bank transactions) and external id."""


class Changes:
    """What one transaction changes of a source. `now`: its clock; `posts`: whether anybody has to know."""

    def __init__(self, source: str, now: datetime, *, posts: bool) -> None:
        self.source = source
        self.now = now
        self.demoted: set[tuple[int, str]] = set()
        """Bank statements (ledger_id, external id) that were authoritative until now: what they gave ceases to count."""
        self._posts = posts
        self._gone: dict[_Key, bool] = {}

    def add(self, kind: str, documents: Iterable[tuple[int, str]], *, gone: bool = False) -> None:
        """Documents by ledger_id and external id; `gone`: the source has them no more. What is added last counts."""
        self._gone.update(((ledger_id, kind, "", external_id), gone) for ledger_id, external_id in documents)

    def add_transactions(self, transactions: Iterable[tuple[int, str, str]], *, gone: bool = False) -> None:
        """Bank transactions by ledger_id, account and external id."""
        self._gone.update(
            ((ledger_id, "bank_transaction", account, external_id), gone)
            for ledger_id, account, external_id in transactions
        )

    @property
    def gone(self) -> list[tuple[int, str, str, str]]:
        """Documents that the source has no more: ledger_id, kind, account and external id."""
        return sorted(key for key, gone in self._gone.items() if gone)

    async def record(self, connection: Connection) -> None:
        """Last in the transaction. Whatever was known of these documents is to be looked at once more, at once; and of payments
        of invoices among them, which are mapped by what they settle: those are not looked at closer than for what has changed."""
        if self._posts and self._gone:
            columns = [list(column) for column in zip(*self._gone, strict=True)]
            await connection.execute(_RECORD, self.source, self.now, *columns, list(self._gone.values()))


async def enrol(connection: Connection, source: str, post_from: date | None, now: datetime) -> None:
    """The source's cut-over has changed: every document of it is to be looked at under the new one; None: none any more. The
    caller holds the source's lock, and its state is stored."""
    await connection.execute("UPDATE mirror.source_state SET post_from = $2 WHERE source = $1", source, post_from)
    if post_from is None:
        await connection.execute(_FORGET, source)
    else:
        await connection.execute(_ENROL, source, now)


async def renamed(connection: Connection, settings: SourceSettings, ledger_ids: Iterable[int]) -> Problem | None:
    """Why a source that has not posted yet may not: under another name its documents may be posted already, on or after its
    cut-over, or be about to, and keys of entries begin with the name. (What a run that died has posted waits to be looked at again.)
    None: it may, or a person let it. For a connection that sees every ledger."""
    name = settings.name
    other = await connection.fetchval(
        _RENAMED, name, settings.route, list(ledger_ids), settings.post_from, RENAMED_CODE
    )
    if other is None:
        return None
    message = (
        f"The source {name} does not post: what it gives may be posted already as the source {other}. Give it the name {other} "
        "back, or set its post_from to a day after what that one posted; if it gives other documents, resolve this issue."
    )
    return Problem(subject=name, code=RENAMED_CODE, message=message)


async def posts(connection: Connection, source: str) -> bool:
    """Whether the source posts, for a writer that does not hold its lock: stays so until the transaction ends."""
    return bool(await connection.fetchval(_POSTS, source))


_SET = """
ON CONFLICT (ledger_id, source, kind, account, external_id) DO UPDATE
SET change = DEFAULT, gone = excluded.gone, attempts = 0, not_before = excluded.not_before"""
_RECORD = f"""
INSERT INTO pipeline.todo (ledger_id, source, kind, account, external_id, gone, since, not_before)
SELECT ledger_id, $1, kind, account, external_id, bool_or(gone), $2, $2
FROM (
    SELECT * FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::boolean[])
        AS met (ledger_id, kind, account, external_id, gone)
    UNION ALL
    SELECT settling.* FROM unnest($3::bigint[], $4::text[], $6::text[]) AS settled (ledger_id, kind, external_id)
    CROSS JOIN LATERAL (
        SELECT p.ledger_id, 'payment', '', p.external_id, p.deleted_at IS NOT NULL FROM mirror.payment p
        WHERE p.ledger_id = settled.ledger_id AND p.source = $1 AND p.invoice_external_id = settled.external_id OFFSET 0
    ) AS settling
    WHERE settled.kind = 'invoice'
) AS found
GROUP BY ledger_id, kind, account, external_id
ORDER BY ledger_id, kind COLLATE "C", account COLLATE "C", external_id COLLATE "C"
{_SET}"""
_ENROL = f"""
INSERT INTO pipeline.todo (ledger_id, source, kind, account, external_id, gone, since, not_before)
SELECT ledger_id, $1, kind, account, external_id, gone, $2, $2
FROM (
    SELECT ledger_id, 'invoice' AS kind, '' AS account, external_id, deleted_at IS NOT NULL AS gone
    FROM mirror.invoice WHERE source = $1
    UNION ALL
    SELECT ledger_id, 'payment', '', external_id, deleted_at IS NOT NULL FROM mirror.payment WHERE source = $1
    UNION ALL
    SELECT ledger_id, 'payroll_run', '', external_id, deleted_at IS NOT NULL FROM mirror.payroll_run WHERE source = $1
    UNION ALL
    SELECT ledger_id, 'bank_transaction', account, external_id, bool_and(deleted_at IS NOT NULL)
    FROM mirror.bank_transaction WHERE source = $1 AND NOT provisional GROUP BY ledger_id, account, external_id
) AS held
ORDER BY ledger_id, kind COLLATE "C", account COLLATE "C", external_id COLLATE "C"
{_SET}"""
_FORGET = """
WITH locked AS MATERIALIZED (
    SELECT ledger_id, source, kind, account, external_id FROM pipeline.todo WHERE source = $1
    ORDER BY ledger_id, kind, account, external_id FOR UPDATE
)
DELETE FROM pipeline.todo held USING locked
WHERE held.ledger_id = locked.ledger_id AND held.source = locked.source AND held.kind = locked.kind
    AND held.account = locked.account AND held.external_id = locked.external_id"""
_POSTS = "SELECT post_from IS NOT NULL FROM mirror.source_state WHERE source = $1 FOR SHARE"
# Of a route: kind of source, ledger and origin; where accounts go may change with the name.
_RENAMED = """
SELECT min(other.source) FROM mirror.source_state other
WHERE other.source <> $1 AND other.route::jsonb - 2 = $2::jsonb - 2
    AND (EXISTS (SELECT FROM pipeline.posting made WHERE made.ledger_id = ANY($3::bigint[]) AND made.source = other.source
            AND made.status = 'POSTED' AND made.effective_date >= $4)
        OR EXISTS (SELECT FROM pipeline.todo due WHERE due.ledger_id = ANY($3::bigint[]) AND due.source = other.source))
    AND NOT EXISTS (SELECT FROM pipeline.posting own WHERE own.ledger_id = ANY($3::bigint[]) AND own.source = $1)
    AND NOT EXISTS (SELECT FROM mirror.issue allowed WHERE allowed.ledger_id = ANY($3::bigint[]) AND allowed.source = $1
        AND allowed.code = $5 AND allowed.resolved_at IS NOT NULL)"""
