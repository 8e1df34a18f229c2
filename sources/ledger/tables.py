"""The ledger store's tables as SQLAlchemy Core sees them, for query builders. `sql/*_tables.sql` creates them; a test compares.

Money is bigint in minor units of the row's currency, debit positive. Checks, triggers and policies live in the SQL alone; so does what ties
entries, lines, accounts and balances together, which triggers prove instead of foreign keys.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from sources.database.columns import KEY_TEXT, MOMENT, references, required
from sources.database.metadata import METADATA

_SCHEMA = "ledger"


def _references(columns: str, table: str, referred: str, name: str) -> ForeignKeyConstraint:
    return references(columns, f"{_SCHEMA}.{table}", referred, name)


currency = Table(
    "currency",
    METADATA,
    required("code", KEY_TEXT),
    required("exponent", SmallInteger),
    PrimaryKeyConstraint("code", name="currency_pkey"),
    schema=_SCHEMA,
)

ledger = Table(
    "ledger",
    METADATA,
    required("ledger_id", BigInteger, server_default=Identity(always=True)),
    required("code", KEY_TEXT),
    required("name", Text),
    required("functional_currency", KEY_TEXT),
    Column("locked_through", Date),
    required("names_version", BigInteger, server_default=text("0")),
    required("created_at", MOMENT, server_default=text("now()")),
    PrimaryKeyConstraint("ledger_id", name="ledger_pkey"),
    UniqueConstraint("code", name="ledger_code_key"),
    _references("functional_currency", "currency", "code", "ledger_functional_currency_fkey"),
    schema=_SCHEMA,
)

head = Table(
    "head",
    METADATA,
    required("ledger_id", BigInteger),
    required("last_sequence", BigInteger, server_default=text("0")),
    required("last_hash", LargeBinary),
    required("last_posted_at", MOMENT, server_default=text("'-infinity'::timestamptz")),
    PrimaryKeyConstraint("ledger_id", name="head_pkey"),
    _references("ledger_id", "ledger", "ledger_id", "head_ledger_fkey"),
    schema=_SCHEMA,
)

account = Table(
    "account",
    METADATA,
    required("ledger_id", BigInteger),
    required("account_id", BigInteger, server_default=Identity(always=True)),
    required("code", KEY_TEXT),
    required("name", Text),
    required("type", KEY_TEXT),
    required("normal_side", KEY_TEXT),
    Column("currency", KEY_TEXT),
    Column("parent_id", BigInteger),
    required("active", Boolean, server_default=text("true")),
    PrimaryKeyConstraint("ledger_id", "account_id", name="account_pkey"),
    UniqueConstraint("ledger_id", "code", name="account_code_key"),
    _references("ledger_id", "ledger", "ledger_id", "account_ledger_fkey"),
    _references("currency", "currency", "code", "account_currency_fkey"),
    _references("ledger_id parent_id", "account", "ledger_id account_id", "account_parent_fkey"),
    schema=_SCHEMA,
)

entry = Table(
    "entry",
    METADATA,
    required("ledger_id", BigInteger),
    required("sequence", BigInteger),
    required("effective_date", Date),
    Column("document_date", Date),
    required("posted_at", MOMENT),
    required("posted_by", KEY_TEXT),
    Column("journal", KEY_TEXT),
    required("description", Text),
    Column("reference", KEY_TEXT),
    required("idempotency_key", KEY_TEXT),
    required("origin", KEY_TEXT, server_default=text("''::text")),
    Column("reverses", BigInteger),
    required("line_count", Integer),
    required("total", BigInteger),
    required("body_hash", LargeBinary),
    required("hash", LargeBinary),
    required("canonical_version", SmallInteger),
    PrimaryKeyConstraint("ledger_id", "sequence", name="entry_pkey"),
    UniqueConstraint("ledger_id", "origin", "idempotency_key", name="entry_key_key"),
    Index("entry_reverses_key", "ledger_id", "reverses", unique=True, postgresql_where=text("reverses IS NOT NULL")),
    Index("entry_by_date", "ledger_id", "effective_date", "sequence"),
    Index("entry_by_journal", "ledger_id", "journal", "sequence", postgresql_where=text("journal <> ''")),
    Index("entry_by_source", "ledger_id", "origin", "sequence", postgresql_where=text("origin <> ''")),
    Index("entry_by_reference", "ledger_id", "reference", "sequence", postgresql_where=text("reference IS NOT NULL")),
    schema=_SCHEMA,
)

line = Table(
    "line",
    METADATA,
    required("ledger_id", BigInteger),
    required("sequence", BigInteger),
    required("line_number", Integer),
    required("account_id", BigInteger),
    required("effective_date", Date),
    required("currency", KEY_TEXT),
    required("amount", BigInteger),
    required("functional_amount", BigInteger),
    Column("description", Text),
    Column("tax_code", KEY_TEXT),
    required("dimensions", JSONB, server_default=text("'{}'::jsonb")),
    PrimaryKeyConstraint("ledger_id", "sequence", "line_number", name="line_pkey"),
    Index("line_by_account", "ledger_id", "account_id", "effective_date", "sequence", "line_number"),
    Index("line_by_date", "ledger_id", "effective_date", "sequence", "line_number"),
    schema=_SCHEMA,
)


def _balance_table(name: str, period: str, *indexes: Index) -> Table:
    return Table(
        name,
        METADATA,
        required("ledger_id", BigInteger),
        required("account_id", BigInteger),
        required("currency", KEY_TEXT),
        required(period, Date),
        required("debit", BigInteger),
        required("credit", BigInteger),
        required("functional_debit", BigInteger),
        required("functional_credit", BigInteger),
        PrimaryKeyConstraint("ledger_id", "account_id", "currency", period, name=f"{name}_pkey"),
        *indexes,
        schema=_SCHEMA,
    )


balance_day = _balance_table("balance_day", "day", Index("balance_day_by_day", "ledger_id", "day"))
balance_month = _balance_table("balance_month", "month", Index("balance_month_by_month", "ledger_id", "month"))
"""`month` is the month's first day."""

balance_year = _balance_table("balance_year", "year")
"""`year` is the year's first day."""

rate = Table(
    "rate",
    METADATA,
    required("base", KEY_TEXT),
    required("quote", KEY_TEXT),
    required("type", KEY_TEXT),
    required("on_date", Date),
    required("rate", Numeric),
    required("source", KEY_TEXT),
    required("recorded_at", MOMENT, server_default=text("now()")),
    required("recorded_by", KEY_TEXT, server_default=text("''::text")),
    PrimaryKeyConstraint("base", "quote", "type", "on_date", name="rate_pkey"),
    _references("base", "currency", "code", "rate_base_fkey"),
    _references("quote", "currency", "code", "rate_quote_fkey"),
    Index("rate_by_date", "on_date"),
    schema=_SCHEMA,
)
