"""Invoices that nobody here wrote: every file of the EN 16931 test set and of the ZUGFeRD corpus reads, with the figures that XPath finds
in it, and the three forms of one invoice are one document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from lxml import etree

from sources.connectors.einvoice import parse_einvoice
from sources.connectors.einvoice_document import Ours
from sources.connectors.einvoice_pdf import PdfReader
from sources.connectors.files_values import UnreadableFile
from sources.documents import Invoice, InvoiceKind
from sources.mapping.facts import facts_of
from sources.mapping.identities import disagreement
from sources.mirror.rows import invoice_row

CORPORA = Path(os.environ.get("CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora"))
pytestmark = pytest.mark.skipif(
    not (CORPORA / "en16931").is_dir(), reason="the corpora are not beside the project (CORPORA)"
)
XML = [*sorted(CORPORA.glob("en16931/*.xml")), *sorted(CORPORA.glob("zugferd/*.xml"))]
PDFS = sorted(CORPORA.glob("zugferd/*.pdf"))

NAMES = {
    "cbc": "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2",
    "cac": "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2",
    "ram": "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100",
    "rsm": "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100",
}
_SUMS = "//ram:SpecifiedTradeSettlementHeaderMonetarySummation/ram:"
_UBL = {
    "currency": "/*/cbc:DocumentCurrencyCode",
    "number": "/*/cbc:ID",
    "issued": "/*/cbc:IssueDate",
    "due": "/*/cbc:DueDate",
    "subtotal": "//cbc:TaxExclusiveAmount",
    "tax": "/*/cac:TaxTotal/cbc:TaxAmount[@currencyID = /*/cbc:DocumentCurrencyCode]",
    "total": "//cbc:TaxInclusiveAmount",
    "prepaid": "//cac:LegalMonetaryTotal/cbc:PrepaidAmount",
    "amount_due": "//cbc:PayableAmount",
    "lines": "/*/cac:InvoiceLine/cbc:LineExtensionAmount | /*/cac:CreditNoteLine/cbc:LineExtensionAmount",
    "allowances": "/*/cac:AllowanceCharge[contains('false 0', normalize-space(cbc:ChargeIndicator))]/cbc:Amount",
    "charges": "/*/cac:AllowanceCharge[contains('true 1', normalize-space(cbc:ChargeIndicator))]/cbc:Amount",
    "taxes": "//cac:TaxSubtotal/cbc:TaxAmount",
    "names": "/*/cac:AccountingSupplierParty//cac:PartyLegalEntity/cbc:RegistrationName",
    "tax_ids": "/*/cac:AccountingSupplierParty//cac:PartyTaxScheme/cbc:CompanyID",
}
_CII = {
    "currency": "//ram:InvoiceCurrencyCode",
    "number": "/*/rsm:ExchangedDocument/ram:ID",
    "issued": "/*/rsm:ExchangedDocument/ram:IssueDateTime/*",
    "due": "//ram:DueDateDateTime/*",
    "subtotal": _SUMS + "TaxBasisTotalAmount",
    "tax": _SUMS + "TaxTotalAmount[@currencyID = //ram:InvoiceCurrencyCode]",
    "total": _SUMS + "GrandTotalAmount",
    "prepaid": _SUMS + "TotalPrepaidAmount",
    "amount_due": _SUMS + "DuePayableAmount",
    "lines": "//ram:IncludedSupplyChainTradeLineItem//ram:LineTotalAmount",
    "allowances": "//ram:ApplicableHeaderTradeSettlement/ram:SpecifiedTradeAllowanceCharge[contains('false 0', normalize-space(ram:ChargeIndicator))]"
    "/ram:ActualAmount",
    "charges": "//ram:ApplicableHeaderTradeSettlement/ram:SpecifiedTradeAllowanceCharge[contains('true 1', normalize-space(ram:ChargeIndicator))]"
    "/ram:ActualAmount",
    "taxes": "//ram:ApplicableHeaderTradeSettlement/ram:ApplicableTradeTax/ram:CalculatedAmount",
    "names": "//ram:SellerTradeParty/ram:Name",
    "tax_ids": "//ram:SellerTradeParty/ram:SpecifiedTaxRegistration/ram:ID",
}


@pytest.fixture(scope="module")
def pdfs() -> Iterator[PdfReader]:
    reader = PdfReader()
    yield reader
    reader.stop()


@pytest.mark.parametrize("file", XML, ids=lambda file: file.name)
def test_figures_are_those_of_the_file(file: Path, pdfs: PdfReader) -> None:
    invoice = parse_einvoice(file.read_bytes(), Ours(), pdfs)
    root = etree.parse(file).getroot()
    paths = _CII if root.tag.endswith("CrossIndustryInvoice") else _UBL

    def texts(name: str) -> list[str]:
        found = root.xpath(paths[name], namespaces=NAMES)
        assert isinstance(found, list)
        return [(each.text or "").strip() for each in found if isinstance(each, etree._Element)]

    def minor(name: str) -> list[int]:
        return [int(Decimal(text) * 100) for text in texts(name)]  # every currency there has two decimals

    assert [invoice.currency] == texts("currency")
    assert [invoice.number] == texts("number")
    assert invoice.issue_date is not None
    assert [invoice.issue_date.isoformat().replace("-", "")] == [each.replace("-", "") for each in texts("issued")]
    assert [invoice.due_date and invoice.due_date.isoformat().replace("-", "")] == (
        [each.replace("-", "") for each in texts("due")] or [None]
    )
    for name in ("subtotal", "tax", "total", "prepaid", "amount_due"):
        assert [getattr(invoice, name)] == (minor(name) or [0]), name
    stated = minor("lines") + [-each for each in minor("allowances")] + minor("charges")
    assert sorted(line.amount for line in invoice.lines) == sorted(stated)
    assert sorted(tax.amount for tax in invoice.taxes or ()) == sorted(minor("taxes"))
    assert invoice.party.name in [" ".join(each.split()) for each in texts("names")]
    assert invoice.party.tax_id in (texts("tax_ids") or [None])
    assert (invoice.kind is InvoiceKind.CREDIT_NOTE) == ("creditnote" in file.name)
    assert disagreement(facts_of("invoice", {**invoice_row(invoice), "source": "inbox"})) is None


@pytest.mark.parametrize("file", PDFS, ids=lambda file: file.name)
def test_the_three_forms_of_an_invoice_are_one_document(file: Path, pdfs: PdfReader) -> None:
    """Field by field; the payload has what a form leaves out, such as a second identifier of the seller."""
    forms = [file, file.with_suffix(".cii.xml"), file.with_suffix(".ubl.xml")]
    first, *others = [replace(parse_einvoice(form.read_bytes(), Ours(), pdfs), raw={}) for form in forms]
    assert isinstance(first, Invoice)
    assert [other == first for other in others] == [True, True]


@pytest.mark.parametrize("file", sorted(CORPORA.glob("invoice-pdf/*.pdf")), ids=lambda file: file.name)
def test_a_plain_pdf_is_refused(file: Path, pdfs: PdfReader) -> None:
    with pytest.raises(UnreadableFile, match="a PDF without an electronic invoice: nothing is attached"):
        parse_einvoice(file.read_bytes(), Ours(), pdfs)
