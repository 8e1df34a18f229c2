"""What source systems state, in our own terms: frozen values that connectors produce, the mirror stores and mapping reads.

Amounts are integer minor units of the document's currency (`sources.money`); dates are calendar dates; timestamps are UTC.
`raw` is the source's own payload (JSON-able), kept beside for audit; it never holds secrets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Protocol


class InvoiceDirection(StrEnum):
    RECEIVABLE = "RECEIVABLE"
    PAYABLE = "PAYABLE"


class InvoiceKind(StrEnum):
    INVOICE = "INVOICE"
    CREDIT_NOTE = "CREDIT_NOTE"


class InvoiceStatus(StrEnum):
    DRAFT = "DRAFT"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    OPEN = "OPEN"
    PAID = "PAID"
    VOID = "VOID"
    UNCOLLECTIBLE = "UNCOLLECTIBLE"
    UNKNOWN = "UNKNOWN"


class BankTransactionStatus(StrEnum):
    BOOKED = "BOOKED"
    PENDING = "PENDING"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    name: str
    external_id: str | None = None
    tax_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxAmount:
    """One tax of an invoice. `rate` is a percentage as an exact decimal string ("19", "7.75")."""

    amount: int
    code: str | None = None
    rate: str | None = None
    taxable: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """`quantity` is an exact decimal string; `amount` excludes tax."""

    amount: int
    description: str | None = None
    quantity: str | None = None
    tax: int | None = None
    tax_code: str | None = None
    service_from: date | None = None
    service_to: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """Amounts as the document prints them, possibly negative; `kind` tells which way they count.
    total = subtotal + tax + rounding; amount_due = total - prepaid - what was paid since."""

    external_id: str
    direction: InvoiceDirection
    kind: InvoiceKind
    status: InvoiceStatus
    source_status: str
    party: Party
    currency: str
    subtotal: int
    tax: int
    total: int
    amount_due: int
    number: str | None = None
    issue_date: date | None = None
    due_date: date | None = None
    rounding: int = 0
    prepaid: int = 0
    taxes: tuple[TaxAmount, ...] | None = None
    lines: tuple[InvoiceLine, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payslip:
    external_id: str
    employee_id: str
    employee_name: str
    net: int
    gross: int | None = None
    department: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayrollRun:
    """net = gross - employee_taxes - deductions + reimbursements; None: the source does not give it.
    total_cost = gross + employer_taxes + employer_contributions, set where the source states it (a listing may state it
    without its parts).
    `payslips` is None while they have not been asked for (see `Connector.fetch_payslips`)."""

    external_id: str
    period_start: date
    period_end: date
    pay_date: date
    source_status: str
    currency: str
    net: int
    gross: int | None = None
    employee_taxes: int | None = None
    deductions: int | None = None
    reimbursements: int | None = None
    employer_taxes: int | None = None
    employer_contributions: int | None = None
    total_cost: int | None = None
    payslips: tuple[Payslip, ...] | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """`external_id` is the IBAN where there is one, else the bank's own identification of the account."""

    external_id: str
    currency: str
    name: str | None = None
    iban: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BankTransaction:
    """One statement entry (`Ntry`, `:61:`). `amount` is signed: money in is positive. `external_id` is unique within the
    account; two identical lines of one statement are two transactions with two ids."""

    external_id: str
    status: BankTransactionStatus
    amount: int
    currency: str
    booked_on: date | None = None
    value_date: date | None = None
    description: str | None = None
    counterparty: str | None = None
    reference: str | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class BankStatement:
    """One statement or report of one account. Balances are signed minor units, None where the file gives none.
    `provisional`: a camt.052, camt.054 or MT942, whose entries count only until an authoritative statement covers them.
    `from_date`..`to_date` is the period that it covers, as far as the file tells. `warnings` are sentences for a person."""

    external_id: str
    account: BankAccount
    provisional: bool
    transactions: tuple[BankTransaction, ...]
    from_date: date | None = None
    to_date: date | None = None
    opening: int | None = None
    closing: int | None = None
    closing_available: int | None = None
    warnings: tuple[str, ...] = ()


Document = Invoice | PayrollRun | BankStatement


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A document that the source no longer has, or says was deleted."""

    kind: str  # "invoice", "payroll_run" or "bank_statement"
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something of a source that could not be read: a file, a record. `subject` names it, `message` says why, for a person;
    `code` is for programs (UNREADABLE_FILE, UNREADABLE_RECORD, UNKNOWN_CURRENCY …)."""

    subject: str
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a pull. `cursor` is opaque to everyone but the connector: stored with the page, in the same transaction,
    and given to the next pull. `complete` is true on the last page. `afresh`: the first page of a pull that found another
    account at the source than the cursor's: nothing that is held of the source counts any more."""

    documents: Sequence[Document]
    cursor: str | None
    deletions: Sequence[Deletion] = ()
    problems: Sequence[Problem] = ()
    complete: bool = False
    afresh: bool = False


class Connector(Protocol):
    """One source system. Constructed with its settings, without I/O; `close()` releases its session."""

    def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Everything that changed since the cursor; None: everything. Raises SourceUnavailable."""
        ...

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """The payslips of one payroll run; None: this source gives none. Raises SourceUnavailable."""
        ...

    async def close(self) -> None: ...
