"""What is settled leaves nothing on the accounts that it went through, in the document's currency and in the ledger's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from sources.documents import InvoiceKind
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from sources.pipeline import exchange_sql, rates
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import EVERYONE, Company, opened
from tests.sources.pipeline.settled_histories import Settled

NAMES = {
    "receivable": ("1101", AccountType.ASSET),
    "processor_clearing": ("1200", AccountType.ASSET),
    "bank_clearing": ("1210", AccountType.ASSET),
    "disputes": ("1220", AccountType.ASSET),
    "paid_elsewhere": ("1230", AccountType.ASSET),
    "sales_tax": ("1701", AccountType.LIABILITY),
    "purchase_tax": ("1702", AccountType.LIABILITY),
    "revenue": ("4001", AccountType.REVENUE),
    "processor_fees": ("6100", AccountType.EXPENSE),
    "dispute_losses": ("6110", AccountType.EXPENSE),
    "bad_debt": ("6120", AccountType.EXPENSE),
    "rounding": ("7100", AccountType.EXPENSE),
    "exchange_gain": ("7200", AccountType.EXPENSE),
    "exchange_loss": ("7200", AccountType.EXPENSE),
}
RULES = 'extends = "starter"\n[accounts]\n' + "".join(f'{name} = "{code}"\n' for name, (code, _) in NAMES.items())


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url, batch=7) as found:
        drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in dict(NAMES.values()).items()]
        await administration.create_accounts(found.database, EVERYONE, ledger=found.ledger.code, accounts=drafts)
        await found.use_rules(RULES)
        found.post_from = date(2026, 1, 1)
        yield found


async def nets(company: Company) -> dict[tuple[str, str], tuple[int, int]]:
    """(name, currency) -> what is left in that currency, and in the ledger's; names with nothing in either are left out."""
    rows = await company.owner.fetch(
        "SELECT code, line.currency, sum(amount)::bigint, sum(functional_amount)::bigint FROM ledger.line "
        "JOIN ledger.account USING (ledger_id, account_id) WHERE ledger_id = $1 GROUP BY 1, 2 "
        "HAVING sum(amount) <> 0 OR sum(functional_amount) <> 0",
        company.ledger.ledger_id,
    )
    names = {code: name for name, (code, _) in NAMES.items()}
    return {(names[row[0]], row[1]): (row[2], row[3]) for row in rows}


@pytest.mark.parametrize("seed", range(6))
async def test_what_is_settled_leaves_nothing(company: Company, seed: int) -> None:
    """Partial payments, credit notes, refunds, disputes won and lost, write-offs, payouts, in two currencies and in any order."""
    lived = Settled(seed)
    lived.live(14)
    await rates.set_rates(company.speaking, lived.quotes(), "test")
    for page in lived.pages():
        await company.state(*page)
        await company.look()
    assert await company.to_do() == []
    assert set((await company.statuses()).values()) <= {"POSTED", "NOTHING"}
    assert await company.findings() == []
    left = await nets(company)
    emptied = ("receivable", "processor_clearing", "disputes")
    assert {place: amounts for place, amounts in left.items() if place[0] in emptied} == {}
    assert -sum(booked for (name, _), (_, booked) in left.items() if name == "revenue") == lived.earned
    lost = {currency: stated for (name, currency), (stated, _) in left.items() if name == "dispute_losses"}
    assert lost == lived.lost
    posted = len(await company.entries())
    await company.state(*lived.documents)
    await company.look()
    assert len(await company.entries()) == posted


async def test_credit_notes_of_an_invoice_are_found_by_their_index(company: Company) -> None:
    """Of 5,000 credit notes of other invoices, none is read for an invoice or a payment."""
    credited = Kit.invoice("cn", kind=InvoiceKind.CREDIT_NOTE, currency="EUR", raw={"invoice": "other"})
    await company.state(credited, Kit.invoice("in_1", currency="EUR"), source="sales")
    await company.owner.execute(_COPIES)
    await company.owner.execute("ANALYZE mirror.invoice")
    for key in ("held.external_id", "held.raw ->> 'invoice'"):
        taken = exchange_sql._credited(key, "held.currency").replace("$1", str(company.ledger.ledger_id))
        asked = f"EXPLAIN SELECT {taken} FROM mirror.invoice held WHERE external_id = 'in_1'"
        plan = "\n".join(row[0] for row in await company.owner.fetch(asked))
        assert "Index Scan using invoice_credited" in plan, plan


_COPIES = """
INSERT INTO mirror.invoice SELECT (jsonb_populate_record(NULL::mirror.invoice,
    to_jsonb(held) || jsonb_build_object('external_id', 'cn-' || n, 'raw', jsonb_build_object('invoice', 'in-' || n)))).*
FROM mirror.invoice held CROSS JOIN generate_series(1, 5000) AS n WHERE external_id = 'cn'"""
