"""Electronic invoices: UBL 2.1, UN/CEFACT CII (XRechnung, Factur-X, ZUGFeRD 1 and 2), and PDF files that have one attached. A folder
of them is read as `sources.connectors.files` says; what a file is its content tells, never its name.

One invoice is one document, in whichever of its forms, however often and under whichever name it comes. A file that states other
figures for the same invoice replaces what the one before stated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lxml import etree

from sources.connectors import einvoice_cii, einvoice_ubl, files
from sources.connectors.einvoice_document import Ours, bare, to_invoice
from sources.connectors.einvoice_pdf import PdfReader, is_pdf
from sources.connectors.einvoice_terms import EInvoice
from sources.connectors.files_pull import parsed
from sources.connectors.files_values import Memory, UnreadableFile, not_text, quote, reader_version
from sources.connectors.files_xml import drop_namespaces, is_xml, parse_xml
from sources.connectors.kinds import ConnectorKind
from sources.documents import Document, Invoice, InvoiceDirection
from sources.errors import ConfigurationError

_READER = 2
_READERS = {
    einvoice_ubl.INVOICE: einvoice_ubl.read_ubl,
    einvoice_ubl.CREDIT_NOTE: einvoice_ubl.read_ubl,
    einvoice_cii.INVOICE: einvoice_cii.read_cii,
    einvoice_cii.ZUGFERD_1: einvoice_cii.read_cii,
}
_ENVELOPE = "{http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader}StandardBusinessDocument"
_INSTEAD = "ask its sender for UBL, CII, Factur-X or ZUGFeRD"
_BLANKS = b" \t\r\n"
_DIRECTIONS = {each.value.lower(): each for each in InvoiceDirection}


def read_einvoice(data: bytes, memory: Memory | None = None) -> EInvoice:
    """The terms of an invoice in XML. `memory`: of the file that it is within, if it is not one itself. Raises UnreadableFile."""
    memory = memory or Memory(len(data))
    root = parse_xml(data.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS), memory, long_texts=True)
    if root.tag == _ENVELOPE:  # as Peppol sends it
        root = next((each for each in root if each.tag in _READERS), root)
    read = _READERS.get(str(root.tag))
    if read is None:
        raise UnreadableFile(_refusal(root))
    drop_namespaces(root)
    return read(root)


def _refusal(root: etree._Element) -> str:
    name = etree.QName(root)
    if name.localname == "SCRDMCCBDACIOMessageStructure":
        return "it is an order (Order-X), and no invoice"
    if name.localname in {etree.QName(known).localname for known in _READERS}:
        return f"it is {quote(name.localname)} of the namespace {quote(name.namespace or '')}, which is none of UBL 2 or CII D16B"
    return f"it is neither an invoice in UBL 2 nor in CII: its root is {quote(name.localname)}"


def parse_einvoice(data: bytes, ours: Ours, pdfs: PdfReader) -> Invoice:
    """The invoice of one file. Raises UnreadableFile."""
    if not data.strip(_BLANKS + b"\0"):
        raise UnreadableFile("it is empty")
    if not data.startswith(b"%PDF-") and (reason := not_text(data, _INSTEAD)):
        raise UnreadableFile(reason)
    if not is_pdf(data):
        if not is_xml(data):
            raise UnreadableFile("it is neither XML nor PDF")
        return to_invoice(read_einvoice(data), ours)
    contents = pdfs.invoices(data)
    first, *others = (_attached(each, ours, len(data)) for each in contents)
    if any(replace(each, raw=first.raw) != first for each in others):
        raise UnreadableFile("several invoices are attached to it, and they differ")
    return first


def _attached(data: bytes, ours: Ours, size: int) -> Invoice:
    """`size`: of the PDF: what is made of its attachment is bounded by that."""
    try:
        memory = Memory(size)
        memory.take(len(data), "data")
        return to_invoice(read_einvoice(data, memory), ours)
    except UnreadableFile as error:
        raise UnreadableFile(f"the invoice in the PDF: {error}") from error


def _version(ours: Ours) -> int:
    return reader_version(_READER, ours.direction.value, sorted(ours.tax_ids))


class EInvoicesConnector(files.FilesConnector):
    """One folder of e-invoices. Constructed without I/O. Raises ConfigurationError.

    `direction`: "payable", the folder has invoices that we receive, or "receivable", those that we send. `own_tax_id`: our VAT
    ids or tax numbers, with commas between them; where one of them is the seller's or the buyer's, that tells the direction of
    the invoice. `options`: as of a FilesConnector."""

    def __init__(self, *, name: str, direction: str = "payable", own_tax_id: str | None = None, **options: Any) -> None:
        if direction not in _DIRECTIONS:
            raise ConfigurationError(f'sources.{name}.direction must be "payable" or "receivable", not {direction!r}')
        own = frozenset(filter(None, map(bare, (own_tax_id or "").split(","))))
        if own_tax_id is not None and not own:
            raise ConfigurationError(f"sources.{name}.own_tax_id names no tax id")
        self._ours = ours = Ours(_DIRECTIONS[direction], own)
        self._pdfs = PdfReader()
        super().__init__(
            name=name,
            parse=lambda data, _file: [parse_einvoice(data, ours, self._pdfs)],
            reader=_version(ours),
            **options,
        )

    def _stated(self, data: bytes, name: str) -> Sequence[Document]:
        pdfs = PdfReader()  # a pull ends its own when it ends
        try:
            return parsed(self._reading, lambda data, _: [parse_einvoice(data, self._ours, pdfs)], data, name)
        finally:
            pdfs.stop()

    async def leave(self) -> None:
        """As of a FilesConnector. The process that reads PDF files lives as long as one pull."""
        self._pdfs.stop()
        await super().leave()


KIND = ConnectorKind(
    name="e-invoices",
    connector=EInvoicesConnector,
    gives=("invoice",),
    one_of=(files.PLACES,),
    optional=("direction", "own_tax_id", *files.OPTIONS),
    secrets=files.SECRETS,
    origin=files.PLACES,
    of_files=True,
    example={"path": "invoices"},
)
