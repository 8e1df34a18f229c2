"""The one MetaData that every table of the database belongs to: schemas `ledger`, `mirror`, `mapping` and `pipeline`."""

from __future__ import annotations

from sqlalchemy import MetaData

METADATA = MetaData()

VERSION_SCHEMA = "ledger"
VERSION_TABLE = "schema_version"
"""Where Alembic keeps the database's revision; readable by the application role."""

APP_ROLE = "ledgergraph_app"
"""The role of every gateway connection: reads under row-level security, writes through functions alone."""
