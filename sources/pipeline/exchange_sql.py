"""SQL of what documents in another currency have to do with others: by what rates their items are in the books.

An item is a receivable, a dispute's claim or a payment that no invoice is known of; what settles it does so in the order of days,
credit notes before payments. Each knows what went before it (`before`), so that all parts convert to just what the whole did. Of a
document in the ledger's own currency nothing is asked for, but of disputes: what came back of them decides what was lost.

Each expression is JSON, None where there is nothing. $1: the ledger; `held`: the document.
"""

from __future__ import annotations

from typing import Final

_HOME: Final = "(SELECT home.functional_currency FROM ledger.ledger home WHERE home.ledger_id = $1)"
_OWED: Final = "coalesce({0}.presented_amount, {0}.amount)"
_IN: Final = "coalesce({0}.presented_currency, {0}.currency)"


def _payments(invoice: str, currency: str, more: str = "") -> str:
    """What was paid of an invoice, less what was given back."""
    return f"""coalesce((
    SELECT sum({_OWED.format("p")}) FROM mirror.payment p
    WHERE p.ledger_id = $1 AND p.source = held.source AND p.invoice_external_id = {invoice} AND p.type IN ('PAYMENT', 'REFUND')
        AND p.status = 'SUCCEEDED' AND p.deleted_at IS NULL AND {_IN.format("p")} = {currency}{more}), 0)"""


def _credited(invoice: str, currency: str, more: str = "") -> str:
    """What credit notes take off an invoice."""
    return f"""coalesce((
    SELECT sum(n.total) FROM mirror.invoice n
    WHERE n.ledger_id = $1 AND n.source = held.source AND n.raw ->> 'invoice' = {invoice} COLLATE "default" AND n.kind = 'CREDIT_NOTE'
        AND n.status IN ('OPEN', 'PAID') AND n.deleted_at IS NULL AND n.currency = {currency}{more}), 0)"""


def _siblings(more: str) -> str:
    """What later moved of the same payment or dispute."""
    return f"""coalesce((
    SELECT sum({_OWED.format("p")}) FROM mirror.payment p
    WHERE p.ledger_id = $1 AND p.source = held.source AND p.type = held.type AND p.status = 'SUCCEEDED' AND p.deleted_at IS NULL
        AND {_IN.format("p")} = {_IN.format("held")} AND {more}), 0)"""


_EARLIER: Final = "(p.occurred_on, p.external_id) < (held.occurred_on, held.external_id)"
_ORIGINAL: Final = """
    FROM mirror.invoice original
    WHERE original.ledger_id = $1 AND original.source = held.source AND original.external_id = held.raw ->> 'invoice'
        AND original.currency = held.currency"""
_REFERRED: Final = "held.raw ->> 'invoice'"

INVOICE: Final = f"""
CASE WHEN held.currency <> {_HOME} AND held.direction = 'RECEIVABLE' THEN
    CASE WHEN held.kind = 'CREDIT_NOTE' AND held.raw ? 'invoice' THEN (
        SELECT jsonb_build_object('settles', jsonb_build_object(
            'issue_date', original.issue_date, 'currency', original.currency,
            'before', {_payments(_REFERRED, "held.currency", " AND p.occurred_on < held.issue_date")}
                + {_credited(_REFERRED, "held.currency", " AND (n.issue_date, n.external_id) < (held.issue_date, held.external_id)")}
        )){_ORIGINAL})
    WHEN held.kind = 'INVOICE' AND (held.status = 'UNCOLLECTIBLE' OR held.paid_elsewhere <> 0) THEN jsonb_build_object('settled',
        {_payments("held.external_id", "held.currency")} + {_credited("held.external_id", "held.currency")})
    END
END"""
"""{"settles": {"issue_date", "currency", "before"}} of a credit note, {"settled"} of an invoice that was given up or paid elsewhere."""

_PARENT: Final = f"""(
    SELECT jsonb_build_object('type', parent.type, 'occurred_on', parent.occurred_on,
        'before', {_siblings(f"p.parent_external_id = held.parent_external_id AND {_EARLIER}")})
    FROM mirror.payment parent
    WHERE parent.ledger_id = $1 AND parent.source = held.source AND parent.external_id = held.parent_external_id)"""
_RETURNED: Final = _siblings("p.parent_external_id = held.external_id")
_BEFORE: Final = (
    _payments("held.invoice_external_id", _IN.format("held"), f" AND {_EARLIER}")
    + " + "
    + _credited("held.invoice_external_id", _IN.format("held"), " AND n.issue_date <= held.occurred_on")
)
_CARRIED: Final = """(
    SELECT jsonb_agg(jsonb_build_object('amount', part.amount, 'on', p.occurred_on) ORDER BY p.occurred_on, p.external_id, part.n)
    FROM mirror.payment p CROSS JOIN LATERAL (VALUES (1, -p.amount), (2, coalesce(p.fee, 0))) AS part (n, amount)
    WHERE p.ledger_id = $1 AND p.source = held.source AND p.payout_external_id = held.external_id AND p.status = 'SUCCEEDED'
        AND p.deleted_at IS NULL AND p.currency = held.currency AND part.amount <> 0)"""

PAYMENT: Final = f"""
CASE
    WHEN held.type = 'DISPUTE' THEN jsonb_strip_nulls(jsonb_build_object('parent', {_PARENT}, 'returned', nullif({_RETURNED}, 0)))
    WHEN held.type = 'PAYOUT' AND held.currency <> {_HOME} THEN jsonb_strip_nulls(jsonb_build_object('carried', {_CARRIED}))
    WHEN {_IN.format("held")} = {_HOME} THEN NULL
    WHEN settled.ledger_id IS NULL AND held.parent_external_id IS NOT NULL THEN
        jsonb_strip_nulls(jsonb_build_object('parent', {_PARENT}))
    WHEN settled.currency = {_IN.format("held")} THEN jsonb_build_object('before', {_BEFORE})
END"""
"""{"parent", "returned"} of a dispute, {"carried"} of a payout, {"before"} or {"parent"} of a payment or refund. `settled`: the invoice
that it settles, as far as the mirror holds it."""
