"""`stripe`: the demo's server with a small company, in pages of four."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, date, datetime
from typing import Any

from aiohttp import web

from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.stripe_company import make_company
from sources.connectors.http import HttpOptions
from sources.connectors.stripe import StripeConnector
from sources.connectors.stripe_records import day
from sources.documents import Connector
from tests.sources.connectors.checklist.subjects import Key, Subject

KEY = "sk_test_checklist"
PAGE = 4

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _small_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.query.get("limit") != "100":
        return await handler(request)
    return await handler(request.clone(rel_url=request.rel_url.update_query(limit=str(PAGE))))


class Shop:
    def __init__(self) -> None:
        today = datetime.now(UTC).date()
        self.app = stripe_app(seed=7, today=today, api_key=KEY)
        self.company = self.app[STRIPE] = make_company(7, today, count=9)
        self.app.middlewares.append(_small_pages)

    def connector(self, url: str, http: HttpOptions) -> Connector:
        return StripeConnector(name="shop", base_url=url, api_key=KEY, http=http)

    def _first(self, status: str) -> dict[str, Any]:
        return next(each for each in self.company.invoices.values() if each["status"] == status)

    def add(self) -> None:
        customer = next(iter(self.company.customers.values()))
        invoice = self.company.add_invoice(customer, int(time.time()), [("Team plan", 2, 19_900)], tax_permille=82)
        self.company.finalize(invoice, int(time.time()))

    def change(self) -> None:
        self.company.pay(self._first("open"), int(time.time()))

    def remove(self) -> None:
        self.company.delete(self._first("draft"), int(time.time()))

    def truth(self) -> Mapping[Key, int]:
        company = self.company
        found = {("invoice", each): invoice["total"] for each, invoice in company.invoices.items()}
        found |= {("invoice", each): note["total"] for each, note in company.credit_notes.items()}
        found |= {("payment", each): charge["amount"] for each, charge in company.money.charges.items()}
        return found | {("payment", each): -payout["amount"] for each, payout in company.money.payouts.items()}


def _dated(written: Any) -> date | None:
    return day({"created": written}, "created")


SUBJECT = Subject(
    kind="stripe",
    system=Shop,
    telling=frozenset({"id", "object", "type", "source", "status"}),
    figures=frozenset({"payment.type"}),
    ends={"has_more": (None,)},
    dated=_dated,
    moments=[
        (1_769_817_600, date(2026, 1, 31)),  # midnight, UTC
        (1_769_903_999, date(2026, 1, 31)),
        (1_769_904_000, date(2026, 2, 1)),
    ],
)
"""Stripe's moments count by their date in UTC."""
