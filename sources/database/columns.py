"""The words in which tables are told to SQLAlchemy Core: columns, and foreign keys by their names."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, DateTime, ForeignKeyConstraint, Text

KEY_TEXT: Final = Text(collation="C")
"""Text in order of its bytes: what keys and orders are made of."""
MOMENT: Final = DateTime(timezone=True)


def required(name: str, kind: Any, **more: Any) -> Column[Any]:
    """A column that is never null."""
    return Column(name, kind, nullable=False, **more)


def references(columns: str, table: str, referred: str, name: str) -> ForeignKeyConstraint:
    """Columns, by their names with blanks between, that name a row of `table` (with its schema) by its `referred` ones."""
    return ForeignKeyConstraint(columns.split(), [f"{table}.{column}" for column in referred.split()], name=name)
