"""Tryton's invoices in our own terms. Facts: Tryton's module account_invoice, https://docs.tryton.org/latest/modules-account-invoice/.

A credit note is an invoice whose amounts are negative; here its amounts are positive, and `kind` tells. A validated invoice has
its number and is not in the books yet: it waits for approval. A cancelled one was posted or was not: both are void. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from sources.connectors.tryton_values import (
    Money,
    Record,
    UnreadableRecord,
    day,
    decimal,
    listed,
    related,
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

FIELDS: Final = (
    "type", "state", "number", "reference", "description", "invoice_date", "accounting_date", "currency.code",
    "party.name", "party.code", "party.tax_identifier.code", "party_tax_identifier.code",
    "untaxed_amount", "tax_amount", "total_amount", "amount_to_pay", "lines_to_pay.maturity_date", "account.code",
    "lines.type", "lines.amount", "lines.description", "lines.quantity", "lines.unit_price", "lines.unit.factor",
    "lines.product.rec_name", "lines.product.code", "lines.account.code", "lines.taxes.name", "lines.origin",
    "taxes.amount", "taxes.base", "taxes.tax.name", "taxes.tax.type", "taxes.tax.rate", "taxes.account.code",
    "move.number", "move.date", "move.state", "move.lines.account.code", "move.lines.debit", "move.lines.credit",
    "cancel_move.number", "cancel_move.date", "cancel_move.state",
    "create_date", "write_date",
)  # fmt: skip
"""What is read of account.invoice."""

_STATUS: Final[Mapping[str, InvoiceStatus]] = MappingProxyType(
    {
        "draft": InvoiceStatus.DRAFT,
        "validated": InvoiceStatus.PENDING_APPROVAL,
        "posted": InvoiceStatus.OPEN,
        "paid": InvoiceStatus.PAID,
        "cancelled": InvoiceStatus.VOID,
    }
)
_TIMES: Final = ("create_date", "write_date")
_DIRECTION: Final = {"out": InvoiceDirection.RECEIVABLE, "in": InvoiceDirection.PAYABLE}


def parse_invoice(record: Record, purchase: list[dict[str, Any]]) -> Invoice:
    """One record of FIELDS. `purchase`: what order and receipt say of its lines, kept in `raw` (see
    `sources.connectors.tryton_purchases`); empty: none of it was ordered. Raises UnreadableRecord."""
    direction = _DIRECTION.get(text(record, "type") or "")
    if direction is None:
        raise UnreadableRecord("its type is neither out nor in")
    state = text(record, "state") or ""
    code = text(related(record, "currency"), "code")
    is_credit = Money(code).need(record, "total_amount") < 0
    money = Money(code, negated=is_credit)
    number, reference = text(record, "number"), text(record, "reference")
    subtotal, tax, total = (money.need(record, name) for name in ("untaxed_amount", "tax_amount", "total_amount"))
    return Invoice(
        external_id=str(record["id"]),
        direction=direction,
        kind=InvoiceKind.CREDIT_NOTE if is_credit else InvoiceKind.INVOICE,
        status=_STATUS.get(state, InvoiceStatus.UNKNOWN),
        source_status=state,
        party=_party(record),
        currency=money.currency,
        subtotal=subtotal,
        tax=tax,
        total=total,
        rounding=total - subtotal - tax,
        # Tryton computes it from the move, which the first two states lack.
        amount_due=total if state in ("draft", "validated") else money.need(record, "amount_to_pay"),
        # A supplier's own number tells its bill, in whichever system.
        number=(reference or number) if direction is InvoiceDirection.PAYABLE else number,
        issue_date=day(record, "invoice_date"),
        accounting_date=day(record, "accounting_date"),
        due_date=max(
            (due for each in listed(record, "lines_to_pay") if (due := day(each, "maturity_date"))), default=None
        ),
        taxes=tuple([_tax(each, money) for each in listed(record, "taxes")]),
        lines=tuple([_line(each, money, is_credit) for each in listed(record, "lines") if each.get("type") == "line"]),
        raw={name: value for name, value in record.items() if name not in _TIMES}
        | _days(record)
        | ({"purchase": purchase} if purchase else {}),
    )


def _days(record: Record) -> dict[str, str]:
    """`voided_on`: of the move that cancels it."""
    voided = day(related(record, "cancel_move"), "date")
    return {} if voided is None else {"voided_on": voided.isoformat()}


def _party(record: Record) -> Party:
    """Its tax id as the invoice holds it once it is validated, else as the party has it now."""
    party = related(record, "party")
    tax_id = text(related(record, "party_tax_identifier"), "code") or text(related(party, "tax_identifier"), "code")
    name = text(party, "name") or text(party, "code") or f"party {party.get('id', '')}".strip()
    return Party(name=name, external_id=str(party["id"]) if "id" in party else None, tax_id=tax_id)


def _line(record: Record, money: Money, is_credit: bool) -> InvoiceLine:
    quantity = decimal(record, "quantity")
    if quantity is not None and is_credit:
        quantity = -quantity
    names = [name for each in listed(record, "taxes") if (name := text(each, "name"))]
    return InvoiceLine(
        amount=money.need(record, "amount"),
        description=text(record, "description") or text(related(record, "product"), "rec_name"),
        quantity=None if quantity is None else written(quantity),
        tax_code=names[0] if len(names) == 1 else None,
        account=text(related(record, "account"), "code"),
        product=text(related(record, "product"), "code"),
    )


def _tax(record: Record, money: Money) -> TaxAmount:
    tax = related(record, "tax")
    rate = decimal(tax, "rate") if tax.get("type") == "percentage" else None
    return TaxAmount(
        amount=money.need(record, "amount"),
        code=text(tax, "name"),
        rate=None if rate is None else written(rate * 100),
        taxable=money.need(record, "base"),
        account=text(related(record, "account"), "code"),
    )
