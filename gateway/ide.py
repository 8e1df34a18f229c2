"""The page that a browser gets at /graphql: an editor, variables, a token, answers and live events. It needs no other host."""

from __future__ import annotations

import secrets
from pathlib import Path

_PAGE = Path(__file__).with_name("ide.html").read_bytes()
_POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The page and its headers; scripts and styles run by a nonce of this one answer."""
    nonce = secrets.token_urlsafe(16)
    headers = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", _POLICY.format(nonce=nonce).encode()),
    ]
    return _PAGE.replace(b"{{nonce}}", nonce.encode()), headers
