"""What the head of a request asks for: read once for heads that come again (`gateway.heads`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import Scope

from gateway.authentication import bearer
from gateway.logs import acceptable_id
from gateway.negotiation import JSON, Accepted, negotiate, readable_body, takes_gzip
from gateway.protocol import HEAD

_NEGOTIATED = 1_000
"""Bytes that are read of what a client says it takes."""
_DIGITS = 18


@dataclass(slots=True, eq=False)
class Asked:
    """`request_id`: the client's own, where it gave one. `media`: the form of the answer, `gzip`: its client prefers it
    compressed, `compressing`: answers may be. `unreadable`: what is wrong with the form of the body. `length` of the body, as
    it is stated; None: it is no number."""

    headers: Mapping[bytes, bytes]
    request_id: str | None
    accepted: Accepted
    media: str
    compressing: bool
    gzip: bool
    unreadable: str | None
    length: int | None
    known_token: str = ""

    def token(self) -> str:
        """The bearer token. Raises NotAuthenticated."""
        if not self.known_token:
            self.known_token = bearer(_text(self.headers.get(b"authorization"), None))
        return self.known_token


def asked(scope: Scope, *, compressing: bool) -> Asked:
    """What a request asks for. Nothing of it may depend on anything but its head."""
    head = scope["extensions"].get(HEAD) if "extensions" in scope else None
    if head is None:
        return _read(scope, compressing)
    if head.noted is None:
        head.noted = _read(scope, compressing)
    found: Asked = head.noted
    return found


def _read(scope: Scope, compressing: bool) -> Asked:
    headers = header_map(scope)
    accepted = negotiate(_text(headers.get(b"accept")))
    length = headers.get(b"content-length", b"0")
    return Asked(
        headers,
        acceptable_id(headers.get(b"x-request-id")),
        accepted,
        accepted.json or JSON,
        compressing,
        compressing and takes_gzip(_text(headers.get(b"accept-encoding"))),
        readable_body(headers),
        int(length) if length.isdigit() and len(length) <= _DIGITS else None,
    )


def header_map(scope: Scope) -> dict[bytes, bytes]:
    """Headers by lower-case name; the values of a repeated one are joined (RFC 9110, 5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def _text(header: bytes | None, length: int | None = _NEGOTIATED) -> str | None:
    return None if header is None else header[:length].decode("latin-1")
