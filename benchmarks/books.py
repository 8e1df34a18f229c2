"""The seeded books that every contestant works on: a chart, some years of entries, and entries to post."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from gateway.openbooks import Books, local_caller
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType, ChangeRejected, EntryDraft, LedgerRef, LineDraft, Posted

LEDGER = "bench"
SEED = 20_261_122
FIRST_DAY = date(2024, 1, 1)
DAYS = 730
PAST_DAY = date(2025, 8, 20)
"""In the midst of a month, so that a balance at it needs month rows and day rows."""
POSTING_DAY = date(2026, 1, 15)
HOT_ACCOUNTS = 2
_BATCH = 500


def codes(accounts: int) -> list[str]:
    return [str(1000 + number) for number in range(accounts)]


def entry(ledger: LedgerRef, key: str, day: date, chance: random.Random, accounts: Sequence[str]) -> EntryDraft:
    """Two to six lines, the last of which balances the others; one entry in ten is in EUR at 1.25 USD."""
    abroad = chance.random() < 0.1
    amounts = [chance.randint(25, 250_000) * 4 for _ in range(chance.randint(1, 5))]
    lines = [_line(chance, accounts, amount, abroad) for amount in [*amounts, -sum(amounts)]]
    return EntryDraft(
        ledger=ledger,
        idempotency_key=key,
        effective_date=day,
        journal=chance.choice(("SALES", "PURCHASES", "BANK")),
        description=f"Invoice {chance.randint(10_000, 99_999)} of customer {chance.randint(1, 900)}",
        reference=f"R-{chance.randint(1, 999_999)}",
        lines=tuple(lines),
        posted_by=LEDGER,
    )


def _line(chance: random.Random, accounts: Sequence[str], minor: int, abroad: bool) -> LineDraft:
    amount = _decimal(abs(minor))
    return LineDraft(
        account=chance.choice(accounts),
        debit=amount if minor > 0 else None,
        credit=amount if minor < 0 else None,
        currency="EUR" if abroad else None,
        functional_amount=_decimal(abs(minor) * 5 // 4) if abroad else None,
        dimensions=(("department", chance.choice(("north", "south", "online"))),),
    )


def _decimal(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def as_input(draft: EntryDraft) -> dict[str, Any]:
    """The entry as a client states it: a PostEntryInput."""
    return {
        "ledger": draft.ledger.code,
        "idempotencyKey": draft.idempotency_key,
        "effectiveDate": draft.effective_date.isoformat(),
        "journal": draft.journal,
        "description": draft.description,
        "reference": draft.reference,
        "lines": [
            {
                "account": line.account,
                "debit": line.debit,
                "credit": line.credit,
                "currency": line.currency,
                "functionalAmount": line.functional_amount,
                "dimensions": [{"name": name, "value": value} for name, value in line.dimensions],
            }
            for line in draft.lines
        ],
    }


async def seed(opened: Books, accounts: int, entries: int, progress: Callable[[int], None]) -> LedgerRef:
    """Creates the ledger with its chart and posts the entries; `progress` is told how many were posted each time."""
    ledger = await _create(opened, accounts)
    for batch in _batches(ledger, accounts, entries):
        outcomes = await opened.poster.post(batch)
        refused = [outcome for outcome in outcomes if not isinstance(outcome, Posted)]
        if refused:
            raise RuntimeError(f"a seeded entry was refused: {refused[0]}")
        progress(len(batch))
    return ledger


async def _create(opened: Books, accounts: int) -> LedgerRef:
    caller, kinds = local_caller(LEDGER), list(AccountType)
    ledger = await administration.create_ledger(
        opened.database, caller, code=LEDGER, name="Benchmark", functional_currency="USD"
    )
    chart = [
        AccountDraft(code=code, name=f"Account {code}", type=kinds[number * len(kinds) // accounts])
        for number, code in enumerate(codes(accounts))
    ]
    saved = await administration.create_accounts(opened.database, caller, ledger=LEDGER, accounts=chart)
    if isinstance(ledger, ChangeRejected) or isinstance(saved, ChangeRejected):
        raise RuntimeError(f"the benchmark's ledger could not be created: {ledger}, {saved}")
    return ledger


def _batches(ledger: LedgerRef, accounts: int, entries: int) -> Iterator[list[EntryDraft]]:
    chance, chart = random.Random(SEED), codes(accounts)
    for start in range(0, entries, _BATCH):
        yield [
            entry(ledger, f"seed-{number}", FIRST_DAY + timedelta(days=number * DAYS // entries), chance, chart)
            for number in range(start, min(start + _BATCH, entries))
        ]
