"""OAuth 2.0 client credentials (RFC 6749 4.4), or a refresh token that stays valid (RFC 6749 6): one access token per source, shared by
all of its calls."""

from __future__ import annotations

import asyncio
import base64
from typing import Any
from urllib.parse import quote_plus

from yarl import URL

from sources.connectors.http import Headers, HttpOptions, SourceHttp, SourceRefused
from sources.errors import ConfigurationError, SourceUnavailable

_DEFAULT_SECONDS = 1800
"""Lifetime of a token whose answer does not state one."""

_EARLY_SECONDS = 60
"""A token is renewed this long before it expires, so that none expires on its way."""


class ClientCredentials:
    """The `Auth` of a `SourceHttp`: gives `Authorization: Bearer …` and gets a new token when there is none, when it is
    about to expire, or when the source refused it. All who ask at the same time share one request to the token endpoint.

    `place`: where the settings have these, for messages. `refresh_token`: what the token is asked for by, None: the client's own
    credentials. `credentials_in`: "header" (HTTP Basic) or "form" (RFC 6749 2.3.1). Raises ConfigurationError."""

    def __init__(
        self,
        *,
        name: str,
        token_url: str,
        client_id: str,
        client_secret: str,
        scope: str,
        options: HttpOptions | None = None,
        place: str | None = None,
        refresh_token: str | None = None,
        credentials_in: str = "header",
    ) -> None:
        self._name = name
        base_url, self._path = checked_token_url(place or f"sources.{name}", token_url)
        self._http = SourceHttp(name=name, base_url=base_url, options=options)
        self._form = {"grant_type": "client_credentials" if refresh_token is None else "refresh_token"}
        self._form |= {"scope": scope} if scope else {}
        self._form |= {} if refresh_token is None else {"refresh_token": refresh_token}
        in_form = credentials_in == "form"
        self._basic = {} if in_form else {"Authorization": f"Basic {_basic(client_id, client_secret)}"}
        self._form |= {"client_id": client_id, "client_secret": client_secret} if in_form else {}
        self._lock = asyncio.Lock()
        self._headers: Headers | None = None
        self._renew_at = 0.0

    def __repr__(self) -> str:
        return f"<ClientCredentials {self._name!r}>"

    async def __call__(self, refused: Headers | None) -> Headers:
        """`refused`: headers that the source answered with 401. Raises SourceUnavailable."""
        async with self._lock:
            held = self._headers
            if held is None or held == refused or asyncio.get_running_loop().time() >= self._renew_at:
                held = self._headers = await self._new_headers()
            return held

    async def close(self) -> None:
        """Closes the session of the token endpoint and forgets the token."""
        self._headers = None
        await self._http.close()

    async def _new_headers(self) -> Headers:
        self._headers = None
        answer = await self._request()
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or not token.isascii() or not token.isprintable():
            raise SourceUnavailable(f"Source {self._name!r}: its token endpoint gave no usable token: check token_url.")
        seconds = _lifetime(answer.get("expires_in"))
        self._renew_at = asyncio.get_running_loop().time() + max(seconds - _EARLY_SECONDS, seconds / 2)
        return {"Authorization": f"Bearer {token}"}

    async def _request(self) -> Any:
        try:
            # Asking twice only yields a second token, so a lost answer is safe to ask for again.
            answer, _ = await self._http.post_form_json(self._path, self._form, headers=self._basic, idempotent=True)
        except SourceRefused as error:
            raise SourceRefused(_refusal(self._name, error), error.status, error.code) from None
        return answer


def _refusal(name: str, error: SourceRefused) -> str:
    answer = f"{error.status}, {error.code}" if error.code else str(error.status)
    if error.code == "invalid_scope":
        return (
            f"Source {name!r}: its token endpoint refused the scopes ({answer}): grant them to the app, or set scopes."
        )
    if error.code == "invalid_grant":
        return f"Source {name!r}: its token endpoint refused the refresh token ({answer}): it was used up or withdrawn, get another."
    if error.code in ("invalid_client", "unauthorized_client") or error.status in (401, 403):
        return f"Source {name!r}: its token endpoint refused client_id or client_secret ({answer}): check both."
    return f"Source {name!r}: its token endpoint refused the request ({answer}): check token_url, client_id and client_secret."


def _lifetime(value: Any) -> float:
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return float(min(value, 86_400))
    return float(_DEFAULT_SECONDS)


def _basic(client_id: str, client_secret: str) -> str:
    """RFC 6749 2.3.1: both parts are form-encoded before they are joined."""
    return base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(client_secret)}".encode()).decode()


def checked_token_url(place: str, token_url: str) -> tuple[str, str]:
    """Address and path. Raises ConfigurationError, naming the setting under `place`."""
    try:
        url = URL(token_url)
        return str(url.origin()), url.raw_path
    except ValueError:
        message = f"{place}.token_url must be an address such as https://id.example.com/connect/token"
        raise ConfigurationError(message) from None
