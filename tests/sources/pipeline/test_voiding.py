"""The day as of which a void document is reversed."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from sources.documents import InvoiceStatus
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, changed, opened

INVOICE = Kit.invoice(issue_date=date(2026, 1, 10))


@pytest.mark.parametrize(("voided", "expected"), [((2026, 1, 20), "2026-01-20"), ((2026, 1, 5), "2026-01-10")])
async def test_a_void_is_reversed_on_the_day_that_the_source_states(
    database_url: str, owner_url: str, voided: tuple[int, int, int], expected: str
) -> None:
    raw = {"status_transitions": {"voided_at": int(datetime(*voided, 12, tzinfo=UTC).timestamp())}}
    async with opened(database_url, owner_url) as company:
        assert company.post_from == CUTOVER
        await company.state(INVOICE)
        await company.look()
        await company.state(changed(INVOICE, status=InvoiceStatus.VOID, raw=raw))
        await company.look()
        assert [(day, undone) for day, undone, _ in await company.entries()] == [("2026-01-10", None), (expected, 1)]
