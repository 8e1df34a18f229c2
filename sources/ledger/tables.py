"""The ledger store's tables as SQLAlchemy Core sees them, for query builders. `sql/*_tables.sql` creates them; a test compares.

Money is bigint in minor units of the row's currency, debit positive. Checks, triggers and policies live in the SQL alone; so does what ties
entries, lines, accounts and balances together, which triggers prove instead of foreign keys.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
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
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from sources.database.metadata import METADATA

_SCHEMA = "ledger"
_KEY_TEXT = Text(collation="C")


def _required(name: str, kind: Any, **more: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **more)


def _references(columns: str, table: str, referred: str, name: str) -> ForeignKeyConstraint:
    targets = [f"{_SCHEMA}.{table}.{column}" for column in referred.split()]
    return ForeignKeyConstraint(columns.split(), targets, name=name)


currency = Table(
    "currency",
    METADATA,
    _required("code", _KEY_TEXT),
    _required("exponent", SmallInteger),
    PrimaryKeyConstraint("code", name="currency_pkey"),
    schema=_SCHEMA,
)

ledger = Table(
    "ledger",
    METADATA,
    _required("ledger_id", BigInteger, server_default=Identity(always=True)),
    _required("code", _KEY_TEXT),
    _required("name", Text),
    _required("functional_currency", _KEY_TEXT),
    Column("locked_through", Date),
    _required("names_version", BigInteger, server_default=text("0")),
    _required("created_at", DateTime(timezone=True), server_default=text("now()")),
    PrimaryKeyConstraint("ledger_id", name="ledger_pkey"),
    UniqueConstraint("code", name="ledger_code_key"),
    _references("functional_currency", "currency", "code", "ledger_functional_currency_fkey"),
    schema=_SCHEMA,
)

head = Table(
    "head",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("last_sequence", BigInteger, server_default=text("0")),
    _required("last_hash", LargeBinary),
    _required("last_posted_at", DateTime(timezone=True), server_default=text("'-infinity'::timestamptz")),
    PrimaryKeyConstraint("ledger_id", name="head_pkey"),
    _references("ledger_id", "ledger", "ledger_id", "head_ledger_fkey"),
    schema=_SCHEMA,
)

account = Table(
    "account",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("account_id", BigInteger, server_default=Identity(always=True)),
    _required("code", _KEY_TEXT),
    _required("name", Text),
    _required("type", _KEY_TEXT),
    _required("normal_side", _KEY_TEXT),
    Column("currency", _KEY_TEXT),
    Column("parent_id", BigInteger),
    _required("active", Boolean, server_default=text("true")),
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
    _required("ledger_id", BigInteger),
    _required("sequence", BigInteger),
    _required("effective_date", Date),
    Column("document_date", Date),
    _required("posted_at", DateTime(timezone=True)),
    _required("posted_by", _KEY_TEXT),
    Column("journal", _KEY_TEXT),
    _required("description", Text),
    Column("reference", _KEY_TEXT),
    _required("idempotency_key", _KEY_TEXT),
    _required("origin", _KEY_TEXT, server_default=text("''::text")),
    Column("reverses", BigInteger),
    _required("line_count", Integer),
    _required("total", BigInteger),
    _required("body_hash", LargeBinary),
    _required("hash", LargeBinary),
    _required("canonical_version", SmallInteger),
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
    _required("ledger_id", BigInteger),
    _required("sequence", BigInteger),
    _required("line_number", Integer),
    _required("account_id", BigInteger),
    _required("effective_date", Date),
    _required("currency", _KEY_TEXT),
    _required("amount", BigInteger),
    _required("functional_amount", BigInteger),
    Column("description", Text),
    Column("tax_code", _KEY_TEXT),
    _required("dimensions", JSONB, server_default=text("'{}'::jsonb")),
    PrimaryKeyConstraint("ledger_id", "sequence", "line_number", name="line_pkey"),
    Index("line_by_account", "ledger_id", "account_id", "effective_date", "sequence", "line_number"),
    Index("line_by_date", "ledger_id", "effective_date", "sequence", "line_number"),
    schema=_SCHEMA,
)


def _balance_table(name: str, period: str, *indexes: Index) -> Table:
    return Table(
        name,
        METADATA,
        _required("ledger_id", BigInteger),
        _required("account_id", BigInteger),
        _required("currency", _KEY_TEXT),
        _required(period, Date),
        _required("debit", BigInteger),
        _required("credit", BigInteger),
        _required("functional_debit", BigInteger),
        _required("functional_credit", BigInteger),
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
    _required("base", _KEY_TEXT),
    _required("quote", _KEY_TEXT),
    _required("type", _KEY_TEXT),
    _required("on_date", Date),
    _required("rate", Numeric),
    _required("source", _KEY_TEXT),
    _required("recorded_at", DateTime(timezone=True), server_default=text("now()")),
    PrimaryKeyConstraint("base", "quote", "type", "on_date", name="rate_pkey"),
    _references("base", "currency", "code", "rate_base_fkey"),
    _references("quote", "currency", "code", "rate_quote_fkey"),
    Index("rate_by_date", "on_date"),
    schema=_SCHEMA,
)
