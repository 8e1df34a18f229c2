"""An electronic invoice as our document. Pure.

Its key is the seller's identifier, the type, the number and the day of issue: the same invoice in another syntax, in a PDF or in a file of another
name is the same document. The supplier's figures are taken as they stand; where they disagree the document says so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from sources.connectors.einvoice_terms import EInvoice, Item, Side, Tax
from sources.connectors.files_values import UnreadableFile, quote
from sources.documents import (
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    Party,
    TaxAmount,
)
from sources.money import EXPONENTS, format_minor

_CREDIT_NOTES = "81 83 261 262 296 308 381 396 420 458 502 503 532"
_INVOICES = (
    "71 80 82 84 102 130 202 203 204 211 218 219 295 325 326 331 380 382 383 384 385 386 387 388 389 390 393 394 395 "
    "456 457 471 472 473 500 501 527 553 575 623 633 751 780 817 870 875 876 877 935"
)
_SELF_BILLED = "261 389 471 473 500 501 502 527"
_KINDS = {
    **dict.fromkeys(_INVOICES.split(), InvoiceKind.INVOICE),
    **dict.fromkeys(_CREDIT_NOTES.split(), InvoiceKind.CREDIT_NOTE),
}
_PRO_FORMA = "325"
_STANDARD_RATE = "S"
_DIGIT = re.compile("[0-9]")  # an identifier without one, such as "XX" or "n/a", identifies nobody


@dataclass(frozen=True, slots=True)
class Ours:
    """Which side of an invoice is ours. `tax_ids`: as `bare` gives them; `direction`: where they do not tell."""

    direction: InvoiceDirection = InvoiceDirection.PAYABLE
    tax_ids: frozenset[str] = frozenset()

    def direction_of(self, invoice: EInvoice) -> InvoiceDirection:
        """Raises UnreadableFile for an invoice of others, and for a self-billed one that may be of either side."""
        sells, buys = self._is(invoice.seller), self._is(invoice.buyer)
        if sells != buys:
            return InvoiceDirection.RECEIVABLE if sells else InvoiceDirection.PAYABLE
        if self.tax_ids and invoice.seller.vat_id and invoice.buyer.vat_id and not sells:
            raise UnreadableFile(
                f"it is an invoice from {quote(invoice.seller.vat_id)} to {quote(invoice.buyer.vat_id)}, and neither is in own_tax_id"
            )
        if invoice.type_code in _SELF_BILLED.split() and self.direction is InvoiceDirection.PAYABLE:
            raise UnreadableFile(
                f"it is self-billed (BT-3 is {invoice.type_code}): state own_tax_id, which tells whether we are its seller"
            )
        return self.direction

    def _is(self, side: Side) -> bool:
        return any(bare(each) in self.tax_ids for each in (side.vat_id, side.tax_number, side.legal_id) if each)


def bare(text: str) -> str:
    """An identifier without the blanks and marks that systems write differently."""
    return "".join(character for character in text if character.isalnum()).upper()


def to_invoice(invoice: EInvoice, ours: Ours) -> Invoice:
    """Raises UnreadableFile for what is no invoice, or nobody's."""
    kind = _kind(invoice.type_code)
    direction = ours.direction_of(invoice)
    totals = invoice.totals
    rounding, prepaid = totals.rounding or 0, totals.prepaid or 0
    total = totals.gross + rounding
    due = total - prepaid if totals.due is None else totals.due
    return Invoice(
        external_id=_external_id(invoice),
        direction=direction,
        kind=kind,
        status=_status(invoice, due),
        source_status="received" if direction is InvoiceDirection.PAYABLE else "issued",
        party=_party(invoice.seller if direction is InvoiceDirection.PAYABLE else invoice.buyer, direction),
        currency=invoice.currency,
        subtotal=totals.net,
        tax=totals.tax or 0,
        total=total,
        amount_due=due,
        number=invoice.number,
        issue_date=invoice.issue_date,
        due_date=invoice.due_date,
        rounding=rounding,
        prepaid=prepaid,
        taxes=_taxes(invoice.taxes),
        lines=tuple(_line(each, direction) for each in invoice.items),
        raw=_raw(invoice, kind),
    )


def _kind(type_code: str) -> InvoiceKind:
    if type_code not in _KINDS:
        raise UnreadableFile(f"BT-3: {quote(type_code)} is no type of invoice or credit note (UNTDID 1001)")
    return _KINDS[type_code]


def _status(invoice: EInvoice, due: int) -> InvoiceStatus:
    if invoice.type_code == _PRO_FORMA:
        return InvoiceStatus.DRAFT
    return InvoiceStatus.OPEN if due else InvoiceStatus.PAID


def _party(side: Side, direction: InvoiceDirection) -> Party:
    name = side.name or next(iter(side.identifiers), None)
    if name is None:
        term = "BT-27" if direction is InvoiceDirection.PAYABLE else "BT-44"
        raise UnreadableFile(f"{term}: it does not say who the {'seller' if term == 'BT-27' else 'buyer'} is")
    return Party(name=name, external_id=next(iter(side.identifiers), None), tax_id=side.tax_id)


def _external_id(invoice: EInvoice, number: str | None = None, issued: date | None = None, type_code: str = "") -> str:
    """Of this invoice, or of another one of its seller."""
    seller = invoice.seller
    key = next((each for each in map(bare, seller.identifiers) if _DIGIT.search(each)), None) or seller.name
    if key is None:
        raise UnreadableFile("BT-27: it does not say who the seller is")
    day = (issued or invoice.issue_date).isoformat()
    parts = (key, type_code or invoice.type_code, day, number or invoice.number)
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts)


def _taxes(taxes: tuple[Tax, ...] | None) -> tuple[TaxAmount, ...] | None:
    """In one order, however the document is written."""
    if taxes is None:
        return None
    found = [
        TaxAmount(amount=each.amount, code=_category(each.category), rate=each.rate, taxable=each.taxable)
        for each in taxes
    ]
    return tuple(sorted(found, key=lambda each: (each.code or "", each.rate or "", each.taxable or 0, each.amount)))


def _category(category: str | None) -> str | None:
    """The standard rate is known by its rate alone, which differs where a country has several."""
    return None if category == _STANDARD_RATE else category


def _line(item: Item, direction: InvoiceDirection) -> InvoiceLine:
    return InvoiceLine(
        amount=item.amount,
        description=item.description,
        quantity=item.quantity,
        tax_code=_category(item.category) or item.rate,
        service_from=item.service_from,
        service_to=item.service_to,
        account=item.account if direction is InvoiceDirection.PAYABLE else None,
        product=item.product,
    )


def _raw(invoice: EInvoice, kind: InvoiceKind) -> dict[str, Any]:
    """What our terms do not hold, the same from every syntax. Amounts: minor units."""
    references = asdict(invoice.references)
    preceding = references.pop("preceding")
    found: dict[str, Any] = {
        "type_code": invoice.type_code,
        "seller": _side(invoice.seller),
        "buyer": _side(invoice.buyer),
        "totals": _stated(asdict(invoice.totals)),
        "disagreements": list(_disagreements(invoice)),
        **references,
        "delivered_on": invoice.references.delivered_on and invoice.references.delivered_on.isoformat(),
        "preceding": [_stated({"number": number, "issue_date": day and day.isoformat()}) for number, day in preceding],
    }
    if invoice.accounting_tax:
        currency, amount = invoice.accounting_tax
        found["accounting_tax"] = {"currency": currency, "amount": amount}
    if kind is InvoiceKind.CREDIT_NOTE and len(preceding) == 1 and preceding[0][1]:
        found["invoice"] = _external_id(invoice, preceding[0][0], preceding[0][1], "380")
    return _stated(found)


def _side(side: Side) -> dict[str, Any]:
    return _stated({**asdict(side), "ids": list(side.ids)})


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _disagreements(invoice: EInvoice) -> Iterator[str]:
    """Of what our invoice does not hold by itself. The other totals are checked where documents become entries."""
    totals = invoice.totals
    if totals.due is None:
        return
    due = totals.gross - (totals.prepaid or 0) + (totals.rounding or 0)
    if totals.due not in (due, due + totals.also_due):
        exponent = EXPONENTS[invoice.currency]
        yield (
            f"the amount due (BT-115) is {format_minor(totals.due, exponent)} {invoice.currency}, and total - prepaid + rounding "
            f"(BT-112 - BT-113 + BT-114) is {format_minor(due, exponent)}"
        )
