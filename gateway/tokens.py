"""Which tokens count: what the settings say, made into what `gateway.authentication` and `gateway.jwks` take."""

from __future__ import annotations

from gateway.authentication import TokenRules, load_or_create_secret
from gateway.config import Settings
from sources.errors import ConfigurationError

SECRET_FILE = "jwt.secret"  # noqa: S105
"""Name of the file in the data directory that holds the secret where no JWT settings are given."""


def token_rules(settings: Settings) -> TokenRules:
    """What the claims of every token must say."""
    return TokenRules(issuer=settings.jwt.issuer, audience=settings.jwt.audience)


def signing_secret(settings: Settings) -> bytes:
    """The secret that tokens are signed with: LEDGERGRAPH_JWT_SECRET, or the data directory's, made when it is absent. Raises
    ConfigurationError when tokens come from an identity provider."""
    if settings.jwt.jwks_url is not None:
        raise ConfigurationError("LEDGERGRAPH_JWKS_URL is set: tokens come from your identity provider alone")
    if settings.jwt.secret is not None:
        return settings.jwt.secret.encode()
    return load_or_create_secret(settings.data_dir / SECRET_FILE)
