"""One invoice written as UBL, as CII, as ZUGFeRD 1.0 and as a PDF with CII attached, by writers that know nothing of our readers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from pypdf import PdfWriter

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CII = "urn:un:unece:uncefact:data:standard:"


@dataclass(frozen=True)
class Row:
    """A line, or a document level allowance (`charge` False) or charge. Amounts as decimal texts."""

    amount: str = "100.00"
    name: str = "Paper"
    quantity: str = "1"
    category: str = "S"
    rate: str = "19"
    period: tuple[str, str] | None = None
    charge: bool | None = None
    account: str = ""
    product: str = ""


@dataclass(frozen=True)
class Paper:
    """An invoice on paper, so to say. Dates ISO. `taxes`: (amount, taxable, category, rate)."""

    number: str = "R-1"
    type_code: str = "380"
    issued: str = "2026-03-10"
    due: str = "2026-04-09"
    currency: str = "EUR"
    seller: str = "Lieferant GmbH"
    seller_vat: str = "DE123456789"
    buyer: str = "Kunden AG"
    buyer_vat: str = ""
    lines: Sequence[Row] = (Row(),)
    extras: Sequence[Row] = ()
    taxes: Sequence[tuple[str, str, str, str]] = (("19.00", "100.00", "S", "19"),)
    period: tuple[str, str] | None = None
    totals: dict[str, str] = field(default_factory=dict)
    net: str = "100.00"
    tax: str = "19.00"
    gross: str = "119.00"
    prepaid: str = ""
    rounding: str = ""
    payable: str = "119.00"
    tax_currency: str = ""
    tax_in_currency: str = ""
    order: str = "PO-7"
    preceding: tuple[str, str] | None = None


def tag(name: str, text: object, **attributes: str) -> str:
    """Nothing where there is no text."""
    if text in ("", None):
        return ""
    stated = "".join(f' {key}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{stated}>{text}</{name}>"


def _text(name: str, text: str, **attributes: str) -> str:
    return tag(name, escape(text), **attributes)


def ubl(paper: Paper) -> bytes:
    """As UBL: a CreditNote where its type is 381."""
    kind = "CreditNote" if paper.type_code == "381" else "Invoice"
    money = {"currencyID": paper.currency}

    def category(name: str, code: str, rate: str) -> str:
        inner = (
            _text("cbc:ID", code) + _text("cbc:Percent", rate) + "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
        )
        return tag(f"cac:{name}", inner)

    def period(days: tuple[str, str] | None) -> str:
        inner = tag("cbc:StartDate", days[0]) + tag("cbc:EndDate", days[1]) if days else ""
        return tag("cac:InvoicePeriod", inner)

    def party(name: str, vat: str) -> str:
        scheme = tag("cac:PartyTaxScheme", _text("cbc:CompanyID", vat) + tag("cac:TaxScheme", "<cbc:ID>VAT</cbc:ID>"))
        return tag(
            "cac:Party", (scheme if vat else "") + tag("cac:PartyLegalEntity", _text("cbc:RegistrationName", name))
        )

    def extra(row: Row) -> str:
        return tag(
            "cac:AllowanceCharge",
            tag("cbc:ChargeIndicator", str(bool(row.charge)).lower())
            + _text("cbc:AllowanceChargeReason", row.name)
            + tag("cbc:Amount", row.amount, **money)
            + category("TaxCategory", row.category, row.rate),
        )

    def line(number: int, row: Row) -> str:
        item = (
            _text("cbc:Name", row.name)
            + tag("cac:SellersItemIdentification", _text("cbc:ID", row.product))
            + category("ClassifiedTaxCategory", row.category, row.rate)
        )
        return tag(
            f"cac:{kind}Line",
            tag("cbc:ID", str(number))
            + tag(
                f"cbc:{'CreditedQuantity' if kind == 'CreditNote' else 'InvoicedQuantity'}",
                row.quantity,
                unitCode="C62",
            )
            + tag("cbc:LineExtensionAmount", row.amount, **money)
            + _text("cbc:AccountingCost", row.account)
            + period(row.period)
            + tag("cac:Item", item),
        )

    subtotals = "".join(
        tag(
            "cac:TaxSubtotal",
            tag("cbc:TaxableAmount", taxable, **money)
            + tag("cbc:TaxAmount", amount, **money)
            + category("TaxCategory", code, rate),
        )
        for amount, taxable, code, rate in paper.taxes
    )
    due = tag("cac:PaymentMeans", tag("cbc:PaymentDueDate", paper.due)) if kind == "CreditNote" else ""
    before = paper.preceding and tag(
        "cac:BillingReference",
        tag(
            "cac:InvoiceDocumentReference",
            _text("cbc:ID", paper.preceding[0]) + tag("cbc:IssueDate", paper.preceding[1]),
        ),
    )
    body = (
        _text("cbc:ID", paper.number)
        + tag("cbc:IssueDate", paper.issued)
        + ("" if kind == "CreditNote" else tag("cbc:DueDate", paper.due))
        + _text(f"cbc:{kind}TypeCode", paper.type_code)
        + _text("cbc:DocumentCurrencyCode", paper.currency)
        + _text("cbc:TaxCurrencyCode", paper.tax_currency)
        + period(paper.period)
        + tag("cac:OrderReference", _text("cbc:ID", paper.order))
        + (before or "")
        + tag("cac:AccountingSupplierParty", party(paper.seller, paper.seller_vat))
        + tag("cac:AccountingCustomerParty", party(paper.buyer, paper.buyer_vat))
        + due
        + "".join(map(extra, paper.extras))
        + tag("cac:TaxTotal", tag("cbc:TaxAmount", paper.tax, **money) + subtotals if paper.tax else "")
        + tag("cac:TaxTotal", tag("cbc:TaxAmount", paper.tax_in_currency, currencyID=paper.tax_currency))
        + tag(
            "cac:LegalMonetaryTotal",
            tag("cbc:TaxExclusiveAmount", paper.net, **money)
            + tag("cbc:TaxInclusiveAmount", paper.gross, **money)
            + tag("cbc:PrepaidAmount", paper.prepaid, **money)
            + tag("cbc:PayableRoundingAmount", paper.rounding, **money)
            + tag("cbc:PayableAmount", paper.payable, **money),
        )
        + "".join(line(number, row) for number, row in enumerate(paper.lines, 1))
    )
    names = f'xmlns="{_UBL}{kind}-2" xmlns:cac="{_UBL}CommonAggregateComponents-2" xmlns:cbc="{_UBL}CommonBasicComponents-2"'
    return f'<?xml version="1.0" encoding="UTF-8"?><{kind} {names}>{body}</{kind}>'.encode()


def cii(paper: Paper) -> bytes:
    """As CII D16B."""
    names = (
        f'xmlns:rsm="{_CII}CrossIndustryInvoice:100" xmlns:udt="{_CII}UnqualifiedDataType:100" '
        f'xmlns:ram="{_CII}ReusableAggregateBusinessInformationEntity:100" xmlns:qdt="{_CII}QualifiedDataType:100"'
    )
    return f"<rsm:CrossIndustryInvoice {names}>{_cii_body(paper)}</rsm:CrossIndustryInvoice>".encode()


_OLD = {
    "rsm:ExchangedDocument": "rsm:HeaderExchangedDocument",
    "rsm:SupplyChainTradeTransaction": "rsm:SpecifiedSupplyChainTradeTransaction",
    "ram:ApplicableHeaderTrade": "ram:ApplicableSupplyChainTrade",
    "ram:SpecifiedLineTrade": "ram:SpecifiedSupplyChainTrade",
    "ram:SpecifiedTradeSettlementHeaderMonetarySummation": "ram:SpecifiedTradeSettlementMonetarySummation",
    "ram:SpecifiedTradeSettlementLineMonetarySummation": "ram:SpecifiedTradeSettlementMonetarySummation",
    "ram:RateApplicablePercent": "ram:ApplicablePercent",
}


def zugferd_1(paper: Paper) -> bytes:
    """As ZUGFeRD 1.0, with a line that is a note."""
    body = _cii_body(paper)
    for new, old in _OLD.items():
        body = body.replace(new, old)
    note = (
        "<ram:IncludedSupplyChainTradeLineItem><ram:AssociatedDocumentLineDocument><ram:IncludedNote><ram:Content>Hello"
    )
    note += (
        "</ram:Content></ram:IncludedNote></ram:AssociatedDocumentLineDocument></ram:IncludedSupplyChainTradeLineItem>"
    )
    body = body.replace("<ram:IncludedSupplyChainTradeLineItem>", note + "<ram:IncludedSupplyChainTradeLineItem>", 1)
    urn = "urn:un:unece:uncefact:data:standard:"
    names = (
        'xmlns:rsm="urn:ferd:CrossIndustryDocument:invoice:1p0" '
        f'xmlns:ram="{urn}ReusableAggregateBusinessInformationEntity:12" xmlns:udt="{urn}UnqualifiedDataType:15" '
        f'xmlns:qdt="{urn}QualifiedDataType:12"'
    )
    return f"<rsm:CrossIndustryDocument {names}>{body}</rsm:CrossIndustryDocument>".encode()


def _cii_body(paper: Paper) -> str:
    def day(name: str, text: str, kind: str = "udt") -> str:
        return tag(f"ram:{name}", tag(f"{kind}:DateTimeString", text.replace("-", ""), format="102"))

    def period(days: tuple[str, str] | None) -> str:
        inner = day("StartDateTime", days[0]) + day("EndDateTime", days[1]) if days else ""
        return tag("ram:BillingSpecifiedPeriod", inner)

    def category(name: str, code: str, rate: str) -> str:
        inner = tag("ram:TypeCode", "VAT") + _text("ram:CategoryCode", code) + _text("ram:RateApplicablePercent", rate)
        return tag(f"ram:{name}", inner)

    def party(name: str, text: str, vat: str) -> str:
        registered = tag("ram:SpecifiedTaxRegistration", _text("ram:ID", vat, schemeID="VA"))
        return tag(f"ram:{name}", _text("ram:Name", text) + registered)

    def account(row: Row) -> str:
        return tag("ram:ReceivableSpecifiedTradeAccountingAccount", _text("ram:ID", row.account))

    def line(number: int, row: Row) -> str:
        settlement = (
            category("ApplicableTradeTax", row.category, row.rate)
            + period(row.period)
            + tag("ram:SpecifiedTradeSettlementLineMonetarySummation", tag("ram:LineTotalAmount", row.amount))
            + account(row)
        )
        return tag(
            "ram:IncludedSupplyChainTradeLineItem",
            tag("ram:AssociatedDocumentLineDocument", tag("ram:LineID", str(number)))
            + tag("ram:SpecifiedTradeProduct", _text("ram:SellerAssignedID", row.product) + _text("ram:Name", row.name))
            + tag("ram:SpecifiedLineTradeDelivery", tag("ram:BilledQuantity", row.quantity, unitCode="C62"))
            + tag("ram:SpecifiedLineTradeSettlement", settlement),
        )

    def extra(row: Row) -> str:
        return tag(
            "ram:SpecifiedTradeAllowanceCharge",
            tag("ram:ChargeIndicator", tag("udt:Indicator", str(bool(row.charge)).lower()))
            + tag("ram:ActualAmount", row.amount)
            + _text("ram:Reason", row.name)
            + category("CategoryTradeTax", row.category, row.rate),
        )

    taxes = "".join(
        tag(
            "ram:ApplicableTradeTax",
            tag("ram:CalculatedAmount", amount)
            + tag("ram:TypeCode", "VAT")
            + tag("ram:BasisAmount", taxable)
            + _text("ram:CategoryCode", code)
            + _text("ram:RateApplicablePercent", rate),
        )
        for amount, taxable, code, rate in paper.taxes
    )
    sums = (
        tag("ram:TaxBasisTotalAmount", paper.net)
        + tag("ram:TaxTotalAmount", paper.tax, currencyID=paper.currency)
        + tag("ram:TaxTotalAmount", paper.tax_in_currency, currencyID=paper.tax_currency)
        + tag("ram:RoundingAmount", paper.rounding)
        + tag("ram:GrandTotalAmount", paper.gross)
        + tag("ram:TotalPrepaidAmount", paper.prepaid)
        + tag("ram:DuePayableAmount", paper.payable)
    )
    before = paper.preceding and tag(
        "ram:InvoiceReferencedDocument",
        _text("ram:IssuerAssignedID", paper.preceding[0]) + day("FormattedIssueDateTime", paper.preceding[1], "qdt"),
    )
    settlement = (
        _text("ram:TaxCurrencyCode", paper.tax_currency)
        + _text("ram:InvoiceCurrencyCode", paper.currency)
        + taxes
        + period(paper.period)
        + "".join(map(extra, paper.extras))
        + tag("ram:SpecifiedTradePaymentTerms", day("DueDateDateTime", paper.due) if paper.due else "")
        + tag("ram:SpecifiedTradeSettlementHeaderMonetarySummation", sums)
        + (before or "")
    )
    agreement = (
        party("SellerTradeParty", paper.seller, paper.seller_vat)
        + party("BuyerTradeParty", paper.buyer, paper.buyer_vat)
        + tag("ram:BuyerOrderReferencedDocument", _text("ram:IssuerAssignedID", paper.order))
    )
    return tag(
        "rsm:ExchangedDocument",
        _text("ram:ID", paper.number) + _text("ram:TypeCode", paper.type_code) + day("IssueDateTime", paper.issued),
    ) + tag(
        "rsm:SupplyChainTradeTransaction",
        "".join(line(number, row) for number, row in enumerate(paper.lines, 1))
        + tag("ram:ApplicableHeaderTradeAgreement", agreement)
        + "<ram:ApplicableHeaderTradeDelivery/>"
        + tag("ram:ApplicableHeaderTradeSettlement", settlement),
    )


def pdf(*attached: tuple[str, bytes], password: str | None = None, owner: str | None = None) -> bytes:
    """A PDF with these attachments."""
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    for name, content in attached:
        writer.add_attachment(name, content)
    if password is not None:
        writer.encrypt(password, owner, algorithm="AES-256")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()
