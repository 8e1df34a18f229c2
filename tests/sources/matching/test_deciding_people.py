"""What people decide, and what it teaches."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from sources.errors import NotFound
from sources.matching import actions, allocating
from sources.matching.allocating import Unfit
from sources.matching.model import Allocation, ItemKey, Side
from sources.matching.stating import Stated
from sources.money import format_minor
from tests.sources.matching.trade import BANK, Trade, bill, invoice, money, void
from tests.sources.pipeline.company import changed

PAYER = "GB82WEST12345698765432"


def transaction(external_id: str) -> ItemKey:
    return ItemKey("bank_transaction", "bank", BANK, external_id)


def of_invoice(external_id: str, amount: int, bank_amount: int | None = None) -> Allocation:
    key = ItemKey("invoice", "sales", "", external_id)
    return Allocation(key, Side.RECEIVABLE, "EUR", amount, amount if bank_amount is None else bank_amount)


def kind(name: str, amount: int, side: Side, code: str = "", **more: Any) -> Allocation:
    return Allocation(ItemKey(name, "", "", code), side, "EUR", amount, amount, **more)


async def ids(trade: Trade, status: str = "PROPOSED") -> list[int]:
    rows = await trade.company.owner.fetch("SELECT match_id FROM matching.match WHERE status = $1 ORDER BY 1", status)
    return [row[0] for row in rows]


async def rules(trade: Trade) -> list[tuple[Any, ...]]:
    rows = await trade.company.owner.fetch(
        "SELECT rule_id, type, coalesce(payer_account, payer_name, pattern), coalesce(party, ledger_account) FROM matching.rule "
        "WHERE removed_at IS NULL ORDER BY 1"
    )
    return [tuple(row) for row in rows]


async def confirm(trade: Trade, number: int) -> None:
    await actions.confirm(trade.company.database, trade.company.ledger.ledger_id, number, by="ann")
    await trade.company.look()


async def unmatch(trade: Trade, number: int) -> None:
    await actions.unmatch(trade.company.database, trade.company.ledger.ledger_id, number, by="ann")
    await trade.company.look()


async def match(trade: Trade, external_id: str, *parts: Allocation, remember: str | None = None) -> int:
    database, ledger_id = trade.company.database, trade.company.ledger.ledger_id
    stated = [_stated(part) for part in parts]
    number = await actions.match(database, ledger_id, transaction(external_id), stated, by="ann", remember=remember)
    await trade.company.look()
    return number


def _stated(part: Allocation) -> Stated:
    other = None if part.amount == part.bank_amount else format_minor(part.amount, 2)
    amount = format_minor(part.bank_amount, 2)
    return Stated(key=part.key, amount=amount, document_amount=other, side=part.side, party_id=part.party_id)


async def test_a_confirmed_proposal_posts_and_teaches_who_pays(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00), invoice("INV-10002", 80_00))
    await trade.moved(money("t1", 49_00, "thanks", name="G. Person", raw={"iban": PAYER}))
    assert await trade.live() == {}
    (number,) = await ids(trade)
    await confirm(trade, number)
    assert await trade.net("bank_clearing") == 0
    assert await rules(trade) == [(1, "PAYER", PAYER, "GLOBEX")]
    await trade.moved(money("t2", 80_00, "", name=None, raw={"iban": PAYER}, day=date(2026, 3, 20)))
    assert (await trade.live())["t2"] == (("invoice", "inv-10002", 80_00),)
    assert await trade.net("receivable") == 0
    await trade.is_sound()


async def test_a_rule_that_was_removed_decides_nothing_more(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00), invoice("INV-10002", 80_00))
    await trade.moved(money("t1", 49_00, name=None, raw={"iban": PAYER}))
    await confirm(trade, (await ids(trade))[0])
    await actions.remove_rule(trade.company.database, trade.company.ledger.ledger_id, 1, by="ann")
    await trade.moved(money("t2", 80_00, name=None, raw={"iban": PAYER}))
    assert list(await trade.live()) == ["t1"]
    with pytest.raises(NotFound):
        await actions.remove_rule(trade.company.database, trade.company.ledger.ledger_id, 1, by="ann")


async def test_a_rejected_proposal_is_not_made_again(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00))
    await actions.reject(trade.company.database, trade.company.ledger.ledger_id, (await ids(trade))[0], by="ann")
    await trade.invoiced(invoice("INV-10001", 49_00, due_date=date(2026, 4, 1)))
    assert await ids(trade) == []
    await actions.remove_rule(trade.company.database, trade.company.ledger.ledger_id, 1, by="ann")
    await trade.company.look()
    assert len(await ids(trade)) == 1


async def test_undoing_reverses_only_what_was_applied(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    entries = await trade.company.entries()
    await unmatch(trade, 1)
    after = await trade.company.entries()
    assert after[: len(entries)] == entries
    assert len(after) == len(entries) + 1
    assert await trade.net("receivable") == 49_00
    assert await trade.net("bank_clearing") == -49_00
    assert (await trade.company.nets())["1000"] == 49_00
    assert await trade.live() == {}
    await match(trade, "t1", of_invoice("inv-10001", 49_00))
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_match_by_hand_with_a_fee_a_write_off_and_money_on_account(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 97_00, name="someone"), money("t2", 10_00, name="someone"))
    parts = (of_invoice("inv-10001", 100_00), kind("fee", -2_00, Side.FEES), kind("write_off", -1_00, Side.WRITE_OFF))
    await match(trade, "t1", *parts)
    assert (await trade.net("bank_fees"), await trade.net("write_offs")) == (2_00, 1_00)
    await match(trade, "t2", kind("on_account", 10_00, Side.RECEIVABLE, party_id="globex-gmbh"))
    assert await trade.net("receivable") == -10_00
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_text_that_means_an_account_is_remembered(trade: Trade) -> None:
    await trade.moved(money("t1", -500_00, "Rent March Main Street", name="Landlord"))
    await match(trade, "t1", kind("account", -500_00, Side.ACCOUNT, "6000"), remember="rent main street")
    await trade.moved(money("t2", -500_00, "Rent April Main Street", name="Landlord", day=date(2026, 4, 14)))
    assert await trade.net("expense") == 1_000_00
    assert await trade.net("bank_clearing") == 0
    assert await rules(trade) == [(1, "ACCOUNT", "MAIN RENT STREET", "6000")]
    await trade.is_sound()


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (of_invoice("inv-10001", 101_00),),
        (of_invoice("inv-10001", 60_00), of_invoice("inv-10001", 60_00)),
        (of_invoice("inv-10001", -10_00),),
        (of_invoice("inv-10001", 10_00, 11_00),),
        (of_invoice("inv-99999", 10_00),),
        (of_invoice("inv-10001", 100_00), kind("fee", 40_00, Side.FEES)),
        (kind("on_account", 10_00, Side.CLEARING),),
    ],
)
async def test_what_does_not_fit_is_refused_and_changes_nothing(trade: Trade, parts: tuple[Allocation, ...]) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 120_00, name=None))
    before = await trade.matches()
    with pytest.raises(Unfit):
        await match(trade, "t1", *parts)
    assert await trade.matches() == before
    with pytest.raises(NotFound):
        await match(trade, "t9", of_invoice("inv-10001", 10_00))


async def test_what_a_person_leaves_of_a_transaction_is_not_matched_by_itself(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00), invoice("INV-10002", 20_00))
    await trade.moved(money("t1", 120_00, name=None))
    await match(trade, "t1", of_invoice("inv-10001", 100_00))
    await trade.invoiced(invoice("INV-10002", 20_00, due_date=date(2026, 4, 1)), invoice("INV-10003", 20_00))
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 100_00),)}
    assert await trade.net("bank_clearing") == -20_00
    assert (await trade.open())["t1"] == 20_00
    await trade.is_sound()


async def complete(trade: Trade, external_id: str, *stated: Stated) -> int:
    database, ledger_id = trade.company.database, trade.company.ledger.ledger_id
    number = await actions.match(database, ledger_id, transaction(external_id), stated, by="ann", completes=True)
    await trade.company.look()
    return number


async def test_what_is_left_of_a_match_is_completed_in_one_step(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 120_00, name=None))
    await match(trade, "t1", of_invoice("inv-10001", 100_00))
    await complete(trade, "t1", Stated(key=ItemKey("on_account", "", "", ""), amount=None))
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 100_00), ("on_account", "", 20_00))}
    assert (await trade.net("receivable"), await trade.net("bank_clearing")) == (-20_00, 0)
    assert await rules(trade) == []
    await trade.is_sound()


async def test_a_document_is_added_to_a_match_and_the_rest_still_waits(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00), invoice("INV-10002", 15_00))
    await trade.moved(money("t1", 120_00, name=None))
    await match(trade, "t1", of_invoice("inv-10001", 100_00))
    await complete(trade, "t1", Stated(key=ItemKey("invoice", "sales", "", "inv-10002"), amount="15"))
    assert await trade.open() == {"t1": 5_00}
    await complete(trade, "t1", Stated(key=ItemKey("account", "", "", "6000"), amount=None, side=Side.ACCOUNT))
    assert await trade.open() == {}
    await trade.is_sound()


async def test_what_cannot_be_completed_is_refused_and_changes_nothing(trade: Trade) -> None:
    """No match stands; nothing is left; more than is left; two without an amount."""
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 120_00, name=None), money("t2", 100_00, "INV-10001"))
    rest = Stated(key=ItemKey("on_account", "", "", ""), amount=None, side=Side.RECEIVABLE, party_id="globex-gmbh")
    for external_id, stated in (
        ("t1", [rest]),
        ("t2", [rest]),
        ("t2", [replace(rest, amount="1")]),
        ("t2", [rest, rest]),
    ):
        before = await trade.matches()
        with pytest.raises(Unfit):
            await complete(trade, external_id, *stated)
        assert await trade.matches() == before
    await trade.is_sound()


async def test_a_void_invoice_gives_its_money_back_to_be_matched(trade: Trade) -> None:
    paid = invoice("INV-10001", 49_00)
    await trade.invoiced(paid)
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.invoiced(changed(paid, **void(paid)))
    assert await trade.live() == {}
    assert await trade.net("bank_clearing") == -49_00
    assert await trade.net("receivable") == 0
    await trade.invoiced(paid)
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_statement_that_changes_its_amount_takes_the_match_along(trade: Trade) -> None:
    await trade.invoiced(bill("R-887766", 80_00))
    await trade.moved(money("t1", -80_00, "R-887766", name="Initech"), name="s")
    assert await trade.net("payable") == 0
    await trade.moved(money("t1", -75_00, "R-887766", name="Initech"), name="s")
    assert (await trade.live()).get("t1") != (("invoice", "r-887766", -80_00),)
    await trade.moved(money("t1", -80_00, "R-887766", name="Initech"), name="s")
    assert await trade.net("payable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_return_falls_with_what_it_takes_back(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.moved(money("t2", -49_00, "RETURN INV-10001", day=date(2026, 3, 17)))
    await unmatch(trade, 1)
    assert await trade.net("receivable") == 49_00
    assert await trade.net("bank_clearing") == 0
    assert await trade.live() == {"t2": (("bank_transaction", "t1", -49_00),)}
    await trade.is_sound()


async def test_a_proposal_whose_invoice_is_paid_otherwise_is_withdrawn(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00))
    (number,) = await ids(trade)
    await trade.moved(money("t2", 49_00, "INV-10001"))
    assert await ids(trade) == []
    with pytest.raises(NotFound):
        await confirm(trade, number)


def test_sums_are_found_once_or_said_to_be_several() -> None:
    assert allocating.sums([5, 3, 2], 8) == [(0, 1)]
    assert allocating.sums([5, 3, 2], 7) == [(0, 2)]
    assert allocating.sums([5, 3, 2, 5], 5) == [(0,), (1, 2)]
    assert allocating.sums([5, -3], 2) == [(0, 1)]
    assert allocating.sums([5, 3], 4) == []


async def test_what_used_what_a_return_gave_back_falls_with_the_return(trade: Trade) -> None:
    """The invoice is paid, the money comes back, and it is paid again: without the return it would be paid twice."""
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.moved(money("t2", -49_00, "RETURN INV-10001", day=date(2026, 3, 17)))
    await trade.moved(money("t3", 49_00, "INV-10001", day=date(2026, 3, 20)))
    assert sorted(await trade.live()) == ["t1", "t2", "t3"]
    await unmatch(trade, 2)
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 49_00),)}
    assert await trade.net("receivable") == 0
    assert await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_payment_undone_takes_its_return_along_and_leaves_the_one_after(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 49_00))
    await trade.moved(money("t1", 49_00, "INV-10001"))
    await trade.moved(money("t2", -49_00, "RETURN INV-10001", day=date(2026, 3, 17)))
    await trade.moved(money("t3", 49_00, "INV-10001", day=date(2026, 3, 20)))
    await unmatch(trade, 1)
    assert (await trade.live())["t3"] == (("invoice", "inv-10001", 49_00),)
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()
