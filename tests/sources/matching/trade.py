"""A company with customers, suppliers, a bank and the starter rules: documents that money is about, and the money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import orjson

from sources.documents import (
    BankTransaction,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceStatus,
    Party,
    Payment,
    PaymentType,
    PayrollRun,
)
from sources.ledger import administration
from sources.ledger.model import AccountDraft, AccountType
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import EVERYONE, Company, opened

BANK = "DE02120300000000202051"
OTHER_BANK = "DE89370400440532013000"
ACCOUNTS = {
    "receivable": ("1100", AccountType.ASSET),
    "paid_elsewhere": ("1220", AccountType.ASSET),
    "payable": ("2000", AccountType.LIABILITY),
    "processor_clearing": ("1200", AccountType.ASSET),
    "bank_clearing": ("1210", AccountType.ASSET),
    "sales_tax": ("1700", AccountType.LIABILITY),
    "purchase_tax": ("1701", AccountType.ASSET),
    "revenue": ("4000", AccountType.REVENUE),
    "expense": ("6000", AccountType.EXPENSE),
    "wages": ("6010", AccountType.EXPENSE),
    "wages_payable": ("2010", AccountType.LIABILITY),
    "payroll_taxes_payable": ("2020", AccountType.LIABILITY),
    "processor_fees": ("6100", AccountType.EXPENSE),
    "bank_fees": ("6110", AccountType.EXPENSE),
    "write_offs": ("6120", AccountType.EXPENSE),
    "bad_debt": ("6200", AccountType.EXPENSE),
    "rounding": ("7000", AccountType.EXPENSE),
    "exchange_gain": ("7100", AccountType.REVENUE),
    "exchange_loss": ("7200", AccountType.EXPENSE),
}
RULES = (
    'extends = "starter"\n[accounts]\n'
    + "".join(f'{name} = "{code}"\n' for name, (code, _) in ACCOUNTS.items())
    + f'[tables.bank_accounts]\n"{BANK}" = "1000"\n"{OTHER_BANK}" = "1010"\n'
)


@dataclass
class Trade:
    """`company` with its own words: amounts are minor units, money in is positive."""

    company: Company
    currency: str
    statements: int = 0

    async def invoiced(self, *documents: Invoice) -> None:
        await self.company.state(*documents, source="sales")
        await self.company.look()

    async def moved(self, *transactions: BankTransaction, account: str = BANK, name: str | None = None) -> None:
        """A bank's statement of these transactions."""
        self.statements += 1
        await self.company.state(
            statement(name or f"s{self.statements}", *transactions, account=account), source="bank"
        )
        await self.company.look()

    async def net(self, name: str) -> int:
        return (await self.company.nets()).get(ACCOUNTS[name][0], 0)

    async def matches(self, *statuses: str) -> list[tuple[str, str, int, tuple[tuple[str, str, int], ...]]]:
        """(transaction, status, score, ((kind, document, bank amount), …)) of each match, in order."""
        rows = await self.company.owner.fetch(_MATCHES, self.company.ledger.ledger_id)
        found = [(row[0], row[1], row[2], tuple(tuple(part) for part in orjson.loads(row[3]))) for row in rows]
        return [each for each in found if not statuses or each[1] in statuses]

    async def live(self) -> dict[str, tuple[tuple[str, str, int], ...]]:
        """Allocations by transaction, of live matches."""
        return {each[0]: each[3] for each in await self.matches("CERTAIN", "CONFIRMED")}

    async def proposed(self) -> dict[str, list[tuple[tuple[str, str, int], ...]]]:
        found: dict[str, list[Any]] = {}
        for each in await self.matches("PROPOSED"):
            found.setdefault(each[0], []).append(each[3])
        return found

    async def open(self) -> dict[str, int]:
        """What is left of each document that can be matched, by external id."""
        rows = await self.company.owner.fetch(
            "SELECT external_id, amount - used FROM matching.item WHERE ledger_id = $1 AND used <> amount AND ready",
            self.company.ledger.ledger_id,
        )
        return dict(rows)

    async def is_sound(self) -> None:
        """The books verify, nothing waits, and what is used is what live matches allocate."""
        assert await self.company.findings() == []
        assert await self.company.to_do() == []
        assert await self.company.owner.fetch(_WRONGLY_USED) == []


_MATCHES = """
SELECT m.external_id, m.status, m.score, (
    SELECT json_agg(json_build_array(a.kind, a.external_id, a.bank_amount) ORDER BY a.position) FROM matching.allocation a
    WHERE a.ledger_id = m.ledger_id AND a.match_id = m.match_id)
FROM matching.match m WHERE m.ledger_id = $1 ORDER BY m.match_id"""
_WRONGLY_USED = """
SELECT i.kind, i.external_id, i.used, coalesce(own.amount, 0) AS own, coalesce(others.amount, 0) AS others FROM matching.item i
LEFT JOIN LATERAL (
    SELECT sum(a.bank_amount) AS amount FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
    WHERE i.kind = 'bank_transaction' AND m.ledger_id = i.ledger_id AND m.source = i.source AND m.account = i.account
        AND m.external_id = i.external_id AND m.status IN ('CERTAIN', 'CONFIRMED')) own ON true
LEFT JOIN LATERAL (
    SELECT sum(CASE a.kind WHEN 'bank_transaction' THEN -a.amount ELSE a.amount END) AS amount
    FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
    WHERE a.ledger_id = i.ledger_id AND a.kind = i.kind AND a.source = i.source AND a.account = i.account
        AND a.external_id = i.external_id AND m.status IN ('CERTAIN', 'CONFIRMED')) others ON true
WHERE i.used <> coalesce(own.amount, 0) + coalesce(others.amount, 0)"""


@asynccontextmanager
async def trading(
    database_url: str, owner_url: str, currency: str = "EUR", code: str = "acme-us"
) -> AsyncIterator[Trade]:
    async with opened(database_url, owner_url, code=code, currency=currency) as company:
        codes = {"1010": AccountType.ASSET, **dict(ACCOUNTS.values())}
        known = {"1000", "1100", "1700", "2000", "4000", "4100", "6000", "7000"}
        drafts = [AccountDraft(code=code, name=code, type=kind) for code, kind in codes.items() if code not in known]
        await administration.create_accounts(company.database, EVERYONE, ledger=company.ledger.code, accounts=drafts)
        await company.use_rules(RULES)
        yield Trade(company, currency)


def invoice(number: str, total: int, party: str = "Globex GmbH", **more: Any) -> Invoice:
    values: dict[str, Any] = {
        "number": number,
        "party": Party(name=party, external_id=party.lower().replace(" ", "-")),
        "currency": "EUR",
        "subtotal": total,
        "tax": 0,
        "total": total,
        "amount_due": total,
        "due_date": date(2026, 3, 15),
    }
    return Kit.invoice(number.lower(), **{**values, **more})


def bill(number: str, total: int, party: str = "Initech Ltd", **more: Any) -> Invoice:
    return invoice(number, total, party, direction=InvoiceDirection.PAYABLE, **more)


def credit_note(number: str, total: int, party: str = "Globex GmbH", **more: Any) -> Invoice:
    return invoice(number, total, party, kind=InvoiceKind.CREDIT_NOTE, **more)


def void(document: Invoice) -> dict[str, Any]:
    return {"status": InvoiceStatus.VOID, "source_status": "void", "amount_due": 0}


def money(external_id: str, amount: int, text: str = "", name: str | None = "GLOBEX", **more: Any) -> BankTransaction:
    day = more.pop("day", date(2026, 3, 14))
    return Kit.moved(external_id, amount, day, description=text or None, counterparty=name, **more)


def statement(external_id: str, *transactions: BankTransaction, account: str = BANK) -> Any:
    from sources.documents import BankAccount

    currency = transactions[0].currency if transactions else "EUR"
    return Kit.statement(
        external_id, *transactions, account=BankAccount(external_id=account, currency=currency, iban=account)
    )


def payout(external_id: str, amount: int, day: date = date(2026, 3, 12), **more: Any) -> Payment:
    return Kit.payment(
        external_id,
        type=PaymentType.PAYOUT,
        amount=-amount,
        fee=0,
        net=-amount,
        currency="EUR",
        occurred_on=day,
        **more,
    )


def payroll(external_id: str, net: int, day: date = date(2026, 3, 31)) -> PayrollRun:
    return Kit.run(external_id, net=net, gross=net, employee_taxes=0, deductions=0, currency="EUR", pay_date=day)
