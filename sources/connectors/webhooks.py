"""What the webhooks of every system have in common: what a delivery that was verified says, and why one is refused. No I/O."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

MAX_SIGNATURE = 4_000
"""Characters of a signature header that are looked at."""


class WebhookRefused(Exception):
    """A delivery that cannot be believed, or read. `status`: the HTTP status that the sender expects for it. The text is for the
    log: it repeats nothing of the body, the signature or a secret."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookEvent:
    """One thing that happened. `kind`: the system's word for it; `subject`: the id of what it happened to; `at`: when, in seconds
    since 1970 (UTC), as far as the system says."""

    kind: str
    subject: str | None = None
    at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A verified delivery. `key`: the same whenever it is sent again. Without events it asks for an answer alone."""

    key: str
    events: tuple[WebhookEvent, ...] = ()


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header's value whatever the case of its name; None where there is none, or it is absurdly long."""
    found = next((value for key, value in headers.items() if key.lower() == name), None)
    return found if found is not None and len(found) <= MAX_SIGNATURE else None


def signed_by_any(message: bytes, signatures: Iterable[bytes], secrets: Sequence[str]) -> bool:
    """Whether one of the signatures (raw bytes) is the message's HMAC-SHA256 by one of the secrets. Compares all of them, each in
    constant time. An empty secret signs nothing."""
    expected = [hmac.digest(secret.encode(), message, sha256) for secret in secrets if secret]
    given = list(signatures)
    matches = [hmac.compare_digest(each, one) for each in expected for one in given]
    return True in matches
