"""A source system that a test scripts, and makers of documents."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import date
from typing import Any

from sources.documents import (
    BankAccount,
    BankStatement,
    BankTransaction,
    BankTransactionStatus,
    Document,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceStatus,
    Page,
    Party,
    Payment,
    PaymentStatus,
    PaymentType,
    PayrollRun,
    Payslip,
)
from sources.errors import SourceUnavailable
from sources.mirror.settings import SourceSettings


class Script:
    """A connector over pages that the test prepared. A cursor "n" goes on behind the first n pages; after the last there is
    an empty page, so a later pull finds nothing new. With `lists_everything` each pull gives all pages."""

    def __init__(self, *pages: Page, lists_everything: bool = False) -> None:
        self.pages = list(pages)
        self.lists_everything = lists_everything
        self.pulls: list[str | None] = []
        self.at_once = 0
        self.most_at_once = 0
        self.failure: Exception | None = None
        self.fails_at = 0
        self.open = asyncio.Event()
        self.open.set()
        self.closed_at: int | None = None
        self.reached = asyncio.Event()
        self.slips: dict[str, tuple[Payslip, ...] | None] = {}
        self.slips_asked: list[str] = []
        self.draft_statuses: tuple[str, ...] = ()
        self.closed = False

    def hold(self, at: int = 0) -> None:
        """Pulls stop before page `at` until `release`; `reached` is set when one does."""
        self.closed_at = at
        self.open.clear()
        self.reached.clear()

    def release(self) -> None:
        self.open.set()

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        self.pulls.append(cursor)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            first = 0 if self.lists_everything else int(cursor or 0)
            for number, page in list(enumerate(self.pages))[first:]:
                await self._gate(number)
                yield page
            if first >= len(self.pages):
                await self._gate(first)
                yield Page(documents=(), cursor=cursor, complete=True)
        finally:
            self.at_once -= 1

    async def _gate(self, number: int) -> None:
        if not self.open.is_set() and number == (self.closed_at or 0):
            self.reached.set()
            await self.open.wait()
        if self.failure is not None and number >= self.fails_at:
            raise self.failure

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        self.slips_asked.append(run_external_id)
        await self._gate(0)
        return self.slips.get(run_external_id)

    async def close(self) -> None:
        self.closed = True


class Stating(Script):
    """One invoice, whose total is what `total` was when the pull began: the test changes it at any time."""

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total

    async def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        stated = self.total
        self.pulls.append(cursor)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.002)
        yield Page(documents=[Kit.invoice(total=stated)], cursor=str(stated), complete=True)
        self.at_once -= 1


class Kit:
    """Makers of documents, pages and connectors."""

    Script = Script
    Stating = Stating
    Unavailable = SourceUnavailable

    @staticmethod
    def invoice(external_id: str = "in_1", **more: Any) -> Invoice:
        values: dict[str, Any] = {
            "direction": InvoiceDirection.RECEIVABLE,
            "kind": InvoiceKind.INVOICE,
            "status": InvoiceStatus.OPEN,
            "source_status": "open",
            "party": Party(name="Globex"),
            "currency": "USD",
            "issue_date": date(2026, 3, 1),
            "subtotal": 1000,
            "tax": 190,
            "total": 1190,
            "amount_due": 1190,
        }
        return Invoice(external_id=external_id, **{**values, **more})

    @staticmethod
    def payment(external_id: str = "ch_1", **more: Any) -> Payment:
        values: dict[str, Any] = {
            "type": PaymentType.PAYMENT,
            "status": PaymentStatus.SUCCEEDED,
            "source_status": "succeeded",
            "currency": "USD",
            "amount": 1000,
            "fee": 59,
            "net": 941,
            "occurred_on": date(2026, 3, 2),
        }
        return Payment(external_id=external_id, **{**values, **more})

    @staticmethod
    def run(external_id: str = "run-1", **more: Any) -> PayrollRun:
        values: dict[str, Any] = {
            "period_start": date(2026, 3, 1),
            "period_end": date(2026, 3, 31),
            "pay_date": date(2026, 3, 31),
            "source_status": "Posted",
            "currency": "GBP",
            "net": 100_00,
        }
        return PayrollRun(external_id=external_id, **{**values, **more})

    @staticmethod
    def slip(external_id: str = "slip-1", **more: Any) -> Payslip:
        return Payslip(
            external_id=external_id, **{"employee_id": "e1", "employee_name": "Ada Byron", "net": 100_00, **more}
        )

    @staticmethod
    def moved(external_id: str, amount: int, day: date | None, **more: Any) -> BankTransaction:
        values: dict[str, Any] = {"status": BankTransactionStatus.BOOKED, "currency": "EUR", "booked_on": day}
        return BankTransaction(external_id=external_id, amount=amount, **{**values, **more})

    @staticmethod
    def statement(external_id: str, *transactions: BankTransaction, **more: Any) -> BankStatement:
        values: dict[str, Any] = {
            "account": BankAccount(external_id="DE02120300000000202051", currency="EUR", iban="DE02120300000000202051"),
            "provisional": False,
        }
        return BankStatement(external_id=external_id, transactions=transactions, **{**values, **more})

    @staticmethod
    def pages(*groups: Sequence[Document], **last: Any) -> list[Page]:
        """One page for each group; the last one is complete."""
        count = len(groups)
        return [
            Page(documents=group, cursor=str(n), complete=n == count, **(last if n == count else {}))
            for n, group in enumerate(groups, 1)
        ]

    @staticmethod
    def stripe(**more: Any) -> SourceSettings:
        return SourceSettings(**{"name": "stripe", "kind": "stripe", "ledger": "acme-us", **more})

    @staticmethod
    def bank(**more: Any) -> SourceSettings:
        return SourceSettings(**{"name": "bank", "kind": "bank-statements", "ledger": "acme-eu", **more})

    @staticmethod
    def payroll(**more: Any) -> SourceSettings:
        return SourceSettings(**{"name": "payroll", "kind": "xero-payroll", "ledger": "acme-eu", **more})
