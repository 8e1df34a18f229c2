"""One bank account from two sources (a folder under another name and path, camt.053 beside MT940): what one source has posted of
an account's day, no other one posts.

An account is known by its IBAN, else by what its bank calls it; their transactions have ids of the source's own, which tell nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, NamedTuple

from sources.mirror.told_twice import identity
from sources.pipeline.model import Finding, Key

if TYPE_CHECKING:
    from sources.database.pool import Connection
    from sources.pipeline.documents import Document

_HINT = (
    "Let one source alone post the account: take post_from from the other one, or set it to a day after what this one posted. If it "
    "is another transaction, resolve this issue: then it posts."
)


class BankDay(NamedTuple):
    """A day of a bank account in one currency, whichever source tells of it."""

    account: str
    currency: str
    on: date


def duplicate(key: Key, days: Mapping[Key, BankDay], posted: Mapping[BankDay, set[str]]) -> Finding | None:
    """Why a transaction waits: another source has posted its day, or is to."""
    day = days.get(key)
    others = posted.get(day, set()) - {key.source} if day is not None else set()
    if day is None or not others:
        return None
    message = f"The source {min(others)} has posted transactions of the same bank account of {day.on}, or is to."
    return Finding("POSSIBLE_DUPLICATE", message, _HINT)


async def read(
    connection: Connection, ledger_id: int, found: Sequence[Document]
) -> tuple[dict[Key, BankDay], dict[BankDay, set[str]]]:
    """The day of each bank transaction among these, and the other sources that have posted such a day."""
    asked = {
        (each.version.key.source, each.version.key.account, each.row["currency"], each.version.dated)
        for each in found
        if each.row is not None and each.version.key.kind == "bank_transaction" and each.version.dated is not None
    }
    if not asked:
        return {}, {}
    days: dict[tuple[str, str, str, date | None], BankDay] = {}
    posted: dict[BankDay, set[str]] = {}
    columns = [list(column) for column in zip(*sorted(asked), strict=True)]
    for row in await connection.fetch(_POSTED, ledger_id, *columns):
        day = BankDay(row["identity"], row["currency"], row["day"])
        days[row["source"], row["account"], row["currency"], row["day"]] = day
        posted.setdefault(day, set()).update(row["others"])
    of_documents = {}
    for each in found:
        key, row = each.version.key, each.row
        if row is not None and (of := days.get((key.source, key.account, row["currency"], each.version.dated))):
            of_documents[key] = of
    return of_documents, posted


# LIMIT keeps the planner from a join over a prefix of the postings' key.
_POSTED = f"""
SELECT asked.*, {identity("own")} AS identity, ARRAY(
    SELECT other.source FROM mirror.bank_account other
    WHERE other.ledger_id = $1 AND other.source <> asked.source AND {identity("other")} = {identity("own")} AND EXISTS (
        SELECT FROM mirror.bank_transaction t
        WHERE t.ledger_id = $1 AND t.source = other.source AND t.account = other.external_id AND t.currency = asked.currency
            AND t.visible AND t.status = 'BOOKED' AND t.dated_on = asked.day AND (
                SELECT 1 FROM pipeline.posting p
                WHERE p.ledger_id = $1 AND p.source = t.source AND p.kind = 'bank_transaction' AND p.account = t.account
                    AND p.external_id = t.external_id AND p.status = 'POSTED' LIMIT 1) IS NOT NULL)
) AS others
FROM unnest($2::text[], $3::text[], $4::text[], $5::date[]) AS asked (source, account, currency, day)
JOIN mirror.bank_account own ON own.ledger_id = $1 AND own.source = asked.source AND own.external_id = asked.account"""
