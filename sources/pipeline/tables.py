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
from sources.database.columns import KEY_TEXT, MOMENT, references, required
from sources.database.metadata import METADATA

__all__ = ["sources"]

_SCHEMA = "pipeline"
_DOCUMENT = "ledger_id source kind account external_id"
_POSTING = f"{_DOCUMENT} name generation number"


def _key() -> tuple[Column[Any], ...]:
    """The columns that name a document."""
    return (
        required("ledger_id", BigInteger),
        required("source", KEY_TEXT),
        required("kind", KEY_TEXT),
        required("account", KEY_TEXT, server_default=text("''::text")),
        required("external_id", KEY_TEXT),
    )


ruleset = Table(
    "ruleset",
    METADATA,
    required("ledger_id", BigInteger),
    required("version", Integer),
    required("name", Text),
    required("text", Text),
    required("digest", LargeBinary),
    required("created_at", MOMENT),
    required("created_by", KEY_TEXT),
    required("active", Boolean, server_default=text("false")),
    Column("starter", Text),
    required("told", Boolean, server_default=text("false")),
    PrimaryKeyConstraint("ledger_id", "version", name="ruleset_pkey"),
    UniqueConstraint("ledger_id", "digest", name="ruleset_digest_key"),
    references("ledger_id", "ledger.ledger", "ledger_id", "ruleset_ledger_fkey"),
    Index("ruleset_active", "ledger_id", unique=True, postgresql_where=text("active")),
    schema="mapping",
)

todo = Table(
    "todo",
    METADATA,
    *_key(),
    required("change", BigInteger, server_default=Identity(always=True)),
    required("gone", Boolean, server_default=text("false")),
    required("since", MOMENT),
    required("attempts", Integer, server_default=text("0")),
    required("not_before", MOMENT),
    PrimaryKeyConstraint(*_DOCUMENT.split(), name="todo_pkey"),
    *[
        Index(
            f"todo_{name}",
            "ledger_id",
            "not_before",
            "change",
            postgresql_where=text(f"NOT gone AND attempts {attempts}"),
        )
        for name, attempts in (("fresh", "= 0"), ("again", "> 0"))
    ],
    Index("todo_gone", "ledger_id", "source", "not_before", "change", postgresql_where=text("gone")),
    schema=_SCHEMA,
)

document = Table(
    "document",
    METADATA,
    *_key(),
    required("status", KEY_TEXT),
    Column("rule", KEY_TEXT),
    Column("ruleset_version", Integer),
    Column("content_hash", LargeBinary),
    required("generation", Integer, server_default=text("1")),
    Column("bill_key", LargeBinary),
    required("processed_at", MOMENT),
    PrimaryKeyConstraint(*_DOCUMENT.split(), name="document_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "document_ledger_fkey"),
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
    required("name", KEY_TEXT),
    required("generation", Integer),
    required("number", Integer),
    required("outcome", LargeBinary),
    required("status", KEY_TEXT),
    Column("sequence", BigInteger),
    Column("reversal_sequence", BigInteger),
    required("rule", KEY_TEXT),
    required("ruleset_version", Integer),
    required("effective_date", Date),
    Column("substance", LargeBinary),
    PrimaryKeyConstraint(*_POSTING.split(), name="posting_pkey"),
    references(_DOCUMENT, "pipeline.document", _DOCUMENT, "posting_document_fkey"),
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

watch = Table(
    "watch",
    METADATA,
    required("ledger_id", BigInteger),
    required("sequence", BigInteger),
    PrimaryKeyConstraint("ledger_id", name="watch_pkey"),
    references("ledger_id", "ledger.ledger", "ledger_id", "watch_ledger_fkey"),
    schema=_SCHEMA,
)

proposal = Table(
    "proposal",
    METADATA,
    required("proposal_id", BigInteger, server_default=Identity(always=True)),
    *_key(),
    required("name", KEY_TEXT),
    required("generation", Integer),
    required("number", Integer),
    required("draft", JSONB),
    required("created_at", MOMENT),
    Column("decided_at", MOMENT),
    Column("decided_by", KEY_TEXT),
    Column("decision", KEY_TEXT),
    PrimaryKeyConstraint("ledger_id", "proposal_id", name="proposal_pkey"),
    UniqueConstraint(*_POSTING.split(), name="proposal_posting_key"),
    references(_POSTING, "pipeline.posting", _POSTING, "proposal_posting_fkey"),
    Index("proposal_waiting", "ledger_id", "proposal_id", postgresql_where=text("decision IS NULL")),
    schema=_SCHEMA,
)
