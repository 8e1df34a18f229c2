"""Movements of money at Stripe: from a server that moves it, by listing and by events, and objects of Stripe's own fixtures."""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.demo.servers.stripe import STRIPE, stripe_app
from gateway.demo.servers.stripe_company import StripeCompany
from gateway.demo.servers.stripe_money import DAY, StripeMoney
from sources.connectors.http import HttpOptions
from sources.connectors.stripe import StripeConnector
from sources.connectors.stripe_payments import (
    parse_charge,
    parse_dispute,
    parse_movement,
    parse_payout,
    parse_refund,
    stands_for,
)
from sources.connectors.stripe_records import UnreadableRecord
from sources.documents import Invoice, Page, Payment, PaymentStatus, PaymentType

KEY = "sk_test_payments"
CORPORA = Path(os.environ.get("CORPORA", Path(__file__).parents[4] / "shared" / "corpora"))
FIXTURES = CORPORA / "stripe" / "fixtures3.json"
MARCH = int(datetime(2026, 3, 10, 12, tzinfo=UTC).timestamp())
COUNTS_FOR_NOTHING = (PaymentStatus.FAILED, PaymentStatus.CANCELED)


@dataclass
class Account:
    company: StripeCompany
    connector: StripeConnector
    refused: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    held: dict[str, Payment] = field(default_factory=dict)
    raw_invoices: list[Any] = field(default_factory=list)
    cursor: str | None = None
    plain: bool = False

    def asked(self, path: str) -> int:
        return len([each for each in self.requests if each.startswith(path)])

    def open_invoice(self) -> dict[str, Any]:
        return next(each for each in self.company.invoices.values() if each["status"] == "open")

    @property
    def money(self) -> StripeMoney:
        return self.company.money

    async def pull(self) -> list[Page]:
        """What a mirror would hold after it, in `held`."""
        pages = [page async for page in self.connector.pull(self.cursor)]
        assert pages[-1].complete
        self.cursor = pages[-1].cursor
        for page in pages:
            for each in page.documents:
                if isinstance(each, Invoice):
                    self.raw_invoices.append(each.raw)
                if isinstance(each, Payment):
                    self.held[each.external_id] = each
        return pages

    def balance(self) -> int:
        return sum(each.net or 0 for each in self.held.values() if each.status not in COUNTS_FOR_NOTHING)


@pytest.fixture
async def account() -> AsyncIterator[Account]:
    """A year of invoices that were paid, and weekly payouts."""
    app = stripe_app(seed=7, today=datetime.now(UTC).date(), api_key=KEY)

    @web.middleware
    async def noted(request: web.Request, handler: Any) -> web.StreamResponse:
        served.requests.append(request.path_qs)
        status = next((each for path, each in served.refused.items() if request.path.startswith(path)), None)
        if served.plain and "payments" in request.query_string and request.path.startswith("/v1/invoices"):
            status = 400
        if status is not None:
            return web.json_response({"error": {"message": "No."}}, status=status)
        answer: web.StreamResponse = await handler(request)
        return answer

    app.middlewares.append(noted)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    connector = StripeConnector(name="stripe", base_url=url, api_key=KEY, http=HttpOptions(waiting=False, attempts=2))
    served = Account(app[STRIPE], connector)
    yield served
    await connector.close()
    await runner.cleanup()


async def test_everything_that_moved_adds_up_to_the_balance(account: Account) -> None:
    """Each charge with its fee, its payer and the invoice that it pays; each payout with what it pays out."""
    money = account.money
    money.fee(2_500, int(time.time()) - 40 * DAY)
    await account.pull()
    assert account.held.keys() >= {*money.charges, *money.payouts}
    assert account.balance() == money.balance
    invoices = {each["payment"]["payment_intent"]: each["invoice"] for each in money.invoice_payments.values()}
    for charge in money.charges.values():
        payment = account.held[charge["id"]]
        moved = money.movements[charge["balance_transaction"]]
        assert (payment.type, payment.status) == (PaymentType.PAYMENT, PaymentStatus.SUCCEEDED)
        assert (payment.amount, payment.fee, payment.net) == (moved["amount"], moved["fee"], moved["net"])
        assert payment.invoice_external_id == invoices[charge["payment_intent"]]
        assert payment.party is not None
        assert payment.party.name == account.company.customers[charge["customer"]]["name"]
        assert "receipt_url" not in payment.raw
    for payout in money.payouts.values():
        payment = account.held[payout["id"]]
        assert payment.amount == payment.net == -payout["amount"]
        assert sum(account.held[each].net or 0 for each in payment.paid_out) == payout["amount"]
        assert (payment.bank_account, payment.reference) == (payout["destination"], payout["trace_id"]["value"])


async def test_refunds_disputes_fees_and_payouts_as_they_happen(account: Account) -> None:
    """After each of them the next pull holds it, and all add up to the balance again."""
    money, now = account.money, int(time.time())
    await account.pull()
    one, other = list(money.charges.values())[-2:]

    refund = money.refund(one, 500, now)
    dispute = money.dispute(other, now)
    fee = money.fee(1_234, now)
    earning = money._move("platform_earning", "fee_1", 77, 0, now)
    await account.pull()
    read = account.held[refund["id"]]
    assert (read.type, read.amount, read.net, read.parent_external_id) == (PaymentType.REFUND, -500, -500, one["id"])
    assert read.invoice_external_id == account.held[one["id"]].invoice_external_id
    assert read.party == account.held[one["id"]].party
    taken = account.held[dispute["id"]]
    assert (taken.type, taken.status, taken.source_status) == ("DISPUTE", "SUCCEEDED", "needs_response")
    assert (taken.amount, taken.fee, taken.net) == (-other["amount"], 1_500, -other["amount"] - 1_500)
    assert taken.parent_external_id == other["id"]
    assert "evidence" not in taken.raw
    charged = account.held[fee["id"]]
    assert (charged.type, charged.amount, charged.fee, charged.net) == (PaymentType.FEE, -1_234, 0, -1_234)
    assert (account.held[earning["id"]].type, account.held[earning["id"]].amount) == (PaymentType.FEE, 77)
    assert account.balance() == money.balance

    money.close_dispute(dispute, "won", now + 1)
    back = dispute["balance_transactions"][1]["id"]
    money.charge(10_000, now + 1)
    payout = money.pay_out(now + 2)
    assert payout is not None
    await account.pull()
    returned = account.held[back]
    assert (returned.type, returned.amount, returned.parent_external_id) == ("DISPUTE", other["amount"], dispute["id"])
    assert account.held[dispute["id"]].source_status == "won"
    assert (account.held[payout["id"]].status, account.held[payout["id"]].source_status) == ("PENDING", "in_transit")
    assert {refund["id"], dispute["id"], back, fee["id"]} <= set(account.held[payout["id"]].paid_out)
    assert account.balance() == money.balance


async def test_what_fails_after_it_moved_counts_for_nothing(account: Account) -> None:
    """A refund and a payout that come back are FAILED; what Stripe charges for that is a fee."""
    money, now = account.money, int(time.time())
    refund = money.refund(next(iter(money.charges.values())), 900, now)
    money.charge(50_000, now)
    payout = money.pay_out(now)
    assert payout is not None
    await account.pull()
    money.fail_refund(refund, now + 1, fee=400)
    money.fail_payout(payout, now + 1)
    await account.pull()
    assert account.held[refund["id"]].status is account.held[payout["id"]].status is PaymentStatus.FAILED
    fees = [each for each in account.held.values() if each.parent_external_id == refund["id"]]
    assert [(each.type, each.amount, each.net) for each in fees] == [(PaymentType.FEE, -400, -400)]
    assert account.balance() == money.balance


async def test_authorised_captured_released(account: Account) -> None:
    """Only what was captured of a charge counts, from the day of its capture."""
    money, now = account.money, int(time.time())
    held, let_go = money.authorise(5_000, now - 3 * DAY), money.authorise(700, now)
    await account.pull()
    assert {account.held[each["id"]].status for each in (held, let_go)} == {PaymentStatus.PENDING}
    assert account.held[held["id"]].net is None
    money.capture(held, 4_000, now)
    money.release(let_go, now)
    await account.pull()
    taken = account.held[held["id"]]
    assert (taken.status, taken.amount, taken.fee) == (PaymentStatus.SUCCEEDED, 4_000, 146)
    assert taken.occurred_on == datetime.fromtimestamp(now, UTC).date()
    assert account.held[let_go["id"]].status is PaymentStatus.CANCELED
    assert account.balance() == money.balance


async def test_an_inquiry_moves_nothing(account: Account) -> None:
    """It is pending until it is closed, or becomes a dispute."""
    money, now = account.money, int(time.time())
    dispute = money.dispute(next(iter(money.charges.values())), now, inquiry=True)
    await account.pull()
    assert (account.held[dispute["id"]].status, account.held[dispute["id"]].net) == (PaymentStatus.PENDING, None)
    money.close_dispute(dispute, "warning_closed", now)
    await account.pull()
    assert account.held[dispute["id"]].status is PaymentStatus.CANCELED
    assert account.balance() == money.balance


async def test_nothing_is_read_twice(account: Account) -> None:
    """What the overlap of two pulls tells again is known."""
    money, now = account.money, int(time.time())
    await account.pull()
    money.charge(100, now)
    money.fee(5, now)
    await account.pull()
    account.requests.clear()
    pages = await account.pull()
    assert not [each for page in pages for each in page.documents if isinstance(each, Payment)]
    assert len(account.requests) == 4


@pytest.mark.parametrize("collection", ["charges", "refunds", "disputes", "payouts", "balance_transactions"])
async def test_a_list_that_the_key_may_not_read_costs_itself(account: Account, collection: str) -> None:
    """Each pull says so, and everything is there once it may."""
    money, now = account.money, int(time.time())
    charge = next(iter(money.charges.values()))
    account.refused = {f"/v1/{collection}": 403}
    for _ in range(2):
        pages = await account.pull()
        found = [(each.subject, each.code) for page in pages for each in page.problems]
        assert found == [(collection.replace("_", " "), "FORBIDDEN")]
    money.refund(charge, 100, now)
    money.dispute(charge, now)
    money.fee(3, now)
    money.pay_out(now)
    await account.pull()
    account.refused.clear()
    pages = await account.pull()
    assert not [each for page in pages for each in page.problems]
    assert account.balance() == money.balance
    assert account.held.keys() >= {*money.charges, *money.refunds, *money.disputes, *money.payouts}


@pytest.mark.parametrize(
    "collection", ["credit_notes", "charges", "refunds", "disputes", "payouts", "balance_transactions"]
)
async def test_a_permission_that_is_taken_away_costs_one_list(account: Account, collection: str) -> None:
    """The pull that notices says so and reads everything else; nothing is missing once the permission is back."""
    money, now = account.money, int(time.time())
    await account.pull()
    account.refused = {f"/v1/{collection}": 403}
    charge, _ = money.charge(90_000, now), money.charge(50_000, now)
    money.refund(charge, 100, now)
    money.dispute(charge, now)
    money.fee(3, now)
    money.pay_out(now)
    paid = account.open_invoice()
    account.company.pay(paid, now)
    account.company.add_credit_note(paid, now)
    for _ in range(2):
        pages = await account.pull()
        found = {(each.subject, each.code) for page in pages for each in page.problems}
        assert found == {(collection.replace("_", " "), "FORBIDDEN")}
    account.refused.clear()
    pages = await account.pull()
    assert not [each for page in pages for each in page.problems]
    assert account.balance() == money.balance


async def test_invoices_that_name_their_payments_spare_questions(account: Account) -> None:
    """What was listed with its payments, or read anew because it was paid, is not asked for once more."""
    await account.pull()
    account.company.pay(account.open_invoice(), int(time.time()))
    await account.pull()
    assert all(each.invoice_external_id for each in account.held.values() if each.type == "PAYMENT")
    assert account.asked("/v1/invoice_payments") == 0
    assert not any("payments" in raw for raw in account.raw_invoices)


async def test_a_server_that_does_not_name_them_is_asked_for_each(account: Account) -> None:
    """Once for each payment; a server that does not tell at all is not asked on and on, and payments are read without."""
    account.plain = True
    await account.pull()
    assert all(each.invoice_external_id for each in account.held.values() if each.type == "PAYMENT")
    assert account.asked("/v1/invoice_payments") == len(account.money.charges)
    account.cursor, account.refused = None, {"/v1/invoice_payments": 404}
    account.requests.clear()
    await account.pull()
    assert {each.invoice_external_id for each in account.held.values()} == {None}
    assert account.asked("/v1/invoice_payments") <= 100


async def test_without_events_everything_is_listed(account: Account) -> None:
    """As test servers are read, and keys that may not read events."""
    account.refused = {"/v1/events": 403}
    await account.pull()
    money, now = account.money, int(time.time())
    money.refund(next(iter(money.charges.values())), 100, now)
    money.fee(3, now)
    await account.pull()
    assert account.balance() == money.balance


# ---------------------------------------------------------------- objects


def charge(**more: Any) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "amount": 1000,
        "currency": "usd",
        "created": MARCH,
        "status": "succeeded",
        "captured": True,
        **more,
    }


def moved(**more: Any) -> dict[str, Any]:
    stated = {
        "id": "txn_1",
        "amount": 1000,
        "fee": 59,
        "net": 941,
        "currency": "usd",
        "created": MARCH,
        "type": "charge",
    }
    return {**stated, **more}


def test_another_currency_than_the_balances() -> None:
    """The balance's amounts count; what the payer paid is the presented amount, signed alike."""
    settled = moved(amount=1085, fee=62, net=1023, exchange_rate=1.085)
    paid = parse_charge(charge(currency="eur", balance_transaction=settled), None)
    assert (paid.currency, paid.amount, paid.fee, paid.net) == ("USD", 1085, 62, 1023)
    assert (paid.presented_currency, paid.presented_amount) == ("EUR", 1000)
    back = {"id": "re_1", "amount": 1000, "currency": "eur", "created": MARCH, "status": "succeeded", "charge": "ch_1"}
    returned = parse_refund({**back, "balance_transaction": moved(amount=-1085, fee=0, net=-1085)}, "in_1")
    assert (returned.presented_amount, returned.amount, returned.invoice_external_id) == (-1000, -1085, "in_1")


@pytest.mark.parametrize(
    ("stated", "status"),
    [
        ({"status": "failed"}, "FAILED"),
        ({"status": "pending"}, "PENDING"),
        ({"status": "of tomorrow"}, "PENDING"),
        ({"captured": False}, "PENDING"),
        ({"captured": False, "refunded": True}, "CANCELED"),
        ({}, "SUCCEEDED"),
    ],
)
def test_what_a_charge_says_of_itself(stated: dict[str, Any], status: str) -> None:
    """Only money that was taken succeeded."""
    assert parse_charge(charge(**stated), None).status == status


def test_figures_that_disagree_are_refused() -> None:
    """A net that is not amount less fee could not be posted."""
    with pytest.raises(UnreadableRecord, match="is not its amount 1000 less its fee 59") as refused:
        parse_charge(charge(balance_transaction=moved(net=900)), None)
    assert refused.value.code == "DISAGREEING_FIGURES"


def test_movements_that_another_object_stands_for_are_not_counted_twice() -> None:
    """By category, or by type where there is none; what is unknown is a transfer, so that nothing is missing."""
    assert parse_movement(moved(reporting_category="charge")) is None
    assert parse_movement(moved(type="payment_refund")) is None
    fee = parse_movement(moved(type="stripe_fx_fee", amount=-7, fee=0, net=-7))
    assert fee is not None
    assert (fee.type, fee.amount) == (PaymentType.FEE, -7)
    topup = parse_movement(moved(type="topup", source="tu_1"))
    assert topup is not None
    assert (topup.type, topup.reference) == (PaymentType.TRANSFER, "tu_1")
    assert stands_for(moved(type="adjustment", reporting_category="dispute", source="dp_1")) == "dp_1"
    assert stands_for(moved(type="adjustment", reporting_category="dispute_reversal", source="dp_1")) == "txn_1"
    assert stands_for(moved(type="topup", source="tu_1")) == "txn_1"


def test_secrets_and_evidence_are_not_kept() -> None:
    """At any depth, and objects that were asked for in full are ids again."""
    source = {"object": "source", "client_secret": "src_secret", "owner": {"name": "Ada"}}
    customer = {"id": "cus_1", "name": "Ada"}
    read = parse_charge(charge(source=source, receipt_url="https://…", customer=customer), None)
    assert "secret" not in json.dumps(dict(read.raw))
    assert read.raw["customer"] == "cus_1"


@pytest.fixture(scope="module")
def fixtures() -> dict[str, Any]:
    if not FIXTURES.exists():
        pytest.skip(f"Stripe's fixtures are not at {FIXTURES}")
    resources: dict[str, Any] = json.loads(FIXTURES.read_text())["resources"]
    return resources


def test_stripes_own_fixtures_are_read(fixtures: dict[str, Any]) -> None:
    """Each of its examples is a payment of the amounts that it states."""
    paid = parse_charge({**fixtures["charge"], "balance_transaction": fixtures["balance_transaction"]}, None)
    assert (paid.amount, paid.status, paid.occurred_on) == (100, PaymentStatus.PENDING, date(2009, 2, 13))
    assert paid.party is not None
    assert paid.party.name == "Jenny Rosen"
    assert "secret" not in json.dumps(dict(paid.raw))
    assert parse_refund(fixtures["refund"], None).amount == -100
    (dispute,) = parse_dispute(fixtures["dispute"], None)
    assert (dispute.amount, dispute.status) == (-1000, PaymentStatus.PENDING)
    payout = parse_payout(fixtures["payout"], [])
    assert (payout.amount, payout.source_status) == (-1100, "in_transit")
    assert parse_movement(fixtures["balance_transaction"]) is None


def test_our_server_speaks_in_the_shapes_of_the_fixtures(fixtures: dict[str, Any]) -> None:
    """Every property of its objects is one of Stripe's."""
    money = StripeCompany(1).money
    one = money.charge(9000, MARCH, {"id": "cus_1"}, {"id": "in_1", "number": "1"})
    other = money.charge(2000, MARCH)
    money.refund(one, 10, MARCH)
    money.dispute(other, MARCH)
    money.pay_out(MARCH)
    for kind, objects in (
        ("charge", money.charges),
        ("refund", money.refunds),
        ("dispute", money.disputes),
        ("payout", money.payouts),
        ("balance_transaction", money.movements),
        ("invoice_payment", money.invoice_payments),
    ):
        assert objects
        for each in objects.values():
            assert each.keys() <= fixtures[kind].keys(), kind
