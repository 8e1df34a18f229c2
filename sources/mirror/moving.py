"""What was submitted of a source stays where it is when the settings change: only whoever submitted it has it.

Settings that send documents elsewhere than before have what was pulled read anew. Of what was submitted nothing changes for as long as
it lies where the new settings would put it; otherwise the source is held, with an open issue, until the settings are put back or a
person resolves the issue. Then what lies elsewhere counts as deleted, and its entries are reversed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sources.connectors.registry import DOCUMENT_KINDS
from sources.documents import Problem
from sources.mirror import issues
from sources.mirror.settings import SourceSettings

if TYPE_CHECKING:
    from sources.database.pool import Connection

MOVED_CODE: Final = "SUBMITTED_ELSEWHERE"

Place = tuple[int, str]
"""ledger_id, and a bank account's external id, which is empty for documents that are no statements."""


async def places(
    connection: Connection, settings: SourceSettings, ledgers: Mapping[str, int], route: str
) -> Sequence[Place]:
    """Where documents that were submitted are what the settings say. `route`: the one that the source was read under: a source of
    another kind has other documents."""
    if json.loads(route)[0] != settings.kind:
        return []
    accounts = await connection.fetch(_ACCOUNTS, settings.name)
    placed = [(row["ledger_id"], row["external_id"], row["iban"]) for row in accounts]
    return [
        (ledgers[settings.home], ""),
        *((ledger, id_) for ledger, id_, iban in placed if ledgers[settings.ledger_of_account(id_, iban)] == ledger),
    ]


def stays(kind: str, first: int) -> str:
    """A condition in SQL: that the document `held` of a kind was submitted, and lies in one of the places, whose columns are the
    parameters from `first` on."""
    return f"""EXISTS (SELECT FROM mirror.submission sent WHERE sent.ledger_id = held.ledger_id AND sent.source = held.source
    AND sent.kind = '{kind}' AND sent.external_id = held.external_id) AND {_placed(kind, first)}"""


async def held_back(
    connection: Connection, settings: SourceSettings, route: str, well: Sequence[Place], now: datetime
) -> str | None:
    """Why nothing of the source is read or taken: submitted documents lie elsewhere than in `well`. None: there are none, or a
    person has said, after the last of them was submitted, that they count as deleted. Opens the issue, in the ledger that was the
    source's before."""
    found = await connection.fetchrow(_MISPLACED, settings.name, *columns(well))
    assert found is not None
    before = await connection.fetchval(_LEDGER, json.loads(route)[1])
    if not found["count"] or before is None:
        return None
    if await connection.fetchval(_ALLOWED, before, settings.name, MOVED_CODE, found["newest"]):
        return None
    message = (
        f"The settings of the source {settings.name} changed, and {found['count']} documents that were submitted would belong "
        "elsewhere: put kind, ledger and accounts back, or resolve this issue. Then those documents count as deleted, their entries "
        "are reversed, and they are to be submitted anew. Until then nothing of the source is read or taken."
    )
    problem = Problem(subject=settings.name, code=MOVED_CODE, message=message)
    await issues.note(connection, before, settings.name, [problem], now, set())
    await connection.execute(_FAIL, settings.name, now, message)
    return message


async def put_back(connection: Connection, settings: SourceSettings, home_id: int, now: datetime) -> None:
    """The settings are as they were before the source was held."""
    await issues.close_absent(connection, home_id, settings.name, set(), now, [MOVED_CODE])


def columns(well: Sequence[Place]) -> tuple[list[int], list[str]]:
    """As parameters."""
    return [ledger for ledger, _ in well], [account for _, account in well]


def _placed(kind: str, first: int) -> str:
    account = "held.account" if kind == "bank_statement" else "''"
    return f"(held.ledger_id, {account}) IN (SELECT * FROM unnest(${first}::bigint[], ${first + 1}::text[]))"


_ACCOUNTS = "SELECT ledger_id, external_id, iban FROM mirror.bank_account WHERE source = $1"
_LEDGER = "SELECT ledger_id FROM ledger.ledger WHERE code = $1"
_OF_KIND = """
    SELECT sent.submitted_at FROM mirror.submission sent
    JOIN mirror.{kind} held ON held.ledger_id = sent.ledger_id AND held.source = sent.source AND held.external_id = sent.external_id
    WHERE sent.source = $1 AND sent.kind = '{kind}' AND held.deleted_at IS NULL AND NOT {placed}"""
_MISPLACED = f"""
SELECT count(*), max(submitted_at) AS newest FROM (
    {" UNION ALL ".join(_OF_KIND.format(kind=kind, placed=_placed(kind, 2)) for kind in DOCUMENT_KINDS)}
) AS misplaced"""
_ALLOWED = """
SELECT EXISTS (SELECT FROM mirror.issue WHERE ledger_id = $1 AND source = $2 AND code = $3 AND subject = $2 AND resolved_at > $4)"""
_FAIL = """
UPDATE mirror.source_state SET last_attempt_at = $2, last_error = $3, problems = greatest(problems, 1) WHERE source = $1"""
