"""The mirror's tables as SQLAlchemy Core sees them. `sql/*_tables.sql` creates them and says what they hold; a test compares.

Money is bigint in minor units of the row's currency. Checks and policies live in the SQL alone.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
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
from sources.database.columns import KEY_TEXT, MOMENT, references, required
from sources.database.metadata import METADATA
from sources.mirror.cash_tables import bank_account, bank_statement, bank_transaction
from sources.mirror.document_tables import invoice, payment, payroll_run, payslip

__all__ = [
    "METADATA",
    "bank_account",
    "bank_statement",
    "bank_transaction",
    "invoice",
    "payment",
    "payroll_run",
    "payslip",
    "sources",
]

_SCHEMA = "mirror"

source_state = Table(
    "source_state",
    METADATA,
    required("source", KEY_TEXT),
    required("kind", KEY_TEXT),
    required("route", Text),
    Column("cursor", Text),
    Column("as_of", MOMENT),
    Column("last_success_at", MOMENT),
    Column("last_attempt_at", MOMENT),
    Column("last_error", Text),
    required("problems", Integer, server_default=text("0")),
    required("documents", BigInteger, server_default=text("0")),
    Column("post_from", Date),
    Column("layout", Text),
    PrimaryKeyConstraint("source", name="source_state_pkey"),
    schema=_SCHEMA,
)

sync_run = Table(
    "sync_run",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("run_id", BigInteger, server_default=Identity(always=True)),
    required("started_at", MOMENT),
    Column("finished_at", MOMENT),
    required("pages", Integer, server_default=text("0")),
    required("documents", BigInteger, server_default=text("0")),
    required("changed", BigInteger, server_default=text("0")),
    required("deleted", BigInteger, server_default=text("0")),
    required("problems", Integer, server_default=text("0")),
    Column("error", Text),
    PrimaryKeyConstraint("ledger_id", "source", "run_id", name="sync_run_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "sync_run_ledger_fkey"),
    Index("sync_run_by_start", "ledger_id", "source", "started_at"),
    Index("sync_run_open", "source", postgresql_where=text("finished_at IS NULL")),
    schema=_SCHEMA,
)

issue = Table(
    "issue",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("code", KEY_TEXT),
    required("subject", KEY_TEXT),
    required("message", Text),
    required("first_seen", MOMENT),
    required("opened_at", MOMENT),
    required("last_seen", MOMENT),
    required("times", Integer, server_default=text("1")),
    Column("closed_at", MOMENT),
    Column("kind", KEY_TEXT),
    Column("account", KEY_TEXT),
    Column("external_id", KEY_TEXT),
    Column("hint", Text),
    Column("excerpt", Text),
    Column("next_attempt_at", MOMENT),
    required("attempts", Integer, server_default=text("0")),
    Column("resolved_at", MOMENT),
    Column("resolved_by", KEY_TEXT),
    Column("note", Text),
    Column("muted_until", MOMENT),
    Column("revision", BigInteger),
    Column("again", Text),
    PrimaryKeyConstraint("ledger_id", "source", "code", "subject", name="issue_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "issue_ledger_fkey"),
    Index(
        "issue_by_document",
        "ledger_id",
        "source",
        "kind",
        "account",
        "external_id",
        postgresql_where=text("kind IS NOT NULL"),
    ),
    Index(
        "issue_open",
        "ledger_id",
        "opened_at",
        "source",
        "code",
        "subject",
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index("issue_unnumbered", "ledger_id", postgresql_where=text("revision IS NULL")),
    Index("issue_by_revision", "ledger_id", "revision", unique=True, postgresql_where=text("revision IS NOT NULL")),
    Index(
        "issue_of_source",
        "source",
        "ledger_id",
        "opened_at",
        postgresql_where=text("kind IS NULL AND closed_at IS NULL"),
    ),
    Index("issue_muted", "muted_until", postgresql_where=text("closed_at IS NULL AND muted_until IS NOT NULL")),
    schema=_SCHEMA,
)

issue_head = Table(
    "issue_head",
    METADATA,
    required("ledger_id", BigInteger),
    required("revision", BigInteger),
    PrimaryKeyConstraint("ledger_id", name="issue_head_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "issue_head_ledger_fkey"),
    schema=_SCHEMA,
)

issue_era = Table(
    "issue_era",
    METADATA,
    required("ledger_id", BigInteger),
    required("first_revision", BigInteger),
    required("server", KEY_TEXT),
    required("digits", KEY_TEXT),
    PrimaryKeyConstraint("ledger_id", "first_revision", name="issue_era_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "issue_era_ledger_fkey"),
    schema=_SCHEMA,
)

webhook = Table(
    "webhook",
    METADATA,
    required("source", KEY_TEXT),
    required("delivery_id", KEY_TEXT),
    required("received_at", MOMENT),
    required("headers", JSONB),
    required("body", LargeBinary),
    Column("processed_at", MOMENT),
    PrimaryKeyConstraint("source", "delivery_id", name="webhook_pkey"),
    Index("webhook_by_arrival", "received_at"),
    Index("webhook_waiting", "source", "received_at", postgresql_where=text("processed_at IS NULL")),
    schema=_SCHEMA,
)

document_entry = Table(
    "document_entry",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("kind", KEY_TEXT),
    required("account", KEY_TEXT, server_default=text("''::text")),
    required("external_id", KEY_TEXT),
    required("sequence", BigInteger),
    Column("rule", KEY_TEXT),
    Column("ruleset_version", Integer),
    Column("posting", KEY_TEXT),
    PrimaryKeyConstraint(
        "ledger_id", "source", "kind", "account", "external_id", "sequence", name="document_entry_pkey"
    ),
    references("ledger_id sequence", "ledger.entry", "ledger_id sequence", "document_entry_entry_fkey"),
    Index("document_entry_by_entry", "ledger_id", "sequence"),
    schema=_SCHEMA,
)
document_file = Table(
    "document_file",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("kind", KEY_TEXT),
    required("external_id", KEY_TEXT),
    required("checksum", KEY_TEXT),
    required("name", Text),
    required("kept", Boolean, server_default=text("false")),
    required("place", BigInteger, server_default=Identity(always=True)),
    PrimaryKeyConstraint("ledger_id", "source", "kind", "external_id", "checksum", name="document_file_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "document_file_ledger_fkey"),
    Index("document_file_kept", "source", postgresql_where=text("kept")),
    schema=_SCHEMA,
)
submission = Table(
    "submission",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("kind", KEY_TEXT),
    required("external_id", KEY_TEXT),
    Column("revision", BigInteger),
    required("submitted_by", Text),
    required("submitted_at", MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "kind", "external_id", name="submission_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "submission_ledger_fkey"),
    schema="mirror",
)
