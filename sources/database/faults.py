"""What may be logged of a driver's errors: what they quote of rows and arguments may be somebody's name, or pay."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

import asyncpg

_OF_VALUES = "22"
"""The class of SQLSTATE whose messages quote a value: https://www.postgresql.org/docs/current/errcodes-appendix.html. The driver
gives it to what it finds wrong with an argument, too."""


def without_values(error: BaseException) -> str:
    """An error's message; of the database's own without rows and values, with the table and constraint instead."""
    if not isinstance(error, asyncpg.PostgresError):
        return str(error)
    code, place = error.sqlstate or "", (error.schema_name, error.table_name, error.column_name, error.constraint_name)
    said = "a value is not what it must be" if code.startswith(_OF_VALUES) else str(error.args[0] if error.args else "")
    return " ".join([said, f"(SQLSTATE {code})", *[name for name in place if name]])


def traceback_without_values(error: BaseException) -> str:
    """As Python prints it, with messages as `without_values` gives them: of what it was raised from, too."""
    text = "".join(traceback.format_exception(error))
    for each in _chain(error, set()):
        if isinstance(each, asyncpg.PostgresError) and str(each):
            text = text.replace(str(each), without_values(each))
    return text


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    for other in (error.__cause__, error.__context__, *getattr(error, "exceptions", ())):
        yield from _chain(other, seen)
