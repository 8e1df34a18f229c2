"""`xero-payroll`: the demo's server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from gateway.demo.servers.xero_payroll import PREFIX, XERO, xero_payroll_app
from sources.connectors.http import HttpOptions
from sources.connectors.xero_payroll import XeroPayrollConnector
from sources.connectors.xero_payroll_records import parse_pay_run
from sources.documents import Connector
from tests.sources.connectors.checklist.subjects import Key, Subject

TODAY = date(2026, 11, 22)


class Payroll:
    def __init__(self) -> None:
        self.app = xero_payroll_app(7, TODAY, "client", "secret", "tenant", page_size=100)
        self.runs = self.app[XERO].company.runs
        while len(self.runs) < 230:
            self.add()

    def connector(self, url: str, http: HttpOptions) -> Connector:
        return XeroPayrollConnector(
            name="payroll",
            base_url=url + PREFIX,
            client_id="client",
            client_secret="secret",
            tenant_id="tenant",
            options=http,
        )

    def add(self) -> None:
        some = next(iter(self.runs.values()))
        made = f"00000000-0000-4000-8000-{len(self.runs):012}"
        self.runs[made] = {**some, "payRunID": made, "totalPay": len(self.runs) + 0.25}

    def change(self) -> None:
        list(self.runs.values())[2]["totalPay"] += 1

    def remove(self) -> None:
        del self.runs[list(self.runs)[1]]

    def truth(self) -> Mapping[Key, int]:
        return {("payroll_run", each): round(run["totalPay"] * 100) for each, run in self.runs.items()}


def _dated(written: Any) -> date:
    days = dict.fromkeys(("periodStartDate", "periodEndDate", "paymentDate"), written)
    return parse_pay_run({**days, "payRunID": "a", "totalCost": 1, "totalPay": 1, "payRunStatus": "Draft"}).pay_date


SUBJECT = Subject(
    kind="xero-payroll",
    system=Payroll,
    telling=frozenset({"payRunID"}),
    renews=True,
    dated=_dated,
    moments=[
        ("2026-01-31T00:00:00", date(2026, 1, 31)),
        ("2026-01-31T23:30:00-05:00", date(2026, 1, 31)),
        ("/Date(1769817600000)/", date(2026, 1, 31)),  # midnight, UTC
        ("/Date(1769900400000+0000)/", date(2026, 1, 31)),  # 23:00 UTC
        ("/Date(1769900400000+0100)/", date(2026, 2, 1)),
        ("/Date(1769817600000-0500)/", date(2026, 1, 30)),
    ],
)
"""Xero states local midnights: the date in the offset that stands beside the time."""
