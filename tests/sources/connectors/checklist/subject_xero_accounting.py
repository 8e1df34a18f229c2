"""`xero-accounting`: a server of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from sources.connectors.http import HttpOptions
from sources.connectors.xero_accounting_values import day
from sources.documents import Connector
from tests.sources.connectors.checklist.subjects import Key, Subject
from tests.sources.connectors.xero_accounting_server import IDS, Organisation, connected

_SIGNS = {
    "ACCRECPAYMENT": 1,
    "ACCPAYPAYMENT": -1,
    "ARCREDITPAYMENT": -1,
    "RECEIVE-OVERPAYMENT": 1,
    "SPEND-PREPAYMENT": -1,
}


class Books:
    def __init__(self) -> None:
        self.organisation = organisation = Organisation(page_size=6)
        self.app = organisation.app()
        self.customer, self.vendor = organisation.contact("Blue Harbor", "GB123"), organisation.contact("Initech")
        self.sales = [
            organisation.invoice(self.customer, (10_000 + n, "OUTPUT2", "200"), inclusive=n == 2) for n in range(5)
        ]
        bills = [organisation.invoice(self.vendor, (5_000 + n, "INPUT2", "400"), kind="ACCPAY") for n in range(3)]
        note = organisation.credit_note(self.customer, (2_000, "OUTPUT2", "200"))
        organisation.allocate(note, self.sales[1], 500)
        organisation.pay(note, 100)
        self.paid = [organisation.pay(self.sales[0], 12_000), organisation.pay(bills[0], 6_000)]
        organisation.advance(self.customer, 700)
        organisation.advance(self.vendor, 800, "SPEND-PREPAYMENT")

    def connector(self, url: str, http: HttpOptions) -> Connector:
        return connected(url, options=http)

    def add(self) -> None:
        self.organisation.invoice(self.customer, (333, "OUTPUT2", "200"))

    def change(self) -> None:
        sale = self.organisation.records["Invoices"][self.sales[3]]
        self.organisation.change(self.sales[3], **{name: round(sale[name] + 1, 2) for name in ("SubTotal", "Total")})

    def remove(self) -> None:
        """What it voids or deletes is only ever one more."""
        left = [each for each in self.paid if self.organisation.records["Payments"][each]["Status"] != "DELETED"]
        if left:
            self.organisation.unpay(left[0])
        else:
            self.organisation.void(self.sales[4])

    def truth(self) -> Mapping[Key, int]:
        found: dict[Key, int] = {}
        for name, records in self.organisation.records.items():
            for each, record in records.items():
                if record["Status"] != "DELETED":
                    kind = "invoice" if name in ("Invoices", "CreditNotes") else "payment"
                    cents = round((record["Amount"] if name == "Payments" else record["Total"]) * 100)
                    sign = 1 if kind == "invoice" else _SIGNS[record.get("PaymentType") or record["Type"]]
                    found[kind, each] = sign * cents
        return found


def _dated(written: Any) -> date | None:
    return day({"Date": written}, "Date")


SUBJECT = Subject(
    kind="xero-accounting",
    system=Books,
    pages=6,
    telling=frozenset({*IDS.values(), "Status"}),
    figures=frozenset({"AmountCredited", "TaxAmount", "TaxType", "LineItems", "Allocations", "IsDeleted"}),
    renews=True,
    dated=_dated,
    moments=[
        ("2026-01-31T00:00:00", date(2026, 1, 31)),
        ("2026-01-31 00:00:00", date(2026, 1, 31)),
        ("/Date(1769817600000)/", date(2026, 1, 31)),
        ("/Date(1769817600000+0000)/", date(2026, 1, 31)),
        ("/Date(1769817600000+1300)/", date(2026, 1, 31)),
    ],
)
"""Xero states a calendar date as its midnight in UTC."""
