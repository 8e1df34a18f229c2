"""What a version of the rules would post for stored documents, beside what is posted. Nothing is changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import TYPE_CHECKING, Final

from sources.database.pool import Database
from sources.errors import NotFound
from sources.ledger.model import EntryDraft, Reason
from sources.ledger.reasons import found_by_database
from sources.ledger.rules import check
from sources.mapping.compiled import RuleSet
from sources.mapping.evaluate import map_document
from sources.mapping.facts import facts_of
from sources.mapping.matching_bills import Tolerance
from sources.mapping.model import Mapping
from sources.mapping.rates import Rates
from sources.pipeline import documents, holds, settling, taking
from sources.pipeline.model import DocumentStatus, Finding, Key, Plan, Terms
from sources.pipeline.recording import FAILED_CODE
from sources.pipeline.taking import Batch, Books, Work
from sources.pipeline.todo import Taken
from sources.pipeline.verdicts import Change, Preview, Verdict, refused, verdict_of

if TYPE_CHECKING:
    from sources.database.pool import Connection

__all__ = ["Change", "Claims", "Preview", "Verdict", "list_keys", "posting_sources", "preview"]

MOST: Final = 1_000
"""Documents of one preview."""
_PIECE: Final = 25
_FAILED_HINT: Final = "The log of the process says more; correct the rules or the document."
_log = logging.getLogger(__name__)

Claims = dict[bytes, list[Key]]


async def posting_sources(database: Database, ledger_id: int) -> list[str]:
    """Names of the sources that post, to whichever ledger, sorted. Raises NotFound."""
    async with _reading(database, ledger_id) as connection:
        books = await taking.read_books(connection, ledger_id)
    if books is None:
        raise NotFound("there is no such ledger")
    return sorted(books.cutovers)


async def list_keys(
    database: Database,
    ledger_id: int,
    *,
    source: str | None = None,
    kind: str | None = None,
    after: Key | None = None,
    first: int = 100,
) -> list[Key]:
    """Stored documents of sources that post, deleted ones too, in order of kind, source, account and external id."""
    async with _reading(database, ledger_id) as connection:
        begin = (after.kind, after.source, after.account, after.external_id) if after else ("", "", "", "")
        rows = await connection.fetch(_KEYS, ledger_id, source, kind, *begin, min(first, MOST))
    return [Key(row["source"], row["kind"], row["account"], row["external_id"]) for row in rows]


async def preview(
    database: Database, ledger_id: int, rules: RuleSet, keys: Sequence[Key], claims: Claims | None = None
) -> list[Preview]:
    """Each of at most MOST documents under these rules, in order, as if it were posted anew by them. `claims`: bills that documents
    before these would post; those of these come to it. Raises NotFound, DatabaseUnavailable."""
    asked = list(dict.fromkeys(keys))[:MOST]
    if not asked:
        return []
    async with _reading(database, ledger_id) as connection:
        books = await taking.read_books(connection, ledger_id)
        if books is None:
            raise NotFound("there is no such ledger")
        batch = await _batch(connection, books, asked)
        mappings = await _map(connection, books, rules, batch)
        before = {} if claims is None else claims
        for bill, keys_of_it in before.items():
            batch.claimed.setdefault(bill, []).extend(keys_of_it)
        found = [_judge(books, batch, work, mappings[work.key], rules.tolerance, before) for work in batch.work]
        return await _checked(connection, books, found)


async def _batch(connection: Connection, books: Books, keys: Sequence[Key]) -> Batch:
    ledger_id = books.ledger.ledger_id
    found = await documents.load(connection, ledger_id, keys, books.cutovers, books.today)
    pasts = await taking.read_pasts(connection, ledger_id, keys)
    await taking.see_reversals(connection, ledger_id, pasts.values())
    for past in pasts.values():
        past.digest = None
    batch = Batch([Work(Taken(key, 0, books.now, 0), found[key], pasts[key]) for key in keys])
    await taking.read_holds(connection, ledger_id, batch)
    return batch


async def _map(connection: Connection, books: Books, rules: RuleSet, batch: Batch) -> dict[Key, Mapping | Finding]:
    """What each document calls for; again while the books hold rates of days that rules compute."""
    missed: set[tuple[str, date]] = set()
    stated = [work.document for work in batch.work]
    while True:
        rates = await taking.read_rates(connection, stated, books.ledger.functional_currency, missed)
        mappings: dict[Key, Mapping | Finding] = {}
        for number, work in enumerate(batch.work):
            mappings[work.key] = _mapping(books, rules, rates, work)
            if number % _PIECE == _PIECE - 1:
                await asyncio.sleep(0)
        if rates.missed <= missed:
            return mappings
        missed |= rates.missed


def _mapping(books: Books, rules: RuleSet, rates: Rates, work: Work) -> Mapping | Finding:
    document = work.document
    if document.row is None or document.version.deleted or work.key.source not in books.cutovers:
        return ()
    try:
        return map_document(rules, facts_of(work.key.kind, document.row), rates, books.ledger.functional_currency)
    except Exception as fault:
        _log.exception("the %s %s of %s could not be mapped", work.key.kind, work.key.external_id, work.key.source)
        return Finding(FAILED_CODE, f"Mapping it failed: {type(fault).__name__}.", _FAILED_HINT)


def _judge(
    books: Books, batch: Batch, work: Work, mapping: Mapping | Finding, tolerance: Tolerance, claims: Claims
) -> tuple[Preview, Plan | None]:
    if isinstance(mapping, Finding):
        return Preview(work.key, Verdict.ISSUE, (), mapping), None
    if work.key.source not in books.cutovers:
        return Preview(work.key, Verdict.NOTHING), None
    terms = Terms(books.ledger, 0, books.locked_through, books.cutovers)
    duplicate, mismatch = holds.duplicate(work, batch), holds.mismatch(work, tolerance)
    found, plan = verdict_of(work.document.version, work.past, mapping, terms, duplicate, mismatch)
    if plan.status in (DocumentStatus.POSTED, DocumentStatus.PROPOSED):
        holds.claim(work, batch)
        if bill := work.document.bill:
            claims.setdefault(bill, []).append(work.key)
    return found, plan


async def _checked(connection: Connection, books: Books, found: Sequence[tuple[Preview, Plan | None]]) -> list[Preview]:
    """The previews, with what the ledger would refuse: by its rules for entries, and by its accounts."""
    codes = {line.account for _, plan in found if plan for made in plan.make for line in made.draft.lines}
    rows = await connection.fetch(_ACCOUNTS, books.ledger.ledger_id, list(codes)) if codes else []
    accounts = {row["code"]: (row["active"], row["currency"]) for row in rows}
    checked = []
    for shown, plan in found:
        reasons = [reason for made in (plan.make if plan else ()) for reason in _refusals(made.draft, accounts)]
        finding = settling.finding_of(reasons)
        checked.append(refused(shown, finding) if finding else shown)
    return checked


def _refusals(draft: EntryDraft, accounts: dict[str, tuple[bool, str | None]]) -> list[Reason]:
    reasons = list(check(draft)[1])
    for number, line in enumerate(draft.lines, 1):
        active, currency = accounts.get(line.account, (None, None))
        code = "UNKNOWN_ACCOUNT" if active is None else "INACTIVE_ACCOUNT" if not active else None
        if code is None and currency is not None and currency != line.currency:
            code = "CURRENCY_MISMATCH"
        if code is not None:
            reasons.append(found_by_database(draft, {"code": code, "line": number, "detail": currency}))
    return reasons


@asynccontextmanager
async def _reading(database: Database, ledger_id: int) -> AsyncIterator[Connection]:
    """One snapshot that sees the ledger, with dates as dates."""
    async with database.writer() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await taking.see(connection, ledger_id)
        yield connection


_ACCOUNTS = "SELECT code, active, currency FROM ledger.account WHERE ledger_id = $1 AND code = ANY($2::text[])"
_STORED = "\n    UNION ALL\n".join(
    f"    SELECT '{kind}' AS kind, source, {account} AS account, external_id FROM mirror.{kind} WHERE ledger_id = $1{more}"
    for kind, account, more in (
        ("invoice", "''", ""),
        ("payment", "''", ""),
        ("payroll_run", "''", ""),
        ("bank_transaction", "account", " AND NOT provisional"),
    )
)
_KEYS = f"""
SELECT DISTINCT kind COLLATE "C" AS kind, source, account COLLATE "C" AS account, external_id FROM (
{_STORED}
) AS held
WHERE ($2::text IS NULL OR source = $2) AND ($3::text IS NULL OR kind = $3)
    AND (kind COLLATE "C", source, account COLLATE "C", external_id) > ($4, $5, $6, $7)
    AND source IN (SELECT source FROM mirror.source_state WHERE post_from IS NOT NULL)
ORDER BY 1, 2, 3, 4
LIMIT $8"""
