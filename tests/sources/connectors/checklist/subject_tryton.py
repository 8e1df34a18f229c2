"""`tryton`: the server of its own tests, which answers its remote procedures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.connectors.tryton import BATCH, TrytonConnector
from sources.connectors.tryton_records import parse_invoice
from sources.documents import Connector
from tests.sources.connectors.checklist.subjects import Key, Subject
from tests.sources.connectors.test_tryton import Server, decimal, decoded, invoice, moment


class Erp:
    def __init__(self) -> None:
        self.server = Server()
        for number in range(1, 2 * BATCH + 20):
            self.server.put(invoice(number, minute=number, state="draft" if number % 10 == 0 else "posted"))
        self.now = 1_000
        self.app = web.Application()
        self.app.router.add_post("/books/rpc/", self.server.answer)

    def connector(self, url: str, http: HttpOptions) -> Connector:
        return TrytonConnector(name="erp", base_url=url, database="books", user="reader", password="secret", http=http)

    def _later(self) -> dict[str, Any]:
        self.now += 1
        return moment(self.now)

    def add(self) -> None:
        self.now += 1
        self.server.put(invoice(len(self.server.invoices) + 1_000, minute=self.now))

    def change(self) -> None:
        changed = {name: decimal("7.00") for name in ("untaxed_amount", "total_amount")}
        self.server.put({**self.server.invoices[3], **changed, "lines.": [], "write_date": self._later()})

    def remove(self) -> None:
        drafts = (each["id"] for each in self.server.invoices.values() if each["state"] == "draft")
        del self.server.invoices[next(drafts)]

    def truth(self) -> Mapping[Key, int]:
        records = self.server.invoices.values()
        return {("invoice", str(each["id"])): int(each["total_amount"]["decimal"].replace(".", "")) for each in records}


def _asked(_path: str, body: bytes) -> str:
    call = json.loads(body)
    if not call["method"].endswith("search_read"):
        return str(call["method"])
    domain, _, limit, _, wanted = call["params"][:5]
    of_ids = domain[0][:2] == ["id", "in"]
    return f"{call['method']} {'whole' if 'state' in wanted else 'newest' if limit == 1 else 'known' if of_ids else 'changes'}"


def _dated(written: Any) -> date | None:
    return parse_invoice(decoded(invoice(1, invoice_date=written)), []).issue_date


SUBJECT = Subject(
    kind="tryton",
    system=Erp,
    telling=frozenset({"id"}),
    endpoint=_asked,
    renews=True,
    dated=_dated,
    moments=[({"__class__": "date", "year": 2026, "month": 1, "day": 31}, date(2026, 1, 31))],
)
"""Tryton's dates are calendar dates."""
