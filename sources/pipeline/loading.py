"""Documents as they are in the mirror now: rows by the column names of their tables, one statement for each kind.

What no rule needs and no posting may hold is not read: payslips without the people, payroll runs without their payload.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import JSONB

from sources.mirror import tables
from sources.pipeline.model import Key

if TYPE_CHECKING:
    from sources.database.pool import Connection

Row = dict[str, Any]

_TABLES: Final[Mapping[str, Table]] = {
    "invoice": tables.invoice,
    "payroll_run": tables.payroll_run,
    "bank_transaction": tables.bank_transaction,
    "payment": tables.payment,
}
_UNREAD: Final = frozenset({"ledger_id", "first_seen", "missing_since", "visible"})
_READ: Final[Mapping[str, tuple[str, ...]]] = {
    kind: tuple(
        column.name
        for column in table.columns
        if column.name not in _UNREAD and (kind, column.name) != ("payroll_run", "raw")
    )
    for kind, table in _TABLES.items()
}
_JSON: Final[Mapping[str, tuple[str, ...]]] = {
    kind: tuple(
        column.name for column in table.columns if isinstance(column.type, JSONB) and column.name in _READ[kind]
    )
    for kind, table in _TABLES.items()
}


async def load(connection: Connection, ledger_id: int, keys: Iterable[Key]) -> dict[Key, Row]:
    """The documents among `keys` that the mirror has, deleted ones too (`deleted_at`). JSON is decoded; dates are dates.

    A bank transaction is the one of the authoritative statements that counts; where none does any more it is deleted. A payroll
    run has `payslips` (department, gross, net), None while they are not held. A payment has `settles`, the issue_date of the
    invoice that it is for, None where there is none."""
    by_kind: dict[str, list[Key]] = defaultdict(list)
    for key in keys:
        by_kind[key.kind].append(key)
    found: dict[Key, Row] = {}
    for kind, wanted in by_kind.items():
        found |= await _load_kind(connection, ledger_id, kind, wanted)
    if runs := [key for key in by_kind["payroll_run"] if key in found]:
        await _add_payslips(connection, ledger_id, runs, found)
    if payments := [key for key in by_kind["payment"] if key in found]:
        await _add_settled(connection, ledger_id, payments, found)
    return found


async def _load_kind(connection: Connection, ledger_id: int, kind: str, keys: Sequence[Key]) -> dict[Key, Row]:
    sources, ids = [key.source for key in keys], [key.external_id for key in keys]
    accounts = [[key.account for key in keys]] if kind == "bank_transaction" else []
    rows = await connection.fetch(_SQL[kind], ledger_id, sources, ids, *accounts)
    found = {}
    for each in rows:
        row = dict(each)
        for name in _JSON[kind]:
            if row[name] is not None:
                row[name] = orjson.loads(row[name])
        found[Key(row["source"], kind, row.get("account", ""), row["external_id"])] = row
    return found


async def _add_payslips(connection: Connection, ledger_id: int, keys: Sequence[Key], found: Mapping[Key, Row]) -> None:
    for key in keys:
        found[key]["payslips"] = [] if found[key]["payslips_given"] else None
    sources, ids = [key.source for key in keys], [key.external_id for key in keys]
    for slip in await connection.fetch(_PAYSLIPS, ledger_id, sources, ids):
        slips = found[Key(slip["source"], "payroll_run", "", slip["run_external_id"])]["payslips"]
        if slips is not None:
            slips.append({"department": slip["department"], "gross": slip["gross"], "net": slip["net"]})


async def _add_settled(connection: Connection, ledger_id: int, keys: Sequence[Key], found: Mapping[Key, Row]) -> None:
    invoices = [Key(key.source, "invoice", "", found[key]["invoice_external_id"] or "") for key in keys]
    sources, ids = [key.source for key in invoices], [key.external_id for key in invoices]
    rows = await connection.fetch(_SETTLED, ledger_id, sources, ids)
    dated = {Key(row["source"], "invoice", "", row["external_id"]): row["issue_date"] for row in rows}
    for key, invoice in zip(keys, invoices, strict=True):
        found[key]["settles"] = {"issue_date": dated[invoice]} if invoice in dated else None


def _columns(kind: str) -> str:
    return ", ".join(_READ[kind])


def _statement(kind: str) -> str:
    return f"""
SELECT {_columns(kind)} FROM mirror.{kind}
WHERE ledger_id = $1 AND (source, external_id) IN (SELECT * FROM unnest($2::text[], $3::text[]))"""


_SQL: Final[Mapping[str, str]] = {kind: _statement(kind) for kind in ("invoice", "payroll_run", "payment")} | {
    "bank_transaction": f"""
SELECT DISTINCT ON (source, account, external_id) {_columns("bank_transaction")}
FROM mirror.bank_transaction
WHERE ledger_id = $1 AND NOT provisional
    AND (source, external_id, account) IN (SELECT * FROM unnest($2::text[], $3::text[], $4::text[]))
ORDER BY source, account, external_id, visible DESC, deleted_at DESC"""
}
_PAYSLIPS = """
SELECT source, run_external_id, department, gross, net FROM mirror.payslip
WHERE ledger_id = $1 AND (source, run_external_id) IN (SELECT * FROM unnest($2::text[], $3::text[]))
ORDER BY source, run_external_id, position"""
_SETTLED = """
SELECT source, external_id, issue_date FROM mirror.invoice
WHERE ledger_id = $1 AND (source, external_id) IN (SELECT * FROM unnest($2::text[], $3::text[]))"""
