"""What reading hostile files costs, measured where nothing else is: a process for each file, started from one that has only what every
reader needs. Run as a program: python -m tests.sources.connectors.reading_memory SIZE FREE FORMAT [SHAPE]

It writes one line of JSON for each shape: its name, the file's size, by how many bytes the process grew at its peak (the file itself
included), seconds of computing, and what the reader said. FREE: bytes for `files_values.FREE_MEMORY`, 0: as it is. Linux alone tells the
peak of a process that was not started anew."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sources.connectors import files_values
from sources.connectors.bank_csv import FIELDS as BANK_FIELDS
from sources.connectors.bank_csv import parse_bank_csv
from sources.connectors.bank_statements import parse_statement_file
from sources.connectors.einvoice import parse_einvoice
from sources.connectors.einvoice_document import Ours
from sources.connectors.einvoice_pdf import PdfReader
from sources.connectors.files_csv import TableFormat
from sources.connectors.files_values import UnreadableFile
from sources.connectors.payroll_csv import FIELDS as PAYROLL_FIELDS
from sources.connectors.payroll_csv import parse_payroll
from tests.sources.connectors import hostile_files
from tests.sources.connectors.hostile_files import Made

_BANK = TableFormat.of(
    "b",
    {"date": 1, "amount": 2, "id": 3, "description": 4, "account": 5},
    {"delimiter": ";"},
    known=BANK_FIELDS,
    required=(),
)
_PAYROLL = TableFormat.of(
    "p",
    {"employee_id": 1, "net": 2, "pay_date": 3, "run": 4, "gross": 5},
    {"delimiter": ";"},
    known=PAYROLL_FIELDS,
    required=(),
)
_FIXED = {"currency": "EUR", "status": "Posted"}
_NO_PDFS = PdfReader()


def _statement(data: bytes) -> Any:
    return parse_statement_file(data, "f")


def _invoice(data: bytes) -> Any:
    return parse_einvoice(data, Ours(), _NO_PDFS)


FORMATS: Mapping[str, tuple[Mapping[str, Made], Callable[[bytes], Any]]] = {
    "camt": (hostile_files.CAMT, _statement),
    "mt940": (hostile_files.MT940, _statement),
    "bai2": (hostile_files.BAI2, _statement),
    "ofx": (hostile_files.OFX, _statement),
    "bank-csv": (hostile_files.TABLES, lambda data: parse_bank_csv(data, "f", _BANK, currency="EUR", account="1")),
    "payroll-csv": (hostile_files.PAYROLL, lambda data: parse_payroll(data, _PAYROLL, _FIXED)),
    "ubl": (hostile_files.UBL, _invoice),
    "cii": (hostile_files.CII, _invoice),
}


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _in_child(work: Callable[[], None]) -> int:
    """Its exit status."""
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def _read(path: Path, parse: Callable[[bytes], Any], shape: str) -> None:
    before, begun = _peak(), time.process_time()
    data = path.read_bytes()
    try:
        parse(data)
        said = "read"
    except UnreadableFile as refused:
        said = str(refused)
    grown, seconds = _peak() - before, time.process_time() - begun
    print(json.dumps({"shape": shape, "size": len(data), "grown": grown, "seconds": seconds, "said": said}), flush=True)


def _cost(path: Path, made: Made, size: int, parse: Callable[[bytes], Any], shape: str) -> None:
    if _in_child(lambda: _write(path, made(size))):
        raise SystemExit(f"{shape}: it could not be made")
    if status := _in_child(lambda: _read(path, parse, shape)):
        raise SystemExit(f"{shape}: reading it ended with status {status}")


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def main(size: str, free: str, form: str, *only: str) -> None:
    """Also the exit status tells when one was killed, or failed otherwise than by a refusal."""
    logging.disable(logging.CRITICAL)
    files_values.FREE_MEMORY = int(free) or files_values.FREE_MEMORY
    shapes, parse = FORMATS[form]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        for shape in only or shapes:
            _cost(path, shapes[shape], int(size), parse, shape)


if __name__ == "__main__":
    main(*sys.argv[1:])
