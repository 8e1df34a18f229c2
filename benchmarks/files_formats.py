"""The formats of files that are measured: how one of any size is made, how it is read, and who reads it beside us."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import files_invoices, files_made, files_pdf, files_peers
from benchmarks.files_facts import Facts
from benchmarks.files_peers import Peer
from sources.connectors.bank_csv import FIELDS, parse_bank_csv
from sources.connectors.bank_statements import parse_statement_file
from sources.connectors.files_csv import TableFormat
from sources.documents import BankStatement

_TABLE = TableFormat.of(
    "bench",
    {"date": 1, "value_date": 2, "description": 3, "counterparty": 4, "reference": 5, "amount": 6, "balance": 7},
    None,
    known=FIELDS,
    required=("date", "amount"),
)


@dataclass(frozen=True, slots=True)
class Format:
    """`pieces`: the bytes of a file of about such a size; `read`: its facts (RuntimeError where it is read with a warning, UnreadableFile
    where it is refused); `unit`: what an entry is called."""

    name: str
    pieces: Callable[[int], Iterator[bytes]]
    read: Callable[[bytes], Facts]
    peer: Peer
    unit: str = "transactions"

    def write(self, file: Path, size: int) -> None:
        """A file of about so many bytes."""
        with file.open("wb") as out:
            out.writelines(self.pieces(size))


def _texts(pieces: Callable[[int], Iterator[str]], entry_bytes: int, size: int) -> Iterator[bytes]:
    """Of a format whose entries are about so long."""
    return (piece.encode() for piece in pieces(max(1, size // entry_bytes)))


def _facts(statements: list[BankStatement]) -> Facts:
    if any(each.warnings for each in statements):
        raise RuntimeError("the file is read with warnings")
    amounts = [each.amount for statement in statements for each in statement.transactions]
    return Facts(len(amounts), sum(amounts))


def _read_statements(data: bytes) -> Facts:
    return _facts(parse_statement_file(data, "file"))


def _read_table(data: bytes) -> Facts:
    return _facts(parse_bank_csv(data, "file", _TABLE, currency="EUR", account=files_made.IBAN))


def _statement(name: str, pieces: Callable[[int], Iterator[str]], entry_bytes: int, peer: Peer) -> Format:
    return Format(name, partial(_texts, pieces, entry_bytes), _read_statements, peer)


def _invoice(name: str, pieces: Callable[[int], Iterator[bytes]], peer: Peer) -> Format:
    return Format(name, pieces, files_invoices.read_invoice, peer, "lines")


FORMATS = {
    each.name: each
    for each in (
        _statement("camt.053", files_made.camt, 438, files_peers.CAMT),
        _statement("MT940", files_made.mt940, 134, files_peers.MT940),
        _statement("BAI2", files_made.bai2, 90, files_peers.BAI2),
        _statement("OFX 1 (SGML)", files_made.ofx_sgml, 168, files_peers.OFX),
        _statement("OFX 2 (XML)", files_made.ofx_xml, 221, files_peers.OFX),
        Format("CSV", partial(_texts, files_made.bank_csv, 98), _read_table, files_peers.CSV),
        _invoice("UBL", partial(_texts, files_invoices.ubl, 582), files_peers.UBL),
        _invoice("CII", partial(_texts, files_invoices.cii, 861), files_peers.CII),
        _invoice("Factur-X PDF, scanned pages", files_pdf.scanned, files_peers.PDF),
        _invoice("Factur-X PDF, long invoice", files_pdf.attached, files_peers.PDF),
    )
}
"""By name. A further format is one more here."""
