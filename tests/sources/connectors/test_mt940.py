"""MT940 and MT942: what is read, what is refused and why. The corpus' expectations were read from its files by eye."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.files_values import UnreadableFile
from sources.connectors.mt940 import parse_mt940
from sources.documents import BankStatement, BankTransaction, BankTransactionStatus

CORPUS = Path(os.environ.get("CORPORA", Path(__file__).parents[3].parent / "shared" / "corpora")) / "mt940"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpora are not on this machine")

BOOKED, PENDING = BankTransactionStatus.BOOKED, BankTransactionStatus.PENDING
HEAD = ":20:REF\n:25:DE89370400440532013000\n:28C:7/1\n"


def parse(text: str) -> list[BankStatement]:
    return parse_mt940(text.encode(), "file.sta")


def one(text: str) -> BankStatement:
    (statement,) = parse(text)
    return statement


def lines(body: str, opening: str = "C260301EUR100,00", closing: str = "C260331EUR100,00") -> str:
    """A whole statement around some :61: and :86: fields."""
    return f"{HEAD}:60F:{opening}\n{body}\n:62F:{closing}\n-\n"


def entry(body: str) -> BankTransaction:
    (transaction,) = one(lines(body)).transactions
    return transaction


def refusal(data: str | bytes) -> str:
    with pytest.raises(UnreadableFile) as caught:
        parse_mt940(data if isinstance(data, bytes) else data.encode(), "file.sta")
    return str(caught.value)


# ---------------------------------------------------------------- the corpus


@dataclass(frozen=True)
class Read:
    """What a person reads from one statement. Amounts are minor units, in the order of the file."""

    account: str
    currency: str
    opening: int | None
    closing: int | None
    amounts: tuple[int, ...]
    to: date | None
    adds_up: bool = True
    provisional: bool = False


NO_ACCOUNT = "names no account (no :25:)"
OUTSIDE = "stands outside of any statement"
GERMAN = "12345678/1020304050"
POLISH = "PL2911401081000026700200100"
EXPECTED: dict[str, str | list[Read]] = {
    "betterplace__currency_in_25.sta": [Read("51210600/9223382012", "EUR", None, None, (), None)],
    "betterplace__empty_86.sta": OUTSIDE,
    "betterplace__empty_line.sta": NO_ACCOUNT,
    "betterplace__with_binary_character.sta": [
        Read("51230800/0000007055", "EUR", 38011577, 19992902, (2700, 1306830, -19328205), date(2010, 3, 19)),
        Read("51230800/0000007304", "EUR", 13007319, 13119319, (112000,), date(2010, 3, 19)),
    ],
    "cmxl__account_balance_credit.sta": OUTSIDE,
    "cmxl__account_balance_debit.sta": OUTSIDE,
    "cmxl__mt940.sta": "line 4 (:60F:): 'DEM' is not a currency in use (ISO 4217)",
    "cmxl__reference.sta": NO_ACCOUNT,
    "cmxl__statement_number.sta": OUTSIDE,
    "jejik__abnamro.sta": [
        Read(
            "517852257",
            "EUR",
            323628,
            87684,
            (-900, -1159, -1163, -1180, -1345, -1549, -10700, -14148),
            date(2011, 5, 24),
            adds_up=False,
        ),
        Read("517852257", "EUR", 287684, 184975, (-949, -1500), date(2011, 5, 24), adds_up=False),
    ],
    "jejik__generic.sta": [
        Read("11111111", "EUR", 10000, 9000, (-1000,), date(2011, 2, 1)),
        Read("11111111", "EUR", 9000, 8000, (-1000,), date(2011, 3, 1)),
    ],
    "jejik__ing.sta": [
        Read("0001234567", "EUR", 0, 347, (-2503, -303, -111, -2000, -110, 368, 100), date(2010, 7, 23), adds_up=False)
    ],
    # Two pages of statement 999; the second closes 0.20 away from where it should.
    "jejik__postfinance.sta": [
        Read("123456789", "CHF", 0, 15960, (7970, 14950, -7990, 1010), date(2014, 4, 7), adds_up=False)
    ],
    "mBank__mt942.sta": [
        Read(POLISH + "2", "PLN", None, None, (1, 1, 1), date(2017, 1, 19), provisional=True),
    ],
    "mBank__with_newline_in_tnr.sta": [
        Read(POLISH + "2", "PLN", 46, 86017, (4500, 4400), date(2017, 2, 1), adds_up=False)
    ],
    "self-provided__details_60-63.sta": [
        Read(GERMAN, "EUR", 1234512, 1234598, (-23315,), date(2017, 9, 14), adds_up=False)
    ],
    "self-provided__empty_non_swift.sta": OUTSIDE,
    "self-provided__invalid_statement.sta": "it has no field of an MT940 or MT942 message",
    "self-provided__long_statement_number.sta": [Read("0067-00763/93984487", "TRY", 0, 0, (), date(2018, 4, 10))],
    "self-provided__malformed_details.sta": [
        Read(GERMAN, "EUR", 1234512, 1234598, (-23315,), date(2017, 9, 14), adds_up=False)
    ],
    # A second :61: after the statement's end belongs to no account.
    "self-provided__multiline.sta": "line 38: a field :61: stands outside of any statement",
    "self-provided__raiffeisen-cmi.sta": [
        Read(
            "UBRTHUHB/123456789150ABCDEF002",
            "HUF",
            2517063710,
            2528168760,
            (206663700, -1479000, -305180000, -389277, -78924, -157849, -600000),
            date(2018, 4, 17),
            adds_up=False,
        )
    ],
    "self-provided__sparkassen.sta": OUTSIDE,
    "self-provided__transaction_details_wrapped.sta": [Read(GERMAN, "EUR", 120000, 119400, (-600,), date(2016, 3, 1))],
    "self-provided__whitespace.sta": [
        Read(GERMAN, "EUR", 1234512, 1234598, (-23315,), date(2017, 9, 14), adds_up=False)
    ],
    "self-provided__wrapped_timestamp.sta": [Read(GERMAN, "EUR", 120000, 119400, (-600,), date(2016, 3, 1))],
}


@needs_corpus
def test_every_file_of_the_corpus_has_an_expectation() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in CORPUS.glob("*.sta"))


@needs_corpus
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_every_file_of_the_corpus_reads_right_or_is_refused_with_the_reason(name: str) -> None:
    expected, data = EXPECTED[name], (CORPUS / name).read_bytes()
    if isinstance(expected, str):
        assert expected in refusal(data)
        return
    found = [
        Read(
            statement.account.external_id,
            statement.account.currency,
            statement.opening,
            statement.closing,
            tuple(each.amount for each in statement.transactions),
            statement.to_date,
            not statement.warnings,
            statement.provisional,
        )
        for statement in parse_mt940(data, name)
    ]
    assert found == expected


@needs_corpus
def test_texts_of_the_corpus_are_told_apart_by_their_encoding() -> None:
    """UTF-8 in one file, the code page of Central Europe in the other."""
    (_, german) = parse_mt940((CORPUS / "betterplace__with_binary_character.sta").read_bytes(), "a")
    (hungarian,) = parse_mt940((CORPUS / "self-provided__raiffeisen-cmi.sta").read_bytes(), "b")
    assert "Überweisung" in str(german.transactions[0].description)
    assert "napi összevont utánvét" in str(hungarian.transactions[0].description)


@needs_corpus
def test_a_wrapped_time_of_day_is_text_and_the_30th_of_february_is_the_last() -> None:
    (statement,) = parse_mt940((CORPUS / "self-provided__wrapped_timestamp.sta").read_bytes(), "a")
    (transaction,) = statement.transactions
    assert ":26:37 Fo?25lgenr. 007" in transaction.raw["86"]
    assert (transaction.value_date, transaction.booked_on) == (date(2016, 2, 29), date(2016, 3, 1))


# ---------------------------------------------------------------- :61:


@pytest.mark.parametrize(
    ("mark", "amount", "status"),
    [
        ("C", 1050, BOOKED),
        ("D", -1050, BOOKED),
        ("RC", -1050, BOOKED),
        ("RD", 1050, BOOKED),
        ("EC", 1050, PENDING),
        ("ED", -1050, PENDING),
        ("CR", 1050, BOOKED),  # C with the funds code R, of EUR
        ("DR", -1050, BOOKED),
        ("RDR", 1050, BOOKED),
        ("d", -1050, BOOKED),
    ],
)
def test_every_mark_gives_its_direction(mark: str, amount: int, status: BankTransactionStatus) -> None:
    transaction = entry(f":61:2603050305{mark}10,5NTRFNONREF")
    assert (transaction.amount, transaction.status) == (amount, status)


@pytest.mark.parametrize(
    ("text", "minor"),
    [("10,", 1000), ("10", 1000), (",5", 50), ("0000000000000000010,50", 1050), ("9999999999999,99", 10**15 - 1)],
)
def test_amounts_of_any_length_are_exact(text: str, minor: int) -> None:
    """The library would keep 15 characters and read the rest as a reference."""
    assert entry(f":61:260305C{text}NTRFNONREF").amount == minor


def test_entries_without_a_transaction_type_are_all_kept() -> None:
    """The library would overwrite each with the next."""
    found = one(lines(":61:260305C1,00\n:61:260305C2,00\n:61:260305C3,00"))
    assert [each.amount for each in found.transactions] == [100, 200, 300]


@pytest.mark.parametrize(
    ("dates", "value", "booked"),
    [
        ("2603050306", date(2026, 3, 5), date(2026, 3, 6)),
        ("260305", date(2026, 3, 5), date(2026, 3, 5)),
        ("260305    ", date(2026, 3, 5), date(2026, 3, 5)),
        ("2603050000", date(2026, 3, 5), date(2026, 3, 5)),
        ("2601021231", date(2026, 1, 2), date(2025, 12, 31)),
        ("2512310102", date(2025, 12, 31), date(2026, 1, 2)),
        ("9912310102", date(1999, 12, 31), date(2000, 1, 2)),
        ("2602300301", date(2026, 2, 28), date(2026, 3, 1)),
        ("260405", date(2026, 4, 5), date(2026, 3, 31)),  # in the balance of 31 March, so booked by then
    ],
)
def test_value_and_entry_dates(dates: str, value: date, booked: date) -> None:
    transaction = entry(f":61:{dates}C1,00NTRFNONREF")
    assert (transaction.value_date, transaction.booked_on) == (value, booked)


def test_references_and_details_of_the_line() -> None:
    transaction = entry(":61:260305C1,00NTRFINV-77//BANK-1\nCard payment\nShop")
    assert (transaction.reference, transaction.description) == ("INV-77", "Card payment Shop")
    assert entry(":61:260305C1,00NTRFNONREF//BANK-1").reference == "BANK-1"


def test_a_structured_86_gives_purpose_counterparty_and_reference() -> None:
    transaction = entry(
        ":61:260305D1,00NDDTNONREF\n:86:105?00LASTSCHRIFT?20EREF+E-1?21SVWZ+Rent of\n"
        "?22 March?30COBADEFF?31DE02120300000000202051?32Land?33lord"
    )
    assert (transaction.description, transaction.counterparty, transaction.reference) == (
        "Rent of March",
        "Landlord",
        "E-1",
    )


def test_codewords_of_an_86_give_the_same() -> None:
    transaction = entry(":61:260305D1,00NDDTNONREF\n:86:/TRTP/SEPA/NAME/Some Shop/REMI/Order 5/EREF/E-2")
    assert (transaction.description, transaction.counterparty, transaction.reference) == ("Order 5", "Some Shop", "E-2")


def test_an_86_after_the_balance_is_of_the_statement() -> None:
    text = lines(":61:260305C1,00NTRFNONREF\n:86:Mine").replace("\n-\n", "\n:86:Of the statement\n-\n")
    assert one(text).transactions[0].description == "Mine"


# ---------------------------------------------------------------- statements


def test_statements_are_split_at_20_with_or_without_an_end_between_them() -> None:
    for separator in ("-\n", "", "-}{5:{CHK:1}}\n{1:F01BANKDEFF}{2:O9400000}{4:\n", "\n\n"):
        text = separator.join([lines(":61:260305C1,00N")[:-2], lines(":61:260305C2,00N")[:-2]])
        assert [[each.amount for each in found.transactions] for found in parse(text)] == [[100], [200]]


def test_pages_are_one_statement() -> None:
    first = HEAD + ":60F:C260301EUR1,00\n:61:260302C2,00N\n:62M:C260302EUR3,00\n-\n"
    second = (
        HEAD.replace("7/1", "7/2") + ":60M:C260302EUR3,00\n:61:260303D1,00N\n:62F:C260303EUR2,00\n:64:C260303EUR1,50\n"
    )
    statement = one(first + second)
    assert (statement.opening, statement.closing, statement.closing_available) == (100, 200, 150)
    assert [each.amount for each in statement.transactions] == [200, -100]
    assert statement.warnings == ()


def test_a_statement_that_does_not_add_up_is_read_with_a_warning() -> None:
    (warning,) = one(lines(":61:260305C1,00NTRFNONREF")).warnings
    assert warning == (
        "Statement 7 of file.sta does not add up: opening balance 100.00 and movements of 1.00 give 101.00, "
        "but its closing balance is 100.00 EUR."
    )


def test_a_balance_longer_than_the_library_reads_is_exact() -> None:
    """The library cuts balances at 16 characters."""
    statement = one(lines("", "C260301TRY0000000000001234,56", "D260331TRY0000000000001234,56"))
    assert (statement.opening, statement.closing) == (123456, -123456)


@pytest.mark.parametrize(
    ("stated", "account", "iban", "currency"),
    [
        ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000", True, None),
        ("DE89370400440532013000EUR", "DE89370400440532013000", True, "EUR"),
        ("COBADEFF/DE89370400440532013000", "DE89370400440532013000", True, None),
        ("51210600/9223382012EUR", "51210600/9223382012", False, "EUR"),
        ("/123456789 USD", "123456789", False, "USD"),
        ("ACCOUNT/HUF", "ACCOUNT", False, "HUF"),
        ("MT84MALT011000012345MTLCAST001S", "MT84MALT011000012345MTLCAST001S", True, None),
        ("1234ABC", "1234ABC", False, None),
    ],
)
def test_accounts(stated: str, account: str, iban: bool, currency: str | None) -> None:
    text = f":20:X\n:25:{stated}\n" + ("" if currency else ":60F:C260301EUR1,00\n:62F:C260301EUR1,00\n")
    found = one(text).account
    assert (found.external_id, found.iban is not None, found.currency) == (account, iban, currency or "EUR")


def test_an_interim_report_is_provisional_and_takes_its_currency_from_the_floor_limit() -> None:
    body = ":34F:GBPD0,\n:34F:GBPC0,\n:13D:2603051200+0000\n:61:260305ED2,00NMSC\n:61:260305C1,00NMSC\n:90C:1GBP1,00\n"
    statement = one(HEAD + body)
    assert (statement.provisional, statement.account.currency, statement.to_date) == (True, "GBP", date(2026, 3, 5))
    assert [(each.amount, each.status) for each in statement.transactions] == [(-200, PENDING), (100, BOOKED)]


def test_a_header_names_the_message() -> None:
    assert one("{1:F01A}{2:I942BANKN}{4:" + HEAD + ":34F:EUR0,\n-}").provisional


def test_sums_of_a_balance_report_are_not_checked() -> None:
    assert one(lines(":90D:3EUR10,00", closing="C260331EUR90,00")).warnings == ()


# ---------------------------------------------------------------- ids


def ids(text: str) -> list[list[str]]:
    return [[each.external_id for each in found.transactions] for found in parse(text)]


def test_two_identical_lines_are_two_transactions_with_the_same_ids_ever_after() -> None:
    text = lines(":61:260305C1,00NTRFNONREF\n" * 2)
    (first,) = ids(text)
    assert len(set(first)) == 2
    assert ids(text.replace("\n", "\r\n").replace(":20:REF", ":20:SENT AGAIN")) == [first]


def test_unnumbered_statements_are_told_apart_by_their_text() -> None:
    """Many banks number every statement 0."""
    one_day = lines(":61:260305C1,00NTRFNONREF\n:86:A").replace("7/1", "0")
    same_day = one_day.replace(":86:A", ":86:B")
    first, second = parse(one_day + same_day)
    assert first.external_id != second.external_id
    assert one(one_day).external_id == first.external_id


def test_an_entry_of_two_interim_reports_of_a_day_is_one_transaction() -> None:
    morning = HEAD + ":34F:EUR0,\n:61:260305C1,00NTRFNONREF//B1\n-\n"
    noon = morning.replace("7/1", "8/1").replace("-\n", ":61:260305C2,00NTRFNONREF//B2\n-\n")
    first, second = ids(morning + noon)
    assert second[0] == first[0]
    assert second[1] not in first


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no field of an MT940 or MT942 message"),
        ("hello\nworld", "no field of an MT940 or MT942 message"),
        (":20:X\n:60F:C260301EUR1,00\n", "line 1: the statement names no account (no :25:)"),
        (HEAD + ":61:260305C1,00NTRF", "gives no currency"),
        (HEAD + ":60F:C260301EUR1,00\n:61:260305C1,00NTRF", "has an opening balance, but no closing balance"),
        (lines(":61:260305X1,00NTRF"), "line 5 (:61:): what begins with '260305X1,00' is not a statement line"),
        (lines(":61:261305C1,00NTRF"), "line 5 (:61:): what begins with '261305C1,00' has a date that does not exist"),
        (lines(":61:2603050431C1,00NTRF"), "has a date that does not exist"),
        (lines(":61:260305C1,2,3NTRF"), "line 5 (:61:): '1,2,3' is not an amount"),
        (lines(":61:260305C,NTRF"), "',' is not an amount"),
        (lines(":61:260305C1,005NTRF"), "the amount '1.005' EUR has more than 2 decimals"),
        (lines("", "C260301EUR1.234,56"), "'C260301EUR1.234,56' is not a balance"),
        (lines("", "C261301EUR1,00"), "line 4 (:60F:): 261301 is not a date (YYMMDD)"),
        (lines("", "C260301XXX1,00"), "'XXX' is not a currency in use"),
        (lines(":60F:C260301EUR1,00"), "line 5 (:60F:): a second balance of this kind in one statement"),
        (lines(":61:260305C1,00N") + ":61:260305C1,00N\n", "line 8: a field :61: stands outside of any statement"),
    ],
)
def test_what_cannot_be_read_exactly_is_refused_with_the_reason(text: str, reason: str) -> None:
    assert reason in refusal(text)


def test_a_file_cut_off_anywhere_is_refused_or_states_whole_statements() -> None:
    whole = lines(":61:260305C1,00NTRFNONREF\n:86:Text", closing="C260331EUR101,00") + lines(":61:260306D2,00NTRF")
    complete = ids(whole)
    for end in range(len(whole)):
        with contextlib.suppress(UnreadableFile):
            found = [row for row in ids(whole[:end]) if row]
            assert found == complete[: len(found)]


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    with contextlib.suppress(UnreadableFile):
        parse_mt940(data, "random.sta")


@given(st.data())
def test_a_damaged_file_reads_or_is_refused(data: st.DataObject) -> None:
    whole = lines(":61:2603050305CR1,00NTRFA//B\nC\n:86:166?00X?20EREF+1?21SVWZ+2?32N").encode()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 20)))
    with contextlib.suppress(UnreadableFile):
        parse_mt940(whole[:start] + data.draw(st.binary(max_size=8)) + whole[end:], "damaged.sta")


@given(st.lists(st.text(":\n?/+0123456789,CDREVSWZ-{}", max_size=40), max_size=8))
def test_texts_of_the_formats_own_signs_read_or_are_refused(parts: list[str]) -> None:
    with contextlib.suppress(UnreadableFile):
        parse(lines("".join(f":61:260305C1,00N{part}\n:86:{part}\n" for part in parts)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_encodings(encoding: str) -> None:
    text = lines(":61:260305C1,00NTRFNONREF\n:86:Grüße aus Köln für 5 €")
    (statement,) = parse_mt940(text.encode(encoding), "file.sta")
    assert statement.transactions[0].description == "Grüße aus Köln für 5 €"


def test_control_characters_do_not_reach_the_texts() -> None:
    transaction = entry(":61:260305C1,00NTRFA\0B\n:86:x\0y\x01z")
    assert (transaction.reference, transaction.description) == ("AB", "xyz")
    assert "\0" not in str(transaction.raw)


def test_five_megabytes_read_within_seconds() -> None:
    count = 25_000
    body = (
        ":61:2603050305C1,00NTRFNONREF\n:86:166?00GUTSCHRIFT?20EREF+1?21SVWZ+"
        + "Invoice of a customer" * 6
        + "?32Name\n"
    )
    text = lines(body * count, closing=f"C260331EUR{100 + count},00")
    assert len(text) > 4_900_000
    started = time.monotonic()
    statement = one(text)
    assert time.monotonic() - started < 30
    assert (len({each.external_id for each in statement.transactions}), statement.warnings) == (count, ())


@pytest.mark.parametrize("line", ["260305X1,00NTRFWAGES BYRON", "261305C1,00NTRFWAGES BYRON", "WAGES BYRON"])
def test_what_cannot_be_read_of_a_line_names_nobody(line: str) -> None:
    """The reference behind the amount may be a person's name."""
    with pytest.raises(UnreadableFile) as refused:
        parse_mt940(lines(f":61:{line}").encode(), "x.sta")
    assert "BYRON" not in str(refused.value)
