"""Deliveries of source systems' webhooks: stored before they are acknowledged, each once, and done with when a pull that began
later has come to its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

import orjson

from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

KEPT_DAYS: Final = 30
"""How long deliveries are kept."""
MAX_BODY: Final = 1_000_000
"""Bytes of a delivery."""
MAX_DELIVERY_ID: Final = 255
CLOSED_AT_ONCE: Final = 20_000
FORGOTTEN_AT_ONCE: Final = 5_000
"""Deliveries that one statement deals with, so that it ends soon however many came. What is left of old ones goes later."""


async def receive(
    connection: Connection, source: str, delivery_id: str, headers: Mapping[str, str], body: bytes
) -> bool:
    """Stores a delivery that was verified; False: it is there already."""
    stated = orjson.dumps({name: clean(value) for name, value in headers.items()}).decode()
    found = await connection.fetchval(_RECEIVE, source, clean(delivery_id)[:MAX_DELIVERY_ID], stated, body)
    return found is True


async def close(connection: Connection, source: str, as_of: datetime) -> int:
    """What was delivered up to then is dealt with: the copy is as of this moment. Answers with the number of those; forgets
    deliveries of long ago. What another process closes at this moment is left to it."""
    closed = 0
    while (count := int(await connection.fetchval(_CLOSE, source, as_of))) == CLOSED_AT_ONCE:
        closed += count
    return closed + count


async def waiting(connection: Connection, sources: Iterable[str]) -> set[str]:
    """Those of the sources of which a delivery waits for a pull."""
    return {row[0] for row in await connection.fetch(_WAITING, list(sources))}


_RECEIVE = """
INSERT INTO mirror.webhook (source, delivery_id, received_at, headers, body)
VALUES ($1, $2, clock_timestamp(), $3::jsonb, $4)
ON CONFLICT DO NOTHING RETURNING true"""
# Rows in the order of their key, those of others skipped: processes that close at one time do not wait for each other.
_CLOSE = f"""
WITH old AS MATERIALIZED (
    SELECT source, delivery_id FROM mirror.webhook WHERE received_at < now() - interval '{KEPT_DAYS} days'
    ORDER BY received_at LIMIT {FORGOTTEN_AT_ONCE} FOR UPDATE SKIP LOCKED
), forgotten AS (
    DELETE FROM mirror.webhook held USING old WHERE held.source = old.source AND held.delivery_id = old.delivery_id
), met AS MATERIALIZED (
    SELECT delivery_id FROM mirror.webhook
    WHERE source = $1 AND processed_at IS NULL AND received_at <= $2
        AND received_at >= now() - interval '{KEPT_DAYS} days'
    ORDER BY received_at LIMIT {CLOSED_AT_ONCE} FOR UPDATE SKIP LOCKED
), closed AS (
    UPDATE mirror.webhook held SET processed_at = clock_timestamp() FROM met
    WHERE held.source = $1 AND held.delivery_id = met.delivery_id
    RETURNING held.delivery_id
)
SELECT count(*) FROM closed"""
_WAITING = "SELECT DISTINCT source FROM mirror.webhook WHERE processed_at IS NULL AND source = ANY($1::text[])"
