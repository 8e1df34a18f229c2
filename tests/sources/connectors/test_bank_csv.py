"""Bank tables: whatever their columns are called, the same transactions once, and nothing half-read."""

from __future__ import annotations

from datetime import date
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors.bank_csv import FIELDS, BankCsvConnector, parse_bank_csv
from sources.connectors.files_csv import TableFormat
from sources.connectors.files_values import UnreadableFile
from sources.documents import BankStatement, Page
from sources.errors import ConfigurationError

COLUMNS = {"date": "Date", "amount": "Amount", "description": "Text", "balance": "Balance"}
HEAD = "Date,Text,Amount,Balance\n"
ROWS = ["2026-03-01,Rent,-100.00,900.00\n", "2026-03-02,Sale,50.00,950.00\n", "2026-03-02,Sale,50.00,1000.00\n"]
TEXT = HEAD + "".join(ROWS)


def read(text: str, columns: Any = None, form: Any = None, **fixed: Any) -> list[BankStatement]:
    table = TableFormat.of("b", columns or COLUMNS, form, known=FIELDS, required=())
    return parse_bank_csv(text.encode(), "file.csv", table, **{"currency": "EUR", "account": "77", **fixed})


def one(text: str, columns: Any = None, form: Any = None, **fixed: Any) -> BankStatement:
    (statement,) = read(text, columns, form, **fixed)
    return statement


def amounts(text: str, columns: Any) -> list[int]:
    return [t.amount for t in one(text, columns).transactions]


def ids(statement: BankStatement) -> list[str]:
    return [t.external_id for t in statement.transactions]


def refusal(text: str, columns: Any = None, **fixed: Any) -> str:
    with pytest.raises(UnreadableFile) as caught:
        read(text, columns, **fixed)
    return str(caught.value)


# ---------------------------------------------------------------- reading


def test_a_table_is_a_statement() -> None:
    found = one(TEXT)
    assert (found.account.external_id, found.account.currency, found.provisional) == ("77", "EUR", False)
    assert (found.from_date, found.to_date) == (date(2026, 3, 1), date(2026, 3, 2))
    assert (found.opening, found.closing, found.warnings) == (100000, 100000, ())
    first = found.transactions[0]
    assert (first.amount, first.booked_on, first.description) == (-10000, date(2026, 3, 1), "Rent")
    assert dict(first.raw) == {"row": "2026-03-01;Rent;-100.00;900.00"}


def test_every_field_and_another_country_s_form() -> None:
    columns = {
        "date": 1, "value_date": 2, "amount": 3, "currency": 4, "description": 5, "counterparty": 6, "reference": 7, "account": 8,
    }  # fmt: skip
    text = 'Buchung;Valuta;Betrag;W;Zweck;Name;Ref;Konto\n01.03.26;02.03.26;"-1.234,50";eur;Miete;Haus GmbH;R-7;DE89 3704 0044 0532 0130 00\n'
    found = one(text, columns, {"dates": "%d.%m.%y", "decimal": ","}, currency=None, account=None)
    (t,) = found.transactions
    assert found.account.iban == "DE89370400440532013000"
    assert (t.amount, t.currency, t.value_date, t.counterparty, t.reference) == (
        -123450,
        "EUR",
        date(2026, 3, 2),
        "Haus GmbH",
        "R-7",
    )


def test_accounts_and_currencies_are_statements_of_their_own() -> None:
    columns = {"date": 1, "amount": 2, "account": 3, "currency": 4}
    text = "d,a,acc,c\n2026-03-01,1,X,USD\n2026-03-01,2,Y,USD\n2026-03-01,3,X,JPY\n2026-03-01,4,,\n2026-03-01,5,x,USD\n"
    found = {
        (s.account.external_id, s.account.currency): [t.amount for t in s.transactions] for s in read(text, columns)
    }
    assert found == {
        ("X", "USD"): [100],
        ("Y", "USD"): [200],
        ("X", "JPY"): [3],
        ("77", "EUR"): [400],
        ("x", "USD"): [500],
    }


def test_an_account_is_one_however_it_is_written() -> None:
    text = "d,a,acc\n2026-03-01,1,DE89 3704 0044 0532 0130 00\n2026-03-01,1,de89370400440532013000\n"
    assert len(one(text, {"date": 1, "amount": 2, "account": 3}).transactions) == 2


@pytest.mark.parametrize(
    ("amount", "word", "found"),
    [("5", "D", -500), ("5", "C", 500), ("5", "Soll", -500), ("5", "haben", 500), ("5", "-", -500), ("5", "+", 500),
     ("-5", "DR", -500), ("5", "Cr.", 500), ("5", "Af", -500), ("5", "Bij", 500)],
)  # fmt: skip
def test_a_word_or_a_sign_gives_the_direction(amount: str, word: str, found: int) -> None:
    assert amounts(f"d,a,s\n2026-03-01,{amount},{word}\n", {"date": 1, "amount": 2, "sign": 3}) == [found]


def test_debits_and_credits_stand_in_columns_of_their_own() -> None:
    columns = {"date": 1, "debit": 2, "credit": 3}
    for minus in ("", "-"):
        text = f"d,out,in\n2026-03-01,{minus}5.00,\n2026-03-01,,7.00\n2026-03-01,0.00,8.00\n2026-03-01,{minus}9,0\n"
        assert amounts(text, columns) == [-500, 700, 800, -900]


def test_a_table_without_rows_states_nothing() -> None:
    assert read(HEAD) == []


# ---------------------------------------------------------------- balances


def test_new_to_old_is_the_same_statement_in_the_order_of_the_days() -> None:
    up, down = one(TEXT), one(HEAD + "".join(reversed(ROWS)))
    assert (down.opening, down.closing, down.external_id) == (up.opening, up.closing, up.external_id)
    assert sorted(ids(up)) == sorted(ids(down))
    assert down.transactions[0].booked_on == date(2026, 3, 1)


def test_balances_that_do_not_follow_are_a_warning_and_are_not_used() -> None:
    found = one(TEXT.replace("950.00", "951.00"))
    assert (found.opening, found.closing) == (None, None)
    assert found.warnings == (
        "The table file.csv, account '77': the balance on line 3, 951.00 EUR, does not follow from the amounts: is a row missing?",
    )


def test_a_balance_at_some_rows_will_do() -> None:
    for gap in ("900.00", "950.00", "1000.00"):
        found = one(TEXT.replace(gap, ""))
        assert (found.opening, found.closing, found.warnings) == (100000, 100000, ())


@given(
    st.lists(st.tuples(st.integers(-(10**6), 10**6), st.booleans()), min_size=1, max_size=12),
    st.integers(-(10**7), 10**7),
    st.booleans(),
)
def test_any_true_table_adds_up_in_either_order(
    moves: list[tuple[int, bool]], opening: int, newest_first: bool
) -> None:
    balances = list(accumulate((amount for amount, _ in moves), initial=opening))[1:]
    rows = [
        f"2026-03-{at + 1:02},x,{amount},{balance if shown or at == 0 else ''}\n"
        for at, ((amount, shown), balance) in enumerate(zip(moves, balances, strict=True))
    ]
    text = HEAD + "".join(reversed(rows) if newest_first else rows)
    found = one(text, currency="JPY")
    assert (found.opening, found.closing, found.warnings) == (opening, balances[-1], ())
    assert [t.amount for t in found.transactions] == [amount for amount, _ in moves]


# ---------------------------------------------------------------- ids


def test_exports_that_overlap_state_a_transaction_once_and_equal_rows_stay_two() -> None:
    early, late = one(HEAD + ROWS[0] + ROWS[1]), one(HEAD + ROWS[1] + ROWS[2])
    assert len(set(ids(late))) == 2
    assert len(set(ids(early) + ids(late))) == 3
    assert set(ids(early)) < set(ids(one(TEXT)))


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["a", "b"]), st.integers(1, 2)), max_size=12), st.data())
def test_whole_days_in_any_order_have_the_same_ids(moves: list[tuple[int, str, int]], data: st.DataObject) -> None:
    def stated(some: list[tuple[int, str, int]]) -> set[str]:
        text = HEAD + "".join(f"2026-03-0{day},{what},{amount},\n" for day, what, amount in some)
        return {each for statement in read(text) for each in ids(statement)}

    whole = stated(moves)
    assert len(whole) == len(moves)
    assert stated(data.draw(st.permutations(moves))) == whole
    assert stated([m for m in moves if m[0] < 3]) | stated([m for m in moves if m[0] > 1]) == whole


def test_a_column_of_ids_is_believed_until_it_contradicts_itself() -> None:
    columns = {"date": 1, "amount": 2, "id": 3}
    found = one("d,a,i\n2026-03-01,1,T1\n2026-03-01,1,T2\n2026-03-01,1,T1\n2026-03-01,3,\n", columns)
    assert ids(found)[:2] == ["id:T1", "id:T2"] or set(ids(found)) >= {"id:T1", "id:T2"}
    assert sorted(t.amount for t in found.transactions) == [100, 100, 300]
    assert "line 3: the id 'T1' stands at another transaction too" in refusal(
        "d,a,i\n2026-03-01,1,T1\n2026-03-01,2,T1\n", columns
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "columns", "reason"),
    [
        (HEAD + ",Rent,1,\n", None, "line 2: it has no date"),
        (HEAD + "01.03.2026,Rent,1,\n", None, "line 2: '01.03.2026' is not a date of the form %Y-%m-%d"),
        (TEXT + "2026-03-03,Rent,,\n", None, "line 5: it has no amount"),
        (TEXT + "2026-03-03,Rent,1.005,\n", None, "line 5: the amount '1.005' EUR has more than 2 decimals"),
        (TEXT + "2026-03-03,Rent,1.00,x\n", None, "line 5: 'x' is not a number"),
        (TEXT + "2026-03-03,Rent\n", None, "line 5: it has 2 columns"),
        (TEXT + "Total,,100.00,\n", None, "line 5: 'Total' is not a date"),
        (TEXT + f"2026-03-03,Rent,{10**16},\n", None, "larger than can be kept"),
        ("d,a,s\n2026-03-01,5,X\n", {"date": 1, "amount": 2, "sign": 3}, "line 2: 'x' does not tell whether"),
        ("d,a,s\n2026-03-01,-5,C\n", {"date": 1, "amount": 2, "sign": 3}, "line 2: the amount is negative"),
        ("d,o,i\n2026-03-01,5,6\n", {"date": 1, "debit": 2, "credit": 3}, "line 2: it has a debit and a credit"),
        ("d,o,i\n2026-03-01,,\n", {"date": 1, "debit": 2, "credit": 3}, "line 2: it has neither a debit nor a credit"),
        ("d,o,i\n2026-03-01,,-6\n", {"date": 1, "debit": 2, "credit": 3}, "line 2: the credit is negative"),
        (
            "d,o,i\n2026-03-01,5,\n2026-03-01,-5,\n",
            {"date": 1, "debit": 2, "credit": 3},
            "line 3: some debits of the table",
        ),
        (
            "d,a,c\n2026-03-01,5,EURO\n",
            {"date": 1, "amount": 2, "currency": 3},
            "line 2: 'EURO' is not a currency in use",
        ),
    ],
)
def test_a_table_is_refused_whole_with_the_line(text: str, columns: Any, reason: str) -> None:
    assert reason in refusal(text, columns)


def test_rows_need_an_account_and_a_currency() -> None:
    columns = {"date": 1, "amount": 2, "account": 3, "currency": 4}
    assert refusal("d,a,acc,c\n2026-03-01,1,,EUR\n", columns, account=None) == "line 2: it has no account"
    assert refusal("d,a,acc,c\n2026-03-01,1,X,\n", columns, currency=None) == "line 2: it has no currency"


@pytest.mark.parametrize(
    ("columns", "options", "told"),
    [
        ({"date": 1}, {}, "sources.bank.columns.amount is missing"),
        ({"amount": 1}, {}, "sources.bank.columns.date is missing"),
        ({"date": 1, "debit": 2}, {}, "sources.bank.columns.credit is missing"),
        ({"date": 1, "credit": 2}, {}, "sources.bank.columns.debit is missing"),
        ({"date": 1, "amount": 2, "debit": 3}, {}, "sources.bank.columns.debit and sources.bank.columns.amount"),
        ({"date": 1, "debit": 2, "credit": 3, "sign": 4}, {}, "sources.bank.columns.sign is for one amount"),
        ({"date": 1, "amount": 2}, {"currency": None}, "sources.bank.currency is missing"),
        ({"date": 1, "amount": 2}, {"account": None}, "sources.bank.account is missing"),
        ({"date": 1, "amount": 2}, {"currency": "EURO"}, "sources.bank.currency must be a currency of ISO 4217"),
        ({"date": 1, "amount": 2, "payee": 3}, {}, "sources.bank.columns.payee is no field"),
        ({"date": 1, "amount": 2}, {"format": {"dates": "%d %b"}}, "sources.bank.format.dates cannot be"),
    ],
)
def test_settings_that_cannot_work_are_named_at_start(columns: Any, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BankCsvConnector(name="bank", path="x", columns=columns, **{"currency": "EUR", "account": "1", **options})
    assert told in str(caught.value)


async def test_files_that_could_not_be_read_are_tried_again_with_other_settings(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Date,Amount\n01.03.2026,5\n")

    async def pull(cursor: str | None, **form: str) -> Page:
        connector = BankCsvConnector(
            name="bank",
            path=tmp_path,
            columns={"date": 1, "amount": 2},
            format=form,
            currency="EUR",
            account="1",
            settle_seconds=0,
        )
        pages = [page async for page in connector.pull(cursor)]
        await connector.close()
        return pages[-1]

    first = await pull(None)
    assert len(first.problems) == 1
    second = await pull(first.cursor, dates="%d.%m.%Y")
    assert (len(second.documents), second.problems) == (1, ())


def test_what_a_table_may_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.connectors.files_values.FREE_MEMORY", 400 - 8 * len(TEXT.encode()))
    assert refusal(TEXT) == "it has far more transactions than a business document of its size"


@given(
    st.lists(
        st.sampled_from(["2026-03-01", ",", "\n", "5", "-", ".", '"', "x", "D", "\r", "\0", "é", ";"]), max_size=40
    )
)
def test_any_rows_are_statements_or_a_refusal(pieces: list[str]) -> None:
    for columns in (
        None,
        {"date": 1, "debit": 2, "credit": 3},
        {"date": 1, "amount": 2, "sign": 3, "id": 4, "balance": 4},
    ):
        try:
            found: object = read(TEXT + "".join(pieces), columns)
        except UnreadableFile as refused:
            found = str(refused)
        assert found
