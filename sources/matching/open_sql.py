"""What is open of an invoice on a day, as SQL: what its source says, and where money at the bank was matched with it, no more than what
payments and that money leave of its total. The source may not know of the money, or may know of it already.
"""

from __future__ import annotations

from typing import Final

# The day of a payment is hidden from the planner: it would read all payments since for every invoice.
_PAYMENTS: Final = """
SELECT sum(abs(coalesce(p.presented_amount, p.amount))) AS amount FROM mirror.payment p
WHERE p.ledger_id = i.ledger_id AND p.source = i.source AND p.invoice_external_id = i.external_id AND p.type = 'PAYMENT'
    AND p.status = 'SUCCEEDED' AND p.deleted_at IS NULL AND p.occurred_on + 0 {0}
    AND coalesce(p.presented_currency, p.currency) = i.currency"""


def joins(day: str) -> str:
    """LATERAL joins on mirror.invoice i that OPEN needs; `day`: an expression of a date."""
    return f"""
LEFT JOIN LATERAL ({_PAYMENTS.format(f"> {day}")}
) AS later ON true
LEFT JOIN LATERAL (
    SELECT abs(sum(a.amount)) AS amount FROM matching.allocation a
    CROSS JOIN LATERAL (
        SELECT m.source, m.account, m.external_id FROM matching.match m
        WHERE m.ledger_id = i.ledger_id AND m.match_id = a.match_id AND m.status || '' IN ('CERTAIN', 'CONFIRMED') LIMIT 1
    ) AS live
    CROSS JOIN LATERAL (
        SELECT t.dated FROM matching.item t WHERE t.ledger_id = i.ledger_id AND t.kind = 'bank_transaction' AND t.source = live.source
            AND t.account = live.account AND t.external_id = live.external_id LIMIT 1
    ) AS moved
    WHERE a.ledger_id = i.ledger_id AND a.kind = 'invoice' AND a.source = i.source AND a.account = ''
        AND a.external_id = i.external_id AND moved.dated <= {day}
) AS matched ON true
LEFT JOIN LATERAL ({_PAYMENTS.format(f"<= {day}")} AND matched.amount IS NOT NULL
) AS earlier ON true"""


def amount(day: str) -> str:
    """Minor units, positive; `joins` stand beside."""
    due = f"(i.amount_due + coalesce(later.amount, 0) + CASE WHEN i.paid_elsewhere_on > {day} THEN i.paid_elsewhere ELSE 0 END)"
    rest = "i.total - i.prepaid - coalesce(earlier.amount, 0) - matched.amount"
    return f"(CASE WHEN matched.amount IS NULL THEN {due} ELSE greatest(least({due}, {rest}), 0) END)"
