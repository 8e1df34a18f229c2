"""Which documents an entry was made from, and which entries came from a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sources.ledger.queries import entry_by_sequence
from sources.mirror.payments import payment_by_id
from sources.mirror.queries import Args, invoice_by_id, payroll_run_by_id, split
from sources.mirror.transactions import transaction_by_id
from sources.reading import Key, Reader, Results, Tagged, Want

_INVOICE, _PAYMENT, _PAYROLL_RUN, _TRANSACTION = "invoice", "payment", "payroll_run", "bank_transaction"
_TYPES = {
    _INVOICE: ("Invoice", invoice_by_id),
    _PAYMENT: ("Payment", payment_by_id),
    _PAYROLL_RUN: ("PayrollRun", payroll_run_by_id),
    _TRANSACTION: ("BankTransaction", transaction_by_id),
}
"""Kind of a link -> the type of its document in the graph, and what loads it."""


async def entries_of_invoices(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, source, external id); entries in order of sequence, here and below."""
    return await _entries(reader, _INVOICE, keys, want)


async def entries_of_payments(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await _entries(reader, _PAYMENT, keys, want)


async def entries_of_payroll_runs(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    return await _entries(reader, _PAYROLL_RUN, keys, want)


async def entries_of_transactions(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """Keys: (ledger_id, source, account, external id)."""
    return await _entries(reader, _TRANSACTION, keys, want)


async def _entries(reader: Reader, kind: str, keys: Sequence[Key], want: Want) -> Results:
    links = await reader.fetch(_ENTRIES, kind, *split(key if len(key) == 4 else (*key[:2], "", key[2]) for key in keys))
    pairs = list(dict.fromkeys((link["ledger_id"], link["sequence"]) for link in links))
    entries = await entry_by_sequence(reader, pairs, want, {}) if pairs else {}
    found: dict[Key, list[Any]] = {key: [] for key in keys}
    for link in links:
        found[_document(kind, link)].append(entries[link["ledger_id"], link["sequence"]])
    return found


async def documents_of_entries(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """The documents that entries were made from; keys: (ledger_id, sequence)."""
    links = await reader.fetch(_DOCUMENTS, *split(keys))
    loaded: dict[str, Results] = {}
    for kind, (typename, load) in _TYPES.items():
        ids = list(dict.fromkeys(_document(kind, link) for link in links if link["kind"] == kind))
        loaded[kind] = await load(reader, ids, want.types.get(typename, Want()), {}) if ids else {}
    found: dict[Key, list[Any]] = {key: [] for key in keys}
    for link in links:
        kind = link["kind"]
        row = loaded[kind].get(_document(kind, link))
        if row is not None:
            found[link["ledger_id"], link["sequence"]].append(Tagged(_TYPES[kind][0], row))
    return found


async def rules_of_entries(reader: Reader, keys: Sequence[Key], want: Want, _args: Args) -> Results:
    """By which rule, of which version, documents became entries; keys: (ledger_id, sequence). Entries that no rule made have none."""
    rows = await reader.fetch(_RULES, *split(keys))
    return {(row["ledger_id"], row["sequence"]): want.row(dict(row)) for row in rows}


def _document(kind: str, link: Any) -> Key:
    account = (link["account"],) if kind == _TRANSACTION else ()
    return (link["ledger_id"], link["source"], *account, link["external_id"])


_ENTRIES = """
SELECT ledger_id, source, account, external_id, sequence FROM mirror.document_entry
WHERE kind = $1 AND (ledger_id, source, account, external_id) IN
    (SELECT * FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[]))
ORDER BY ledger_id, sequence"""
_RULES = """
SELECT DISTINCT ON (ledger_id, sequence) ledger_id, sequence, rule, ruleset_version, posting FROM mirror.document_entry
WHERE (ledger_id, sequence) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[])) AND rule IS NOT NULL
ORDER BY ledger_id, sequence"""
_DOCUMENTS = """
SELECT ledger_id, source, kind, account, external_id, sequence FROM mirror.document_entry
WHERE (ledger_id, sequence) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
ORDER BY kind, source, account, external_id"""
