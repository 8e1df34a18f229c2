"""Money on account, and the document that it was for: proposed when it comes, and confirmed in place of what stands."""

from __future__ import annotations

from datetime import date

import pytest

from sources.matching import actions
from sources.matching.model import Side
from tests.sources.matching.test_deciding_people import confirm, ids, kind, match, of_invoice, unmatch
from tests.sources.matching.trade import Trade, bill, invoice, money, void
from tests.sources.pipeline.company import changed

LATER = date(2026, 3, 20)


async def in_advance(trade: Trade, paid: int = 100_00, party: str = "globex-gmbh", text: str = "advance") -> None:
    """Money that a person leaves on account."""
    await trade.moved(money("t1", paid, text, name=None))
    side = Side.RECEIVABLE if paid > 0 else Side.PAYABLE
    await match(trade, "t1", kind("on_account", paid, side, party_id=party))
    assert await trade.live() == {"t1": (("on_account", "", paid),)}


async def test_an_advance_is_proposed_for_the_invoice_that_comes(trade: Trade) -> None:
    await in_advance(trade)
    await trade.invoiced(invoice("INV-10001", 100_00, issue_date=LATER))
    assert await trade.proposed() == {"t1": [(("invoice", "inv-10001", 100_00),)]}
    assert await trade.net("receivable") == 0
    await confirm(trade, (await ids(trade))[0])
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 100_00),)}
    assert await trade.open() == {}
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_an_advance_for_less_and_for_more_than_the_invoice(trade: Trade) -> None:
    await in_advance(trade)
    await trade.invoiced(invoice("INV-10001", 70_00, issue_date=LATER))
    await confirm(trade, (await ids(trade))[0])
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 70_00), ("on_account", "", 30_00))}
    await trade.invoiced(invoice("INV-10002", 50_00, issue_date=LATER))
    await confirm(trade, (await ids(trade))[0])
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 70_00), ("invoice", "inv-10002", 30_00))}
    assert await trade.open() == {"inv-10002": 20_00}
    assert await trade.net("receivable") == 20_00
    await trade.is_sound()


async def test_an_advance_to_a_supplier(trade: Trade) -> None:
    await in_advance(trade, -80_00, "initech-ltd")
    await trade.invoiced(bill("R-887766", 80_00, issue_date=LATER))
    await confirm(trade, (await ids(trade))[0])
    assert await trade.live() == {"t1": (("invoice", "r-887766", -80_00),)}
    assert await trade.net("payable") == 0
    await trade.is_sound()


async def test_what_was_paid_too_much_is_proposed_for_the_next_invoice(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 105_00, "INV-10001"))
    await trade.invoiced(invoice("INV-10002", 60_00, issue_date=LATER))
    assert await trade.proposed() == {"t1": [(("invoice", "inv-10001", 100_00), ("invoice", "inv-10002", 5_00))]}


async def test_an_advance_for_several_invoices(trade: Trade) -> None:
    await in_advance(trade)
    await trade.invoiced(invoice("INV-10001", 60_00, issue_date=LATER), invoice("INV-10002", 40_00, issue_date=LATER))
    assert (("invoice", "inv-10001", 60_00), ("invoice", "inv-10002", 40_00)) in (await trade.proposed())["t1"]


async def test_more_of_an_invoice_of_which_a_part_is_paid_by_the_same_money(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00, issue_date=date(2026, 3, 14)))
    await trade.moved(money("t1", 100_00, "thanks", name=None))
    await match(trade, "t1", of_invoice("inv-10001", 60_00), kind("on_account", 40_00, Side.RECEIVABLE))
    assert (("invoice", "inv-10001", 100_00),) in (await trade.proposed())["t1"]
    await confirm(trade, (await ids(trade))[0])
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 100_00),)}
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


@pytest.mark.parametrize(
    ("party", "currency", "day"),
    [("Hooli Inc", "EUR", LATER), ("Globex GmbH", "USD", LATER), ("Globex GmbH", "EUR", date(2026, 3, 1))],
)
async def test_no_advance_is_proposed_for_what_it_cannot_be_for(
    trade: Trade, party: str, currency: str, day: date
) -> None:
    """Another party, another currency, an invoice that was there before the money and that the text does not name."""
    await trade.company.owner.execute(
        "INSERT INTO ledger.rate VALUES ('USD', 'EUR', 'spot', $1, 0.9, 'test')", date(2026, 3, 20)
    )
    await in_advance(trade)
    await trade.invoiced(invoice("INV-10001", 100_00, party, currency=currency, issue_date=day))
    assert await trade.proposed() == {}


async def test_an_older_invoice_counts_where_the_text_names_it(trade: Trade) -> None:
    await in_advance(trade, text="INV-10001")
    await trade.invoiced(invoice("INV-10001", 100_00, issue_date=date(2026, 3, 1)))
    assert await trade.proposed() == {"t1": [(("invoice", "inv-10001", 100_00),)]}


async def test_a_proposal_for_an_advance_goes_with_what_it_is_about(trade: Trade) -> None:
    await in_advance(trade)
    stated = invoice("INV-10001", 100_00, issue_date=LATER)
    await trade.invoiced(stated)
    await trade.invoiced(changed(stated, **void(stated)))
    assert await trade.proposed() == {}
    await trade.invoiced(stated)
    assert len(await ids(trade)) == 1
    await unmatch(trade, (await ids(trade, "CONFIRMED"))[0])
    assert await trade.net("bank_clearing") == -100_00
    await match(trade, "t1", of_invoice("inv-10001", 100_00))
    assert await trade.proposed() == {}
    await trade.is_sound()


async def test_a_rejected_use_of_an_advance_is_not_proposed_again(trade: Trade) -> None:
    await in_advance(trade)
    await trade.invoiced(invoice("INV-10001", 100_00, issue_date=LATER))
    await actions.reject(trade.company.database, trade.company.ledger.ledger_id, (await ids(trade))[0], by="ann")
    await trade.company.look()
    await trade.invoiced(invoice("INV-10001", 100_00, issue_date=LATER, due_date=date(2026, 5, 1)))
    assert await ids(trade) == []
    assert await trade.live() == {"t1": (("on_account", "", 100_00),)}
    await trade.is_sound()
