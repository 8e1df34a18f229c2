"""Xero's HTTP API for one organisation: tokens of a custom connection, the tenant's header, limits.

https://developer.xero.com/documentation/guides/oauth2/custom-connections, limits: 60 calls a minute and 5,000 a day for each
organisation, https://developer.xero.com/documentation/guides/oauth2/limits: a refused call is answered 429 with Retry-After.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import structlog
from yarl import URL

from sources.connectors.client_credentials import ClientCredentials, checked_token_url
from sources.connectors.http import Headers, HttpOptions, Params, SourceHttp, SourceRefused
from sources.connectors.http_options import check_all, checked_base, must

logger = structlog.get_logger(__name__)

HOST: Final = "api.xero.com"
_IDENTITY_URL: Final = "https://identity.xero.com/connect/token"
_FEW: Final = 10
"""Calls left of a minute's or a day's: then a warning is logged."""
_KEPT_FREE: Final[Mapping[str, int]] = {"Min": 20, "Day": 500}
"""Of the calls that Xero allows in a minute and a day: so many are left to pulls and to people's queries."""
_MINUTE: Final = 60.0


class XeroApi:
    """Reads of one organisation. Constructed without I/O. Raises ConfigurationError for a missing setting.

    `token_url`: absent, Xero's own for Xero's API, else /connect/token on the host of `base_url`."""

    def __init__(
        self,
        *,
        name: str,
        client_id: str,
        client_secret: str,
        tenant_id: str,
        base_url: str,
        token_url: str | None,
        scopes: str,
        options: HttpOptions | None,
    ) -> None:
        given = {"client_id": client_id, "client_secret": client_secret, "tenant_id": tenant_id}
        check_all(
            *(
                must(
                    value and value.isprintable(),
                    f"sources.{name}.{setting} must be set: it is in the app's settings at Xero",
                )
                for setting, value in given.items()
            ),
            partial(checked_base, name, base_url),
            partial(checked_token_url, f"sources.{name}", token_url or _IDENTITY_URL),
        )
        self.subject = f"Source {name!r}"
        self._log = logger.bind(source=name)
        self._auth = ClientCredentials(
            name=name,
            token_url=token_url or _default_token_url(base_url),
            client_id=client_id,
            client_secret=client_secret,
            scope=scopes,
            options=options,
        )
        self._tenant = {"xero-tenant-id": tenant_id}
        self._http = SourceHttp(name=name, base_url=base_url, auth=self._auth, options=options)
        self._left: dict[str, int] = {}
        self._left_at = 0.0

    @property
    def is_near_its_limit(self) -> bool:
        """Whether Xero allows few more calls for now, by its newest answer: what can wait is not asked for. On a running loop."""
        if asyncio.get_running_loop().time() - self._left_at >= _MINUTE:
            return False
        return any(self._left.get(name, kept + 1) <= kept for name, kept in _KEPT_FREE.items())

    async def get(
        self,
        path: str,
        params: Params,
        headers: Headers | None = None,
        *,
        deadline: float | None = None,
        of_one: bool = False,
    ) -> Any:
        """The decoded answer; `of_one` as of `SourceHttp.get_json`. Raises SourceUnavailable; SourceRefused names the path that the app may not read."""
        try:
            answer, told = await self._http.get_json(
                path, params=params, headers={**(headers or {}), **self._tenant}, deadline=deadline, of_one=of_one
            )
        except SourceRefused as error:
            if error.status != 403:
                raise
            message = (
                f"{self.subject} does not let this app read {path} (status 403): check tenant_id and the app's scopes."
            )
            raise SourceRefused(message, error.status, error.code) from None
        self._watch_limits(told)
        return answer

    async def close(self) -> None:
        """Closes the connections and forgets the token."""
        await self._http.close()
        await self._auth.close()

    def _watch_limits(self, headers: Headers) -> None:
        stated = {name: headers.get(f"X-{name}Limit-Remaining", "") for name in _KEPT_FREE}
        self._left = {name: int(value) for name, value in stated.items() if value.isascii() and value.isdecimal()}
        self._left_at = asyncio.get_running_loop().time()
        if any(left < _FEW for left in self._left.values()):
            self._log.warning("source_rate_limit_near", minute_left=stated["Min"], day_left=stated["Day"])


def _default_token_url(base_url: str) -> str:
    """Xero keeps its identity service on another host. A `base_url` that is no address is left to SourceHttp to refuse."""
    try:
        url = URL(base_url)
        return _IDENTITY_URL if url.host == HOST else str(url.origin().with_path("/connect/token"))
    except ValueError:
        return _IDENTITY_URL
