"""Who calls: bearer tokens (JWT, RFC 7519) to `sources.caller.Caller`.

Tokens are verified against an allow-list of algorithms that follows from the kind of key, never from the token: a shared
secret means HS256 alone, published keys (`gateway.jwks`) mean asymmetric algorithms alone, so one can never pass for the other.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import jwt
import structlog

from sources.caller import Caller
from sources.errors import ConfigurationError, NotAuthenticated

log = structlog.get_logger(__name__)

SCOPES = frozenset(
    {
        "ledger:read",
        "ledger:post",
        "ledger:admin",
        "invoices:read",
        "payroll:read",
        "payroll:personal",
        "cash:read",
        "sources:read",
        "sources:admin",
        "documents:submit",
        "mappings:approve",
        "matches:approve",
    }
)
"""Every scope there is. Others in a token are ignored: an issuer may serve other products with the same token."""

ISSUER = AUDIENCE = "ledgergraph"
MAX_TOKEN_BYTES = 8_192
MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key of HS256 has at least 256 bits."""

_LEDGER_CODE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)
_MAX_SUBJECT = 255
_CACHED_CALLERS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token's claims must say. Times in seconds; `leeway` forgives clocks that differ for nbf and iat, never for exp."""

    issuer: str = ISSUER
    audience: str = AUDIENCE
    max_lifetime: float = 86_400.0
    leeway: float = 10.0


class Authenticator(Protocol):
    """Turns a token into its caller."""

    async def authenticate(self, token: str) -> Caller:
        """Raises NotAuthenticated for whatever is wrong with the token; Unavailable when no key could be fetched yet."""
        ...


def bearer(header: str | None) -> str:
    """The token of an `Authorization: Bearer …` value (RFC 6750, 2.1). Raises NotAuthenticated."""
    if not header:
        raise NotAuthenticated("a token is needed: send Authorization: Bearer <token>")
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise NotAuthenticated("the Authorization value must have the form: Bearer <token>")
    return token


class SecretAuthenticator:
    """Tokens signed with one shared secret: HS256 and nothing else."""

    def __init__(self, secret: bytes, rules: TokenRules | None = None) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise ConfigurationError(f"LEDGERGRAPH_JWT_SECRET must have at least {MIN_SECRET_BYTES} bytes")
        self._secret = secret
        self._rules = rules or TokenRules()
        self._known = CallerCache()

    async def authenticate(self, token: str) -> Caller:
        found = self._known.get(token)
        if found is None:
            found = verify(token, self._secret, ["HS256"], self._rules)
            self._known.put(token, found)
        return found


class CallerCache:
    """Tokens that were verified, for as long as they are valid; bounded, and emptied when it is full or keys change."""

    def __init__(self) -> None:
        self._callers: dict[str, Caller] = {}

    def get(self, token: str) -> Caller | None:
        found = self._callers.get(token)
        if found is not None and found.expires_at <= time.time():
            del self._callers[token]
            raise NotAuthenticated("the token has expired")
        return found

    def put(self, token: str, caller: Caller) -> None:
        if len(self._callers) >= _CACHED_CALLERS:
            self._callers.clear()
        self._callers[token] = caller

    def clear(self) -> None:
        self._callers.clear()


def check_size(token: str) -> None:
    """Raises NotAuthenticated for a token that is longer than any issuer makes, before any work is done for it."""
    if len(token) > MAX_TOKEN_BYTES:
        raise NotAuthenticated(f"the token is longer than {MAX_TOKEN_BYTES} bytes")


def verify(token: str, key: Any, algorithms: list[str], rules: TokenRules) -> Caller:
    """The caller of a token that this key signed with one of these algorithms. Raises NotAuthenticated.
    What is wrong with a signature is not told to the client; what is wrong with a signed token's claims is."""
    check_size(token)
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=rules.issuer,
            audience=rules.audience,
            # The three times are checked by `_lifetime`, which is stricter about their types.
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "enforce_minimum_key_length": True,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, RecursionError) as exc:
        log.info("token refused", why=type(exc).__name__)
        raise NotAuthenticated("the token is not valid here") from None
    expires_at = _lifetime(claims, rules)
    return Caller(_subject(claims), _scopes(claims.get("scope")), _ledgers(claims.get("ledgers")), expires_at)


def issue_token(
    secret: bytes,
    *,
    subject: str,
    scopes: Iterable[str],
    ledgers: Iterable[str] | None,
    ttl: float,
    rules: TokenRules | None = None,
) -> str:
    """A token of our own for `ttl` seconds. `ledgers`: codes; None: every ledger. Raises ConfigurationError with what to change."""
    rules = rules or TokenRules()
    scopes = list(scopes)
    unknown = sorted(set(scopes) - SCOPES)
    if unknown:
        raise ConfigurationError(f"scopes: {', '.join(unknown)} unknown; there are {', '.join(sorted(SCOPES))}")
    if not 0 < ttl <= rules.max_lifetime:
        raise ConfigurationError(f"ttl must be more than 0 and at most {rules.max_lifetime:.0f} seconds")
    now = time.time()
    claims: dict[str, Any] = {
        "iss": rules.issuer,
        "aud": rules.audience,
        "sub": subject,
        "scope": " ".join(scopes),
        "ledgers": "*" if ledgers is None else list(ledgers),
        "iat": int(now),
        "exp": math.ceil(now + ttl),
    }
    try:
        _subject(claims)
        _ledgers(claims["ledgers"])
    except NotAuthenticated as exc:
        raise ConfigurationError(str(exc)) from None
    return jwt.encode(claims, secret, algorithm="HS256")


def load_or_create_secret(path: Path) -> bytes:
    """The secret kept in a file of the data directory, mode 0600, made when it is absent. Several processes that start at once
    agree on one: the file appears whole, and the first to link it wins. Raises ConfigurationError when it is unusable."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".secret-")  # mkstemp makes files of mode 0600
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(48) + "\n")
                file.flush()
                os.fsync(file.fileno())
            _link_first(draft, path)
        finally:
            Path(draft).unlink()
    secret = path.read_bytes().strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigurationError(
            f"{path} must hold at least {MIN_SECRET_BYTES} bytes; delete it to have a new one made"
        )
    return secret


def _link_first(draft: str, path: Path) -> None:
    try:
        os.link(draft, path)
    except FileExistsError:
        log.debug("another process made the secret first")


def _lifetime(claims: Mapping[str, Any], rules: TokenRules) -> float:
    now = time.time()
    expires_at = _time(claims, "exp")
    starts_at = _time(claims, "nbf") if "nbf" in claims else now
    issued_at = _time(claims, "iat") if "iat" in claims else now
    if expires_at <= now:
        raise NotAuthenticated("the token has expired")
    if max(starts_at, issued_at) > now + rules.leeway:
        raise NotAuthenticated("the token is not valid yet")
    if expires_at - min(issued_at, now) > rules.max_lifetime + rules.leeway:
        raise NotAuthenticated(f"the token lives longer than the {rules.max_lifetime:.0f} seconds that are allowed")
    return expires_at


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise NotAuthenticated(f"the claim {name} must be a number of seconds since 1970")
    return float(value)


def _subject(claims: Mapping[str, Any]) -> str:
    # The subject is stored with every entry that is posted, so it has to be storable and legible.
    subject: Any = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT or not subject.isprintable():
        raise NotAuthenticated(f"the claim sub must be 1 to {_MAX_SUBJECT} printable characters")
    return subject


def _scopes(claim: Any) -> frozenset[str]:
    if claim is None:
        return frozenset()
    names = claim.split() if isinstance(claim, str) else claim
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise NotAuthenticated("the claim scope must be a string of scopes with blanks between, or a list of them")
    return SCOPES.intersection(names)


def _ledgers(claim: Any) -> frozenset[str] | None:
    if claim is None:
        return frozenset()
    if claim in ("*", ["*"]):
        return None
    if not isinstance(claim, list) or not all(isinstance(code, str) and _LEDGER_CODE.fullmatch(code) for code in claim):
        raise NotAuthenticated('the claim ledgers must be a list of ledger codes, or "*"')
    return frozenset(claim)
