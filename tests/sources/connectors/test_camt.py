"""camt.052, camt.053 and camt.054: what is read, what is refused and why, and what no file can do to us."""

from __future__ import annotations

import contextlib
import json
import os
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.camt import parse_camt
from sources.connectors.camt_taken import TakenEntries
from sources.connectors.files_values import Memory, UnreadableFile
from sources.documents import BankStatement, BankTransactionStatus
from sources.money import parse_minor

CORPUS = Path(os.environ.get("CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora")) / "camt"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpora are not on this machine")

BOOKED, PENDING = BankTransactionStatus.BOOKED, BankTransactionStatus.PENDING
IBAN = "DE89370400440532013000"
ROOTS = {
    "052": ("BkToCstmrAcctRpt", "Rpt"),
    "053": ("BkToCstmrStmt", "Stmt"),
    "054": ("BkToCstmrDbtCdtNtfctn", "Ntfctn"),
}


def message(*records: str, kind: str = "053", version: str = "02", suffix: str = "") -> bytes:
    root, record = ROOTS[kind]
    inner = "".join(f"<{record}>{content}</{record}>" for content in records)
    return (
        f'<?xml version="1.0"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.{kind}.001.{version}">'
        f"<{root}{suffix}><GrpHdr><MsgId>M1</MsgId></GrpHdr>{inner}</{root}{suffix}></Document>"
    ).encode()


def account(
    identification: str = f"<IBAN>{IBAN}</IBAN>", currency: str | None = "EUR", statement_id: str = "S1"
) -> str:
    stated = f"<Ccy>{currency}</Ccy>" if currency else ""
    return f"<Id>{statement_id}</Id><Acct><Id>{identification}</Id>{stated}</Acct>"


def balance(code: str, amount: str, on: str, *, sign: str = "CRDT", currency: str = "EUR", more: str = "") -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{more}<Amt Ccy='{currency}'>{amount}</Amt>"
        f"<CdtDbtInd>{sign}</CdtDbtInd><Dt><Dt>{on}</Dt></Dt></Bal>"
    )


def entry(
    amount: str = "10.00",
    sign: str = "CRDT",
    *,
    currency: str = "EUR",
    status: str = "<Sts>BOOK</Sts>",
    booked: str = "<BookgDt><Dt>2026-03-02</Dt></BookgDt>",
    more: str = "",
) -> str:
    return f"<Ntry><Amt Ccy='{currency}'>{amount}</Amt><CdtDbtInd>{sign}</CdtDbtInd>{status}{booked}{more}</Ntry>"


def one(data: bytes) -> BankStatement:
    (statement,) = parse_camt(data, "file.xml")
    return statement


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        parse_camt(data, "file.xml")
    return str(caught.value)


# ---------------------------------------------------------------- the corpus, against another parser's reading

EXPECTED_REFUSALS = {"camt053.v2.wrong.xml": "it is a camt.053 without a statement in it (no Stmt element)"}
# That parser's dump writes a statement out once, with its entries: of these files it leaves the first statements out.
LEFT_OUT = {"camt053.v2.multi.statement.xml": [(885, "EUR", date(2014, 12, 31), date(2015, 1, 2), "BOOK")]}
# What that parser calls a balance, as far as ours has a place for it in the account's currency.
BALANCES = {"opening": "opening", "closing": "closing", "closing_available": "closing_available"}


def corpus_files() -> list[str]:
    return sorted(path.name for path in CORPUS.glob("*.xml")) if CORPUS.is_dir() else []


def records_of(name: str) -> list[dict[str, Any]]:
    """The other parser's records; it writes a record where it first meets it, which may be within an entry."""
    stored = json.loads((CORPUS / name).with_suffix(".json").read_text())
    found: dict[str, dict[str, Any]] = {}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "getBalances" in value or value.get("__CLASS__", "").endswith(("Report", "Statement", "Notification")):
                found.setdefault(json.dumps([value["getId"]]), value)
            for each in value.values():
                walk(each)
        elif isinstance(value, list):
            for each in value:
                walk(each)

    walk(stored)
    return list(found.values())


def entries_of(name: str) -> list[dict[str, Any]]:
    return _walk_class(json.loads((CORPUS / name).with_suffix(".json").read_text()), "DTO\\Entry")


def _walk_class(value: Any, suffix: str) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        own = [value] if value.get("__CLASS__", "").endswith(suffix) else []
        return own + [found for each in value.values() for found in _walk_class(each, suffix)]
    return [found for each in value for found in _walk_class(each, suffix)] if isinstance(value, list) else []


def day(value: Any) -> date | None:
    return date.fromisoformat(value["0"][:10]) if value else None


@needs_corpus
@pytest.mark.parametrize("name", corpus_files())
def test_every_file_of_the_corpus_reads_like_another_parser_or_is_refused(name: str) -> None:
    data = (CORPUS / name).read_bytes()
    if name in EXPECTED_REFUSALS:
        assert refusal(data) == EXPECTED_REFUSALS[name]
        return
    statements = parse_camt(data, name)
    theirs = LEFT_OUT.get(name, []) + [
        (
            int(found["getAmount"]["getAmount"]),
            found["getAmount"]["getCurrency"]["getCode"],
            day(found["getBookingDate"]),
            day(found["getValueDate"]),
            found["getStatus"],
        )
        for found in entries_of(name)
    ]
    words = {BOOKED: "BOOK", PENDING: "PDNG"}
    ours = [
        (each.amount, each.currency, each.booked_on, each.value_date, words[each.status])
        for statement in statements
        for each in statement.transactions
    ]
    assert ours == theirs


@needs_corpus
@pytest.mark.parametrize("name", [name for name in corpus_files() if name not in EXPECTED_REFUSALS])
def test_accounts_and_balances_are_those_of_another_parser(name: str) -> None:
    statements = parse_camt((CORPUS / name).read_bytes(), name)
    theirs = records_of(name)
    statements = statements[len(LEFT_OUT.get(name, [])) :]
    assert [statement.account.external_id for statement in statements] == [
        found["getAccount"]["getIdentification"] for found in theirs
    ]
    for statement, found in zip(statements, theirs, strict=True):
        for stated in found.get("getBalances") or []:
            amount, place = stated["getAmount"], BALANCES.get(stated["getType"])
            if place and amount["getCurrency"]["getCode"] == statement.account.currency:
                assert getattr(statement, place) == int(amount["getAmount"]), place


@needs_corpus
def test_five_decimals_read_as_long_as_they_are_zeros() -> None:
    """18.150 EUR is 18.15; the statement's own balances do not add up, and it says so."""
    statement = one((CORPUS / "camt053.v2.five.decimals.xml").read_bytes())
    assert (statement.opening, statement.closing, statement.transactions[0].amount) == (1815, 2705, 885)
    (warning,) = statement.warnings
    assert "opening balance 18.15 and movements of 8.85 give 27.00, but its closing balance is 27.05 EUR" in warning


@needs_corpus
def test_one_statement_in_two_versions_of_the_message_is_one_statement() -> None:
    four, eight = (one((CORPUS / f"camt053.v{version}.xml").read_bytes()) for version in (4, 8))
    assert four.external_id == eight.external_id
    assert [each.external_id for each in four.transactions] == [each.external_id for each in eight.transactions]


# ---------------------------------------------------------------- entries


@pytest.mark.parametrize("version", ["02", "04", "06", "08", "10", "12", "13"])
@pytest.mark.parametrize("status", ["<Sts>BOOK</Sts>", "<Sts><Cd>BOOK</Cd></Sts>"])
def test_every_version_reads_alike(version: str, status: str) -> None:
    content = balance("OPBD", "5.00", "2026-03-01") + balance("CLBD", "15.00", "2026-03-02") + entry(status=status)
    statement = one(message(account() + content, version=version))
    assert (statement.opening, statement.closing, statement.warnings) == (500, 1500, ())
    (transaction,) = statement.transactions
    assert (transaction.amount, transaction.status, transaction.booked_on) == (1000, BOOKED, date(2026, 3, 2))


def test_version_one_has_other_elements() -> None:
    """Its message names end in V01, details stand in the entry itself, and account and balance types have own elements."""
    details = "<TxDtls><RltdPties><Dbtr><Nm>Jane</Nm></Dbtr></RltdPties></TxDtls>"
    statement = one(
        message(
            account("<PrtryAcct><Id>ACC-9</Id></PrtryAcct>")
            + "<Bal><Tp><Cd>CLBD</Cd></Tp><Amt Ccy='EUR'>1.00</Amt><CdtDbtInd>DBIT</CdtDbtInd><Dt><Dt>2026-03-02</Dt></Dt></Bal>"
            + entry(more=details),
            version="01",
            suffix="V01",
        )
    )
    assert (statement.account.external_id, statement.account.iban, statement.closing) == ("ACC-9", None, -100)
    assert statement.transactions[0].counterparty == "Jane"


def test_one_entry_with_many_details_is_one_transaction() -> None:
    detail = (
        "<TxDtls><Refs><EndToEndId>E{0}</EndToEndId></Refs><RltdPties><Dbtr><Nm>N{0}</Nm></Dbtr></RltdPties></TxDtls>"
    )
    details = "".join(detail.format(number) for number in range(3))
    (transaction,) = one(message(account() + entry(more=f"<NtryDtls>{details}</NtryDtls>"))).transactions
    assert (transaction.amount, transaction.counterparty, transaction.reference) == (1000, None, None)


@pytest.mark.parametrize(
    ("sign", "reversal", "amount", "counterparty"),
    [
        ("CRDT", "false", 1000, "Debtor"),
        ("DBIT", "false", -1000, "Creditor"),
        ("CRDT", "true", 1000, "Creditor"),
        ("DBIT", "true", -1000, "Debtor"),
    ],
)
def test_a_reversal_keeps_the_direction_of_its_booking(
    sign: str, reversal: str, amount: int, counterparty: str
) -> None:
    """CRDT with RvslInd is money in: the original was a debit, whose creditor gives it back."""
    parties = "<Dbtr><Nm>Debtor</Nm></Dbtr><Cdtr><Pty><Nm>Creditor</Nm></Pty></Cdtr>"
    details = f"<NtryDtls><TxDtls><RltdPties>{parties}</RltdPties></TxDtls></NtryDtls>"
    stated = entry(sign=sign, more=details).replace("</CdtDbtInd>", f"</CdtDbtInd><RvslInd>{reversal}</RvslInd>")
    (transaction,) = one(message(account() + stated)).transactions
    assert (transaction.amount, transaction.counterparty) == (amount, counterparty)


def test_the_account_itself_is_no_counterparty() -> None:
    own = f"<Cdtr><Nm>We ourselves</Nm></Cdtr><CdtrAcct><Id><IBAN>{IBAN}</IBAN></Id></CdtrAcct>"
    other = own.replace(IBAN, "NL91ABNA0417164300").replace("We ourselves", "Somebody")
    found = [
        one(message(account() + entry(more=f"<NtryDtls><TxDtls><RltdPties>{party}</RltdPties></TxDtls></NtryDtls>")))
        for party in (own, other)
    ]
    assert [statement.transactions[0].counterparty for statement in found] == [None, "Somebody"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [("<Sts>PDNG</Sts>", [PENDING]), ("<Sts><Cd>FUTR</Cd></Sts>", [PENDING]), ("", [BOOKED]), ("<Sts>INFO</Sts>", [])],
)
def test_booked_pending_and_information_are_kept_apart(status: str, expected: list[BankTransactionStatus]) -> None:
    statement = one(
        message(
            account()
            + balance("OPBD", "5.00", "2026-03-01")
            + balance("CLBD", "15.00" if expected == [BOOKED] else "5.00", "2026-03-02")
            + entry(status=status)
        )
    )
    assert [transaction.status for transaction in statement.transactions] == expected
    assert len(statement.warnings) == (0 if expected else 1)


def test_an_entry_without_dates_reads() -> None:
    (transaction,) = one(message(account() + entry(booked=""), kind="054")).transactions
    assert (transaction.booked_on, transaction.value_date) == (None, None)


def test_texts_and_references_come_from_where_versions_have_them() -> None:
    details = (
        "<NtryDtls><TxDtls><Refs><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"
        "<RmtInf><Ustrd>Invoice 7,</Ustrd><Ustrd> thank\n you</Ustrd></RmtInf></TxDtls></NtryDtls>"
    )
    stated = entry(more=f"<AcctSvcrRef>BANK-1</AcctSvcrRef>{details}<AddtlNtryInf>Transfer</AddtlNtryInf>")
    (transaction,) = one(message(account() + stated)).transactions
    assert (transaction.description, transaction.reference) == ("Invoice 7, thank you", "BANK-1")
    assert "<Ustrd>Invoice 7,</Ustrd>" in transaction.raw["xml"]


# ---------------------------------------------------------------- statements


def test_several_statements_of_a_file_are_read_in_order() -> None:
    found = parse_camt(message(account(statement_id="A") + entry(), account(statement_id="B") + entry("3.00")), "f.xml")
    assert [statement.transactions[0].amount for statement in found] == [1000, 300]
    assert found[0].external_id != found[1].external_id


@pytest.mark.parametrize(("kind", "provisional"), [("052", True), ("053", False), ("054", True)])
def test_only_a_statement_is_authoritative(kind: str, provisional: bool) -> None:
    assert one(message(account() + entry(), kind=kind)).provisional is provisional


def test_of_balances_for_each_day_the_first_opens_and_the_last_closes() -> None:
    days = [("OPBD", "1.00", 1), ("CLBD", "2.00", 1), ("OPBD", "2.00", 2), ("CLBD", "11.00", 2)]
    stated = "".join(balance(code, amount, f"2026-03-0{day_}") for code, amount, day_ in days)
    statement = one(message(account() + stated + entry()))
    assert (statement.opening, statement.closing, statement.warnings) == (100, 1100, ())
    assert (statement.from_date, statement.to_date) == (date(2026, 3, 1), date(2026, 3, 2))


def test_a_credit_line_is_not_money_of_the_account() -> None:
    line = "<CdtLine><Incl>true</Incl></CdtLine>"
    stated = balance("CLAV", "900.00", "2026-03-02", more=line) + balance("CLAV", "15.00", "2026-03-02")
    assert one(message(account() + stated)).closing_available == 1500


def test_the_currency_is_that_of_the_account_then_of_its_balances_then_of_its_entries() -> None:
    nameless = account(currency=None)
    assert (
        one(message(nameless + balance("CLBD", "5", "2026-03-02", currency="JPY") + entry())).account.currency == "JPY"
    )
    assert one(message(nameless + entry(currency="CHF"))).account.currency == "CHF"
    assert parse_camt(message(nameless), "empty.xml") == []


def test_a_statement_that_does_not_add_up_is_read_with_a_warning() -> None:
    statement = one(
        message(account() + balance("OPBD", "5.00", "2026-03-01") + balance("CLBD", "16.00", "2026-03-02") + entry())
    )
    assert statement.closing == 1600
    (warning,) = statement.warnings
    assert warning == (
        "Statement 'S1' of file.xml does not add up: opening balance 5.00 and movements of 10.00 give 15.00, "
        "but its closing balance is 16.00 EUR."
    )


def test_the_period_is_that_of_the_balances_then_as_stated_then_of_the_entries() -> None:
    stated = "<FrToDt><FrDtTm>2026-02-01T00:00:00</FrDtTm><ToDtTm>2026-02-28T23:59:59+01:00</ToDtTm></FrToDt>"
    assert one(message(account() + stated)).to_date == date(2026, 2, 28)
    assert one(message(account() + stated + balance("CLBD", "1.00", "2026-02-27"))).to_date == date(2026, 2, 27)
    assert one(message(account() + entry())).to_date == date(2026, 3, 2)
    assert one(message(account())).to_date is None
    created = "<CreDtTm>2026-03-09T06:00:00Z</CreDtTm>"
    assert one(message(account() + created, kind="052")).to_date == date(2026, 3, 9)


# ---------------------------------------------------------------- ids


def ids(*contents: str, kind: str = "053") -> list[list[str]]:
    return [
        [each.external_id for each in found.transactions]
        for found in parse_camt(message(*contents, kind=kind), "f.xml")
    ]


def test_two_identical_entries_of_a_statement_are_two_transactions_with_the_same_ids_ever_after() -> None:
    for content in (entry() + entry(), entry(more="<AcctSvcrRef>R1</AcctSvcrRef>") * 2):
        for kind in ("052", "053", "054"):
            (first,) = ids(account() + content, kind=kind)
            assert len(set(first)) == 2
            assert ids(account() + content, kind=kind) == [first]


def test_an_entry_with_the_banks_reference_is_one_transaction_in_a_daily_and_a_monthly_statement() -> None:
    numbered = entry(more="<AcctSvcrRef>R1</AcctSvcrRef>")
    daily, monthly = ids(account(statement_id="D") + numbered, account(statement_id="M") + entry("7.00") + numbered)
    assert daily[0] == monthly[1]


def test_equal_entries_without_a_reference_of_two_statements_are_two_transactions() -> None:
    one_day, next_day = ids(account(statement_id="A") + entry(), account(statement_id="B") + entry())
    assert one_day != next_day


def test_statements_that_a_bank_all_gives_one_id_are_told_apart_by_their_balances() -> None:
    contents = [
        account() + balance("OPBD", a, "2026-03-01") + balance("CLBD", b, "2026-03-01") for a, b in ("12", "23")
    ]
    first, second = parse_camt(message(*contents), "f.xml")
    assert first.external_id != second.external_id


def test_ids_of_provisional_and_authoritative_entries_never_meet() -> None:
    numbered = account() + entry(more="<AcctSvcrRef>R1</AcctSvcrRef>")
    assert ids(numbered, kind="052") == ids(numbered, kind="054") != ids(numbered, kind="053")


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (message(account() + entry("10.005")), "line 1: the amount '10.005' EUR has more than 2 decimals"),
        (message(account() + entry("10.5", currency="JPY")), "the amount '10.5' JPY has more than 0 decimals"),
        (message(account() + entry("1E3")), "must be a decimal"),
        (message(account() + entry("-1.00")), "is negative"),
        (message(account() + entry("9" * 30)), "is larger than can be kept"),
        (message(account() + entry("9" * 5000)), "must be a decimal"),
        (message(account() + entry("")), "there is no amount (Amt)"),
        (message(account() + entry(currency="")), "has no currency (Ccy)"),
        (message(account() + entry(currency="DEM")), "'DEM' is not a currency in use"),
        (message(account() + entry(sign="BOTH")), "CdtDbtInd has to be CRDT or DBIT, but it is 'BOTH'"),
        (message(account(currency="EURO") + entry()), "'EURO' is not a currency in use"),
        (message(account() + entry(booked="<BookgDt><Dt>2026-02-30</Dt></BookgDt>")), "'2026-02-30' is not a date"),
        (message(account("<IBAN> </IBAN>") + entry()), "names no account (Acct/Id)"),
        (message(kind="054"), "it is a camt.054 without a statement in it (no Ntfctn element)"),
        (b"<Document><CstmrCdtTrfInitn/></Document>", "its root is 'Document'"),
        (b"<html><body>Session expired</body></html>", "no camt.052, camt.053 or camt.054 message: its root is 'html'"),
        (message(account() + entry())[:-60], "it is not well-formed XML"),
        ("<Document>ü</Document>".encode("latin-1"), "it is not well-formed XML"),
        (b"<?xml version='1.0' encoding='no-such'?><a/>", "its encoding 'no-such' is not known"),
        (b"", "it is not well-formed XML"),
        (b"<a>\0</a>", "it is not well-formed XML"),
    ],
)
def test_what_cannot_be_read_exactly_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


@pytest.mark.parametrize(("text", "minor"), [("+5", 500), (".5", 50), ("5.", 500), (" 5.100 ", 510), ("-0.00", 0)])
def test_every_form_of_an_xml_decimal_reads(text: str, minor: int) -> None:
    assert one(message(account() + entry(text))).transactions[0].amount == minor


BILLION = "<!DOCTYPE a [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>".replace("&a0;", "&a;") for n in range(1, 12)
)


@pytest.mark.parametrize(
    "text",
    [
        BILLION + "]><Document>&a11;</Document>",
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><Document>&x;</Document>",
        "<!DOCTYPE a SYSTEM 'http://127.0.0.1:9/a.dtd'><Document/>",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
def test_document_types_and_entities_are_refused_unread(text: str, encoding: str) -> None:
    assert "DOCTYPE" in refusal(text.encode(encoding))


def test_an_entity_bomb_in_a_rare_encoding_does_no_harm() -> None:
    started = time.monotonic()
    refusal(("<?xml version='1.0' encoding='IBM037'?>" + BILLION + "]><Document>&a11;</Document>").encode("cp037"))
    assert time.monotonic() - started < 5


def test_a_declared_encoding_is_the_one_that_is_read() -> None:
    stated = message(account() + entry(more="<AddtlNtryInf>Müller</AddtlNtryInf>")).decode()
    for encoding in ("iso-8859-1", "windows-1252", "utf-16", "utf-8"):
        written = f"<?xml version='1.0' encoding='{encoding}'?>{stated.partition('?>')[2] or stated}"
        assert one(written.encode(encoding)).transactions[0].description == "Müller"


def test_utf_8_that_says_utf_16_is_read() -> None:
    stated = message(account() + entry()).replace(b'<?xml version="1.0"?>', b'<?xml version="1.0" encoding="utf-16"?>')
    assert b"utf-16" in stated
    assert one(stated) == one(message(account() + entry()))


def test_a_document_type_in_an_encoding_of_other_marks_is_found() -> None:
    text = "+ADwAIQ-DOCTYPE a+AD4-<Document/>"
    assert "DOCTYPE" in refusal(b"<?xml version='1.0' encoding='utf-7'?>" + text.encode())


@pytest.mark.parametrize("encoding", ["punycode", "idna", "unicode_escape", "no-such", "zip", ""])
def test_an_encoding_that_is_none_of_texts_is_refused(encoding: str) -> None:
    assert (
        refusal(f"<?xml version='1.0' encoding='{encoding}'?><a/>".encode())
        == f"its encoding '{encoding}' is not known"
    )


def test_an_element_of_many_attributes_and_many_names_are_refused() -> None:
    many = "".join(f" a{n}='>'" for n in range(1_001))
    assert (
        refusal(message(account() + f"\n<a{many}/>" + entry())) == "line 2: an element has more than 1,000 attributes"
    )
    named = "".join(f"<a{n}/>" for n in range(10_001))
    assert "more than 10,000 different names" in refusal(message(account() + named + entry()))


def test_entries_that_stay_in_the_tree_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a namespaced attribute: what is read of them would else come on top of the tree."""
    stays = entry().replace("<Ntry>", "<Ntry xmlns:x='y' x:z=''>")
    data = message(account() + stays * 20)
    assert len(one(data).transactions) == 20
    monkeypatch.setattr("sources.connectors.files_values.FREE_MEMORY", 40_000 - 8 * len(data))
    assert "far more" in refusal(data)


def test_entries_that_were_taken_out_count_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is that finds the memory short: the tree's next part, or an entry that was read."""
    data = message(account() + (entry() + "\n") * 9_000)
    assert len(data) > 1_000_000
    for free in range(0, 1_000_000, 250_000):
        monkeypatch.setattr("sources.connectors.files_values.FREE_MEMORY", free)
        assert len(one(data).transactions) == 9_000


def test_what_was_taken_out_leaves_room_for_the_statements_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Kept(Memory):
        def __init__(self, size: int) -> None:
            super().__init__(size)
            memories.append(self)

    memories: list[Memory] = []
    monkeypatch.setattr("sources.connectors.camt.Memory", Kept)
    data = message(account() + (entry() + "\n") * 2_000)
    one(data)
    (memory,) = memories
    assert Memory(len(data)).left - memory.left < 2_000 * 500 + 10_000


def test_ten_thousand_levels_are_refused() -> None:
    assert "not well-formed XML" in refusal(b"<a>" * 10_000 + b"</a>" * 10_000)


def test_five_megabytes_read_within_seconds() -> None:
    count = 10_000
    text = "Invoice of a customer " + "x" * 300
    stated = entry(more=f"<NtryDtls><TxDtls><RmtInf><Ustrd>{text}</Ustrd></RmtInf></TxDtls></NtryDtls>") * count
    data = message(account() + balance("OPBD", "0", "2026-03-01") + balance("CLBD", "100000", "2026-03-02") + stated)
    assert len(data) > 5_000_000
    started = time.monotonic()
    statement = one(data)
    assert time.monotonic() - started < 20
    assert (len({each.external_id for each in statement.transactions}), statement.warnings) == (count, ())


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    refusal(data)


@given(st.data())
def test_a_damaged_file_reads_or_is_refused(data: st.DataObject) -> None:
    """Cut, or with bytes replaced: never anything but statements or a refusal."""
    whole = message(account() + balance("OPBD", "5.00", "2026-03-01") + entry() + entry("2.50", "DBIT"))
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    damaged = whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:]
    with contextlib.suppress(UnreadableFile):
        assert all(isinstance(each, BankStatement) for each in parse_camt(damaged, "damaged.xml"))


@given(st.integers(0, 10**15), st.sampled_from(["EUR", "JPY", "BHD"]), st.booleans())
def test_amounts_are_exact(minor: int, currency: str, money_in: bool) -> None:
    exponent = {"EUR": 2, "JPY": 0, "BHD": 3}[currency]
    whole, fraction = divmod(minor, 10**exponent)
    text = f"{whole}.{fraction:0{exponent}d}" if exponent else str(whole)
    assert parse_minor(text, exponent) == minor
    data = message(account(currency=currency) + entry(text, "CRDT" if money_in else "DBIT", currency=currency))
    assert one(data).transactions[0].amount == (minor if money_in else -minor)


PARTY = (
    "<NtryDtls><TxDtls><RltdPties><Cdtr><Nm>Us</Nm></Cdtr><CdtrAcct><Id><IBAN>{iban}</IBAN></Id></CdtrAcct></RltdPties>"
    "</TxDtls></NtryDtls>"
)
ENTRIES = [entry(f"{number}.00", more=PARTY.format(iban=IBAN)) for number in range(1, 6)]
NO_ID = "<Id>S1</Id>"
WITHIN = message("").decode()


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(message(account() + "".join(ENTRIES), account() + ENTRIES[0]), id="two statements"),
        pytest.param(message(NO_ID + "".join(ENTRIES) + account()), id="the account behind the entries"),
        pytest.param(message(NO_ID + "".join(ENTRIES[:2]) + account() + "".join(ENTRIES[2:])), id="and among them"),
        pytest.param(
            message(account("<Othr><Id>7</Id></Othr>") + "".join(ENTRIES) + account()), id="another account behind them"
        ),
        pytest.param(
            message(account() + "".join(ENTRIES).replace("<Sts>", "<Sts xml:lang='de'>", 2)), id="a named attribute"
        ),
        pytest.param(
            message(account() + "".join(ENTRIES))
            .replace(b"<Document", b"<Document xmlns:x='urn:x' x:at='1'")
            .replace(b"<Sts>", b"<Sts xmlns:unused='urn:unused'>", 1),
            id="declarations",
        ),
        pytest.param(
            message(account() + "".join(ENTRIES)).replace(b"<", b"<p:").replace(b"<p:/", b"</p:").replace(b"<p:?", b"<?")
            .replace(b"xmlns=", b"xmlns:p="),
            id="a prefix",
        ),
        pytest.param(
            message(account() + "".join([ENTRIES[0], entry(more="<Any><Ntry>1</Ntry></Any>"), *ENTRIES[1:]])),
            id="one within another",
        ),
        pytest.param(
            message(account() + "".join([*ENTRIES, entry(more=WITHIN[WITHIN.index("<Document") :]), *ENTRIES]))
            .replace(b"<Stmt></Stmt>", f"<Stmt>{account()}{''.join(ENTRIES)}</Stmt>".encode()),
            id="a message within an entry",
        ),
        pytest.param(message(account() + "".join([entry(more=f"<Any>{'x' * 70_000}</Any>"), *ENTRIES])), id="a long one"),
    ],
)  # fmt: skip
def test_entries_taken_out_while_the_file_is_parsed_are_those_of_the_whole_tree(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = parse_camt(data, "file.xml")
    monkeypatch.setattr(TakenEntries, "take", lambda *_: None)
    assert repr(taken) == repr(parse_camt(data, "file.xml"))
    assert taken[0].transactions


def test_the_first_entry_that_cannot_be_read_is_named_wherever_it_stands() -> None:
    bad = "<Ntry>\n<Amt Ccy='EUR'>x</Amt></Ntry>"
    for position in range(4):
        entries = ["\n" + each for each in ENTRIES]
        data = message(account() + "".join([*entries[:position], "\n" + bad, *entries[position:], "\n" + bad]))
        assert refusal(data).startswith(f"line {position + 2}: ")


def test_a_file_that_is_cut_off_is_not_well_formed_whatever_its_entries_say() -> None:
    data = message(account() + "".join([entry("x"), *ENTRIES]))
    assert "it is not well-formed XML" in refusal(data[:-40])
