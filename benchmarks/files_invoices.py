"""Electronic invoices of any number of lines, as UBL and as CII, whose totals hold."""

from __future__ import annotations

import atexit
from collections.abc import Iterator

from benchmarks.files_facts import Facts
from sources.connectors.einvoice import parse_einvoice
from sources.connectors.einvoice_document import Ours
from sources.connectors.einvoice_pdf import PdfReader

_UBL = "urn:oasis:names:specification:ubl:schema:xsd:"
_CII = "urn:un:unece:uncefact:data:standard:"
_OURS, _PDFS = Ours(), PdfReader()
_VAT = "<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"

atexit.register(_PDFS.stop)


def _amounts(count: int) -> Iterator[int]:
    """Cents of each line; whole euro, so that 19 % of the sum are whole cents."""
    return (100 * (10 + number * 7_919 % 2_500) for number in range(count))


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _sums(count: int) -> tuple[str, str, str]:
    net = sum(_amounts(count))
    return _money(net), _money(net * 19 // 100), _money(net * 119 // 100)


def ubl(count: int) -> Iterator[str]:
    """As Peppol's bills are."""
    net, tax, gross = _sums(count)

    def amount(name: str, text: str) -> str:
        return f'<cbc:{name} currencyID="EUR">{text}</cbc:{name}>'

    def party(name: str, vat: str) -> str:
        return (
            f"<cac:Party><cac:PartyTaxScheme><cbc:CompanyID>{vat}</cbc:CompanyID>{_VAT}</cac:PartyTaxScheme>"
            f"<cac:PartyLegalEntity><cbc:RegistrationName>{name}</cbc:RegistrationName></cac:PartyLegalEntity></cac:Party>"
        )

    yield (
        f'<Invoice xmlns="{_UBL}Invoice-2" xmlns:cac="{_UBL}CommonAggregateComponents-2" '
        f'xmlns:cbc="{_UBL}CommonBasicComponents-2"><cbc:ID>R-{count}</cbc:ID><cbc:IssueDate>2026-03-10</cbc:IssueDate>'
        "<cbc:InvoiceTypeCode>380</cbc:InvoiceTypeCode><cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>"
        f"<cac:AccountingSupplierParty>{party('Lieferant GmbH', 'DE123456789')}</cac:AccountingSupplierParty>"
        f"<cac:AccountingCustomerParty>{party('Kunden AG', 'DE987654321')}</cac:AccountingCustomerParty>"
        f"<cac:TaxTotal>{amount('TaxAmount', tax)}<cac:TaxSubtotal>{amount('TaxableAmount', net)}{amount('TaxAmount', tax)}"
        f"<cac:TaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>19</cbc:Percent>{_VAT}</cac:TaxCategory></cac:TaxSubtotal>"
        f"</cac:TaxTotal><cac:LegalMonetaryTotal>{amount('LineExtensionAmount', net)}{amount('TaxExclusiveAmount', net)}"
        f"{amount('TaxInclusiveAmount', gross)}{amount('PayableAmount', gross)}</cac:LegalMonetaryTotal>"
    )
    for number, cents in enumerate(_amounts(count), 1):
        yield (
            f'<cac:InvoiceLine><cbc:ID>{number}</cbc:ID><cbc:InvoicedQuantity unitCode="C62">1</cbc:InvoicedQuantity>'
            f"{amount('LineExtensionAmount', _money(cents))}<cac:Item><cbc:Name>Item no. {number} of the catalogue</cbc:Name>"
            f"<cac:SellersItemIdentification><cbc:ID>P-{number}</cbc:ID></cac:SellersItemIdentification>"
            f"<cac:ClassifiedTaxCategory><cbc:ID>S</cbc:ID><cbc:Percent>19</cbc:Percent>{_VAT}</cac:ClassifiedTaxCategory>"
            f"</cac:Item><cac:Price>{amount('PriceAmount', _money(cents))}</cac:Price></cac:InvoiceLine>"
        )
    yield "</Invoice>"


def cii(count: int) -> Iterator[str]:
    """As XRechnung and Factur-X are."""
    net, tax, gross = _sums(count)
    rate = "<ram:TypeCode>VAT</ram:TypeCode>{}<ram:CategoryCode>S</ram:CategoryCode>"
    rate += "<ram:RateApplicablePercent>19.00</ram:RateApplicablePercent>"
    yield (
        f'<rsm:CrossIndustryInvoice xmlns:rsm="{_CII}CrossIndustryInvoice:100" xmlns:udt="{_CII}UnqualifiedDataType:100" '
        f'xmlns:ram="{_CII}ReusableAggregateBusinessInformationEntity:100"><rsm:ExchangedDocument><ram:ID>R-{count}</ram:ID>'
        '<ram:TypeCode>380</ram:TypeCode><ram:IssueDateTime><udt:DateTimeString format="102">20260310</udt:DateTimeString>'
        "</ram:IssueDateTime></rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction>"
    )
    for number, cents in enumerate(_amounts(count), 1):
        yield (
            f"<ram:IncludedSupplyChainTradeLineItem><ram:AssociatedDocumentLineDocument><ram:LineID>{number}</ram:LineID>"
            f"</ram:AssociatedDocumentLineDocument><ram:SpecifiedTradeProduct><ram:SellerAssignedID>P-{number}"
            f"</ram:SellerAssignedID><ram:Name>Item no. {number} of the catalogue</ram:Name></ram:SpecifiedTradeProduct>"
            '<ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="C62">1.0000</ram:BilledQuantity>'
            "</ram:SpecifiedLineTradeDelivery><ram:SpecifiedLineTradeSettlement>"
            f"<ram:ApplicableTradeTax>{rate.format('')}</ram:ApplicableTradeTax>"
            f"<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{_money(cents)}</ram:LineTotalAmount>"
            "</ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>"
            "</ram:IncludedSupplyChainTradeLineItem>"
        )
    yield (
        "<ram:ApplicableHeaderTradeAgreement><ram:SellerTradeParty><ram:Name>Lieferant GmbH</ram:Name>"
        '<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">DE123456789</ram:ID></ram:SpecifiedTaxRegistration>'
        "</ram:SellerTradeParty><ram:BuyerTradeParty><ram:Name>Kunden AG</ram:Name></ram:BuyerTradeParty>"
        "</ram:ApplicableHeaderTradeAgreement><ram:ApplicableHeaderTradeDelivery/><ram:ApplicableHeaderTradeSettlement>"
        "<ram:InvoiceCurrencyCode>EUR</ram:InvoiceCurrencyCode><ram:ApplicableTradeTax>"
        f"<ram:CalculatedAmount>{tax}</ram:CalculatedAmount>{rate.format(f'<ram:BasisAmount>{net}</ram:BasisAmount>')}"
        "</ram:ApplicableTradeTax><ram:SpecifiedTradeSettlementHeaderMonetarySummation>"
        f"<ram:LineTotalAmount>{net}</ram:LineTotalAmount><ram:TaxBasisTotalAmount>{net}</ram:TaxBasisTotalAmount>"
        f'<ram:TaxTotalAmount currencyID="EUR">{tax}</ram:TaxTotalAmount><ram:GrandTotalAmount>{gross}</ram:GrandTotalAmount>'
        f"<ram:DuePayableAmount>{gross}</ram:DuePayableAmount></ram:SpecifiedTradeSettlementHeaderMonetarySummation>"
        "</ram:ApplicableHeaderTradeSettlement></rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>"
    )


def read_invoice(data: bytes) -> Facts:
    """Its lines, counted, and its total. Raises RuntimeError where they do not make it up."""
    invoice = parse_einvoice(data, _OURS, _PDFS)
    if sum(line.amount for line in invoice.lines) + invoice.tax != invoice.total:
        raise RuntimeError("the lines do not make up the total")
    return Facts(len(invoice.lines), invoice.total)
