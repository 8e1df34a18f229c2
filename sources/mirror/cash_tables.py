"""The mirror's tables of bank accounts, statements and transactions. See `sources.mirror.tables`."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
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

__all__ = ["sources"]

_SCHEMA = "mirror"

bank_account = Table(
    "bank_account",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("external_id", KEY_TEXT),
    required("currency", KEY_TEXT),
    Column("name", Text),
    Column("iban", Text),
    required("currencies", ARRAY(Text), server_default=text("'{}'::text[]")),
    required("first_seen", MOMENT),
    Column("deleted_at", MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "external_id", name="bank_account_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "bank_account_ledger_fkey"),
    schema=_SCHEMA,
)

bank_statement = Table(
    "bank_statement",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("external_id", KEY_TEXT),
    required("account", KEY_TEXT),
    required("currency", KEY_TEXT),
    required("provisional", Boolean),
    Column("from_date", Date),
    Column("to_date", Date),
    Column("ends_on", Date),
    Column("opening", BigInteger),
    Column("closing", BigInteger),
    Column("closing_available", BigInteger),
    required("warnings", JSONB),
    required("rank", BigInteger, server_default=text("0")),
    Column("gap", Text),
    required("content_hash", LargeBinary),
    required("first_seen", MOMENT),
    required("changed_at", MOMENT),
    Column("missing_since", MOMENT),
    Column("deleted_at", MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "external_id", name="bank_statement_pkey"),
    references(
        "ledger_id source account", "mirror.bank_account", "ledger_id source external_id", "bank_statement_account_fkey"
    ),
    Index("bank_statement_by_account", "account", "ledger_id", "source", "currency", "rank"),
    Index(
        "bank_statement_odd",
        "ledger_id",
        "source",
        "account",
        "currency",
        "rank",
        postgresql_where=text("rank > 0 AND (gap IS NOT NULL OR warnings <> '[]'::jsonb)"),
    ),
    schema=_SCHEMA,
)

bank_transaction = Table(
    "bank_transaction",
    METADATA,
    required("ledger_id", BigInteger),
    required("source", KEY_TEXT),
    required("account", KEY_TEXT),
    required("external_id", KEY_TEXT),
    required("statement", KEY_TEXT),
    required("position", Integer),
    required("status", KEY_TEXT),
    required("amount", BigInteger),
    required("currency", KEY_TEXT),
    Column("booked_on", Date),
    Column("value_date", Date),
    Column("dated_on", Date),
    required("listed_booked", Date),
    required("listed_value", Date),
    Column("description", Text),
    Column("counterparty", Text),
    Column("reference", Text),
    required("provisional", Boolean),
    required("visible", Boolean, server_default=text("false")),
    required("raw", JSONB),
    required("first_seen", MOMENT),
    required("changed_at", MOMENT),
    Column("deleted_at", MOMENT),
    PrimaryKeyConstraint("ledger_id", "source", "account", "external_id", "statement", name="bank_transaction_pkey"),
    references(
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
    Index(
        "bank_transaction_provisional",
        "ledger_id",
        "source",
        "account",
        "dated_on",
        postgresql_where=text("provisional AND visible"),
    ),
    Index(
        "bank_transaction_superseded",
        "ledger_id",
        "source",
        "account",
        "dated_on",
        postgresql_where=text("provisional AND NOT visible"),
    ),
    Index("bank_transaction_by_statement", "ledger_id", "statement", "source"),
    schema=_SCHEMA,
)
