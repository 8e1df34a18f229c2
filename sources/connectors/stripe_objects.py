"""Stripe's objects in our terms: pure functions from the API's JSON to documents. No I/O.

Field definitions: https://docs.stripe.com/api/invoices/object and https://docs.stripe.com/api/credit_notes/object. Two shapes of
taxes are read: `total_taxes`/`taxes` (API 2025-03-31 and later) and `tax`/`total_tax_amounts`/`tax_amounts` (before).

How Stripe's amounts become ours, so that total = subtotal + tax and amount_due = total - prepaid - what was paid:
- `total` is Stripe's `total`: after discounts, shipping, billing credits and all taxes.
- `tax` is all tax in it, inclusive and exclusive: the stated taxes, else `total - total_excluding_tax`, else 0.
- `subtotal` is `total - tax`. Stripe's own `subtotal` is before invoice discounts and may hold inclusive tax.
- `prepaid` is `total - amount_due`: what the customer's credit balance and pre-payment credit notes cover before anything is
  collected. It is negative where Stripe adds an older debt of the customer to this invoice.
- `amount_due` is Stripe's `amount_remaining`.
- A line's amount is after its discounts and without inclusive tax; shipping and billing credits are lines of their own. So lines
  add up to the subtotal wherever Stripe's numbers do.
- `paid_elsewhere` is what was paid past Stripe: no payment of it follows.
- A credit note is applied at once and in full (refund, credit balance or the invoice itself): an issued one is PAID with
  nothing due. Its amounts are positive, as printed.
Days are UTC: Stripe's timestamps are, and an account's own time zone is not in the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from sources.connectors.stripe_records import (
    Money,
    Record,
    UnreadableRecord,
    day,
    decimal_text,
    embedded,
    identity,
    items,
    mapping,
    reference,
    text,
    whole,
)
from sources.documents import (
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    Problem,
    TaxAmount,
)
from sources.texts import plain

_STATUSES = {
    "draft": InvoiceStatus.DRAFT,
    "open": InvoiceStatus.OPEN,
    "paid": InvoiceStatus.PAID,
    "void": InvoiceStatus.VOID,
    "uncollectible": InvoiceStatus.UNCOLLECTIBLE,
}
_CREDIT_NOTE_STATUSES = {"issued": InvoiceStatus.PAID, "void": InvoiceStatus.VOID}

# Links and tokens that open the document to whoever holds them, and payments, which are documents of their own.
_LEFT_OUT = frozenset({"payments", "hosted_invoice_url", "invoice_pdf", "pdf", "client_secret", "confirmation_secret"})


def problem(subject: str, error: UnreadableRecord, again: str | None = None) -> Problem:
    return Problem(subject=subject, code=error.code, message=f"Stripe's {subject} was not read: {error}.", again=again)


def parse_invoice(record: Record, customer: Record | None = None, lines: Sequence[Any] | None = None) -> Invoice:
    """An invoice. `customer`: the customer's object, where the invoice holds neither its name nor its e-mail; `lines`: all
    of its lines, where the invoice holds the first of them only. Raises UnreadableRecord."""
    money = Money(record)
    total = money.need(record, "total")
    taxes = items(record, "total_taxes", "total_tax_amounts")
    tax = _tax(record, money, taxes, total)
    paid = money.get(record, "amount_paid") or 0
    due = money.get(record, "amount_due")
    due = total if due is None else due
    remaining = money.get(record, "amount_remaining")
    status = text(record, "status") or ""
    return Invoice(
        external_id=identity(record),
        direction=InvoiceDirection.RECEIVABLE,
        kind=InvoiceKind.INVOICE,
        status=_STATUSES.get(status, InvoiceStatus.UNKNOWN),
        source_status=status,
        party=_party(record, customer),
        currency=money.currency,
        subtotal=total - tax,
        tax=tax,
        total=total,
        amount_due=due - paid if remaining is None else remaining,
        prepaid=total - due,
        number=text(record, "number"),
        issue_date=_issue_date(record, status),
        due_date=day(record, "due_date"),
        taxes=_tax_amounts(taxes, money),
        lines=_lines(record, money, lines) + _extra_lines(record, money),
        **_paid_elsewhere(record, money),
        raw=_raw(record),
    )


def parse_credit_note(record: Record, lines: Sequence[Any] | None = None) -> Invoice:
    """A credit note, as an Invoice of kind CREDIT_NOTE. Arguments and errors as of parse_invoice."""
    money = Money(record)
    total = money.get(record, "total")
    total = money.need(record, "amount") if total is None else total
    taxes = items(record, "total_taxes", "tax_amounts")
    tax = _tax(record, money, taxes, total)
    status = text(record, "status") or ""
    return Invoice(
        external_id=identity(record),
        direction=InvoiceDirection.RECEIVABLE,
        kind=InvoiceKind.CREDIT_NOTE,
        status=_CREDIT_NOTE_STATUSES.get(status, InvoiceStatus.UNKNOWN),
        source_status=status,
        party=_party(record, None),
        currency=money.currency,
        subtotal=total - tax,
        tax=tax,
        total=total,
        amount_due=0,
        number=text(record, "number"),
        issue_date=day(record, "effective_at") or day(record, "created"),
        taxes=_tax_amounts(taxes, money),
        lines=_lines(record, money, lines) + _extra_lines(record, money),
        raw=_raw(record),
    )


def _paid_elsewhere(record: Record, money: Money) -> dict[str, Any]:
    """Parts of `payments` that are no payment of Stripe's own; before API 2025-03-31 all that was due of an invoice that says so.
    https://docs.stripe.com/api/invoice-payment/object"""
    parts = [part for part in embedded(record, "payments")[0] if isinstance(part, dict) and _is_elsewhere(part)]
    moments = [moment for part in parts if (moment := day(mapping(part, "status_transitions"), "paid_at"))]
    amount = sum(money.get(part, "amount_paid") or 0 for part in parts)
    if not amount and record.get("paid_out_of_band") is True and text(record, "status") == "paid":
        amount = money.get(record, "amount_due") or 0
    paid = day(mapping(record, "status_transitions"), "paid_at")
    return {"paid_elsewhere": amount, "paid_elsewhere_on": max(moments, default=paid) if amount else None}


def _is_elsewhere(part: Record) -> bool:
    kind = text(mapping(part, "payment"), "type")
    return text(part, "status") == "paid" and kind is not None and kind not in ("charge", "payment_intent")


def _issue_date(record: Record, status: str) -> date | None:
    """The day printed on the invoice; a draft is not issued yet, unless its day is set already."""
    transitions = mapping(record, "status_transitions")
    issued = day(record, "effective_at") or day(transitions, "finalized_at")
    return issued or (None if status == "draft" else day(record, "created"))


def _party(record: Record, customer: Record | None) -> Party:
    known = customer or mapping(record, "customer")
    name = text(record, "customer_name") or text(known, "name")
    email = text(record, "customer_email") or text(known, "email")
    external_id = reference(record.get("customer"))
    tax_ids = items(record, "customer_tax_ids") or [
        item for item in embedded(known, "tax_ids")[0] if isinstance(item, dict)
    ]
    return Party(
        name=name or email or external_id or "unknown",
        external_id=external_id,
        tax_id=next((value for value in (text(item, "value") for item in tax_ids) if value), None),
    )


def _tax(record: Record, money: Money, taxes: list[Record] | None, total: int) -> int:
    stated = money.get(record, "tax")
    if stated is not None:
        return stated
    if taxes:
        return money.sum(taxes)
    without = money.get(record, "total_excluding_tax")
    return 0 if without is None else total - without


def _tax_amounts(taxes: list[Record] | None, money: Money) -> tuple[TaxAmount, ...] | None:
    return tuple(_tax_amount(item, money) for item in taxes) if taxes else None


def _tax_amount(item: Record, money: Money) -> TaxAmount:
    return TaxAmount(
        amount=money.need(item, "amount"),
        code=_tax_code(item),
        rate=decimal_text(mapping(item, "tax_rate").get("percentage")),
        taxable=money.get(item, "taxable_amount"),
    )


def _tax_code(item: Record) -> str | None:
    return reference(item.get("tax_rate")) or reference(mapping(item, "tax_rate_details").get("tax_rate"))


def _is_inclusive(item: Record) -> bool:
    return item.get("inclusive") is True or item.get("tax_behavior") == "inclusive"


def _lines(record: Record, money: Money, lines: Sequence[Any] | None) -> tuple[InvoiceLine, ...]:
    stated = embedded(record, "lines")[0] if lines is None else lines
    if not all(isinstance(line, dict) for line in stated):
        raise UnreadableRecord("its lines cannot be read")
    return tuple(_line(line, money) for line in stated)


def _line(line: Record, money: Money) -> InvoiceLine:
    taxes = items(line, "taxes", "tax_amounts")
    inclusive = money.sum([item for item in taxes or () if _is_inclusive(item)])
    codes = {code for code in map(_tax_code, taxes or ()) if code}
    service_from, service_to = _service_period(mapping(line, "period"))
    return InvoiceLine(
        amount=money.need(line, "amount") - money.sum(items(line, "discount_amounts") or []) - inclusive,
        description=text(line, "description"),
        quantity=decimal_text(line.get("quantity_decimal")) or decimal_text(line.get("quantity")),
        tax=money.sum(taxes) if taxes else None,
        tax_code=codes.pop() if len(codes) == 1 else None,
        service_from=service_from,
        service_to=service_to,
        product=_product(line),
    )


def _product(line: Record) -> str | None:
    """Since API 2025-03-31 the price is among `pricing`, before that in the line; a credit note's line has none."""
    priced = mapping(mapping(line, "pricing"), "price_details")
    return reference(priced.get("product")) or reference(mapping(line, "price").get("product"))


def _service_period(period: Record) -> tuple[date | None, date | None]:
    """Stripe's period ends with the second in which the next one starts; ours with its last day."""
    start, end = whole(period, "start"), whole(period, "end")
    if start is not None and end is not None and end > start:
        period = {"start": start, "end": end - 1}
    return day(period, "start"), day(period, "end")


def _extra_lines(record: Record, money: Money) -> tuple[InvoiceLine, ...]:
    """Shipping and billing credits, which Stripe states beside the lines."""
    extra = []
    shipping = mapping(record, "shipping_cost")
    if whole(record, "amount_shipping") and shipping:
        amount = money.need(shipping, "amount_subtotal")
        extra.append(InvoiceLine(amount=amount, description="Shipping", tax=money.get(shipping, "amount_tax")))
    credits_ = items(record, "total_pretax_credit_amounts") or []
    credited = money.sum([item for item in credits_ if item.get("type") == "credit_balance_transaction"])
    if credited:
        extra.append(InvoiceLine(amount=-credited, description="Billing credits"))
    return tuple(extra)


def _raw(record: Record) -> Record:
    kept = {key: value for key, value in record.items() if key not in _LEFT_OUT}
    if isinstance(kept.get("customer"), dict):
        kept["customer"] = reference(kept["customer"])
    try:
        raw: Record = plain(kept)
    except RecursionError:
        raise UnreadableRecord("it is nested too deeply") from None
    return raw
