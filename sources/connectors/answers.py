"""Reading HTTP answers: what they mean, as pure functions over status, headers and body, without I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from sources.errors import SourceUnavailable

_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", re.ASCII)
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{0,63}", re.ASCII)
_JSON_TYPE = re.compile(r"application/(?:[\w.+-]+\+)?json|text/json", re.ASCII | re.IGNORECASE)
_RETRIED = frozenset({429, 502, 503, 504})


class SourceRefused(SourceUnavailable):
    """The source answered 4xx: asking again without a change will not help. `status` is the answer's status, `code` the
    source's own word for the reason, where its answer holds one (`invalid_client`, `resource_missing`)."""

    def __init__(self, message: str, status: int, code: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Transient(SourceUnavailable):
    """May be tried again at once, or after `retry_after` seconds; `alive`: the source works but wants fewer requests."""

    def __init__(self, message: str, *, retry_after: float | None = None, alive: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.alive = alive


def failure(subject: str, status: int, code: str | None, retry_after: float | None) -> SourceUnavailable:
    """The exception for an answer that is not 2xx. Statuses 429, 502, 503 and 504 may be tried again (RFC 9110 15.6,
    RFC 6585 4), other 5xx not; `code` as in SourceRefused."""
    answer = f"status {status}, {code}" if code else f"status {status}"
    if status in _RETRIED:
        word = "allows no more requests for now" if status == 429 else "is not working"
        hint = "" if not retry_after else f" and asks to wait {retry_after:.0f} s"
        message = f"{subject} {word} ({answer}){hint}; try again later."
        return Transient(message, retry_after=retry_after, alive=status == 429)
    if status in (401, 403):
        message = f"{subject} refused our credentials ({answer}): check its settings and permissions."
        return SourceRefused(message, status, code)
    if 400 <= status < 500:
        return SourceRefused(f"{subject} refused the request ({answer}): check its settings.", status, code)
    return SourceUnavailable(f"{subject} failed ({answer}); try again later.")


def decode_json(subject: str, content_type: str | None, body: bytes) -> Any:
    """JSON with fractions and exponents as Decimal, so that amounts stay exact; NaN and Infinity are refused.
    Raises SourceUnavailable, whose sentence starts with `subject`."""
    media_type = (content_type or "application/json").partition(";")[0].strip()
    if not _JSON_TYPE.fullmatch(media_type):
        shown = media_type[:60] if media_type.isprintable() else "something else"
        raise SourceUnavailable(f"{subject} answered with {shown} instead of JSON: check its base_url.")
    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError):
        raise SourceUnavailable(f"{subject} answered with JSON that cannot be read; try again later.") from None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def retry_after_seconds(value: str | None, cap: float) -> float | None:
    """Seconds to wait by a Retry-After header: a number of seconds or an HTTP date (RFC 9110 10.2.3), at most `cap`.
    None: there is no such header, or it cannot be read."""
    if value is None:
        return None
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), cap)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max((when - datetime.now(UTC)).total_seconds(), 0.0), cap)


def refusal_code(body: bytes, sent: Iterable[str] = ()) -> str | None:
    """The source's own word for a refusal, if its JSON body has one where OAuth (RFC 6749 5.2: `error`), Stripe
    (`error.code`, `error.type`), Xero (`Type`) or Plaid (`error_code`) put it. Only a bare word without digits, and no part of
    what was `sent`, is taken: sources repeat secrets."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    error = answer.get("error")
    candidates = (
        [error.get("code"), error.get("type")]
        if isinstance(error, dict)
        else [error, answer.get("Type"), answer.get("error_code")]
    )
    words = [word for word in candidates if isinstance(word, str) and _WORD.fullmatch(word)]
    told = "\n".join(sent)
    return next((word for word in words if word not in told), None)
