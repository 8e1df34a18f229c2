"""What a version of the rules would post for stored documents, beside what is posted. Nothing is changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

from sources.database.pool import Database
from sources.errors import NotFound
from sources.mapping.compiled import RuleSet
from sources.mapping.evaluate import map_document
from sources.mapping.facts import facts_of
from sources.mapping.model import MappedPosting, Mapping, Unmapped
from sources.mapping.rates import Rates
from sources.pipeline import documents, planning, taking
from sources.pipeline.documents import Document
from sources.pipeline.model import DocumentStatus, Finding, Key, Past, Posting, Terms
from sources.pipeline.taking import Books

if TYPE_CHECKING:
    from sources.database.pool import Connection

MOST: Final = 1_000
"""Documents of one preview."""


@dataclass(frozen=True, slots=True)
class Change:
    """One posting of a document: what stands (`posted`, None: nothing), and what the rules call for (`mapped`, None: nothing)."""

    name: str
    posted: Posting | None
    mapped: MappedPosting | None

    @property
    def is_equal(self) -> bool:
        return self.posted is not None and self.mapped is not None and self.posted.outcome == self.mapped.outcome()


@dataclass(frozen=True, slots=True)
class Preview:
    """A document under the rules. `status`: what it would be were it posted anew under them. `changes`: every posting that
    stands or is called for; none where the rules cannot map it: what is posted stands then."""

    key: Key
    status: DocumentStatus
    changes: tuple[Change, ...]
    finding: Finding | None = None

    @property
    def is_unchanged(self) -> bool:
        """Re-posting the document under the rules would do nothing."""
        return all(change.is_equal for change in self.changes)


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


async def preview(database: Database, ledger_id: int, rules: RuleSet, keys: Sequence[Key]) -> list[Preview]:
    """Each of at most MOST documents under these rules, in order. Raises NotFound, DatabaseUnavailable."""
    asked = list(dict.fromkeys(keys))[:MOST]
    if not asked:
        return []
    async with _reading(database, ledger_id) as connection:
        books = await taking.read_books(connection, ledger_id)
        if books is None:
            raise NotFound("there is no such ledger")
        found = await documents.load(connection, ledger_id, asked, books.cutovers, books.now.date())
        pasts = await taking.read_pasts(connection, ledger_id, asked)
        await taking.see_reversals(connection, ledger_id, pasts.values())
        missed: set[tuple[str, date]] = set()
        while True:
            stated = list(found.values())
            rates = await taking.read_rates(connection, stated, books.ledger.functional_currency, missed)
            previews = [_preview(books, rules, rates, found[key], pasts[key]) for key in asked]
            if rates.missed <= missed:
                return previews
            missed |= rates.missed


def _preview(books: Books, rules: RuleSet, rates: Rates, document: Document, past: Past) -> Preview:
    key, version = document.version.key, document.version
    if key.source not in books.cutovers:
        return Preview(key, DocumentStatus.NOTHING, ())
    mapping: Mapping = ()
    if document.row is not None and not version.deleted:
        mapping = map_document(rules, facts_of(key.kind, document.row), rates, books.ledger.functional_currency)
    terms = Terms(books.ledger, 0, books.locked_through, books.cutovers)
    live = past.live()
    if isinstance(mapping, Unmapped):
        if planning.is_early(version, terms):
            return Preview(key, DocumentStatus.BEFORE_CUTOVER, ())
        finding = Finding(mapping.code, mapping.message, mapping.hint)
        return Preview(key, DocumentStatus.ISSUE, (), finding)
    wanted = {mapped.name: mapped for mapped in planning.after_cutover(version, mapping, terms)}
    changes = tuple([Change(name, live.get(name), wanted.get(name)) for name in {**wanted, **live}])
    early = DocumentStatus.BEFORE_CUTOVER if len(wanted) < len(mapping) else DocumentStatus.NOTHING
    return Preview(key, DocumentStatus.POSTED if wanted else early, changes)


@asynccontextmanager
async def _reading(database: Database, ledger_id: int) -> AsyncIterator[Connection]:
    """One snapshot that sees the ledger, with dates as dates."""
    async with database.writer() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        await taking.see(connection, ledger_id)
        yield connection


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
