"""Entries of documents that a person reversed, restored by reversing that, or asked for again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest

from sources.documents import InvoiceStatus
from sources.ledger.model import Posted, ReversalDraft
from sources.mapping.rules import load
from sources.pipeline.preview import preview
from sources.pipeline.reposting import repost
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened, rules

INVOICE = Kit.invoice("in_1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)
CHANGED = changed(INVOICE, subtotal=500, total=690)


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        await found.state(INVOICE)
        await found.look()
        yield found
        assert (await found.issues(), await found.findings()) == ({}, [])


async def reverse(company: Company, *sequences: int) -> None:
    for sequence in sequences:
        draft = ReversalDraft(
            ledger=company.ledger,
            idempotency_key=f"hand {sequence}",
            sequence=sequence,
            effective_date=date(2026, 3, 20),
            posted_by="ann",
        )
        assert isinstance((await company.poster.post([draft]))[0], Posted)


@pytest.mark.parametrize("again", [0, 1, 2, 3])
async def test_a_chain_of_reversals_leaves_one_effect(company: Company, again: int) -> None:
    """Each second reversal restores the entry: then the last one is reversed in its place, and nothing stands twice."""
    await reverse(company, *range(1, 2 + again))
    await company.state(CHANGED)
    await company.look()
    assert (await company.nets())["1100"] == 690
    await company.state(changed(CHANGED, status=InvoiceStatus.VOID))
    await company.look()
    assert await company.nets() == {}


async def test_what_stands_again_is_reversed_where_it_was_restored(company: Company) -> None:
    await reverse(company, 1, 2)
    await company.state(changed(INVOICE, status=InvoiceStatus.PAID))
    await company.look()
    assert await company.nets() == {"1000": 1190, "4000": -1000, "1700": -190}
    await company.state(CHANGED)
    await company.look()
    undone = [(day, reverses) for day, reverses, _ in await company.entries() if reverses is not None]
    assert undone[2] == ("2026-03-20", 3)
    assert (await company.nets())["1100"] == 690


async def test_what_stands_again_is_not_posted_before_its_period_is_open(company: Company) -> None:
    await reverse(company, 1, 2)
    await company.lock(date(2026, 3, 31))
    await company.state(CHANGED)
    await company.look()
    assert [(day, reverses) for day, reverses, _ in await company.entries()][3:] == [
        ("2026-04-01", 3),
        ("2026-04-01", None),
    ]
    assert (await company.nets())["1100"] == 690


@pytest.mark.parametrize("reversals", [0, 1, 2, 3])
async def test_reposting_brings_back_what_was_reversed_by_hand(company: Company, reversals: int) -> None:
    await reverse(company, *range(1, 1 + reversals))
    ledger_id, keys = company.ledger.ledger_id, [key("in_1")]
    (seen,) = await preview(company.database, ledger_id, load(rules()), keys)
    assert seen.is_unchanged == (reversals % 2 == 0)
    for _ in range(2):
        await repost(company.database, ledger_id, keys)
        await company.look()
        assert (await company.nets())["1100"] == 1190
        assert len(await company.entries()) == 1 + reversals + reversals % 2
    await company.state(CHANGED)
    await company.look()
    assert (await company.nets())["1100"] == 690


async def test_reposting_under_other_rules_after_a_restoration(company: Company) -> None:
    await reverse(company, 1, 2)
    await company.use_rules(rules(revenue="4100"))
    await repost(company.database, company.ledger.ledger_id, [key("in_1")])
    await company.look()
    assert await company.nets() == {"1100": 1190, "4100": -1000, "1700": -190}
