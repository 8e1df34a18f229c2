"""Tokens: what is let in, what is refused, and the secret and keys behind them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.authentication import (
    SecretAuthenticator,
    TokenRules,
    bearer,
    issue_token,
    load_or_create_secret,
)
from gateway.jwks import JwksAuthenticator, public_keys
from sources.caller import Caller
from sources.errors import ConfigurationError, NotAuthenticated, Unavailable
from tests.gateway.toy import SECRET, serve, token

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that are let in; a change to `...` leaves one out."""
    now = int(time.time())
    stated = {
        "iss": "ledgergraph",
        "aud": "ledgergraph",
        "sub": "ann",
        "iat": now,
        "exp": now + 600,
        "scope": "ledger:read cash:read",
        "ledgers": ["acme-us"],
        **changes,
    }
    return {name: value for name, value in stated.items() if value is not ...}


def signed(header: dict[str, Any] | None = None, key: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=header)


def forged(header: Any, body: Any, signature: bytes = b"x" * 32) -> str:
    """Three segments of anything."""
    parts = [json.dumps(header).encode(), body if isinstance(body, bytes) else json.dumps(body).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


async def test_a_good_token_names_its_caller() -> None:
    found = await SecretAuthenticator(SECRET).authenticate(signed())
    assert (found.subject, found.scopes, found.ledgers) == ("ann", {"ledger:read", "cash:read"}, {"acme-us"})
    assert found.expires_at == pytest.approx(time.time() + 600, abs=5)


async def test_claims_may_take_their_other_forms() -> None:
    """Scopes as a list, unknown ones ignored; every ledger, or none; several audiences; an issuer without iat."""
    authenticator = SecretAuthenticator(SECRET)

    async def caller(**changes: Any) -> Caller:
        return await authenticator.authenticate(signed(**changes))

    assert (await caller(scope=["ledger:read", "openid"])).scopes == {"ledger:read"}
    assert (await caller(scope=...)).scopes == frozenset()
    assert (await caller(ledgers="*")).ledgers is None
    assert (await caller(ledgers=["*"])).ledgers is None
    assert (await caller(ledgers=...)).ledgers == frozenset()
    assert (await caller(aud=["other", "ledgergraph"])).subject == "ann"
    assert (await caller(iat=...)).subject == "ann"
    assert (await caller(nbf=int(time.time()) + 5)).subject == "ann"
    assert (await caller(exp=time.time() + 1.5)).subject == "ann"


def test_issued_tokens_are_let_in() -> None:
    """What the command line issues is what the endpoint takes."""
    found = asyncio.run(
        SecretAuthenticator(SECRET).authenticate(
            issue_token(SECRET, subject="bob", scopes=["ledger:post"], ledgers=["acme-eu"], ttl=86_400)
        )
    )
    assert (found.subject, found.scopes, found.ledgers) == ("bob", {"ledger:post"}, {"acme-eu"})


@pytest.mark.parametrize(
    "changes",
    [{"ttl": 0}, {"ttl": 86_401}, {"scopes": ["ledger:everything"]}, {"ledgers": ["Not A Code"]}, {"subject": ""}],
)
def test_tokens_that_would_be_refused_are_not_issued(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        token(**changes)


NOW = int(time.time())
BAD_CLAIMS: list[dict[str, Any]] = [
    {"exp": ...},
    {"exp": None},
    {"exp": NOW - 1},
    {"exp": NOW + 86_400 * 2},
    {"exp": 10**400},
    {"exp": -1},
    {"exp": str(NOW + 600)},
    {"exp": [NOW + 600]},
    {"exp": True},
    {"exp": float("inf")},
    {"exp": float("nan")},
    {"iat": NOW - 86_400 * 2},
    {"iat": NOW + 3600},
    {"iat": "now"},
    {"iat": []},
    {"nbf": NOW + 3600},
    {"nbf": {}},
    {"nbf": None},
    {"iss": ...},
    {"iss": "other"},
    {"aud": ...},
    {"aud": "other"},
    {"aud": []},
    {"aud": [1]},
    {"aud": {"ledgergraph": 1}},
    {"sub": ...},
    {"sub": ""},
    {"sub": 7},
    {"sub": ["ann"]},
    {"sub": "a\0b"},
    {"sub": "a\nb"},
    {"sub": "\ud800"},
    {"sub": "x" * 256},
    {"scope": 7},
    {"scope": ["ledger:read", 7]},
    {"scope": {"ledger:read": True}},
    {"ledgers": 7},
    {"ledgers": "acme-us"},
    {"ledgers": ["acme-us", 7]},
    {"ledgers": ["acme-us", "*"]},
    {"ledgers": ["a,b"]},
    {"ledgers": ["x\0"]},
    {"ledgers": {"acme-us": 1}},
    {"jti": 7},
]


@pytest.mark.parametrize(
    "changes", BAD_CLAIMS, ids=[f"{number}-{next(iter(change))}" for number, change in enumerate(BAD_CLAIMS)]
)
async def test_bad_claims_are_refused(changes: dict[str, Any]) -> None:
    """A signature is not enough."""
    text = jwt.api_jws.encode(json.dumps(claims(**changes)).encode(), SECRET, algorithm="HS256")
    with pytest.raises(NotAuthenticated):
        await SecretAuthenticator(SECRET).authenticate(text)


def _bad_tokens() -> dict[str, str]:
    public = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    good = signed()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            "empty segment": "..",
            "words": "let me in",
            "two segments": good.rsplit(".", 1)[0],
            "four segments": good + ".x",
            "no signature": good.rsplit(".", 1)[0] + ".",
            "another secret": signed(key=b"another-secret-that-is-long-enough!"),
            "alg none": forged({"alg": "none", "typ": "JWT"}, claims(), b""),
            "alg None": forged({"alg": "None"}, claims(), b""),
            "alg missing": forged({"typ": "JWT"}, claims()),
            "alg a list": forged({"alg": ["HS256"]}, claims()),
            "alg an object": forged({"alg": {"HS256": 1}}, claims()),
            "alg a number": forged({"alg": 256}, claims()),
            "HS384": signed(algorithm="HS384", key=SECRET * 2),
            "RS256": signed(algorithm="RS256", key=RSA_KEY),
            "HS256 with a public key": forged({"alg": "HS256"}, claims(), public[:32]),
            "crit": forged({"alg": "HS256", "crit": ["b64"], "b64": False}, claims()),
            "header a list": forged(["HS256"], claims()),
            "header a number": forged(1, claims()),
            "payload a list": forged({"alg": "HS256"}, [1]),
            "payload no JSON": forged({"alg": "HS256"}, b"\xff\xfe"),
            "payload deep": forged({"alg": "HS256"}, b"[" * 5000),
            "header deep": forged({"alg": "HS256"}, claims()).replace("eyJ", "W1tb", 1),
            "kid a list": forged({"alg": "HS256", "kid": ["a"]}, claims()),
            "kid an object": forged({"alg": "HS256", "kid": {"a": 1}}, claims()),
            "kid a path": forged({"alg": "HS256", "kid": "../../etc/passwd"}, claims()),
            "kid huge": forged({"alg": "HS256", "kid": "k" * 5000}, claims()),
            "jku": forged({"alg": "RS256", "jku": "http://127.0.0.1:1/keys", "kid": "x"}, claims()),
            "1 MB": "x" * 1_000_000,
            "1 MB signed": signed(more="x" * 1_000_000),
            "not ASCII": "é" * 20,
            "percent": "%00.%00.%00",
        }


BAD_TOKENS = _bad_tokens()


async def test_bad_tokens_are_401_at_the_endpoint(client: Any) -> None:
    """Whatever is wrong with a token: 401 with a challenge and a typed error, by secret."""
    for name, text in BAD_TOKENS.items():
        headers = {"authorization": f"Bearer {text}"}
        async with client.session.post(client.graphql, json={"query": "{ hello }"}, headers=headers) as response:
            assert (name, response.status) == (name, 401)
            assert response.headers["WWW-Authenticate"].startswith('Bearer realm="ledgergraph"')
            assert (await response.json())["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_token_is_needed_and_only_as_bearer(client: Any) -> None:
    """Introspection is no exception."""
    good = token()
    for authorization in (None, "", "Bearer", "Bearer ", good, f"Basic {good}", f"Bearer {good} {good}"):
        headers = {} if authorization is None else {"authorization": authorization}
        async with client.session.post(client.graphql, json={"query": "{ __typename }"}, headers=headers) as response:
            assert (authorization, response.status) == (authorization, 401)


def test_bearer_takes_any_case() -> None:
    assert bearer("bearer  abc ") == "abc"


async def test_a_cached_token_still_expires() -> None:
    """A token that was let in before is refused from its expiry on."""
    authenticator = SecretAuthenticator(SECRET)
    text = signed(exp=time.time() + 0.3)
    await authenticator.authenticate(text)
    await asyncio.sleep(0.35)
    with pytest.raises(NotAuthenticated, match="expired"):
        await authenticator.authenticate(text)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="LEDGERGRAPH_JWT_SECRET"):
        SecretAuthenticator(b"short")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(
        st.text(max_size=80),
        st.tuples(*[st.binary(max_size=40)] * 3).map(
            lambda parts: ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts)
        ),
    )
)
def test_no_text_passes_for_a_token(text: str) -> None:
    """Any text is NotAuthenticated and nothing else."""
    with pytest.raises(NotAuthenticated):
        asyncio.run(SecretAuthenticator(SECRET).authenticate(text))


# The secret of a data directory


def test_the_secret_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "data" / "jwt.secret"
    secret = load_or_create_secret(path)
    assert load_or_create_secret(path) == secret
    assert len(secret) >= 32
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == [path.name]


def test_a_broken_secret_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "jwt.secret"
    path.write_text("short")
    with pytest.raises(ConfigurationError, match=r"jwt\.secret"):
        load_or_create_secret(path)


def test_processes_agree_on_the_secret(tmp_path: Path) -> None:
    """Several that start at once use the same one."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        found = pool.map(load_or_create_secret, [tmp_path / "jwt.secret"] * 16, chunksize=1)
    assert len(set(found)) == 1


# Published keys


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    kinds: dict[type, Any] = {
        rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm,
    }
    public = key.public_key()
    kind = next((found for base, found in kinds.items() if isinstance(public, base)), jwt.algorithms.OKPAlgorithm)
    found: dict[str, Any] = {**kind.to_jwk(public, as_dict=True), **more}
    found.pop("key_ops", None)
    return found if kid is None else {**found, "kid": kid}


class Provider:
    """An identity provider's key endpoint: `keys` are served, `down` makes it fail, `fetches` counts."""

    def __init__(self) -> None:
        self.keys: Any = []
        self.down = False
        self.fetches = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for step in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{step}.complete"})
            return
        self.fetches += 1
        body = b"down" if self.down else json.dumps({"keys": self.keys}).encode()
        await send({"type": "http.response.start", "status": 500 if self.down else 200, "headers": []})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    async with serve(provider) as url:
        provider.url = url + "/keys"  # type: ignore[attr-defined]
        yield provider


@pytest.fixture
def authenticator(provider: Any) -> Callable[..., JwksAuthenticator]:
    return lambda **options: JwksAuthenticator(provider.url, **{"cooldown": 0.0, **options})


async def test_asymmetric_tokens_are_let_in(provider: Any, authenticator: Any) -> None:
    """RSA in its forms, elliptic curves and Edwards curves, by the key that the token names."""
    provider.keys = [jwk(RSA_KEY, "r"), jwk(EC_KEY, "e"), jwk(ED_KEY, "d")]
    checked = authenticator()
    for key, kid, algorithm in (
        (RSA_KEY, "r", "RS256"),
        (RSA_KEY, "r", "PS512"),
        (EC_KEY, "e", "ES256"),
        (ED_KEY, "d", "EdDSA"),
    ):
        found = await checked.authenticate(signed({"kid": kid}, key, algorithm))
        assert found.subject == "ann"
    assert provider.fetches == 1


async def test_algorithms_follow_from_the_key(provider: Any, authenticator: Any) -> None:
    """A public key never verifies an HMAC, a key serves its own algorithms alone, a symmetric key serves none."""
    secret_key = {"kty": "oct", "k": base64.urlsafe_b64encode(SECRET).decode(), "kid": "o"}
    provider.keys = [jwk(RSA_KEY, "r", alg="RS256"), jwk(EC_KEY, "e"), jwk(RSA_KEY, "enc", use="enc"), secret_key]
    checked = authenticator()
    pem = RSA_KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"r"}').rstrip(b"=")
    body = base64.urlsafe_b64encode(json.dumps(claims()).encode()).rstrip(b"=")
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(header + b"." + body, pem)
    confused = b".".join([header, body, base64.urlsafe_b64encode(hmac).rstrip(b"=")]).decode()
    for text in (
        confused,
        signed({"kid": "r"}, RSA_KEY, "RS512"),
        signed({"kid": "e"}, RSA_KEY, "RS256"),
        signed({"kid": "enc"}, RSA_KEY, "RS256"),
        signed({"kid": "o"}),
        signed({"kid": "r"}),
        signed({"kid": "unknown"}, RSA_KEY, "RS256"),
        signed({}, RSA_KEY, "RS256"),
        *BAD_TOKENS.values(),
    ):
        with pytest.raises(NotAuthenticated):
            await checked.authenticate(text)


async def test_a_single_key_needs_no_kid(provider: Any, authenticator: Any) -> None:
    provider.keys = [jwk(EC_KEY, None)]
    assert (await authenticator().authenticate(signed({}, EC_KEY, "ES256"))).subject == "ann"


async def test_rotation_is_followed(provider: Any, authenticator: Any) -> None:
    """A new key is fetched when a token names it; a withdrawn one verifies no more, cached tokens included."""
    checked = authenticator()
    provider.keys = [jwk(EC_KEY, "old")]
    old = signed({"kid": "old"}, EC_KEY, "ES256")
    await checked.authenticate(old)
    provider.keys = [jwk(RSA_KEY, "new")]
    await checked.authenticate(signed({"kid": "new"}, RSA_KEY, "RS256"))
    with pytest.raises(NotAuthenticated):
        await checked.authenticate(old)


async def test_unknown_keys_do_not_flood_the_provider(provider: Any, authenticator: Any) -> None:
    """However many tokens name keys that do not exist, one fetch in a cooldown; many at once share it."""
    provider.keys = [jwk(EC_KEY, "e")]
    checked = authenticator(cooldown=60.0)
    bad = [signed({"kid": f"unknown-{number}"}, EC_KEY, "ES256") for number in range(20)]
    results = await asyncio.gather(*(checked.authenticate(text) for text in bad), return_exceptions=True)
    assert {type(result) for result in results} == {NotAuthenticated}
    assert provider.fetches == 1
    assert (await checked.authenticate(signed({"kid": "e"}, EC_KEY, "ES256"))).subject == "ann"
    assert provider.fetches == 1


async def test_held_keys_outlive_the_provider(provider: Any, authenticator: Any) -> None:
    """While the provider is down, the keys that are held go on serving; without any, the answer is to try again."""
    checked = authenticator(lifespan=0.0)
    provider.keys = [jwk(EC_KEY, "e")]
    good = signed({"kid": "e"}, EC_KEY, "ES256")
    provider.down = True
    with pytest.raises(Unavailable):
        await checked.authenticate(good)
    provider.down = False
    assert (await checked.authenticate(good)).subject == "ann"
    provider.down = True
    for _ in range(3):
        assert (await checked.authenticate(signed({"kid": "e"}, EC_KEY, "ES256"))).subject == "ann"
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*(task for task in [checked._fetching] if task))


async def test_odd_key_sets_break_nothing(provider: Any, authenticator: Any) -> None:
    """A provider that serves nonsense is a provider that is down."""
    checked = authenticator()
    for keys in (
        "x",
        None,
        [],
        [1],
        [{"kty": "RSA"}],
        [{"kty": "EC", "crv": ["P-256"]}],
        [{"kty": "RSA", "n": 1, "e": 2, "kid": "x"}],
    ):
        provider.keys = keys
        with pytest.raises(Unavailable):
            await checked.authenticate(signed({"kid": "e"}, EC_KEY, "ES256"))


def test_only_public_signing_keys_are_read() -> None:
    """A private part that a provider published by mistake is not kept."""
    private = json.loads(jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256).to_jwk(EC_KEY))
    private.pop("key_ops", None)
    [found] = public_keys({"keys": [{**private, "kid": "e"}]})
    assert isinstance(found.key, ec.EllipticCurvePublicKey)


def test_the_key_address_must_be_http() -> None:
    with pytest.raises(ConfigurationError, match="LEDGERGRAPH_JWKS_URL"):
        JwksAuthenticator("file:///etc/passwd")


def test_rules_are_settings() -> None:
    """Issuer, audience and lifetime are those of the deployment."""
    rules = TokenRules(issuer="https://id.example", audience="books", max_lifetime=60)
    checked = SecretAuthenticator(SECRET, rules)
    good = signed(iss="https://id.example", aud="books", exp=int(time.time()) + 50)
    assert asyncio.run(checked.authenticate(good)).subject == "ann"
    for bad in (signed(), signed(iss="https://id.example", aud="books", exp=int(time.time()) + 100)):
        with pytest.raises(NotAuthenticated):
            asyncio.run(checked.authenticate(bad))
