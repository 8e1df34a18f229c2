"""Webhooks are believed only when they are signed as their system signs them."""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.connectors import stripe_webhooks, xero_webhooks
from sources.connectors.webhooks import Delivery, WebhookEvent, WebhookRefused

NOW = 1_767_000_000
SECRET, OLD, OTHER = "whsec_current", "whsec_old", "whsec_of_someone_else"
EVENT = {
    "id": "evt_1",
    "object": "event",
    "type": "charge.succeeded",
    "created": NOW - 3,
    "data": {"object": {"id": "ch_1", "object": "charge"}},
}
BODY = json.dumps(EVENT).encode()


def v1(secret: str = SECRET, at: int | str = NOW, body: bytes = BODY) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()


def stripe(signature: str, *, body: bytes = BODY, secrets: Any = (SECRET,), now: float = NOW) -> Delivery:
    return stripe_webhooks.verify_webhook({"Stripe-Signature": signature}, body, secrets, now)


def test_a_delivery_of_stripe() -> None:
    """Its key is the event's id; the header's name may be written in any case."""
    expected = Delivery(key="evt_1", events=(WebhookEvent(kind="charge.succeeded", subject="ch_1", at=NOW - 3),))
    assert stripe(f"t={NOW},v1={v1()}") == expected
    headers = {"host": "x", "stripe-signature": f"t={NOW}, v1={v1()}"}
    assert stripe_webhooks.verify_webhook(headers, BODY, [SECRET], NOW) == expected


def test_stripes_secrets_are_rotated() -> None:
    """While a secret is replaced, Stripe signs with both, and we know both: one that fits is enough."""
    assert stripe(f"t={NOW},v1={v1(OTHER)},v1={v1(OLD)}", secrets=(SECRET, OLD)).key == "evt_1"
    assert stripe(f"t={NOW},v1={v1(OLD)},v1={v1()},v0={'0' * 64}").key == "evt_1"


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        ("", "names no moment"),
        (f"v1={v1()}", "names no moment"),
        (f"t=,v1={v1()}", "names no moment"),
        (f"t=now,v1={v1(at='now')}", "names no moment"),
        (f"t=-5,v1={v1(at=-5)}", "names no moment"),
        (f"t={NOW},t={NOW},v1={v1()}", "names no moment"),
        (f"t={'9' * 16},v1={v1(at='9' * 16)}", "names no moment"),
        (f"t={NOW},v0={v1()}", "no signature of scheme v1"),
        (f"t={NOW},v1=", "no signature of scheme v1"),
        (f"t={NOW},v1={'z' * 64}", "no signature of scheme v1"),
        (f"t={NOW},v1={v1(OTHER)}", "by a secret of ours"),
        (f"t={NOW + 1},v1={v1()}", "by a secret of ours"),
        (f"t={NOW},v1={v1(body=BODY + b' ')}", "by a secret of ours"),
        (f"t={NOW},v1={v1('')}", "by a secret of ours"),
        (f"t={NOW - 301},v1={v1(at=NOW - 301)}", "300 seconds"),
        (f"t={NOW + 301},v1={v1(at=NOW + 301)}", "300 seconds"),
        (f"t={NOW},v1={v1()}" + "," * 4_000, "names no moment"),
    ],
)
def test_what_stripe_did_not_sign_is_refused(signature: str, reason: str) -> None:
    """With 400, and a reason that repeats no signature. An empty secret signs nothing."""
    with pytest.raises(WebhookRefused, match=reason) as refused:
        stripe(signature, secrets=(SECRET, ""))
    assert refused.value.status == 400
    assert v1() not in str(refused.value)


def test_without_a_secret_nothing_is_believed() -> None:
    with pytest.raises(WebhookRefused, match="by a secret of ours"):
        stripe(f"t={NOW},v1={v1()}", secrets=())


@pytest.mark.parametrize("at", [NOW - 300, NOW, NOW + 300])
def test_clocks_may_differ_by_five_minutes(at: int) -> None:
    assert stripe(f"t={at},v1={v1(at=at)}").key == "evt_1"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b"{}", b'{"id": "evt_1"}', b'{"id": 5, "type": "x"}', b"\xff"]
)
def test_what_is_signed_and_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused, match="it is signed, and no"):
        stripe(f"t={NOW},v1={v1(body=body)}", body=body)


@given(st.text(max_size=200), st.binary(max_size=50))
def test_no_header_and_no_body_does_more_than_be_refused(signature: str, body: bytes) -> None:
    """Both systems: whatever comes from outside."""
    with pytest.raises(WebhookRefused):
        stripe(signature, body=body)
    with pytest.raises(WebhookRefused):
        xero_webhooks.verify_webhook({"x-xero-signature": signature}, body, [SECRET], NOW)


# ---------------------------------------------------------------- Xero


DELIVERY = {
    "events": [
        {
            "resourceUrl": "https://api.xero.com/api.xro/2.0/Invoices/44aa0707-bf2b-4d59-8d96-1c1f6b1b0f0f",
            "resourceId": "44aa0707-bf2b-4d59-8d96-1c1f6b1b0f0f",
            "eventDateUtc": "2026-03-10T12:00:00.5",
            "eventType": "UPDATE",
            "eventCategory": "INVOICE",
            "tenantId": "t",
            "tenantType": "ORGANISATION",
        }
    ],
    "firstEventSequence": 1,
    "lastEventSequence": 1,
    "entropy": "S0m3r4Nd0mt3xt",
}


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    return {"X-Xero-Signature": base64.b64encode(hmac.digest(secret.encode(), body, sha256)).decode()}


def xero(headers: dict[str, str], body: bytes) -> Delivery:
    return xero_webhooks.verify_webhook(headers, body, [OLD, SECRET], NOW)


def test_a_delivery_of_xero() -> None:
    """Its key is the body's: a repetition has the same, another delivery another."""
    body = json.dumps(DELIVERY).encode()
    delivery = xero(signed(body), body)
    (event,) = delivery.events
    assert (event.kind, event.subject) == ("invoice.update", "44aa0707-bf2b-4d59-8d96-1c1f6b1b0f0f")
    assert event.at == 1_773_144_000.5
    assert delivery.key == xero(signed(body, OLD), body).key
    other = json.dumps({**DELIVERY, "entropy": "x"}).encode()
    assert xero(signed(other), other).key != delivery.key


def test_the_intent_to_receive() -> None:
    """Of Xero's test deliveries those that it signed are taken, and the others refused with 401."""
    body = b'{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"ABC"}'
    assert xero(signed(body), body).events == ()
    for headers in (signed(body, OTHER), signed(body + b" "), {}, {"x-xero-signature": ""}, {"x-xero-signature": "é"}):
        with pytest.raises(WebhookRefused) as refused:
            xero(headers, body)
        assert refused.value.status == 401


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b'{"events": 5}', b"\xff"])
def test_what_xero_signed_and_is_no_delivery_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRefused, match="no delivery of Xero"):
        xero(signed(body), body)


def test_odd_events_of_xero_are_read_as_far_as_they_go() -> None:
    body = json.dumps({"events": [{}, 5, {"resourceId": 7, "eventDateUtc": "soon", "eventType": "CREATE"}]}).encode()
    assert xero(signed(body), body).events == (WebhookEvent(kind="unknown"), WebhookEvent(kind="create"))
