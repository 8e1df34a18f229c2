"""PDF files with an invoice attached, as Factur-X has it: small invoices within large files, and invoices that are the file."""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

from benchmarks.files_invoices import cii

_NAME = "factur-x.xml"
_LINES = 10
_PIECE = 1_000_000


def scanned(size: int) -> Iterator[bytes]:
    """A PDF of about so many bytes, whose page is an image; its invoice has ten lines, compressed."""
    yield from _pdf(zlib.compress("".join(cii(_LINES)).encode()), b" /Filter /FlateDecode", size)


def attached(size: int) -> Iterator[bytes]:
    """A PDF of about so many bytes, nearly all of them its invoice, not compressed."""
    lines = max(1, (size - 2_000) // 861)
    yield from _pdf("".join(cii(lines)).encode(), b"", 0)


def _pdf(content: bytes, filter_: bytes, size: int) -> Iterator[bytes]:
    image = max(0, size - len(content) - 1_500)
    heads = [
        f"<< /Type /Catalog /Pages 2 0 R /Names << /EmbeddedFiles << /Names [({_NAME}) 4 0 R] >> >> /AF [4 0 R] >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /XObject << /Scan 6 0 R >> >> >>",
        f"<< /Type /Filespec /F ({_NAME}) /UF ({_NAME}) /AFRelationship /Alternative /EF << /F 5 0 R /UF 5 0 R >> >>",
    ]
    parts = [f"{number} 0 obj\n{head}\nendobj\n".encode() for number, head in enumerate(heads, 1)]
    parts.append(
        b"5 0 obj\n<< /Type /EmbeddedFile /Subtype /text#2Fxml /Length %d%s >>\nstream\n" % (len(content), filter_)
        + content
        + b"\nendstream\nendobj\n"
    )
    parts.append(
        b"6 0 obj\n<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray "
        b"/Filter /DCTDecode /Length %d >>\nstream\n" % image
    )
    at, offsets = 9, []
    yield b"%PDF-1.7\n"
    for part in parts:
        offsets.append(at)
        at += len(part)
        yield part
    chance = random.Random(7)
    for begin in range(0, image, _PIECE):
        yield chance.randbytes(min(_PIECE, image - begin))
    end = b"\nendstream\nendobj\n"
    yield end
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    yield b"xref\n0 7\n0000000000 65535 f \n%strailer\n<< /Size 7 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        table,
        at + image + len(end),
    )
