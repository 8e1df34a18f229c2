"""The mirror's tables as SQLAlchemy Core sees them. `sql/*_tables.sql` creates them and says what they hold; a test compares.

Money is bigint in minor units of the row's currency. Checks and policies live in the SQL alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

import sources.ledger.tables
from sources.database.metadata import METADATA

__all__ = ["sources"]

_SCHEMA = "mirror"
_KEY_TEXT = Text(collation="C")
_MOMENT = DateTime(timezone=True)


def _required(name: str, kind: Any, **more: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **more)


def _references(columns: str, table: str, referred: str, name: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(columns.split(), [f"{table}.{column}" for column in referred.split()], name=name)


source_state = Table(
    "source_state",
    METADATA,
    _required("source", _KEY_TEXT),
    _required("kind", _KEY_TEXT),
    _required("route", Text),
    Column("cursor", Text),
    Column("as_of", _MOMENT),
    Column("last_success_at", _MOMENT),
    Column("last_attempt_at", _MOMENT),
    Column("last_error", Text),
    _required("problems", Integer, server_default=text("0")),
    _required("documents", BigInteger, server_default=text("0")),
    Column("post_from", Date),
    PrimaryKeyConstraint("source", name="source_state_pkey"),
    schema=_SCHEMA,
)

sync_run = Table(
    "sync_run",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("run_id", BigInteger, server_default=Identity(always=True)),
    _required("started_at", _MOMENT),
    Column("finished_at", _MOMENT),
    _required("pages", Integer, server_default=text("0")),
    _required("documents", BigInteger, server_default=text("0")),
    _required("changed", BigInteger, server_default=text("0")),
    _required("deleted", BigInteger, server_default=text("0")),
    _required("problems", Integer, server_default=text("0")),
    Column("error", Text),
    PrimaryKeyConstraint("ledger_id", "source", "run_id", name="sync_run_pkey"),
    _references("ledger_id", "ledger.ledger", "ledger_id", "sync_run_ledger_fkey"),
    Index("sync_run_by_start", "ledger_id", "source", "started_at"),
    schema=_SCHEMA,
)

issue = Table(
    "issue",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("code", _KEY_TEXT),
    _required("subject", _KEY_TEXT),
    _required("message", Text),
    _required("first_seen", _MOMENT),
    _required("opened_at", _MOMENT),
    _required("last_seen", _MOMENT),
    _required("times", Integer, server_default=text("1")),
    Column("closed_at", _MOMENT),
    Column("kind", _KEY_TEXT),
    Column("account", _KEY_TEXT),
    Column("external_id", _KEY_TEXT),
    Column("hint", Text),
    Column("excerpt", Text),
    Column("next_attempt_at", _MOMENT),
    _required("attempts", Integer, server_default=text("0")),
    Column("resolved_at", _MOMENT),
    Column("resolved_by", _KEY_TEXT),
    Column("note", Text),
    Column("muted_until", _MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "code", "subject", name="issue_pkey"),
    _references("ledger_id", "ledger.ledger", "ledger_id", "issue_ledger_fkey"),
    Index(
        "issue_by_document",
        "ledger_id",
        "source",
        "kind",
        "account",
        "external_id",
        postgresql_where=text("kind IS NOT NULL"),
    ),
    schema=_SCHEMA,
)

invoice = Table(
    "invoice",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("direction", _KEY_TEXT),
    _required("kind", _KEY_TEXT),
    _required("status", _KEY_TEXT),
    _required("source_status", Text),
    Column("number", Text),
    _required("party_name", Text),
    Column("party_external_id", Text),
    Column("party_tax_id", Text),
    _required("currency", _KEY_TEXT),
    Column("issue_date", Date),
    Column("due_date", Date),
    _required("listed_on", Date),
    _required("subtotal", BigInteger),
    _required("tax", BigInteger),
    _required("rounding", BigInteger),
    _required("total", BigInteger),
    _required("prepaid", BigInteger),
    _required("amount_due", BigInteger),
    Column("taxes", JSONB),
    _required("lines", JSONB),
    _required("raw", JSONB),
    _required("content_hash", LargeBinary),
    _required("first_seen", _MOMENT),
    _required("changed_at", _MOMENT),
    Column("missing_since", _MOMENT),
    Column("deleted_at", _MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "external_id", name="invoice_pkey"),
    _references("ledger_id", "ledger.ledger", "ledger_id", "invoice_ledger_fkey"),
    Index(
        "invoice_by_date",
        "ledger_id",
        "listed_on",
        "source",
        "external_id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
    schema=_SCHEMA,
)

payroll_run = Table(
    "payroll_run",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("period_start", Date),
    _required("period_end", Date),
    _required("pay_date", Date),
    _required("source_status", Text),
    _required("currency", _KEY_TEXT),
    Column("gross", BigInteger),
    Column("employee_taxes", BigInteger),
    Column("deductions", BigInteger),
    Column("reimbursements", BigInteger),
    _required("net", BigInteger),
    Column("employer_taxes", BigInteger),
    Column("employer_contributions", BigInteger),
    Column("total_cost", BigInteger),
    Column("payslips_at", _MOMENT),
    Column("payslips_given", Boolean),
    _required("raw", JSONB),
    _required("content_hash", LargeBinary),
    _required("first_seen", _MOMENT),
    _required("changed_at", _MOMENT),
    Column("missing_since", _MOMENT),
    Column("deleted_at", _MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "external_id", name="payroll_run_pkey"),
    _references("ledger_id", "ledger.ledger", "ledger_id", "payroll_run_ledger_fkey"),
    Index(
        "payroll_run_by_date",
        "ledger_id",
        "pay_date",
        "source",
        "external_id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
    schema=_SCHEMA,
)

payslip = Table(
    "payslip",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("run_external_id", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("position", Integer),
    _required("employee_id", Text),
    _required("employee_name", Text),
    Column("department", Text),
    Column("gross", BigInteger),
    _required("net", BigInteger),
    PrimaryKeyConstraint("ledger_id", "source", "run_external_id", "external_id", name="payslip_pkey"),
    _references(
        "ledger_id source run_external_id", "mirror.payroll_run", "ledger_id source external_id", "payslip_run_fkey"
    ),
    schema=_SCHEMA,
)

bank_account = Table(
    "bank_account",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("currency", _KEY_TEXT),
    Column("name", Text),
    Column("iban", Text),
    _required("currencies", ARRAY(Text), server_default=text("'{}'::text[]")),
    _required("first_seen", _MOMENT),
    Column("deleted_at", _MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "external_id", name="bank_account_pkey"),
    _references("ledger_id", "ledger.ledger", "ledger_id", "bank_account_ledger_fkey"),
    schema=_SCHEMA,
)

bank_statement = Table(
    "bank_statement",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("account", _KEY_TEXT),
    _required("currency", _KEY_TEXT),
    _required("provisional", Boolean),
    Column("from_date", Date),
    Column("to_date", Date),
    Column("ends_on", Date),
    Column("opening", BigInteger),
    Column("closing", BigInteger),
    Column("closing_available", BigInteger),
    _required("warnings", JSONB),
    _required("rank", Integer, server_default=text("0")),
    Column("gap", Text),
    _required("content_hash", LargeBinary),
    _required("first_seen", _MOMENT),
    _required("changed_at", _MOMENT),
    Column("missing_since", _MOMENT),
    Column("deleted_at", _MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "external_id", name="bank_statement_pkey"),
    _references(
        "ledger_id source account", "mirror.bank_account", "ledger_id source external_id", "bank_statement_account_fkey"
    ),
    Index("bank_statement_by_account", "ledger_id", "source", "account", "currency", "rank"),
    schema=_SCHEMA,
)

bank_transaction = Table(
    "bank_transaction",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("account", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("statement", _KEY_TEXT),
    _required("position", Integer),
    _required("status", _KEY_TEXT),
    _required("amount", BigInteger),
    _required("currency", _KEY_TEXT),
    Column("booked_on", Date),
    Column("value_date", Date),
    Column("dated_on", Date),
    _required("listed_booked", Date),
    _required("listed_value", Date),
    Column("description", Text),
    Column("counterparty", Text),
    Column("reference", Text),
    _required("provisional", Boolean),
    _required("visible", Boolean, server_default=text("false")),
    _required("raw", JSONB),
    _required("first_seen", _MOMENT),
    _required("changed_at", _MOMENT),
    Column("deleted_at", _MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "account", "external_id", "statement", name="bank_transaction_pkey"),
    _references(
        "ledger_id source statement",
        "mirror.bank_statement",
        "ledger_id source external_id",
        "bank_transaction_statement_fkey",
    ),
    Index(
        "bank_transaction_by_date",
        "ledger_id",
        "source",
        "account",
        "listed_booked",
        "listed_value",
        "external_id",
        postgresql_where=text("visible"),
    ),
    Index(
        "bank_transaction_by_count",
        "ledger_id",
        "source",
        "account",
        "status",
        "dated_on",
        postgresql_where=text("visible"),
    ),
    Index("bank_transaction_provisional", "ledger_id", "source", "account", postgresql_where=text("provisional")),
    Index("bank_transaction_by_statement", "ledger_id", "source", "statement"),
    schema=_SCHEMA,
)

document_entry = Table(
    "document_entry",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("kind", _KEY_TEXT),
    _required("account", _KEY_TEXT, server_default=text("''::text")),
    _required("external_id", _KEY_TEXT),
    _required("sequence", BigInteger),
    Column("rule", _KEY_TEXT),
    Column("ruleset_version", Integer),
    Column("posting", _KEY_TEXT),
    PrimaryKeyConstraint(
        "ledger_id", "source", "kind", "account", "external_id", "sequence", name="document_entry_pkey"
    ),
    _references("ledger_id sequence", "ledger.entry", "ledger_id sequence", "document_entry_entry_fkey"),
    Index("document_entry_by_entry", "ledger_id", "sequence"),
    schema=_SCHEMA,
)
