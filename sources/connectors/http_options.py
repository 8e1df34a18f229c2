"""The settings of a source's HTTP client: bounds, credentials, address. No I/O."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from yarl import URL

from sources.errors import ConfigurationError

Headers = Mapping[str, str]
Params = Mapping[str, str] | Sequence[tuple[str, str]]
Auth = Callable[[Headers | None], Awaitable[Headers]]
"""Gives the headers that authenticate a request. Its argument is None, or the headers that the source has just refused with
401: then it gets new ones, unless it holds newer ones already. Raises SourceUnavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """Bounds of one source. Times in seconds. `waiting` False: no backoff and no Retry-After is waited out (for tests)."""

    connect_seconds: float = 3.0
    attempt_seconds: float = 15.0
    deadline_seconds: float = 60.0
    attempts: int = 5
    backoff_seconds: float = 0.25
    backoff_cap_seconds: float = 10.0
    retry_after_cap_seconds: float = 300.0
    concurrency: int = 4
    response_bytes: int = 33_554_432
    redirects: int = 3
    breaker_failures: int = 5
    breaker_rest_seconds: float = 30.0
    slow_seconds: float = 1.5
    waiting: bool = True


def check_all(*checks: Callable[[], object]) -> None:
    """Runs every check. Raises ConfigurationError with a line for each mistake that any of them raises."""
    wrongs = []
    for check in checks:
        try:
            check()
        except ConfigurationError as error:
            wrongs += str(error).splitlines()
    if wrongs:
        raise ConfigurationError("\n".join(wrongs))


def must(holds: object, rule: str) -> Callable[[], None]:
    """A check for `check_all`. `rule`: the setting, and what it must be."""

    def check() -> None:
        if not holds:
            raise ConfigurationError(rule)

    return check


def bearer(secret: str, setting: str) -> Auth:
    """Auth with one fixed bearer token. Raises ConfigurationError, naming the setting, where it cannot be sent."""
    if not re.fullmatch(r"[!-~]+", secret):
        raise ConfigurationError(f"{setting} must be visible ASCII characters without blanks and line ends")
    headers = {"Authorization": f"Bearer {secret}"}

    async def give(_refused: Headers | None) -> Headers:
        return headers

    return give


def checked_base(name: str, base_url: str) -> str:
    """`base_url` without a trailing slash. Raises ConfigurationError where it is no plain http(s) address."""
    try:
        url = URL(base_url)
    except ValueError:
        url = URL("")
    if (
        url.scheme not in ("http", "https")
        or not url.host
        or url.user
        or url.password
        or url.query_string
        or url.fragment
    ):
        raise ConfigurationError(
            f"sources.{name}.base_url must be an address such as https://api.example.com, without a user, a password or a query"
        )
    return base_url.rstrip("/")
