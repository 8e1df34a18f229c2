"""BAI2: what is read, what is refused and why. The corpus' expectations were read from its files by eye."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.connectors.bai2 import parse_bai2
from sources.connectors.bank_statements import parse_statement_file
from sources.connectors.files_values import UnreadableFile
from sources.documents import BankStatement, BankTransaction

CORPUS = Path(os.environ.get("CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora")) / "bai2"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpora are not on this machine")
CREDIT = "16,142,2500,Z,BANKREF,CUSTREF,PAID, ALL OF IT"


def file(
    *body: str,
    account: str = "03,1234,,010,100000,,,015,102500,,/",
    group: str = "02,ME,BANK,1,260301,2400,USD,2/",
    created: str = "260302",
    end: str = "/\n",
    total: str = "",
    records: int | str = "",
) -> str:
    """A file of one account; without control totals unless a test gives one."""
    lines = [f"01,BANK,ME,{created},0600,7,,,2/", group, account, *body, f"49,{total},{records}/", "98,,,/", "99,,,/"]
    return "\n".join(lines).replace("/\n", end) + end.removeprefix("/")


def one(text: str) -> BankStatement:
    (statement,) = parse_bai2(text.encode(), "file.bai")
    return statement


def entry(line: str) -> BankTransaction:
    (transaction,) = one(file(line)).transactions
    return transaction


def refusal(text: str | bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        parse_bai2(text if isinstance(text, bytes) else text.encode(), "file.bai")
    return str(caught.value)


# ---------------------------------------------------------------- the corpus


@needs_corpus
def test_a_canadian_bank_s_file_reads_with_its_control_totals() -> None:
    first, second = parse_statement_file((CORPUS / "sample1.txt").read_bytes(), "sample1.txt")
    assert [t.amount for t in second.transactions] == [11500, 100000, -100000, -9000, -2000, -500]
    assert (len(first.transactions), sum(t.amount for t in first.transactions)) == (11, 0)
    assert {(s.account.external_id, s.account.currency, s.to_date) for s in (first, second)} == {
        ("10200123456", "CAD", date(2006, 3, 17))
    }
    assert first.external_id != second.external_id
    assert (first.transactions[0].value_date, first.transactions[0].description) == (
        date(2006, 3, 16),
        "RETURNED CHEQUE",
    )
    assert not first.warnings + second.warnings


@needs_corpus
def test_several_records_on_a_line_and_records_cut_into_lines_read() -> None:
    statements = parse_statement_file((CORPUS / "sample3.txt").read_bytes(), "sample3.txt")
    assert len({s.external_id for s in statements}) == len(statements) == 15
    assert (statements[0].opening, statements[0].closing) == (-3500, -3600)
    assert [t.amount for t in statements[0].transactions] == [2500, 500, 100, -2500, -600, -100]
    cut = statements[7].transactions[0]
    assert cut.description == "111111 ACH_SETL 1111111111 111111111111111 1111111111"
    assert statements[9].transactions[0].description == (
        "Wire Transfer Credit VISA INTERNATIONAL 900 METRO CENTER BLVD FOSTER CITY CA 94404"
    )
    assert not [warning for s in statements for warning in s.warnings]


@needs_corpus
@pytest.mark.parametrize("name", ["sample1.txt", "sample3.txt"])
@given(st.data())
@settings(max_examples=60)
def test_a_file_that_was_cut_off_or_altered_never_states_other_money(name: str, data: st.DataObject) -> None:
    """Cut anywhere, or one character changed: the same amounts, or a refusal, or a warning. Control totals do not cover type codes, so a
    changed one may turn a sign."""
    whole = (CORPUS / name).read_bytes()
    known = [t.amount for s in parse_bai2(whole, name) for t in s.transactions]
    at = data.draw(st.integers(0, len(whole) - 2))
    for damaged in (whole[:at], whole[:at] + b"7" + whole[at + 1 :], whole[:at] + whole[at + 1 :]):
        try:
            found = parse_bai2(damaged, name)
        except UnreadableFile:
            continue
        amounts = [t.amount for s in found for t in s.transactions]
        assert (
            amounts == known
            or [w for s in found for w in s.warnings]
            or sorted(map(abs, amounts)) == sorted(map(abs, known))
        )


# ---------------------------------------------------------------- transactions


def test_a_text_may_hold_commas_and_references_stand_before_it() -> None:
    found = entry(CREDIT + "/")
    assert (found.amount, found.booked_on, found.reference) == (2500, date(2026, 3, 1), "CUSTREF")
    assert found.description == "PAID, ALL OF IT"
    assert dict(found.raw) == {"record": CREDIT}


@pytest.mark.parametrize("end", ["/\n", "\n", "/\r\n", " / \n", "/\r"])
def test_records_end_with_a_slash_or_without_one(end: str) -> None:
    assert entry(CREDIT).amount == one(file(CREDIT + "/", end=end)).transactions[0].amount == 2500


def test_a_file_without_line_breaks_reads() -> None:
    assert len(one(file(CREDIT + "/", CREDIT + "/").replace("\n", "")).transactions) == 2
    assert len(one(file(CREDIT + "/", CREDIT + "/").replace("\n", "   ")).transactions) == 2


@pytest.mark.parametrize(
    ("funds", "value_date"),
    [
        ("", None), ("0", None), ("1", None), ("2", None), ("Z", None), ("z", None), ("S,100,200,300", None),
        ("V,260303,", date(2026, 3, 3)), ("V,,", None), ("V,260303,1200", date(2026, 3, 3)),
        ("D,2,0,100,1,200", None), ("D,0", None),
    ],
)  # fmt: skip
def test_a_funds_type_brings_fields_of_its_own(funds: str, value_date: date | None) -> None:
    found = entry(f"16,475,00000012,{funds},BANK,CHECK7,TEXT/")
    assert (found.amount, found.value_date, found.reference, found.description) == (-12, value_date, "CHECK7", "TEXT")


@pytest.mark.parametrize(
    ("code", "sign"),
    [(100, 1), (399, 1), (400, -1), (699, -1), (721, 1), (760, -1), (920, 1), (959, 1), (960, -1), (999, -1)],
)
def test_the_type_code_gives_the_sign(code: int, sign: int) -> None:
    assert entry(f"16,{code},5,,,/").amount == 5 * sign


def test_continuations_go_on_with_fields_and_with_text() -> None:
    found = entry("16,195,500/\n88,V,260302,,BANK/\n88,CUST/\n88,FIRST, LINE\n88,SECOND/LINE/")
    assert (found.value_date, found.reference, found.description) == (
        date(2026, 3, 2),
        "CUST",
        "FIRST, LINE SECOND/LINE",
    )


def test_what_carries_no_money_is_no_transaction() -> None:
    assert one(file("16,890,,,,,ONLY A NOTE/", "16,057,0,/")).transactions == ()
    assert "does not tell whether money came in" in refusal(file("16,057,10,/"))


@pytest.mark.parametrize(
    ("currency", "text", "minor"),
    [
        ("USD", "1250", 1250),
        ("USD", "12.50", 1250),
        ("USD", "+12", 12),
        ("JPY", "1250", 1250),
        ("BHD", "1250", 1250),
        ("EUR", "", 0),
    ],
)
def test_amounts_are_the_smallest_unit_unless_they_have_a_point(currency: str, text: str, minor: int) -> None:
    statement = one(file(f"16,142,{text},,,,/", account=f"03,1234,{currency},,,,/"))
    assert (statement.account.currency, statement.transactions[0].amount) == (currency, minor)


@pytest.mark.parametrize(
    ("account", "group", "currency"),
    [("EUR", "CAD", "EUR"), ("", "CAD", "CAD"), ("", "", "USD"), ("cad", "", "CAD")],
)
def test_the_currency_is_the_account_s_or_the_group_s_or_the_dollar(account: str, group: str, currency: str) -> None:
    text = file(account=f"03,1234,{account},015,5,,/", group=f"02,ME,BANK,1,260301,,{group},2/")
    assert one(text).account.currency == currency


# ---------------------------------------------------------------- balances and statements


def test_summaries_break_where_banks_break_them() -> None:
    """At a continuation, in the middle of a group, without the places for count and funds type, after funds of several days."""
    for account in (
        "03,1234,,010,100,,,015,300,,,045,400,,/",
        "03,1234,,010,100/\n88,015,300/\n88,045,400/",
        "03,1234,,010,100,,,015/\n88,300,,,045,400,,/",
        "03,1234,,010,100,,015,300,,045,400,,/",
        "03, 1234, USD, 010, 100, 2, S, 1, 2, 3, 015, +300, , V, 260301, , 045, 400,,/",
        "03,1234,USD,,,,,010,100,,,072,5,,D,2,0,1,1,2,015,300,,,045,400,,/",
    ):
        found = one(file("16,142,200,,,,/", account=account))
        assert (found.opening, found.closing, found.closing_available) == (100, 300, 400), account
        assert found.warnings == ()


def test_available_balances_stand_in_where_the_transactions_lead_from_one_to_the_other() -> None:
    for closing, found in (("300", 300), ("301", None)):
        statement = one(file("16,142,200,,,,/", account=f"03,1234,,040,100,,,045,{closing},,/"))
        assert (statement.closing, statement.closing_available) == (found, int(closing))


@pytest.mark.parametrize(
    ("modifier", "balances", "created", "provisional"),
    [
        ("2", "", "260302", False), ("4", "", "260301", False), ("1", "015,5,,", "260302", True), ("3", "", "260301", True),
        ("", "015,5,,", "260301", False), ("", "045,5,,", "260301", False), ("", "030,5,,", "260302", True),
        ("", "060,5,,", "260302", True), ("", "030,5,,,015,5,,", "260302", False), ("", "", "260301", True), ("", "", "260302", False),
    ],
)  # fmt: skip
def test_reports_of_the_day_are_provisional(modifier: str, balances: str, created: str, provisional: bool) -> None:
    text = file(
        CREDIT, account=f"03,1234,,{balances}/", group=f"02,ME,BANK,1,260301,1200,USD,{modifier}/", created=created
    )
    assert one(text).provisional is provisional


def test_balances_that_do_not_add_up_are_a_warning() -> None:
    assert "does not add up" in one(file("16,142,1,,,,/")).warnings[0]
    assert one(file(CREDIT)).warnings == ()


def test_totals_without_transactions_are_said_to_be_that() -> None:
    (warning,) = one(file(account="03,1234,,010,0,,,015,5,,,100,15,2,,400,10,1,/")).warnings
    assert "gives credits of 0.15 and debits of 0.10 USD as totals, without the transactions" in warning


def test_a_test_is_left_out() -> None:
    group = "02,ME,BANK,4,260301,2400,USD,2/"
    assert refusal(file(CREDIT, group=group)) == "it is a test (group status 4)"
    both = file(CREDIT, group=group).replace("99,,,/", "") + file(CREDIT).partition("\n")[2]
    assert len(parse_bai2(both.encode(), "file")) == 1


def test_what_deletes_or_corrects_what_nobody_can_name_is_refused() -> None:
    assert "deletes an earlier report" in refusal(file(CREDIT, group="02,ME,BANK,2,260301,,USD,2/"))
    correction = "02,ME,BANK,3,260301,,USD,2/"
    assert "nobody knows which" in refusal(file(CREDIT, group=correction, account="03,1234,,,,,/"))
    assert one(file("16,142,9,,,,/", group=correction)).external_id == one(file(CREDIT)).external_id


# ---------------------------------------------------------------- ids


def test_the_same_report_in_other_bytes_has_the_same_ids() -> None:
    first, again = one(file(CREDIT)), one(file(CREDIT + "  /", created="260303", end="\r\n"))
    assert first.external_id == again.external_id
    assert first.transactions[0].external_id == again.transactions[0].external_id


def test_equal_lines_are_two_transactions_also_in_two_parts_of_a_group() -> None:
    part = "03,1234,,,,,/\n" + CREDIT + "\n49,,/\n"
    text = file(CREDIT, CREDIT, account="03,1234,,,,,/").replace("98,", part + "98,")
    ids = [t.external_id for s in parse_bai2(text.encode(), "file") for t in s.transactions]
    assert len(ids) == len(set(ids)) == 3


def test_a_day_told_by_two_files_is_told_once() -> None:
    part, whole = one(file(CREDIT, account="03,1234,,,,,/")), one(file(CREDIT, CREDIT, account="03,1234,,,,,/"))
    assert part.external_id != whole.external_id
    assert part.transactions[0].external_id == whole.transactions[0].external_id
    other_day = one(file(CREDIT, group="02,ME,BANK,1,260302,2400,USD,2/"))
    assert other_day.transactions[0].external_id != part.transactions[0].external_id


def test_interim_and_final_ids_never_meet() -> None:
    final, interim = one(file(CREDIT)), one(file(CREDIT, group="02,ME,BANK,1,260301,1200,USD,3/"))
    assert final.transactions[0].external_id != interim.transactions[0].external_id
    later = one(file(CREDIT, group="02,ME,BANK,1,260301,1500,USD,3/"))
    assert later.external_id != interim.external_id
    assert later.transactions[0].external_id == interim.transactions[0].external_id


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("total", "records", "verdict"),
    [
        ("205000", 3, "read"), ("+205000", 3, "read"), ("2500", 3, "read"), ("0", 3, "read"), ("", "", "read"), ("", 3, "read"),
        ("205000", 5, "warned"), ("205001", 3, "control total"), ("", 4, "no control total"), ("0", 9, "no control total"),
    ],
)  # fmt: skip
def test_control_totals_tell_what_is_missing(total: str, records: int | str, verdict: str) -> None:
    text = file(CREDIT, total=total, records=records)
    if verdict in ("read", "warned"):
        assert bool(one(text).warnings) is (verdict == "warned")
    else:
        assert verdict in refusal(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no file header"),
        (file(CREDIT).replace("99,,,/", ""), "without the trailer (99) of the file that begins on line 1"),
        (file(CREDIT).replace("49,,/", ""), "line 6 (record 98): it ends no group, or an account"),
        (file(CREDIT).replace("98,,,/", ""), "it ends no file, or a group"),
        (file().replace("03,1234", "03,"), "it names no account"),
        (file(account="03,1234,XXX,,,,/"), "'XXX' is not a currency in use"),
        (file(account="03,1234,,010,5,,Q7,/"), "'Q7' is not a funds type"),
        (file(account="03,1234,,WORDS,5,,,/"), "'WORDS' is not a type code"),
        (file("16,14,5,,,/"), "line 4 (record 16): '14' is not a type code"),
        (file("16,142,5x,,,/"), "'5x' is not an amount"),
        (file("16,142,-5,,,/"), "the amount is negative"),
        (file("16,142,5.005,,,/"), "has more than 2 decimals"),
        (file("16,142,9999999999999999,,,/"), "larger than can be kept"),
        (file("16,142,5,V,261301,,/"), "'261301' is not a date"),
        (file("16,142,5,D,x,,/"), "'x' is not a number of distributions"),
        (file(group="02,ME,BANK,1,,,,/"), "'' is not a date"),
        (file().replace(",,,2/", ",,,1/"), "it is of version '1'"),
        (file().replace("03,1234", "16,142,5,,,/\n03,1234"), "outside of an account"),
        (file().replace("49,,/", "49,,/\n88,5/"), "it continues nothing"),
    ],
)
def test_what_cannot_be_read_exactly_refuses_the_file(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_a_carrier_s_lines_around_a_file_do_not_matter() -> None:
    assert len(parse_statement_file(f"$$ADD ID=X BATCHID='Y'\r\n{file(CREDIT)}\x1a$$EOF\n".encode(), "x")) == 1
    assert len(parse_statement_file(("\n" + file(CREDIT) * 2).encode("utf-16"), "x")) == 2


def test_what_a_file_may_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    text = file(CREDIT, CREDIT, CREDIT)
    monkeypatch.setattr("sources.connectors.files_values.FREE_MEMORY", 1_500 + 2 * 500 - 8 * len(text))
    assert refusal(text) == "it has far more transactions than a business document of its size"
    monkeypatch.setattr("sources.connectors.files_values.FREE_MEMORY", 1_000 - 8 * len(text))
    assert refusal(text) == "it has far more statements than a business document of its size"


PIECES = [
    "01,",
    "02,",
    "03,",
    "16,",
    "88,",
    "49,",
    "98,",
    "99,",
    "142",
    ",",
    "/",
    "\n",
    " ",
    "V",
    "S",
    "D",
    "9999",
    "-",
    "1",
    "260301",
    "USD",
    "\r",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60))
def test_any_records_are_statements_or_a_refusal(pieces: list[str]) -> None:
    text = "".join(pieces)
    for whole in (text, f"01,A,B,260301,1,1,,,2/\n02,A,B,1,260301,,,/\n03,1,/\n{text}", file(text)):
        try:
            found: object = parse_bai2(whole.encode(), "file")
        except UnreadableFile as refused:
            found = str(refused)
        assert found
