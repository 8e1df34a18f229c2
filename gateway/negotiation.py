"""What form an answer takes (RFC 9110, 12.5.1 and 12.5.3) and whether a body's form can be read (GraphQL over HTTP, 4 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

GRAPHQL_JSON = "application/graphql-response+json"
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
HTML = "text/html"

_USUAL = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a client takes. `json`: the media type of its choice for a single answer, None: it takes none.
    `events`: it takes an event stream; `prefers_events`: rather than JSON. `html`: it prefers a page to JSON, as browsers do."""

    json: str | None
    events: bool
    prefers_events: bool
    html: bool


@lru_cache(maxsize=256)
def negotiate(accept: str | None) -> Accepted:
    """What an Accept value allows. Absent or `*/*` means application/json, as long as clients of that age exist;
    between equals the newer media type wins."""
    if accept is None or not accept.strip():
        return Accepted(JSON, events=True, prefers_events=False, html=False)
    ranges = _ranges(accept)
    weights = {media: _weight(media, ranges) for media in (JSON, GRAPHQL_JSON, EVENT_STREAM, HTML)}
    best = max(weights[JSON], weights[GRAPHQL_JSON])
    chosen: str | None = None
    if best > 0:
        named = weights[GRAPHQL_JSON] == best and _names(GRAPHQL_JSON, ranges)
        chosen = GRAPHQL_JSON if named or weights[JSON] < best else JSON
    html = _names(HTML, ranges) and weights[HTML] >= best
    events = weights[EVENT_STREAM]
    return Accepted(chosen, events=events > 0, prefers_events=events > best, html=html)


@lru_cache(maxsize=256)
def takes_gzip(accept_encoding: str | None) -> bool:
    """Whether a client prefers gzip to an answer as it is (RFC 9110, 12.5.3). Between equals gzip wins; what is not named has
    the weight of `*`, and without that, an answer as it is comes last and gzip is not taken."""
    if not accept_encoding:
        return False
    weights = _ranges(accept_encoding)
    rest = weights.get("*", 0.0)
    gzip = weights.get("gzip", weights.get("x-gzip", rest))  # the same thing (RFC 9110, 8.4.1.3)
    return gzip > 0 and gzip >= weights.get("identity", rest)


def readable_body(headers: Mapping[bytes, bytes]) -> str | None:
    """None when a body is JSON in UTF-8 and not encoded; else a sentence that says what is wrong."""
    if headers.get(b"content-type") in _USUAL and b"content-encoding" not in headers:
        return None
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"", b"identity"):
        return "Content-Encoding is not supported: send the body as it is"
    media, _, rest = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    if media.strip().lower() != JSON:
        return "Content-Type must be application/json"
    charset = _parameters(rest).get("charset", "utf-8")
    return None if charset in ("utf-8", "utf8") else "the charset must be utf-8"


def _ranges(accept: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in accept.split(","):
        media, _, rest = part.partition(";")
        found[media.strip().lower()] = _quality(_parameters(rest).get("q", "1"))
    return found


def _parameters(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip().strip('"').lower() for name, _, value in pairs if name.strip()}


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0  # NaN is neither


def _weight(media: str, ranges: Mapping[str, float]) -> float:
    kind = media.partition("/")[0] + "/*"
    return next((ranges[name] for name in (media, kind, "*/*") if name in ranges), 0.0)


def _names(media: str, ranges: Mapping[str, float]) -> bool:
    return ranges.get(media, 0.0) > 0
