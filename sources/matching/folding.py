"""What is open is brought up to date, as documents, payments and matches change: see `sql/0022_open_items.sql`. What is read is exact
before and after; this makes it cheap to read. See `sql/0028_open_in_books.sql` for what the books have of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sources.database.pool import Database
from sources.mapping.standing import Standing
from sources.pipeline import taking
from sources.pipeline.model import Key

if TYPE_CHECKING:
    from sources.database.pool import Connection

CONTROL: Final = {"RECEIVABLE": "receivable", "PAYABLE": "payable"}
"""By direction, the name that rules give to the control account."""

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


async def keep_control_accounts(connection: Connection, ledger_id: int, standing: Standing | None) -> None:
    """Takes the control accounts from the active rules: what the books have of each invoice is on these. In the caller's transaction,
    which sees the ledger."""
    pairs = [(code, side) for side, name in CONTROL.items() for code in (standing.codes(name) if standing else ())]
    codes, sides = [code for code, _ in pairs], [side for _, side in pairs]
    await connection.execute("SELECT matching.keep_control_accounts($1, $2, $3)", ledger_id, codes, sides)


async def note_booked(connection: Connection, ledger_id: int, keys: Sequence[Key]) -> None:
    """Entries of these documents were reversed, or brought back, without anything being recorded of them."""
    if keys:
        ledgers = [ledger_id] * len(keys)
        await connection.execute("SELECT matching.note_booked($1, $2, $3, $4, $5)", ledgers, *taking.columns_of(keys))
