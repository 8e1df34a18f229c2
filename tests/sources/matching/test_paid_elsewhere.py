"""Invoices of which something was paid or credited where the bank is not, refunds in part, payment runs, and two companies' books."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from sources.documents import InvoiceStatus, PaymentType
from sources.matching.allocating import Unfit
from tests.sources.matching.test_deciding_people import confirm, ids, match, of_invoice
from tests.sources.matching.trade import Trade, credit_note, invoice, money, statement, trading
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import changed


def paid(external_id: str, amount: int, document: str | None = None, **more: Any) -> Any:
    """A payment that a source states; `bank_account`: straight to or from a bank."""
    values = {
        "fee": 0,
        "net": amount,
        "currency": "EUR",
        "invoice_external_id": document,
        "occurred_on": date(2026, 3, 10),
    }
    return Kit.payment(external_id, amount=amount, **{**values, **more})


# ---------------------------------------------------------------- a part elsewhere, the rest at the bank


async def test_the_rest_of_what_a_processor_took_a_part_of(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.company.state(paid("ch_1", 40_00, "inv-10001"), source="sales")
    await trade.company.look()
    await trade.moved(money("t1", 60_00, "INV-10001"))
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 60_00),)}
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_the_whole_amount_though_a_part_was_paid_is_too_much(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.company.state(paid("ch_1", 60_00, "inv-10001"), source="sales")
    await trade.company.look()
    await trade.moved(money("t1", 100_00, "INV-10001"))
    assert await trade.live() == {}
    assert await trade.proposed() == {"t1": [(("invoice", "inv-10001", 40_00), ("on_account", "", 60_00))]}


@pytest.mark.parametrize("order", [("note", "money"), ("money", "note")])
async def test_the_rest_of_what_the_source_credited(trade: Trade, order: tuple[str, str]) -> None:
    """The source applied its credit note: less is due, and the rest is paid."""
    await trade.invoiced(invoice("INV-10001", 100_00))
    note = changed(
        credit_note("CN-20001", 30_00), raw={"invoice": "inv-10001"}, amount_due=0, status=InvoiceStatus.PAID
    )
    for what in order:
        if what == "note":
            await trade.invoiced(changed(invoice("INV-10001", 100_00), amount_due=70_00), note)
        else:
            await trade.moved(money("t1", 70_00, "INV-10001"))
    if not await trade.live():
        await confirm(trade, (await ids(trade))[0])
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 70_00),)}
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_what_is_settled_by_a_credit_note_is_not_proposed_for_other_money(trade: Trade) -> None:
    note = changed(
        credit_note("CN-20001", 30_00), raw={"invoice": "inv-10001"}, amount_due=0, status=InvoiceStatus.PAID
    )
    await trade.invoiced(changed(invoice("INV-10001", 100_00), amount_due=70_00), note)
    await trade.moved(money("t1", 70_00, "INV-10001"))
    await trade.invoiced(changed(invoice("INV-10001", 100_00), amount_due=0, status=InvoiceStatus.PAID))
    await trade.moved(money("t2", 30_00, "thanks", day=date(2026, 3, 20)), money("t3", -30_00, "refund"))
    assert sorted(await trade.live()) == ["t1"]
    assert await trade.proposed() == {}


# ---------------------------------------------------------------- given back in part


async def test_a_credit_note_that_is_paid_out(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 100_00, "INV-10001"))
    await trade.invoiced(credit_note("CN-20001", 30_00))
    await trade.moved(money("t2", -30_00, "CN-20001", day=date(2026, 3, 20)))
    assert (await trade.live())["t2"] == (("invoice", "cn-20001", -30_00),)
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_money_given_back_before_its_credit_note(trade: Trade) -> None:
    """It is the party's until the note comes, which then takes it."""
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 100_00, "INV-10001"))
    await trade.moved(money("t2", -30_00, "Refund INV-10001", day=date(2026, 3, 20)))
    assert await trade.proposed() == {"t2": [(("on_account", "", -30_00),)]}
    await confirm(trade, (await ids(trade))[0])
    assert await trade.net("receivable") == 30_00
    await trade.invoiced(credit_note("CN-20001", 30_00, issue_date=date(2026, 3, 21)))
    assert await trade.proposed() == {"t2": [(("invoice", "cn-20001", -30_00),)]}
    await confirm(trade, (await ids(trade))[0])
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_part_of_a_credit_note_is_paid_out(trade: Trade) -> None:
    await trade.invoiced(credit_note("CN-20001", 30_00))
    await trade.moved(money("t1", -10_00, "CN-20001 partial refund"))
    assert await trade.live() == {"t1": (("invoice", "cn-20001", -10_00),)}
    assert await trade.open() == {"cn-20001": -20_00}


# ---------------------------------------------------------------- payment runs


def direct(external_id: str, amount: int, batch: str | None = "batch-1", **more: Any) -> Any:
    raw = {"BatchPayment": {"BatchPaymentID": batch}} if batch else {}
    values = {"type": PaymentType.PAYMENT, "bank_account": "1000", "reference": None, "description": f"R-{external_id}"}
    return paid(external_id, amount, None, **{**values, "raw": raw, **more})


async def test_payments_made_together_that_the_bank_books_as_one_sum(trade: Trade) -> None:
    """Proposed by the sum; certain where the text has a number of one of them."""
    run = [direct("p1", -40_00), direct("p2", -60_00, description="R-998877")]
    await trade.company.state(*run, direct("p3", -60_00, "batch-2"), source="sales")
    await trade.company.look()
    await trade.moved(money("t1", -100_00, "SUPPLIERS", name=None, day=date(2026, 3, 11)))
    assert await trade.live() == {}
    assert await trade.proposed() == {"t1": [(("payment", "p1", -40_00), ("payment", "p2", -60_00))]}
    await confirm(trade, (await ids(trade))[0])
    await trade.is_sound()


async def test_the_sum_comes_before_the_payments(trade: Trade) -> None:
    await trade.moved(money("t1", -100_00, "R-998877 and others", name=None, day=date(2026, 3, 11)))
    await trade.company.state(direct("p1", -40_00), direct("p2", -60_00, description="R-998877"), source="sales")
    await trade.company.look()
    assert await trade.live() == {"t1": (("payment", "p1", -40_00), ("payment", "p2", -60_00))}
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


@pytest.mark.parametrize("batches", [("batch-1", "batch-2"), (None, None)])
async def test_payments_that_were_not_made_together_are_no_sum(trade: Trade, batches: tuple[str | None, ...]) -> None:
    first, second = batches
    await trade.company.state(direct("p1", -40_00, first), direct("p2", -60_00, second), source="sales")
    await trade.company.look()
    await trade.moved(money("t1", -100_00, "R-p1 R-p2", name=None, day=date(2026, 3, 11)))
    assert await trade.matches() == []


# ---------------------------------------------------------------- two companies


async def test_another_companys_documents_are_none_of_this_ledgers(
    trade: Trade, database_url: str, owner_url: str
) -> None:
    """Neither found by number, amount or party, nor to be matched by hand; nothing is posted across ledgers."""
    async with trading(database_url, owner_url, code="acme-eu") as other:
        await other.company.state(invoice("INV-10001", 49_00), source="other-sales")
        await other.company.look()
        await trade.moved(money("t1", 49_00, "INV-10001"))
        assert await trade.matches() == []
        with pytest.raises(Unfit):
            await match(trade, "t1", of_invoice("inv-10001", 49_00))
        assert await other.net("receivable") == 49_00
        paid_there = statement("s9", money("t9", 49_00, "INV-10001", day=date(2026, 3, 20)))
        await other.company.state(paid_there, source="other-bank")
        await other.company.look()
        assert await other.live() == {"t9": (("invoice", "inv-10001", 49_00),)}
        assert await other.net("receivable") == 0
        assert await trade.net("bank_clearing") == -49_00
        await trade.is_sound()
