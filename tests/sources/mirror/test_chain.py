"""The order of statements and their gaps."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sources.mirror.chain import Link, gaps, ordered

DAY = date(2026, 3, 2)


def link(name: str, opening: int | None, closing: int | None, day: date | None = DAY) -> Link:
    return Link(name, "EUR", day, opening, closing)


def names(*links: Link) -> list[str]:
    return [each.external_id for each in ordered(links)]


def test_statements_of_one_day_follow_each_other_by_their_balances():
    before = link("before", 0, 10, date(2026, 3, 1))
    assert names(link("a", 30, 5), link("b", 20, 30), link("c", 10, 20), before) == ["before", "c", "b", "a"]


def test_the_first_day_begins_where_no_other_statement_of_it_ends():
    assert names(link("a", 7, 9), link("b", 3, 7)) == ["b", "a"]


def test_a_statement_without_movements_does_not_break_its_day():
    before = link("before", 0, 10, date(2026, 3, 1))
    assert names(link("a", 10, 20), link("b", 10, 10), before) == ["before", "b", "a"]


def test_a_gap_names_both_statements_and_amounts():
    first, second = link("one", 0, 1000, date(2026, 3, 1)), link("two", 900, 950)
    assert gaps(ordered([second, first])) == {
        "two": "The statement that ends on 2026-03-02 opens with 9.00 EUR, but the one before it (2026-03-01) closes with"
        " 10.00 EUR: a statement may be missing or doubled."
    }


def test_nothing_is_said_where_a_balance_is_missing():
    assert gaps(ordered([link("a", 0, None, date(2026, 3, 1)), link("b", 5, 6)])) == {}


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_an_unbroken_chain_has_no_gaps_when_its_balances_differ(moves: list[int], random):
    """Whatever order the statements come in, as long as no balance repeats."""
    balances = [0]
    for number, move in enumerate(moves):
        balances.append(balances[-1] + 10 * (number + 1) + move)
    links = [link(str(n), opening, closing) for n, (opening, closing) in enumerate(pairwise(balances))]
    random.shuffle(links)
    chain = ordered(links)
    assert gaps(chain) == {}
    assert chain[-1].closing == balances[-1]
