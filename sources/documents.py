"""What source systems state, in our own terms: frozen values that connectors produce, the mirror stores and mapping reads.

Amounts are integer minor units of the document's currency (`sources.money`); dates are calendar dates; timestamps are UTC.
`raw` is the source's own payload (JSON-able), kept beside for audit; it never holds secrets.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple, Protocol


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


class PaymentType(StrEnum):
    """PAYMENT: a payer's money; REFUND: given back; FEE: what the processor charges for itself, on its own; DISPUTE: money that a
    payer's bank takes back, or returns; PAYOUT: to our bank; TRANSFER: between accounts at the processor, and all else."""

    PAYMENT = "PAYMENT"
    REFUND = "REFUND"
    FEE = "FEE"
    DISPUTE = "DISPUTE"
    PAYOUT = "PAYOUT"
    TRANSFER = "TRANSFER"


class PaymentStatus(StrEnum):
    """PENDING: the money has not moved for good; SUCCEEDED: it has; FAILED and CANCELED: it has not, or came back."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    name: str
    external_id: str | None = None
    tax_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxAmount:
    """One tax of an invoice. `rate` is a percentage as an exact decimal string ("19", "7.75"). `account`: code of the account
    that the source itself books it to, of a source that keeps books."""

    amount: int
    code: str | None = None
    rate: str | None = None
    taxable: int | None = None
    account: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    """`quantity` is an exact decimal string; `amount` excludes tax. `account`: as of a TaxAmount; `product`: id or code of
    what is sold or bought, at the source."""

    amount: int
    description: str | None = None
    quantity: str | None = None
    tax: int | None = None
    tax_code: str | None = None
    service_from: date | None = None
    service_to: date | None = None
    account: str | None = None
    product: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """Amounts as the document prints them, possibly negative; `kind` tells which way they count.
    total = subtotal + tax + rounding; amount_due = total - prepaid - what was paid since. `paid_elsewhere`: how much of that was paid
    past a source that states payments, and is none of them. `accounting_date`: by which a source that keeps books booked it, where
    that is not the issue date."""

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
    paid_elsewhere: int = 0
    paid_elsewhere_on: date | None = None
    accounting_date: date | None = None
    taxes: tuple[TaxAmount, ...] | None = None
    lines: tuple[InvoiceLine, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Payslip:
    """net = gross - employee_taxes - deductions + reimbursements; None: the source does not give it. `deductions`: all others than
    taxes, court orders too."""

    external_id: str
    employee_id: str
    employee_name: str
    net: int
    gross: int | None = None
    department: str | None = None
    employee_taxes: int | None = None
    deductions: int | None = None
    reimbursements: int | None = None
    employer_taxes: int | None = None
    employer_contributions: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayrollRun:
    """net = gross - employee_taxes - deductions + reimbursements; None: the source does not give it.
    total_cost = gross + employer_taxes + employer_contributions, set where the source states it (a listing may state it
    without its parts, and some count reimbursements in).
    `payslips` is None while they have not been asked for (see `Connector.fetch_payslips`). `payslips_follow`: the run is final, and
    the rest of its figures is in its payslips alone: it posts once they were read."""

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
    payslips_follow: bool = False
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """A movement of our account at a payment processor, or, with `bank_account`, a PAYMENT or REFUND that a source which keeps books
    says was paid to or from that account itself. Amounts are signed, in the currency of the account, and money in is positive: a
    payment's `amount` is positive (of a bill: negative), those of a refund (by a vendor: positive), a fee, a lost dispute and a
    payout are negative. `bank_account` of a payout is where it goes. `fee` is what the processor keeps of it (positive; negative:
    it gives a fee back), net = amount - fee: what the account's balance changes by; None: the source does not state them (yet).
    `presented_amount`, `presented_currency`: what the payer paid or got, signed alike, where that is another currency.
    `occurred_on`: when it changed the balance; `available_on`: from when on it can be paid out, of a payout: when it arrives.
    `parent_external_id`: the payment that a refund or dispute is about, the dispute that a later movement is about.
    `paid_out`: of a payout, the external ids of what it pays out; () where that is not known."""

    external_id: str
    type: PaymentType
    status: PaymentStatus
    source_status: str
    currency: str
    amount: int
    fee: int | None = None
    net: int | None = None
    presented_amount: int | None = None
    presented_currency: str | None = None
    occurred_on: date
    available_on: date | None = None
    party: Party | None = None
    invoice_external_id: str | None = None
    payout_external_id: str | None = None
    parent_external_id: str | None = None
    description: str | None = None
    reference: str | None = None
    bank_account: str | None = None
    paid_out: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)


Document = Invoice | PayrollRun | BankStatement | Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A document that the source no longer has, or says was deleted."""

    kind: str  # "invoice", "payroll_run", "bank_statement" or "payment"
    external_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something of a source that could not be read: a file, a record. `subject` names it, `message` says why, for a person;
    `code` is for programs (UNREADABLE_FILE, UNREADABLE_RECORD, UNKNOWN_CURRENCY …). `again`: by what the connector that states it
    finds the record once more (`ReadsAgain`); None: it comes again by itself, or not at all."""

    subject: str
    code: str
    message: str
    again: str | None = None


class ReadFile(NamedTuple):
    """A file that was read, by the start of its bytes' SHA-256 (hexadecimal). `name`: for people; `stated`: types and external ids
    of its documents. `reason`: why it could not be read, None: it could."""

    name: str
    checksum: str
    stated: Sequence[tuple[type, str]] = ()
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a pull. `cursor` is opaque to everyone but the connector: stored with the page, in the same transaction,
    and given to the next pull. `complete` is true on the last page. `afresh`: the first page of a pull that found another
    account at the source than the cursor's: nothing that is held of the source counts any more. `unread`: kind and external
    id of what it lists and cannot be read, which is not gone: the version that is held stays. An id of "": the record does not say
    which it is, so that no document of the kind counts as gone by not being listed. `files`: those that were looked at for it."""

    documents: Sequence[Document]
    cursor: str | None
    deletions: Sequence[Deletion] = ()
    problems: Sequence[Problem] = ()
    complete: bool = False
    afresh: bool = False
    unread: Sequence[tuple[str, str]] = ()
    files: Sequence[ReadFile] = ()


class Connector(Protocol):
    """One source system. Constructed with its settings, without I/O; `close()` releases its session."""

    def pull(self, cursor: str | None) -> AsyncIterator[Page]:
        """Everything that changed since the cursor; None: everything. Raises SourceUnavailable."""
        ...

    async def fetch_payslips(self, run_external_id: str) -> tuple[Payslip, ...] | None:
        """The payslips of one payroll run; None: this source gives none. Raises SourceUnavailable."""
        ...

    async def close(self) -> None: ...


class ReadsAgain(Protocol):
    """A connector whose pulls give what changed alone, so that a record that could not be read would not come again."""

    async def read_again(self, cursor: str | None, problems: Sequence[Problem]) -> Page:
        """What the records of these problems are now, by their `again`; `cursor`: behind the last page, and the page's own goes on
        from it. A problem that the page does not name is one no more. Raises SourceUnavailable."""
        ...
