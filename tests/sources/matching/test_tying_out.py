"""What is open, with what parties have on account, is the balance of the control account: on every day, in every currency."""

from __future__ import annotations

import random
from datetime import date
from typing import Any

import pytest

from sources.connectors.xero_accounting_payments import UNSTATED
from sources.documents import InvoiceStatus, Party
from sources.ledger.model import ReversalDraft
from sources.matching import open_sql
from sources.pipeline import reconciliation
from sources.pipeline.control_accounts import tie_subledgers
from sources.pipeline.rulebook import RuleBook
from tests.sources.matching.open_days import noted
from tests.sources.matching.trade import Trade, credit_note, invoice, money, void
from tests.sources.matching.tying import History, Tie, ties
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import changed


@pytest.mark.parametrize("seed", range(4))
async def test_open_items_of_every_day_are_the_control_account(trade: Trade, seed: int) -> None:
    """Whatever was issued, paid, paid in advance, credited, allocated, voided, restated or unmatched, and whichever of it came late."""
    history = History(trade, random.Random(seed))
    await history.begin()
    await history.issue()
    await history.allocate()
    for number in range(32):
        await history.step()
        if number % 4 == 3:
            found = await ties(trade)
            assert [each for each in found if each.items != each.books][:3] == []
            assert [each for each in found if each.unexplained][:3] == []
    assert {each.currency for each in found if each.books} == {"EUR", "USD"}
    assert any(each.prepaid for each in history.documents)
    assert await trade.company.issues() == {}


@pytest.mark.parametrize("seed", range(4, 7))
async def test_what_a_source_says_before_the_books_know_is_told_apart(trade: Trade, seed: int) -> None:
    """Sources say that invoices are paid, and nobody knows by what, or not yet."""
    history = History(trade, random.Random(seed))
    await history.begin()
    await history.issue()
    await history.promise()
    await trade.company.look()
    assert any(each.unexplained for each in await ties(trade))
    for number in range(32):
        await history.step("promise", "promise")
        if number % 4 == 3:
            found = await ties(trade)
            assert [each for each in found if each.items + each.unexplained != each.books][:3] == []


async def on(trade: Trade, *days: date) -> list[tuple[int, int, int]]:
    """(open and on account, unexplained, books) of receivables in EUR; zeros where there is nothing."""
    found = {each.on: each for each in await ties(trade) if (each.direction, each.currency) == ("RECEIVABLE", "EUR")}
    empty = Tie("", "", date.min, 0, 0, 0)
    return [(each.items, each.unexplained, each.books) for each in (found.get(day, empty) for day in days)]


async def test_a_void_invoice_is_open_until_the_day_of_its_reversal(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.invoiced(
        invoice("INV-10001", 100_00, **void(invoice("INV-10001", 100_00)), raw={"voided_on": "2026-03-20"})
    )
    days = [date(2026, 2, 28), date(2026, 3, 1), date(2026, 3, 19), date(2026, 3, 20)]
    assert await on(trade, *days) == [(0, 0, 0), (100_00, 0, 100_00), (100_00, 0, 100_00), (0, 0, 0)]


async def test_a_payment_before_its_invoice_is_on_account_until_then(trade: Trade) -> None:
    party = Party(name="Globex GmbH", external_id="globex-gmbh")
    paid: dict[str, Any] = {
        "amount": 100_00,
        "fee": 0,
        "net": 100_00,
        "currency": "EUR",
        "invoice_external_id": "inv-10001",
        "party": party,
    }
    await trade.company.state(Kit.payment("p1", occurred_on=date(2026, 2, 20), **paid), source="sales")
    await trade.company.look()
    days = [date(2026, 2, 19), date(2026, 2, 20), date(2026, 3, 1)]
    assert await on(trade, *days) == [(0, 0, 0), (-100_00, 0, -100_00), (-100_00, 0, -100_00)]
    await trade.invoiced(invoice("INV-10001", 100_00, amount_due=0, status=InvoiceStatus.PAID))
    assert await on(trade, *days) == [(0, 0, 0), (-100_00, 0, -100_00), (0, 0, 0)]


async def test_what_waits_to_be_posted_is_open_and_not_in_the_books(trade: Trade) -> None:
    """Nobody has posted it yet; and who reverses its entry by hand leaves it open."""
    await trade.company.look()
    await trade.company.state(invoice("INV-10001", 100_00), source="sales")
    day = date(2026, 3, 10)
    assert await on(trade, day) == [(100_00, -100_00, 0)]
    await trade.company.look()
    assert await on(trade, day) == [(100_00, 0, 100_00)]
    sequence = await trade.company.owner.fetchval("SELECT sequence FROM pipeline.posting")
    by_hand = ReversalDraft(
        ledger=trade.company.ledger,
        idempotency_key="r",
        sequence=sequence,
        effective_date=date(2026, 3, 5),
        posted_by="ann",
    )
    await trade.company.poster.post([by_hand])
    await trade.company.look()
    assert await on(trade, date(2026, 3, 4), day) == [(100_00, 0, 100_00), (0, 0, 0)]
    assert await noted(trade) == 0


async def test_other_control_accounts_are_looked_at_anew(trade: Trade) -> None:
    """Rules that name another account as receivable: what stands on the old one is no more on the control account."""
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 40_00, "INV-10001 part"))
    day = date(2026, 3, 20)
    assert await on(trade, day) == [(60_00, 0, 60_00)]
    await trade.company.owner.execute(
        "SELECT matching.keep_control_accounts($1, '{}', '{}')", trade.company.ledger.ledger_id
    )
    await trade.company.look()
    assert await on(trade, day) == [(60_00, 0, 60_00)]


async def test_what_a_source_allocates_is_on_account_no_more(trade: Trade) -> None:
    """An advance and a credit note, and then an invoice that they were set off against: none of them is booked anew."""
    party = Party(name="Globex GmbH", external_id="globex-gmbh")
    paid: dict[str, Any] = {"amount": 7_00, "fee": 0, "net": 7_00, "currency": "EUR", "invoice_external_id": None}
    advance = Kit.payment("p1", party=party, bank_account=UNSTATED, occurred_on=date(2026, 3, 4), **paid)
    await trade.company.state(advance, source="sales")
    days = [date(2026, 3, 1), date(2026, 3, 3), date(2026, 3, 4)]
    sale, note = invoice("INV-10001", 100_00), credit_note("CN-10001", 20_00, issue_date=date(2026, 3, 3))
    await trade.invoiced(sale, note)
    assert await on(trade, *days) == [(100_00, 0, 100_00), (80_00, 0, 80_00), (73_00, 0, 73_00)]
    await trade.invoiced(changed(sale, prepaid=17_00, amount_due=83_00), changed(note, prepaid=10_00, amount_due=10_00))
    assert await on(trade, *days) == [(100_00, 0, 100_00), (80_00, 0, 80_00), (73_00, 0, 73_00)]
    assert await owed(trade, days[-1]) == {"inv-10001": 83_00, "cn-10001": -10_00}
    assert await differing(trade) == []
    await trade.moved(money("t1", 83_00, "INV-10001"))
    assert await owed(trade, date(2026, 3, 20)) == {"cn-10001": -10_00}
    assert await differing(trade) == []


async def test_what_was_prepaid_and_nobody_knows_by_what_is_a_difference(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00, prepaid=30_00, amount_due=70_00))
    assert await differing(trade) == [("globex-gmbh", 70_00, 100_00)]
    await trade.invoiced(invoice("INV-10001", 100_00))
    assert await differing(trade) == []


async def owed(trade: Trade, day: date) -> dict[str, int]:
    """What is open of receivables, by document."""
    statement = f"SELECT o.external_id, o.open FROM ({open_sql.on_day('$1', '$2', '$3')}) AS o WHERE o.open <> 0"
    return dict(await trade.company.speaking.fetch(statement, trade.company.ledger.ledger_id, "RECEIVABLE", day))


async def differing(trade: Trade) -> list[tuple[str | None, int, int]]:
    """(party, open, balance) of parties of which the control accounts have something else."""
    company, book = trade.company, RuleBook()
    async with reconciliation.reading(company.database, company.ledger.ledger_id) as connection:
        report = await reconciliation.open_report(connection, company.ledger.ledger_id, "sales")
        standing = await book.standing(connection, company.ledger.ledger_id, report.books.rules)
        found = await tie_subledgers(connection, company.ledger.ledger_id, standing, date(2026, 12, 31))
    return [(each.party, each.open, each.balance) for subledger in found for each in subledger.parties]
