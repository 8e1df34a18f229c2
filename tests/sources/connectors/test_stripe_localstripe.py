"""Pulls from localstripe, a stateful Stripe API that nobody of this project wrote, in an environment of its own.

localstripe 1.15 gives whole lists and pages through them; it has no filter on invoices and events, and no credit notes, so every
pull lists everything; its invoices say themselves which charge paid them; payouts it makes up, without balance transactions; it
has no disputes. It is started on loopback, on a free port, without its pickle in the temporary folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from sources.connectors.http import HttpOptions
from sources.connectors.stripe import StripeConnector
from sources.connectors.stripe_webhooks import verify_webhook
from sources.connectors.webhooks import Delivery, WebhookRefused
from sources.documents import Invoice, InvoiceStatus, Page, Party, Payment, PaymentStatus, PaymentType

VERSION = "1.15"
CACHE = Path(__file__).parents[3] / ".cache"
KEY = "sk_test_localstripe"

GOOD_CARD = "4242424242424242"
DECLINED_LATER = "4000000000000341"

LAUNCH = """
import socket
from aiohttp import web
from localstripe import resources, server
resources.Store.dump_to_disk = lambda store: None
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
web.run_app(server.app, sock=listener, print=None)
"""


def localstripe_python() -> Path:
    """The interpreter of an environment that holds localstripe, made once and kept. Skips where it cannot be installed."""
    home = CACHE / f"localstripe-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    python = Path("Scripts/python.exe") if os.name == "nt" else Path("bin/python")
    if (home / python).exists():
        return home / python
    making = CACHE / f"making-{uuid4().hex}"
    venv.create(making, with_pip=True)
    command = [making / python, "-m", "pip", "install", "--quiet", "--retries=1", f"localstripe=={VERSION}"]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        if installed.returncode:
            pytest.skip(f"localstripe cannot be installed: {(installed.stderr.strip().splitlines() or ['?'])[-1]}")
        # Where another worker was faster, its environment is used.
        with contextlib.suppress(OSError):
            making.rename(home)
    except subprocess.TimeoutExpired:
        pytest.skip("localstripe cannot be installed: no answer from the package index in time")
    finally:
        shutil.rmtree(making, ignore_errors=True)
    assert (home / python).exists()
    return home / python


@pytest.fixture(scope="module")
def localstripe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a running localstripe."""
    scratch = tmp_path_factory.mktemp("localstripe")
    process = subprocess.Popen(
        [localstripe_python(), "-c", LAUNCH],
        cwd=scratch,
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "localstripe ended before it listened"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Shop:
    """What a merchant does at Stripe, by the API's own words."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, path: str, **form: Any) -> dict[str, Any]:
        async with self._session.post(f"/v1/{path}", json=form) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    async def delete(self, path: str) -> None:
        async with self._session.delete(f"/v1/{path}") as response:
            assert response.status == 200

    async def customer(self, name: str | None, card: str, **fields: Any) -> str:
        customer = await self.post("customers", name=name, email="billing@example.com", **fields)
        method = await self.post(
            "payment_methods",
            type="card",
            card={"number": card, "exp_month": "12", "exp_year": "2040", "cvc": "123"},
        )
        await self.post(f"payment_methods/{method['id']}/attach", customer=customer["id"])
        default = {"default_payment_method": method["id"]}
        await self.post(f"customers/{customer['id']}", invoice_settings=default)
        return str(customer["id"])

    async def plan(self, amount: int, currency: str) -> str:
        product = await self.post("products", name="Seats", type="service")
        plan = await self.post(
            "plans", id=f"plan_{uuid4().hex}", product=product["id"], amount=amount, currency=currency, interval="month"
        )
        return str(plan["id"])

    async def subscribe(self, customer: str, plan: str, quantity: int, **fields: Any) -> dict[str, Any]:
        items = [{"plan": plan, "quantity": quantity}]
        return await self.post("subscriptions", customer=customer, items=items, **fields)


@pytest.fixture
async def shop(localstripe: str) -> AsyncIterator[Shop]:
    """An empty account."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(localstripe, headers=headers) as session:
        async with session.delete("/_config/data") as response:
            assert response.status == 200
        yield Shop(session)


@pytest.fixture
async def stripe(localstripe: str) -> AsyncIterator[StripeConnector]:
    connector = StripeConnector(name="local", base_url=localstripe, api_key=KEY, http=HttpOptions(waiting=False))
    yield connector
    await connector.close()


async def pull(stripe: StripeConnector, cursor: str | None = None) -> tuple[dict[str, Invoice], list[Page]]:
    pages = [page async for page in stripe.pull(cursor)]
    assert pages[-1].complete
    assert [problem for page in pages for problem in page.problems] == []
    documents = [each for page in pages for each in page.documents if isinstance(each, Invoice)]
    return {each.external_id: each for each in documents}, pages


async def test_an_invoice_of_a_subscription(shop: Shop, stripe: StripeConnector) -> None:
    """Three seats at 10.00 with 19 % tax, paid by card: the document says so, in our terms."""
    rate = await shop.post("tax_rates", display_name="VAT", inclusive=False, percentage=19)
    tax_id = {"type": "eu_vat", "value": "DE123456789"}
    customer = await shop.customer("Ada GmbH", GOOD_CARD, tax_id_data=[tax_id])
    plan = await shop.plan(1000, "eur")
    subscription = await shop.subscribe(customer, plan, 3, default_tax_rates=[rate["id"]])
    documents, _ = await pull(stripe)
    (invoice,) = documents.values()
    assert invoice.external_id == subscription["latest_invoice"]
    assert invoice.party == Party(name="Ada GmbH", external_id=customer, tax_id="DE123456789")
    assert (invoice.status, invoice.source_status, invoice.currency) == (InvoiceStatus.PAID, "paid", "EUR")
    assert (invoice.subtotal, invoice.tax, invoice.total, invoice.amount_due) == (3000, 570, 3570, 0)
    assert [(tax.code, tax.amount) for tax in invoice.taxes or ()] == [(rate["id"], 570)]
    (line,) = invoice.lines
    assert (line.description, line.quantity, line.amount) == ("Seats", "3", 3000)
    assert line.service_from is not None
    assert line.service_from < (line.service_to or line.service_from)


async def test_a_yen_has_no_cents(shop: Shop, stripe: StripeConnector) -> None:
    """500 at Stripe are 500 yen; a customer without a name goes by e-mail."""
    await shop.subscribe(await shop.customer(None, GOOD_CARD), await shop.plan(500, "jpy"), 1)
    (invoice,) = (await pull(stripe))[0].values()
    assert (invoice.currency, invoice.total, invoice.party.name) == ("JPY", 500, "billing@example.com")


async def test_changes_are_seen_by_the_next_pull(shop: Shop, stripe: StripeConnector) -> None:
    """Two invoices whose cards were declined are open; then one is paid, one is voided, and one is new."""
    plan = await shop.plan(2500, "usd")
    payer, debtor = [await shop.customer(name, DECLINED_LATER) for name in ("Payer", "Debtor")]
    paid = (await shop.subscribe(payer, plan, 1))["latest_invoice"]
    voided = (await shop.subscribe(debtor, plan, 2))["latest_invoice"]
    first, pages = await pull(stripe)
    assert {each.status for each in first.values()} == {InvoiceStatus.OPEN}
    assert (first[paid].amount_due, first[voided].amount_due) == (2500, 5000)
    card = {"number": GOOD_CARD, "exp_month": "12", "exp_year": "2040", "cvc": "123"}
    method = await shop.post("payment_methods", type="card", card=card)
    await shop.post(f"payment_methods/{method['id']}/attach", customer=payer)
    await shop.post(f"customers/{payer}", invoice_settings={"default_payment_method": method["id"]})
    await shop.post(f"invoices/{paid}/pay")
    await shop.post(f"invoices/{voided}/void")
    new = (await shop.subscribe(payer, plan, 3))["latest_invoice"]
    second, _ = await pull(stripe, pages[-1].cursor)
    assert {each.external_id: each.status for each in second.values()} == {
        paid: InvoiceStatus.PAID,
        voided: InvoiceStatus.VOID,
        new: InvoiceStatus.PAID,
    }
    assert (second[paid].amount_due, second[new].total) == (0, 7500)


async def test_many_invoices_and_many_lines(shop: Shop, stripe: StripeConnector) -> None:
    """Beyond a page of invoices and beyond the lines that an invoice holds; a deleted draft is stated as deleted."""
    customer = await shop.customer("Ada", GOOD_CARD)
    subscription = (await shop.subscribe(customer, await shop.plan(100, "usd"), 1))["id"]
    for number in range(12):
        await shop.post("invoiceitems", customer=customer, amount=number, currency="usd", description=f"Item {number}")
    long = (await shop.post("invoices", customer=customer, subscription=subscription))["id"]
    drafts = [(await shop.post("invoices", customer=customer, subscription=subscription))["id"] for _ in range(100)]
    first, pages = await pull(stripe)
    assert len(first) == 102
    assert len(first[long].lines) == 13
    assert first[long].total == 100 + sum(range(12))
    assert first[drafts[0]].status is InvoiceStatus.DRAFT
    await shop.delete(f"invoices/{drafts[50]}")
    second, pages = await pull(stripe, pages[-1].cursor)
    assert second.keys() == first.keys() - {drafts[50]}
    assert [each.external_id for page in pages for each in page.deletions] == [drafts[50]]


def payments(pages: list[Page]) -> dict[str, Payment]:
    return {each.external_id: each for page in pages for each in page.documents if isinstance(each, Payment)}


async def test_what_was_paid_for_a_subscription(shop: Shop, stripe: StripeConnector) -> None:
    """A charge with its payer and invoice; refunds of a part and of the rest; each moves the balance, which they add up to."""
    customer = await shop.customer("Ada GmbH", GOOD_CARD)
    invoice = (await shop.subscribe(customer, await shop.plan(1000, "eur"), 3))["latest_invoice"]
    (paid,) = payments((await pull(stripe))[1]).values()
    assert (paid.type, paid.status, paid.currency) == (PaymentType.PAYMENT, PaymentStatus.SUCCEEDED, "EUR")
    assert (paid.amount, paid.fee, paid.net) == (3000, 0, 3000)
    assert (paid.invoice_external_id, paid.party) == (invoice, Party(name="Ada GmbH", external_id=customer))
    one = await shop.post("refunds", charge=paid.external_id, amount=500)
    other = await shop.post("refunds", charge=paid.external_id, amount=2500)
    held = payments((await pull(stripe))[1])
    assert held.keys() == {paid.external_id, one["id"], other["id"]}
    for refund, amount in ((one, -500), (other, -2500)):
        returned = held[refund["id"]]
        assert (returned.type, returned.status) == (PaymentType.REFUND, PaymentStatus.SUCCEEDED)
        assert (returned.amount, returned.net, returned.parent_external_id) == (amount, amount, paid.external_id)
        assert (returned.invoice_external_id, returned.party) == (invoice, paid.party)
    assert sum(each.net or 0 for each in held.values()) == 0


async def test_charges_without_an_invoice(shop: Shop, stripe: StripeConnector) -> None:
    """One that was taken, one that was declined, one that is authorised, and is captured in part later."""
    payer, debtor = await shop.customer("Payer", GOOD_CARD), await shop.customer("Debtor", DECLINED_LATER)
    taken = await shop.post("charges", amount=700, currency="usd", customer=payer, description="A book")
    waiting = await shop.post("charges", amount=900, currency="usd", customer=payer, capture=False)
    with contextlib.suppress(AssertionError):  # status 402
        await shop.post("charges", amount=800, currency="usd", customer=debtor)
    held = payments((await pull(stripe))[1])
    assert sorted((each.amount, each.status) for each in held.values()) == [
        (700, "SUCCEEDED"),
        (800, "FAILED"),
        (900, "PENDING"),
    ]
    assert held[taken["id"]].description == "A book"
    assert held[taken["id"]].invoice_external_id is None
    await shop.post(f"charges/{waiting['id']}/capture", amount=600)
    held = payments((await pull(stripe))[1])
    assert held[waiting["id"]].status is PaymentStatus.SUCCEEDED
    of_it = [each.net or 0 for each in held.values() if waiting["id"] in (each.external_id, each.parent_external_id)]
    assert sorted(of_it) == [-300, 900]


async def test_its_signed_webhooks(shop: Shop, localstripe: str) -> None:
    """What it delivers verifies as it came, and not with another secret, a changed body or much later."""
    secret = "whsec_of_the_test"
    arrived: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def receive(request: web.Request) -> web.Response:
        await arrived.put((dict(request.headers), await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/webhooks/stripe", receive)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks/stripe"
    try:
        async with aiohttp.ClientSession(localstripe, headers={"Authorization": f"Bearer {KEY}"}) as session:
            wanted = ["invoice.payment_succeeded"]
            hook = {"url": url, "secret": secret, "events": wanted}
            async with session.post("/_config/webhooks/test", json=hook) as response:
                assert response.status == 200
        customer = await shop.customer("Ada", GOOD_CARD)
        invoice = (await shop.subscribe(customer, await shop.plan(1000, "eur"), 1))["latest_invoice"]
        async with asyncio.timeout(60):
            headers, body = await arrived.get()
            while invoice.encode() not in body:  # what earlier tests did
                headers, body = await arrived.get()
    finally:
        await runner.cleanup()

    def verified(*secrets: str, body: bytes = body, now: float | None = None) -> Delivery:
        return verify_webhook(headers, body, secrets, time.time() if now is None else now)

    (event,) = verified("whsec_before", secret).events
    assert (event.kind, event.subject) == ("invoice.payment_succeeded", invoice)
    for attempt in (
        lambda: verified("whsec_before"),
        lambda: verified(secret, body=body.replace(b"Ada", b"Eve") + b" "),
        lambda: verified(secret, now=time.time() + 400),
    ):
        with pytest.raises(WebhookRefused):
            attempt()
