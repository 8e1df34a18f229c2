"""Trial balances between any two days, and balances of accounts on any day, are plain sums of the lines in Python."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.examples import examples
from tests.graph import CHART, Graph, open_graph
from tests.graph import entry as sale

FIRST = date(2024, 5, 17)
LAST = FIRST + timedelta(days=700)
CLOSED = date(2025, 12, 31)
DAYS = st.one_of(
    st.none(),
    st.dates(FIRST - timedelta(days=400), LAST + timedelta(days=400)),
    st.sampled_from([date(1, 1, 1), date(1900, 1, 1), date(2199, 12, 31), date(9999, 12, 31)]),
)
QUERY = """query ($from: Date, $to: Date) { trialBalance(ledger: "us", from: $from, to: $to) {
    sequence totalDebit totalCredit rows { account { code } opening debit credit closing } } }"""
BALANCES = """query ($day: Date) { accounts(ledger: "us") { nodes {
    code functionalBalance(asOf: $day) balances(asOf: $day) { currency debit credit net functionalNet } } } }"""
Posted = list[tuple[date, str, str, int, bool]]


@pytest.fixture
async def kept(database_url: str) -> Any:
    """A graph and what is posted in it: (day, debited account, credited account, cents, whether the debit is in EUR). Some
    accounts moved on early days alone, some on the last alone, one only by what is worth nothing, one never, and foreign
    currency counts by what it is worth in the ledger's own."""
    dice = random.Random(5)
    codes = [code for code, _, _ in CHART if code not in ("5000", "1100")]
    posted: Posted = [(date(2025, 9, 9), "1100", "1000", 0, True)]
    for number in range(1, 160):
        day = FIRST + timedelta(days=dice.choice([0, 5, 35, 36, dice.randrange(701), dice.randrange(701), 700]))
        chosen = [
            code for code in codes if not (code == "3000" and day > CLOSED) and not (code == "2000" and day < LAST)
        ]
        debited, credited = dice.sample(chosen, 2)
        posted.append((day, debited, credited, 10 ** (number % 8) + number, number % 3 == 0))
    async with open_graph(database_url) as graph:
        await graph.found()
        entries = [entry(number, *posting) for number, posting in enumerate(posted)]
        found = await graph.post(*entries[:60]) + await graph.post(*entries[60:])
        assert {result["__typename"] for result in found} == {"EntryPosted"}, found
        yield graph, posted


def entry(number: int, day: date, debited: str, credited: str, cents: int, abroad: bool) -> dict[str, Any]:
    amount = money(cents)
    foreign = {"currency": "EUR", "functionalAmount": amount} if abroad else {}
    worthless = {"currency": "JPY", "functionalAmount": "0"} if cents == 0 else {}
    lines = [
        {"account": debited, "debit": "7.77" if foreign else amount, **foreign},
        {"account": credited, "credit": "1" if worthless else amount, **worthless},
    ]
    return sale(f"k{number}", effectiveDate=day.isoformat(), lines=lines)


@given(since=DAYS, until=DAYS)
@example(since=LAST, until=LAST)
@example(since=date(2026, 1, 1), until=date(2026, 1, 1))
@example(since=date(2025, 12, 31), until=date(2026, 1, 1))
@example(since=FIRST, until=None)
@example(since=None, until=FIRST - timedelta(days=1))
@example(since=LAST + timedelta(days=1), until=None)
@example(since=None, until=date(2025, 9, 8))
@example(since=date(2025, 9, 10), until=date(2025, 9, 30))
@example(since=date(2025, 2, 15), until=LAST - timedelta(days=1))
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
    for day, debited, credited, cents, _ in posted:
        if until is not None and day > until:
            continue
        before = since is not None and day < since
        sums[debited][0 if before else 1] += cents
        sums[credited][0 if before else 2] += -cents if before else cents
    for code, found in sorted(sums.items()):
        yield code, *found  # type: ignore[misc]


@given(day=DAYS)
@example(day=date(2025, 9, 8))
@example(day=date(2025, 9, 9))
@example(day=CLOSED)
@examples(60)
async def test_on_a_day(kept: tuple[Graph, Posted], day: date | None) -> None:
    """Of each account one row for each currency that has lines up to the day, also of lines that are worth nothing."""
    graph, posted = kept
    found = await graph.run(BALANCES, {"day": day and day.isoformat()})
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for on, debited, credited, cents, abroad in posted:
        if day is None or on <= day:
            one, other = sums[debited, "EUR" if abroad else "USD"], sums[credited, "USD" if cents else "JPY"]
            one[0] += 777 if abroad else cents
            other[1] += cents or 1
            one[2], other[2] = one[2] + cents, other[2] - cents
    for account in found["data"]["accounts"]["nodes"]:
        mine = [(currency, sums[code, currency]) for code, currency in sorted(sums) if code == account["code"]]
        assert account["functionalBalance"] == money(sum(worth for _, (_, _, worth) in mine))
        assert account["balances"] == [
            {
                "currency": currency,
                "debit": in_(currency, debit),
                "credit": in_(currency, credit),
                "net": in_(currency, debit - credit),
                "functionalNet": money(worth),
            }
            for currency, (debit, credit, worth) in mine
        ]


async def test_a_sum_beyond_64_bits_is_told_never_wrong(database_url: str, owner_url: str) -> None:
    """Two years that fit, of an account whose sum does not: its balance is exact, the trial balance says what to ask for."""
    async with open_graph(database_url) as graph:
        await graph.found()
        await graph.post(*[entry(year, date(year, 1, 1), "1000", "4000", 100, False) for year in (2025, 2026)])
        owner = await asyncpg.connect(owner_url)
        await owner.execute("UPDATE ledger.balance_year SET functional_debit = 9223372036854775807 WHERE debit > 0")
        await owner.close()
        found = await graph.run(QUERY)
        assert found["errors"][0]["extensions"]["code"] == "LIMIT_EXCEEDED"
        found = await graph.run('{ account(ledger: "us", code: "1000") { functionalBalance } }')
        assert found["data"]["account"]["functionalBalance"] == money(2 * 9223372036854775807)


def in_(currency: str, minor: int) -> str:
    return str(minor) if currency == "JPY" else money(minor)


def money(cents: int) -> str:
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{rest:02}"
