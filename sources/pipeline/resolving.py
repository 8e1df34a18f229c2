"""What people say about issues of a ledger: resolved, muted, or that what they wait for is there now. One transaction each.

Wake the pipeline afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from sources.database.pool import Database
from sources.ledger.model import RejectionCode
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


async def look_at_accounts_again(database: Database, ledger_id: int) -> int:
    """Documents that the ledger would not have because of an account are tried again at once: its chart has changed. Answers with
    their number. Raises DatabaseUnavailable."""
    async with database.writer() as connection, connection.transaction():
        await see(connection, ledger_id)
        waiting = await connection.fetch(_OF_ACCOUNTS, ledger_id, _ACCOUNT_CODES)
        return await todo.add(connection, ledger_id, (Key(*row) for row in waiting))


_ACCOUNT_CODES = [RejectionCode.UNKNOWN_ACCOUNT, RejectionCode.INACTIVE_ACCOUNT, RejectionCode.CURRENCY_MISMATCH]
_OF_ACCOUNTS = """
SELECT source, kind, account, external_id FROM mirror.issue
WHERE ledger_id = $1 AND code = ANY ($2::text[]) AND closed_at IS NULL AND kind IS NOT NULL"""
