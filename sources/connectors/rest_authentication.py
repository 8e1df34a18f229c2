"""How a declared API is told who asks, by headers or by a parameter of the query, and the headers that every request has."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sources.connectors.client_credentials import ClientCredentials
from sources.connectors.http import Auth, Headers, HttpOptions, bearer
from sources.connectors.rest_table import Table

_AUTHENTICATIONS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "bearer": (("token",), ()),
    "header": (("name", "value"), ()),
    "query": (("name", "value"), ()),
    "basic": (("user",), ("password",)),
    "client_credentials": (("token_url", "client_id", "client_secret"), ("scope", "credentials_in")),
    "refresh_token": (("token_url", "client_id", "client_secret", "refresh_token"), ("scope", "credentials_in")),
}
SECRETS: Final = tuple(
    f"authentication.{key}" for key in ("token", "value", "password", "client_secret", "refresh_token")
)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}", re.ASCII)
_OURS = {"authorization", "host", "content-length", "transfer-encoding", "connection"}


@dataclass(frozen=True, slots=True)
class Authentication:
    """`style` and its settings, which are secrets for the most part."""

    style: str
    settings: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """`headers`: gives those that authenticate; `tokens`: what has to be closed; `key`: parameters of every query."""

    headers: Auth | None = None
    tokens: ClientCredentials | None = None
    key: tuple[tuple[str, str], ...] = ()


def credentials(name: str, given: Authentication | None, options: HttpOptions | None) -> Credentials:
    """Raises ConfigurationError."""
    if given is None:
        return Credentials()
    settings, place = given.settings, f"sources.{name}.authentication"
    if given.style == "bearer":
        return Credentials(bearer(settings["token"], f"{place}.token"))
    if given.style == "query":
        return Credentials(key=((settings["name"], settings["value"]),))
    if given.style in ("client_credentials", "refresh_token"):
        tokens = ClientCredentials(name=name, options=options, place=place, **{"scope": "", **settings})
        return Credentials(tokens, tokens)
    if given.style == "basic":
        word = base64.b64encode(f"{settings['user']}:{settings.get('password', '')}".encode()).decode()
        return Credentials(_always({"Authorization": f"Basic {word}"}))
    return Credentials(_always({settings["name"]: settings["value"]}))


def _always(headers: Headers) -> Auth:
    async def give(_refused: Headers | None) -> Headers:
        return headers

    return give


def read_headers(name: str, given: Any, wrongs: list[str]) -> dict[str, str]:
    """The `headers` of every request."""
    table = Table(f"sources.{name}.headers", {} if given is None else given, wrongs)
    for key in table.given:
        value = table.text(key)
        if not _HEADER.fullmatch(key) or key.lower() in _OURS:
            table.wrong(key, "is no header that can be set; what authenticates belongs into authentication")
        elif not value.isprintable() or not value.isascii():
            table.wrong(key, "must be printable ASCII")
    return {key: str(value) for key, value in table.given.items()}


def read_authentication(name: str, given: Any, wrongs: list[str]) -> Authentication | None:
    """The `[sources.authentication]` table."""
    if given is None:
        return None
    table = Table(f"sources.{name}.authentication", given, wrongs)
    style = table.choice("style", _AUTHENTICATIONS)
    required, optional = _AUTHENTICATIONS[style]
    if "style" in table and table.given["style"] == style:
        table.only(("style", *required, *optional))
    keys = [*required, *(key for key in optional if key in table)]
    settings = {key: table.text(key) for key in keys}
    if style == "header" and not _HEADER.fullmatch(settings["name"]):
        table.wrong("name", "must be the name of a header")
    if style == "basic" and ":" in settings["user"]:
        table.wrong("user", "must be without a colon (RFC 7617)")
    if "credentials_in" in table:
        table.choice("credentials_in", ("header", "form"))
    for key, value in settings.items():
        if not value.isprintable():
            table.wrong(key, "must be printable: is there a line end in it?")
    return Authentication(style, settings)
