"""Xero's webhooks, verified: https://developer.xero.com/documentation/guides/webhooks/overview/. No I/O.

Before Xero sends events it tests the intent to receive: it sends deliveries without events, some of them wrongly signed, and expects
200 for the former and 401 for the latter, within five seconds and without a body. A delivery without events that verifies is
such a test, and is to be answered as any other.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import orjson

from sources.connectors.webhooks import Delivery, WebhookEvent, WebhookRefused, header, signed_by_any

MAX_EVENTS = 1_000

_UNAUTHORIZED = 401


def verify_webhook(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Delivery:
    """What a delivery says. `headers`: at least x-xero-signature; `body`: the bytes as they came; `secrets`: the webhook's signing
    keys. `now` plays no part: Xero signs no moment. Raises WebhookRefused (status 401)."""
    try:
        signature = base64.b64decode(header(headers, "x-xero-signature") or "", validate=True)
    except (binascii.Error, ValueError):
        signature = b""
    if not signature:
        raise WebhookRefused("it has no x-xero-signature", _UNAUTHORIZED)
    if not signed_by_any(body, [signature], secrets):
        raise WebhookRefused("its signature is by no signing key of ours", _UNAUTHORIZED)
    try:
        stated: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        stated = None
    events = stated.get("events") if isinstance(stated, dict) else None
    if not isinstance(events, list):
        raise WebhookRefused("it is signed, and no delivery of Xero", _UNAUTHORIZED)
    read = tuple(_event(event) for event in events[:MAX_EVENTS] if isinstance(event, dict))
    return Delivery(key=sha256(body).hexdigest(), events=read)


def _event(event: Mapping[str, Any]) -> WebhookEvent:
    words = [str(event.get(name) or "") for name in ("eventCategory", "eventType")]
    subject = event.get("resourceId")
    return WebhookEvent(
        kind=".".join(word for word in words if word).lower() or "unknown",
        subject=subject if isinstance(subject, str) and subject else None,
        at=_moment(event.get("eventDateUtc")),
    )


def _moment(stated: Any) -> float | None:
    """Xero states UTC without saying so: 2026-03-10T12:00:00.123."""
    try:
        moment = datetime.fromisoformat(stated)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
