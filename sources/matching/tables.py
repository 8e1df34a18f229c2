"""Tables of matching as SQLAlchemy Core sees them. `sql/*_tables.sql` creates them and says what they hold; a test compares.

Checks and policies live in the SQL alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

import sources.ledger.tables
from sources.database.metadata import METADATA

__all__ = ["sources"]

_SCHEMA = "matching"
_KEY_TEXT = Text(collation="C")
_MOMENT = DateTime(timezone=True)
_DOCUMENT = "ledger_id kind source account external_id"
_OPEN = text("ready AND used <> amount")


def _required(name: str, kind: Any, *more: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, *more, nullable=False, **options)


def _texts(names: str) -> tuple[Column[Any], ...]:
    return tuple(Column(name, _KEY_TEXT) for name in names.split())


def _references(columns: str, table: str, name: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(columns.split(), [f"{table}.{column}" for column in columns.split()], name=name)


def _key() -> tuple[Column[Any], ...]:
    """The columns that name a document."""
    return (
        _required("ledger_id", BigInteger),
        _required("kind", _KEY_TEXT),
        _required("source", _KEY_TEXT),
        _required("account", _KEY_TEXT, server_default=text("''::text")),
        _required("external_id", _KEY_TEXT),
    )


state = Table(
    "state",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("since", _MOMENT),
    PrimaryKeyConstraint("ledger_id", name="state_pkey"),
    _references("ledger_id", "ledger.ledger", "state_ledger_fkey"),
    schema=_SCHEMA,
)

todo = Table(
    "todo",
    METADATA,
    *_key(),
    _required("change", BigInteger, server_default=Identity(always=True)),
    PrimaryKeyConstraint(*_DOCUMENT.split(), name="todo_pkey"),
    Index("todo_by_turn", "ledger_id", "change"),
    schema=_SCHEMA,
)

item = Table(
    "item",
    METADATA,
    *_key(),
    _required("side", _KEY_TEXT),
    _required("currency", _KEY_TEXT),
    _required("amount", BigInteger),
    _required("used", BigInteger, server_default=text("0")),
    _required("due", BigInteger, server_default=text("0")),
    Column(
        "expected",
        BigInteger,
        Computed(
            "CASE WHEN due <> 0 AND abs(due) < abs(amount - used) THEN due ELSE amount - used END",
            persisted=True,
        ),
    ),
    _required("ready", Boolean),
    _required("dated", Date),
    Column("due_on", Date),
    Column("number", _KEY_TEXT),
    _required("party", _KEY_TEXT, server_default=text("''::text")),
    *_texts("party_id payer"),
    PrimaryKeyConstraint(*_DOCUMENT.split(), name="item_pkey"),
    _references("ledger_id", "ledger.ledger", "item_ledger_fkey"),
    Index("item_by_amount", "ledger_id", "kind", "currency", "expected", "dated", postgresql_where=_OPEN),
    Index(
        "item_by_party",
        "ledger_id",
        "kind",
        "party",
        "dated",
        postgresql_where=text("ready AND used <> amount AND party <> ''"),
    ),
    Index("item_of_name", "ledger_id", "party", postgresql_where=text("kind = 'invoice' AND party <> ''")),
    Index(
        "item_of_account",
        "ledger_id",
        "source",
        "account",
        "amount",
        "dated",
        postgresql_where=text("kind = 'bank_transaction'"),
    ),
    Index(
        "item_unmatched",
        "ledger_id",
        "dated",
        "source",
        "account",
        "external_id",
        postgresql_where=text("kind = 'bank_transaction' AND ready AND used <> amount"),
    ),
    schema=_SCHEMA,
)

item_key = Table(
    "item_key",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("key", _KEY_TEXT),
    *_key()[1:],
    PrimaryKeyConstraint("ledger_id", "key", "kind", "source", "account", "external_id", name="item_key_pkey"),
    Index("item_key_by_item", "ledger_id", "external_id", "source", "account", "kind"),
    schema=_SCHEMA,
)

_TAUGHT = "payer_account payer_name party pattern"
_TRANSACTION = "transaction_source transaction_account transaction_external_id"

rule = Table(
    "rule",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("rule_id", BigInteger),
    _required("type", _KEY_TEXT),
    *_texts(_TAUGHT),
    Column("money_in", Boolean),
    *_texts(f"ledger_account {_TRANSACTION}"),
    Column("match_id", BigInteger),
    _required("created_at", _MOMENT),
    _required("created_by", _KEY_TEXT),
    Column("removed_at", _MOMENT),
    Column("removed_by", _KEY_TEXT),
    PrimaryKeyConstraint("ledger_id", "rule_id", name="rule_pkey"),
    _references("ledger_id", "ledger.ledger", "rule_ledger_fkey"),
    Index(
        "rule_in_force",
        *f"ledger_id type {_TAUGHT} money_in ledger_account".split(),
        unique=True,
        postgresql_nulls_not_distinct=True,
        postgresql_where=text("removed_at IS NULL AND type <> 'NEVER'"),
    ),
    Index(
        "rule_by_payer",
        "ledger_id",
        "payer_account",
        "payer_name",
        postgresql_where=text("type = 'PAYER' AND removed_at IS NULL"),
    ),
    Index(
        "rule_by_transaction",
        *["ledger_id", "transaction_source", "transaction_account", "transaction_external_id"],
        postgresql_where=text("type = 'NEVER' AND removed_at IS NULL"),
    ),
    schema=_SCHEMA,
)

match = Table(
    "match",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("match_id", BigInteger),
    _required("source", _KEY_TEXT),
    _required("account", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("status", _KEY_TEXT),
    _required("score", Integer),
    _required("reasons", JSONB),
    Column("rule_id", BigInteger),
    Column("returns", BigInteger),
    _required("created_at", _MOMENT),
    Column("decided_at", _MOMENT),
    Column("decided_by", _KEY_TEXT),
    PrimaryKeyConstraint("ledger_id", "match_id", name="match_pkey"),
    _references("ledger_id", "ledger.ledger", "match_ledger_fkey"),
    Index(
        "match_live",
        *["ledger_id", "source", "account", "external_id"],
        unique=True,
        postgresql_where=text("status IN ('CERTAIN', 'CONFIRMED')"),
    ),
    Index("match_of_transaction", *["ledger_id", "source", "account", "external_id", "status"]),
    Index("match_returning", "ledger_id", "returns", postgresql_where=text("returns IS NOT NULL")),
    Index("match_proposed", "ledger_id", "match_id", postgresql_where=text("status = 'PROPOSED'")),
    schema=_SCHEMA,
)

allocation = Table(
    "allocation",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("match_id", BigInteger),
    _required("position", Integer),
    _required("kind", _KEY_TEXT),
    *[_required(name, _KEY_TEXT, server_default=text("''::text")) for name in ("source", "account", "external_id")],
    _required("side", _KEY_TEXT),
    _required("currency", _KEY_TEXT),
    _required("amount", BigInteger),
    _required("bank_amount", BigInteger),
    Column("booked_on", Date),
    *_texts("number party_id"),
    PrimaryKeyConstraint("ledger_id", "match_id", "position", name="allocation_pkey"),
    _references("ledger_id match_id", "matching.match", "allocation_match_fkey"),
    Index("allocation_of_document", *_DOCUMENT.split()),
    Index("allocation_on_account", "ledger_id", "match_id", postgresql_where=text("kind = 'on_account'")),
    schema=_SCHEMA,
)

_NOW = text("until_day IS NULL")

open_item = Table(
    "open_item",
    METADATA,
    _required("ledger_id", BigInteger),
    *[_required(name, _KEY_TEXT) for name in ("source", "external_id", "direction", "party_id")],
    _required("party_name", _KEY_TEXT),
    _required("currency", _KEY_TEXT),
    _required("due_on", Date),
    _required("open", BigInteger),
    _required("kind", _KEY_TEXT, server_default=text("'invoice'::text")),
    _required("on_account", BigInteger, server_default=text("0")),
    _required("unexplained", BigInteger, server_default=text("0")),
    Column("functional", BigInteger),
    _required("set_off", BigInteger, server_default=text("0")),
    _required("from_day", Date),
    Column("until_day", Date),
    Column(
        "lasts",
        Integer,
        Computed(
            "CASE WHEN until_day IS NULL THEN 0 "
            + " ".join(f"WHEN until_day - from_day <= {days} THEN {days}" for days in (8, 32, 128, 512, 2048))
            + " ELSE 1048576 END",
            persisted=True,
        ),
    ),
    PrimaryKeyConstraint(
        *["ledger_id", "source", "external_id", "kind", "direction", "currency", "from_day"], name="open_item_pkey"
    ),
    Index("open_item_now", *["ledger_id", "direction", "due_on", "source", "external_id"], postgresql_where=_NOW),
    Index(
        "open_item_now_by_party",
        *["ledger_id", "direction", "party_id", "currency", "due_on"],
        postgresql_where=_NOW,
    ),
    Index(
        "open_item_past",
        *["ledger_id", "direction", "lasts", "from_day", "until_day"],
        postgresql_where=text("until_day IS NOT NULL"),
    ),
    Index("open_item_of_party", "ledger_id", "party_id"),
    schema=_SCHEMA,
)

open_todo = Table(
    "open_todo",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("change", BigInteger, server_default=Identity(always=True)),
    _required("source", _KEY_TEXT),
    _required("external_id", _KEY_TEXT),
    _required("kind", _KEY_TEXT, server_default=text("'invoice'::text")),
    PrimaryKeyConstraint("ledger_id", "change", name="open_todo_pkey"),
    Index("open_todo_of_document", "ledger_id", "source", "external_id"),
    schema=_SCHEMA,
)

control_account = Table(
    "control_account",
    METADATA,
    _required("ledger_id", BigInteger),
    *[_required(name, _KEY_TEXT) for name in ("code", "direction")],
    PrimaryKeyConstraint("ledger_id", "code", "direction", name="control_account_pkey"),
    ForeignKeyConstraint(["ledger_id"], ["ledger.ledger.ledger_id"], name="control_account_ledger_fkey"),
    schema=_SCHEMA,
)
