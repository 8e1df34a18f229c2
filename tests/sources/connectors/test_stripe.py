"""Pulls from a server that speaks Stripe's protocol: whole, resumed, by events, and through its faults."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.stripe_company import Object, StripeCompany
from sources.connectors.http import HttpOptions, SourceRefused
from sources.connectors.stripe import StripeConnector
from sources.connectors.stripe_api import STRIPE_VERSION
from sources.connectors.stripe_cursor import COLLECTIONS, PAYMENTS, Listing, StripeCursor
from sources.connectors.stripe_listing import MAX_RESTARTS
from sources.documents import Invoice, InvoiceKind, InvoiceStatus, Page
from sources.errors import SourceUnavailable

KEY = "sk_test_4eC39HqLyjWDarjtT1zdp7dc"

Intercept = Callable[[web.Request, int], web.StreamResponse | None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Account:
    """The server's company, what was asked of it, and a function that may answer in its place."""

    company: StripeCompany
    url: str = ""
    requests: list[str] = field(default_factory=list)
    intercept: Intercept | None = None

    def first(self, status: str) -> Object:
        return next(invoice for invoice in self.company.invoices.values() if invoice["status"] == status)


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    app = stripe_app(seed=7, today=datetime.now(UTC).date(), api_key=KEY)
    served = Account(app[STRIPE])

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        assert request.headers["Stripe-Version"] == STRIPE_VERSION
        served.requests.append(request.path_qs)
        answer = served.intercept(request, len(served.requests)) if served.intercept else None
        return answer or await handler(request)

    app.middlewares.append(noted)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield served
    await runner.cleanup()


@pytest.fixture
async def stripe(account: Account) -> AsyncIterator[StripeConnector]:
    connector = StripeConnector(
        name="stripe-us", base_url=account.url, api_key=KEY, http=HttpOptions(waiting=False, attempts=3)
    )
    yield connector
    await connector.close()


async def pull(stripe: StripeConnector, cursor: str | None = None) -> list[Page]:
    pages = [page async for page in stripe.pull(cursor)]
    assert [page.complete for page in pages] == [False] * (len(pages) - 1) + [True]
    return pages


def documents(pages: list[Page]) -> dict[str, Invoice]:
    """The newest state of each document."""
    return {each.external_id: each for page in pages for each in page.documents if isinstance(each, Invoice)}


def deletions(pages: list[Page]) -> list[str]:
    assert all(each.kind == "invoice" for page in pages for each in page.deletions)
    return [each.external_id for page in pages for each in page.deletions]


def problems(pages: list[Page]) -> list[tuple[str, str]]:
    return [(each.subject, each.code) for page in pages for each in page.problems]


def refuse(path: str, status: int) -> Intercept:
    """The server does not give `path`."""

    def intercept(request: web.Request, _count: int) -> web.Response | None:
        error = {"error": {"type": "invalid_request_error", "message": "No."}}
        return web.json_response(error, status=status) if request.path == path else None

    return intercept


async def test_a_first_pull_reads_everything(stripe: StripeConnector, account: Account) -> None:
    """All invoices and credit notes, in pages of 100, with all their lines and their amounts in balance."""
    pages = await pull(stripe)
    read = documents(pages)
    assert read.keys() == account.company.invoices.keys() | account.company.credit_notes.keys()
    assert len(pages[0].documents) == 100
    assert not problems(pages)
    for stated in account.company.invoices.values():
        invoice = read[stated["id"]]
        assert (invoice.total, invoice.source_status) == (stated["total"], stated["status"])
        assert len(invoice.lines) == len(stated["lines"]["data"])
        assert sum(line.amount for line in invoice.lines) == invoice.subtotal == invoice.total - invoice.tax
        assert invoice.party.name == stated["customer_name"]
    assert max(len(invoice.lines) for invoice in read.values()) > 10
    notes = [invoice for invoice in read.values() if invoice.kind is InvoiceKind.CREDIT_NOTE]
    names = {customer["name"] for customer in account.company.customers.values()}
    assert notes
    assert {note.party.name for note in notes} <= names


async def test_another_account_or_mode_begins_afresh(account: Account) -> None:
    """A later start with the same account goes on; a server that does not tell its account changes nothing."""

    def named(account_id: str) -> Intercept:
        def intercept(request: web.Request, _count: int) -> web.Response | None:
            return web.json_response({"id": account_id}) if request.path == "/v1/account" else None

        return intercept

    async def read(cursor: str | None) -> tuple[bool, bool, str]:
        """Whether a new connector's pull begins afresh, whether it reads everything, and its cursor."""
        connector = StripeConnector(name="stripe-us", base_url=account.url, api_key=KEY)
        pages = await pull(connector, cursor)
        await connector.close()
        assert not any(page.afresh for page in pages[1:])
        return pages[0].afresh, len(documents(pages)) > 100, pages[-1].cursor or ""

    cursor = None
    for account_id, afresh, everything in (
        (None, False, True),
        ("acct_1", False, False),
        ("acct_1", False, False),
        ("acct_2", True, True),
        (None, False, False),
        ("acct_2", False, False),
    ):
        account.intercept = named(account_id) if account_id else None
        *found, cursor = await read(cursor)
        assert found == [afresh, everything]
    *found, _ = await read(cursor.replace('"mode":"test"', '"mode":"live"'))
    assert found == [True, True]


async def test_nothing_changed_costs_four_requests(stripe: StripeConnector, account: Account) -> None:
    """A pull without news asks for events (of more types than one request takes), new invoices and new movements of money."""
    first = await pull(stripe)
    account.requests.clear()
    second = await pull(stripe, first[-1].cursor)
    assert not documents(second)
    asked = sorted(path.partition("?")[0] for path in account.requests)
    assert asked == ["/v1/balance_transactions", "/v1/events", "/v1/events", "/v1/invoices"]


async def test_a_pull_brings_what_changed(stripe: StripeConnector, account: Account) -> None:
    """Paid, voided, new, deleted and renamed: each is seen by the next pull, once, and nothing else is read."""
    cursor = (await pull(stripe))[-1].cursor
    company, now = account.company, int(time.time())
    paid, open_again = account.first("open"), account.first("uncollectible")
    company.pay(paid, now)
    company.void(open_again, now)
    drafts = [invoice for invoice in company.invoices.values() if invoice["status"] == "draft"]
    company.delete(drafts[0], now)
    company.rename_customer(company.customers[drafts[1]["customer"]], "Renamed Foods", now)
    customer = next(iter(company.customers.values()))
    new = company.add_invoice(customer, now, [("Team plan", 2, 19_900)], tax_permille=82)
    note = company.add_credit_note(paid, now)
    pages = await pull(stripe, cursor)
    read = documents(pages)
    assert read[paid["id"]].status is InvoiceStatus.PAID
    assert read[paid["id"]].amount_due == 0
    assert read[open_again["id"]].status is InvoiceStatus.VOID
    assert read[new["id"]].total == 39_800 + 3_264
    assert read[note["id"]].kind is InvoiceKind.CREDIT_NOTE
    assert read[drafts[1]["id"]].party.name == "Renamed Foods"
    assert deletions(pages) == [drafts[0]["id"]]
    assert read.keys() == {paid["id"], open_again["id"], new["id"], note["id"], drafts[1]["id"], drafts[2]["id"]}
    later = await pull(stripe, pages[-1].cursor)
    assert documents(later).keys() <= {new["id"]}
    assert not deletions(later)


async def test_a_change_between_two_pages_is_not_lost(stripe: StripeConnector, account: Account) -> None:
    """An invoice that is paid after its page was read is read again before the first pull is complete."""
    oldest_first = list(account.company.invoices.values())
    invoice = next(each for each in reversed(oldest_first) if each["status"] == "open")
    pages = []
    async for page in stripe.pull(None):
        if not pages:
            account.company.pay(invoice, int(time.time()))
        pages.append(page)
    assert [each.status for page in pages for each in page.documents if each.external_id == invoice["id"]] == [  # type: ignore[union-attr]
        InvoiceStatus.OPEN,
        InvoiceStatus.PAID,
    ]


async def test_a_change_behind_a_listing_that_ran_beside_the_events_is_read(
    stripe: StripeConnector, account: Account
) -> None:
    """Both are asked for at once: a new invoice may have been listed before it was paid, and its event told after."""
    company, now = account.company, int(time.time())
    cursor = (await pull(stripe, (await pull(stripe))[-1].cursor))[-1].cursor
    customer = next(iter(company.customers.values()))
    invoice = company.add_invoice(customer, now, [("Team plan", 1, 19_900)], tax_permille=0)
    company.finalize(invoice, now)
    before = json.loads(json.dumps(invoice))
    company.pay(invoice, now)

    def listed_before(request: web.Request, _count: int) -> web.Response | None:
        answer = {"object": "list", "has_more": False, "data": [before]}
        return web.json_response(answer) if request.path == "/v1/invoices" else None

    account.intercept = listed_before
    assert documents(await pull(stripe, cursor))[invoice["id"]].status is InvoiceStatus.PAID


async def test_a_first_pull_goes_on_where_it_stopped(stripe: StripeConnector, account: Account) -> None:
    """After a failure the pages that were stored are not asked for again."""

    def fail_second_page(request: web.Request, count: int) -> web.Response | None:
        return web.Response(status=500) if count >= 2 and "starting_after" in request.query else None

    account.intercept = fail_second_page
    pages = stripe.pull(None)
    stored = [await anext(pages)]
    with pytest.raises(SourceUnavailable, match="failed"):
        await anext(pages)
    assert [len(page.documents) for page in stored] == [100]
    account.intercept = None
    account.requests.clear()
    rest = await pull(stripe, stored[0].cursor)
    assert "starting_after" in account.requests[0]
    assert documents(stored + rest).keys() >= account.company.invoices.keys()


async def test_a_listing_outlives_the_draft_that_it_stood_at(stripe: StripeConnector, account: Account) -> None:
    """Where the invoice that the next page starts behind was deleted, the listing begins again, and it ends."""
    draft = account.first("draft")
    stood = StripeCursor(
        since=int(time.time()),
        listing=Listing(collection="invoices", after=draft["id"]),
        drafts=frozenset({draft["id"]}),
    )
    account.company.delete(draft, int(time.time()))
    pages = await pull(stripe, stood.encode())
    assert documents(pages).keys() >= account.company.invoices.keys()
    assert set(deletions(pages)) == {draft["id"]}


@pytest.mark.parametrize("status", [400, 404])
async def test_a_server_that_never_goes_on_behind_an_object_ends_the_pull(
    stripe: StripeConnector, account: Account, status: int
) -> None:
    """The listing is begun anew a few times, and not for ever."""

    def refuse_to_go_on(request: web.Request, _count: int) -> web.Response | None:
        return web.json_response({}, status=status) if "starting_after" in request.query else None

    account.intercept = refuse_to_go_on
    with pytest.raises(SourceUnavailable, match="does not go on"):
        await asyncio.wait_for(pull(stripe), 10)
    listed = [path for path in account.requests if path.startswith("/v1/invoices?") and "starting_after" not in path]
    assert len(listed) == MAX_RESTARTS + 1


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_without_events_everything_is_listed(stripe: StripeConnector, account: Account, status: int) -> None:
    """Each pull reads all; a draft that is gone is stated as deleted once the server says that it has none."""
    account.intercept = refuse("/v1/events", status)
    first = await pull(stripe)
    paid, draft = account.first("open"), account.first("draft")
    account.company.pay(paid, int(time.time()))
    account.company.delete(draft, int(time.time()))
    second = await pull(stripe, first[-1].cursor)
    assert documents(second)[paid["id"]].status is InvoiceStatus.PAID
    assert documents(second).keys() == account.company.invoices.keys() | account.company.credit_notes.keys()
    assert deletions(second) == [draft["id"]]
    assert deletions(await pull(stripe, second[-1].cursor)) == []


async def test_a_draft_that_a_listing_missed_is_not_called_deleted(stripe: StripeConnector, account: Account) -> None:
    """Only the server's own word makes a deletion: a draft that exists is read instead."""
    account.intercept = refuse("/v1/events", 403)
    first = await pull(stripe)
    draft = account.first("draft")
    page_of_others = [each for each in account.company.invoices.values() if each is not draft][:3]

    def without_draft(request: web.Request, _count: int) -> web.Response | None:
        if request.path == "/v1/invoices":
            return web.json_response({"object": "list", "data": page_of_others, "has_more": False})
        return refuse("/v1/events", 403)(request, 0)  # type: ignore[return-value]

    account.intercept = without_draft
    second = await pull(stripe, first[-1].cursor)
    assert deletions(second) == []
    assert draft["id"] in documents(second)


async def test_after_a_long_pause_everything_is_listed(stripe: StripeConnector, account: Account) -> None:
    """Events older than Stripe keeps them cannot be relied on; drafts deleted meanwhile are found all the same."""
    cursor = (await pull(stripe))[-1].cursor
    state = json.loads(cursor or "")
    state["since"] -= 26 * 86_400
    draft = account.first("draft")
    account.company.delete(draft, int(time.time()))
    account.company.events.clear()
    pages = await pull(stripe, json.dumps(state))
    assert documents(pages).keys() == account.company.invoices.keys() | account.company.credit_notes.keys()
    assert deletions(pages) == [draft["id"]]


async def test_a_listing_that_was_interrupted_long_ago_begins_anew(stripe: StripeConnector, account: Account) -> None:
    """What changed behind it since then is told by events that may be gone."""
    first = await anext(aiter(stripe.pull(None)))
    state = json.loads(first.cursor or "")
    assert state["listing"]["after"]
    state["since"] -= 26 * 86_400
    paid = account.first("open")
    account.company.pay(paid, int(time.time()))
    account.company.events.clear()
    pages = await pull(stripe, json.dumps(state))
    assert documents(pages).keys() == account.company.invoices.keys() | account.company.credit_notes.keys()


@pytest.mark.parametrize("cursor", ["", "x", "[]", '{"version": 99}', '{"version": 1}', '{"version": 1, "since": 1}'])
async def test_a_cursor_of_another_kind_starts_over(stripe: StripeConnector, account: Account, cursor: str) -> None:
    """What this version did not write is not trusted."""
    assert documents(await pull(stripe, cursor)).keys() >= account.company.invoices.keys()


async def test_an_unreadable_record_costs_itself(stripe: StripeConnector, account: Account) -> None:
    """Every readable invoice of the page arrives; each of the others is a problem with its reason."""
    invoices = list(account.company.invoices.values())
    no_amount, odd_currency, fraction = invoices[-1], invoices[-2], invoices[-3]
    no_amount["total"] = None
    odd_currency["currency"] = "zzz"
    fraction["lines"]["data"][0]["amount"] = 10.5
    pages = await pull(stripe)
    assert problems(pages) == [
        (f"invoice {no_amount['id']}", "UNREADABLE_RECORD"),
        (f"invoice {odd_currency['id']}", "UNKNOWN_CURRENCY"),
        (f"invoice {fraction['id']}", "UNREADABLE_RECORD"),
    ]
    assert "it has no total" in pages[0].problems[0].message
    assert len(documents(pages)) == len(invoices) - 3 + len(account.company.credit_notes)


async def test_records_that_are_no_objects_are_problems(stripe: StripeConnector, account: Account) -> None:
    """A list may hold anything; what follows is still read."""
    good = account.first("paid")

    def odd_list(request: web.Request, _count: int) -> web.Response | None:
        body = {"object": "list", "data": [None, 7, "in_1", [], {}, {"id": 5}, good], "has_more": False}
        return web.json_response(body) if request.path == "/v1/invoices" else None

    account.intercept = odd_list
    pages = await pull(stripe)
    assert problems(pages)[:6] == [("invoice without an id", "UNREADABLE_RECORD")] * 6
    assert good["id"] in documents(pages)


async def test_a_key_that_may_not_read_credit_notes_is_a_problem(stripe: StripeConnector, account: Account) -> None:
    """Invoices are read and each pull tells the missing permission; once it is there, all credit notes are read."""
    account.intercept = refuse("/v1/credit_notes", 403)
    first = await pull(stripe)
    assert problems(first) == [("credit notes", "FORBIDDEN")]
    assert documents(first).keys() == account.company.invoices.keys()
    account.company.add_credit_note(account.first("paid"), int(time.time()))
    second = await pull(stripe, first[-1].cursor)
    assert problems(second) == [("credit notes", "FORBIDDEN")]
    account.intercept = None
    third = await pull(stripe, second[-1].cursor)
    assert problems(third) == []
    assert documents(third).keys() == account.company.credit_notes.keys()


async def test_a_server_without_credit_notes_has_none(stripe: StripeConnector, account: Account) -> None:
    """404 for the list is no missing permission."""
    account.intercept = refuse("/v1/credit_notes", 404)
    pages = await pull(stripe)
    assert problems(pages) == []
    assert documents(pages).keys() == account.company.invoices.keys()


async def test_a_rate_limit_in_between_is_waited_out(stripe: StripeConnector, account: Account) -> None:
    """Replies of 429 with Retry-After cost time, not documents."""

    met: set[str] = set()

    def first_of_each(request: web.Request, _count: int) -> web.Response | None:
        known = request.path_qs in met
        met.add(request.path_qs)
        return None if known else web.Response(status=429, headers={"Retry-After": "1"})

    account.intercept = first_of_each
    assert documents(await pull(stripe)).keys() >= account.company.invoices.keys()


async def test_a_wrong_key_is_refused_in_words(account: Account) -> None:
    """The sentence says what to check, and does not repeat the key."""
    stripe = StripeConnector(name="stripe-us", base_url=account.url, api_key="sk_test_wrong")
    with pytest.raises(SourceRefused, match=r"'stripe-us' refused our credentials .status 401") as refused:
        await pull(stripe)
    assert "sk_test" not in str(refused.value)
    await stripe.close()


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "something else than a list"),
        ({"data": 5}, "something else than a list"),
        ({"data": [], "has_more": True}, "cannot be paged through"),
        ({"data": [{"total": 5}], "has_more": True}, "cannot be paged through"),
    ],
)
async def test_an_answer_that_is_no_list_is_an_error(
    stripe: StripeConnector, account: Account, body: Any, sentence: str
) -> None:
    """Nothing is taken for an empty account, and no list is paged through for ever."""
    account.intercept = lambda _request, _count: web.json_response(body)
    with pytest.raises(SourceUnavailable, match=sentence):
        await pull(stripe)


async def test_events_of_any_shape_are_passed_over(stripe: StripeConnector, account: Account) -> None:
    """Upcoming invoices have no id, and other events are none of ours."""
    cursor = (await pull(stripe))[-1].cursor
    now = int(time.time())
    odd: list[Any] = [None, 5, {}, {"id": "evt_1", "type": "invoice.updated"}, {"id": "evt_2", "type": 7, "data": []}]
    odd += [{"id": "evt_3", "type": "invoice.upcoming", "data": {"object": {"object": "invoice"}}, "created": now}]

    def odd_events(request: web.Request, _count: int) -> web.Response | None:
        body = {"object": "list", "data": odd, "has_more": False}
        return web.json_response(body) if request.path == "/v1/events" else None

    account.intercept = odd_events
    pages = await pull(stripe, cursor)
    assert not documents(pages)
    assert pages[-1].deletions == []


async def test_customers_are_asked_for_where_invoices_do_not_name_them(
    stripe: StripeConnector, account: Account
) -> None:
    """Each customer once in a pull; one that is gone leaves its id as the name."""
    account.intercept = None
    for invoice in account.company.invoices.values():
        invoice.pop("customer_name")
        invoice.pop("customer_email")
    gone = next(iter(account.company.customers))
    for note in [note for note in account.company.credit_notes.values() if note["customer"] == gone]:
        del account.company.credit_notes[note["id"]]
    del account.company.customers[gone]
    read = documents(await pull(stripe))
    assert len([path for path in account.requests if path.startswith("/v1/customers/")]) == len(
        {invoice["customer"] for invoice in account.company.invoices.values()}
    )
    for invoice in account.company.invoices.values():
        customer = account.company.customers.get(invoice["customer"])
        assert read[invoice["id"]].party.name == (customer["name"] if customer else gone)


async def test_a_pull_that_is_abandoned_leaves_nothing_behind(stripe: StripeConnector, account: Account) -> None:
    """Cancelling a pull ends all the requests that it had under way."""
    arrived = asyncio.Event()

    def announce(request: web.Request, _count: int) -> None:
        if request.path.endswith("/lines"):
            arrived.set()

    account.intercept = announce
    reading = asyncio.create_task(pull(stripe))
    await arrived.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    running = {getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()}
    assert not [name for name in running if name.startswith("StripeApi")]


async def test_stripe_has_no_payslips(stripe: StripeConnector) -> None:
    """The protocol's way to say so."""
    assert await stripe.fetch_payslips("any") is None


def test_a_cursor_reads_back_what_was_written() -> None:
    """Also in the midst of a listing; what it remembers is bounded."""
    state = StripeCursor(
        since=5,
        drafts=frozenset({"in_1"}),
        seen=frozenset({"evt_1"}),
        listing=Listing(collection="credit_notes", queue=("charges",), after="cn_1"),
        owed=frozenset({"payouts"}),
    )
    assert StripeCursor.decode(state.encode()) == state
    many = StripeCursor(since=5).with_draft_states([f"in_{number:06}" for number in range(20_000)], ())
    assert len(many.drafts) == 10_000


def test_a_cursor_from_before_payments_owes_them() -> None:
    """What was read stays read; the payments are listed by the next pull, or by the listing that is under way."""
    before = {
        "version": 1,
        "since": 5,
        "drafts": ["in_1"],
        "seen": ["evt_1"],
        "owed": True,
        "account": "acct_1",
        "mode": "test",
    }
    state = StripeCursor.decode(json.dumps(before))
    assert state.owed == {"credit_notes", *PAYMENTS}
    assert (state.since, state.drafts, state.account) == (5, {"in_1"}, "acct_1")
    listing = state.listing_owed().listing
    assert listing == Listing(collection="credit_notes", queue=PAYMENTS)
    under_way = {**before, "listing": {"collection": "invoices", "after": "in_9", "drafts": []}}
    state = StripeCursor.decode(json.dumps(under_way))
    assert state.listing == Listing(collection="invoices", queue=COLLECTIONS[1:], after="in_9")
    assert not state.owed
