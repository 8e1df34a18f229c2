"""A trial balance between any two days is the plain sum of the lines in Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.examples import examples
from tests.graph import CHART, Graph, open_graph
from tests.graph import entry as sale

FIRST = date(2025, 11, 26)
LAST = FIRST + timedelta(days=140)
DAYS = st.one_of(st.none(), st.dates(FIRST - timedelta(days=40), LAST + timedelta(days=40)))
QUERY = """query ($from: Date, $to: Date) { trialBalance(ledger: "us", from: $from, to: $to) {
    sequence totalDebit totalCredit rows { account { code } opening debit credit closing } } }"""
Posted = list[tuple[date, str, str, int]]


@pytest.fixture
async def kept(database_url: str) -> Any:
    """A graph and what is posted in it: (day, debited account, credited account, cents). Some accounts moved on early days
    alone, some on the last alone, one never, and foreign currency counts by what it is worth in the ledger's own."""
    dice = random.Random(5)
    codes = [code for code, _, _ in CHART]
    posted: Posted = []
    for number in range(120):
        day = FIRST + timedelta(days=dice.choice([0, 5, 35, 36, dice.randrange(141), 140]))
        chosen = [code for code in codes if code != "5000" and not (code == "3000" and day > date(2025, 12, 31))]
        debited, credited = dice.sample([code for code in chosen if code != "2000" or day == LAST], 2)
        posted.append((day, debited, credited, 10 ** (number % 8) + number))
    async with open_graph(database_url) as graph:
        await graph.found()
        entries = [entry(number, *posting) for number, posting in enumerate(posted)]
        found = await graph.post(*entries[:60]) + await graph.post(*entries[60:])
        assert {result["__typename"] for result in found} == {"EntryPosted"}, found
        yield graph, posted


def entry(number: int, day: date, debited: str, credited: str, cents: int) -> dict[str, Any]:
    amount = f"{cents // 100}.{cents % 100:02}"
    foreign = {"currency": "EUR", "functionalAmount": amount} if number % 3 == 0 else {}
    lines = [
        {"account": debited, "debit": "7.77" if foreign else amount, **foreign},
        {"account": credited, "credit": amount},
    ]
    return sale(f"k{number}", effectiveDate=day.isoformat(), lines=lines)


@given(since=DAYS, until=DAYS)
@example(since=LAST, until=LAST)
@example(since=date(2026, 1, 1), until=date(2026, 1, 1))
@example(since=date(2025, 12, 31), until=date(2026, 1, 1))
@example(since=FIRST, until=None)
@example(since=None, until=FIRST - timedelta(days=1))
@example(since=LAST + timedelta(days=1), until=None)
@examples(120)
async def test_between_two_days(kept: tuple[Graph, Posted], since: date | None, until: date | None) -> None:
    """Accounts that moved up to the last day, in order of code, also those that moved before the first day alone."""
    graph, posted = kept
    found = await graph.run(QUERY, {"from": since and since.isoformat(), "to": until and until.isoformat()})
    if since and until and since > until:
        assert found["errors"][0]["extensions"]["code"] == "INVALID_ARGUMENT"
        return
    rows = list(expected(posted, since, until))
    assert found["data"]["trialBalance"] == {
        "sequence": len(posted),
        "totalDebit": money(sum(row[2] for row in rows)),
        "totalCredit": money(sum(row[3] for row in rows)),
        "rows": [
            {
                "account": {"code": code},
                "opening": money(opening),
                "debit": money(debit),
                "credit": money(credit),
                "closing": money(opening + debit - credit),
            }
            for code, opening, debit, credit in rows
        ],
    }


def expected(posted: Posted, since: date | None, until: date | None) -> Iterator[tuple[str, int, int, int]]:
    """(account, opening, debit, credit) in order of code."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for day, debited, credited, cents in posted:
        if until is not None and day > until:
            continue
        before = since is not None and day < since
        sums[debited][0 if before else 1] += cents
        sums[credited][0 if before else 2] += -cents if before else cents
    for code, found in sorted(sums.items()):
        yield code, *found  # type: ignore[misc]


def money(cents: int) -> str:
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{rest:02}"
