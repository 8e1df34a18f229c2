"""A bank account that two sources tell of counts once, wherever something is summed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest

from sources.documents import BankAccount
from sources.mirror.cash import cash_positions
from sources.mirror.queries import Within
from sources.pipeline.bank_reconciliation import BankReconciliation, reconcile
from sources.pipeline.reconciliation import reading
from sources.pipeline.rulebook import RuleBook
from sources.reading import Want
from tests.graph import open_graph
from tests.sources.matching.trade import BANK, Trade, money, trading
from tests.sources.mirror.kit import Kit, Script
from tests.sources.pipeline.company import CUTOVER
from tests.sources.pipeline.test_bank_days import state_of

GROUPED = "DE02 1203 0000 0000 2020 51"


@pytest.fixture
async def trade(database_url: str, owner_url: str) -> AsyncIterator[Trade]:
    async with trading(database_url, owner_url) as found:
        yield found


async def told(
    trade: Trade,
    source: str,
    *moved: tuple[int, int],
    opening: int | None = None,
    posts: bool = True,
    account: str = BANK,
) -> None:
    """A statement of (day in March, amount); its balances where it has an `opening`. `posts`: whether the pipeline looks."""
    days = [date(2026, 3, day) for day, _ in moved]
    closing = None if opening is None else opening + sum(amount for _, amount in moved)
    document = Kit.statement(
        f"{source}-{days[0]}", *(money(f"{source}{on.day}", amount, day=on) for on, (_, amount) in zip(days, moved, strict=True)),
        account=BankAccount(external_id=account.replace(" ", ""), currency="EUR", iban=account), from_date=min(days), to_date=max(days),
        opening=opening, closing=closing,
    )  # fmt: skip
    await trade.company.state(document, source=source)
    if posts:
        await trade.company.look()


async def the_account(trade: Trade, day: int) -> BankReconciliation:
    """The one reconciliation as of a day of March, which adds up."""
    async with reading(trade.company.database, trade.company.ledger.ledger_id) as connection:
        standing = await RuleBook().standing(connection, trade.company.ledger.ledger_id, 2)
        (each,) = await reconcile(connection, trade.company.ledger.ledger_id, standing, date(2026, 3, day))
    if each.bank is not None and each.brought_forward is not None:
        assert each.bank - each.brought_forward - each.missing + each.in_transit - each.outstanding == each.books
    return each


async def counted(trade: Trade, day: int, *sources: str) -> dict[str, tuple[int | None, str | None]]:
    """By source: what it says is booked, and by whom the account counts."""
    async with reading(trade.company.database, trade.company.ledger.ledger_id) as connection:
        reader: Any = connection
        within = Within([trade.company.ledger.ledger_id], list(sources))
        rows = await cash_positions(
            reader, within, date(2026, 3, day), Want(("source", "booked", "counted_by", "warnings"))
        )
    for source, _, by, warnings in rows:
        assert [by in warning for warning in warnings] == ([] if by is None else [True]), source
    return {row[0]: (row[1], row[2]) for row in rows}


async def test_a_second_source_changes_nothing(trade: Trade) -> None:
    await told(trade, "camt", (2, 50_00), (3, -20_00), opening=100_00)
    alone = await the_account(trade, 9)
    assert (alone.bank, alone.brought_forward, alone.missing, alone.books) == (130_00, 100_00, 0, 30_00)
    await told(trade, "csv", (2, 50_00), (3, -20_00), opening=100_00, account=GROUPED)
    assert await trade.company.issues() == {("POSSIBLE_DUPLICATE", "csv2"): True, ("POSSIBLE_DUPLICATE", "csv3"): True}
    assert await the_account(trade, 9) == alone
    assert await counted(trade, 9, "camt", "csv") == {"camt": (130_00, None), "csv": (130_00, "camt")}


async def test_of_those_asked_one_row_counts(trade: Trade) -> None:
    await told(trade, "camt", (2, 50_00), opening=100_00)
    await told(trade, "csv", (2, 50_00), opening=100_00)
    assert await counted(trade, 9, "csv") == {"csv": (150_00, None)}


async def test_who_posts_later_days_takes_over_from_his_first_day(trade: Trade) -> None:
    await told(trade, "old", (2, 50_00), (3, 10_00), opening=100_00)
    await told(trade, "new", (3, 10_00), (5, 7_00), opening=150_00)
    for day, bank, books, by in ((2, None, 50_00, "old"), (4, 160_00, 60_00, "old"), (6, 167_00, 67_00, "new")):
        each = await the_account(trade, day)
        assert (each.bank, each.books, each.missing, each.transaction_count) == (bank, books, 0, 0), day
        assert [held.source for held in each.held] == [by]
        if bank is not None:
            assert each.brought_forward == 100_00


async def test_what_nobody_has_posted_is_not_in_the_books_once(trade: Trade) -> None:
    await told(trade, "a", (2, 50_00), posts=False)
    await told(trade, "b", (2, 50_00), (3, 5_00), opening=100_00, posts=False)
    each = await the_account(trade, 9)
    assert [held.source for held in each.held] == ["b"]
    assert (each.bank, each.missing, each.brought_forward) == (155_00, 55_00, 100_00)
    assert [(row["source"], row["bank"]) for row in each.transactions] == [("b", 50_00), ("b", 5_00)]


async def test_a_day_that_only_the_other_tells_of_counts(trade: Trade) -> None:
    await told(trade, "a", (2, 50_00), opening=0)
    await told(trade, "b", (2, 50_00), (3, 5_00), posts=False)
    each = await the_account(trade, 9)
    assert [(row["source"], row["bank"]) for row in each.transactions] == [("b", 5_00)]
    assert (each.missing, [held.source for held in each.held]) == (5_00, ["a"])


async def test_who_posts_without_a_balance_leaves_it_unknown(trade: Trade) -> None:
    await told(trade, "csv", (2, 50_00))
    await told(trade, "stale", (1, 1_00), opening=0, posts=False)
    assert (await the_account(trade, 9)).bank is None


async def test_a_known_balance_counts_in_cash_positions_whoever_posts(trade: Trade) -> None:
    await told(trade, "csv", (2, 50_00))
    await told(trade, "camt", (2, 50_00), opening=100_00, posts=False)
    assert await counted(trade, 9, "camt", "csv") == {"camt": (150_00, None), "csv": (None, "camt")}


async def test_accounts_of_their_own_are_counted_each(trade: Trade) -> None:
    await told(trade, "a", (2, 50_00), opening=0)
    await told(trade, "b", (2, 5_00), opening=0, account="DE89370400440532013000")
    assert await counted(trade, 9, "a", "b") == {"a": (50_00, None), "b": (5_00, None)}


async def test_the_graph_tells_by_whom_it_counts_and_lists_nothing_twice(trade: Trade, database_url: str) -> None:
    company, sources = trade.company, []
    for name in ("camt", "csv"):
        document = Kit.statement(
            name, money(name, 50_00, day=date(2026, 3, 2)), to_date=date(2026, 3, 2), opening=100_00, closing=150_00,
            account=BankAccount(external_id=BANK, currency="EUR", iban=BANK),
        )  # fmt: skip
        await state_of(company, name, document)
        options = {"path": name}
        sources.append((Kit.bank(name=name, ledger=company.ledger.code, options=options, post_from=CUTOVER), Script()))
    query = """{ bankAndBooks(ledger: "acme-us") { bankOnlyTotals { count amount } reconciliations(asOf: "2026-03-31") {
            bankBalance bankAccounts { bankAccount { source { name } } } } }
        unmatchedTransactions(ledger: "acme-us") { totalCount }
        cashPositions(asOf: "2026-03-31") { nodes { bankAccount { source { name } } booked countedBy warnings } } }"""
    async with open_graph(database_url, sources=sources) as graph:
        answer = await graph.data(query)
        alone = await graph.data("{ cashPositions { nodes { countedBy } } }")
    assert answer["bankAndBooks"]["bankOnlyTotals"] == [{"count": 1, "amount": "50.00"}]
    assert answer["unmatchedTransactions"]["totalCount"] == 1
    (found,) = answer["bankAndBooks"]["reconciliations"]
    assert found["bankBalance"] == "150.00"
    assert found["bankAccounts"] == [{"bankAccount": {"source": {"name": "camt"}}}]
    first, second = answer["cashPositions"]["nodes"]
    assert (first["countedBy"], first["warnings"]) == (None, [])
    warning = "The source camt tells of the same account, which counts by it: leave this one out of sums."
    assert (second["countedBy"], second["warnings"], second["booked"]) == ("camt", [warning], "150.00")
    assert alone["cashPositions"]["nodes"] == [{"countedBy": None}, {"countedBy": "camt"}]
