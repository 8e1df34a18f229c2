"""One page's documents on their way into the tables: compared by content hash, written set by set."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Table

from sources.documents import BankStatement, Document, Invoice, Payment, PayrollRun
from sources.mirror import tables
from sources.mirror.changes import Changes
from sources.mirror.rows import (
    Row,
    account_row,
    encoded,
    invoice_row,
    payment_row,
    payroll_run_row,
    payslip_row,
    statement_row,
    transaction_row,
)
from sources.mirror.statements import Touched
from sources.texts import clean

if TYPE_CHECKING:
    from sources.database.pool import Connection

Key = tuple[str, int, str]
"""Of a document: its kind (a table's name), ledger_id and external id."""


_KINDS: Mapping[type, str] = {
    Invoice: "invoice",
    Payment: "payment",
    PayrollRun: "payroll_run",
    BankStatement: "bank_statement",
}


def kind_of(document: Document) -> str:
    """The kind of a document: its table's name."""
    return _KINDS[type(document)]


def name_of(kind: type) -> str:
    """The kind of documents of a type."""
    return _KINDS[kind]


class Batch:
    """Rows of one page. What one page states twice counts as stated last."""

    def __init__(self, changes: Changes) -> None:
        self._source = changes.source
        self._now = changes.now
        self._changes = changes
        self._rows: dict[Key, Row] = {}
        self._accounts: dict[tuple[int, str], Row] = {}
        self._parts: dict[Key, list[Row]] = {}
        self.touched: set[Touched] = set()
        """Statements that were written."""

    @property
    def documents(self) -> int:
        return len(self._rows)

    @property
    def mentioned(self) -> set[Key]:
        return set(self._rows)

    @property
    def external_ids(self) -> list[str]:
        return [key[2] for key in self._rows]

    def add(self, ledger_id: int, document: Document) -> None:
        """Raises Unstorable."""
        base: Row = {"ledger_id": ledger_id, "source": self._source, "first_seen": self._now, "changed_at": self._now}
        external_id = clean(document.external_id)
        if isinstance(document, BankStatement):
            self._add_statement(ledger_id, external_id, base, document)
        elif isinstance(document, Invoice):
            self._rows["invoice", ledger_id, external_id] = base | invoice_row(document)
        elif isinstance(document, Payment):
            self._rows["payment", ledger_id, external_id] = base | payment_row(document)
        else:
            slips = [payslip_row(slip, position) for position, slip in enumerate(document.payslips or ())]
            given = {"payslips_at": self._now, "payslips_given": True} if document.payslips is not None else {}
            self._rows["payroll_run", ledger_id, external_id] = base | payroll_run_row(document, slips) | given
            self._parts["payroll_run", ledger_id, external_id] = slips

    def _add_statement(self, ledger_id: int, external_id: str, base: Row, statement: BankStatement) -> None:
        stated = enumerate(statement.transactions)
        transactions = [transaction_row(statement, transaction, position) for position, transaction in stated]
        account = account_row(statement)
        row = statement_row(statement, transactions)
        self._accounts.setdefault((ledger_id, account["external_id"]), base | account)
        self._rows["bank_statement", ledger_id, external_id] = base | row
        self._parts["bank_statement", ledger_id, external_id] = [base | each for each in transactions]

    async def write(self, connection: Connection) -> int:
        """Writes the documents that are new, changed, or back, and tells `changes` of them; answers with their number. Of bank
        statements `touched` is for the caller to settle."""
        written = 0
        for table in (tables.invoice, tables.payment, tables.payroll_run, tables.bank_statement):
            stated = {key: row for key, row in self._rows.items() if key[0] == table.name}
            if not stated:
                continue
            changed, held = await self._changed(connection, table, stated)
            if table is not tables.bank_statement:
                self._changes.add(table.name, [key[1:] for key in changed])
            if table is tables.bank_statement:
                await self._write_statements(connection, changed, held)
            elif table is tables.payment:
                await self._write_payments(connection, changed)
            else:
                await upsert(connection, table, [stated[key] for key in changed])
            if table is tables.payroll_run:
                await self._write_payslips(connection, changed)
            written += len(changed)
        return written

    async def _changed(
        self, connection: Connection, table: Table, stated: dict[Key, Row]
    ) -> tuple[list[Key], Collection[Key]]:
        """Those that are new, changed, or back; and those of them all that are held."""
        ledgers, ids = [key[1] for key in stated], [key[2] for key in stated]
        held = {
            (table.name, row["ledger_id"], row["external_id"]): row
            for row in await connection.fetch(_HELD[table.name], self._source, ledgers, ids)
        }
        if table is tables.bank_statement:
            for key, row in stated.items():
                if (before := held.get(key)) and before["content_hash"] != row["content_hash"]:
                    self.touched.add((key[1], before["account"], key[2]))
                    if row["provisional"] and not before["provisional"]:
                        self._changes.demoted.add(key[1:])
        changed = [
            key
            for key, row in stated.items()
            if key not in held or held[key]["gone"] or held[key]["content_hash"] != row["content_hash"]
        ]
        return changed, held.keys()

    async def _write_statements(self, connection: Connection, changed: Sequence[Key], known: Collection[Key]) -> None:
        if not changed:
            return
        accounts = {(key[1], self._rows[key]["account"]) for key in changed}
        await upsert(
            connection, tables.bank_account, [self._accounts[account] for account in sorted(accounts)], _ACCOUNT
        )
        await upsert(connection, tables.bank_statement, [self._rows[key] for key in changed])
        transactions = {
            (row["ledger_id"], row["account"], row["external_id"], row["statement"]): row
            for key in changed
            for row in self._parts[key]
        }
        await upsert(connection, tables.bank_transaction, list(transactions.values()))
        if before := [key for key in changed if key in known]:  # a new one drops nothing
            ledgers, ids = [key[1] for key in before], [key[2] for key in before]
            await connection.execute(_DROPPED, self._source, ledgers, ids, self._now)
        self.touched |= {(key[1], self._rows[key]["account"], key[2]) for key in changed}

    async def _write_payments(self, connection: Connection, changed: Sequence[Key]) -> None:
        await upsert(connection, tables.payment, [self._rows[key] for key in changed], _PAYMENT)
        payouts = [key for key in changed if self._rows[key]["paid_out"]]
        if payouts:
            ledgers, ids = [key[1] for key in payouts], [key[2] for key in payouts]
            told = await connection.fetch(_PAID_OUT, self._source, ledgers, ids)
            self._changes.add("payment", [tuple(row) for row in told])

    async def _write_payslips(self, connection: Connection, changed: Iterable[Key]) -> None:
        for _, ledger_id, run_id in (key for key in changed if self._rows[key].get("payslips_given")):
            await write_payslips(
                connection, (ledger_id, self._source, run_id), self._parts["payroll_run", ledger_id, run_id]
            )


async def write_payslips(connection: Connection, run: tuple[int, str, str], slips: Sequence[Row]) -> None:
    """Replaces the payslips of one payroll run: (ledger_id, source, external id)."""
    ledger_id, source, run_id = run
    await connection.execute(_FORGET_SLIPS, *run)
    base = {"ledger_id": ledger_id, "source": source, "run_external_id": run_id}
    unique = {slip["external_id"]: base | slip for slip in slips}
    await upsert(connection, tables.payslip, list(unique.values()))


async def upsert(connection: Connection, table: Table, rows: Sequence[Row], update: str | None = None) -> None:
    """Writes whole rows in one statement; a column that a row does not name becomes NULL. What a row says of when it was
    first seen counts only for a new one."""
    if not rows:
        return
    columns = [column.name for column in table.columns if column.name not in _OF_THE_MIRROR]
    keys = [column.name for column in table.primary_key]
    update = update or ", ".join(f"{name} = excluded.{name}" for name in columns if name not in (*keys, "first_seen"))
    names = ", ".join(columns)
    await connection.execute(
        f"INSERT INTO mirror.{table.name} AS held ({names}) "
        f"SELECT {names} FROM jsonb_populate_recordset(NULL::mirror.{table.name}, $1::jsonb) "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {update}",
        encoded(rows).decode(),
    )


_OF_THE_MIRROR = frozenset({"rank", "gap", "visible", "currencies"})
_HELD = {
    table.name: f"""
SELECT ledger_id, external_id, '\\x' || encode(content_hash, 'hex') AS content_hash,
    deleted_at IS NOT NULL OR missing_since IS NOT NULL AS gone{more}
FROM mirror.{table.name}
WHERE source = $1 AND (ledger_id, external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))"""
    for table, more in (
        (tables.invoice, ""),
        (tables.payment, ""),
        (tables.payroll_run, ""),
        (tables.bank_statement, ", account, provisional"),
    )
}
# An account keeps the currency that it was first seen with while it has any of it: others are positions of their own.
_ACCOUNT = """
name = coalesce(excluded.name, held.name), iban = coalesce(excluded.iban, held.iban), deleted_at = NULL,
currency = CASE WHEN held.deleted_at IS NULL THEN held.currency ELSE excluded.currency END"""
# What a payout said of a payment stays until another one says it.
_PAYMENT = ", ".join(
    f"{column.name} = coalesce(excluded.{column.name}, held.{column.name})"
    if column.name == "payout_external_id"
    else f"{column.name} = excluded.{column.name}"
    for column in tables.payment.columns
    if column.name not in ("ledger_id", "source", "external_id", "first_seen")
)
_PAID_OUT = """
UPDATE mirror.payment paid SET payout_external_id = payout.external_id
FROM mirror.payment payout, jsonb_array_elements_text(payout.paid_out) AS member (external_id)
WHERE payout.source = $1 AND (payout.ledger_id, payout.external_id) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))
    AND paid.ledger_id = payout.ledger_id AND paid.source = $1 AND paid.external_id = member.external_id
    AND paid.payout_external_id IS DISTINCT FROM payout.external_id
RETURNING paid.ledger_id, paid.external_id"""
_DROPPED = """
UPDATE mirror.bank_transaction SET deleted_at = $4
WHERE source = $1 AND (ledger_id, statement) IN (SELECT * FROM unnest($2::bigint[], $3::text[]))
    AND changed_at <> $4 AND deleted_at IS NULL"""
_FORGET_SLIPS = "DELETE FROM mirror.payslip WHERE ledger_id = $1 AND source = $2 AND run_external_id = $3"
