"""E-invoices: one invoice is one document in every form, its figures as stated, and what is none is refused with the reason."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.connectors.einvoice import EInvoicesConnector, parse_einvoice
from sources.connectors.einvoice_document import Ours
from sources.connectors.einvoice_pdf import PdfReader
from sources.connectors.files_values import UnreadableFile
from sources.documents import Invoice, InvoiceDirection, InvoiceKind, InvoiceStatus, Page
from sources.errors import ConfigurationError
from sources.mapping.facts import facts_of
from sources.mapping.identities import disagreement
from sources.mirror.rows import invoice_row
from tests.sources.connectors.einvoice_kit import Paper, Row, cii, pdf, ubl, zugferd_1

FORMS: dict[str, Callable[[Paper], bytes]] = {"ubl": ubl, "cii": cii, "zugferd 1": zugferd_1}
FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
LONG_AGO = 1_700_000_000


@pytest.fixture(scope="module")
def pdfs() -> Iterator[PdfReader]:
    reader = PdfReader()
    yield reader
    reader.stop()


def read(data: bytes, ours: Ours = Ours()) -> Invoice:  # noqa: B008 (it is frozen)
    pdfs = PdfReader()
    try:
        return parse_einvoice(data, ours, pdfs)
    finally:
        pdfs.stop()


def refusal(data: bytes, ours: Ours = Ours()) -> str:  # noqa: B008
    with pytest.raises(UnreadableFile) as caught:
        read(data, ours)
    return str(caught.value)


def disagreeing(invoice: Invoice) -> str | None:
    """What the pipeline says of it."""
    return disagreement(facts_of("invoice", {**invoice_row(invoice), "source": "inbox"}))


# ---------------------------------------------------------------- the document


@FORM
def test_a_bill(form: Callable[[Paper], bytes]) -> None:
    paper = Paper(
        lines=[
            Row("80.00", "Paper", "2.000", product="P-1", account="4711"),
            Row("30", "Rent", period=("2026-03-01", "2026-03-31")),
        ],
        extras=[Row("15.00", "Bonus", charge=False), Row("5.00", "Freight", rate="7.00", charge=True)],
        period=("2026-01-01", "2026-12-31"),
        prepaid="19.00",
        payable="100.00",
    )
    bill = read(form(paper))
    assert bill.external_id == "DE123456789/380/2026-03-10/R-1"
    assert (bill.direction, bill.kind, bill.status) == (
        InvoiceDirection.PAYABLE,
        InvoiceKind.INVOICE,
        InvoiceStatus.OPEN,
    )
    assert (bill.party.name, bill.party.external_id, bill.party.tax_id) == (
        "Lieferant GmbH",
        "DE123456789",
        "DE123456789",
    )
    assert (bill.number, bill.issue_date, bill.due_date) == ("R-1", date(2026, 3, 10), date(2026, 4, 9))
    assert (bill.currency, bill.subtotal, bill.tax, bill.total, bill.prepaid, bill.amount_due) == (
        "EUR",
        10000,
        1900,
        11900,
        1900,
        10000,
    )
    assert [(each.amount, each.description, each.quantity, each.tax_code) for each in bill.lines] == [
        (8000, "Paper", "2", "19"),
        (3000, "Rent", "1", "19"),
        (-1500, "Bonus", None, "19"),
        (500, "Freight", None, "7"),
    ]
    year, march = (date(2026, 1, 1), date(2026, 12, 31)), (date(2026, 3, 1), date(2026, 3, 31))
    assert [(each.service_from, each.service_to) for each in bill.lines] == [year, march, year, year]
    assert (bill.lines[0].product, bill.lines[0].account, bill.lines[1].account) == ("P-1", "4711", None)
    assert bill.taxes is not None
    assert [(each.amount, each.code, each.rate, each.taxable) for each in bill.taxes] == [(1900, None, "19", 10000)]
    assert bill.raw["order"] == "PO-7"
    assert disagreeing(bill) is None


@FORM
def test_a_credit_note_names_its_invoice(form: Callable[[Paper], bytes]) -> None:
    invoice = read(form(Paper(number="R-0", issued="2026-02-01")))
    note = read(form(Paper(type_code="381", preceding=("R-0", "2026-02-01"))))
    assert (note.kind, note.total, note.due_date) == (InvoiceKind.CREDIT_NOTE, 11900, date(2026, 4, 9))
    assert note.raw["invoice"] == invoice.external_id


@FORM
@pytest.mark.parametrize("code", ["380", "384", "386", "389", "326", "751", "875"])
def test_types_of_invoices(form: Callable[[Paper], bytes], code: str) -> None:
    ours = Ours(tax_ids=frozenset({"US1"}))
    assert read(form(Paper(type_code=code, buyer_vat="US 1")), ours).kind is InvoiceKind.INVOICE


@FORM
def test_a_corrected_invoice_may_be_negative(form: Callable[[Paper], bytes]) -> None:
    paper = Paper(
        type_code="384",
        lines=[Row("-100.00", quantity="-1")],
        taxes=[("-19.00", "-100.00", "S", "19")],
        net="-100.00",
        tax="-19.00",
        gross="-119.00",
        payable="-119.00",
    )
    bill = read(form(paper))
    assert (bill.kind, bill.total, bill.lines[0].quantity) == (InvoiceKind.INVOICE, -11900, "-1")
    assert disagreeing(bill) is None


@FORM
def test_a_pro_forma_invoice_is_a_draft_and_one_with_nothing_due_is_paid(form: Callable[[Paper], bytes]) -> None:
    assert read(form(Paper(type_code="325"))).status is InvoiceStatus.DRAFT
    assert read(form(Paper(prepaid="119.00", payable="0.00"))).status is InvoiceStatus.PAID


@FORM
def test_tax_categories_are_codes_and_the_standard_rate_goes_by_its_rate(form: Callable[[Paper], bytes]) -> None:
    paper = Paper(
        lines=[Row(category=code, rate="0") for code in ("AE", "K", "S")],
        taxes=[("0.00", "100.00", code, "0") for code in ("K", "AE")] + [("7.00", "100.00", "S", "7.00")],
        net="300",
        tax="7",
        gross="307",
        payable="307",
    )
    bill = read(form(paper))
    assert [each.tax_code for each in bill.lines] == ["AE", "K", "0"]
    assert bill.taxes is not None
    assert [(each.code, each.rate, each.taxable) for each in bill.taxes] == [
        (None, "7", 10000),
        ("AE", "0", 10000),
        ("K", "0", 10000),
    ]


@FORM
def test_tax_in_the_accounting_currency_is_told_apart(form: Callable[[Paper], bytes]) -> None:
    bill = read(form(Paper(currency="DKK", tax_currency="EUR", tax_in_currency="2.55")))
    assert (bill.currency, bill.tax) == ("DKK", 1900)
    assert bill.raw["accounting_tax"] == {"currency": "EUR", "amount": 255}
    assert disagreeing(bill) is None


@FORM
def test_rounding_is_part_of_the_total(form: Callable[[Paper], bytes]) -> None:
    bill = read(form(Paper(rounding="0.02", payable="119.02")))
    assert (bill.total, bill.rounding, bill.amount_due) == (11902, 2, 11902)
    assert disagreeing(bill) is None


@FORM
def test_a_profile_without_lines_and_breakdown(form: Callable[[Paper], bytes]) -> None:
    bill = read(form(Paper(lines=(), taxes=(), extras=[Row("5.00", charge=False)])))
    assert (bill.lines, bill.taxes, bill.total) == ((), None, 11900)
    assert disagreeing(bill) is None


@FORM
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gross": "119.01", "payable": "119.01"}, "total = subtotal + tax + rounding is off by 0.01 EUR"),
        ({"net": "99.00", "gross": "118.00", "payable": "118.00"}, "subtotal = sum of the lines' amounts"),
        ({"taxes": [("18.00", "100.00", "S", "19")]}, "tax = sum of the taxes' amounts is off by 1.00 EUR"),
        ({"payable": "118.00"}, "the amount due (BT-115) is 118.00 EUR"),
        ({"extras": [Row("5.00", charge=False)]}, "subtotal = sum of the lines' amounts"),
    ],
)
def test_figures_are_taken_as_stated_and_a_disagreement_is_told(
    form: Callable[[Paper], bytes], change: dict[str, Any], message: str
) -> None:
    bill = read(form(replace(Paper(), **change)))
    assert message in (disagreeing(bill) or "")


def test_what_is_collected_for_others_may_be_due_too() -> None:
    """The extension of XRechnung: PrepaidPayment, BT-DEX-002."""
    collected = b'<cac:PrepaidPayment><cbc:PaidAmount currencyID="EUR">1.00</cbc:PaidAmount></cac:PrepaidPayment>'
    data = ubl(Paper(payable="120.00")).replace(b"<cac:TaxTotal>", collected + b"<cac:TaxTotal>", 1)
    assert disagreeing(read(data)) is None
    assert disagreeing(read(ubl(Paper(payable="120.00")))) is not None


def test_sums_and_notes_among_the_lines_of_the_extended_profile_count_for_nothing() -> None:
    data = cii(Paper(lines=[Row("100.00"), Row("100.00")]))
    group = b"<ram:LineStatusReasonCode>GROUP</ram:LineStatusReasonCode>"
    bill = read(data.replace(b"<ram:LineID>1</ram:LineID>", b"<ram:LineID>1</ram:LineID>" + group))
    assert [each.amount for each in bill.lines] == [10000]


# ---------------------------------------------------------------- one invoice, one document

AMOUNTS = st.integers(-(10**9), 10**9)
LETTERS = st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=["Cc", "Cf", "Z"])
WORDS = st.text(LETTERS, min_size=1, max_size=12)
DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1)).map(date.isoformat)


def money(minor: int) -> str:
    return str(Decimal(minor).scaleb(-2))


@st.composite
def papers(draw: st.DrawFn) -> Paper:
    """Any figures: they need not add up."""

    def row(charge: bool | None = None) -> Row:
        return Row(
            amount=money(draw(AMOUNTS)),
            name=draw(WORDS),
            quantity=str(draw(st.decimals(-1000, 1000, places=3))),
            category=draw(st.sampled_from(["S", "AE", "K", "E", "Z", "O"])),
            rate=draw(st.sampled_from(["", "0", "7.00", "19", "5.5"])),
            period=draw(st.none() | st.tuples(DAYS, DAYS)),
            charge=charge,
            account=draw(st.just("") | WORDS),
            product=draw(st.just("") | WORDS),
        )

    taxes = [(money(draw(AMOUNTS)), money(draw(AMOUNTS)), draw(WORDS), draw(st.sampled_from(["7", "19.0"])))]
    return Paper(
        number=draw(WORDS),
        type_code=draw(st.sampled_from(["380", "381", "384", "386"])),
        issued=draw(DAYS),
        due=draw(st.just("") | DAYS),
        currency=draw(st.sampled_from(["EUR", "USD", "HUF"])),
        seller=draw(WORDS),
        seller_vat=draw(st.just("") | WORDS),
        buyer=draw(WORDS),
        lines=[row() for _ in range(draw(st.integers(0, 3)))],
        extras=[row(draw(st.booleans())) for _ in range(draw(st.integers(0, 2)))],
        taxes=taxes * draw(st.integers(0, 2)),
        period=draw(st.none() | st.tuples(DAYS, DAYS)),
        net=money(draw(AMOUNTS)),
        tax=money(draw(AMOUNTS)),
        gross=money(draw(AMOUNTS)),
        prepaid=draw(st.just("") | AMOUNTS.map(money)),
        rounding=draw(st.just("") | st.integers(-99, 99).map(money)),
        payable=money(draw(AMOUNTS)),
        order=draw(st.just("") | WORDS),
        preceding=draw(st.none() | st.tuples(WORDS, DAYS)),
    )


@settings(deadline=None)
@given(papers())
def test_every_form_of_an_invoice_is_the_same_document(paper: Paper) -> None:
    first, second, third = (read(form(paper)) for form in FORMS.values())
    assert first == second == third
    assert invoice_row(first) == invoice_row(second)


def test_a_pdf_is_the_invoice_that_is_attached_to_it(pdfs: PdfReader) -> None:
    data = cii(Paper())
    assert parse_einvoice(pdf(("terms.txt", b"x"), ("factur-x.xml", data)), Ours(), pdfs) == read(ubl(Paper()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"number": "R/1"}, {"number": "R%2F1"}),
        ({"number": "1"}, {"number": "2"}),
        ({"type_code": "380"}, {"type_code": "384"}),
        ({"issued": "2025-03-10"}, {"issued": "2026-03-10"}),
        ({"seller_vat": "DE1"}, {"seller_vat": "DE2"}),
        ({"seller_vat": "XX", "seller": "A"}, {"seller_vat": "XX", "seller": "B"}),
        ({"seller_vat": "", "seller": "A/380"}, {"seller_vat": "", "seller": "A"}),
    ],
)
def test_two_invoices_are_two_documents(one: dict[str, str], other: dict[str, str]) -> None:
    assert read(ubl(replace(Paper(), **one))).external_id != read(ubl(replace(Paper(), **other))).external_id  # type: ignore[arg-type]


def test_marks_within_a_tax_id_make_no_other_document() -> None:
    assert read(ubl(Paper(seller_vat="de 123.456.789"))).external_id == read(cii(Paper())).external_id


# ---------------------------------------------------------------- whose invoice it is


OWN = Ours(tax_ids=frozenset({"DE999999999"}))


@FORM
def test_own_tax_ids_tell_the_direction(form: Callable[[Paper], bytes]) -> None:
    sale = read(form(Paper(seller_vat="DE 999 999 999", buyer_vat="FR1")), OWN)
    assert (sale.direction, sale.party.name, sale.party.tax_id) == (InvoiceDirection.RECEIVABLE, "Kunden AG", "FR1")
    assert read(form(Paper(buyer_vat="DE999999999")), OWN).direction is InvoiceDirection.PAYABLE
    assert read(form(Paper()), OWN).direction is InvoiceDirection.PAYABLE
    assert "neither is in own_tax_id" in refusal(form(Paper(buyer_vat="FR1")), OWN)


@FORM
def test_without_them_the_folder_tells_it(form: Callable[[Paper], bytes]) -> None:
    sale = read(form(Paper(lines=[Row(account="4711")])), Ours(InvoiceDirection.RECEIVABLE))
    assert (sale.direction, sale.party.name, sale.source_status) == (InvoiceDirection.RECEIVABLE, "Kunden AG", "issued")
    assert sale.lines[0].account is None  # it is the customer's


@FORM
def test_a_self_billed_invoice_may_be_of_either_side(form: Callable[[Paper], bytes]) -> None:
    assert "self-billed" in refusal(form(Paper(type_code="389")))
    assert read(form(Paper(type_code="389", seller_vat="DE999999999")), OWN).direction is InvoiceDirection.RECEIVABLE


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b" \n", "it is empty"),
        (b"PK\x03\x04junk", "it is a zip archive"),
        (b"\x1f\x8bjunk", "it is compressed"),
        (b"hello", "it is neither XML nor PDF"),
        (b"<a/>", "its root is 'a'"),
        (b"<Invoice/>", "which is none of UBL 2 or CII D16B"),
        (b"<CrossIndustryInvoice xmlns='urn:x'/>", "it is 'CrossIndustryInvoice' of the namespace 'urn:x'"),
        (b"<x:SCRDMCCBDACIOMessageStructure xmlns:x='urn:x'/>", "it is an order (Order-X)"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "document type declaration"),
        (b"<a>" * 3_000 + b"</a>" * 3_000, "not well-formed XML"),
    ],
)
def test_what_is_no_invoice_is_refused(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


@FORM
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"number": ""}, "BT-1: the invoice has no number"),
        ({"number": "1" * 201}, "longer than 200 characters"),
        ({"issued": ""}, "BT-2: the invoice has no date of issue"),
        ({"issued": "2026-02-30"}, "is not a date"),
        ({"type_code": "999"}, "BT-3: '999' is no type"),
        ({"type_code": "³80"}, "BT-3"),
        ({"currency": ""}, "BT-5: the invoice has no currency"),
        ({"currency": "XXX"}, "BT-5: 'XXX' is not a currency"),
        ({"net": ""}, "BT-109: the invoice has no total without tax"),
        ({"gross": ""}, "BT-112: the invoice has no total with tax"),
        ({"gross": "119.001"}, "has more than 2 decimals"),
        ({"gross": "1e3"}, "must be a decimal"),
        ({"gross": "9" * 90}, "must be a decimal"),
        ({"gross": "9" * 30}, "is larger than can be kept"),
        ({"lines": [Row("")]}, "BT-131: a line has no amount"),
        ({"lines": [Row(quantity="many")]}, "BT-129: 'many' is not a decimal number"),
        ({"lines": [Row(period=("2026-13-01", ""))]}, "is not a date"),
        ({"extras": [Row("", charge=True)]}, "BT-99: a charge has no amount"),
        ({"taxes": [("", "1", "S", "19")]}, "BT-117: a tax has no amount"),
        ({"seller": "", "seller_vat": ""}, "it does not say who the seller is"),
        ({"tax_currency": "USD", "tax_in_currency": "1.005"}, "BT-111"),
    ],
)
def test_what_is_missing_or_wrong_is_named(form: Callable[[Paper], bytes], change: dict[str, Any], reason: str) -> None:
    assert reason in refusal(form(replace(Paper(), **change)))


def test_figures_in_two_currencies_are_refused() -> None:
    data = ubl(Paper())
    assert "the amount is in 'USD', the invoice in EUR" in refusal(
        data.replace(b'PayableAmount currencyID="EUR"', b'PayableAmount currencyID="USD"')
    )
    assert "tax total in 'USD'" in refusal(cii(Paper()).replace(b'currencyID="EUR"', b'currencyID="USD"'))
    twice = data.replace(
        b"<cac:LegalMonetaryTotal>",
        b"<cac:TaxTotal><cbc:TaxAmount>1</cbc:TaxAmount></cac:TaxTotal><cac:LegalMonetaryTotal>",
    )
    assert "more than one tax total in EUR" in refusal(twice)


def test_what_is_stated_twice_is_refused() -> None:
    data = cii(Paper()).replace(
        b"</ram:GrandTotalAmount>", b"</ram:GrandTotalAmount><ram:GrandTotalAmount>1</ram:GrandTotalAmount>"
    )
    assert "BT-112: it is stated 2 times" in refusal(data)


def test_a_breakdown_in_the_accounting_currency_is_not_counted() -> None:
    data = ubl(Paper(currency="DKK", tax_currency="EUR", tax_in_currency="2.55"))
    part = b'<cac:TaxSubtotal><cbc:TaxAmount currencyID="EUR">2.55</cbc:TaxAmount></cac:TaxSubtotal></cac:TaxTotal>'
    assert disagreeing(read(part.join(data.rsplit(b"</cac:TaxTotal>", 1)))) is None


def test_an_amount_that_is_interrupted_is_refused() -> None:
    assert "elements within the amount" in refusal(ubl(Paper(gross="119<a/>00")))


def test_large_files_within_an_invoice_are_no_hindrance() -> None:
    scan = (
        b"<cac:AdditionalDocumentReference><cbc:ID>"
        + b"QUFB" * 5_000_000
        + b"</cbc:ID></cac:AdditionalDocumentReference>"
    )
    data = ubl(Paper())
    assert read(data.replace(b"<cac:AccountingSupplierParty>", scan + b"<cac:AccountingSupplierParty>")) == read(data)


@pytest.mark.parametrize("part", [b"<a/>", b"<a b=''/>", b"<a>1</a>"])
def test_markup_without_end_is_refused_before_it_takes_memory(part: bytes) -> None:
    data = ubl(Paper()).replace(b"</Invoice>", part * 2_000_000 + b"</Invoice>")
    assert "far more elements and attributes" in refusal(data)


@pytest.mark.parametrize("text", ["+119.00", "0119", "119.", "119.0000000", " 119 "])
def test_decimals_are_read_as_xml_schema_writes_them(text: str) -> None:
    assert read(ubl(Paper(gross=text))).total == 11900


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings(encoding: str) -> None:
    text = cii(Paper(seller="Müller")).decode()
    assert read(f"\n{text}".encode(encoding) if encoding != "utf-16" else text.encode(encoding)).party.name == "Müller"


def test_an_invoice_in_the_envelope_of_peppol() -> None:
    inner = ubl(Paper()).partition(b"?>")[2]
    space = b"http://www.unece.org/cefact/namespaces/StandardBusinessDocumentHeader"
    data = b"<StandardBusinessDocument xmlns='" + space + b"'><StandardBusinessDocumentHeader/>" + inner
    assert read(data + b"</StandardBusinessDocument>") == read(ubl(Paper()))


# ---------------------------------------------------------------- whatever comes

GOOD = [form(Paper(lines=[Row(), Row()], extras=[Row(charge=True)])) for form in FORMS.values()]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_invoice_is_a_document_or_a_refusal(data: st.DataObject) -> None:
    """Bytes changed, cut out, doubled; never another error."""
    damaged = bytearray(data.draw(st.sampled_from(GOOD)))
    for _ in range(data.draw(st.integers(1, 4))):
        at, length = data.draw(st.integers(0, len(damaged))), data.draw(st.integers(0, 60))
        part = data.draw(st.binary(max_size=8) | st.sampled_from([bytes(damaged[at : at + length]) * 2, b""]))
        damaged[at : at + length] = part
    try:
        invoice = read(bytes(damaged))
    except UnreadableFile:
        return
    invoice_row(invoice)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_an_invoice_with_any_text_in_any_place(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(GOOD)).decode()
    places = [
        index for index, character in enumerate(text) if character == ">" and text[index + 1 : index + 2] not in "<"
    ]
    at = data.draw(st.sampled_from(places)) + 1
    value = data.draw(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&"), max_size=30))
    changed = text[:at] + value + text[text.index("<", at) :]
    with suppress(UnreadableFile):
        invoice_row(read(changed.encode()))


def test_a_damaged_pdf_is_a_document_or_a_refusal(pdfs: PdfReader) -> None:
    """The same ones each time, and few: each takes a process's answer."""
    whole, chance = pdf(("factur-x.xml", cii(Paper()))), random.Random(7)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.randint(0, 30)] = chance.randbytes(chance.randint(0, 8))
        with suppress(UnreadableFile):
            assert parse_einvoice(bytes(damaged), Ours(), pdfs).total == 11900


# ---------------------------------------------------------------- the folder


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"direction": "both"}, 'direction must be "payable" or "receivable"'),
        ({"own_tax_id": " , "}, "own_tax_id names no tax id"),
        ({"path": None}, "must have one of path and sftp"),
    ],
)
def test_settings_that_cannot_work(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        EInvoicesConnector(name="inbox", **{"path": tmp_path, **options})
    assert message in str(caught.value)


async def test_a_folder_of_every_form(tmp_path: Path) -> None:
    connector = EInvoicesConnector(
        name="inbox", path=tmp_path, own_tax_id="FR1, DE999999999", when_read="move", clock=lambda: LONG_AGO + 100
    )
    for name, data in {
        "a.xml": ubl(Paper()),
        "b.pdf": pdf(("ZUGFeRD-invoice.xml", zugferd_1(Paper()))),
        "c": cii(Paper(number="R-2", seller_vat="DE999999999")),
        "plain.pdf": pdf(),
    }.items():
        (tmp_path / name).write_bytes(data)
        os.utime(tmp_path / name, (LONG_AGO, LONG_AGO))
    pages: list[Page] = [page async for page in connector.pull(None)]
    await connector.close()
    found = [each for page in pages for each in page.documents if isinstance(each, Invoice)]
    assert [(each.number, each.direction.value) for each in found] == [("R-1", "PAYABLE"), ("R-2", "RECEIVABLE")]
    assert [(each.subject, each.code) for each in pages[-1].problems] == [("plain.pdf", "UNREADABLE_FILE")]
    assert sorted(each.name for each in (tmp_path / "done").iterdir()) == ["a.xml", "b.pdf", "c"]
    assert [each.name for each in (tmp_path / "quarantine").iterdir()] == ["plain.pdf"]
