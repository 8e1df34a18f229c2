"""`rest`: the procurement system of its own tests, with pages and a time of change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from string import digits
from typing import Any, ClassVar

from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.connectors.rest import RestConnector
from sources.documents import Connector, Invoice
from sources.plain_documents import read_document
from tests.sources.connectors.checklist.subjects import Key, Subject
from tests.sources.connectors.test_rest import BILLS, NOW, Vendor

PAGING = {"style": "cursor", "param": "at", "next": "next"}
CHANGED = {"param": "since", "field": "updated_at"}


class Procurement:
    more: ClassVar[Mapping[str, Any]] = {}

    def __init__(self) -> None:
        self.vendor = Vendor(style="cursor", size=7)
        self.changes = 0
        for number in range(1, 25):
            self.vendor.bill(number, gone=False)
        self.app = web.Application()
        self.app.add_routes([web.get("/v1/bills", self.vendor.list), web.get("/v1/bills/{id}", self.vendor.one)])

    def connector(self, url: str, http: HttpOptions) -> Connector:
        bills = {**BILLS, "paging": PAGING, "changed": CHANGED, "deleted": "gone", **self.more}
        return RestConnector(name="procure", base_url=f"{url}/v1", documents=[bills], http=http, clock=lambda: NOW)

    def _at(self) -> str:
        self.changes += 1
        return f"2026-05-02T00:00:{self.changes:02}Z"

    def add(self) -> None:
        self.vendor.bill(len(self.vendor.bills) + 1, at=self._at(), gone=False)

    def change(self) -> None:
        bill = self.vendor.bills["2"]
        bill["money"] = {**bill["money"], "total": bill["money"]["total"] + 1}
        bill["updated_at"] = self._at()

    def remove(self) -> None:
        self.vendor.bills["3"].update(gone=True, updated_at=self._at())

    def truth(self) -> Mapping[Key, int]:
        bills = self.vendor.bills.values()
        return {("invoice", str(bill["id"])): round(bill["money"]["total"] * 100) for bill in bills if not bill["gone"]}


class Items(Procurement):
    """Each bill has an address of its own."""

    more: ClassVar[Mapping[str, Any]] = {"item": "/bills/{id}", "item_at": "bill"}


def _dated(written: Any) -> date | None:
    values = {
        "external_id": "1", "direction": "PAYABLE", "status": "OPEN", "party": {"name": "x"}, "currency": "EUR", "total": "1",
        "issue_date": written,
    }  # fmt: skip
    found = read_document("invoice", values)
    assert isinstance(found, Invoice)
    return found.issue_date


LISTED = Subject(
    kind="rest",
    system=Procurement,
    again=False,  # once a day, with everything
    telling=frozenset({"id", "gone"}),
    ends={"next": (None, "")},
    dated=_dated,
    moments=[
        ("2026-04-30", date(2026, 4, 30)),
        ("2026-04-30T23:59:59Z", date(2026, 4, 30)),
        ("2026-04-30T23:30:00-11:00", date(2026, 4, 30)),
        ("2026-05-01 00:30:00+14:00", date(2026, 5, 1)),
    ],
)
ITEMS = replace(
    LISTED, system=Items, form="items", again=True, moments=(), endpoint=lambda path, _body: path.rstrip(digits)
)
SUBJECTS = (LISTED, ITEMS)
"""A timestamp counts by the date that it states, in its own offset."""
