"""The day as of which a void document is reversed, and posted anew should it come back."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from sources.documents import InvoiceStatus
from sources.mapping.rules import load
from sources.pipeline.preview import preview
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, changed, key, opened, rules

INVOICE = Kit.invoice(issue_date=date(2026, 1, 10))


def stripes(day: int) -> dict[str, Any]:
    return {"status_transitions": {"voided_at": int(datetime(2026, 1, day, 12, tzinfo=UTC).timestamp())}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (stripes(20), "2026-01-20"),
        (stripes(5), "2026-01-10"),
        ({"voided_on": "2026-01-21"}, "2026-01-21"),
        ({"voided_on": "2026-01-09"}, "2026-01-10"),
    ],
)
async def test_a_void_is_reversed_on_the_day_that_the_source_states(
    database_url: str, owner_url: str, raw: dict[str, Any], expected: str
) -> None:
    async with opened(database_url, owner_url) as company:
        assert company.post_from == CUTOVER
        await company.state(INVOICE)
        await company.look()
        await company.state(changed(INVOICE, status=InvoiceStatus.VOID, raw=raw))
        await company.look()
        assert [(day, undone) for day, undone, _ in await company.entries()] == [("2026-01-10", None), (expected, 1)]


@pytest.mark.parametrize("gone", [False, True])
async def test_on_no_day_the_books_hold_twice_what_comes_back(database_url: str, owner_url: str, gone: bool) -> None:
    """Void and not void any more, or deleted and listed again; a preview says it before."""
    async with opened(database_url, owner_url) as company:
        await company.state(INVOICE)
        await company.look()
        if gone:
            await company.state(gone=[("invoice", INVOICE.external_id)])
        else:
            await company.state(changed(INVOICE, status=InvoiceStatus.VOID, raw=stripes(20)))
        await company.look()
        reversed_on = (await company.entries())[1][0]
        assert reversed_on > "2026-01-10"
        await company.state(INVOICE)
        (seen,) = await preview(company.database, company.ledger.ledger_id, load(rules()), [key(INVOICE.external_id)])
        (change,) = seen.changes
        assert change.draft is not None
        assert (change.draft.effective_date.isoformat(), change.moved_from) == (reversed_on, INVOICE.issue_date)
        await company.look()
        day, undone, words = (await company.entries())[2]
        assert (day, undone, words) == (reversed_on, None, change.draft.description)
        assert words.endswith(f" (of 2026-01-10; dated {day}, as the books held it until then)")
        await company.state(changed(INVOICE, subtotal=500, total=690))
        await company.look()
        assert [each[:2] for each in (await company.entries())[3:]] == [(reversed_on, 3), (reversed_on, None)]
        assert (await company.findings(), (await company.nets())["1100"]) == ([], 690)
