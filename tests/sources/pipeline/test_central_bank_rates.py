"""The European Central Bank's rates, all of one euro, serve a ledger in whichever currency."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from sources.pipeline.rates import load_file
from sources.pipeline.resolving import look_again
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, opened, rules

HISTORY = b"Date,USD,GBP,\n2026-03-11,1.2,N/A,\n2026-03-10,1.1,0.8,\n"


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        await found.use_rules(rules())
        yield found
        assert await found.findings() == []


async def test_pounds_in_a_ledger_of_dollars_go_by_way_of_the_euro(company: Company) -> None:
    """On the latest day on which both are given; until then the document waits, and says for what."""
    await company.state(Kit.invoice(currency="GBP", issue_date=date(2026, 3, 12), subtotal=1000, tax=190, total=1190))
    await company.look()
    assert await company.entries() == []
    message = await company.owner.fetchval("SELECT message FROM mirror.issue WHERE code = 'MISSING_RATE'")
    assert all(word in message for word in ("GBP", "USD", "2026-03-12"))
    await load_file(company.speaking, HISTORY, "eurofxref-hist.csv")
    await look_again(company.database, [company.ledger.ledger_id])
    await company.look()
    assert await company.nets() == {"1100": 1636, "4000": -1375, "1700": -261}
