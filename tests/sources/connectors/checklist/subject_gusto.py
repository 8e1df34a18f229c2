"""`gusto`: a server of ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from sources.connectors.gusto import GustoConnector
from sources.connectors.gusto_records import parse_run
from sources.connectors.http import HttpOptions
from sources.documents import Connector
from tests.sources.connectors.checklist.subjects import Key, Subject
from tests.sources.connectors.gusto_office import COMPANY, TOKEN, Office, app_of, cents_of, paid

NOW = datetime(2026, 5, 6, 15, 0, tzinfo=UTC)


class Payroll:
    def __init__(self) -> None:
        self.office = office = Office(per=5)
        for month in range(1, 13):
            office.run(f"run-{month}", paid("e-1", month * 1000_00, taxes=100_00), month=month, year=2025)
        office.run("run-back", paid("e-1", -1000_00), off_cycle=True, off_cycle_reason="Reversal")
        self.app = app_of(office)

    def connector(self, url: str, http: HttpOptions) -> Connector:
        return GustoConnector(
            name="payroll", base_url=url, company_id=COMPANY, token=TOKEN, http=http, clock=NOW.timestamp, pause=0
        )

    def add(self) -> None:
        self.office.run(f"run-{len(self.office.payrolls) + 100}", paid("e-2", 777_00))

    def change(self) -> None:
        """One that was cancelled and run again."""
        totals = self.office.payrolls["run-7"]["totals"]
        totals["check_amount"] = f"{cents_of(totals['check_amount']) // 100 + 1}.00"

    def remove(self) -> None:
        """Cancelled."""
        next(each for each in self.office.payrolls.values() if each["processed"])["processed"] = False

    def truth(self) -> Mapping[Key, int]:
        return {
            ("payroll_run", each): cents_of(record["totals"]["check_amount"])
            for each, record in self.office.payrolls.items()
            if record["processed"]
        }


def _dated(written: Any) -> date:
    period = {"start_date": "2026-01-01", "end_date": "2026-01-31"}
    record = {"payroll_uuid": "a", "processed": True, "pay_period": period, "totals": {"net_pay": "1"}}
    return parse_run({**record, "check_date": written}).pay_date


SUBJECT = Subject(
    kind="gusto",
    system=Payroll,
    telling=frozenset({"payroll_uuid"}),
    figures=frozenset({"check_amount", "employee_benefits_deductions", "other_deductions", "employee_cash_tips"}),
    dated=_dated,
    moments=[("2026-01-31", date(2026, 1, 31)), ("2024-02-29", date(2024, 2, 29))],
)
"""Gusto states calendar dates."""
