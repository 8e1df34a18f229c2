"""What the statements of a bank account make of each other: their order, gaps, and which transactions count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sources.mirror.chain import Link, gaps, ordered

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def settle(connection: Connection, source: str, accounts: Iterable[tuple[int, str]]) -> None:
    """Brings ranks, gaps and visibility of these accounts (ledger_id, external id) up to date after their statements
    changed; an account without statements is deleted."""
    keys = sorted(set(accounts))
    if not keys:
        return
    ledger_ids, ids = [key[0] for key in keys], [key[1] for key in keys]
    chains: dict[tuple[int, str, str], list[Link]] = defaultdict(list)
    for ledger_id, account, *values in await connection.fetch(_LINKS, source, ledger_ids, ids):
        link = Link(*values)
        chains[ledger_id, account, link.currency].append(link)
    places: list[tuple[int, str, int, str | None]] = []
    for (ledger_id, _, _), links in chains.items():
        chain = ordered(links)
        sentences = gaps(chain)
        places += [
            (ledger_id, link.external_id, rank, sentences.get(link.external_id)) for rank, link in enumerate(chain, 1)
        ]
    columns = list(zip(*places, strict=True)) or [(), (), (), ()]
    await connection.execute(_PLACE, source, ledger_ids, ids, *columns)
    await connection.execute(_SHOW, source, ledger_ids, ids)
    await connection.execute(_SUM_UP, source, ledger_ids, ids)


_OF_ACCOUNTS = "source = $1 AND (ledger_id, account) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"
_LINKS = f"""
SELECT ledger_id, account, external_id, currency, ends_on, opening, closing FROM mirror.bank_statement
WHERE {_OF_ACCOUNTS} AND NOT provisional AND deleted_at IS NULL"""
_PLACE = f"""
UPDATE mirror.bank_statement held SET rank = settled.rank, gap = settled.gap
FROM (
    SELECT ledger_id, external_id, coalesce(place.rank, 0) AS rank, place.gap
    FROM mirror.bank_statement
    LEFT JOIN unnest($4::bigint[], $5::text[], $6::int[], $7::text[]) AS place (ledger_id, external_id, rank, gap)
        USING (ledger_id, external_id)
    WHERE {_OF_ACCOUNTS}
) settled
WHERE held.source = $1 AND held.ledger_id = settled.ledger_id AND held.external_id = settled.external_id
    AND (held.rank, held.gap) IS DISTINCT FROM (settled.rank, settled.gap)"""
# The same transaction of several statements counts once: the authoritative ones' word before the others', the newest first.
_SHOW = f"""
WITH statement AS (
    SELECT ledger_id, external_id, currency, ends_on, rank, first_seen, account FROM mirror.bank_statement
    WHERE {_OF_ACCOUNTS}
), covered AS (
    SELECT ledger_id, account, currency, max(ends_on) AS until FROM statement WHERE rank > 0 GROUP BY 1, 2, 3
), judged AS (
    SELECT t.ledger_id, t.account, t.external_id, t.statement,
        t.deleted_at IS NULL AND NOT (t.provisional AND coalesce(t.dated_on <= c.until, false))
        AND row_number() OVER (
            PARTITION BY t.ledger_id, t.account, t.external_id
            ORDER BY (t.deleted_at IS NOT NULL), t.provisional, s.ends_on DESC NULLS LAST, s.rank DESC, s.first_seen DESC,
                s.external_id DESC
        ) = 1 AS visible
    FROM mirror.bank_transaction t
    JOIN statement s ON s.ledger_id = t.ledger_id AND s.external_id = t.statement
    LEFT JOIN covered c ON c.ledger_id = s.ledger_id AND c.account = s.account AND c.currency = s.currency
    WHERE t.source = $1 AND (t.ledger_id, t.account) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))
)
UPDATE mirror.bank_transaction held SET visible = judged.visible FROM judged
WHERE held.source = $1 AND held.ledger_id = judged.ledger_id AND held.account = judged.account
    AND held.external_id = judged.external_id AND held.statement = judged.statement
    AND held.visible <> judged.visible"""
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
