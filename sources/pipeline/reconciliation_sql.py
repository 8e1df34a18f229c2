"""Statements of `sources.pipeline.reconciliation`. Arguments: ledger, source, first and last day.

For each document everything that stands of it is looked up by its whole key: LIMIT and scalar subqueries keep the planner from
joins over a prefix of the key, which it prefers for tables that it takes for small.
"""

from __future__ import annotations

from typing import Final

from sources.pipeline import exchange_sql

_INVOICES = f"""
SELECT '' AS account, external_id, listed_on AS dated, issue_date AS own_date, currency, direction,
    CASE kind WHEN 'CREDIT_NOTE' THEN -total ELSE total END AS stated, deleted_at IS NOT NULL AS gone, content_hash,
    NULL::text AS payout_external_id, NULL::jsonb AS settles, {exchange_sql.INVOICE} AS exchange
FROM mirror.invoice held WHERE ledger_id = $1 AND source = $2 AND listed_on BETWEEN $3 AND $4"""
_PAYMENTS = f"""
SELECT '' AS account, held.external_id, held.occurred_on AS dated, held.occurred_on AS own_date, held.currency,
    NULL AS direction, held.amount AS stated, held.deleted_at IS NOT NULL AS gone, held.content_hash, held.payout_external_id,
    CASE WHEN settled.ledger_id IS NOT NULL
        THEN jsonb_build_object('issue_date', settled.issue_date, 'currency', settled.currency) END AS settles,
    {exchange_sql.PAYMENT} AS exchange
FROM mirror.payment held
LEFT JOIN LATERAL (
    SELECT i.ledger_id, i.issue_date, i.currency FROM mirror.invoice i
    WHERE i.ledger_id = $1 AND i.source = $2 AND i.external_id = held.invoice_external_id LIMIT 1
) AS settled ON true
WHERE held.ledger_id = $1 AND held.source = $2 AND held.occurred_on BETWEEN $3 AND $4"""
_PAYROLL_RUNS = """
SELECT '' AS account, external_id, pay_date AS dated, pay_date AS own_date, currency, NULL AS direction, net AS stated,
    deleted_at IS NOT NULL AS gone
FROM mirror.payroll_run WHERE ledger_id = $1 AND source = $2 AND pay_date BETWEEN $3 AND $4"""
_BANK_TRANSACTIONS = """
SELECT account, external_id, coalesce(dated_on, listed_booked) AS dated, dated_on AS own_date, currency, NULL AS direction,
    amount AS stated, deleted_at IS NOT NULL OR NOT visible AS gone
FROM (
    SELECT DISTINCT ON (account, external_id) * FROM mirror.bank_transaction
    WHERE ledger_id = $1 AND source = $2 AND NOT provisional
    ORDER BY account, external_id, visible DESC, deleted_at IS NULL DESC, changed_at DESC
) AS stated
WHERE coalesce(dated_on, listed_booked) BETWEEN $3 AND $4"""


def _same(alias: str, kind: str) -> str:
    return (
        f"{alias}.ledger_id = $1 AND {alias}.source = $2 AND {alias}.kind = '{kind}' AND {alias}.account = held.account "
        f"AND {alias}.external_id = held.external_id"
    )


def stands(sequence: str) -> str:
    """Whether an entry stands: nobody reversed it, or who did was reversed in turn, and so on."""
    return f"""(
        (SELECT 1 FROM ledger.entry undone WHERE undone.ledger_id = $1 AND undone.reverses = {sequence} LIMIT 1) IS NULL
        OR (WITH RECURSIVE chain (sequence) AS (
                SELECT {sequence} UNION ALL
                SELECT undoing.sequence FROM chain JOIN ledger.entry undoing
                    ON undoing.ledger_id = $1 AND undoing.reverses = chain.sequence
            ) SELECT count(*) % 2 = 1 FROM chain))"""


# An entry that the pipeline has reversed stands if somebody reversed that.
_STANDS = f"""CASE p.status WHEN 'POSTED' THEN {stands("p.sequence")} WHEN 'REVERSED' THEN (
        SELECT 1 FROM ledger.entry again WHERE again.ledger_id = $1 AND again.reverses = p.reversal_sequence LIMIT 1
    ) IS NOT NULL AND {stands("p.sequence")} ELSE false END"""
_LINK = "SELECT FROM mirror.document_entry link WHERE link.sequence = p.sequence AND"


def _standing(kind: str) -> str:
    """LATERAL clauses: the postings of a document whose entries stand on record, and the debits of those that do stand."""
    of_document = f"pipeline.posting p WHERE {_same('p', kind)} AND p.status"
    return f"""
CROSS JOIN LATERAL (
    SELECT array_agg(p.sequence ORDER BY p.sequence) FILTER (WHERE p.status = 'POSTED') AS sequences,
        bool_or(p.status = 'PROPOSED') AS proposed,
        bool_or(NOT p.stands) FILTER (WHERE p.status = 'POSTED') AS undone,
        bool_or(p.stands) FILTER (WHERE p.status = 'REVERSED') AS reinstated,
        bool_or(NOT EXISTS ({_LINK} {_same("link", kind)})) FILTER (WHERE p.status = 'POSTED') AS unlinked
    FROM (SELECT p.sequence, p.status, {_STANDS} AS stands FROM {of_document} IN ('POSTED', 'PROPOSED', 'REVERSED')) AS p
) AS stood
CROSS JOIN LATERAL (
    SELECT jsonb_object_agg(by.currency, by.debits) AS posted, bool_or(by.shown) AS shown
    FROM (
        SELECT l.currency, sum(greatest(l.amount, 0))::bigint AS debits, bool_or(abs(l.amount) = abs(held.stated)) AS shown
        FROM ledger.line l
        WHERE l.ledger_id = $1 AND l.sequence = ANY (
            ARRAY(SELECT p.sequence FROM {of_document} IN ('POSTED', 'REVERSED') AND {_STANDS}))
        GROUP BY l.currency
    ) AS by
) AS moved"""


def _held(kind: str, held: str) -> str:
    return f"""
SELECT held.*, seen.status, seen.content_hash AS seen, seen.ruleset_version, stood.sequences,
    coalesce(stood.proposed, false) AS proposed, coalesce(stood.undone, false) AS undone,
    coalesce(stood.reinstated, false) AS reinstated,
    coalesce(stood.unlinked, false) AS unlinked, moved.posted, coalesce(moved.shown, false) OR held.stated = 0 AS shown
FROM ({held}) AS held
LEFT JOIN LATERAL (SELECT * FROM pipeline.document seen WHERE {_same("seen", kind)} LIMIT 1) AS seen ON true
{_standing(kind)}"""


HELD: Final = {
    "invoice": _held("invoice", _INVOICES),
    "payment": _held("payment", _PAYMENTS),
    "payroll_run": _held("payroll_run", _PAYROLL_RUNS),
    "bank_transaction": _held("bank_transaction", _BANK_TRANSACTIONS),
}
"""Documents of the mirror dated within the days, by kind."""


def _gone(kind: str) -> str:
    more = " AND d.account = p.account AND NOT d.provisional" if kind == "bank_transaction" else ""
    return f"""
SELECT held.account, held.external_id, held.dated, NULL AS currency, NULL::bigint AS stated, NULL AS direction,
    stood.sequences, moved.posted
FROM (
    SELECT p.account, p.external_id, min(p.effective_date) AS dated, 0 AS stated FROM pipeline.posting p
    WHERE p.ledger_id = $1 AND p.source = $2 AND p.kind = '{kind}' AND p.status = 'POSTED'
        AND p.effective_date BETWEEN $3 AND $4 AND (
            SELECT 1 FROM mirror.{kind} d WHERE d.ledger_id = $1 AND d.source = $2 AND d.external_id = p.external_id{more} LIMIT 1
        ) IS NULL
    GROUP BY p.account, p.external_id
) AS held {_standing(kind)}"""


GONE: Final = {kind: _gone(kind) for kind in HELD}
"""Documents of which something stands, and the mirror holds nothing."""

STRAYS: Final = f"""
SELECT e.sequence, e.effective_date AS dated, e.idempotency_key, (
    SELECT jsonb_object_agg(currency, debits) FROM (
        SELECT l.currency, sum(greatest(l.amount, 0))::bigint AS debits FROM ledger.line l
        WHERE l.ledger_id = $1 AND l.sequence = e.sequence GROUP BY l.currency) AS by) AS posted
FROM ledger.entry e
WHERE e.ledger_id = $1 AND e.origin = $2 AND e.effective_date BETWEEN $3 AND $4 AND e.reverses IS NULL
    AND e.sequence NOT IN (
        SELECT p.sequence FROM pipeline.posting p WHERE p.ledger_id = $1 AND p.source = $2 AND p.sequence IS NOT NULL)
    AND {stands("e.sequence")}
LIMIT 10000"""
"""Entries of the source that no posting names."""

OPEN_ISSUES: Final = """
SELECT source, kind, account, external_id, min(code) AS code FROM mirror.issue
WHERE ledger_id = $1 AND source = $2 AND kind IS NOT NULL AND closed_at IS NULL
GROUP BY source, kind, account, external_id"""
"""Arguments: ledger, source."""

WAITING: Final = "SELECT source, kind, account, external_id FROM pipeline.todo WHERE ledger_id = $1 AND source = $2"
"""Documents that the pipeline has to look at. Arguments: ledger, source."""
