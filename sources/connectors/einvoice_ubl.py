"""UBL invoices and credit notes (OASIS UBL 2.1, in the syntax binding CEN/TS 16931-3-2).
https://docs.peppol.eu/poacc/billing/3.0/syntax/ubl-invoice/tree/"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from lxml import etree

from sources.connectors.einvoice_terms import (
    EInvoice,
    Figures,
    Item,
    References,
    Side,
    Tax,
    Totals,
    decimal_at,
    ids_in_order,
    iso_date_at,
    missing,
    needed_text,
    stated,
    text_at,
)
from sources.connectors.files_values import MAX_TEXT, UnreadableFile

INVOICE = "{urn:oasis:names:specification:ubl:schema:xsd:Invoice-2}Invoice"
CREDIT_NOTE = "{urn:oasis:names:specification:ubl:schema:xsd:CreditNote-2}CreditNote"

_CREDITOR_ID = "SEPA"  # BT-90, which identifies nobody as seller


def read_ubl(root: etree._Element) -> EInvoice:
    """Of a root whose elements are named by their local names. Raises UnreadableFile."""
    kind = root.tag
    issued = iso_date_at(root, "IssueDate", "BT-2")
    if issued is None:
        raise missing("BT-2", "IssueDate")
    figures = Figures(needed_text(root, "DocumentCurrencyCode", "BT-5"))
    period = _period(root, "BT-73", "BT-74")
    account = text_at(root, "AccountingCost")
    items = tuple(_line(each, figures, period, account) for each in _lines(root))
    tax, accounting_tax = figures.tax_totals(stated(root, "TaxTotal/TaxAmount"), text_at(root, "TaxCurrencyCode"))
    return EInvoice(
        number=needed_text(root, "ID", "BT-1"),
        type_code=text_at(root, f"{kind}TypeCode") or ("381" if kind == "CreditNote" else "380"),
        issue_date=issued,
        currency=figures.currency,
        seller=_side(root, "AccountingSupplierParty/Party"),
        buyer=_side(root, "AccountingCustomerParty/Party"),
        totals=_totals(root, figures, tax),
        items=(*items, *_allowances(root, figures, period, account)) if items else (),
        taxes=_taxes(root, figures),
        due_date=_due_date(root),
        accounting_tax=accounting_tax,
        references=_references(root),
    )


def _lines(root: etree._Element) -> Iterator[etree._Element]:
    yield from root.iterchildren("InvoiceLine", "CreditNoteLine")


def _line(line: etree._Element, figures: Figures, period: tuple[date | None, date | None], account: str | None) -> Item:
    own = _period(line, "BT-134", "BT-135")
    service_from, service_to = own if any(own) else period
    return Item(
        amount=figures.needed(line, "LineExtensionAmount", "BT-131"),
        description=text_at(line, "Item/Name", MAX_TEXT) or text_at(line, "Item/Description", MAX_TEXT),
        quantity=decimal_at(line, "InvoicedQuantity", "BT-129") or decimal_at(line, "CreditedQuantity", "BT-129"),
        category=text_at(line, "Item/ClassifiedTaxCategory/ID"),
        rate=decimal_at(line, "Item/ClassifiedTaxCategory/Percent", "BT-152"),
        service_from=service_from,
        service_to=service_to,
        account=text_at(line, "AccountingCost") or account,
        product=text_at(line, "Item/SellersItemIdentification/ID"),
    )


def _allowances(
    root: etree._Element, figures: Figures, period: tuple[date | None, date | None], account: str | None
) -> Iterator[Item]:
    for each in root.iterchildren("AllowanceCharge"):
        is_charge = _is_true(text_at(each, "ChargeIndicator"), each)
        amount = figures.needed(each, "Amount", "BT-99" if is_charge else "BT-92")
        yield Item(
            amount=amount if is_charge else -amount,
            description=text_at(each, "AllowanceChargeReason", MAX_TEXT) or ("Charge" if is_charge else "Allowance"),
            category=text_at(each, "TaxCategory/ID"),
            rate=decimal_at(each, "TaxCategory/Percent", "BT-96"),
            service_from=period[0],
            service_to=period[1],
            account=account,
        )


def _is_true(text: str | None, element: etree._Element) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise UnreadableFile(f"line {element.sourceline}: ChargeIndicator has to be true or false")
    return text in ("true", "1")


def _period(element: etree._Element, start: str, end: str) -> tuple[date | None, date | None]:
    return (
        iso_date_at(element, "InvoicePeriod/StartDate", start),
        iso_date_at(element, "InvoicePeriod/EndDate", end),
    )


def _taxes(root: etree._Element, figures: Figures) -> tuple[Tax, ...] | None:
    found = tuple(
        Tax(
            amount=figures.needed(each, "TaxAmount", "BT-117"),
            taxable=figures.amount(each, "TaxableAmount", "BT-116"),
            category=text_at(each, "TaxCategory/ID"),
            rate=decimal_at(each, "TaxCategory/Percent", "BT-119"),
        )
        for total in root.iterchildren("TaxTotal")
        if not any(each.get("currencyID", figures.currency) != figures.currency for each in total.findall("TaxAmount"))
        for each in total.iterchildren("TaxSubtotal")
    )
    return found or None


def _totals(root: etree._Element, figures: Figures, tax: int | None) -> Totals:
    total = root.find("LegalMonetaryTotal")
    if total is None:
        raise UnreadableFile("BG-22: there are no totals (LegalMonetaryTotal)")
    return Totals(
        net=figures.needed(total, "TaxExclusiveAmount", "BT-109"),
        gross=figures.needed(total, "TaxInclusiveAmount", "BT-112"),
        lines=figures.amount(total, "LineExtensionAmount", "BT-106"),
        allowances=figures.amount(total, "AllowanceTotalAmount", "BT-107"),
        charges=figures.amount(total, "ChargeTotalAmount", "BT-108"),
        tax=tax,
        prepaid=figures.amount(total, "PrepaidAmount", "BT-113"),
        rounding=figures.amount(total, "PayableRoundingAmount", "BT-114"),
        due=figures.amount(total, "PayableAmount", "BT-115"),
        also_due=sum(figures.of(each, "BT-DEX-002") for each in stated(root, "PrepaidPayment/PaidAmount")),
    )


def _due_date(root: etree._Element) -> date | None:
    paths = ("DueDate", "PaymentMeans/PaymentDueDate", "PaymentTerms/PaymentDueDate")
    return next((day for path in paths if (day := iso_date_at(root, path, "BT-9"))), None)


def _side(root: etree._Element, path: str) -> Side:
    party = root.find(path)
    if party is None:
        return Side(name=None)
    return Side(
        name=text_at(party, "PartyLegalEntity/RegistrationName") or text_at(party, "PartyName/Name"),
        vat_id=_registered(party, is_vat=True),
        tax_number=_registered(party, is_vat=False),
        legal_id=text_at(party, "PartyLegalEntity/CompanyID"),
        ids=ids_in_order(
            each for each in stated(party, "PartyIdentification/ID") if each.get("schemeID") != _CREDITOR_ID
        ),
    )


def _registered(party: etree._Element, *, is_vat: bool) -> str | None:
    for each in party.iterchildren("PartyTaxScheme"):
        number = text_at(each, "CompanyID")
        if number and ((text_at(each, "TaxScheme/ID") or "VAT").upper() == "VAT") == is_vat:
            return number
    return None


def _references(root: etree._Element) -> References:
    preceding = []
    for each in root.findall("BillingReference/InvoiceDocumentReference"):
        if number := text_at(each, "ID"):
            preceding.append((number, iso_date_at(each, "IssueDate", "BT-26")))
    return References(
        order=text_at(root, "OrderReference/ID"),
        contract=text_at(root, "ContractDocumentReference/ID"),
        project=text_at(root, "ProjectReference/ID"),
        buyer_reference=text_at(root, "BuyerReference"),
        payment_terms=text_at(root, "PaymentTerms/Note", MAX_TEXT),
        payment_reference=text_at(root, "PaymentMeans/PaymentID"),
        payment_account=text_at(root, "PaymentMeans/PayeeFinancialAccount/ID"),
        delivered_on=iso_date_at(root, "Delivery/ActualDeliveryDate", "BT-72"),
        preceding=tuple(preceding),
    )
