"""Bank statement files: camt.052/053/054, MT940/942, BAI2 and OFX, told apart by their content, never by their names. A folder of them
is read as `sources.connectors.files` says.

Give each account in one format: the same booking in a camt.053 and in an MT940 cannot be told to be one.

Which provisional transactions count: a transaction of a provisional statement (camt.052, camt.054, MT942, an interim BAI2) is covered, and
counts no more, when its date is not after the newest `to_date` of the authoritative statements of its account and currency.
Its date is `booked_on`, else `value_date`, else the `to_date` of its report. Banks state periods one after the other, so one
that ends later covers all days before. Authoritative statements (camt.053, MT940, BAI2, OFX) set `to_date` to their closing
balance's date, or to the last booking where that is later; one without any date covers nothing.
"""

from __future__ import annotations

from typing import Any

from sources.connectors import files
from sources.connectors.bai2 import parse_bai2
from sources.connectors.bai2_records import is_bai2
from sources.connectors.camt import parse_camt
from sources.connectors.files_values import UnreadableFile, not_text
from sources.connectors.kinds import ConnectorKind
from sources.connectors.mt940 import parse_mt940
from sources.connectors.mt940_text import decode, is_mt940
from sources.connectors.ofx import parse_ofx
from sources.connectors.ofx_text import is_ofx
from sources.documents import BankStatement

_READER = 3
_INSTEAD = "ask the bank for camt.053, MT940, BAI2 or OFX"
_BLANKS = b" \t\r\n"
_HEAD = 4_096


def parse_statement_file(data: bytes, file_name: str) -> list[BankStatement]:
    """Every statement of one file of any known format. `file_name` is named in warnings. Raises UnreadableFile."""
    if not data.strip(_BLANKS + b"\0"):
        raise UnreadableFile("it is empty")
    if reason := not_text(data, _INSTEAD):
        raise UnreadableFile(reason)
    if is_ofx(data):
        return parse_ofx(data, file_name)
    head = data[:_HEAD].replace(b"\0", b"").lstrip(_BLANKS + b"\xef\xbb\xbf\xff\xfe")
    if head.startswith(b"<"):
        return parse_camt(data.removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS), file_name)
    if is_bai2(head.decode("latin-1")):
        return parse_bai2(data, file_name)
    if not is_mt940(decode(data)):
        raise UnreadableFile(
            "it is neither a camt.052, camt.053 or camt.054 nor an MT940, MT942, BAI2 or OFX file; for a table there is kind bank-csv"
        )
    return parse_mt940(data, file_name)


class BankStatementsConnector(files.FilesConnector):
    """One folder of statement files. Constructed without I/O. `options`: as of a FilesConnector."""

    def __init__(self, *, name: str, **options: Any) -> None:
        super().__init__(name=name, parse=_parse, reader=_READER, **options)


def _parse(data: bytes, file_name: str) -> list[BankStatement]:
    return parse_statement_file(data, file_name)


KIND = ConnectorKind(
    name="bank-statements",
    connector=BankStatementsConnector,
    gives=("bank_statement",),
    one_of=(files.PLACES,),
    optional=files.OPTIONS,
    secrets=files.SECRETS,
    origin=files.PLACES,
    of_files=True,
    example={"path": "statements"},
)
