"""What is fuzzed: the parser of every file format, with a few files of it to begin with. A file is read or refused by UnreadableFile;
anything else that is raised is a defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sources.connectors.bai2 import parse_bai2
from sources.connectors.bank_csv import FIELDS as BANK_FIELDS
from sources.connectors.bank_csv import parse_bank_csv
from sources.connectors.bank_statements import parse_statement_file
from sources.connectors.camt import parse_camt
from sources.connectors.einvoice import parse_einvoice
from sources.connectors.einvoice_document import Ours
from sources.connectors.einvoice_pdf import PdfReader
from sources.connectors.files_csv import TableFormat
from sources.connectors.mt940 import parse_mt940
from sources.connectors.ofx import parse_ofx
from sources.connectors.payroll_csv import FIELDS as PAYROLL_FIELDS
from sources.connectors.payroll_csv import parse_payroll
from tests.sources.connectors import test_bai2, test_ofx
from tests.sources.connectors.checklist import subject_bank_csv, subject_payroll_csv
from tests.sources.connectors.checklist.subjects import FileSubject, subjects
from tests.sources.connectors.einvoice_kit import Paper, zugferd_1

_TABLE = {"delimiter": ";"}
_BANK = TableFormat.of("f", subject_bank_csv.COLUMNS, _TABLE, known=BANK_FIELDS, required=())
_PAYROLL = TableFormat.of("f", subject_payroll_csv.COLUMNS, _TABLE, known=PAYROLL_FIELDS, required=())
_FORMS: Mapping[str, FileSubject] = {each.name: each for each in subjects() if isinstance(each, FileSubject)}
_OURS = Ours()
_PDFS = PdfReader()


@dataclass(frozen=True)
class Harness:
    parse: Callable[[bytes], Any]
    seeds: Sequence[bytes]


def _einvoice(data: bytes) -> Any:
    """PDF files are read by another process, which is not fuzzed here."""
    return None if data.lstrip().startswith(b"%PDF") else parse_einvoice(data, _OURS, _PDFS)


def _seeds(*forms: str) -> list[bytes]:
    return [_FORMS[form].file(numbers) for form in forms for numbers in ([5], [6, 7])]


_SGML = test_ofx.sgml()
_STATEMENTS = _seeds("bank-statements-MT940", "bank-statements-camt")
_BAI2 = [test_bai2.file(test_bai2.CREDIT).encode()]
_OFX = [_SGML.encode(), test_ofx.xml(_SGML).encode()]

HARNESSES: Mapping[str, Harness] = {
    "camt": Harness(lambda data: parse_camt(data, "f"), _seeds("bank-statements-camt")),
    "mt940": Harness(lambda data: parse_mt940(data, "f"), _seeds("bank-statements-MT940")),
    "bai2": Harness(lambda data: parse_bai2(data, "f"), _BAI2),
    "ofx": Harness(lambda data: parse_ofx(data, "f"), _OFX),
    "statements": Harness(lambda data: parse_statement_file(data, "f"), [*_STATEMENTS, *_BAI2, *_OFX]),
    "bank-csv": Harness(
        lambda data: parse_bank_csv(data, "f", _BANK, currency="EUR", account="77"), _seeds("bank-csv")
    ),
    "payroll-csv": Harness(
        lambda data: parse_payroll(data, _PAYROLL, {"currency": "EUR", "status": "Posted"}), _seeds("payroll-csv")
    ),
    "einvoice": Harness(_einvoice, [*_seeds("e-invoices-UBL", "e-invoices-CII"), zugferd_1(Paper())]),
}
