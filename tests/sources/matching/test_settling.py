"""Matched money in two currencies, money that a source was told of too, and charges that the bank states."""

from __future__ import annotations

from datetime import date

import pytest

from sources.documents import InvoiceStatus
from sources.matching import actions
from tests.sources.matching.trade import Trade, invoice, money
from tests.sources.mirror.kit import Kit
from tests.sources.pipeline.company import changed

RATES = "INSERT INTO ledger.rate VALUES ($1, 'EUR', 'spot', $2::text::date, $3::text::numeric, 'test')"
ISSUED, PAID = date(2026, 3, 1), date(2026, 3, 14)


async def rates(trade: Trade, currency: str, **by_day: str) -> None:
    for day, rate in by_day.items():
        await trade.company.owner.execute(RATES, currency, {"issued": "2026-03-01", "paid": "2026-03-14"}[day], rate)


async def test_a_foreign_invoice_paid_in_its_currency_leaves_a_realised_loss(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.95", paid="0.90")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"))
    await trade.moved(money("t1", 100_00, "INV-10001", currency="USD"))
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    assert await trade.net("exchange_loss") == 5_00
    await trade.is_sound()


async def test_instalments_of_a_foreign_invoice_leave_nothing_behind(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.33333", paid="0.33333")
    await trade.invoiced(invoice("INV-10001", 1_00, currency="USD"))
    for number in range(4):
        await trade.moved(money(f"t{number}", 25, "INV-10001 instalment", currency="USD"))
    assert len(await trade.live()) == 4
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0


async def test_a_foreign_invoice_paid_in_euro_as_ordered(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.95", paid="0.90")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"))
    raw = {"xml": '<Ntry><AmtDtls><InstdAmt><Amt Ccy="USD">100.00</Amt></InstdAmt></AmtDtls></Ntry>'}
    await trade.moved(money("t1", 90_00, "INV-10001", raw=raw))
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 90_00),)}
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    assert await trade.net("exchange_loss") == 5_00
    await trade.is_sound()


async def confirm_only(trade: Trade) -> tuple[tuple[str, str, int], ...]:
    """Nothing is certain, and one match is proposed; it is confirmed."""
    assert await trade.live() == {}
    ((number, parts),) = [(row[0], row[1]) for row in await trade.company.owner.fetch(_PROPOSED)]
    await actions.confirm(trade.company.database, trade.company.ledger.ledger_id, number, by="ann")
    await trade.company.look()
    await trade.is_sound()
    assert parts == await trade.company.owner.fetchval(_LIVE_AMOUNTS)
    return (await trade.live())["t1"]


_PROPOSED = """
SELECT m.match_id, (SELECT array_agg(a.amount ORDER BY a.position) FROM matching.allocation a WHERE a.match_id = m.match_id)
FROM matching.match m WHERE m.status = 'PROPOSED' ORDER BY 1"""
_LIVE_AMOUNTS = """
SELECT array_agg(a.amount ORDER BY a.position) FROM matching.match m JOIN matching.allocation a USING (ledger_id, match_id)
WHERE m.status = 'CONFIRMED'"""


@pytest.mark.parametrize("text", ["INV-10001", "thanks"])
async def test_a_foreign_invoice_paid_in_euro_at_about_the_days_rate_is_proposed(trade: Trade, text: str) -> None:
    """A person confirms it, and what the rates make of it is a realised loss."""
    await rates(trade, "USD", issued="0.95", paid="0.90")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"))
    await trade.moved(money("t1", 89_50, text))
    assert await confirm_only(trade) == (("invoice", "inv-10001", 89_50),)
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    assert await trade.net("exchange_loss") == 5_50
    assert await trade.open() == {}


async def test_a_part_of_a_foreign_invoice_by_the_days_rate(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.95", paid="0.90")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"))
    await trade.moved(money("t1", 45_00, "INV-10001"))
    await confirm_only(trade)
    assert await trade.open() == {"inv-10001": 50_00}
    assert (await trade.net("receivable"), await trade.net("exchange_loss")) == (47_50, 2_50)
    assert await trade.net("bank_clearing") == 0


async def test_more_than_a_foreign_invoice_by_the_days_rate(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.95", paid="0.90")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"))
    await trade.moved(money("t1", 99_00, "INV-10001"))
    assert await confirm_only(trade) == (("invoice", "inv-10001", 90_00), ("on_account", "", 9_00))
    assert (await trade.net("receivable"), await trade.net("exchange_loss")) == (-9_00, 5_00)


async def test_several_foreign_invoices_in_one_transfer(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.95", paid="0.90")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"), invoice("INV-10002", 33_33, currency="USD"))
    raw = {"xml": '<Ntry><AmtDtls><InstdAmt><Amt Ccy="USD">133.33</Amt></InstdAmt></AmtDtls></Ntry>'}
    await trade.moved(money("t1", 120_00, "INV-10001 INV-10002", raw=raw))
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 90_00), ("invoice", "inv-10002", 30_00))}
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_without_a_rate_amounts_in_two_currencies_are_not_compared(trade: Trade) -> None:
    await rates(trade, "USD", issued="0.95")
    await trade.invoiced(invoice("INV-10001", 100_00, currency="USD"))
    await trade.moved(money("t1", 89_50, "INV-10001"), money("t2", 95_00, "thanks"))
    assert list(await trade.proposed()) == ["t1"]


async def test_charges_that_the_bank_states_are_its_fees(trade: Trade) -> None:
    await trade.invoiced(invoice("INV-10001", 100_00))
    raw = {"xml": "<Ntry><Chrgs><TtlChrgsAndTaxAmt Ccy='EUR'>2.50</TtlChrgsAndTaxAmt></Chrgs></Ntry>"}
    await trade.moved(money("t1", 97_50, "INV-10001", raw=raw))
    assert await trade.live() == {"t1": (("invoice", "inv-10001", 100_00), ("fee", "", -2_50))}
    assert await trade.net("bank_fees") == 2_50
    assert await trade.net("receivable") == await trade.net("bank_clearing") == 0


async def test_an_invoice_that_its_source_marks_as_paid_elsewhere(trade: Trade) -> None:
    """Before or after the money is matched: it empties what the source was told of."""
    stated = invoice("INV-10001", 100_00)
    marked = changed(
        stated, status=InvoiceStatus.PAID, amount_due=0, paid_elsewhere=100_00, paid_elsewhere_on=date(2026, 3, 10)
    )
    await trade.invoiced(stated)
    await trade.moved(money("t1", 100_00, "INV-10001"))
    await trade.invoiced(marked)
    assert await trade.net("receivable") == await trade.net("paid_elsewhere") == await trade.net("bank_clearing") == 0
    await trade.invoiced(stated)
    assert await trade.net("receivable") == await trade.net("paid_elsewhere") == await trade.net("bank_clearing") == 0
    other = changed(marked, external_id="inv-10002", number="INV-10002")
    await trade.invoiced(other)
    assert await trade.net("paid_elsewhere") == 100_00
    await trade.moved(money("t2", 100_00, "INV-10002"))
    assert await trade.net("receivable") == await trade.net("paid_elsewhere") == await trade.net("bank_clearing") == 0
    await trade.is_sound()


async def test_a_payment_that_the_processor_states_leaves_nothing_for_the_bank(trade: Trade) -> None:
    """It comes late, after the money was matched: the match is withdrawn, as it cannot be both."""
    await trade.invoiced(invoice("INV-10001", 100_00))
    await trade.moved(money("t1", 100_00, "INV-10001"))
    paid = Kit.payment("ch_1", amount=100_00, fee=0, net=100_00, currency="EUR", invoice_external_id="inv-10001")
    await trade.company.state(paid, source="sales")
    await trade.company.look()
    assert await trade.live() == {}
    assert await trade.net("receivable") == 0
    assert await trade.net("bank_clearing") == -100_00
    assert (await trade.proposed())["t1"] == [(("on_account", "", 100_00),)]
    await trade.is_sound()
