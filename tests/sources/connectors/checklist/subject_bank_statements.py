"""`bank-statements`: MT940 and camt.053."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from sources.connectors.bank_statements import BankStatementsConnector
from sources.documents import BankStatement, Connector, Document
from tests.sources.connectors.checklist.subjects import FileSubject


def _connector(folder: Path, clock: Callable[[], float]) -> Connector:
    return BankStatementsConnector(name="bank", path=folder, clock=clock)


def _amounts(document: Document) -> list[int]:
    assert isinstance(document, BankStatement)
    return [each.amount for each in document.transactions]


def _mt940(numbers: Sequence[int]) -> bytes:
    return "".join(_statement(number, [number]) for number in numbers).encode()


def _statement(number: int, amounts: Sequence[int]) -> str:
    entries = "".join(
        f":61:2603020302C{amount},00NTRFNONREF//B{number}-{n}\n:86:166?00TRANSFER?20SVWZ+Invoice {n}?32ACME é GMBH\n"
        for n, amount in enumerate(amounts)
    )
    total = 100 + sum(amounts)
    return f":20:X\n:25:12345678/99\n:28C:{number}/1\n:60F:C260301EUR100,00\n{entries}:62F:C260302EUR{total},00\n-\n"


def _big_mt940(size: int) -> bytes:
    return _statement(1, [7] * (size // 95)).encode()


def _camt(numbers: Sequence[int]) -> bytes:
    return _message("".join(_record(number, [number]) for number in numbers))


def _message(records: str) -> bytes:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">'
        f"<BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>{records}</BkToCstmrStmt></Document>"
    ).encode()


def _record(number: int, amounts: Sequence[int]) -> str:
    entries = "".join(
        f"<Ntry><NtryRef>{n}</NtryRef><Amt Ccy='EUR'>{amount}.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>"
        f"<BookgDt><Dt>2026-03-02</Dt></BookgDt><AcctSvcrRef>B{number}-{n}</AcctSvcrRef><NtryDtls><TxDtls><RmtInf>"
        f"<Ustrd>Invoice {n} é</Ustrd></RmtInf></TxDtls></NtryDtls></Ntry>"
        for n, amount in enumerate(amounts)
    )
    account = "<Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>"
    return f"<Stmt><Id>S{number}</Id>{account}{entries}</Stmt>"


def _big_camt(size: int) -> bytes:
    return _message(_record(1, [7] * (size // 280)))


SUBJECTS = (
    FileSubject("bank-statements", _connector, _mt940, _big_mt940, _amounts, form="MT940"),
    FileSubject("bank-statements", _connector, _camt, _big_camt, _amounts, form="camt"),
)
