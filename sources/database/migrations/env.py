"""Alembic's entry: runs the versions on the connection that `sources.database.migrate` hands over, in its transaction."""

from __future__ import annotations

from alembic import context

import sources.ledger.tables
import sources.matching.tables
import sources.mirror.tables
import sources.pipeline.tables
from sources.database.metadata import METADATA, VERSION_SCHEMA, VERSION_TABLE

__all__ = ["sources"]

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=VERSION_TABLE,
    version_table_schema=VERSION_SCHEMA,
    include_schemas=True,
)
with context.begin_transaction():
    context.run_migrations()
