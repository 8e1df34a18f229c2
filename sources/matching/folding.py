"""What is open is brought up to date, as documents, payments and matches change: see `sql/0022_open_items.sql`. What is read is exact
before and after; this makes it cheap to read."""

from __future__ import annotations

from typing import Final

from sources.database.pool import Database
from sources.pipeline import taking

BATCH: Final = 2_000
"""Notes that are taken in one transaction: a tenth of a second or two."""
MOST: Final = 20_000
"""Notes that are taken before other work of the ledger."""


async def fold(database: Database, ledger_id: int) -> int:
    """Takes what is noted of a ledger; answers with how many notes these were, MOST where there may be more. While another process is
    at it, this one has nothing to do. Raises DatabaseUnavailable."""
    done = 0
    async with database.writer() as connection:
        while done < MOST:
            async with connection.transaction():
                await taking.see(connection, ledger_id)
                taken = await connection.fetchval("SELECT matching.fold_open_items($1, $2)", ledger_id, BATCH)
            done += int(taken)
            if taken < BATCH:
                break
    return done
