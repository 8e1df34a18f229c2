"""A small ledger for tests, readable as text: `entry(ledger, "rent", debit("6000", "12.50"), credit("1000", "12.50"))`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import asyncpg

from sources.caller import Caller
from sources.database.pool import Database
from sources.ledger import administration
from sources.ledger.model import (
    AccountDraft,
    AccountsSaved,
    AccountType,
    EntryDraft,
    LedgerRef,
    LineDraft,
    Outcome,
    Posted,
    Rejected,
    ReversalDraft,
)
from sources.ledger.posting import Poster

TODAY = date(2026, 3, 15)
EVERYONE = Caller("tester", frozenset(), None, 0)
CHART = {
    "1000": ("Cash", AccountType.ASSET, None),
    "1100": ("Euro cash", AccountType.ASSET, "EUR"),
    "2000": ("Payables", AccountType.LIABILITY, None),
    "4000": ("Sales", AccountType.REVENUE, None),
    "6000": ("Rent", AccountType.EXPENSE, None),
    "7000": ("Exchange differences", AccountType.EXPENSE, None),
}


def debit(
    account: str, amount: str, currency: str | None = None, functional: str | None = None, **more: Any
) -> LineDraft:
    return LineDraft(account=account, debit=amount, currency=currency, functional_amount=functional, **more)


def credit(
    account: str, amount: str, currency: str | None = None, functional: str | None = None, **more: Any
) -> LineDraft:
    return LineDraft(account=account, credit=amount, currency=currency, functional_amount=functional, **more)


def entry(ledger: LedgerRef, key: str, *lines: LineDraft, on: date = TODAY, **more: Any) -> EntryDraft:
    """An entry; without lines: sales of 10.00 in cash."""
    stated: dict[str, Any] = {"description": f"entry {key}", "posted_by": "tester", **more}
    chosen = lines or (debit("1000", "10.00"), credit("4000", "10.00"))
    return EntryDraft(ledger=ledger, idempotency_key=key, effective_date=on, lines=tuple(chosen), **stated)


def reversal(ledger: LedgerRef, key: str, sequence: int, on: date = TODAY, **more: Any) -> ReversalDraft:
    return ReversalDraft(
        ledger=ledger, idempotency_key=key, sequence=sequence, effective_date=on, posted_by="tester", **more
    )


def codes(outcome: Outcome | administration.ChangeRejected) -> list[str]:
    """The codes of a refusal, in order."""
    assert isinstance(outcome, Rejected | administration.ChangeRejected), outcome
    return [reason.code.value for reason in outcome.reasons]


def sequences(outcomes: Sequence[Outcome]) -> list[int]:
    """The sequences of entries that were all posted or replayed."""
    assert all(isinstance(outcome, Posted) for outcome in outcomes), outcomes
    return [outcome.sequence for outcome in outcomes if isinstance(outcome, Posted)]


@dataclass(frozen=True)
class Books:
    """One ledger with a chart, and what posts to it."""

    database: Database
    poster: Poster
    ledger: LedgerRef

    async def post(self, *drafts: EntryDraft | ReversalDraft, atomic: bool = False) -> list[Outcome]:
        return await self.poster.post(drafts, atomic=atomic)

    async def fetch(self, sql: str, *args: Any) -> list[asyncpg.Record]:
        """Rows as the application's role sees this ledger."""
        async with self.database.writer() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL ledgergraph.ledgers = '{self.ledger.ledger_id}'")
            rows: list[asyncpg.Record] = await connection.fetch(sql, *args)
            return rows

    async def nets(self) -> dict[tuple[str, str], tuple[int, int]]:
        """(net, functional net) in minor units of each account and currency, from the stored day balances."""
        rows = await self.fetch(
            "SELECT code, b.currency, sum(debit - credit)::bigint AS net, "
            "sum(functional_debit - functional_credit)::bigint AS functional_net "
            "FROM ledger.balance_day b JOIN ledger.account a USING (ledger_id, account_id) GROUP BY 1, 2"
        )
        return {(row["code"], row["currency"]): (row["net"], row["functional_net"]) for row in rows}

    async def counts(self) -> tuple[int, int]:
        """How many entries and lines there are."""
        rows = await self.fetch("SELECT (SELECT count(*) FROM ledger.entry), (SELECT count(*) FROM ledger.line)")
        return rows[0][0], rows[0][1]


async def create(database: Database, code: str = "acme-us", currency: str = "USD") -> LedgerRef:
    """A ledger with the chart above."""
    ledger = await administration.create_ledger(
        database, EVERYONE, code=code, name="Acme", functional_currency=currency
    )
    assert isinstance(ledger, LedgerRef)
    accounts = [
        AccountDraft(code=account, name=name, type=kind, currency=only) for account, (name, kind, only) in CHART.items()
    ]
    saved = await administration.create_accounts(database, EVERYONE, ledger=code, accounts=accounts)
    assert isinstance(saved, AccountsSaved)
    return ledger


@asynccontextmanager
async def opened(url: str, *, queue_limit: int = 20_000, currency: str = "USD") -> AsyncIterator[Books]:
    async with Database(url) as database:
        ledger = await create(database, currency=currency)
        poster = Poster(database, queue_limit=queue_limit)
        try:
            yield Books(database, poster, ledger)
        finally:
            await poster.close()
