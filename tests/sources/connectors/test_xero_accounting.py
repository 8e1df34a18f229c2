"""The Xero accounting connector against an organisation of our own on loopback."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import pytest
import structlog
from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.connectors.xero_accounting import XeroAccountingConnector
from sources.connectors.xero_accounting_cursor import XeroCursor
from sources.documents import (
    Document,
    Invoice,
    InvoiceDirection,
    InvoiceKind,
    InvoiceStatus,
    Page,
    Payment,
    PaymentStatus,
    PaymentType,
    TaxAmount,
)
from sources.errors import ConfigurationError, SourceUnavailable
from tests.sources.connectors.xero_accounting_server import EURO_BANK, OWNER, Organisation, connected, serving


@pytest.fixture
def xero() -> Organisation:
    return Organisation()


@pytest.fixture
async def connector(xero: Organisation) -> AsyncIterator[XeroAccountingConnector]:
    async with serving(xero) as found:
        yield found


async def pages_of(connector: XeroAccountingConnector, cursor: str | None = None) -> list[Page]:
    return [page async for page in connector.pull(cursor)]


async def collect(connector: XeroAccountingConnector, held: list[Page]) -> None:
    async for page in connector.pull(None):
        held.append(page)


async def read(connector: XeroAccountingConnector, cursor: str | None = None) -> tuple[dict[str, Any], str | None]:
    """Documents by id, and the cursor behind them; nothing may be unreadable."""
    pages = await pages_of(connector, cursor)
    assert [problem for page in pages for problem in page.problems] == []
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    return {document.external_id: document for page in pages for document in page.documents}, pages[-1].cursor


# ---------------------------------------------------------------- documents


async def test_an_invoice_a_bill_and_a_credit_note(xero: Organisation, connector: XeroAccountingConnector) -> None:
    """Amounts of lines exclude tax, also where Xero states prices with it; taxes are by type, with their rates."""
    customer, vendor = xero.contact("Blue Harbor", "GB123456789"), xero.contact("Initech")
    sale = xero.invoice(customer, (10_001, "OUTPUT2", "200"), (500, "ZERORATED", "201"))
    inclusive = xero.invoice(customer, (10_001, "OUTPUT2", "200"), inclusive=True)
    bill = xero.invoice(vendor, (7_000, "INPUT2", "400"), kind="ACCPAY", InvoiceNumber="R-17")
    note = xero.credit_note(customer, (1_000, "OUTPUT2", "200"))
    found, _ = await read(connector)
    stated: Invoice = found[sale]
    assert (stated.direction, stated.kind, stated.status) == (
        InvoiceDirection.RECEIVABLE,
        InvoiceKind.INVOICE,
        InvoiceStatus.OPEN,
    )
    assert (stated.subtotal, stated.tax, stated.total, stated.amount_due) == (10_501, 2_000, 12_501, 12_501)
    assert [(line.amount, line.tax, line.account, line.tax_code) for line in stated.lines] == [
        (10_001, 2_000, "200", "OUTPUT2"),
        (500, 0, "201", "ZERORATED"),
    ]
    assert stated.taxes == (
        TaxAmount(amount=2_000, code="OUTPUT2", rate="20", taxable=10_001),
        TaxAmount(amount=0, code="ZERORATED", rate="0", taxable=500),
    )
    assert (stated.issue_date, stated.due_date, stated.currency) == (date(2026, 3, 2), date(2026, 4, 1), "GBP")
    assert (stated.party.name, stated.party.external_id, stated.party.tax_id) == (
        "Blue Harbor",
        customer,
        "GB123456789",
    )
    assert [line.amount for line in found[inclusive].lines] == [10_001]
    assert found[inclusive].taxes[0].taxable == 10_001
    assert (found[bill].direction, found[bill].number, found[bill].party.tax_id) == (
        InvoiceDirection.PAYABLE,
        "R-17",
        None,
    )
    assert (found[note].kind, found[note].total, found[note].amount_due) == (InvoiceKind.CREDIT_NOTE, 1_200, 1_200)


async def test_payments_are_signed_as_money_moves(xero: Organisation, connector: XeroAccountingConnector) -> None:
    customer, vendor = xero.contact("Blue Harbor"), xero.contact("Initech")
    sale, bill = (
        xero.invoice(customer, (10_000, "NONE", "200")),
        xero.invoice(vendor, (7_000, "NONE", "400"), kind="ACCPAY"),
    )
    note, theirs = (
        xero.credit_note(customer, (900, "NONE", "200")),
        xero.credit_note(vendor, (800, "NONE", "400"), kind="ACCPAYCREDIT"),
    )
    over, before = xero.advance(customer, 700), xero.advance(vendor, 600, "SPEND-PREPAYMENT")
    made = [
        xero.pay(settled, cents)
        for settled, cents in ((sale, 10_000), (bill, 7_000), (note, 900), (theirs, 800), (over, 300), (before, 200))
    ]
    found, _ = await read(connector)
    payments: list[Payment] = [found[each] for each in (*made, over, before)]
    assert [(each.type, each.amount, each.invoice_external_id, each.parent_external_id) for each in payments] == [
        (PaymentType.PAYMENT, 10_000, sale, None),
        (PaymentType.PAYMENT, -7_000, bill, None),
        (PaymentType.REFUND, -900, note, None),
        (PaymentType.REFUND, 800, theirs, None),
        (PaymentType.REFUND, -300, None, over),
        (PaymentType.REFUND, 200, None, before),
        (PaymentType.PAYMENT, 700, None, None),
        (PaymentType.PAYMENT, -600, None, None),
    ]
    assert {each.status for each in payments} == {PaymentStatus.SUCCEEDED}
    assert [each.bank_account for each in payments] == ["090"] * 6 + ["unstated"] * 2
    assert [each.party and each.party.name for each in payments[:2]] == ["Blue Harbor", "Initech"]
    assert payments[0].occurred_on == date(2026, 3, 10)
    assert (found[sale].status, found[sale].amount_due, found[sale].prepaid) == (InvoiceStatus.PAID, 0, 0)


async def test_a_payment_from_an_account_in_another_currency(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    """What the account moved by, and what the invoice got; an account without a currency is in the organisation's."""
    customer = xero.contact("Blue Harbor")
    sale, foreign = (
        xero.invoice(customer, (10_000, "NONE", "200")),
        xero.invoice(customer, (10_000, "NONE", "200"), CurrencyCode="EUR"),
    )
    parity = xero.pay(sale, 2_000, account=EURO_BANK)
    other = xero.pay(sale, 1_000, account=EURO_BANK, bank_cents=1_170)
    owner = xero.pay(foreign, 3_000, account=OWNER, bank_cents=2_550)
    found, _ = await read(connector)
    assert [(found[each].currency, found[each].amount, found[each].presented_currency, found[each].presented_amount) for each in (parity, other, owner)] == [
        ("EUR", 2_000, "GBP", 2_000),
        ("EUR", 1_170, "GBP", 1_000),
        ("GBP", 2_550, "EUR", 3_000),
    ]  # fmt: skip


async def test_credits_that_were_allocated_are_prepaid(xero: Organisation, connector: XeroAccountingConnector) -> None:
    customer = xero.contact("Blue Harbor")
    sale, note, over = (
        xero.invoice(customer, (10_000, "NONE", "200")),
        xero.credit_note(customer, (900, "NONE", "200")),
        xero.advance(customer, 700),
    )
    xero.allocate(note, sale, 600)
    xero.allocate(over, sale, 700)
    xero.pay(sale, 8_700)
    found, _ = await read(connector)
    assert (found[sale].prepaid, found[sale].amount_due, found[sale].status) == (1_300, 0, InvoiceStatus.PAID)
    assert (found[note].prepaid, found[note].amount_due) == (600, 300)


async def test_words_that_are_not_known_post_nothing_and_are_kept(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    customer = xero.contact("Blue Harbor")
    odd, fine, typed = (xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(3))
    payment = xero.pay(fine, 400)
    xero.change(odd, Status="MISPLACED")
    xero.change(typed, Type="SOMETHING")
    xero.change(payment, Status="ODD")
    pages = await pages_of(connector)
    found: dict[str, Document] = {each.external_id: each for page in pages for each in page.documents}
    (invoice, held) = found[odd], found[payment]
    assert isinstance(invoice, Invoice)
    assert isinstance(held, Payment)
    assert (invoice.status, invoice.source_status) == (InvoiceStatus.UNKNOWN, "MISPLACED")
    assert (held.status, held.source_status) == (PaymentStatus.PENDING, "ODD")
    problems = [problem for page in pages for problem in page.problems]
    assert {problem.subject for problem in problems} == {f"invoice {typed}", f"payment {payment}"}
    assert fine in found


async def test_amounts_that_are_not_exact_are_refused_alone(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    customer = xero.contact("Blue Harbor")
    fine, broken, yen = (xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(3))
    xero.change(broken, Total=10.001)
    xero.change(yen, CurrencyCode="JPY", SubTotal=10.5)
    pages = await pages_of(connector)
    assert {each.external_id for page in pages for each in page.documents} == {fine}
    assert {(problem.subject, problem.code) for page in pages for problem in page.problems} == {
        (f"invoice {broken}", "INEXACT_AMOUNT"),
        (f"invoice {yen}", "INEXACT_AMOUNT"),
    }


async def test_no_addresses_of_persons_are_kept(xero: Organisation, connector: XeroAccountingConnector) -> None:
    sale = xero.invoice(xero.contact("Blue Harbor"), (1_000, "NONE", "200"))
    xero.change(
        sale,
        Contact={
            **xero.records["Invoices"][sale]["Contact"],
            "EmailAddress": "ada@example.com",
            "Phones": [{"PhoneNumber": "1"}],
        },
    )
    found, _ = await read(connector)
    assert found[sale].raw["Contact"].keys() == {"ContactID", "Name"}
    assert "UpdatedDateUTC" not in found[sale].raw


# ---------------------------------------------------------------- what changed


async def test_a_later_pull_asks_for_what_changed_less_five_minutes(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    customer = xero.contact("Blue Harbor")
    first = xero.invoice(customer, (1_000, "NONE", "200"))
    _, cursor = await read(connector)
    xero.clock += timedelta(hours=1)
    _, cursor = await read(connector, cursor)
    began = xero.clock
    xero.asked.clear()
    second = xero.invoice(customer, (2_000, "NONE", "200"))
    found, _ = await read(connector, cursor)
    assert set(found) == {second}
    assert {since for name, _, since in xero.asked if name in xero.records} == {
        f"{began - timedelta(minutes=5):%Y-%m-%dT%H:%M:%SZ}"
    }
    assert first not in found


async def test_a_change_that_shows_late_is_read(xero: Organisation, connector: XeroAccountingConnector) -> None:
    """It bears the time at which its transaction began."""
    customer = xero.contact("Blue Harbor")
    xero.invoice(customer, (1_000, "NONE", "200"))
    xero.clock += timedelta(hours=1)
    _, cursor = await read(connector)
    late = xero.invoice(customer, (2_000, "NONE", "200"))
    xero.updated[late] = xero.clock - timedelta(minutes=4)
    assert set((await read(connector, cursor))[0]) == {late}


async def test_a_pull_that_finds_nothing_takes_five_calls(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    xero.invoice(xero.contact("Blue Harbor"), (1_000, "NONE", "200"))
    xero.clock += timedelta(hours=1)
    _, cursor = await read(connector)
    xero.asked.clear()
    assert len(await pages_of(connector, cursor)) == 1
    assert [name for name, _, _ in xero.asked] == ["Invoices", "CreditNotes", "Payments", "Overpayments", "Prepayments"]


async def test_what_is_voided_and_deleted_comes_as_changed(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    customer = xero.contact("Blue Harbor")
    sale, draft, paid = (xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(3))
    payment = xero.pay(paid, 1_000)
    _, cursor = await read(connector)
    xero.void(sale)
    xero.void(draft, status="DELETED")
    xero.unpay(payment)
    pages = await pages_of(connector, cursor)
    found = {each.external_id: each for page in pages for each in page.documents}
    voided, opened = found[sale], found[paid]
    assert isinstance(voided, Invoice)
    assert isinstance(opened, Invoice)
    assert (voided.status, opened.amount_due) == (InvoiceStatus.VOID, 1_000)
    assert {(each.kind, each.external_id) for page in pages for each in page.deletions} == {
        ("invoice", draft),
        ("payment", payment),
    }


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("counts_pages", [True, False])
async def test_every_page_is_read(xero: Organisation, connector: XeroAccountingConnector, counts_pages: bool) -> None:
    """Also where Xero does not say how many there are."""
    customer = xero.contact("Blue Harbor")
    made = {xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(11)}
    xero.page_size, xero.counts_pages = 3, counts_pages
    found, _ = await read(connector)
    assert set(found) == made


async def test_what_happens_while_pages_are_read_loses_no_record(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    """Before each page one is made and one changes: all that were there come with this pull, the rest with the next."""
    customer = xero.contact("Blue Harbor")
    made = [xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(20)]
    xero.page_size = 3
    first, cursor = await read(connector)
    assert set(first) == set(made)
    xero.clock += timedelta(hours=1)
    for each in made:
        xero.touch(each)

    async def happens(request: web.Request) -> None:
        if request.path.endswith("/Invoices") and len(made) < 40:
            made.append(xero.invoice(customer, (2_000, "NONE", "200")))
            xero.change(made[(len(made) * 7) % 20], Total=11.0, SubTotal=11.0)

    xero.before = happens
    found, cursor = await read(connector, cursor)
    assert set(made[:20]) <= set(found)
    xero.before = None
    later, _ = await read(connector, cursor)
    assert set(found) | set(later) == set(made)
    for each in made:
        held = later.get(each) or found[each]
        assert held.total == round(xero.records["Invoices"][each]["Total"] * 100)


async def test_a_pull_that_broke_off_goes_on_behind_its_last_page(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    """And sees what changed meanwhile on pages that were read before."""
    customer = xero.contact("Blue Harbor")
    made = sorted(xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(9))
    xero.page_size = 2
    pages = connector.pull(None)
    held = [await anext(pages) for _ in range(3)]
    await pages.aclose()  # type: ignore[attr-defined]
    assert XeroCursor.decode(held[-1].cursor).of("Invoices").page == 4
    xero.change(made[0], Total=11.0, SubTotal=11.0)
    xero.asked.clear()
    found, _ = await read(connector, held[-1].cursor)
    assert xero.asked[0][1]["page"] == "4"
    assert set(found) == {*made[6:], made[0]} | {each for each in made if each in found}
    assert found[made[0]].total == 1_100


async def test_a_listing_that_counts_more_than_it_gives_is_read_again(
    xero: Organisation, connector: XeroAccountingConnector
) -> None:
    customer = xero.contact("Blue Harbor")
    made = [xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(2)]
    hidden = 1

    async def hide(request: web.Request) -> web.StreamResponse | None:
        nonlocal hidden
        if not request.path.endswith("/Invoices") or not hidden:
            return None
        hidden -= 1
        counted = {"page": 1, "pageSize": 200, "pageCount": 1, "itemCount": 2}
        return web.json_response({"Invoices": [xero.records["Invoices"][made[0]]], "pagination": counted})

    xero.before = hide
    found, _ = await read(connector)
    assert set(found) == set(made)
    hidden = 9
    with pytest.raises(SourceUnavailable, match="counts more invoices than it lists"):
        await read(connector)


# ---------------------------------------------------------------- limits, tokens, answers


async def test_an_expired_token_is_renewed(xero: Organisation, connector: XeroAccountingConnector) -> None:
    xero.token_calls = 3
    sale = xero.invoice(xero.contact("Blue Harbor"), (1_000, "NONE", "200"))
    found, _ = await read(connector)
    assert set(found) == {sale}
    assert len(xero.tokens) > 1


async def test_the_minutes_limit_is_waited_out(xero: Organisation, connector: XeroAccountingConnector) -> None:
    """Retry-After comes with 429; few calls left are told in the log."""
    sale = xero.invoice(xero.contact("Blue Harbor"), (1_000, "NONE", "200"))
    xero.minute_limit = 3
    with structlog.testing.capture_logs() as logs:
        found, _ = await read(connector)
    assert set(found) == {sale}
    assert {"source_rate_limit_near", "source_retry"} <= {entry["event"] for entry in logs}


async def test_the_days_limit_ends_the_pull_which_goes_on_later(xero: Organisation) -> None:
    """Nobody waits for hours; what was read stays read."""
    customer = xero.contact("Blue Harbor")
    made = [xero.invoice(customer, (1_000, "NONE", "200")) for _ in range(4)]
    xero.page_size = 2

    async def spent(request: web.Request) -> web.StreamResponse | None:
        if request.query.get("page") != "2":
            return None
        return web.Response(status=429, headers={"Retry-After": "40000", "X-Rate-Limit-Problem": "day"})

    xero.before = spent
    held: list[Page] = []
    async with serving(xero, options=HttpOptions(deadline_seconds=5)) as patient:
        with pytest.raises(SourceUnavailable, match="allows no more requests for now"):
            await collect(patient, held)
    xero.before = None
    async with serving(xero) as later:
        found, _ = await read(later, held[-1].cursor)
    assert {each.external_id for page in held for each in page.documents} | set(found) == set(made)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (web.Response(status=500, text="{}"), "failed"),
        (web.Response(status=503), "is not working"),
        (web.Response(text='{"Invoices": [', content_type="application/json"), "cannot be read"),
        (web.Response(text="{}", content_type="application/json"), "has no list Invoices"),
        (web.Response(text="<Response/>", content_type="text/xml"), "instead of JSON"),
        (web.Response(status=403, text="{}"), "does not let this app read /Invoices"),
        (web.Response(text=json.dumps({"Invoices": [], "pagination": {"page": 7}}), content_type="application/json"), "another page"),
    ],
)  # fmt: skip
async def test_an_answer_that_is_none_ends_the_pull(
    xero: Organisation, connector: XeroAccountingConnector, answer: web.Response, said: str
) -> None:
    async def instead(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=answer.status, body=answer.body, content_type=answer.content_type)

    xero.before = instead
    with pytest.raises(SourceUnavailable, match=said):
        await pages_of(connector)


async def test_an_answer_that_is_too_large_is_not_read(xero: Organisation) -> None:
    customer = xero.contact("Blue Harbor")
    for _ in range(20):
        xero.invoice(customer, (1_000, "NONE", "200"))
    async with serving(xero, options=HttpOptions(response_bytes=5_000)) as small:
        with pytest.raises(SourceUnavailable, match="more than 5000 bytes"):
            await pages_of(small)


@pytest.mark.parametrize("missing", ["client_id", "client_secret", "tenant_id"])
def test_settings_that_are_missing_are_named(missing: str) -> None:
    with pytest.raises(ConfigurationError, match=f"sources.xero.{missing} must be set"):
        connected("http://127.0.0.1:1", **{missing: ""})
