"""What is asked about open items and the bank, and the SQL that somebody would write for it over the documents and matches themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.beside import Asked, Plain

TODAY, PAST = "2027-02-28", "2026-05-20"

_ALLOCATED = """
SELECT a.source, a.external_id, sum(a.amount)::bigint AS amount
FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
JOIN mirror.bank_transaction t ON t.ledger_id = m.ledger_id AND t.source = m.source AND t.account = m.account
    AND t.external_id = m.external_id AND t.visible
WHERE m.status IN ('CERTAIN', 'CONFIRMED') AND a.kind = 'invoice' AND t.dated_on <= $1::text::date GROUP BY 1, 2"""
_OPEN = f"""
SELECT i.external_id, i.number, i.party_external_id, i.party_name, i.currency, i.due_date,
    i.sign * i.total - coalesce(allocated.amount, 0) AS open
FROM (SELECT *, CASE kind WHEN 'CREDIT_NOTE' THEN -1 ELSE 1 END AS sign FROM mirror.invoice
    WHERE direction = 'RECEIVABLE' AND status = 'OPEN' AND deleted_at IS NULL AND issue_date <= $1::text::date) i
LEFT JOIN ({_ALLOCATED}) allocated USING (source, external_id)
WHERE i.sign * i.total <> coalesce(allocated.amount, 0)"""
_ITEMS = f"""
SELECT number, open, due_date, party_name, currency FROM ({_OPEN}) o ORDER BY due_date, external_id LIMIT 50"""
_AGES = ", ".join(
    f"sum(open) FILTER (WHERE $1::text::date - due_date {span})"
    for span in ("<= 0", "BETWEEN 1 AND 30", "BETWEEN 31 AND 60", "BETWEEN 61 AND 90", "> 90")
)
_AGEING = f"""
SELECT party_external_id, count(*), sum(open)::bigint, max(party_name), currency, {_AGES}
FROM ({_OPEN}) o GROUP BY party_external_id, currency ORDER BY party_external_id, currency LIMIT 50"""
_BANK = """
SELECT count(*), sum(t.amount - coalesce(used.amount, 0) - coalesce(undone.amount, 0))::bigint
FROM mirror.bank_transaction t LEFT JOIN (
    SELECT m.source, m.account, m.external_id, sum(a.amount)::bigint AS amount
    FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
    WHERE m.status IN ('CERTAIN', 'CONFIRMED') GROUP BY 1, 2, 3
) used USING (source, account, external_id) LEFT JOIN (
    SELECT a.source, a.account, a.external_id, -sum(a.amount)::bigint AS amount
    FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
    WHERE m.status IN ('CERTAIN', 'CONFIRMED') AND a.kind = 'bank_transaction' GROUP BY 1, 2, 3
) undone USING (source, account, external_id)
WHERE t.visible AND t.status = 'BOOKED' AND t.amount - coalesce(used.amount, 0) - coalesce(undone.amount, 0) <> 0"""

_NODES = "nodes { open dueOn partyName currency invoice { number } }"
_SUMS = "currency documents open notDue days1To30 days31To60 days61To90 over90 onAccount balance"
_TOTALS = "{ currency count amount }"


def asked(ledger: str) -> list[Asked]:
    """The pages that people work through, and what stands above them."""
    found = []
    for label, day in (("after the year", TODAY), ("on a day of it", PAST)):
        items = f'openItems(ledger: "{ledger}", direction: RECEIVABLE, asOf: "{day}", first: 50) {{ {_NODES} }}'
        ages = f'openItemsByParty(ledger: "{ledger}", direction: RECEIVABLE, asOf: "{day}", first: 50)'
        found += [
            Asked(f"openItems, the first 50 {label}", items, Plain(_ITEMS, [day], _items, _item_rows)),
            Asked(
                f"openItemsByParty, the first 50 {label}",
                f"{ages} {{ nodes {{ party partyName {_SUMS} }} }}",
                Plain(_AGEING, [day], _parties, _party_rows),
            ),
        ]
    party = f'ledger: "{ledger}", direction: RECEIVABLE, asOf: "{PAST}", party: "70007"'
    bank = f'bankAndBooks(ledger: "{ledger}")'
    return [
        *found,
        Asked(
            "openItemsByParty with the totals of all, after the year",
            f'openItemsByParty(ledger: "{ledger}", direction: RECEIVABLE, asOf: "{TODAY}", first: 50) {{ '
            f"nodes {{ party {_SUMS} }} totals {{ {_SUMS} }} }}",
        ),
        Asked("openItems of one customer on a day of it", f"openItems({party}) {{ {_NODES} }}", flat=True),
        Asked("openItemsByParty of one customer on a day of it", f"openItemsByParty({party}) {{ nodes {{ {_SUMS} }} }}", flat=True),
        Asked(
            "bankAndBooks, the sums of what is at the bank alone",
            f"{bank} {{ bankOnlyTotals {_TOTALS} }}",
            Plain(_BANK, [], _bank, _bank_row),
        ),
        Asked(
            "bankAndBooks, all sums",
            f"{bank} {{ bankOnlyTotals {_TOTALS} payoutTotals {_TOTALS} paidWithoutMoneyTotals {_TOTALS} }}",
        ),
        Asked("bankAndBooks, the first 1,000 at the bank alone", f"{bank} {{ bankOnly {{ open transaction {{ bookedOn amount }} }} }}"),
        Asked(
            "bankAndBooks, the reconciliation of the bank account after the year",
            f'{bank} {{ reconciliations(asOf: "{TODAY}") {{ bankBalance booksBalance difference transactionCount lineCount }} }}',
        ),
        Asked("unmatchedTransactions, the first 50", f'unmatchedTransactions(ledger: "{ledger}", first: 50) {{ nodes {{ open }} }}', flat=True),
        Asked(
            "matchProposals, the first 50 with what they propose",
            f'matchProposals(ledger: "{ledger}", first: 50) {{ nodes {{ score allocations {{ amount }} }} }}',
            flat=True,
        ),
    ]  # fmt: skip


def _items(value: Any) -> list[Any]:
    return [(each["invoice"]["number"], each["open"]) for each in value["nodes"]]


def _item_rows(rows: Sequence[Any]) -> list[Any]:
    return [(row[0], _money(row[1])) for row in rows]


def _parties(value: Any) -> list[Any]:
    """Those of the first half that have documents: money on account alone is none of the plain SQL's business."""
    return [(each["party"], each["documents"], each["open"]) for each in value["nodes"] if each["documents"]][:25]


def _party_rows(rows: Sequence[Any]) -> list[Any]:
    return [(row[0], row[1], _money(row[2])) for row in rows][:25]


def _bank(value: Any) -> list[Any]:
    return [(each["count"], each["amount"]) for each in value["bankOnlyTotals"]]


def _bank_row(rows: Sequence[Any]) -> list[Any]:
    return [(rows[0][0], _money(rows[0][1]))]


def _money(minor: int) -> str:
    return f"{'-' if minor < 0 else ''}{abs(minor) // 100}.{abs(minor) % 100:02}"
