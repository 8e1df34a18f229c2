"""A company whose documents become entries: a ledger with rules, sources that a test lets speak, and the pipeline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import asyncpg

from sources.caller import Caller
from sources.database.pool import Database
from sources.documents import Deletion, Document, Page
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType, LedgerRef
from sources.ledger.posting import Poster
from sources.ledger.verify import verify
from sources.mirror import state, store
from sources.mirror.settings import SourceSettings
from sources.pipeline import rulesets
from sources.pipeline.model import Key
from sources.pipeline.worker import Counts, Pipeline
from tests.sources.mirror.kit import Kit

CUTOVER = date(2026, 1, 1)
EVERYONE = Caller("tester", frozenset(), None, 0)
CHART = {
    "1000": AccountType.ASSET,
    "1100": AccountType.ASSET,
    "1700": AccountType.LIABILITY,
    "2000": AccountType.LIABILITY,
    "4000": AccountType.REVENUE,
    "4100": AccountType.REVENUE,
    "6000": AccountType.EXPENSE,
    "7000": AccountType.EXPENSE,
}
RULES = """
name = "test"
[accounts]
receivable = "1100"
payable = "2000"
revenue = "{revenue}"
expense = "6000"
tax = "1700"
rounding = "7000"
exchange_gain = "7000"
exchange_loss = "7000"

[[rules]]
name = "sale"
kind = "invoice"
when = {{ direction = "RECEIVABLE", status = ["OPEN", "PAID"] }}
policy = "{policy}"
  [[rules.postings]]
  name = "invoice"
  date = "issue_date"
  description = "Invoice {{number or external_id}}"
  reference = "{{number or external_id}}"
  lines = [
    {{ account = "receivable", debit = "total" }},
    {{ account = "revenue", credit = "subtotal" }},
    {{ account = "tax", credit = "tax" }},
  ]
  [[rules.postings]]
  name = "settled"
  if = "status == 'PAID'"
  date = "due_date or issue_date"
  description = "Settled {{number or external_id}}"
  lines = [
    {{ account = "1000", debit = "total" }},
    {{ account = "receivable", credit = "total" }},
  ]

[[rules]]
name = "bill"
kind = "invoice"
when = {{ direction = "PAYABLE", status = ["OPEN", "PAID"] }}
  [[rules.postings]]
  name = "bill"
  date = "issue_date"
  description = "Bill {{number or external_id}}"
  lines = [
    {{ account = "expense", debit = "subtotal" }},
    {{ account = "tax", debit = "tax" }},
    {{ account = "payable", credit = "total" }},
  ]

[[rules]]
name = "nothing"
kind = "invoice"
when = {{ status = ["VOID", "DRAFT"] }}
postings = []
"""


def rules(revenue: str = "4000", policy: str = "automatic") -> str:
    return RULES.format(revenue=revenue, policy=policy)


def key(external_id: str, source: str = "billing", kind: str = "invoice", account: str = "") -> Key:
    return Key(source, kind, account, external_id)


@dataclass
class Company:
    """One ledger and what feeds it. `source(name)` speaks as the test lets it."""

    database: Database
    poster: Poster
    pipeline: Pipeline
    ledger: LedgerRef
    owner: asyncpg.Connection[Any]
    speaking: asyncpg.Connection[Any]
    post_from: date = CUTOVER
    kit: type[Kit] = field(default=Kit)

    def source(self, name: str = "billing") -> SourceSettings:
        """Names that begin with "billing" are of one account; every other one has an origin of its own."""
        if name.startswith("billing"):
            return Kit.stripe(name=name, ledger=self.ledger.code, post_from=self.post_from)
        kind, options = ("stripe", {}) if name == "stripe" else ("tryton", {"database": name})
        return Kit.stripe(name=name, kind=kind, ledger=self.ledger.code, post_from=self.post_from, options=options)

    async def state(self, *documents: Document, source: str = "billing", gone: Sequence[tuple[str, str]] = ()) -> None:
        """One pull of a source that states these documents, and that others (kind, external id) are gone. It waits for a
        pull of the source that goes on elsewhere, as every pull does."""
        settings, ledgers = self.source(source), {self.ledger.code: self.ledger.ledger_id}
        deletions = [Deletion(kind=kind, external_id=external_id) for kind, external_id in gone]
        await state.lock(self.speaking, source)
        try:
            found = await state.standing(self.speaking, settings, self.ledger.ledger_id)
            run = await store.begin(self.speaking, settings, ledgers, found)
            page = Page(documents=documents, deletions=deletions, cursor="c", complete=True)
            await store.store_page(self.speaking, run, page)
            await store.end(self.speaking, run, None, everything=False)
        finally:
            await state.unlock(self.speaking, source)

    async def look(self) -> Counts:
        """The pipeline, until nothing is due."""
        return await self.pipeline.run_ledger(self.ledger.ledger_id)

    async def use_rules(self, text: str) -> int:
        """Saved and active; answers with their version."""
        async with self.speaking.transaction():
            saved = await rulesets.save(
                self.speaking, self.ledger.ledger_id, text=text, name="test.toml", created_by="tester"
            )
            await rulesets.activate(self.speaking, self.ledger.ledger_id, saved.version)
        return saved.version

    async def lock(self, through: date | None) -> None:
        await administration.lock_periods(self.database, EVERYONE, ledger=self.ledger.code, through=through)

    async def hurry(self) -> None:
        """What waits to be tried again is due."""
        await self.owner.execute("UPDATE pipeline.todo SET not_before = now()")

    async def entries(self) -> list[tuple[str, int | None, str]]:
        """(effective date, what it reverses, description) of each entry in order."""
        rows = await self.owner.fetch(
            "SELECT effective_date::text, reverses, description FROM ledger.entry WHERE ledger_id = $1 ORDER BY sequence",
            self.ledger.ledger_id,
        )
        return [tuple(row) for row in rows]

    async def nets(self) -> dict[str, int]:
        """Net of each account that has one, in minor units."""
        rows = await self.owner.fetch(
            "SELECT code, sum(functional_amount)::bigint FROM ledger.line JOIN ledger.account USING (ledger_id, account_id) "
            "WHERE ledger_id = $1 GROUP BY code HAVING sum(functional_amount) <> 0",
            self.ledger.ledger_id,
        )
        return dict(rows)

    async def statuses(self) -> dict[str, str]:
        """Status by external id."""
        rows = await self.owner.fetch(
            "SELECT external_id, status FROM pipeline.document WHERE ledger_id = $1", self.ledger.ledger_id
        )
        return dict(rows)

    async def issues(self) -> dict[tuple[str, str], bool]:
        """(code, external id) -> whether it is open, of issues about documents."""
        rows = await self.owner.fetch(
            "SELECT code, external_id, closed_at IS NULL FROM mirror.issue WHERE ledger_id = $1 AND kind IS NOT NULL",
            self.ledger.ledger_id,
        )
        return {(row[0], row[1]): row[2] for row in rows}

    async def to_do(self) -> list[str]:
        rows = await self.owner.fetch("SELECT external_id FROM pipeline.todo ORDER BY external_id")
        return [row[0] for row in rows]

    async def findings(self) -> list[str]:
        """What `verify` finds, and entries that are not known as some document's, or twice."""
        async with self.database.snapshot([self.ledger.ledger_id]) as connection:
            found = [finding.message async for finding in verify(connection, self.ledger.code)]
        for statement in (_UNKNOWN, _TWICE, _UNLINKED):
            found += [f"{row[0]}" for row in await self.owner.fetch(statement, self.ledger.ledger_id)]
        return found


_UNKNOWN = """
SELECT 'entry ' || sequence || ' belongs to no posting' FROM ledger.entry
WHERE ledger_id = $1 AND posted_by = 'pipeline' AND NOT EXISTS (
    SELECT FROM pipeline.posting p
    WHERE p.ledger_id = $1 AND (p.sequence = entry.sequence OR p.reversal_sequence = entry.sequence))"""
_TWICE = """
SELECT 'posting ' || external_id || ' ' || name || ' stands twice' FROM pipeline.posting
WHERE ledger_id = $1 AND status = 'POSTED' GROUP BY source, kind, account, external_id, name HAVING count(*) > 1"""
_UNLINKED = """
SELECT 'entry ' || sequence || ' is linked to no document' FROM ledger.entry
WHERE ledger_id = $1 AND posted_by = 'pipeline' AND NOT EXISTS (
    SELECT FROM mirror.document_entry link WHERE link.ledger_id = $1 AND link.sequence = entry.sequence)"""


@asynccontextmanager
async def opened(
    database_url: str, owner_url: str, *, code: str = "acme-us", batch: int = 500, currency: str = "USD"
) -> AsyncIterator[Company]:
    async with Database(database_url, readers=2, writers=4) as database:
        ledger = await administration.create_ledger(
            database, EVERYONE, code=code, name="Acme", functional_currency=currency
        )
        assert isinstance(ledger, LedgerRef)
        accounts = [AccountDraft(code=each, name=each, type=kind) for each, kind in CHART.items()]
        await administration.create_accounts(database, EVERYONE, ledger=code, accounts=accounts)
        poster = Poster(database, queue_limit=20_000)
        owner = await asyncpg.connect(owner_url)
        await owner.execute("SET ledgergraph.ledgers = '*'")
        speaking = await database.connect_direct()
        await state.prepare(speaking)
        try:
            company = Company(database, poster, Pipeline(database, poster, batch=batch), ledger, owner, speaking)
            await company.use_rules(rules())
            yield company
        finally:
            await poster.close()
            await speaking.close()
            await owner.close()


def changed(document: Any, **more: Any) -> Any:
    """Another version of a document."""
    return replace(document, **more)
