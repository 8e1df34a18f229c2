"""PDF files with an invoice attached: the right attachment is taken, and no PDF takes more time or memory than it may."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sources.connectors.einvoice import parse_einvoice
from sources.connectors.einvoice_document import Ours
from sources.connectors.einvoice_pdf import PdfReader
from sources.connectors.files_values import UnreadableFile
from tests.sources.connectors.einvoice_kit import Paper, cii, pdf, ubl

XML = cii(Paper())


@pytest.fixture(scope="module")
def pdfs() -> Iterator[PdfReader]:
    reader = PdfReader()
    yield reader
    reader.stop()


def refusal(data: bytes, pdfs: PdfReader) -> str:
    with pytest.raises(UnreadableFile) as caught:
        parse_einvoice(data, Ours(), pdfs)
    return str(caught.value)


def written(*objects: bytes) -> bytes:
    """A PDF of these objects, numbered from 1 on; the first is the catalog."""
    data, places = bytearray(b"%PDF-1.7\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    start = len(data)
    data += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    data += b"".join(b"%010d 00000 n \n" % place for place in places)
    return bytes(data + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, start))


def stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<< /Length %d %b >>\nstream\n%b\nendstream" % (len(content), entries, content)


def attached(content: bytes, entries: bytes = b"", name: bytes = b"factur-x.xml") -> bytes:
    """With one attachment, its stream as given."""
    return written(
        b"<< /Type /Catalog /Names << /EmbeddedFiles << /Kids [ 2 0 R ] >> >> >>",
        b"<< /Kids [ 3 0 R ] >>",
        b"<< /Names [ (x) 4 0 R ] >>",
        b"<< /Type /Filespec /F (%b) /EF << /F 5 0 R >> >>" % name,
        stream(content, entries),
    )


@pytest.mark.parametrize(
    "name", ["factur-x.xml", "ZUGFeRD-invoice.xml", "zugferd-invoice.xml", "xrechnung.xml", "Factur-X.XML"]
)
def test_the_attachment_is_known_by_its_name(name: str, pdfs: PdfReader) -> None:
    data = pdf(("other.xml", b"<a/>"), (name, XML), ("order-x.xml", b"<b/>"))
    assert parse_einvoice(data, Ours(), pdfs).number == "R-1"


def test_ubl_may_be_attached_and_the_header_may_come_late(pdfs: PdfReader) -> None:
    data = b"junk\n" + pdf(("xrechnung.xml", ubl(Paper())))
    assert parse_einvoice(data, Ours(), pdfs).number == "R-1"


def test_attachments_of_trees_and_of_the_document_are_found(pdfs: PdfReader) -> None:
    deep = attached(zlib.compress(XML), b"/Filter /FlateDecode")
    associated = written(
        b"<< /Type /Catalog /AF [ 2 0 R ] >>",
        b"<< /Type /Filespec /UF (factur-x.xml) /EF << /UF 3 0 R >> >>",
        stream(XML),
    )
    assert [parse_einvoice(data, Ours(), pdfs).number for data in (deep, associated)] == ["R-1", "R-1"]


def test_the_same_invoice_twice_is_one_and_two_are_refused(pdfs: PdfReader) -> None:
    twice = pdf(("factur-x.xml", XML), ("xrechnung.xml", ubl(Paper())), ("zugferd-invoice.xml", XML))
    assert parse_einvoice(twice, Ours(), pdfs).number == "R-1"
    for other in (Paper(number="R-2"), Paper(payable="100.00", prepaid="19.00")):
        two = pdf(("factur-x.xml", XML), ("xrechnung.xml", ubl(other)))
        assert refusal(two, pdfs) == "several invoices are attached to it, and they differ"


def test_an_owner_s_password_forbids_no_reading_and_a_user_s_does(pdfs: PdfReader) -> None:
    assert parse_einvoice(pdf(("factur-x.xml", XML), password="", owner="secret"), Ours(), pdfs).number == "R-1"
    assert "it is encrypted" in refusal(pdf(("factur-x.xml", XML), password="secret"), pdfs)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pdf(), "nothing is attached to it"),
        (pdf(("invoice.xml", XML), ("terms.pdf", b"x")), "attached are invoice.xml, terms.pdf"),
        (pdf(("order-x.xml", b"<a/>")), "it is a PDF of an order (order-x.xml)"),
        (pdf(("factur-x.xml", b"<a/>")), "the invoice in the PDF: it is neither an invoice in UBL 2 nor in CII"),
        (pdf(("factur-x.xml", b"")), "the invoice in the PDF: it is not well-formed XML"),
        (b"%PDF-1.7\nnothing", "it cannot be read as a PDF"),
        (written(b"<< /Type /Catalog /Names 1 0 R >>"), "nothing is attached"),
        (
            written(
                b"<< /Type /Catalog /Names << /EmbeddedFiles << /Kids [ 2 0 R 2 0 R ] >> >> >>",
                b"<< /Kids [ 2 0 R 2 0 R ] >>",
            ),
            "does not end",
        ),
        (
            written(b"<< /Type /Catalog /AF [ 2 0 R ] >>", b"<< /F (factur-x.xml) /EF << /F 2 0 R >> >>"),
            "is named, and is not in it",
        ),
        (written(b"<< /Type /Catalog /Names << /EmbeddedFiles [ 1 0 R ] >> /AF (text) >>"), "nothing is attached"),
        (pdf(("factur-x.xml", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>")), "document type declaration"),
        (pdf(("factur-x\n\0.xml" + "y" * 500, b"")), "attached are factur-x.xmlyyy"),
    ],
    ids=range(12),
)
def test_what_has_no_invoice_is_refused_with_the_reason(data: bytes, reason: str, pdfs: PdfReader) -> None:
    assert reason in refusal(data, pdfs)


def peak(pid: int) -> int:
    """Where the system does not tell: what it takes now."""
    if sys.platform != "linux":
        return int(psutil.Process(pid).memory_info().rss)
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def bomb(size: int, times: int = 1) -> bytes:
    data = b" " * size
    for _ in range(times):
        data = zlib.compress(data, 9)
    return data


@pytest.mark.parametrize(
    "data",
    [
        attached(bomb(200_000_000), b"/Filter /FlateDecode"),
        attached(bomb(200_000_000, 2), b"/Filter [ /FlateDecode /FlateDecode ]"),
        attached(zlib.compress(bytes([129, 32]) * 10_000_000), b"/Filter [ /FlateDecode /RunLengthDecode ]"),
        attached(b"x", b"/Filter [ " + b"/ASCIIHexDecode " * 10_000 + b"]"),
        attached(b"x", b"/Filter /FlateDecode /DecodeParms << /Predictor 12 /Columns 999999999999 >>"),
    ],
    ids=["zlib", "zlib twice", "run lengths", "filters", "predictor"],
)
def test_a_bomb_costs_one_file_and_little_memory(data: bytes) -> None:
    """The process that opens it may take what any file may: ten times its size and 64 MB."""
    reader = PdfReader()
    try:
        assert parse_einvoice(pdf(("factur-x.xml", XML)), Ours(), reader).number == "R-1"
        process = reader._process
        assert process is not None
        before = peak(process.pid)
        assert refusal(data, reader)
        assert reader._process is process
        assert peak(process.pid) - before <= 10 * len(data) + 64_000_000
        assert parse_einvoice(pdf(("factur-x.xml", XML)), Ours(), reader).number == "R-1"
    finally:
        reader.stop()


def test_an_attachment_is_bounded_by_its_pdf(pdfs: PdfReader) -> None:
    data = attached(zlib.compress(XML + b" " * 9_000_000), b"/Filter /FlateDecode")
    assert len(data) < 100_000
    assert refusal(data, pdfs)
    data = attached(zlib.compress(XML + b" " * 7_000_000), b"/Filter /FlateDecode")
    assert parse_einvoice(data, Ours(), pdfs).number == "R-1"
    markup = zlib.compress(XML.replace(b"</rsm:Cross", b"<a/>" * 1_000_000 + b"</rsm:Cross"))
    assert "far more elements" in refusal(attached(markup, b"/Filter /FlateDecode"), pdfs)


def test_after_a_small_pdf_a_large_one_is_read(pdfs: PdfReader) -> None:
    """What one may take does not bound the next one."""
    assert parse_einvoice(pdf(("factur-x.xml", XML)), Ours(), pdfs).number == "R-1"
    large = pdf(("scan.png", os.urandom(90_000_000)), ("factur-x.xml", XML))
    assert parse_einvoice(large, Ours(), pdfs).number == "R-1"


def test_nesting_without_end_costs_one_file(pdfs: PdfReader) -> None:
    assert refusal(written(b"<< /Type /Catalog /Names " + b"[" * 200_000 + b" >>"), pdfs)
    assert refusal(written(b"<< /Type /Catalog /Names " + b"<< /a " * 200_000 + b" >>"), pdfs)


def test_a_pdf_that_takes_too_long_is_given_up_and_the_next_one_is_read() -> None:
    """Whatever it is that takes the time: here there is none at all."""
    hurried = PdfReader(seconds=0.0)
    try:
        assert (
            refusal(pdf(("factur-x.xml", XML)), hurried)
            == "reading it takes more time or memory than a PDF of its size may"
        )
        hurried._seconds = 20.0
        assert parse_einvoice(pdf(("factur-x.xml", XML)), Ours(), hurried).number == "R-1"
    finally:
        hurried.stop()


def test_a_process_that_died_is_started_again_and_none_is_left() -> None:
    reader, before = PdfReader(), {each.pid for each in psutil.Process().children()}
    parse_einvoice(pdf(("factur-x.xml", XML)), Ours(), reader)
    (started,) = {each.pid for each in psutil.Process().children()} - before
    os.kill(started, 9)
    psutil.Process(started).wait() if psutil.pid_exists(started) else None
    assert parse_einvoice(pdf(("factur-x.xml", XML)), Ours(), reader).number == "R-1"
    reader.stop()
    assert {each.pid for each in psutil.Process().children()} <= before
