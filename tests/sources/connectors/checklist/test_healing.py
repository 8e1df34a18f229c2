"""A record that cannot be read is an open issue of the mirror, and is asked for again after a pause: once it is as it should be, though
nothing says that it changed, the mirror is the source's truth and the issue is closed."""

from __future__ import annotations

from collections.abc import Mapping

import asyncpg
import pytest

from sources.connectors.http import HttpOptions
from sources.database.pool import Database
from tests.sources.connectors.checklist.meddling import VALUES, Meddler, Replacing, meddler
from tests.sources.connectors.checklist.mirrored import mirrored
from tests.sources.connectors.checklist.test_apis import APIS
from tests.sources.mirror.conftest import create_ledger, db, ledgers, owner

__all__ = ["create_ledger", "db", "ledgers", "owner"]

QUICK = HttpOptions(waiting=False, attempts=3, attempt_seconds=5, breaker_failures=1000)
SPOILT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "stripe": {
        "first": ("/v1/invoices data.*.currency", "/v1/charges data.*.currency", "/v1/payouts data.*.amount"),
        "later": (
            "/v1/invoices/* currency",
            "/v1/events data.*.data.object.id",
            "/v1/balance_transactions data.*.currency",
        ),
    },
    "xero-accounting": {
        "first": ("/api.xro/2.0/Invoices Invoices.*.CurrencyCode", "/api.xro/2.0/Payments Payments.*.Amount"),
        "later": ("/api.xro/2.0/Invoices Invoices.*.Total",),
    },
    "xero-payroll": {
        "first": ("/payroll.xro/2.0/PayRuns payRuns.*.totalPay",),
        "later": ("/payroll.xro/2.0/PayRuns payRuns.*.paymentDate",),
    },
    "gusto": {
        "first": ("/v1/companies/*/payrolls *.check_date",),
        "later": ("/v1/companies/*/payrolls *.pay_period",),
    },
    "plaid": {
        "first": ("/transactions/sync added.*.amount",),
        "later": ("/transactions/sync modified.*.amount", "/transactions/sync added.*.date"),
    },
    "tryton": {
        "first": ("model.account.invoice.search_read whole result.*.total_amount",),
        "later": ("model.account.invoice.search_read whole result.*.currency.",),
    },
    "rest-items": {"first": ("/v1/bills/ bill.money.total",), "later": ("/v1/bills/ bill.money.cur",)},
}
"""Endpoint and place of values without which there is no document, of a first pull and of a later one."""


@pytest.fixture
def known(ledgers: Mapping[str, int]) -> Mapping[str, int]:
    return ledgers


def test_every_api_that_heals_is_tried() -> None:
    assert SPOILT.keys() == {name for name, subject in APIS.items() if subject.again}


@pytest.mark.parametrize("when", ["first", "later"])
@pytest.mark.parametrize("name", SPOILT)
async def test_what_could_not_be_read_is_read_once_it_can_be(
    name: str, when: str, db: Database, owner: asyncpg.Connection, known: Mapping[str, int]
) -> None:
    subject = APIS[name]
    system = subject.system()
    async with (
        meddler(system.app, subject.endpoint) as proxy,
        mirrored(subject, system, proxy.url, db, owner, QUICK) as mirror,
    ):
        if when == "later":
            assert await mirror.ask() is None
            for happens in (system.add, system.change, system.remove):
                happens()
        spoilt = _spoil(proxy, SPOILT[name][when])
        assert await mirror.ask() is None
        assert all(each.put for each in spoilt)
        assert len(await mirror.issues()) >= len(spoilt)
        proxy.calm_down()
        await mirror.hurry()
        assert await mirror.ask() is None
        assert await mirror.issues() == []
        assert await mirror.held() == system.truth()


def _spoil(proxy: Meddler, places: tuple[str, ...]) -> list[Replacing]:
    """In each place one value becomes one that is none."""
    nothing = VALUES.index({})
    spoilt = [Replacing(*place.rsplit(" ", 1), nothing, 1, set()) for place in places]

    def alter(endpoint: str, body: bytes) -> bytes:
        for each in spoilt:
            body = each(endpoint, body)
        return body

    proxy.alter = alter
    return spoilt
