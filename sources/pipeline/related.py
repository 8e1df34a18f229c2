"""Documents whose rates hang on others (`sources.pipeline.exchange_sql`): when one of them changes, the others are looked at again.

Only documents in another currency, and disputes, are related so. What comes of them is mostly what stands, and then nothing posts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from sources.pipeline import taking, todo
from sources.pipeline.documents import Row
from sources.pipeline.model import Key
from sources.pipeline.recording import Done

if TYPE_CHECKING:
    from sources.database.pool import Connection


async def look_again(connection: Connection, ledger_id: int, functional_currency: str, done: Iterable[Done]) -> None:
    """What was looked at before and hangs on any of these documents is due now: before it is recorded that these were dealt with, so
    that who dies in between does both again; and in a transaction of its own, as a pull may wait for any of these rows."""
    changed = [each.work for each in done if each.work.document.version.digest != each.work.past.digest]
    named = {
        work.key: _named(row) for work in changed if (row := work.document.row) and _hangs(row, functional_currency)
    }
    if not named:
        return
    columns = [list(column) for column in zip(*named.values(), strict=True)]
    async with connection.transaction():
        await taking.see(connection, ledger_id)
        found = await connection.fetch(_RELATED, ledger_id, *columns)
        dealt_with = {work.key for work in changed}
        keys = {Key(row["source"], row["kind"], "", row["external_id"]) for row in found} - dealt_with
        # Kinds are loaded one after the other: of what changed in between, some of the batch may not know.
        if await todo.has_moved(connection, ledger_id, [work.taken for work in changed]):
            keys |= named.keys()
        await todo.add(connection, ledger_id, keys)


def _hangs(row: Row, functional_currency: str) -> bool:
    if "direction" in row:
        return bool(row["currency"] != functional_currency and row["direction"] == "RECEIVABLE")
    if "type" not in row:
        return False
    return row["type"] == "DISPUTE" or bool({row["currency"], row["presented_currency"]} - {functional_currency, None})


def _named(row: Row) -> tuple[Any, ...]:
    """(source, id, invoice, parent, payout): what others may name, and what it names itself; an invoice, or a credit note, itself."""
    if "direction" in row:
        return row["source"], row["external_id"], row["external_id"], None, None
    named = ("source", "external_id", "invoice_external_id", "parent_external_id", "payout_external_id")
    return tuple([row[name] for name in named])


_RELATED: Final = """
SELECT DISTINCT found.kind, seen.source, seen.external_id
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS stated (source, id, invoice, parent, payout)
LEFT JOIN LATERAL (
    SELECT raw ->> 'invoice' AS invoice FROM mirror.invoice
    WHERE ledger_id = $1 AND source = stated.source AND external_id = stated.invoice AND kind = 'CREDIT_NOTE' LIMIT 1
) AS note ON true
CROSS JOIN LATERAL (
    SELECT stated.source, stated.id, coalesce(note.invoice, stated.invoice) AS invoice, stated.parent, stated.payout
) AS changed
CROSS JOIN LATERAL (
    SELECT 'payment' AS kind, p.external_id FROM mirror.payment p
    WHERE p.ledger_id = $1 AND p.source = changed.source AND p.invoice_external_id = changed.invoice
    UNION ALL
    SELECT 'payment', p.external_id FROM mirror.payment p
    WHERE p.ledger_id = $1 AND p.source = changed.source AND p.parent_external_id = changed.id
    UNION ALL
    SELECT 'payment', p.external_id FROM mirror.payment p
    WHERE p.ledger_id = $1 AND p.source = changed.source AND p.parent_external_id = changed.parent
    UNION ALL
    SELECT 'payment', named FROM (VALUES (changed.parent), (changed.payout)) AS own (named) WHERE named IS NOT NULL
    UNION ALL
    SELECT 'invoice', n.external_id FROM mirror.invoice n
    WHERE n.ledger_id = $1 AND n.source = changed.source AND n.raw ->> 'invoice' = changed.invoice AND n.kind = 'CREDIT_NOTE'
    UNION ALL
    SELECT 'invoice', changed.invoice WHERE changed.invoice IS NOT NULL
) AS found
JOIN pipeline.document seen ON seen.ledger_id = $1 AND seen.source = changed.source AND seen.kind = found.kind
    AND seen.account = '' AND seen.external_id = found.external_id"""
