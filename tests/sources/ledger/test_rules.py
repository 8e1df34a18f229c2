"""The pure rules: what they refuse and say, and that money goes through them exactly."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sources.ledger.model import Draft, LedgerRef, LineDraft, Reason
from sources.ledger.rules import LINE_RULES, MAX_LINES, check, is_plain
from sources.money import EXPONENTS, MAX_MINOR, format_minor
from tests.sources.ledger.books import credit, debit, entry, reversal

LEDGER = LedgerRef(1, "acme-us", "USD")
YEN = LedgerRef(2, "acme-jp", "JPY")
CURRENCIES = st.sampled_from(sorted(EXPONENTS))
MINOR = st.integers(0, MAX_MINOR)
PAIR = (debit("1000", "1"), credit("4000", "1"))


TEXTS = st.text(max_size=3) | st.sampled_from(["team", "1000", "a" * 64, "a" * 255, "a" * 256, " ", "\t"])
LINES = st.builds(
    LineDraft,
    account=TEXTS,
    debit=st.just("1"),
    description=st.none() | TEXTS,
    tax_code=st.none() | TEXTS,
    dimensions=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
)


def refused(draft: Draft) -> list[tuple[str, tuple[str, ...]]]:
    checked, reasons = check(draft)
    assert (checked is None) == bool(reasons)
    assert all(reason.message and len(reason.message) < 300 for reason in reasons)
    return [(reason.code.value, reason.path) for reason in reasons]


def lines(*stated: LineDraft, **more: Any) -> list[tuple[str, tuple[str, ...]]]:
    return refused(entry(LEDGER, "k", *stated, **more))


@given(CURRENCIES, CURRENCIES, st.integers(1, MAX_MINOR), st.integers(0, MAX_MINOR))
def test_money_goes_through_exactly(functional: str, currency: str, amount: int, worth: int) -> None:
    """Any amount of any currency comes out in the minor units that its decimals state."""
    ledger = LedgerRef(1, "l", functional)
    worth = amount if currency == functional else worth
    text, worth_text = format_minor(amount, EXPONENTS[currency]), format_minor(worth, EXPONENTS[functional])
    stated = None if currency == functional else worth_text
    draft = entry(ledger, "k", debit("a", text, currency, stated), credit("b", text, currency, stated))
    checked, reasons = check(draft)
    assert checked is not None, reasons
    assert [(line.amount, line.functional_amount) for line in checked.lines] == [(amount, worth), (-amount, -worth)]
    assert checked.total == worth
    assert Decimal(text).scaleb(EXPONENTS[currency]) == amount


@given(CURRENCIES, st.integers(1, 10**20), st.integers(1, 6))
def test_what_is_not_exactly_representable_is_refused(currency: str, digits: int, more: int) -> None:
    assume(digits % 10)
    text = format_minor(digits, EXPONENTS[currency] + more)
    ledger = LedgerRef(1, "l", currency)
    assert ("INVALID_AMOUNT", ("lines", "0", "debit")) in refused(
        entry(ledger, "k", debit("a", text), credit("b", "1"))
    )


@pytest.mark.parametrize(
    "text",
    ["", " ", "1,5", "1e3", "+1", "NaN", "Infinity", "0x10", "١", "1.", ".5", "--1", "1_000", "1 ", "9" * 41, "\x00"],
)
def test_malformed_amounts_are_refused(text: str) -> None:
    assert lines(debit("1000", text), credit("4000", "1")) == [("INVALID_AMOUNT", ("lines", "0", "debit"))]


@given(LINES)
def test_no_rule_has_anything_to_say_of_a_plain_line(line: LineDraft) -> None:
    """The rules are not asked about such lines, so they must not want to be."""
    if is_plain(line):
        assert [list(rule(line, ("lines", "0"))) for rule in LINE_RULES] == [[], [], []]


@pytest.mark.parametrize("line", [debit("1000", "1"), debit("1000", "1", dimensions=(("team", "ops"),))])
def test_lines_as_most_are_plain(line: LineDraft) -> None:
    assert is_plain(line)


def test_a_line_states_one_side_that_is_not_negative() -> None:
    both = LineDraft(account="1000", debit="1", credit="0")
    neither = LineDraft(account="1000")
    assert lines(both, neither) == [("INVALID_LINE", ("lines", "0")), ("INVALID_LINE", ("lines", "1"))]
    assert lines(debit("1000", "-1"), credit("4000", "-0.01")) == [
        ("INVALID_AMOUNT", ("lines", "0", "debit")),
        ("INVALID_AMOUNT", ("lines", "1", "credit")),
    ]


def test_functional_amounts() -> None:
    """Required on a foreign-currency line; absent or equal on a line in functional currency; never negative."""
    here = ("lines", "0", "functionalAmount")
    assert lines(debit("1000", "1", "EUR"), credit("4000", "1")) == [("FUNCTIONAL_AMOUNT_REQUIRED", here)]
    assert lines(debit("1000", "1", "EUR", "-1"), credit("4000", "1")) == [("INVALID_AMOUNT", here)]
    assert lines(debit("1000", "1", "USD", "2"), credit("4000", "1")) == [
        ("INVALID_AMOUNT", here),
        ("UNBALANCED", ("lines",)),
    ]
    assert lines(debit("1000", "1", "USD", "1.00"), credit("4000", "1", None, "1")) == []
    assert lines(debit("1000", "1", "EUR", "1.005"), credit("4000", "1")) == [("INVALID_AMOUNT", here)]
    assert lines(debit("1000", "1.5", "JPY", "1"), credit("4000", "1")) == [("INVALID_AMOUNT", ("lines", "0", "debit"))]


def test_either_amount_may_be_zero_and_not_both() -> None:
    assert lines(debit("1000", "0", "EUR", "5"), credit("4000", "5")) == []
    assert lines(debit("1000", "5", "EUR", "0"), credit("4000", "5", "EUR", "0")) == []
    assert lines(debit("1000", "0", "EUR", "0"), *PAIR) == [("INVALID_AMOUNT", ("lines", "0", "debit"))]
    assert lines(*PAIR, credit("1000", "0")) == [("INVALID_AMOUNT", ("lines", "2", "credit"))]


def test_what_has_to_sum_to_zero() -> None:
    """Functional amounts always; amounts too, where all lines share one currency, revaluation lines included."""
    unbalanced = [("UNBALANCED", ("lines",))]
    assert lines(debit("1000", "1"), credit("4000", "1.01")) == unbalanced
    assert lines(debit("1", "5", "EUR", "6"), credit("2", "4", "EUR", "6")) == unbalanced
    assert lines(debit("1", "5", "EUR", "6"), credit("2", "5", "EUR", "6")) == []
    assert lines(debit("1", "5", "EUR", "6"), credit("2", "5", "EUR", "5"), credit("3", "0", "EUR", "1")) == []
    assert lines(debit("1", "0", "EUR", "6"), credit("2", "5", "EUR", "6")) == unbalanced
    assert lines(debit("1", "5", "EUR", "6"), credit("2", "6")) == []
    assert lines(debit("1", "5", "EUR", "6"), credit("2", "900", "JPY", "6")) == []
    assert lines(debit("1", "5", "EUR", "6"), credit("2", "900", "JPY", "7")) == unbalanced


def test_sums_do_not_overflow() -> None:
    largest = format_minor(MAX_MINOR, 2)
    half = MAX_LINES // 2
    many = [debit("1", largest)] * half + [credit("2", largest)] * half
    checked, reasons = check(entry(LEDGER, "k", *many))
    assert checked is not None, reasons
    assert checked.total == half * MAX_MINOR
    assert lines(*many[:-1], credit("2", "9999999999999.99")) == [("UNBALANCED", ("lines",))]


def test_ranges_of_amounts_and_lines() -> None:
    beyond = format_minor(MAX_MINOR + 1, 2)
    assert lines(debit("1", beyond), credit("2", beyond)) == [
        ("AMOUNT_OUT_OF_RANGE", ("lines", "0", "debit")),
        ("AMOUNT_OUT_OF_RANGE", ("lines", "1", "credit")),
    ]
    assert refused(entry(YEN, "k", debit("1", "1" + "0" * 15), credit("2", "1" + "0" * 15))) == []
    assert lines(debit("1000", "1")) == [("TOO_FEW_LINES", ("lines",)), ("UNBALANCED", ("lines",))]
    assert lines(*[debit("1", "1")] * (MAX_LINES + 1)) == [("TOO_MANY_LINES", ("lines",))]


@pytest.mark.parametrize("currency", ["", "usd", "US", "USDT", "XXX", "XAU", "€", "US\x00", "\ud800"])
def test_unknown_currencies(currency: str) -> None:
    assert lines(debit("1", "1", currency, "1"), credit("4000", "1")) == [
        ("UNKNOWN_CURRENCY", ("lines", "0", "currency"))
    ]


@pytest.mark.parametrize("key", ["", "x" * 256, "a\x00", "\ud800"])
def test_invalid_keys(key: str) -> None:
    assert refused(entry(LEDGER, key, description="x")) == [("INVALID_KEY", ("idempotencyKey",))]
    assert refused(reversal(LEDGER, key, 1)) == [("INVALID_KEY", ("idempotencyKey",))]
    assert refused(entry(LEDGER, "é\n\t" * 85)) == []


@pytest.mark.parametrize(
    ("text", "fine"),
    [("tab\tnewline\n", True), ("€ 😀 é nbsp\u00a0", True), ("\x00", False), ("\x1b[0m", False), ("a\r\n", False),
     ("\x7f", False), ("a\x85", False), ("\ud83d", False), ("x" * 1000, True), ("x" * 1001, False)],
)  # fmt: skip
def test_texts(text: str, fine: bool) -> None:
    for draft in (entry(LEDGER, "k", description=text), reversal(LEDGER, "k", 1, description=text)):
        assert refused(draft) == ([] if fine else [("INVALID_TEXT", ("description",))])
    line = debit("1000", "1", description=text)
    assert lines(line, credit("4000", "1")) == ([] if fine else [("INVALID_TEXT", ("lines", "0", "description"))])


@pytest.mark.parametrize("blank", ["", " ", "\n\t "])
def test_a_description_is_not_blank(blank: str) -> None:
    assert ("INVALID_TEXT", ("description",)) in refused(entry(LEDGER, "k", description=blank))
    assert ("INVALID_TEXT", ("description",)) in refused(reversal(LEDGER, "k", 1, description=blank))


def test_lengths_of_codes() -> None:
    long, fine = "x" * 256, "x" * 255
    odd = debit(long, "1", tax_code=long, dimensions=(("a", long),))
    assert lines(odd, credit("4000", "1"), journal=long, reference=long) == [
        ("INVALID_TEXT", ("journal",)),
        ("INVALID_TEXT", ("reference",)),
        ("INVALID_TEXT", ("lines", "0", "account")),
        ("INVALID_TEXT", ("lines", "0", "taxCode")),
        ("INVALID_TEXT", ("lines", "0", "dimensions", "0", "value")),
    ]
    good = debit(fine, "1", tax_code=fine, dimensions=(("a", fine),))
    assert lines(good, credit("4000", "1"), journal=fine, reference=fine) == []


@pytest.mark.parametrize(
    ("dimensions", "where"),
    [
        ((("Team", "x"),), ("0", "name")),
        ((("1a", "x"),), ("0", "name")),
        ((("", "x"),), ("0", "name")),
        ((("a-b", "x"),), ("0", "name")),
        ((("é", "x"),), ("0", "name")),
        ((("a" * 64, "x"),), ("0", "name")),
        ((("a\n", "x"),), ("0", "name")),
        ((("a", "x"), ("a", "x")), ("1", "name")),
        (tuple((f"d{n}", "x") for n in range(17)), ()),
    ],
)
def test_invalid_dimensions(dimensions: tuple[tuple[str, str], ...], where: tuple[str, ...]) -> None:
    draft = debit("1000", "1", dimensions=dimensions)
    assert lines(draft, credit("4000", "1")) == [("INVALID_DIMENSION", ("lines", "0", "dimensions", *where))]


def test_sixteen_dimensions_are_fine() -> None:
    sixteen = tuple((f"d_{n}" + "x" * 55, "") for n in range(16))
    assert lines(debit("1000", "1", dimensions=sixteen), credit("4000", "1")) == []


@pytest.mark.parametrize("day", [date(1, 1, 1), date(1899, 12, 31), date(2200, 1, 1), date(9999, 12, 31)])
def test_dates_out_of_range(day: date) -> None:
    assert refused(entry(LEDGER, "k", on=day, document_date=day)) == [
        ("INVALID_DATE", ("effectiveDate",)),
        ("INVALID_DATE", ("documentDate",)),
    ]
    assert refused(reversal(LEDGER, "k", 1, day)) == [("INVALID_DATE", ("effectiveDate",))]


@pytest.mark.parametrize("sequence", [0, -1, 2**63, 10**30])
def test_a_reversal_of_a_sequence_that_cannot_be(sequence: int) -> None:
    assert refused(reversal(LEDGER, "k", sequence)) == [("UNKNOWN_ENTRY", ("sequence",))]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**6)), min_size=2, max_size=6))
def test_unbalanced_is_refused_and_balanced_is_not(stated: list[tuple[bool, int]]) -> None:
    """The rule against its definition, over arbitrary lines in one currency."""
    made = [(debit if side else credit)("1000", format_minor(minor, 2)) for side, minor in stated]
    net = sum(minor if side else -minor for side, minor in stated)
    assert lines(*made) == ([] if net == 0 else [("UNBALANCED", ("lines",))])


@given(st.data())
def test_anything_gets_an_answer(data: st.DataObject) -> None:
    """Whatever texts, dates and counts a draft holds: a checked entry or reasons, never an exception."""
    text = st.one_of(
        st.text(max_size=5), st.sampled_from(["1", "0", "1.00", "-1", "9" * 40, "USD", "EUR", "\ud800", "\x00"])
    )
    maybe = st.one_of(st.none(), text)
    line = st.builds(
        LineDraft, account=text, debit=maybe, credit=maybe, currency=maybe, functional_amount=maybe, description=maybe,
        tax_code=maybe, dimensions=st.lists(st.tuples(text, text), max_size=3).map(tuple),
    )  # fmt: skip
    more = data.draw(st.fixed_dictionaries({"description": text, "journal": maybe, "reference": maybe}))
    stated = data.draw(st.lists(line, min_size=1, max_size=4))
    checked, reasons = check(entry(LEDGER, data.draw(text), *stated, on=data.draw(st.dates()), **more))
    assert (checked is None) == bool(reasons)
    assert all(isinstance(reason, Reason) for reason in reasons)
