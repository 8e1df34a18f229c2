"""Invoices of UN/CEFACT's Cross Industry Invoice (D16B, in the syntax binding CEN/TS 16931-3-3): XRechnung, Factur-X, ZUGFeRD 2.
https://unece.org/trade/uncefact/e-invoice

ZUGFeRD 1.0 names the same things by the names of D13: they are renamed and read alike."""

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
    compact_date_at,
    decimal_at,
    ids_in_order,
    missing,
    needed_text,
    stated,
    text_at,
)
from sources.connectors.files_values import MAX_TEXT, UnreadableFile, clean
from sources.connectors.files_xml import find_text

INVOICE = "{urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100}CrossIndustryInvoice"
ZUGFERD_1 = "{urn:ferd:CrossIndustryDocument:invoice:1p0}CrossIndustryDocument"

_OLD_LINE = "IncludedSupplyChainTradeLineItem"
_OLD_NAMES = {
    "HeaderExchangedDocument": "ExchangedDocument",
    "SpecifiedSupplyChainTradeTransaction": "SupplyChainTradeTransaction",
    "ApplicableSupplyChainTradeAgreement": "ApplicableHeaderTradeAgreement",
    "ApplicableSupplyChainTradeDelivery": "ApplicableHeaderTradeDelivery",
    "ApplicableSupplyChainTradeSettlement": "ApplicableHeaderTradeSettlement",
    "SpecifiedSupplyChainTradeAgreement": "SpecifiedLineTradeAgreement",
    "SpecifiedSupplyChainTradeDelivery": "SpecifiedLineTradeDelivery",
    "SpecifiedSupplyChainTradeSettlement": "SpecifiedLineTradeSettlement",
    "ApplicablePercent": "RateApplicablePercent",
}
_OLD_SUMS = "SpecifiedTradeSettlementMonetarySummation"

_AGREEMENT = "SupplyChainTradeTransaction/ApplicableHeaderTradeAgreement"
_DELIVERY = "SupplyChainTradeTransaction/ApplicableHeaderTradeDelivery"
_SETTLEMENT = "SupplyChainTradeTransaction/ApplicableHeaderTradeSettlement"
_NOT_COUNTED = ("GROUP", "INFORMATION")
"""Lines of the profile EXTENDED that only sum up others, or tell something."""


def read_cii(root: etree._Element) -> EInvoice:
    """Of a root whose elements are named by their local names. Raises UnreadableFile."""
    if root.tag == "CrossIndustryDocument":
        _rename(root)
    settlement = root.find(_SETTLEMENT)
    if settlement is None:
        raise UnreadableFile(f"there is no {_SETTLEMENT}")
    figures = Figures(needed_text(settlement, "InvoiceCurrencyCode", "BT-5"))
    issued = compact_date_at(root, "ExchangedDocument/IssueDateTime", "BT-2")
    if issued is None:
        raise missing("BT-2", "ExchangedDocument/IssueDateTime")
    sums = settlement.find("SpecifiedTradeSettlementHeaderMonetarySummation")
    if sums is None:
        raise UnreadableFile("BG-22: there are no totals (SpecifiedTradeSettlementHeaderMonetarySummation)")
    items = tuple(_lines(root, settlement, figures))
    tax, accounting_tax = figures.tax_totals(stated(sums, "TaxTotalAmount"), text_at(settlement, "TaxCurrencyCode"))
    return EInvoice(
        number=needed_text(root, "ExchangedDocument/ID", "BT-1"),
        type_code=needed_text(root, "ExchangedDocument/TypeCode", "BT-3"),
        issue_date=issued,
        currency=figures.currency,
        seller=_side(root, "SellerTradeParty"),
        buyer=_side(root, "BuyerTradeParty"),
        totals=_totals(sums, figures, tax),
        items=(*items, *_allowances(settlement, figures)) if items else (),
        taxes=_taxes(settlement, figures),
        due_date=_due_date(settlement),
        accounting_tax=accounting_tax,
        references=_references(root, settlement),
    )


def _rename(root: etree._Element) -> None:
    for element in root.iter(etree.Element):
        name = str(element.tag)
        if name == _OLD_SUMS:
            in_line = any(True for _ in element.iterancestors(_OLD_LINE))
            element.tag = f"SpecifiedTradeSettlement{'Line' if in_line else 'Header'}MonetarySummation"
        elif name in _OLD_NAMES:
            element.tag = _OLD_NAMES[name]


def _lines(root: etree._Element, settlement: etree._Element, figures: Figures) -> Iterator[Item]:
    whole, account = _period(settlement, "BT-73", "BT-74"), _account(settlement)
    for line in root.findall(f"SupplyChainTradeTransaction/{_OLD_LINE}"):
        settled = line.find("SpecifiedLineTradeSettlement")
        reason = text_at(line, "AssociatedDocumentLineDocument/LineStatusReasonCode")
        if reason in _NOT_COUNTED or (settled is None and line.find("SpecifiedTradeProduct") is None):
            continue  # a note of ZUGFeRD 1.0 is a line that has no product
        if settled is None:
            raise missing("BT-131", "SpecifiedLineTradeSettlement", line.sourceline)
        own = _period(settled, "BT-134", "BT-135")
        service_from, service_to = own if any(own) else whole
        product = line.find("SpecifiedTradeProduct")
        yield Item(
            amount=figures.needed(settled, "SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount", "BT-131"),
            description=None
            if product is None
            else text_at(product, "Name", MAX_TEXT) or text_at(product, "Description", MAX_TEXT),
            quantity=decimal_at(line, "SpecifiedLineTradeDelivery/BilledQuantity", "BT-129"),
            category=text_at(settled, "ApplicableTradeTax/CategoryCode"),
            rate=decimal_at(settled, "ApplicableTradeTax/RateApplicablePercent", "BT-152"),
            service_from=service_from,
            service_to=service_to,
            account=_account(settled) or account,
            product=text_at(line, "SpecifiedTradeProduct/SellerAssignedID"),
        )


def _account(settlement: etree._Element) -> str | None:
    return text_at(settlement, "ReceivableSpecifiedTradeAccountingAccount/ID")


def _allowances(settlement: etree._Element, figures: Figures) -> Iterator[Item]:
    (service_from, service_to), account = _period(settlement, "BT-73", "BT-74"), _account(settlement)
    for each in settlement.iterchildren("SpecifiedTradeAllowanceCharge", "SpecifiedLogisticsServiceCharge"):
        is_service = each.tag == "SpecifiedLogisticsServiceCharge"
        is_charge = is_service or _is_true(find_text(each, "ChargeIndicator/Indicator"), each)
        tax = "AppliedTradeTax" if is_service else "CategoryTradeTax"
        amount = figures.needed(
            each, "AppliedAmount" if is_service else "ActualAmount", "BT-99" if is_charge else "BT-92"
        )
        yield Item(
            amount=amount if is_charge else -amount,
            description=text_at(each, "Description" if is_service else "Reason", MAX_TEXT)
            or ("Charge" if is_charge else "Allowance"),
            category=text_at(each, f"{tax}/CategoryCode"),
            rate=decimal_at(each, f"{tax}/RateApplicablePercent", "BT-96"),
            service_from=service_from,
            service_to=service_to,
            account=account,
        )


def _is_true(text: str | None, element: etree._Element) -> bool:
    if text not in ("true", "false", "1", "0"):
        raise UnreadableFile(f"line {element.sourceline}: ChargeIndicator has to be true or false")
    return text in ("true", "1")


def _period(settlement: etree._Element, start: str, end: str) -> tuple[date | None, date | None]:
    return (
        compact_date_at(settlement, "BillingSpecifiedPeriod/StartDateTime", start),
        compact_date_at(settlement, "BillingSpecifiedPeriod/EndDateTime", end),
    )


def _taxes(settlement: etree._Element, figures: Figures) -> tuple[Tax, ...] | None:
    found = tuple(
        Tax(
            amount=figures.needed(each, "CalculatedAmount", "BT-117"),
            taxable=figures.amount(each, "BasisAmount", "BT-116"),
            category=text_at(each, "CategoryCode"),
            rate=decimal_at(each, "RateApplicablePercent", "BT-119"),
        )
        for each in settlement.iterchildren("ApplicableTradeTax")
    )
    return found or None


def _totals(sums: etree._Element, figures: Figures, tax: int | None) -> Totals:
    return Totals(
        net=figures.needed(sums, "TaxBasisTotalAmount", "BT-109"),
        gross=figures.needed(sums, "GrandTotalAmount", "BT-112"),
        lines=figures.amount(sums, "LineTotalAmount", "BT-106"),
        allowances=figures.amount(sums, "AllowanceTotalAmount", "BT-107"),
        charges=figures.amount(sums, "ChargeTotalAmount", "BT-108"),
        tax=tax,
        prepaid=figures.amount(sums, "TotalPrepaidAmount", "BT-113"),
        rounding=figures.amount(sums, "RoundingAmount", "BT-114"),
        due=figures.amount(sums, "DuePayableAmount", "BT-115"),
    )


def _due_date(settlement: etree._Element) -> date | None:
    """The first of several, as instalments of the profile EXTENDED have."""
    terms = settlement.findall("SpecifiedTradePaymentTerms")
    return min((day for each in terms if (day := compact_date_at(each, "DueDateDateTime", "BT-9"))), default=None)


def _side(root: etree._Element, name: str) -> Side:
    party = root.find(f"{_AGREEMENT}/{name}")
    if party is None:
        return Side(name=None)
    registered = {
        (each.get("schemeID") or "").upper(): clean(each.text)
        for each in reversed(stated(party, "SpecifiedTaxRegistration/ID"))
    }
    return Side(
        name=text_at(party, "Name") or text_at(party, "SpecifiedLegalOrganization/TradingBusinessName"),
        vat_id=registered.get("VA"),
        tax_number=registered.get("FC"),
        legal_id=text_at(party, "SpecifiedLegalOrganization/ID"),
        ids=ids_in_order((*stated(party, "GlobalID"), *stated(party, "ID"))),
    )


def _references(root: etree._Element, settlement: etree._Element) -> References:
    agreement = f"{_AGREEMENT}/"
    preceding = []
    for each in settlement.findall("InvoiceReferencedDocument"):
        if number := text_at(each, "IssuerAssignedID"):
            preceding.append((number, compact_date_at(each, "FormattedIssueDateTime", "BT-26")))
    terms = (text_at(each, "Description", MAX_TEXT) for each in settlement.findall("SpecifiedTradePaymentTerms"))
    return References(
        order=text_at(root, f"{agreement}BuyerOrderReferencedDocument/IssuerAssignedID")
        or text_at(root, f"{agreement}BuyerOrderReferencedDocument/ID"),
        contract=text_at(root, f"{agreement}ContractReferencedDocument/IssuerAssignedID"),
        project=text_at(root, f"{agreement}SpecifiedProcuringProject/ID"),
        buyer_reference=text_at(root, f"{agreement}BuyerReference"),
        payment_terms=next((each for each in terms if each), None),
        payment_reference=text_at(settlement, "PaymentReference"),
        payment_account=_account_to_pay(settlement),
        delivered_on=compact_date_at(root, f"{_DELIVERY}/ActualDeliverySupplyChainEvent/OccurrenceDateTime", "BT-72"),
        preceding=tuple(preceding),
    )


def _account_to_pay(settlement: etree._Element) -> str | None:
    account = "SpecifiedTradeSettlementPaymentMeans/PayeePartyCreditorFinancialAccount"
    return text_at(settlement, f"{account}/IBANID") or text_at(settlement, f"{account}/ProprietaryID")
