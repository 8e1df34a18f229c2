"""Reversals by hand of what documents posted are told of, and nothing is undone or done behind a person's back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import date

import pytest

from sources.documents import InvoiceStatus
from sources.ledger.model import Posted, ReversalDraft
from sources.mirror.issues import IssueKey
from sources.pipeline.reconciliation import open_report, reading, tie_documents
from sources.pipeline.reposting import repost
from sources.pipeline.resolving import resolve_issue
from sources.pipeline.rulebook import RuleBook
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import Company, changed, key, opened
from tests.sources.pipeline.fragile import Crash, Fuse, fragile

INVOICE = Kit.invoice("in_1", issue_date=date(2026, 3, 10), subtotal=1000, tax=190, total=1190)
CHANGED = changed(INVOICE, subtotal=500, total=690)
VOID = changed(INVOICE, status=InvoiceStatus.VOID)
LATE = date(2190, 1, 1)
"""A void document is reversed today, and nothing that reverses is dated before what it reverses."""


@pytest.fixture
async def company(database_url: str, owner_url: str) -> AsyncIterator[Company]:
    async with opened(database_url, owner_url) as found:
        await found.state(INVOICE)
        await found.look()
        yield found
        assert await found.findings() == []


async def reverse(company: Company, *sequences: int) -> None:
    """By hand; then the pipeline looks."""
    await reverse_unseen(company, *sequences)
    await company.look()


async def reverse_unseen(company: Company, *sequences: int) -> None:
    for sequence in sequences:
        draft = ReversalDraft(
            ledger=company.ledger,
            idempotency_key=f"hand {sequence}",
            sequence=sequence,
            effective_date=LATE,
            posted_by="ann",
        )
        assert isinstance((await company.poster.post([draft]))[0], Posted)


async def told(company: Company) -> list[str]:
    rows = await company.owner.fetch("SELECT code || ': ' || message FROM mirror.issue WHERE closed_at IS NULL")
    return [row[0] for row in rows]


async def tied(company: Company) -> list[tuple[str | None, str | None, dict[str, int]]]:
    """State, code and debits that stand of each document."""
    async with reading(company.database, company.ledger.ledger_id) as connection:
        report = await open_report(connection, company.ledger.ledger_id, "billing")
        await tie_documents(connection, report, RuleBook(), "billing", date(2026, 1, 1), date(2199, 12, 31))
    return [(each.state, each.code, each.posted) for each in report.tied]


REVERSED = "REVERSED_BY_HAND: Somebody reversed entries of it: 1 (by 2)."
REINSTATED = (
    "REINSTATED_BY_HAND: Entries that were reversed stand again, as somebody reversed their reversal: 1 (by 4)."
)


# ---------------------------------------------------------------- an entry that stands is reversed


async def test_who_reverses_an_entry_is_told_of_and_nothing_is_done(company: Company) -> None:
    await reverse(company, 1)
    assert await told(company) == [REVERSED]
    assert await tied(company) == [("MISSING", "REVERSED_BY_HAND", {})]
    await company.look()
    assert len(await company.entries()) == 2
    assert await company.to_do() == []


async def test_who_brings_it_back_ends_the_issue(company: Company) -> None:
    await reverse(company, 1)
    await reverse(company, 2)
    assert await told(company) == []
    assert await tied(company) == [("MATCHED", None, {"USD": 1190})]


@pytest.mark.parametrize(("after", "expected"), [(CHANGED, 690), (VOID, 0)])
async def test_the_documents_next_change_posts_its_new_version_alone(
    company: Company, after: object, expected: int
) -> None:
    await reverse(company, 1)
    await company.state(after)  # type: ignore[arg-type]
    await company.look()
    assert (await company.nets()).get("1100", 0) == expected
    assert await told(company) == []


async def test_another_text_of_the_document_brings_nothing_back(company: Company) -> None:
    await reverse(company, 1)
    await company.state(changed(INVOICE, amount_due=0))
    await company.look()
    assert await company.nets() == {}
    assert await told(company) == [REVERSED]


async def test_who_meant_it_resolves_the_issue_until_something_else_is_reversed(company: Company) -> None:
    await reverse(company, 1)
    issue = IssueKey("billing", "REVERSED_BY_HAND", "invoice in_1")
    await resolve_issue(company.database, company.ledger.ledger_id, issue, by="ann", note="meant")
    await company.look()
    assert await told(company) == []
    await reverse(company, 2, 3)
    assert await told(company) == ["REVERSED_BY_HAND: Somebody reversed entries of it: 1 (by 4)."]


async def test_reposting_ends_the_issue(company: Company) -> None:
    await reverse(company, 1)
    await repost(company.database, company.ledger.ledger_id, [key("in_1")])
    await company.look()
    assert (await company.nets())["1100"] == 1190
    assert await told(company) == []


# ---------------------------------------------------------------- what the pipeline reversed is brought back


async def test_an_old_entry_that_is_brought_back_beside_its_replacement_is_told_of(company: Company) -> None:
    await company.state(CHANGED)
    await company.look()
    await reverse(company, 2)
    assert (await company.nets())["1100"] == 1190 + 690
    assert await told(company) == [REINSTATED]
    assert await tied(company) == [("EXTRA", "REINSTATED_BY_HAND", {"USD": 1190 + 690})]
    await reverse(company, 4)
    assert await told(company) == []
    assert await tied(company) == [("MATCHED", None, {"USD": 690})]


async def test_an_entry_of_a_void_document_that_is_brought_back_is_told_of(company: Company) -> None:
    await company.state(VOID)
    await company.look()
    await reverse(company, 2)
    assert await told(company) == [REINSTATED.replace("(by 4)", "(by 3)")]
    assert await tied(company) == [("EXTRA", "REINSTATED_BY_HAND", {"USD": 1190})]


async def test_a_change_of_the_document_leaves_what_a_person_brought_back_and_says_so(company: Company) -> None:
    await company.state(CHANGED)
    await company.look()
    await reverse(company, 2)
    await company.state(changed(INVOICE, subtotal=300, total=490))
    await company.look()
    assert (await company.nets())["1100"] == 1190 + 490
    assert await told(company) == [REINSTATED]
    await reverse(company, 4)
    assert (await company.nets())["1100"] == 490
    assert await told(company) == []


# ---------------------------------------------------------------- a worker has died


async def test_what_a_dead_worker_left_and_somebody_reversed_is_taken_over(company: Company) -> None:
    """Twice: each time the entry is reversed by hand before another worker posts in its place."""
    await reverse_unseen(company, 1)
    for total in (690, 490):
        await company.state(changed(INVOICE, subtotal=total - 190, total=total))
        sequence = await dies_after_posting(company)
        await reverse_unseen(company, sequence)
    await company.state(changed(INVOICE, subtotal=100, total=290))
    await company.look()
    assert (await company.nets())["1100"] == 290
    assert await told(company) == []


async def test_a_first_entry_that_a_dead_worker_left_and_somebody_reversed_is_told_of(
    database_url: str, owner_url: str
) -> None:
    async with opened(database_url, owner_url) as company:
        await company.state(INVOICE)
        await reverse_unseen(company, await dies_after_posting(company))
        await company.look()
        assert await told(company) == [REVERSED]
        await company.state(CHANGED)
        await reverse_unseen(company, await dies_after_posting(company))
        await company.look()
        assert await told(company) == ["REVERSED_BY_HAND: Somebody reversed entries of it: 3 (by 4)."]
        assert await company.findings() == []


async def dies_after_posting(company: Company) -> int:
    """In the first step in which an entry is in the books that nothing is recorded of; answers with it."""
    before = len(await company.entries())
    for steps in range(100):
        with contextlib.suppress(Crash):
            await fragile(company.database, company.poster, Fuse(steps)).run_ledger(company.ledger.ledger_id)
        if (after := len(await company.entries())) > before:
            return after
    raise AssertionError


async def test_entries_of_nobodys_documents_are_passed_over(company: Company) -> None:
    await company.lock(date(2026, 2, 1))
    await reverse(company, 1, 2, 3, 4, 5, 6)
    assert await told(company) == []
    assert (await company.nets())["1100"] == 1190


async def test_a_worker_looks_by_itself(company: Company) -> None:
    draft = ReversalDraft(
        ledger=company.ledger, idempotency_key="x", sequence=1, effective_date=date(2026, 3, 20), posted_by="ann"
    )
    await company.poster.post([draft])
    await company.pipeline.run_all()
    assert await told(company) == [REVERSED]
