"""The books that matching is measured on: their truth adds up, every way of being awkward is in them, and a wrong match is noticed."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest

from benchmarks.bankbooks import AWKWARD, CASES, by_day, make
from benchmarks.beside import Plain, _compare
from benchmarks.matching import SEEN, UNSEEN
from benchmarks.matching_verdicts import judge, together, total

BOOKS = make(4_000, 5)


def test_the_same_seed_makes_the_same_books_and_another_one_others():
    assert make(300, 5) == make(300, 5)
    assert make(300, 5).known != make(300, 6).known
    assert not set(SEEN) & set(UNSEEN)


def test_all_cases_are_there_and_a_fifth_is_awkward():
    """Some ways make several transactions, so that a little more than a fifth of these is."""
    counts = Counter(each.case for each in BOOKS.known)
    assert counts.keys() == {"", *CASES}
    assert AWKWARD <= 1 - counts[""] / len(BOOKS.known) <= AWKWARD * 1.6
    assert len(BOOKS.known) >= 4_000


def test_the_truth_names_documents_that_there_are_and_what_is_not_awkward_adds_up():
    """Ids of documents and of transactions are unique, and transactions come in the order of their days."""
    ids = {("invoice", each.external_id) for each in (*BOOKS.early, *BOOKS.late)}
    ids |= {("payment", each.external_id) for each in BOOKS.payouts} | {
        ("payroll_run", each.external_id) for each in BOOKS.runs
    }
    assert len(ids) == BOOKS.documents
    assert len({each.transaction.external_id for each in BOOKS.known}) == len(BOOKS.known)
    for each in BOOKS.known:
        assert each.truth.keys() <= ids
        assert each.case or sum(each.truth.values()) == each.transaction.amount
    days = [each.transaction.booked_on for each in BOOKS.known]
    assert days == sorted(days)
    assert [each for week in by_day(BOOKS.known, 7) for each in week] == BOOKS.known


def row(name: str, status: str, document: str, amount: int, score: int = 90, kind: str = "invoice"):
    return {"external_id": name, "status": status, "score": score, "kind": kind, "document": document, "amount": amount}


async def test_a_match_is_right_only_with_just_the_documents_and_amounts():
    """Two right ones, one with another amount, one of another document, a best proposal that is right, and one of two that are as good."""
    known = [each for each in BOOKS.known if not each.case and next(iter(each.truth))[0] == "invoice"][:6]
    truths = [(each.transaction.external_id, *next(iter(each.truth.items()))) for each in known]
    rows = [
        *(row(name, "CERTAIN", key[1], amount) for name, key, amount in truths[:2]),
        row(truths[2][0], "CERTAIN", truths[2][1][1], truths[2][2] + 1),
        row(truths[3][0], "CERTAIN", truths[0][1][1], truths[3][2]),
        row(truths[4][0], "PROPOSED", truths[4][1][1], truths[4][2], 80),
        row(truths[4][0], "PROPOSED", truths[0][1][1], truths[4][2], 70),
        row(truths[5][0], "PROPOSED", truths[5][1][1], truths[5][2], 80),
        row(truths[5][0], "PROPOSED", truths[0][1][1], truths[5][2], 80),
    ]

    async def fetch(_sql):
        return rows

    verdicts = await judge(SimpleNamespace(fetch=fetch), known)
    found = total(verdicts)
    assert (found.lines, found.certain, found.right, found.proposed, found.first) == (6, 4, 2, 2, 1)
    assert [text.startswith("not awkward: ") for text in found.wrong] == [True, True]
    both = total(together([verdicts, verdicts]))
    assert (both.lines, both.certain, len(both.wrong)) == (12, 8, 4)


def test_a_field_that_tells_something_else_than_plain_sql_is_not_measured():
    """Nor is one that tells nothing."""
    plain = Plain("", [], lambda value: value["nodes"], list)
    _compare("it", plain, b'{"data": {"f": {"nodes": [1, 2]}}}', [1, 2])
    for answer, rows in ((b'{"data": {"f": {"nodes": [1, 2]}}}', [1, 3]), (b'{"data": {"f": {"nodes": []}}}', [])):
        with pytest.raises(RuntimeError, match="it: the field and plain SQL differ"):
            _compare("it", plain, answer, rows)
