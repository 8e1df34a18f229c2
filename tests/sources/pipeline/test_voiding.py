"""The day as of which a void document is reversed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from sources.documents import InvoiceStatus
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import CUTOVER, changed, opened

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
