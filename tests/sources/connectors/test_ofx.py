"""OFX 1.x (SGML) and 2.x (XML): what is read, what is refused and why."""

from __future__ import annotations

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.bank_statements import parse_statement_file
from sources.connectors.files_values import UnreadableFile
from sources.connectors.ofx import parse_ofx
from sources.documents import BankStatement, BankTransaction, BankTransactionStatus

HEADER = (
    "OFXHEADER:100\r\nDATA:OFXSGML\r\nVERSION:102\r\nSECURITY:NONE\r\nENCODING:USASCII\r\nCHARSET:1252\r\n"
    "COMPRESSION:NONE\r\nOLDFILEUID:NONE\r\nNEWFILEUID:NONE\r\n\r\n"
)
XML_HEADER = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n<?OFX OFXHEADER="200" VERSION="211" SECURITY="NONE" OLDFILEUID="NONE" NEWFILEUID="NONE"?>\n'
OK = "<STATUS><CODE>0<SEVERITY>INFO</STATUS>"
COFFEE = "<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>20260302120000.000[-5:EST]<TRNAMT>-4.50<FITID>A1<NAME>Caf\xe9 &amp; Co<MEMO>Two coffees<CHECKNUM>17</STMTTRN>\n"
RENT = "<STMTTRN><TRNTYPE>CREDIT\n<DTPOSTED>20260303\n<DTAVAIL>20260304<TRNAMT>+1000\n<FITID>A2\n<NAME>\n<MEMO>\n<REFNUM>R-7\n</STMTTRN>\n"
ACCOUNT = "<BANKACCTFROM><BANKID>031000503<ACCTID>123456<ACCTTYPE>CHECKING</BANKACCTFROM>"
BALANCES = "<LEDGERBAL><BALAMT>995.50<DTASOF>20260331120000</LEDGERBAL><AVAILBAL><BALAMT>900<DTASOF>20260331</AVAILBAL>"


def listed(
    body: str, *, dates: str = "<DTSTART>20260301<DTEND>20260331", balances: str = BALANCES, account: str = ACCOUNT
) -> str:
    return f"<STMTRS><CURDEF>USD{account}<BANKTRANLIST>{dates}\n{body}</BANKTRANLIST>{balances}</STMTRS>"


def sgml(body: str = COFFEE + RENT, *, header: str = HEADER, status: str = OK, **how: str) -> str:
    return (
        f"{header}<OFX><SIGNONMSGSRSV1><SONRS>{status}<DTSERVER>20260401</SONRS></SIGNONMSGSRSV1>\n"
        f"<BANKMSGSRSV1><STMTTRNRS><TRNUID>1{OK}{listed(body, **how)}</STMTTRNRS></BANKMSGSRSV1></OFX>\n"
    )


def xml(text: str) -> str:
    """The same in the form of 2.x: every element ends."""
    body = re.sub(r"<([A-Z0-9]+)>([^<\s][^<]*?)\s*(?=<)", r"<\1>\2</\1>", text.partition("<OFX>")[2])
    return XML_HEADER + "<OFX>" + re.sub(r"<(NAME|MEMO)>\s*(?=<[^/])", r"<\1/>", body)


def one(text: str, encoding: str = "cp1252") -> BankStatement:
    (statement,) = parse_statement_file(text.encode(encoding), "file.ofx")
    return statement


def entry(body: str) -> BankTransaction:
    (transaction,) = one(sgml(body)).transactions
    return transaction


def changed(**values: str) -> str:
    text = COFFEE
    for name, value in values.items():
        text = re.sub(rf"<{name}>[^<]*", f"<{name}>{value}" if value else "", text)
    return text


def refusal(text: str | bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        parse_statement_file(text if isinstance(text, bytes) else text.encode("cp1252"), "file.ofx")
    return str(caught.value)


# ---------------------------------------------------------------- both forms


def test_a_statement_reads_from_sgml() -> None:
    found = one(sgml())
    assert (found.account.external_id, found.account.currency, found.provisional) == ("031000503/123456", "USD", False)
    assert (found.from_date, found.to_date) == (date(2026, 3, 1), date(2026, 3, 31))
    assert (found.opening, found.closing, found.closing_available, found.warnings) == (None, 99550, 90000, ())
    coffee, rent = found.transactions
    assert (coffee.external_id, coffee.amount, coffee.booked_on) == ("fitid:A1", -450, date(2026, 3, 2))
    assert (coffee.counterparty, coffee.description, coffee.reference) == ("Café & Co", "Two coffees", "17")
    assert coffee.raw["ofx"].startswith("<STMTTRN>")
    assert coffee.raw["ofx"].endswith("</STMTTRN>")
    assert (rent.amount, rent.value_date, rent.description, rent.reference) == (100000, date(2026, 3, 4), None, "R-7")


def plain(statement: BankStatement) -> list[object]:
    parts = [
        (t.external_id, t.status, t.amount, t.booked_on, t.description, t.reference) for t in statement.transactions
    ]
    return [statement.external_id, statement.account, statement.closing, *parts]


def test_both_forms_give_the_same_statement() -> None:
    known = plain(one(sgml()))
    assert plain(one(xml(sgml()), "utf-8")) == known
    assert plain(one(xml(sgml()), "utf-16")) == known
    assert plain(one(xml(sgml()).partition("?>\n")[2], "utf-8")) == known  # without an XML declaration
    assert plain(one(sgml(header=""))) == known
    assert plain(one(sgml().replace("\r", "").replace("\n", ""))) == known
    assert plain(one(sgml().replace("<NAME>", "<name>").replace("OFX>", "ofx>"))) == known


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        ("1252", "cp1252", "Café €"), ("1252", "utf-8", "Café €"), ("NONE", "utf-8", "Café €"), ("ISO-8859-1", "latin-1", "Café"),
        ("1250", "cp1250", "Łódź"), ("932", "cp932", "銀行"), ("nonsense", "cp1252", "Café €"),
    ],
)  # fmt: skip
def test_the_header_says_the_encoding_and_utf_8_is_known_by_its_bytes(charset: str, encoding: str, text: str) -> None:
    whole = sgml(header=HEADER.replace("CHARSET:1252", f"CHARSET:{charset}")).replace("Caf\xe9 &amp; Co", text)
    assert one(whole, encoding).transactions[0].counterparty == text


def test_values_are_plain_text() -> None:
    found = entry(changed(MEMO="1 &lt; 2 &#65;&#x42; AT&T <!-- not this --><![CDATA[<b> & c]]>"))
    assert found.description == "1 < 2 AB AT&T <b> & c"


def test_what_is_not_known_is_left_alone() -> None:
    found = entry(
        COFFEE.replace("</STMTTRN>", "<X.Y><FITID>ZZ<NAME>ZZ</X.Y><BANKACCTTO><ACCTID>9</BANKACCTTO></STMTTRN>")
    )
    assert (found.external_id, found.counterparty) == ("fitid:A1", "Café & Co")
    assert one(sgml().replace("<BANKTRANLIST>", "<MKTGINFO>\n<BANKTRANLIST>")).account.external_id == "031000503/123456"


def test_transactions_that_do_not_end_read() -> None:
    assert [t.amount for t in one(sgml(COFFEE.replace("</STMTTRN>", "") + RENT)).transactions] == [-450, 100000]


# ---------------------------------------------------------------- accounts and balances


def test_a_credit_card_is_an_account() -> None:
    text = sgml().replace(ACCOUNT, "<CCACCTFROM><ACCTID>4111XXXX1111</CCACCTFROM>")
    for name in ("STMTTRNRS", "STMTRS"):
        text = text.replace(f"{name}>", f"CC{name}>")
    text = text.replace("BANKMSGSRSV1", "CREDITCARDMSGSRSV1")
    assert (one(text).account.external_id, one(text).transactions[0].amount) == ("4111XXXX1111", -450)


@pytest.mark.parametrize(
    ("account", "known_as"),
    [
        ("<ACCTID>DE89 3704 0044 0532 0130 00<ACCTTYPE>CHECKING", "DE89370400440532013000"),
        ("<BANKID>7<ACCTID>5<ACCTTYPE>SAVINGS", "7/5/SAVINGS"),
        ("<ACCTID>5", "5"),
    ],
)
def test_accounts_are_known_by_iban_or_bank_number_and_kind(account: str, known_as: str) -> None:
    assert one(sgml(account=f"<BANKACCTFROM>{account}</BANKACCTFROM>")).account.external_id == known_as


def test_a_balance_of_today_ends_an_old_period_today() -> None:
    later = one(sgml(balances=BALANCES.replace("20260331", "20260610")))
    assert (later.from_date, later.to_date) == (date(2026, 3, 1), date(2026, 6, 10))
    bare = one(sgml(balances="", dates=""))
    assert (bare.from_date, bare.to_date, bare.closing) == (date(2026, 3, 2), date(2026, 3, 3), None)
    assert one(sgml(balances="<LEDGERBAL><BALAMT>1<DTASOF>00000000</LEDGERBAL>")).to_date == date(2026, 3, 31)


def test_a_transaction_in_another_currency_is_no_part_of_the_balance() -> None:
    own = COFFEE.replace("<NAME>", "<ORIGCURRENCY><CURRATE>1.1<CURSYM>EUR</ORIGCURRENCY><NAME>")
    assert entry(own).currency == "USD"
    found = one(sgml(own.replace("ORIGCURRENCY", "CURRENCY")))
    assert found.transactions[0].currency == "EUR"
    assert "has movements in EUR" in found.warnings[0]


def test_what_is_pending_is_not_booked() -> None:
    pending = "<BANKTRANLISTP><DTASOF>20260331<STMTTRNP><TRNTYPE>POS<DTTRAN>20260330<TRNAMT>-9<NAME>Shop</STMTTRNP></BANKTRANLISTP>"
    found = one(sgml(balances=pending)).transactions[-1]
    assert (found.status, found.amount, found.booked_on, found.value_date) == (
        BankTransactionStatus.PENDING,
        -900,
        None,
        date(2026, 3, 30),
    )


# ---------------------------------------------------------------- ids


def test_downloads_that_overlap_state_a_transaction_once() -> None:
    first = one(sgml(COFFEE, dates="<DTSTART>20260301<DTEND>20260302"))
    second = one(sgml(COFFEE.replace("Two coffees", "TWO COFFEES") + RENT))
    assert first.external_id != second.external_id
    assert first.transactions[0].external_id == second.transactions[0].external_id


def test_the_same_transaction_twice_in_a_download_is_one() -> None:
    found = one(sgml(COFFEE + RENT + COFFEE))
    assert ([t.amount for t in found.transactions], found.warnings) == ([-450, 100000], ())


def test_an_id_that_several_transactions_share_is_none() -> None:
    fee = changed(TRNAMT="-0.10", NAME="Fee")
    both, turned = one(sgml(COFFEE + fee + RENT)), one(sgml(fee + RENT + COFFEE))
    assert {(t.external_id, t.amount) for t in both.transactions} == {
        (t.external_id, t.amount) for t in turned.transactions
    }
    assert len({t.external_id for t in both.transactions}) == 3
    assert "gives several transactions the same id (FITID), 'A1'" in both.warnings[0]


@pytest.mark.parametrize("fitid", ["", "0", "000", "N/A"])
def test_without_an_id_content_and_place_among_equals_identify(fitid: str) -> None:
    body = changed(FITID=fitid)
    first, second = one(sgml(body + body)).transactions
    assert first.external_id != second.external_id
    assert one(sgml(RENT + body)).transactions[1].external_id == first.external_id


def test_corrections_within_a_download_are_done_and_others_named() -> None:
    replace = changed(FITID="A9", TRNAMT="-5").replace("<NAME>", "<CORRECTFITID>A1<CORRECTACTION>REPLACE<NAME>")
    assert [t.amount for t in one(sgml(COFFEE + RENT + replace)).transactions] == [100000, -500]
    alone = one(sgml(replace.replace("REPLACE", "DELETE") + RENT))
    assert [t.amount for t in alone.transactions] == [100000]
    assert "corrects or deletes the transaction 'A1' of an earlier download" in alone.warnings[0]


# ---------------------------------------------------------------- amounts, dates, refusals


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("1", 100), ("-1.5", -150), ("+1,50", 150), ("-.50", -50), ("12.", 1200), ("1,234.56", 123456), ("1.234,56", 123456),
        ("-1,234,567.8", -123456780), ("1.500", 150), (" 2 ", 200),
    ],
)  # fmt: skip
def test_amounts_have_a_comma_or_a_point(text: str, minor: int) -> None:
    assert entry(changed(TRNAMT=text)).amount == minor


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20260301", 1),
        ("20260301235959", 1),
        ("20260301000000.000[+9:JST]", 1),
        ("2026-03-01T10:00", 1),
        ("20260301[-8]", 1),
    ],
)
def test_dates_are_the_bank_s_own(text: str, day: int) -> None:
    assert entry(changed(DTPOSTED=text)).booked_on == date(2026, 3, day)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (sgml(changed(TRNAMT="")), "transaction 1 of the statement of account '123456': it has no TRNAMT"),
        (sgml(changed(TRNAMT="1,234")), "has more than 2 decimals"),
        (sgml(changed(TRNAMT="1e5")), "'1e5' is not an amount"),
        (sgml(changed(TRNAMT="-")), "'-' is not an amount"),
        (sgml(changed(TRNAMT="9" * 20)), "larger than can be kept"),
        (sgml(RENT + changed(DTPOSTED="20260231")), "transaction 2 of the statement of account '123456': '20260231' is not a date"),
        (sgml(changed(DTPOSTED="")), "it has no DTPOSTED"),
        (sgml().replace("<CURDEF>USD", ""), "gives no currency (CURDEF)"),
        (sgml().replace("<CURDEF>USD", "<CURDEF>XXX"), "is not a currency in use"),
        (sgml(account=""), "names no account (ACCTID)"),
        (sgml().replace("</OFX>", ""), "it ends without </OFX>: it was cut off"),
        (sgml()[:600], "it ends without </OFX>"),
        (HEADER, "it has no <OFX>"),
        (HEADER + "<OFX></OFX>", "it holds no bank or credit card statement"),
        (HEADER + "<OFX><INVSTMTRS></INVSTMTRS></OFX>", "an investment statement"),
        (HEADER + "<OFX><SONRS><STATUS><CODE>15500<SEVERITY>ERROR<MESSAGE>Signon invalid</STATUS></SONRS></OFX>", "the bank gave no statement: status 15500 Signon invalid"),
        (xml("<OFX></OFX>").replace("<OFX>", "<!DOCTYPE OFX [<!ENTITY a 'b'>]><OFX>"), "it has a document type or an entity"),
        (HEADER + "<OFX>" + "<A>" * 100 + "</OFX>", "nested deeper than 64"),
        (sgml("<![CDATA[ no end"), "without its end"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_exactly_refuses_the_file(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_a_refusal_beside_a_statement_is_a_warning() -> None:
    other = "<STMTTRNRS><TRNUID>2<STATUS><CODE>2003<SEVERITY>ERROR<MESSAGE>Account not found</STATUS></STMTTRNRS>"
    (warning,) = one(sgml().replace("</BANKMSGSRSV1>", f"{other}</BANKMSGSRSV1>")).warnings
    assert "of the rest the bank says: status 2003 Account not found" in warning


@pytest.mark.parametrize("lost", ["<STMTTRN>", "<STMTRS>", "<BANKTRANLIST>"])
def test_no_amount_is_lost_with_the_tag_around_it(lost: str) -> None:
    text = sgml()
    assert lost in text
    without = text.replace(lost, "", 1)
    if lost == "<BANKTRANLIST>":
        assert one(without).transactions == one(text).transactions
    else:
        assert "stands outside of any transaction or statement" in refusal(without)


def test_a_tag_of_a_transaction_that_has_a_text_loses_no_amount() -> None:
    assert "stands outside of any transaction" in refusal(sgml().replace("<STMTTRN>", "<STMTTRN>1", 1))


def test_an_empty_currency_is_that_of_all_transactions() -> None:
    text = sgml().replace("<CURDEF>USD", "<CURDEF></CURDEF>")
    assert text != sgml()
    assert "gives no currency" in refusal(text)
    statement = one(text.replace("<TRNAMT>", "<CURRENCY><CURRATE>1<CURSYM>AUD</CURRENCY><TRNAMT>"))
    assert (statement.account.currency, {each.currency for each in statement.transactions}) == ("AUD", {"AUD"})


def test_what_a_file_may_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.connectors.files_values.FREE_MEMORY", 2_000 - 8 * len(sgml()))
    assert refusal(sgml()) == "it has far more transactions than a business document of its size"


PIECES = ["<STMTTRN>", "</STMTTRN>", "<FITID>", "<TRNAMT>", "<DTPOSTED>", "20260301", "1", "-", "<![CDATA[", "]]>", "<!--", "-->", "</", "<", ">", "&#65;", "&", "<STMTRS>", "</OFX>", "\xff", "\n"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=50))
def test_any_elements_are_statements_or_a_refusal(pieces: list[str]) -> None:
    for whole in (
        sgml("".join(pieces)),
        HEADER + "<OFX>" + "".join(pieces),
        xml(sgml()).replace("<BANKTRANLIST>", "".join(pieces)),
    ):
        try:
            found: object = parse_ofx(whole.encode("cp1252"), "file")
        except UnreadableFile as refused:
            found = str(refused)
        assert found


@given(st.data())
def test_a_file_cut_anywhere_is_refused(data: st.DataObject) -> None:
    whole = sgml().encode("cp1252")
    assert refusal(whole[: data.draw(st.integers(0, whole.rindex(b"</OFX>")))])
