"""Money at the bank through the pipeline to entries: what is certain is applied, and nothing is left on the clearing account."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from tests.sources.matching.trade import Trade, bill, credit_note, invoice, money, payout, payroll, void


async def test_an_invoice_that_is_named_and_paid_exactly_is_applied(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-2026-00123", 119_00))
    await trade.moved(money("t1", 119_00, "Payment of inv 2026 / 00123, thank you"))
    assert await trade.live() == {"t1": (("invoice", "inv-2026-00123", 119_00),)}
    assert await trade.net("bank_clearing") == await trade.net("receivable") == 0
    assert (await trade.company.nets())["1000"] == 119_00
    assert await trade.open() == {}
    await trade.is_sound()


async def test_money_that_is_there_first_is_matched_when_the_invoice_comes(trade: Trade) -> None:
    await trade.moved(money("t1", 119_00, "INV-2026-00123"))
    assert await trade.matches() == []
    assert await trade.net("bank_clearing") == -119_00
    await trade.invoiced(invoice("INV-2026-00123", 119_00))
    assert await trade.live() == {"t1": (("invoice", "inv-2026-00123", 119_00),)}
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_one_transfer_for_many_invoices_and_a_credit_note(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00), invoice("INV-10002", 50_00), credit_note("CN-20001", 30_00))
    await trade.moved(money("t1", 120_00, "INV-10001, 10002 less CN-20001"))
    assert await trade.live() == {
        "t1": (("invoice", "cn-20001", -30_00), ("invoice", "inv-10001", 100_00), ("invoice", "inv-10002", 50_00))
    }
    assert await trade.net("bank_clearing") == await trade.net("receivable") == 0
    await trade.is_sound()


async def test_a_range_of_invoices(trade: Trade) -> None:
    await trade.invoiced(*(invoice(f"INV-{number}", 10_00) for number in range(10_001, 10_005)))
    await trade.moved(money("t1", 40_00, "Invoices 10001-10004"))
    assert len((await trade.live())["t1"]) == 4
    assert await trade.net("receivable") == 0


async def test_instalments_of_one_invoice(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 900_00))
    for number in range(1, 4):
        await trade.moved(money(f"t{number}", 300_00, f"INV-10001 instalment {number}/3", day=date(2026, 3, number)))
        assert await trade.net("receivable") == 900_00 - number * 300_00
    assert len(await trade.live()) == 3
    await trade.is_sound()


async def test_a_bill_that_is_paid(trade: Trade) -> None:
    await trade.invoiced(bill("R-887766", 80_00))
    await trade.moved(money("t1", -80_00, "R-887766", name="INITECH"))
    assert await trade.live() == {"t1": (("invoice", "r-887766", -80_00),)}
    assert await trade.net("payable") == await trade.net("bank_clearing") == 0


async def test_a_payout_and_a_payroll_batch_clear_what_is_posted_of_them(trade: Trade) -> None:
    """Nothing more is posted: both are on the clearing account already."""
    await trade.company.state(payout("po_1", 500_00), source="stripe")
    await trade.company.state(payroll("run-1", 1_234_56), source="payroll")
    await trade.company.look()
    entries = len(await trade.company.entries())
    await trade.moved(
        money("t1", 500_00, "STRIPE PAYMENTS", name="Stripe Technology Europe"),
        money("t2", -1_234_56, "SALARY MARCH", name=None, day=date(2026, 3, 31)),
    )
    assert await trade.live() == {
        "t1": (("payment", "po_1", 500_00),),
        "t2": (("payroll_run", "run-1", -1_234_56),),
    }
    assert len(await trade.company.entries()) == entries + 2
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_equal_amounts_without_a_reference_are_proposed_and_never_posted(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00), invoice("INV-10002", 49_00))
    await trade.moved(money("t1", 49_00, "subscription"))
    assert await trade.live() == {}
    assert len((await trade.proposed())["t1"]) == 2
    assert await trade.net("bank_clearing") == -49_00


async def test_a_number_of_another_party_is_not_certain(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10012", 49_00), invoice("INV-10021", 49_00, party="Hooli Inc"))
    await trade.moved(money("t1", 49_00, "INV-10021"))
    assert await trade.live() == {}


async def test_a_payment_that_came_twice_stays_with_the_party(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"), money("t2", 49_00, "INV-10001", day=date(2026, 3, 16)))
    assert list(await trade.live()) == ["t1"]
    assert await trade.proposed() == {"t2": [(("on_account", "", 49_00),)]}


@pytest.mark.parametrize("first", ["money", "void"])
async def test_money_for_an_annulled_invoice_is_not_told_to_have_come_twice(trade: Trade, first: str) -> None:
    await trade.moved(money("t0", 5, "interest", name=None))
    await trade.invoiced(invoice("INV-10001", 49_00))
    if first == "money":
        await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.invoiced(replace(invoice("INV-10001", 49_00), **void(invoice("INV-10001", 49_00))))
    if first == "void":
        await trade.moved(money("t1", 49_00, "INV-10001"))
    assert await trade.live() == {}
    assert await trade.proposed() == {"t1": [(("on_account", "", 49_00),)]}
    told = await trade.company.owner.fetchval("SELECT reasons::text FROM matching.match WHERE status = 'PROPOSED'")
    assert "INV-10001 was annulled or taken back" in told
    assert "paid" not in told
    await trade.invoiced(invoice("INV-10001", 49_00))
    assert list(await trade.live()) == ["t1"]
    await trade.is_sound()


async def test_a_transfer_between_own_accounts(trade: Trade) -> None:
    from tests.sources.matching.trade import BANK, OTHER_BANK

    await trade.moved(money("t1", -700_00, "Transfer", name=None, raw={"to": OTHER_BANK}))
    await trade.moved(money("t2", 700_00, "Transfer", name=None, raw={"from": BANK}), account=OTHER_BANK)
    assert await trade.live() == {"t2": (("bank_transaction", "t1", 700_00),)}
    assert await trade.net("bank_clearing") == 0
    assert len(await trade.company.entries()) == 2
    await trade.is_sound()


async def test_money_that_comes_back_opens_the_invoice_again(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.moved(money("t2", -49_00, "RETURN AC04 INV-10001", day=date(2026, 3, 17)))
    assert (await trade.live())["t2"] == (("invoice", "inv-10001", -49_00),)
    assert await trade.net("receivable") == 49_00
    assert await trade.net("bank_clearing") == 0
    await trade.moved(money("t3", 49_00, "INV-10001", day=date(2026, 3, 20)))
    assert await trade.net("receivable") == 0
    await trade.is_sound()
