"""The company whose bank transactions are matched: its ledger with the built-in rules, and a year that is stated to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.bankbooks import CURRENCY, Books, by_day
from gateway.config import Settings
from gateway.openbooks import books, local_caller
from sources.database.embedded import OWNER_ROLE, EmbeddedPostgres
from sources.database.pool import Database
from sources.documents import BankAccount, BankStatement, Page
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType, ChangeRejected, LedgerRef
from sources.ledger.posting import Poster
from sources.mirror import state, store
from sources.mirror.settings import SourceSettings
from sources.pipeline import rulesets
from sources.pipeline.worker import Pipeline

LEDGER, BANK = "matching", "DE02120300000000202051"
_PAGE = 500
KINDS: Mapping[str, str] = {
    "sales": "tryton",
    "stripe": "stripe",
    "payroll": "xero-payroll",
    "bank": "bank-statements",
}
_ACCOUNTS = """
    receivable payable bank_clearing processor_clearing revenue expense sales_tax purchase_tax wages wages_payable
    payroll_taxes_payable bank_fees write_offs processor_fees bad_debt rounding exchange_gain exchange_loss
"""


@dataclass(slots=True)
class Company:
    """`matched`: documents that matching looked at, in `matching_seconds`; the bank's part of the year took `seconds`."""

    database: Database
    owner: asyncpg.Connection[Any]
    speaking: Any
    pipeline: Pipeline
    ledger: LedgerRef
    matching_seconds: float = 0.0
    matched: int = 0
    seconds: float = 0.0

    async def state(self, source: str, documents: Sequence[Any]) -> None:
        """One pull that states these."""
        settings = SourceSettings(name=source, kind=KINDS[source], ledger=LEDGER, post_from=date(2025, 1, 1))
        await state.lock(self.speaking, source)
        try:
            found = await state.standing(self.speaking, settings, self.ledger.ledger_id)
            run = await store.begin(self.speaking, settings, {LEDGER: self.ledger.ledger_id}, found)
            for start in range(0, len(documents), _PAGE):
                page = Page(
                    documents=documents[start : start + _PAGE], cursor="c", complete=start + _PAGE >= len(documents)
                )
                await store.store_page(self.speaking, run, page)
            await store.end(self.speaking, run, None, everything=False)
        finally:
            await state.unlock(self.speaking, source)

    async def look(self) -> None:
        """The pipeline until nothing is due; what of it is matching is timed."""
        while True:
            begun = time.perf_counter()
            counts = await self.pipeline.run_once(self.ledger.ledger_id)
            if not counts.goes_on:
                return
            if counts.matched:
                self.matching_seconds += time.perf_counter() - begun
                self.matched += counts.matched

    async def live(self, known: Books) -> None:
        """The year: documents, the bank's weekly statements, then the documents that are late."""
        await self.state("sales", known.early)
        await self.state("stripe", known.payouts)
        await self.state("payroll", known.runs)
        await self.look()
        begun = time.perf_counter()
        for number, week in enumerate(by_day(known.known, 7)):
            account = BankAccount(external_id=BANK, currency=CURRENCY, iban=BANK)
            transactions = tuple(each.transaction for each in week)
            statement = BankStatement(
                external_id=f"s{number}", account=account, provisional=False, transactions=transactions
            )
            await self.state("bank", [statement])
            await self.look()
        self.seconds += time.perf_counter() - begun
        await self.state("sales", known.late)
        await self.look()


@asynccontextmanager
async def company(data_dir: Path, *, made: bool = False) -> AsyncIterator[Company]:
    """A ledger with the built-in rules, empty; or the one that was `made` there before."""
    settings = Settings(data_dir=data_dir)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(EmbeddedPostgres(settings.data_dir))
        opened = await stack.enter_async_context(books(settings))
        ledger = (await opened.directory.resolve([LEDGER]))[LEDGER] if made else await _ledger(opened.database)
        owner = await asyncpg.connect(server.dsn(user=OWNER_ROLE))
        stack.push_async_callback(owner.close)
        await owner.execute("SET ledgergraph.ledgers = '*'")
        speaking = await opened.database.connect_direct()
        stack.push_async_callback(speaking.close)
        await state.prepare(speaking)
        poster = Poster(opened.database, queue_limit=20_000)
        stack.push_async_callback(poster.close)
        found = Company(opened.database, owner, speaking, Pipeline(opened.database, poster), ledger)
        if not made:
            await _use_rules(found)
        yield found


async def _ledger(database: Database) -> LedgerRef:
    caller = local_caller(LEDGER)
    ledger = await administration.create_ledger(
        database, caller, code=LEDGER, name="Matching", functional_currency=CURRENCY
    )
    drafts = [AccountDraft(code=name, name=name, type=AccountType.ASSET) for name in (*_ACCOUNTS.split(), "bank")]
    made = await administration.create_accounts(database, caller, ledger=LEDGER, accounts=drafts)
    if isinstance(ledger, ChangeRejected) or isinstance(made, ChangeRejected):
        raise RuntimeError("the benchmark's ledger could not be created")
    return ledger


async def _use_rules(found: Company) -> None:
    accounts = "".join(f'{name} = {{ code = "{name}" }}\n' for name in _ACCOUNTS.split())
    text = f'extends = "starter"\n[accounts]\n{accounts}[tables.bank_accounts]\ndefault = {{ code = "bank" }}\n'
    async with found.speaking.transaction():
        ledger_id = found.ledger.ledger_id
        saved = await rulesets.save(found.speaking, ledger_id, text=text, name="rules.toml", created_by="benchmark")
        await rulesets.activate(found.speaking, ledger_id, saved.version)
