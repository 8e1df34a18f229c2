"""`e-invoices`: an invoice whose lines are the numbers, as UBL, as CII and within a PDF."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sources.connectors.einvoice import KIND, EInvoicesConnector
from sources.documents import Connector, Document, Invoice
from tests.sources.connectors.checklist.subjects import FileSubject
from tests.sources.connectors.einvoice_kit import Paper, Row, cii, pdf, ubl


def _connector(folder: Path, clock: Callable[[], float]) -> Connector:
    return EInvoicesConnector(name="inbox", path=folder, clock=clock)


def _paper(numbers: Sequence[int]) -> Paper:
    rows = [Row(amount=f"{number}.00", name="Päper") for number in numbers]
    net = sum(numbers)
    return Paper(number=f"R-{numbers[0]}", lines=rows, taxes=(("0.00", f"{net}.00", "S", "0"),), net=f"{net}.00",
                 tax="0.00", gross=f"{net}.00", payable=f"{net}.00")  # fmt: skip


def _big(write: Callable[[Paper], bytes]) -> Callable[[int], bytes]:
    def big(size: int) -> bytes:
        one, ten = len(write(_paper([7]))), len(write(_paper([7] * 10)))
        return write(_paper([7] * (size * 9 // (ten - one))))

    return big


def _amounts(document: Document) -> list[int]:
    assert isinstance(document, Invoice)
    return [line.amount for line in document.lines]


def _subject(form: str, write: Callable[[Paper], bytes]) -> FileSubject:
    return FileSubject(
        KIND.name,
        _connector,
        lambda numbers: write(_paper(numbers)),
        _big(write),
        _amounts,
        form=form,
        text=form != "PDF",
    )


SUBJECTS = (
    _subject("UBL", ubl),
    _subject("CII", cii),
    _subject("PDF", lambda paper: pdf(("factur-x.xml", cii(paper)))),
)
