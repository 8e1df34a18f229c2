"""Tokens verified with the keys that an identity provider publishes (JWKS, RFC 7517), through their rotation.

Keys are refetched when they are old, and when a token names a key that is not known, but not more often than the cooldown
allows: tokens are free to make up. While the provider is down, the keys that are held go on serving.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import jwt
import structlog
from jwt.api_jwk import PyJWK

from gateway.authentication import CallerCache, TokenRules, check_size, verify
from sources.caller import Caller
from sources.errors import ConfigurationError, NotAuthenticated, Unavailable

log = structlog.get_logger(__name__)

_RSA = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]
_BY_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_MAX_KEYS = 100
_MAX_KID = 512


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One published key: its id, the key itself, and the algorithms that it may verify, by what it is and not by the token."""

    kid: str | None
    key: Any
    algorithms: list[str]


class JwksAuthenticator:
    """Tokens signed by an identity provider. `lifespan`, `cooldown` and `timeout` in seconds."""

    def __init__(
        self,
        url: str,
        rules: TokenRules | None = None,
        *,
        lifespan: float = 300.0,
        cooldown: float = 10.0,
        timeout: float = 5.0,
    ) -> None:
        try:
            # Its own caches stay off: they block while they refetch.
            self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout)
        except jwt.PyJWKClientError as exc:
            raise ConfigurationError(f"LEDGERGRAPH_JWKS_URL must be an http or https address: {exc}") from exc
        self._rules = rules or TokenRules()
        self._lifespan, self._cooldown, self._timeout = lifespan, cooldown, timeout
        self._keys: list[PublicKey] = []
        self._fetched_at = self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None
        self._known = CallerCache()

    async def authenticate(self, token: str) -> Caller:
        await self._refresh_when_old()
        found = self._known.get(token)
        if found is None:
            check_size(token)
            key = await self._key_for(_kid(token))
            found = verify(token, key.key, key.algorithms, self._rules)
            self._known.put(token, found)
        return found

    async def _refresh_when_old(self) -> None:
        now = time.monotonic()
        if now - self._fetched_at <= self._lifespan or not self._may_fetch(now):
            return
        fetch = self._fetch()
        if not self._keys:
            await asyncio.shield(fetch)

    async def _key_for(self, kid: str | None) -> PublicKey:
        found = self._find(kid)
        if found is None and (self._fetching is not None or self._may_fetch(time.monotonic())):
            await asyncio.shield(self._fetch())
            found = self._find(kid)
        if found is None and not self._keys:
            raise Unavailable("the keys that verify tokens could not be fetched yet: try again soon")
        if found is None:
            log.info("token refused", why="unknown key")
            raise NotAuthenticated("the token is not valid here")
        return found

    def _find(self, kid: str | None) -> PublicKey | None:
        if kid is None:  # allowed where there is nothing to choose (RFC 7515, 4.1.4)
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == kid), None)

    def _may_fetch(self, now: float) -> bool:
        return now - self._tried_at >= self._cooldown

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch_now())
        return self._fetching

    async def _fetch_now(self) -> None:
        try:
            # Twice the socket's timeout bounds an answer that trickles.
            document = await asyncio.wait_for(asyncio.to_thread(self._client.fetch_data), 2 * self._timeout)
            keys = public_keys(document)
        except (jwt.PyJWTError, OSError, ValueError, RecursionError) as exc:
            log.warning("keys could not be fetched", held=len(self._keys), error=str(exc))
        else:
            if not keys:
                log.warning("the fetched key set has no usable key", held=len(self._keys))
                return
            self._keys, self._fetched_at = keys, time.monotonic()
            self._known.clear()
        finally:
            self._fetching = None


def public_keys(document: dict[str, Any]) -> list[PublicKey]:
    """The signing keys of a JWKS document. Symmetric keys, keys for encryption and what cannot be read are left out."""
    listed = document.get("keys")
    if not isinstance(listed, list):
        raise ValueError("the key set has no list of keys")
    found = [_public_key(entry) for entry in listed[:_MAX_KEYS] if isinstance(entry, dict)]
    return [key for key in found if key is not None]


def _public_key(entry: dict[str, Any]) -> PublicKey | None:
    allowed = _algorithms(entry)
    kid = entry.get("kid")
    if not allowed or entry.get("use", "sig") != "sig" or not (kid is None or isinstance(kid, str)):
        return None
    try:
        key = PyJWK({name: value for name, value in entry.items() if name != "d"}, algorithm=allowed[0]).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as exc:
        log.warning("a published key cannot be read", kid=kid, error=type(exc).__name__)
        return None
    return PublicKey(kid, key, allowed)


def _algorithms(entry: dict[str, Any]) -> list[str]:
    kind, curve, stated = entry.get("kty"), entry.get("crv"), entry.get("alg")
    by_kind: list[str] = []
    if kind == "RSA":
        by_kind = _RSA
    elif kind == "EC" and isinstance(curve, str) and curve in _BY_CURVE:
        by_kind = [_BY_CURVE[curve]]
    elif kind == "OKP" and curve in ("Ed25519", "Ed448"):
        by_kind = ["EdDSA"]
    return by_kind if stated is None else [name for name in by_kind if name == stated]


def _kid(token: str) -> str | None:
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        log.info("token refused", why=type(exc).__name__)
        raise NotAuthenticated("the token is not valid here") from None
    if kid is not None and (not isinstance(kid, str) or len(kid) > _MAX_KID):
        raise NotAuthenticated("the token is not valid here")
    return kid
