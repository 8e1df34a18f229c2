"""Stripe's webhooks, verified: https://docs.stripe.com/webhooks#verify-manually. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from sources.connectors.stripe_records import reference, text
from sources.connectors.webhooks import Delivery, WebhookEvent, WebhookRefused, header, signed_by_any

TOLERANCE_SECONDS = 300
MAX_SIGNATURES = 20

_BAD_REQUEST = 400
_HEX_DIGITS = 64


def verify_webhook(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Delivery:
    """What a delivery says. `headers`: at least Stripe-Signature ("t=…,v1=…", with a v1 for each secret that Stripe signs with);
    `body`: the bytes as they came; `secrets`: the endpoint's, also those that are being replaced; `now`: seconds since 1970, which
    the signature's moment is at most 300 seconds from. Raises WebhookRefused (status 400)."""
    moment, signatures = _parts(header(headers, "stripe-signature") or "")
    if not signed_by_any(b"%s.%s" % (moment, body), signatures, secrets):
        raise WebhookRefused("none of its signatures is by a secret of ours", _BAD_REQUEST)
    if abs(now - int(moment)) > TOLERANCE_SECONDS:
        raise WebhookRefused(f"it was signed more than {TOLERANCE_SECONDS} seconds from now", _BAD_REQUEST)
    return _delivery(body)


def _parts(signature: str) -> tuple[bytes, list[bytes]]:
    """The moment as it was signed, and the signatures of scheme v1; those of other schemes are passed over."""
    moments: list[str] = []
    signatures: list[bytes] = []
    for part in signature.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            moments.append(value)
        elif name == "v1" and len(value) == _HEX_DIGITS and len(signatures) < MAX_SIGNATURES:
            try:
                signatures.append(bytes.fromhex(value))
            except ValueError:
                continue
    if len(moments) != 1 or not moments[0].isascii() or not moments[0].isdigit() or len(moments[0]) > 15:
        raise WebhookRefused("its Stripe-Signature names no moment", _BAD_REQUEST)
    if not signatures:
        raise WebhookRefused("its Stripe-Signature has no signature of scheme v1", _BAD_REQUEST)
    return moments[0].encode(), signatures


def _delivery(body: bytes) -> Delivery:
    try:
        event: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise WebhookRefused("it is signed, and no JSON", _BAD_REQUEST) from None
    key, kind = (text(event, "id"), text(event, "type")) if isinstance(event, dict) else (None, None)
    if key is None or kind is None or len(key) > 255:
        raise WebhookRefused("it is signed, and no event of Stripe", _BAD_REQUEST)
    data, created = event.get("data"), event.get("created")
    subject = reference(data.get("object")) if isinstance(data, dict) else None
    at = float(created) if isinstance(created, int) and not isinstance(created, bool) else None
    return Delivery(key=key, events=(WebhookEvent(kind=kind, subject=subject, at=at),))
