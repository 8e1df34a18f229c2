"""Tables of the pipeline as SQLAlchemy Core sees them. `sql/*_tables.sql` creates them and says what they hold; a test compares.

Checks and policies live in the SQL alone.
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
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

import sources.ledger.tables
from sources.database.metadata import METADATA

__all__ = ["sources"]

_SCHEMA = "pipeline"
_KEY_TEXT = Text(collation="C")
_MOMENT = DateTime(timezone=True)
_DOCUMENT = "ledger_id source kind account external_id"
_POSTING = f"{_DOCUMENT} name generation number"


def _required(name: str, kind: Any, **more: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **more)


def _references(columns: str, table: str, name: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(columns.split(), [f"{table}.{column}" for column in columns.split()], name=name)


def _key() -> tuple[Column[Any], ...]:
    """The columns that name a document."""
    return (
        _required("ledger_id", BigInteger),
        _required("source", _KEY_TEXT),
        _required("kind", _KEY_TEXT),
        _required("account", _KEY_TEXT, server_default=text("''::text")),
        _required("external_id", _KEY_TEXT),
    )


ruleset = Table(
    "ruleset",
    METADATA,
    _required("ledger_id", BigInteger),
    _required("version", Integer),
    _required("name", Text),
    _required("text", Text),
    _required("digest", LargeBinary),
    _required("created_at", _MOMENT),
    _required("created_by", _KEY_TEXT),
    _required("active", Boolean, server_default=text("false")),
    PrimaryKeyConstraint("ledger_id", "version", name="ruleset_pkey"),
    UniqueConstraint("ledger_id", "digest", name="ruleset_digest_key"),
    _references("ledger_id", "ledger.ledger", "ruleset_ledger_fkey"),
    Index("ruleset_active", "ledger_id", unique=True, postgresql_where=text("active")),
    schema="mapping",
)

todo = Table(
    "todo",
    METADATA,
    *_key(),
    _required("change", BigInteger, server_default=Identity(always=True)),
    _required("gone", Boolean, server_default=text("false")),
    _required("since", _MOMENT),
    _required("attempts", Integer, server_default=text("0")),
    _required("not_before", _MOMENT),
    PrimaryKeyConstraint(*_DOCUMENT.split(), name="todo_pkey"),
    Index("todo_by_turn", "ledger_id", "not_before", "change"),
    schema=_SCHEMA,
)

document = Table(
    "document",
    METADATA,
    *_key(),
    _required("status", _KEY_TEXT),
    Column("rule", _KEY_TEXT),
    Column("ruleset_version", Integer),
    Column("content_hash", LargeBinary),
    _required("generation", Integer, server_default=text("1")),
    Column("bill_key", LargeBinary),
    _required("processed_at", _MOMENT),
    PrimaryKeyConstraint(*_DOCUMENT.split(), name="document_pkey"),
    _references("ledger_id", "ledger.ledger", "document_ledger_fkey"),
    Index(
        "document_waiting",
        "ledger_id",
        "status",
        "source",
        postgresql_where=text("status IN ('PROPOSED', 'ISSUE', 'DUPLICATE')"),
    ),
    Index("document_by_bill", "ledger_id", "bill_key", postgresql_where=text("bill_key IS NOT NULL")),
    schema=_SCHEMA,
)

posting = Table(
    "posting",
    METADATA,
    *_key(),
    _required("name", _KEY_TEXT),
    _required("generation", Integer),
    _required("number", Integer),
    _required("outcome", LargeBinary),
    _required("status", _KEY_TEXT),
    Column("sequence", BigInteger),
    Column("reversal_sequence", BigInteger),
    _required("rule", _KEY_TEXT),
    _required("ruleset_version", Integer),
    _required("effective_date", Date),
    PrimaryKeyConstraint(*_POSTING.split(), name="posting_pkey"),
    _references(_DOCUMENT, "pipeline.document", "posting_document_fkey"),
    Index(
        "posting_live",
        *_DOCUMENT.split(),
        "name",
        "status",
        unique=True,
        postgresql_where=text("status IN ('PROPOSED', 'POSTED')"),
    ),
    schema=_SCHEMA,
)

proposal = Table(
    "proposal",
    METADATA,
    _required("proposal_id", BigInteger, server_default=Identity(always=True)),
    *_key(),
    _required("name", _KEY_TEXT),
    _required("generation", Integer),
    _required("number", Integer),
    _required("draft", JSONB),
    _required("created_at", _MOMENT),
    Column("decided_at", _MOMENT),
    Column("decided_by", _KEY_TEXT),
    Column("decision", _KEY_TEXT),
    PrimaryKeyConstraint("ledger_id", "proposal_id", name="proposal_pkey"),
    UniqueConstraint(*_POSTING.split(), name="proposal_posting_key"),
    _references(_POSTING, "pipeline.posting", "proposal_posting_fkey"),
    Index("proposal_waiting", "ledger_id", "created_at", postgresql_where=text("decision IS NULL")),
    schema=_SCHEMA,
)
