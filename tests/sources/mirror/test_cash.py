"""Cash positions and bank transactions: what counts, until when, and what is odd."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sources.database.pool import Database
from sources.documents import BankAccount, BankStatement, BankTransactionStatus
from sources.mirror.cash import MAX_WARNINGS, cash_positions
from sources.mirror.queries import Within
from sources.mirror.refresh import Refresher
from sources.reading import Want
from tests.sources.mirror.kit import Kit, Script

COLUMNS = ("account", "currency", "booked", "pending", "available", "statement_date", "warnings")
IBAN = "DE02120300000000202051"


def day(number: int) -> date:
    return date(2026, 3, 1) + timedelta(days=number - 1)


class Reader:
    """Just enough of an operation's view of the database."""

    def __init__(self, connection: Any) -> None:
        self.fetch = connection.fetch


@pytest.fixture
def positions(db: Database, pull: Callable[..., Any], ledgers: Mapping[str, int]) -> Callable[..., Any]:
    """The positions as of a day, by currency, after reading these statements."""

    async def read(*statements: BankStatement, on: date) -> dict[str, dict[str, Any]]:
        await pull(Kit.bank(), Script(*Kit.pages(statements), lists_everything=True))
        return await ask(db, ledgers["acme-eu"], on)

    return read


async def ask(db: Database, ledger_id: int, on: date) -> dict[str, dict[str, Any]]:
    async with db.snapshot([ledger_id]) as connection:
        rows = await cash_positions(Reader(connection), Within([ledger_id], ["bank"]), on, Want(COLUMNS))  # type: ignore[arg-type]
    found = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    return {row["currency"]: row for row in found}


async def test_the_newest_closing_balance_and_what_was_booked_after_it(kit: Any, positions: Any) -> None:
    first = kit.statement(
        "s1", kit.moved("a", 500, day(2)), to_date=day(3), opening=0, closing=500, closing_available=450
    )
    second = kit.statement("s2", kit.moved("b", 70, day(5)), kit.moved("c", -20, day(8)), to_date=day(8))
    for on, booked, available in ((2, None, None), (3, 500, 450), (4, 500, 450), (5, 570, None), (9, 550, None)):
        found = (await positions(first, second, on=day(on)))["EUR"]
        assert (found["booked"], found["available"]) == (booked, available), on
    assert found["statement_date"] == str(day(3))
    assert found["pending"] == 0


async def test_an_account_without_balances_has_no_booked_position(kit: Any, positions: Any) -> None:
    found = await positions(kit.statement("s1", kit.moved("a", 500, day(2)), to_date=day(3)), on=day(9))
    assert (found["EUR"]["booked"], found["EUR"]["statement_date"]) == (None, None)


async def test_provisional_entries_count_until_a_statement_covers_their_date(
    kit: Any, positions: Any, owner: Any
) -> None:
    base = kit.statement("s1", to_date=day(3), opening=0, closing=100)
    report = kit.statement("r1", kit.moved("p1", 7, day(4)), kit.moved("p2", 9, day(5)), provisional=True)
    assert (await positions(base, report, on=day(9)))["EUR"]["booked"] == 116
    covering = kit.statement("s2", kit.moved("b", 7, day(4)), to_date=day(4), opening=100, closing=107)
    assert (await positions(base, report, covering, on=day(9)))["EUR"]["booked"] == 116
    rows = await owner.fetch("SELECT external_id FROM mirror.bank_transaction WHERE visible ORDER BY 1")
    assert [row[0] for row in rows] == ["b", "p2"]
    assert (await positions(base, report, on=day(9)))["EUR"]["booked"] == 116


async def test_pending_entries_are_kept_apart_and_superseded(kit: Any, positions: Any) -> None:
    pending = {"status": BankTransactionStatus.PENDING}
    first = kit.statement("s1", kit.moved("x", 40, day(3), **pending), to_date=day(3), opening=0, closing=100)
    report = kit.statement("r1", kit.moved("y", -5, None, value_date=day(9), **pending), provisional=True)
    found = (await positions(first, report, on=day(9)))["EUR"]
    assert (found["booked"], found["pending"]) == (100, 35)
    second = kit.statement("s2", kit.moved("z", 40, day(4)), to_date=day(4), opening=100, closing=140)
    found = (await positions(first, report, second, on=day(9)))["EUR"]
    assert (found["booked"], found["pending"]) == (140, -5)
    assert (await positions(first, report, second, on=day(3)))["EUR"]["pending"] == 40


async def test_a_transaction_of_two_statements_counts_once(kit: Any, positions: Any, owner: Any) -> None:
    daily = kit.statement("d", kit.moved("same", 5, day(4)), to_date=day(4))
    monthly = kit.statement("m", kit.moved("same", 5, day(4)), kit.moved("other", 5, day(4)), to_date=day(31))
    base = kit.statement("b", to_date=day(1), opening=0, closing=0)
    assert (await positions(base, daily, monthly, on=day(31)))["EUR"]["booked"] == 10
    assert await owner.fetchval("SELECT count(*) FROM mirror.bank_transaction WHERE visible") == 2
    assert (await positions(base, daily, on=day(31)))["EUR"]["booked"] == 5


async def test_a_corrected_statement_replaces_its_transactions(kit: Any, positions: Any, owner: Any) -> None:
    await positions(kit.statement("s", kit.moved("a", 5, day(2)), kit.moved("b", 6, day(2)), to_date=day(2)), on=day(9))
    await positions(kit.statement("s", kit.moved("b", 7, day(2)), to_date=day(2)), on=day(9))
    rows = await owner.fetch("SELECT external_id, amount, deleted_at IS NULL FROM mirror.bank_transaction ORDER BY 1")
    assert [tuple(row) for row in rows] == [("a", 5, False), ("b", 7, True)]


async def test_odd_statements_are_told_newest_first(kit: Any, positions: Any) -> None:
    first = kit.statement("s1", to_date=day(3), opening=0, closing=100, warnings=("It does not add up.",))
    second = kit.statement("s2", to_date=day(4), opening=90, closing=95)
    assert (await positions(first, second, on=day(3)))["EUR"]["warnings"] == ["It does not add up."]
    gap, sums = (await positions(first, second, on=day(4)))["EUR"]["warnings"]
    assert "opens with 0.90 EUR" in gap
    assert sums == "It does not add up."
    assert (
        len((await positions(first, kit.statement("s2", to_date=day(4), opening=100), on=day(4)))["EUR"]["warnings"])
        == 1
    )


async def test_warnings_are_bounded(kit: Any, positions: Any) -> None:
    many = [kit.statement(f"s{n}", to_date=day(n), warnings=(f"odd {n}",)) for n in range(1, 31)]
    warnings = (await positions(*many, on=day(31)))["EUR"]["warnings"]
    assert warnings[0] == "odd 30"
    assert warnings[-1] == f"{30 - MAX_WARNINGS} older warnings are not shown."
    assert len(warnings) == MAX_WARNINGS + 1


async def test_each_currency_of_an_account_is_a_position_of_its_own(kit: Any, positions: Any) -> None:
    dollars = BankAccount(external_id=IBAN, currency="USD", iban=IBAN)
    first = kit.statement("s1", kit.moved("f", 9, day(2), currency="CHF"), to_date=day(3), opening=0, closing=100)
    second = kit.statement("s2", account=dollars, to_date=day(3), opening=0, closing=250)
    found = await positions(first, second, on=day(9))
    assert {currency: row["booked"] for currency, row in found.items()} == {"EUR": 100, "CHF": None, "USD": 250}
    assert next(iter(found)) == "EUR"


# ---------------------------------------------------------------- against a naive computation

DAYS = st.one_of(st.none(), st.integers(1, 12).map(day))
CURRENCIES = st.sampled_from(["EUR", "EUR", "EUR", "USD"])


@st.composite
def _statements(draw: Any) -> list[BankStatement]:
    statements = []
    ends = draw(st.lists(st.integers(1, 12), unique=True, min_size=1, max_size=5))
    for number, end in enumerate([*ends, *draw(st.lists(DAYS, max_size=3))]):
        provisional = number >= len(ends)
        currency = draw(CURRENCIES)
        moved = [
            Kit.moved(
                draw(st.sampled_from([f"t{number}-{n}", f"shared-{n}" if not provisional else f"report-{n}"])),
                draw(st.integers(-500, 500)),
                draw(DAYS),
                value_date=draw(DAYS),
                currency=draw(st.sampled_from([currency, currency, "EUR"])),
                status=draw(st.sampled_from([BankTransactionStatus.BOOKED] * 3 + [BankTransactionStatus.PENDING])),
            )
            for n in range(draw(st.integers(0, 4)))
        ]
        statements.append(
            Kit.statement(
                f"s{number}",
                *{each.external_id: each for each in moved}.values(),
                account=BankAccount(external_id=IBAN, currency=currency, iban=IBAN),
                provisional=provisional,
                to_date=end if provisional else day(end),
                closing=draw(st.one_of(st.none(), st.integers(-1000, 1000))),
                closing_available=draw(st.one_of(st.none(), st.integers(-1000, 1000))),
            )
        )
    return statements


def _end(statement: BankStatement) -> date | None:
    dates = [each.booked_on or each.value_date for each in statement.transactions]
    return statement.to_date or max((each for each in dates if each), default=None)


def _naive(statements: Sequence[BankStatement], on: date) -> dict[str, tuple[Any, ...]]:
    """Booked, pending, available and statement date of each currency, as the module's first lines say."""
    firm = [each for each in statements if not each.provisional]
    until: dict[str, date] = {}
    for each in firm:
        until[each.account.currency] = max(until.get(each.account.currency, date.min), _end(each) or date.min)
    best: dict[str, tuple[Any, BankStatement, Any]] = {}
    for number, statement in enumerate(statements):
        for moved in statement.transactions:
            rank = (not statement.provisional, _end(statement) or date.min, number)
            if moved.external_id not in best or best[moved.external_id][0] < rank:
                best[moved.external_id] = (rank, statement, moved)
    counted = []
    for _, statement, moved in best.values():
        dated = moved.booked_on or moved.value_date or _end(statement)
        covered = dated is not None and dated <= until.get(statement.account.currency, date.min)
        if not (statement.provisional and covered):
            counted.append((statement, moved, dated))
    currencies = {each.account.currency for each in statements} | {moved.currency for _, moved, _ in counted}
    found = {}
    for currency in currencies:
        past = [each for each in firm if each.account.currency == currency and _end(each) and _end(each) <= on]
        base = max((each for each in past if each.closing is not None), key=_end, default=None)
        booked = [
            moved.amount
            for _, moved, dated in counted
            if base and moved.currency == currency and moved.status == "BOOKED" and dated and _end(base) < dated <= on
        ]
        pending = 0
        for statement, moved, dated in counted:
            later = [
                each
                for each in firm
                if each.account.currency == statement.account.currency
                and _end(statement)
                and _end(statement) < _end(each) <= on
            ]
            in_time = dated is None or dated <= on
            if (
                moved.currency == currency
                and moved.status == "PENDING"
                and in_time
                and (statement.provisional or not later)
            ):
                pending += moved.amount
        found[currency] = (
            base.closing + sum(booked) if base else None,
            pending,
            base.closing_available if base and not booked else None,
            str(_end(base)) if base else None,
        )
    return found


async def test_positions_are_what_a_naive_computation_finds(
    db: Database, ledgers: Mapping[str, int], refresher: Callable[..., Refresher]
) -> None:
    script = Script(lists_everything=True)
    service = refresher((Kit.bank(), script))
    seen: dict[str, int] = defaultdict(int)

    async def check(statements: list[BankStatement], split: int, on: date) -> None:
        script.pages = Kit.pages(statements[:split], statements[split:])
        assert not (await service.ensure(["bank"], 0))["bank"].stale
        found = await ask(db, ledgers["acme-eu"], on)
        shown = ("booked", "pending", "available", "statement_date")
        assert {currency: tuple(row[name] for name in shown) for currency, row in found.items()} == _naive(
            statements, on
        )
        seen["booked"] += any(row["booked"] is not None for row in found.values())

    loop = asyncio.get_running_loop()

    @settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(_statements(), st.integers(0, 8), st.integers(1, 13).map(day))
    def explore(statements: list[BankStatement], split: int, on: date) -> None:
        asyncio.run_coroutine_threadsafe(check(statements, split, on), loop).result(timeout=60)

    await asyncio.to_thread(explore)
    assert seen["booked"] > 10
