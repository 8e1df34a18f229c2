"""Xero's invoices, bills and credit notes in our terms: pure functions, without I/O.
Facts: https://developer.xero.com/documentation/api/accounting/invoices, creditnotes and types of the same reference.

- A line's `LineAmount` excludes tax where the document's LineAmountTypes is Exclusive, and includes it where it is Inclusive: then
  the line's TaxAmount is taken off. SubTotal, TotalTax and Total are Xero's own and are never computed anew.
- `prepaid` of an invoice is what credit notes, prepayments and overpayments were allocated to it (AmountCredited); of a credit
  note what of it was allocated to invoices. What payments settled is in neither.
- Taxes are the lines' TaxAmounts by TaxType, each with the rate that the organisation's tax rates give. A document whose lines do
  not come with their tax (a summary) has none; its TotalTax stands.
- A bill's InvoiceNumber is its supplier's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sources.connectors.xero_accounting_values import (
    Money,
    Record,
    UnreadableRecord,
    day,
    decimal,
    identity,
    kept,
    listed,
    part,
    text,
    written,
)
from sources.documents import (
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    TaxAmount,
)

DELETED: Final = "DELETED"
"""What Xero calls a draft, or a payment, that somebody deleted."""

_STATUS: Final[Mapping[str, InvoiceStatus]] = MappingProxyType(
    {
        "DRAFT": InvoiceStatus.DRAFT,
        "SUBMITTED": InvoiceStatus.PENDING_APPROVAL,
        "AUTHORISED": InvoiceStatus.OPEN,
        "PAID": InvoiceStatus.PAID,
        "VOIDED": InvoiceStatus.VOID,
    }
)
_DIRECTION: Final = {
    "ACCREC": InvoiceDirection.RECEIVABLE,
    "ACCPAY": InvoiceDirection.PAYABLE,
    "ACCRECCREDIT": InvoiceDirection.RECEIVABLE,
    "ACCPAYCREDIT": InvoiceDirection.PAYABLE,
}
_AMOUNTS: Final = ("Exclusive", "Inclusive", "NoTax")
_CREDITS: Final = ("ACCRECCREDIT", "ACCPAYCREDIT")


def parse_invoice(record: Record, rates: Mapping[str, str], tax_ids: Mapping[str, str]) -> Invoice:
    """One record of /Invoices or /CreditNotes. `rates`: percentages by TaxType; `tax_ids`: by ContactID. Raises UnreadableRecord."""
    kind = text(record, "Type") or ""
    if kind not in _DIRECTION:
        raise UnreadableRecord(f"its Type {kind[:30]!r} is not known")
    is_credit = kind in _CREDITS
    status = text(record, "Status") or ""
    money = Money(text(record, "CurrencyCode"))
    amounts = text(record, "LineAmountTypes") or ""
    lines = [_line(each, money, amounts) for each in listed(record, "LineItems")]
    return Invoice(
        external_id=identity(record, "CreditNoteID" if is_credit else "InvoiceID"),
        direction=_DIRECTION[kind],
        kind=InvoiceKind.CREDIT_NOTE if is_credit else InvoiceKind.INVOICE,
        status=_STATUS.get(status, InvoiceStatus.UNKNOWN),
        source_status=status,
        party=party_of(record, tax_ids),
        currency=money.currency,
        subtotal=money.need(record, "SubTotal"),
        tax=money.need(record, "TotalTax"),
        total=money.need(record, "Total"),
        amount_due=money.need(record, "RemainingCredit" if is_credit else "AmountDue"),
        number=text(record, "CreditNoteNumber" if is_credit else "InvoiceNumber"),
        issue_date=day(record, "Date"),
        due_date=day(record, "DueDate"),
        prepaid=_allocated(record, money) if is_credit else money.get(record, "AmountCredited") or 0,
        taxes=_taxes(lines, rates),
        lines=tuple(lines),
        raw=kept(record),
    )


def party_of(record: Record, tax_ids: Mapping[str, str]) -> Party:
    """The contact that a record names. Raises UnreadableRecord where it names none."""
    contact = part(record, "Contact")
    external_id = text(contact, "ContactID")
    name = text(contact, "Name") or external_id
    if name is None:
        raise UnreadableRecord("its Contact has neither a name nor an id")
    return Party(name=name, external_id=external_id, tax_id=tax_ids.get(external_id or ""))


def parse_rates(records: Sequence[Any]) -> dict[str, str]:
    """Percentages by TaxType, of /TaxRates: "15", "8.25". One that cannot be read is left out: the tax keeps its code."""
    found: dict[str, str] = {}
    for record in records:
        if not isinstance(record, dict):
            continue
        try:
            code, rate = text(record, "TaxType"), decimal(record, "EffectiveRate")
        except UnreadableRecord:
            continue
        if code and rate is not None:
            found[code] = written(rate)
    return found


def _allocated(record: Record, money: Money) -> int:
    """What of a credit note invoices got."""
    return sum(
        money.need(each, "Amount") for each in listed(record, "Allocations") if each.get("IsDeleted") is not True
    )


def _line(record: Record, money: Money, amounts: str) -> InvoiceLine:
    """A line with a description alone is a remark. Raises UnreadableRecord."""
    if amounts not in _AMOUNTS:
        raise UnreadableRecord(f"its LineAmountTypes {amounts[:30]!r} is not known")
    amount, tax = money.get(record, "LineAmount"), money.get(record, "TaxAmount")
    if amount is None:
        if tax or text(record, "AccountCode") or not text(record, "Description"):
            raise UnreadableRecord("its LineItems have one without LineAmount")
        amount = 0
    quantity = decimal(record, "Quantity")
    return InvoiceLine(
        amount=amount - (tax or 0) if amounts == "Inclusive" else amount,
        description=text(record, "Description"),
        quantity=None if quantity is None else written(quantity),
        tax=tax,
        tax_code=text(record, "TaxType"),
        account=text(record, "AccountCode"),
        product=text(record, "ItemCode"),
    )


def _taxes(lines: Sequence[InvoiceLine], rates: Mapping[str, str]) -> tuple[TaxAmount, ...] | None:
    """By TaxType, in order of the lines; None where no line states a tax."""
    by_code: dict[str | None, list[InvoiceLine]] = {}
    for line in lines:
        if line.tax is not None:
            by_code.setdefault(line.tax_code, []).append(line)
    if not by_code:
        return None
    return tuple(
        TaxAmount(
            amount=sum(line.tax or 0 for line in taxed),
            code=code,
            rate=rates.get(code or ""),
            taxable=sum(line.amount for line in taxed),
        )
        for code, taxed in by_code.items()
    )
