"""Xero's payments, overpayments and prepayments in our terms: pure functions, without I/O.
Facts: https://developer.xero.com/documentation/api/accounting/payments, overpayments, prepayments and types of the same reference.

A payment of Xero settles an invoice against an account of the organisation, mostly a bank account. Here it is a payment that no
processor stands between: `bank_account` is the account's code at Xero (its id, where it has no code), and the starter rules post it
between the receivable or payable and `bank_clearing`, where the bank's own line finds it.
- PAYMENT settles an invoice (money in) or a bill (money out), REFUND pays a credit note, overpayment or prepayment back: to a
  customer money out, by a supplier money in. `amount` is what the bank account moved by (BankAmount, in the account's currency),
  the presented amount what that settles, where the invoice's currency is another one.
- An overpayment or prepayment is money that no invoice is named for: a PAYMENT of the contact. To be allocated to an invoice later
  moves no money: the invoice counts it as `prepaid`. Xero does not say here which account it came to: `bank_account` is UNSTATED.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final

from sources.connectors.xero_accounting_records import party_of
from sources.connectors.xero_accounting_values import (
    Money,
    Record,
    UnreadableRecord,
    day,
    identity,
    kept,
    part,
    text,
)
from sources.documents import Payment, PaymentStatus, PaymentType

UNSTATED: Final = "unstated"
"""`bank_account` of money that came to, or went from, an account that Xero does not name beside it."""

_IN, _OUT = 1, -1
_TYPES: Final[Mapping[str, tuple[PaymentType, int]]] = MappingProxyType(
    {
        "ACCRECPAYMENT": (PaymentType.PAYMENT, _IN),
        "ACCPAYPAYMENT": (PaymentType.PAYMENT, _OUT),
        "ARCREDITPAYMENT": (PaymentType.REFUND, _OUT),
        "AROVERPAYMENTPAYMENT": (PaymentType.REFUND, _OUT),
        "ARPREPAYMENTPAYMENT": (PaymentType.REFUND, _OUT),
        "APCREDITPAYMENT": (PaymentType.REFUND, _IN),
        "APOVERPAYMENTPAYMENT": (PaymentType.REFUND, _IN),
        "APPREPAYMENTPAYMENT": (PaymentType.REFUND, _IN),
    }
)
_ADVANCES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "RECEIVE-OVERPAYMENT": _IN,
        "RECEIVE-PREPAYMENT": _IN,
        "AROVERPAYMENT": _IN,
        "ARPREPAYMENT": _IN,
        "SPEND-OVERPAYMENT": _OUT,
        "SPEND-PREPAYMENT": _OUT,
        "APOVERPAYMENT": _OUT,
        "APPREPAYMENT": _OUT,
    }
)
_STATUS: Final[Mapping[str, PaymentStatus]] = MappingProxyType(
    {
        "AUTHORISED": PaymentStatus.SUCCEEDED,
        "PAID": PaymentStatus.SUCCEEDED,
        "VOIDED": PaymentStatus.CANCELED,
    }
)
_SETTLED: Final = ("Invoice", "CreditNote", "Overpayment", "Prepayment")


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the organisation. `currency`: of a bank account; None: the organisation's own."""

    code: str | None
    currency: str | None


def parse_account(record: Record) -> tuple[str, Account]:
    """One record of /Accounts: its id and what it is. Raises UnreadableRecord."""
    return identity(record, "AccountID"), Account(text(record, "Code"), text(record, "CurrencyCode"))


def parse_payment(
    record: Record, accounts: Mapping[str, Account], home: str | None, tax_ids: Mapping[str, str]
) -> Payment:
    """One record of /Payments. `accounts`: by AccountID; `home`: the organisation's currency; `tax_ids`: by ContactID. Raises
    UnreadableRecord."""
    kind = text(record, "PaymentType") or ""
    if kind not in _TYPES:
        raise UnreadableRecord(f"its PaymentType {kind[:30]!r} is not known")
    payment_type, sign = _TYPES[kind]
    settled = _settled(record)
    is_advance = "OVERPAYMENT" in kind or "PREPAYMENT" in kind
    settles = _id_of(settled)
    status = text(record, "Status") or ""
    return Payment(
        external_id=identity(record, "PaymentID"),
        type=payment_type,
        status=_STATUS.get(status, PaymentStatus.PENDING),
        source_status=status,
        **_amounts(record, settled, sign, accounts, home),
        party=party_of(settled, tax_ids) if part(settled, "Contact") else None,
        invoice_external_id=None if is_advance else settles,
        parent_external_id=settles if is_advance else None,
        description=text(settled, "InvoiceNumber") or text(settled, "CreditNoteNumber"),
        reference=text(record, "Reference"),
        bank_account=_bank_account(record, accounts),
        raw=kept(record),
        occurred_on=_occurred(record),
    )


def parse_advance(record: Record, id_name: str, tax_ids: Mapping[str, str]) -> Payment:
    """One record of /Overpayments or /Prepayments, whose id is called `id_name`. Raises UnreadableRecord."""
    kind = text(record, "Type") or ""
    if kind not in _ADVANCES:
        raise UnreadableRecord(f"its Type {kind[:30]!r} is not known")
    money = Money(text(record, "CurrencyCode"))
    status = text(record, "Status") or ""
    return Payment(
        external_id=identity(record, id_name),
        type=PaymentType.PAYMENT,
        status=_STATUS.get(status, PaymentStatus.PENDING),
        source_status=status,
        currency=money.currency,
        amount=_ADVANCES[kind] * money.need(record, "Total"),
        party=party_of(record, tax_ids),
        reference=text(record, "Reference"),
        bank_account=UNSTATED,
        raw=kept(record),
        occurred_on=_occurred(record),
    )


def is_known(payment: Payment) -> bool:
    """Whether the status is one that Xero's reference lists."""
    return payment.source_status in _STATUS


def contact_of(record: Record) -> str | None:
    """The ContactID of a payment or any other record."""
    return text(part(record, "Contact") or part(_settled(record), "Contact"), "ContactID")


def _settled(record: Record) -> Record:
    """What a payment is for: Xero puts credit notes and advances under Invoice too."""
    return next((found for name in _SETTLED if (found := part(record, name))), {})


def _id_of(settled: Record) -> str | None:
    return next((found for name in _SETTLED if (found := text(settled, f"{name}ID"))), None)


def _amounts(
    record: Record, settled: Record, sign: int, accounts: Mapping[str, Account], home: str | None
) -> dict[str, Any]:
    """What the account moved by, and what that settled where it is in another currency."""
    owed = Money(text(settled, "CurrencyCode") or home)
    amount = owed.need(record, "Amount")
    account = accounts.get(text(part(record, "Account"), "AccountID") or "")
    if account is not None and account.currency is not None:
        held = Money(account.currency)
    elif record.get("BankAmount") in (None, record.get("Amount")):
        held = owed
    elif account is not None:
        held = Money(home)
    else:
        raise UnreadableRecord("its Account is not known, and so is the currency of its BankAmount")
    moved = held.get(record, "BankAmount")
    if held.currency == owed.currency:
        if moved not in (None, amount):
            raise UnreadableRecord("its Amount and BankAmount differ in one currency", "DISAGREEING_FIGURES")
        return {"currency": owed.currency, "amount": sign * amount}
    if moved is None:
        raise UnreadableRecord(f"its BankAmount in {held.currency} is missing")
    presented = {"presented_currency": owed.currency, "presented_amount": sign * amount}
    return {"currency": held.currency, "amount": sign * moved, **presented}


def _bank_account(record: Record, accounts: Mapping[str, Account]) -> str:
    stated = part(record, "Account")
    external_id = text(stated, "AccountID")
    account = accounts.get(external_id or "")
    return text(stated, "Code") or (account.code if account else None) or external_id or UNSTATED


def _occurred(record: Record) -> date:
    found = day(record, "Date")
    if found is None:
        raise UnreadableRecord("its Date is missing")
    return found
