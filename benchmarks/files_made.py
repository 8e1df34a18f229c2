"""Files of each format that is read, of any size: as a bank makes them, with balances that lead from one to the other, control totals
that hold, and texts, dates and references of their own for every entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

_OPENING = 1_000_000
IBAN = "DE89370400440532013000"


@dataclass(frozen=True, slots=True)
class Entry:
    """`day`: of March 2026; `amount`: cents, signed."""

    number: int
    day: int
    amount: int
    name: str
    text: str
    reference: str


def entries(count: int) -> Iterator[Entry]:
    """A month of them."""
    for number in range(count):
        amount = 1_000 + number * 7_919 % 250_000
        yield Entry(
            number,
            1 + number * 31 // count,
            -amount if number % 3 else amount,
            f"{('Initech', 'Globex', 'Hooli', 'Umbrella')[number % 4]} {number % 977} Ltd",
            f"Invoice {2_026_000 + number % 90_000} of order {number % 8_191}",
            f"REF{number:010d}",
        )


def _decimal(cents: int, point: str = ".") -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}{point}{abs(cents) % 100:02d}"


def _closing(count: int) -> int:
    return _OPENING + sum(entry.amount for entry in entries(count))


def camt(count: int) -> Iterator[str]:
    """A camt.053.001.08."""

    def balance(code: str, cents: int, day: str) -> str:
        side = "CRDT" if cents >= 0 else "DBIT"
        return (
            f'<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp><Amt Ccy="EUR">{_decimal(abs(cents))}</Amt>'
            f"<CdtDbtInd>{side}</CdtDbtInd><Dt><Dt>{day}</Dt></Dt></Bal>"
        )

    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>'
        "<GrpHdr><MsgId>M1</MsgId><CreDtTm>2026-04-01T02:00:00</CreDtTm></GrpHdr><Stmt><Id>2026-03</Id>"
        f"<Acct><Id><IBAN>{IBAN}</IBAN></Id><Ccy>EUR</Ccy></Acct>"
    )
    yield balance("OPBD", _OPENING, "2026-03-01") + balance("CLBD", _closing(count), "2026-03-31")
    for entry in entries(count):
        side, party = ("CRDT", "Dbtr") if entry.amount >= 0 else ("DBIT", "Cdtr")
        yield (
            f'<Ntry><NtryRef>{entry.number}</NtryRef><Amt Ccy="EUR">{_decimal(abs(entry.amount))}</Amt><CdtDbtInd>{side}</CdtDbtInd>'
            f"<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-03-{entry.day:02d}</Dt></BookgDt><ValDt><Dt>2026-03-{entry.day:02d}</Dt></ValDt>"
            f"<AcctSvcrRef>{entry.reference}</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>E{entry.number}</EndToEndId></Refs>"
            f"<RltdPties><{party}><Pty><Nm>{entry.name}</Nm></Pty></{party}></RltdPties><RmtInf><Ustrd>{entry.text}</Ustrd></RmtInf>"
            "</TxDtls></NtryDtls></Ntry>\n"
        )
    yield "</Stmt></BkToCstmrStmt></Document>\n"


def mt940(count: int) -> Iterator[str]:
    """One MT940, in German banks' structure of field 86."""

    def balance(cents: int) -> str:
        return f"{'C' if cents >= 0 else 'D'}260331EUR{_decimal(abs(cents), ',')}"

    yield f":20:STARTUMS\r\n:25:{IBAN}\r\n:28C:3/1\r\n:60F:C260301EUR{_decimal(_OPENING, ',')}\r\n"
    for entry in entries(count):
        side = "C" if entry.amount >= 0 else "D"
        yield (
            f":61:2603{entry.day:02d}03{entry.day:02d}{side}{_decimal(abs(entry.amount), ',')}NTRFNONREF//{entry.reference}\r\n"
            f":86:166?00GUTSCHRIFT?20EREF+E{entry.number}?21{entry.text[:27]}?22{entry.text[27:]}?32{entry.name}\r\n"
        )
    yield f":62F:{balance(_closing(count))}\r\n-\r\n"


def bai2(count: int) -> Iterator[str]:
    """A previous-day report of one account, with its control totals."""
    paid_in = sum(entry.amount for entry in entries(count) if entry.amount > 0)
    paid_out = -sum(entry.amount for entry in entries(count) if entry.amount < 0)
    closing = _closing(count)
    yield (
        "01,031000503,ACME,260401,0400,1,,,2/\n02,ACME,031000503,1,260331,2400,USD,2/\n"
        f"03,123456789,USD,010,{_OPENING},,,015,{closing},,,100,{paid_in},,,400,{paid_out},,/\n"
    )
    for entry in entries(count):
        code = 142 if entry.amount >= 0 else 451
        yield (
            f"16,{code},{abs(entry.amount)},V,2603{entry.day:02d},,{entry.reference},E{entry.number},{entry.name.upper()}\n"
            f"88,{entry.text.upper()}\n"
        )
    total = _OPENING + closing + 2 * (paid_in + paid_out)
    yield f"49,{total},{2 * count + 2}/\n98,{total},1,{2 * count + 4}/\n99,{total},1,{2 * count + 6}/\n"


def _ofx(count: int, header: str, end: Callable[[str], str]) -> Iterator[str]:
    def value(name: str, text: str) -> str:
        return f"<{name}>{text}{end(name)}\n"

    yield (
        f"{header}<OFX><BANKMSGSRSV1><STMTTRNRS>{value('TRNUID', '1')}<STATUS>{value('CODE', '0')}{value('SEVERITY', 'INFO')}</STATUS>"
        f"<STMTRS>{value('CURDEF', 'USD')}<BANKACCTFROM>{value('BANKID', '031000503')}{value('ACCTID', '123456789')}"
        f"{value('ACCTTYPE', 'CHECKING')}</BANKACCTFROM><BANKTRANLIST>{value('DTSTART', '20260301')}{value('DTEND', '20260331')}"
    )
    for entry in entries(count):
        yield (
            f"<STMTTRN>\n{value('TRNTYPE', 'CREDIT' if entry.amount >= 0 else 'DEBIT')}"
            f"{value('DTPOSTED', f'202603{entry.day:02d}120000.000[-5:EST]')}{value('TRNAMT', _decimal(entry.amount))}"
            f"{value('FITID', entry.reference)}{value('NAME', entry.name)}{value('MEMO', entry.text)}</STMTTRN>\n"
        )
    yield (
        f"</BANKTRANLIST><LEDGERBAL>{value('BALAMT', _decimal(_closing(count)))}{value('DTASOF', '20260331')}</LEDGERBAL>"
        "</STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>\n"
    )


def ofx_sgml(count: int) -> Iterator[str]:
    """An OFX 1.0.2, whose values do not end."""
    header = "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nSECURITY:NONE\nENCODING:USASCII\nCHARSET:1252\nCOMPRESSION:NONE\nOLDFILEUID:NONE\nNEWFILEUID:NONE\n\n"  # fmt: skip
    return _ofx(count, header, lambda _name: "")


def ofx_xml(count: int) -> Iterator[str]:
    """An OFX 2.1.1."""
    header = '<?xml version="1.0" encoding="UTF-8"?>\n<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>\n'  # fmt: skip
    return _ofx(count, header, lambda name: f"</{name}>")


def bank_csv(count: int) -> Iterator[str]:
    """A table with a running balance."""
    yield "Booked on,Value date,Text,Payee,Reference,Amount,Balance\n"
    balance = _OPENING
    for entry in entries(count):
        balance += entry.amount
        day = f"2026-03-{entry.day:02d}"
        yield f"{day},{day},{entry.text},{entry.name},{entry.reference},{_decimal(entry.amount)},{_decimal(balance)}\n"
