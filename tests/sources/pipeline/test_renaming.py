"""A source under another name does not book its documents a second time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date

import pytest

from sources.mirror.issues import IssueKey
from sources.pipeline.resolving import resolve_issue
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, opened
from tests.sources.pipeline.fragile import Crash, Fuse, fragile

INVOICE = Kit.invoice()
ISSUE = IssueKey("billing2", "SOURCE_RENAMED", "billing2")


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        await found.state(INVOICE)
        await found.look()
        yield found


async def receivable(company: Company) -> int:
    await company.look()
    return (await company.nets())["1100"]


async def open_issues(company: Company) -> list[str]:
    rows = await company.owner.fetch("SELECT code, message FROM mirror.issue WHERE closed_at IS NULL")
    assert all("the source billing." in row["message"] for row in rows)
    return [row["code"] for row in rows]


async def test_another_name_is_mirrored_until_a_person_says_that_it_is_another_source(company: Company) -> None:
    for _ in range(2):
        await company.state(INVOICE, source="billing2")
        assert await receivable(company) == 1190
        assert await open_issues(company) == ["SOURCE_RENAMED"]
    await resolve_issue(company.database, company.ledger.ledger_id, ISSUE, by="ann", note=None)
    await company.state(source="billing2")
    assert await receivable(company) == 2380
    assert await open_issues(company) == []


async def test_another_name_posts_from_a_day_after_what_the_old_one_posted(company: Company) -> None:
    await company.state(INVOICE, source="billing2")
    company.post_from = date(2026, 3, 2)
    await company.state(Kit.invoice("in_2", issue_date=date(2026, 3, 2)), source="billing2")
    assert await receivable(company) == 2380
    assert await open_issues(company) == []


async def test_another_name_before_anything_posted_waits_for_what_the_old_one_is_about_to_post(
    database_url: str, owner_url: str
) -> None:
    async with opened(database_url, owner_url) as company:
        await company.state(INVOICE)
        await company.state(INVOICE, source="billing2")
        assert await open_issues(company) == ["SOURCE_RENAMED"]
        assert await receivable(company) == 1190


async def test_another_name_waits_while_a_run_that_died_is_not_recorded(database_url: str, owner_url: str) -> None:
    async with opened(database_url, owner_url) as company:
        await company.state(INVOICE)
        await dies_after_posting(company)
        await company.state(INVOICE, source="billing2")
        assert await open_issues(company) == ["SOURCE_RENAMED"]
        assert await receivable(company) == 1190


async def dies_after_posting(company: Company) -> None:
    """In the first step in which an entry is in the books that nothing is recorded of."""
    for steps in range(100):
        with contextlib.suppress(Crash):
            await fragile(company.database, company.poster, Fuse(steps)).run_ledger(company.ledger.ledger_id)
        if await company.entries():
            assert await company.statuses() == {}
            return


async def test_another_origin_posts(company: Company) -> None:
    await company.state(INVOICE, source="erp")
    assert await receivable(company) == 2380
