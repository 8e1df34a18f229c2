"""Pulls from a Tryton 8 that runs beside: what is done there is seen here, in our terms, to the cent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sources.connectors.http import HttpOptions
from sources.connectors.tryton import TrytonConnector
from sources.connectors.tryton_rpc import TrytonRpc, TrytonSession
from sources.documents import Invoice, InvoiceDirection, InvoiceKind, InvoiceStatus, Page, Party
from sources.errors import SourceUnavailable
from sources.mapping.matching_bills import MismatchReason, mismatches
from tests.sources.connectors.tryton_server import (
    ADVICE_VAT,
    BOLTS,
    DATABASE,
    NAILS_VAT,
    PASSWORD,
    STEEL,
    USER,
    Tryton,
    day,
    line,
    running,
)

NAILS = line("4.1.1", "3", "19.99", "Nails", NAILS_VAT)
ADVICE = line("4.1.2", "1.5", "80", "Advice", ADVICE_VAT)
FREIGHT = line("5.1.3", "1", "100", "Freight", NAILS_VAT)


@pytest.fixture
def tryton(tmp_path: Path) -> Iterator[Tryton]:
    with running(tmp_path) as found:
        yield found


def connected(tryton: Tryton, password: str = PASSWORD) -> TrytonConnector:
    return TrytonConnector(
        name="erp",
        base_url=tryton.url,
        database=DATABASE,
        user=USER,
        password=password,
        http=HttpOptions(waiting=False),
    )


@pytest.fixture
async def connector(tryton: Tryton) -> AsyncIterator[TrytonConnector]:
    found = connected(tryton)
    yield found
    await found.close()


async def pull(connector: TrytonConnector, cursor: str | None = None) -> tuple[dict[int, Invoice], list[Page]]:
    pages = [page async for page in connector.pull(cursor)]
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    assert [problem for page in pages for problem in page.problems] == []
    found = [each for page in pages for each in page.documents if isinstance(each, Invoice)]
    return {int(each.external_id): each for each in found}, pages


async def test_invoices_credit_notes_and_bills(tryton: Tryton, connector: TrytonConnector) -> None:
    """A sale with two taxes, its credit note, a bill, and what is not posted; then only what changes comes again."""
    sale = tryton.sale(day(3, 2), NAILS, ADVICE)
    credit = tryton.do("credit", record_id=sale, day=day(3, 4))
    bill = tryton.bill(day(3, 5), "SW-7", FREIGHT)
    draft = tryton.bill(day(3, 6), "SW-8", FREIGHT, post=False)
    found, pages = await pull(connector)
    assert {each: found[each].status for each in found} == {
        sale: InvoiceStatus.OPEN,
        credit: InvoiceStatus.OPEN,
        bill: InvoiceStatus.OPEN,
        draft: InvoiceStatus.DRAFT,
    }
    sold = found[sale]
    assert (sold.direction, sold.kind, sold.number) == (InvoiceDirection.RECEIVABLE, InvoiceKind.INVOICE, "1")
    assert sold.party == Party(name="Ada Retail", external_id="2", tax_id="DE136695976")
    assert (sold.currency, sold.subtotal, sold.tax, sold.total) == ("EUR", 17_997, 1_859, 19_856)
    assert (sold.amount_due, sold.issue_date, sold.rounding) == (19_856, day(3, 2), 0)
    assert [(tax.rate, tax.taxable, tax.amount, tax.account) for tax in sold.taxes or ()] == [
        ("20", 5_997, 1_199, "6.3.6"),
        ("5.5", 12_000, 660, "6.3.4"),
    ]
    assert [(each.description, each.quantity, each.amount, each.account) for each in sold.lines] == [
        ("Nails", "3", 5_997, "4.1.1"),
        ("Advice", "1.5", 12_000, "4.1.2"),
    ]
    assert (found[credit].kind, found[credit].total, found[credit].lines[0].quantity) == (
        InvoiceKind.CREDIT_NOTE,
        19_856,
        "3",
    )
    assert (found[bill].direction, found[bill].number, found[bill].total) == (InvoiceDirection.PAYABLE, "SW-7", 12_000)

    assert (await pull(connector, pages[-1].cursor))[0] == {}
    assert tryton.do("pay", record_id=bill, amount="120.00", day=day(3, 20)) == "paid"
    tryton.do("amend", record_id=draft, day=day(3, 7), reference="SW-8", quantity="2")
    changed, pages = await pull(connector, pages[-1].cursor)
    assert changed.keys() == {bill, draft}
    assert (changed[bill].status, changed[bill].amount_due) == (InvoiceStatus.PAID, 0)
    assert (changed[draft].total, changed[draft].issue_date) == (24_000, day(3, 7))

    assert tryton.click(sale, "cancel") == "cancelled"
    tryton.click(draft, "cancel")
    tryton.do("delete", record_id=draft)
    changed, pages = await pull(connector, pages[-1].cursor)
    assert {each: changed[each].status for each in changed} == {sale: InvoiceStatus.VOID}
    assert changed[sale].raw["cancel_move."]["state"] == "posted"
    assert [each.external_id for page in pages for each in page.deletions] == [str(draft)]
    assert (await pull(connector, pages[-1].cursor))[1][-1].deletions == ()


async def test_bills_of_orders_say_what_was_ordered_and_received(tryton: Tryton, connector: TrytonConnector) -> None:
    """A receipt that is short and a price that rose disagree; a credit note sets the quantity right."""
    good, bad = [tryton.do("order", party=STEEL, product=BOLTS, quantity="10", price="4.5") for _ in range(2)]
    (matched,) = tryton.do("receive", purchase=good)
    (short,) = tryton.do("receive", purchase=bad, quantity="8")
    tryton.do("amend", record_id=matched, day=day(4, 1), reference="SW-10")
    tryton.click(matched, "post")
    tryton.do("amend", record_id=short, day=day(4, 2), reference="SW-11", quantity="10", price="5")
    found, pages = await pull(connector)
    assert (found[matched].raw["purchase"], mismatches({"raw": found[matched].raw})) == (
        [
            {
                "line": "Bolts",
                "order": "1",
                "ordered": "10",
                "order_price": "4.5",
                "received": "10",
                "billed": "10",
                "billed_price": "4.5",
                "billed_elsewhere": "0",
            }
        ],
        (),
    )
    assert [(each.reason, each.message) for each in mismatches({"raw": found[short].raw})] == [
        (MismatchReason.MORE_THAN_RECEIVED, "'Bolts' of order 2: billed 10, received 8."),
        (MismatchReason.OTHER_PRICE, "'Bolts' of order 2: unit price 5, ordered at 4.5."),
    ]
    tryton.do("amend", record_id=short, day=day(4, 2), reference="SW-11", price="4.5", quantity="8")
    changed, _ = await pull(connector, pages[-1].cursor)
    assert mismatches({"raw": changed[short].raw}) == ()


async def test_a_session_that_ended_is_renewed_and_a_wrong_password_is_told(tryton: Tryton) -> None:
    """Tryton answers 401 to a session that it does not know, and to a password that is wrong."""
    bill = tryton.bill(day(3, 5), "SW-7", FREIGHT)
    connector = connected(tryton)
    connector._session._headers = {"Authorization": "Session YWRtaW46MTpnb25l"}
    assert (await pull(connector))[0].keys() == {bill}
    await connector.close()
    stranger = connected(tryton, "another-password")
    with pytest.raises(SourceUnavailable, match="refused the login") as refused:
        await pull(stranger)
    assert "another-password" not in str(refused.value)
    await stranger.close()
    session = TrytonSession(name="erp", base_url=tryton.url, database="other", user=USER, password=PASSWORD)
    with pytest.raises(SourceUnavailable, match="no such database"):
        await session(None)
    await session.close()


async def test_what_tryton_does_not_know_is_told(tryton: Tryton, connector: TrytonConnector) -> None:
    """A model that is not there fails at Tryton; nothing of its answer is repeated."""
    rpc: TrytonRpc = connector._rpc
    with pytest.raises(SourceUnavailable, match=r"failed at model\.no\.such\.search: Tryton's log says why"):
        await rpc.call("no.such", "search", [])
