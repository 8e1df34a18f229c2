"""What people say about issues of a ledger: resolved, muted, or that what they wait for is there now. One transaction each.

Wake the pipeline afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sources.database.pool import Database
from sources.mirror import issues
from sources.mirror.issues import IssueKey
from sources.pipeline import todo
from sources.pipeline.model import DocumentStatus, Key
from sources.pipeline.taking import see


async def resolve_issue(database: Database, ledger_id: int, issue: IssueKey, *, by: str, note: str | None) -> None:
    """Closes an open issue in a person's name; its document is looked at again. Raises NotFound, DatabaseUnavailable."""
    async with database.writer() as connection, connection.transaction():
        await see(connection, ledger_id)
        document = await issues.resolve(connection, ledger_id, issue, by, note, datetime.now(UTC))
        if document is not None:
            await todo.add(connection, ledger_id, [Key(*document)])


async def mute_issue(
    database: Database, ledger_id: int, issue: IssueKey, *, until: datetime | None, note: str | None
) -> None:
    """See `sources.mirror.issues.mute`. Raises NotFound, DatabaseUnavailable."""
    async with database.writer() as connection, connection.transaction():
        await see(connection, ledger_id)
        await issues.mute(connection, ledger_id, issue, until, note)


async def look_again(database: Database, ledger_ids: Iterable[int]) -> int:
    """Every document of these ledgers that could not be dealt with is tried again at once; answers with their number. Raises
    DatabaseUnavailable."""
    count = 0
    for ledger_id in ledger_ids:
        async with database.writer() as connection, connection.transaction():
            await see(connection, ledger_id)
            count += await todo.add_where(connection, ledger_id, [DocumentStatus.ISSUE])
    return count
