"""Rule files, rows of the mirror and rates for tests of mapping."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from sources.ledger.model import EntryDraft, LedgerRef, LineDraft
from sources.ledger.rules import check
from sources.mapping.compiled import RuleSet
from sources.mapping.evaluate import map_document
from sources.mapping.facts import facts_of
from sources.mapping.model import MappedPosting, Mapping, Unmapped
from sources.mapping.rates import Quote, Rates
from sources.mapping.rules import load
from sources.money import EXPONENTS, format_minor

DAY = date(2026, 1, 15)
LEDGER = LedgerRef(1, "acme", "USD")

ACCOUNTS = """
extends = "starter"
[accounts]
receivable = "1210"
revenue = "4100"
sales_tax = "2210"
bad_debt = "6900"
payable = "2110"
expense = "5100"
purchase_tax = "1600"
processor_clearing = "1140"
processor_fees = "5400"
disputes = "1150"
dispute_losses = "5410"
paid_elsewhere = "1170"
processor_transfers = "1160"
bank_clearing = "1199"
wages = "6100"
wages_payable = "2310"
payroll_taxes = "6110"
payroll_taxes_payable = "2220"
pensions = "6120"
pensions_payable = "2320"
deductions_payable = "2330"
reimbursements = "6130"
rounding = "7400"
exchange_gain = "4800"
exchange_loss = "7410"
[tables.bank_accounts]
"DE89370400440532013000" = "1110"
"""
"""A rule file that names every account of the starter rules."""


def starter(more: str = "") -> RuleSet:
    return load(ACCOUNTS + more, "acme.toml")


def rules(text: str) -> RuleSet:
    return load(text, "own.toml")


def rule(lines: str, more: str = "", posting: str = "", top: str = "") -> RuleSet:
    """One rule for invoices with one posting."""
    return rules(
        f"""{top}
[[rules]]
name = "own"
kind = "invoice"
{more}
  [[rules.postings]]
  name = "own"
  date = "issue_date"
  description = "{{party.name}}"
  {posting}
  lines = [
    {lines}
  ]
"""
    )


def mapped(
    ruleset: RuleSet, kind: str, row: dict[str, Any], rates: Rates | None = None, functional: str = "USD"
) -> Mapping:
    return map_document(ruleset, facts_of(kind, row), rates or Rates(), functional)


def postings(*arguments: Any, **more: Any) -> tuple[MappedPosting, ...]:
    """What was mapped, where it was."""
    found = mapped(*arguments, **more)
    assert not isinstance(found, Unmapped), found
    return found


def unmapped(*arguments: Any, **more: Any) -> Unmapped:
    """Why it was not mapped."""
    found = mapped(*arguments, **more)
    assert isinstance(found, Unmapped), found
    return found


def book(posting: MappedPosting) -> list[tuple[str, int]]:
    """Accounts and amounts, in order."""
    return [(line.account, line.amount) for line in posting.lines]


def functional(posting: MappedPosting) -> list[tuple[str, int]]:
    """Accounts and functional amounts, in order."""
    return [(line.account, line.amount if line.functional is None else line.functional) for line in posting.lines]


def spot(base: str, quote: str, rate: str, on: date = DAY, kind: str = "spot") -> Quote:
    return Quote(base, quote, kind, on, Decimal(rate))


def line(amount: int, **fields: Any) -> dict[str, Any]:
    columns = ("description", "quantity", "tax", "tax_code", "service_from", "service_to")
    return {"amount": amount, **dict.fromkeys(columns), **fields}


def tax(amount: int, **fields: Any) -> dict[str, Any]:
    return {"amount": amount, "code": None, "rate": None, "taxable": None, **fields}


def invoice(*lines: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An open sales invoice of these lines (one of 100.00 where there are none), whose figures agree."""
    parts = list(lines) or [line(10_000)]
    taxes = fields.get("taxes")
    amounts = {"subtotal": sum(each["amount"] for each in parts), "tax": sum(each["amount"] for each in taxes or ())}
    amounts |= {"rounding": 0} | {name: fields[name] for name in ("subtotal", "tax", "rounding") if name in fields}
    total = sum(amounts.values())
    return {
        "source": "billing",
        "external_id": "in_1",
        "direction": "RECEIVABLE",
        "kind": "INVOICE",
        "status": "OPEN",
        "source_status": "open",
        "number": "A-1",
        "party_name": "Blue Harbor",
        "party_external_id": "cus_1",
        "party_tax_id": None,
        "currency": "USD",
        "issue_date": DAY,
        "due_date": None,
        "prepaid": 0,
        "total": total,
        "amount_due": total,
        "taxes": None,
        "lines": parts,
        "raw": {},
        **amounts,
        **fields,
    }


def payment(kind: str, amount: int, **fields: Any) -> dict[str, Any]:
    return {
        "source": "billing",
        "external_id": "ch_1",
        "type": kind,
        "status": "SUCCEEDED",
        "source_status": "succeeded",
        "currency": "USD",
        "amount": amount,
        "occurred_on": DAY,
        "party_name": "Blue Harbor",
        "party_external_id": "cus_1",
        "raw": {},
        **fields,
    }


def payroll_run(**fields: Any) -> dict[str, Any]:
    """A posted run whose figures agree: 5,000.00 gross, 1,000.00 taxes, 200.00 deductions, 50.00 reimbursed."""
    return {
        "source": "payroll",
        "external_id": "run-1",
        "period_start": date(2026, 1, 1),
        "period_end": date(2026, 1, 31),
        "pay_date": date(2026, 2, 3),
        "source_status": "Posted",
        "currency": "USD",
        "gross": 500_000,
        "employee_taxes": 100_000,
        "deductions": 20_000,
        "reimbursements": 5_000,
        "net": 385_000,
        "employer_taxes": 60_000,
        "employer_contributions": 15_000,
        "total_cost": 575_000,
        **fields,
    }


def slip(gross: int | None, net: int, department: str | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "external_id": "slip-9",
        "employee_id": "e-77",
        "employee_name": "Quince Marrow",
        "department": department,
        "gross": gross,
        "net": net,
        **fields,
    }


def transaction(amount: int, **fields: Any) -> dict[str, Any]:
    return {
        "source": "bank",
        "account": "DE89370400440532013000",
        "external_id": "tx-1",
        "statement": "st-1",
        "status": "BOOKED",
        "amount": amount,
        "currency": "USD",
        "booked_on": DAY,
        "value_date": DAY,
        "dated_on": DAY,
        "description": "Salary Quince Marrow",
        "counterparty": "Quince Marrow",
        "reference": "Quince",
        "provisional": False,
        "raw": {},
        **fields,
    }


def prove(found: MappedPosting) -> None:
    """The ledger's own rules take the posting."""
    lines = []
    for each in found.lines:
        value = each.functional if each.functional is not None else each.amount
        side = "debit" if (each.amount or value) > 0 else "credit"
        lines.append(
            LineDraft(
                account=each.account,
                currency=each.currency,
                functional_amount=None if each.functional is None else format_minor(abs(value), 2),
                description=each.description,
                tax_code=each.tax_code,
                dimensions=each.dimensions,
                **{side: format_minor(abs(each.amount), EXPONENTS[each.currency])},
            )
        )
    draft = EntryDraft(
        ledger=LEDGER,
        idempotency_key="k",
        effective_date=found.effective_date,
        document_date=found.document_date,
        description=found.description,
        reference=found.reference,
        journal=found.journal,
        lines=tuple(lines),
        posted_by="pipeline",
    )
    checked, reasons = check(draft)
    assert checked is not None, (reasons, found)
