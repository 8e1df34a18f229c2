"""Electronic invoices of the sample company's suppliers, as they come into its inbox: UBL 2.1 after EN 16931, a file for each."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.demo.company import EU, SUPPLIERS
from gateway.demo.servers.bank_files import put_file
from sources.money import format_minor

CURRENCY = EU.currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What a supplier wants, tax included at the domestic rate. `net`: cents of a euro."""

    number: str
    supplier: str
    what: str
    on: date
    due: date
    net: int

    @property
    def tax(self) -> int:
        return round(self.net * EU.tax_rate / 1_000)

    @property
    def total(self) -> int:
        return self.net + self.tax


def vat_id(supplier: str) -> str:
    """By which the supplier is known on its invoices and in the rules."""
    return f"DE{811_000_000 + 1_117 * (1 + sorted(SUPPLIERS).index(supplier))}"


def write_bill(folder: Path, bill: Bill) -> None:
    """Puts the invoice into the folder, which is made when absent; whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    put_file(folder / f"{bill.number}.xml", "".join(_invoice(bill)))


def _invoice(bill: Bill) -> Iterator[str]:
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Invoice xmlns="urn:oasis:names:specification:ubl:schema:xsd:Invoice-2"\n'
        ' xmlns:cac="urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"\n'
        ' xmlns:cbc="urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2">\n'
        "<cbc:CustomizationID>urn:cen.eu:en16931:2017</cbc:CustomizationID>\n"
        f"<cbc:ID>{bill.number}</cbc:ID>\n<cbc:IssueDate>{bill.on}</cbc:IssueDate>\n<cbc:DueDate>{bill.due}</cbc:DueDate>\n"
        f"<cbc:InvoiceTypeCode>380</cbc:InvoiceTypeCode>\n<cbc:DocumentCurrencyCode>{CURRENCY}</cbc:DocumentCurrencyCode>\n"
    )
    yield _party("AccountingSupplierParty", bill.supplier, vat_id(bill.supplier), "Hamburg")
    yield _party("AccountingCustomerParty", EU.name, "DE129273398", "Berlin")
    yield (
        f"<cac:TaxTotal>{_amount('TaxAmount', bill.tax)}<cac:TaxSubtotal>{_amount('TaxableAmount', bill.net)}"
        f"{_amount('TaxAmount', bill.tax)}{_category('TaxCategory')}</cac:TaxSubtotal></cac:TaxTotal>\n"
        f"<cac:LegalMonetaryTotal>{_amount('LineExtensionAmount', bill.net)}{_amount('TaxExclusiveAmount', bill.net)}"
        f"{_amount('TaxInclusiveAmount', bill.total)}{_amount('PayableAmount', bill.total)}</cac:LegalMonetaryTotal>\n"
        f'<cac:InvoiceLine><cbc:ID>1</cbc:ID><cbc:InvoicedQuantity unitCode="C62">1</cbc:InvoicedQuantity>'
        f"{_amount('LineExtensionAmount', bill.net)}<cac:Item><cbc:Name>{html.escape(bill.what)}</cbc:Name>"
        f"{_category('ClassifiedTaxCategory')}</cac:Item><cac:Price>{_amount('PriceAmount', bill.net)}</cac:Price>"
        "</cac:InvoiceLine>\n</Invoice>\n"
    )


def _party(role: str, name: str, vat: str, city: str) -> str:
    return (
        f"<cac:{role}><cac:Party><cac:PostalAddress><cbc:CityName>{city}</cbc:CityName><cac:Country>"
        "<cbc:IdentificationCode>DE</cbc:IdentificationCode></cac:Country></cac:PostalAddress><cac:PartyTaxScheme>"
        f"<cbc:CompanyID>{vat}</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:PartyTaxScheme>"
        f"<cac:PartyLegalEntity><cbc:RegistrationName>{html.escape(name)}</cbc:RegistrationName></cac:PartyLegalEntity>"
        f"</cac:Party></cac:{role}>\n"
    )


def _amount(name: str, minor: int) -> str:
    return f'<cbc:{name} currencyID="{CURRENCY}">{format_minor(minor, 2)}</cbc:{name}>'


def _category(name: str) -> str:
    return (
        f"<cac:{name}><cbc:ID>S</cbc:ID><cbc:Percent>{EU.tax_rate // 10}</cbc:Percent>"
        f"<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme></cac:{name}>"
    )
