"""Files that are made to take time or memory, by hand, one shape after another for every format: by name, what makes one of about so
many bytes. `test_hostile_files` reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.sources.connectors.einvoice_kit import Paper, cii, ubl

Made = Callable[[int], bytes]

_EMOJI = "\N{GRINNING FACE}"
"""Makes a text of bytes one of four bytes a character in memory."""


def _filled(begin: str, part: str, end: str) -> Made:
    """The part again and again, `#` of it as a number."""

    def made(size: int) -> bytes:
        count = max(1, (size - len(begin) - len(end)) // len(part.encode()))
        inner = "".join(part.replace("#", str(n)) for n in range(count)) if "#" in part else part * count
        return (begin + inner + end).encode()

    return made


_ENTRY = "<Ntry><Amt Ccy='EUR'>7.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2026-03-02</Dt></BookgDt>{}</Ntry>"
_CAMT = (
    "<Document xmlns='urn:iso:std:iso:20022:tech:xsd:camt.053.001.02'><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId></GrpHdr>",
    "<Stmt><Id>S</Id><Acct><Id><IBAN>DE89370400440532013000</IBAN></Id><Ccy>EUR</Ccy></Acct>",
    "</Stmt></BkToCstmrStmt></Document>",
)


_ACCOUNT = "<Acct><Id><IBAN>DE02120300000000202051</IBAN></Id><Ccy>EUR</Ccy></Acct>"
_ATTRIBUTES = "".join(f" a{n}=''" for n in range(1_000))


def _in_message(part: str) -> Made:
    return _filled(_CAMT[0], part, _CAMT[1] + _ENTRY.format("") + _CAMT[2])


def _in_record(part: str, begin: str = "", end: str = "") -> Made:
    return _filled(_CAMT[0] + _CAMT[1] + begin, part, end + _ENTRY.format("") + _CAMT[2])


def _in_entry(part: str, begin: str = "", end: str = "") -> Made:
    before, after = _ENTRY.split("{}")
    return _filled(_CAMT[0] + _CAMT[1] + before + begin, part, end + after + _CAMT[2])


_TEXT = ("<NtryDtls><TxDtls><RmtInf><Ustrd>", "</Ustrd></RmtInf></TxDtls></NtryDtls>")

CAMT: Mapping[str, Made] = {
    "empty elements": _in_record("<a/>"),
    "empty elements in the head": _in_message("<a/>"),
    "empty elements in an entry": _in_entry("<a/>"),
    "short elements": _in_record("<a>b</a>"),
    "elements and texts": _in_record("<a/>b"),
    "names": _in_record("<a#/>"),
    "attributes": _in_record("<a b='' c='' d=''/>"),
    "attributes of one element": _in_record(" a#=''", "<a", "/>"),
    "namespaces": _in_record("<a xmlns='b'/>"),
    "namespaces of one element": _in_record(" xmlns:a#='b'", "<a", "/>"),
    "namespaces one in another": _in_record("<a xmlns:b='c'>", "", "</a>"),
    "depth": _in_record("<a>"),
    "entries one in another": _in_record("<Ntry>"),
    "entries": _in_record(_ENTRY.format("")),
    "empty entries": _in_record("<Ntry/>"),
    "records": _filled(_CAMT[0], _CAMT[1] + "</Stmt>", _CAMT[2].removeprefix("</Stmt>")),
    "balances": _in_record("<Bal><Tp><Cd>OPBD</Cd></Tp><Amt Ccy='EUR'>1</Amt><CdtDbtInd>CRDT</CdtDbtInd></Bal>"),
    "messages": _filled("<a>", "<BkToCstmrStmt/>", "</a>"),
    "words": _in_entry("ab ", *_TEXT),
    "a text": _in_entry("abcdefgh", _TEXT[0] + _EMOJI, _TEXT[1]),
    "emoji": _in_entry(_EMOJI, *_TEXT),
    "blanks": _in_entry(" ", *_TEXT),
    "entities": _in_entry("&amp;", *_TEXT),
    "texts": _in_entry("".join(_TEXT)),
    "details": _in_entry("<TxDtls><Refs><EndToEndId>#</EndToEndId></Refs></TxDtls>", "<NtryDtls>", "</NtryDtls>"),
    "an attribute": _in_record("abcdefgh", "<a b='", "'/>"),
    "comments": _in_record("<!---->"),
    "a comment": _in_record("abcdefgh", "<!--", "-->"),
    "instructions": _in_record("<?a?>"),
    "plain text": _in_entry("<![CDATA[a]]>", *_TEXT),
    "names of attributes": _in_record("<a b#=''/>"),
    "attributes to the limit": _in_record(f"<a{_ATTRIBUTES}/>"),
    "texts of blanks": _in_record("<a> </a>"),
    "entries and elements": _in_record(_ENTRY.format("") + "<a/>" * 60),
    "entries and records": _filled(
        _CAMT[0], _CAMT[1] + _ENTRY.format("") + "</Stmt>", _CAMT[2].removeprefix("</Stmt>")
    ),
    "entries that stay": _in_record(_ENTRY.replace("<Ntry>", "<Ntry xmlns:x='y' x:z=''>").format("")),
    "entries before their account": _filled(
        _CAMT[0] + "<Stmt>", _ENTRY.format(""), _CAMT[1].removeprefix("<Stmt>") + _CAMT[2]
    ),
    "another account at the end": _in_record(_ENTRY.format(""), "", _ACCOUNT + "<a/>"),
    "details without texts": _in_entry("<TxDtls/>", "<NtryDtls>", "</NtryDtls>"),
    "utf-16": lambda size: _in_record("<a/>")(size // 2).decode().encode("utf-16"),
    "utf-16 of entries": lambda size: _in_record(_ENTRY.format(""))(size // 2).decode().encode("utf-16"),
    "utf-7": lambda size: b"<?xml version='1.0' encoding='utf-7'?>" + _in_record("+ADw-a/+AD4-")(size),
    "an amount": _filled(
        _CAMT[0] + _CAMT[1] + "<Ntry><Amt Ccy='EUR'>1.", "0", "</Amt><CdtDbtInd>CRDT</CdtDbtInd></Ntry>" + _CAMT[2]
    ),
    "an account": _filled(
        _CAMT[0] + "<Stmt><Acct><Id><Othr><Id>", "ab ", "</Id></Othr></Id></Acct>" + _ENTRY.format("") + _CAMT[2]
    ),
}


def _in_invoice(form: Callable[[Paper], bytes], part: str, begin: str = "", end: str = "") -> Made:
    whole = form(Paper(seller="\x00")).decode()
    before, after = whole.split("\x00")
    return _filled(before + "x" + begin, part, end + after)


def _beside(form: Callable[[Paper], bytes], part: str, begin: str = "", end: str = "") -> Made:
    root, inner = form(Paper()).decode().rsplit("</", 1)
    return _filled(root + begin, part, f"{end}</{inner}")


def _lines(form: Callable[[Paper], bytes], name: str) -> Made:
    text = form(Paper()).decode()
    at, end = text.index(f"<{name}>"), text.index(f"</{name}>") + len(f"</{name}>")
    return _filled(text[:at], text[at:end], text[end:])


def _of_invoices(form: Callable[[Paper], bytes], line: str) -> dict[str, Made]:
    return {
        "empty elements": _beside(form, "<a/>"),
        "short elements": _beside(form, "<a>b</a>"),
        "elements and texts": _beside(form, "<a/>b"),
        "attributes": _beside(form, "<a b='' c='' d=''/>"),
        "attributes of one element": _beside(form, " a#=''", "<a", "/>"),
        "namespaces": _beside(form, "<a xmlns='b'/>"),
        "namespaces of one element": _beside(form, " xmlns:a#='b'", "<a", "/>"),
        "attributes to the limit": _beside(form, f"<a{_ATTRIBUTES}/>"),
        "texts of blanks": _beside(form, "<a> </a>"),
        "names": _beside(form, "<a#/>"),
        "utf-16": lambda size: _beside(form, "<a/>")(size // 2).decode().encode("utf-16"),
        "depth": _beside(form, "<a>"),
        "depth that ends": lambda size: _beside(form, "<a>", "", "</a>" * (size // 7))(size * 3 // 7),
        "empty lines": _beside(form, f"<{line}/>"),
        "lines": _lines(form, line),
        "words": _in_invoice(form, "ab "),
        "a text": _in_invoice(form, "abcdefgh", _EMOJI),
        "emoji": _in_invoice(form, _EMOJI),
        "a text beside": _beside(form, "abcdefgh", f"<a>{_EMOJI}", "</a>"),
        "a comment": _beside(form, "abcdefgh", "<!--", "-->"),
        "comments": _beside(form, "<!---->"),
        "an attribute": _beside(form, "abcdefgh", "<a b='", "'/>"),
    }


UBL: Mapping[str, Made] = _of_invoices(ubl, "cac:InvoiceLine")
CII: Mapping[str, Made] = _of_invoices(cii, "ram:IncludedSupplyChainTradeLineItem")

_MT = (":20:X\n:25:12345678/99\n:28C:1/1\n:60F:C260301EUR100,00\n", ":62F:C260302EUR107,00\n-\n")
_LINE = ":61:2603020302C7,00NTRFNONREF//B\n"

MT940: Mapping[str, Made] = {
    "entries": _filled(_MT[0], _LINE, _MT[1]),
    "short entries": _filled(_MT[0], ":61:260302C7,\n", _MT[1]),
    "entries and an emoji": _filled(
        _MT[0] + _LINE + f":86:{_EMOJI}\n", _LINE + ":86:166?00TRANSFER?20SVWZ+Invoice?32ACME\n", _MT[1]
    ),
    "details": _filled(_MT[0] + _LINE, ":86:\n", _MT[1]),
    "lines of a detail": _filled(_MT[0] + _LINE + ":86:", "a\n", _MT[1]),
    "words of a detail": _filled(_MT[0] + _LINE + ":86:", "ab ", "\n" + _MT[1]),
    "subfields": _filled(_MT[0] + _LINE + ":86:166", "?20a", "\n" + _MT[1]),
    "codewords": _filled(_MT[0] + _LINE + ":86:", "/NAME/a", "\n" + _MT[1]),
    "begins of codewords": _filled(_MT[0] + _LINE + ":86:", "/REMI/", "\n" + _MT[1]),
    "question marks": _filled(_MT[0] + _LINE + ":86:", "?", "\n" + _MT[1]),
    "a line": _filled(_MT[0] + _LINE.rstrip(), "a", "\n" + _MT[1]),
    "slashes of a line": _filled(_MT[0] + _LINE.rstrip(), "/", "\n" + _MT[1]),
    "lines of a line": _filled(_MT[0] + _LINE, "a\n", _MT[1]),
    "an amount": _filled(_MT[0] + ":61:260302C", "1", "\n" + _MT[1]),
    "messages": _filled("", ":20:\n:25:1\n:34F:EUR1\n", ""),
    "statements": _filled("", _MT[0] + _MT[1].replace("107", "100"), ""),
    "pages": _filled(
        ":20:\n:25:1\n:28C:1/1\n:60F:C260301EUR1,\n:62M:C260301EUR1,\n",
        ":20:\n:25:1\n:28C:1/2\n:60M:C260301EUR1,\n:62M:C260301EUR1,\n",
        "",
    ),
    "pages with an entry": _filled(
        ":20:\n:25:1\n:28C:1/1\n:60F:C260301EUR1,\n:62M:C260301EUR1,\n",
        ":20:\n:25:1\n:28C:1/2\n:60M:C260301EUR1,\n:61:260301C1,\n:62M:C260301EUR1,\n",
        "",
    ),
    "fields": _filled(_MT[0], ":NS:\n", _MT[1]),
    "balances": _filled(_MT[0], ":64:C260301EUR1,\n", _MT[1]),
    "sums": _filled(_MT[0], ":90C:\n", _MT[1]),
    "colons": _filled(_MT[0], ":\n", _MT[1]),
    "empty lines": _filled(_MT[0], "\n", _MT[1]),
    "braces": _filled(_MT[0], "{4:", "\n" + _MT[1]),
    "bytes": lambda size: _MT[0].encode() + _LINE.encode() + b":86:" + b"\xe9" * size + b"\n" + _MT[1].encode(),
    "rows of an account": _filled(":20:X\n:25:", "a ", "\n" + _MT[0] + _MT[1]),
}

_BAI = ("01,A,B,260301,1,1,,,2/\n02,A,B,1,260301,,,/\n03,1,/\n", "49,,/\n98,,,/\n99,,,/\n")

BAI2: Mapping[str, Made] = {
    "entries": _filled(_BAI[0], "16,142,5,,,/\n", _BAI[1]),
    "entries with texts": _filled(_BAI[0], f"16,142,5,Z,B#,C#,PAID BY {_EMOJI}/\n", _BAI[1]),
    "entries of a line": _filled(_BAI[0], "16,142,5,,,/ ", "\n" + _BAI[1]),
    "entries without money": _filled(_BAI[0], "16,890,,/\n", _BAI[1]),
    "continuations": _filled(_BAI[0] + "16,142,5,,,,x/\n", "88,y/\n", _BAI[1]),
    "empty continuations": _filled(_BAI[0] + "16,142,5/\n", "88,/\n", _BAI[1]),
    "continuations of an account": _filled(_BAI[0], "88,010,1,,/\n", _BAI[1]),
    "rows of a text": _filled(_BAI[0] + "16,142,5,,,,x/\n", "y\n", _BAI[1]),
    "commas": _filled(_BAI[0][:-2], ",", "\n" + _BAI[1]),
    "summaries": _filled(_BAI[0][:-2], "010,1,,,", "\n" + _BAI[1]),
    "distributions": _filled(_BAI[0], "16,142,5,D,9999\n", _BAI[1]),
    "accounts": _filled(_BAI[0].partition("03")[0], "03,1,/\n49,,/\n", _BAI[1].partition("\n")[2]),
    "groups": _filled("01,A,B,260301,1,1,,,2/\n", "02,A,B,1,260301,,,/\n03,1,/\n49,,/\n98,,,/\n", "99,,,/\n"),
    "empty groups": _filled("01,A,B,260301,1,1,,,2/\n", "02,A,B,1,260301,,,/\n98,,,/\n", "99,,,/\n"),
    "files": _filled("", "01,A,B,260301,1,1,,,2/\n99,,,/\n", ""),
    "a text": _filled(_BAI[0] + f"16,142,5,,,,{_EMOJI}", "ab ", "/\n" + _BAI[1]),
    "slashes": _filled(_BAI[0] + "16,142,5,,,,", "/ ", "\n" + _BAI[1]),
    "a number": _filled(_BAI[0] + "16,142,", "1", ",,,/\n" + _BAI[1]),
    "empty lines": _filled(_BAI[0], "\n", _BAI[1]),
    "one line": lambda size: _filled(_BAI[0], "16,142,5,,,/", _BAI[1])(size).replace(b"\n", b""),
    "utf-16": lambda size: _filled(_BAI[0], "16,142,5,,,/\n", _BAI[1])(size // 2).decode().encode("utf-16"),
}

_OFX = ("OFXHEADER:100\n<OFX><STMTRS><CURDEF>USD<BANKACCTFROM><ACCTID>1</BANKACCTFROM><BANKTRANLIST>", "</OFX>")
_STMTTRN = "<STMTTRN><DTPOSTED>20260302<TRNAMT>7<FITID>#"

OFX: Mapping[str, Made] = {
    "entries": _filled(_OFX[0], _STMTTRN, _OFX[1]),
    "entries without an id": _filled(_OFX[0], "<STMTTRN><DTPOSTED>20260302<TRNAMT>7", _OFX[1]),
    "entries with one id": _filled(_OFX[0], _STMTTRN.replace("#", "1") + "<MEMO>#", _OFX[1]),
    "empty entries": _filled(_OFX[0], "<STMTTRN></STMTTRN>", _OFX[1]),
    "corrections": _filled(_OFX[0], _STMTTRN + "<CORRECTFITID>#<CORRECTACTION>DELETE", _OFX[1]),
    "fields of an entry": _filled(_OFX[0] + _STMTTRN, "<A#>b", _OFX[1]),
    "fields of a statement": _filled(_OFX[0] + "</BANKTRANLIST>", "<A#>b", _OFX[1]),
    "statements": _filled(
        "OFXHEADER:100\n<OFX>", "<STMTRS><CURDEF>USD<BANKACCTFROM><ACCTID>1</BANKACCTFROM></STMTRS>", _OFX[1]
    ),
    "refusals": _filled(_OFX[0], "<STATUS><SEVERITY>ERROR</STATUS>", _OFX[1]),
    "signs": _filled(_OFX[0], "<", _OFX[1]),
    "begins": _filled(_OFX[0], "<A ", _OFX[1]),
    "elements": _filled(_OFX[0], "<A>", _OFX[1]),
    "ends": _filled(_OFX[0], "</A>", _OFX[1]),
    "one element": _filled(_OFX[0], "<BANKTRANLIST>", _OFX[1]),
    "comments": _filled(_OFX[0] + _STMTTRN + "<MEMO>x", "<!--x-->", _OFX[1]),
    "plain texts": _filled(_OFX[0] + _STMTTRN + "<MEMO>x", "<![CDATA[x]]>", _OFX[1]),
    "a plain text": _filled(_OFX[0] + _STMTTRN + "<MEMO><![CDATA[", "&", "]]>" + _OFX[1]),
    "begins of plain text": _filled(_OFX[0] + _STMTTRN + "<MEMO>", "<![CDATA[", _OFX[1]),
    "a text": _filled(_OFX[0] + _STMTTRN + f"<MEMO>{_EMOJI}", "ab ", _OFX[1]),
    "entities": _filled(_OFX[0] + _STMTTRN + "<MEMO>", "&#128512;", _OFX[1]),
    "begins of entities": _filled(_OFX[0] + _STMTTRN + "<MEMO>", "&#", _OFX[1]),
    "an amount": _filled(_OFX[0] + "<STMTTRN><DTPOSTED>20260302<TRNAMT>", "1,", _OFX[1]),
    "digits": _filled(_OFX[0] + "<STMTTRN><DTPOSTED>20260302<TRNAMT>", "1", _OFX[1]),
    "blanks of a tag": _filled(_OFX[0] + "<STMTTRN", " ", ">" + _OFX[1]),
    "instructions before": _filled("", "<? ?>", "<OFX>"),
    "utf-16": lambda size: _filled(_OFX[0], _STMTTRN, _OFX[1])(size // 2).decode().encode("utf-16"),
}

_EMPLOYEES = "employee_id;net;pay_date;run;gross\n"

PAYROLL: Mapping[str, Made] = {
    "rows": _filled(_EMPLOYEES, "1;5;2026-03-01;;\n", ""),
    "rows of people": _filled(_EMPLOYEES, "#;5;2026-03-01;;7\n", ""),
    "runs": _filled(_EMPLOYEES, "1;5;2026-03-01;#;\n", ""),
    "rows and an emoji": _filled(_EMPLOYEES + f"{_EMOJI};5;2026-03-01;;\n", "1;5;2026-03-01;;\n", ""),
    "wide headings": _filled(
        "employee_id;net;pay_date;run;gross" + ";x" * 400 + "\n", "1;5;2026-03-01;;" + ";" * 400 + "\n", ""
    ),
    "empty lines": _filled(_EMPLOYEES, "\n", ""),
}

_HEADINGS = "date;amount;id;description;account\n"

TABLES: Mapping[str, Made] = {
    "rows": _filled(_HEADINGS, "2026-03-01;5;;;\n", ""),
    "rows and an emoji": _filled(_HEADINGS + f"2026-03-01;5;;{_EMOJI};\n", "2026-03-01;5;;a text;\n", ""),
    "rows with ids": _filled(_HEADINGS, "2026-03-01;5;#;;\n", ""),
    "accounts": _filled(_HEADINGS, "2026-03-01;5;;;#\n", ""),
    "quotes": _filled(_HEADINGS, '"', ""),
    "a quoted field": _filled(_HEADINGS + '2026-03-01;5;;"', "ab ", '";\n'),
    "a quoted field of emoji": _filled(_HEADINGS + '2026-03-01;5;;"', _EMOJI, '";\n'),
    "lines of a field": _filled(_HEADINGS + '2026-03-01;5;;"', "\n", '";\n'),
    "fields": _filled(_HEADINGS, "a;", "\n"),
    "delimiters": _filled(_HEADINGS, ";", "\n"),
    "columns": _filled("", "a#;", "\n"),
    "wide rows": _filled(_HEADINGS, "2026-03-01;5;;;" + ";" * 400 + "\n", ""),
    "wide headings": _filled(
        "date;amount;id;description;account" + ";x" * 400 + "\n", "2026-03-01;5;;;" + ";" * 400 + "\n", ""
    ),
    "empty lines": _filled(_HEADINGS, "\n", ""),
    "a number": _filled(_HEADINGS + "2026-03-01;", "1", ";;;\n"),
    "groups of a number": _filled(_HEADINGS + "2026-03-01;1", ",111", ";;;\n"),
    "a date": _filled(_HEADINGS, "1", ";5;;;\n"),
    "carriage returns": _filled(_HEADINGS, "\r", ""),
}
