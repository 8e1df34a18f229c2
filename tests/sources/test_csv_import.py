"""An import file's rows become entries as stated; what cannot be read is refused by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import pytest

from sources.errors import InvalidArgument
from sources.ledger.csv_import import ImportedAccount, ImportedEntry, Refusal, outline, read_entries
from sources.ledger.model import AccountType, LedgerRef, LineDraft

HEADER = "entry,date,description,account,debit,credit,currency"


@dataclass(frozen=True)
class Read:
    entries: list[ImportedEntry]
    refusals: list[Refusal]
    accounts: tuple[ImportedAccount, ...]


def read(text: str) -> Read:
    lines = text.splitlines(keepends=True)
    first = outline(lines)
    found = list(read_entries(lines, first))
    assert len(first.ends) == len(found)
    entries = [entry for entry in found if isinstance(entry, ImportedEntry)]
    return Read(entries, [entry for entry in found if isinstance(entry, Refusal)], first.accounts)


def refusal(rows: str) -> Refusal:
    file = read(f"{HEADER}\n{rows}")
    assert not file.entries
    (refused,) = file.refusals
    return refused


def test_rows_of_one_value_form_one_entry_wherever_they_stand() -> None:
    file = read(
        f"""{HEADER}
1,2026-01-05,Coffee,6100,4.50,,USD
2,2026-01-06,Rent,6200,900.00,,USD
1,2026-01-05,Coffee,1000,,4.50,USD
2,,Rent,1000,,900.00,
"""
    )
    coffee, rent = file.entries
    assert (coffee.entry, coffee.effective_date, coffee.description) == ("1", date(2026, 1, 5), "Coffee")
    assert coffee.lines == (
        LineDraft(account="6100", debit="4.50", currency="USD"),
        LineDraft(account="1000", credit="4.50", currency="USD"),
    )
    assert coffee.line_numbers == (2, 4)
    assert rent.lines[1] == LineDraft(account="1000", credit="900.00")


def test_entries_come_as_soon_as_they_and_those_before_them_are_whole() -> None:
    """In the order of their first rows, with no more rows held than that takes: a file need not fit into memory."""
    rows = ["1,a", "2,a", "2,b", "3,a", "1,b", "3,b", "4,a", "4,b"]
    lines = [f"{HEADER}\n"] + [
        f"{entry},2026-01-05,x,{account},{'1,' if account == 'a' else ',1'},USD\n"
        for entry, account in (row.split(",") for row in rows)
    ]
    told: list[str] = []

    def reading() -> Iterator[str]:
        for line in lines:
            told.append(line.split(",")[0])
            yield line

    for found in read_entries(reading(), outline(lines)):
        told.append(f"entry {found.entry}")
    assert told[1:] == ["1", "2", "2", "3", "1", "entry 1", "entry 2", "3", "entry 3", "4", "4", "entry 4"]


def test_blank_lines_state_nothing() -> None:
    """Also those of blanks and separators alone, which editors and spreadsheets leave behind."""
    file = read(f"{HEADER}\n\n   \n,,,,,,\n1,2026-01-05,Coffee,6100,4.50,,USD\n , ,,,,,\n")
    assert [entry.line_numbers for entry in file.entries] == [(5,)]
    assert not file.refusals


def test_a_draft_s_key_is_the_batch_and_the_entry_value() -> None:
    ledger = LedgerRef(1, "acme-us", "USD")
    file = read(f"{HEADER}\nA:7,2026-01-05,Coffee,6100,4.50,,USD\nA:7,2026-01-05,Coffee,1000,,4.50,USD\n")
    draft = file.entries[0].draft(ledger, "january", "ana")
    assert (draft.idempotency_key, draft.ledger, draft.posted_by, draft.origin) == ("january:A:7", ledger, "ana", "")
    assert draft.lines == file.entries[0].lines


def test_optional_columns_are_read_and_empty_cells_state_nothing() -> None:
    file = read(
        f"""{HEADER},reference,functional_amount,dimension:department,dimension:project
1,2026-01-05,Hotel,6300,100.00,,EUR,INV-9,110.00,sales,
1,2026-01-05,Hotel,2000,,100.00,EUR,,110.00,,
"""
    )
    (entry,) = file.entries
    assert entry.reference == "INV-9"
    assert entry.lines[0].functional_amount == "110.00"
    assert entry.lines[0].dimensions == (("department", "sales"),)
    assert entry.lines[1].dimensions == ()


def test_another_description_on_a_row_is_its_line_s() -> None:
    file = read(f"{HEADER}\n1,2026-01-05,Lunch,6100,4.50,,USD\n1,2026-01-05,Card 1234,1000,,4.50,USD\n")
    assert file.entries[0].description == "Lunch"
    assert [line.description for line in file.entries[0].lines] == [None, "Card 1234"]


def test_amounts_stay_the_texts_of_the_file() -> None:
    file = read(f"{HEADER}\n1,2026-01-05,x,a,0012.3400,,USD\n1,2026-01-05,x,b,,1e3,USD\n")
    assert [(line.debit, line.credit) for line in file.entries[0].lines] == [("0012.3400", None), (None, "1e3")]


def test_line_numbers_are_those_of_the_file_also_after_quoted_line_ends() -> None:
    file = read(f'{HEADER}\n1,2026-01-05,"two\nlines",a,1,,USD\n\n1,2026-01-05,,b,,1,USD\n')
    assert file.entries[0].description == "two\nlines"
    assert file.entries[0].line_numbers == (2, 5)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ("1,2026-01-05,x,a,1,1,USD", "line 2: must have exactly one of debit and credit"),
        ("1,2026-01-05,x,a,,,USD", "line 2: must have exactly one of debit and credit"),
        ("1,2026-01-05,x,,1,,USD", "line 2: must name an account"),
        ("1,05.01.2026,x,a,1,,USD", "line 2: date must be of the form 2026-11-22, not '05.01.2026'"),
        ("1,2026-02-30,x,a,1,,USD", "line 2: date must be of the form 2026-11-22, not '2026-02-30'"),
        ("1,20260105,x,a,1,,USD", "line 2: date must be of the form 2026-11-22, not '20260105'"),
        ("1,,x,a,1,,USD", "line 2: date must be of the form 2026-11-22, not ''"),
        ("1,2026-01-05,x,a,1,", "line 2: has 6 cells where the header names 7 columns"),
        (",2026-01-05,x,a,1,,USD", "has no entry value"),
        (
            "1,2026-01-05,x,a,1,,USD\n1,2026-01-06,x,b,,1,USD",
            "line 3: date is '2026-01-06', but '2026-01-05' on line 2 of the same entry",
        ),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused_with_its_lines(rows: str, reason: str) -> None:
    refused = refusal(rows)
    assert refused.reasons == (reason,)
    assert refused.line_numbers == tuple(range(2, 3 + rows.count("\n")))


def test_a_bad_entry_leaves_its_neighbours_alone() -> None:
    file = read(f"{HEADER}\n1,2026-01-05,x,a,1,,USD\n1,2026-01-05,x,b,,1,USD\n2,nonsense,x,a,,,USD\n")
    assert [entry.entry for entry in file.entries] == ["1"]
    assert [refused.entry for refused in file.refusals] == ["2"]
    assert len(file.refusals[0].reasons) == 2


def test_accounts_are_gathered_with_type_and_name() -> None:
    file = read(
        f"""{HEADER},account_type,account_name
1,2026-01-05,x,b,1,,USD,,
1,2026-01-05,x,a,,1,USD,ASSET,Bank
2,2026-01-05,x,b,1,,USD,EXPENSE,
2,2026-01-05,x,a,,1,USD,ASSET,
"""
    )
    assert [(account.code, account.name, account.type) for account in file.accounts] == [
        ("a", "Bank", AccountType.ASSET),
        ("b", "b", AccountType.EXPENSE),
    ]


def test_an_account_of_two_types_is_refused() -> None:
    file = read(
        f"""{HEADER},account_type
1,2026-01-05,x,a,1,,USD,ASSET
1,2026-01-05,x,b,,1,USD,INCOME
2,2026-01-05,x,a,1,,USD,EXPENSE
2,2026-01-05,x,c,,1,USD,
"""
    )
    assert [refused.reasons for refused in file.refusals] == [
        ("line 3: account_type must be one of ASSET, LIABILITY, EQUITY, REVENUE, EXPENSE, not 'INCOME'",),
        ("line 4: account a is EXPENSE, but ASSET on line 2",),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: must name the columns"),
        ("entry,date\n", "line 1: lacks the columns description, account, debit, credit, currency"),
        (f"{HEADER},refrence\n", "line 1: 'refrence' is not a column; did you mean reference?"),
        (f"{HEADER},dimension:Dep\n", "line 1: 'dimension:Dep' is not a column"),
        (f"{HEADER},debit\n", "line 1: the column debit stands there more than once"),
        (HEADER.replace(",", ";"), "line 1: cells have to be separated by commas"),
        (f'{HEADER}\n1,2026-01-05,"x"y,a,1,,USD\n', "line 2: is not CSV"),
        (f'{HEADER}\n1,2026-01-05,"x,a,1,,USD\n', "line 2: is not CSV: unexpected end of data"),
    ],
)
def test_a_file_that_is_not_of_the_form_names_the_line(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(text)
    assert str(caught.value).startswith(message)
